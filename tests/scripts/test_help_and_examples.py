"""What holds for every script: its help, its options; and that the examples of systemd units are taken."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess

import pytest

from tests.scripts.conftest import SCRIPTS, Scripts

PROGRAMS = sorted(path.name for path in SCRIPTS.glob("[a-z]*.py"))
EXAMPLES = sorted((SCRIPTS / "examples").iterdir())


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_fits_a_terminal_and_has_an_example(program, tmp_path):
    done = Scripts({"COLUMNS": "80"}, tmp_path).script(program, "--help")
    assert done.code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert f"  scripts/{program} " in done.stdout
    for option in ("--dry-run", "--json", "--config"):
        assert option in done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_wrong_usage_is_2(program, tmp_path):
    assert Scripts({}, tmp_path).script(program, "--no-such-option").code == 2


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.name)
def test_only_public_names_are_used(path):
    import orchestrator

    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "orchestrator":
            assert node.module == "orchestrator"
            assert {alias.name for alias in node.names} <= set(orchestrator.__all__)
        if isinstance(node, ast.Import):
            assert not any(alias.name.partition(".")[0] == "orchestrator" for alias in node.names)


def test_examples_name_scripts_and_options_that_are_there():
    for path in EXAMPLES:
        for program, options in re.findall(r"scripts/(\w+\.py)(.*)", path.read_text()):
            text = (SCRIPTS / program).read_text() + (SCRIPTS / "_common.py").read_text()
            assert all(f'"{option}"' in text for option in re.findall(r"--[a-z-]+", options)), path.name


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units():
    units = [str(path) for path in EXAMPLES if path.suffix in (".service", ".timer")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "orchestrator-" in line]
    assert (done.returncode, ours) == (0, [])
