"""The wheel: what is in it, and that an installation outside of the checkout works by itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from orchestrator.devnet.toolchain import FOUNDRY_VERSION, ensure
from tests.departures import none_told
from tests.docs.markdown import blocks
from tests.profile import full_only

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "orchestrator"
full = full_only("an installation")


def pip(python: Path | str, *arguments: str) -> None:
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=800,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def build(folder: Path) -> Path:
    """The wheel, by the build backend at its locked version: that of this environment."""
    pip(sys.executable, "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_has_everything_and_nothing_else(tmp_path):
    wheel = build(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        meta = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(meta).decode())
        points = archive.read(meta.replace("METADATA", "entry_points.txt")).decode()
    assert re.fullmatch(r"offblocks_orchestrator-[0-9.]+-py3-none-any\.whl", wheel.name)
    packed = {name for name in names if ".dist-info/" not in name}
    present = {
        f"orchestrator/{path.relative_to(SOURCE)}"
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == present
    assert {
        "orchestrator/py.typed",
        "orchestrator/artifacts/SmartWallet.json",
        "orchestrator/artifacts/SmartWalletFactory.json",
        "orchestrator/journal/migrations/versions/r0001_first.py",
        "orchestrator/schemas/operation.json",
        "orchestrator/schemas/certificate.json",
        "orchestrator/schemas/certificate-v1.json",
        "orchestrator/wallet/released/ceb6923eaa40b141.json",
        "orchestrator/wallet/profiles/safe.toml",
    } <= packed
    assert {Path(name).suffix for name in packed} == {".py", ".json", ".toml", ".typed", ".md"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert (metadata["Name"], metadata["License-Expression"]) == ("offblocks-orchestrator", "MIT")
    assert metadata["Requires-Python"] == ">=3.11"
    assert sorted(metadata.get_all("Provides-Extra")) == ["aws", "devnet", "hsm", "postgres"]
    readme = metadata.get_payload()
    assert "The platform claims; the chain proves." in readme
    assert re.findall(r"\]\((?!https://)", readme) == [], "a package index has no folder that a relative link leads to"
    assert "orchestrator = orchestrator.cli.main:main" in points
    assert "offblocks_orchestrator = orchestrator.devnet.pytest_plugin" in points


class Installed:
    """The wheel in an environment of its own, outside of the checkout, with the locked versions of what it needs."""

    def __init__(self, folder: Path) -> None:
        wheel = build(folder / "wheel")
        self.folder = folder
        self.programs = folder / "venv" / "bin"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=300)
        locked = re.findall(
            r"^[A-Za-z0-9_.-]+==\S+(?: ;[^\\\n]*)?", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE
        )
        self._constraints = folder / "constraints.txt"
        self._constraints.write_text("\n".join(locked) + "\n")
        self.install(str(wheel))

    def install(self, package: str) -> None:
        pip(self.programs / "python", "install", "--constraint", str(self._constraints), package)

    def cache(self) -> str:
        """A user's cache that has the pinned anvil: for XDG_CACHE_HOME."""
        cache = self.folder / "cache"
        tools = cache / "offblocks-orchestrator" / f"foundry-{FOUNDRY_VERSION}" / "bin"
        if not tools.exists():
            tools.mkdir(parents=True)
            (tools / "anvil").symlink_to(ensure("anvil").resolve())
        return str(cache)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command with nothing of the system on PATH: neither anvil, nor npm, nor the checkout."""
        return subprocess.run(
            [self.programs / words[0], *words[1:]],
            cwd=self.folder,
            env={"PATH": str(self.programs), "HOME": str(self.folder / "home"), "LANG": "C.UTF-8", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


@full
@pytest.mark.timeout(1500)
def test_an_installation_outside_of_the_checkout_works(installed):
    where = installed.run("python", "-c", "import orchestrator; print(orchestrator.__file__)").stdout
    assert where.startswith(str(installed.folder / "venv"))

    shown = installed.run("orchestrator", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Exit codes" in shown.stdout

    schema = installed.run("orchestrator", "schema", "operation")
    assert json.loads(schema.stdout) == json.loads((SOURCE / "schemas" / "operation.json").read_text())

    # Neither anvil nor npm: nothing is started, and the message has the command to type.
    for command in (["demo"], ["devnet", "up"]):
        refused = installed.run("orchestrator", *command, "--json")
        assert refused.returncode == 2, refused.stdout + refused.stderr
        error = json.loads(refused.stdout)["error"]
        assert error["code"] == "tool_missing"
        assert 'pip install "offblocks-orchestrator[devnet]"' in error["message"]
        assert "Traceback" not in refused.stderr

    kept = installed.folder / "closed.json"
    demo = installed.run("orchestrator", "demo", "--json", "--certificate", str(kept), XDG_CACHE_HOME=installed.cache())
    assert demo.returncode == 0, demo.stdout + demo.stderr
    none_told(demo.stderr)
    document = json.loads(demo.stdout)
    assert (document["certificate"]["valid"], document["certificate"]["verdict"]) == (True, "irreversible")
    assert document["steps"][-1]["step"] == "Certificate verified offline"
    verified = installed.run("orchestrator", "certificate", "verify", str(kept), "--json")
    assert (verified.returncode, json.loads(verified.stdout)["valid"]) == (0, True)


COROUTINE = """
import pytest


@pytest.mark.anyio
async def test_in_a_coroutine(orchestrator, devnet):
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    assert (await orchestrator.activate(account.account_id)).outcome == "done"
"""


@full
@pytest.mark.timeout(1500)
def test_the_documented_test_passes_in_a_fresh_project(installed, tmp_path):
    """As it stands, with pytest and nothing of the suite's own: no other plugin, no configuration."""
    installed.install("pytest")
    absent = installed.run("python", "-c", "import pytest_asyncio")
    assert "ModuleNotFoundError" in absent.stderr
    (block,) = (block for block in blocks("python") if "def test_" in block.text)
    (tmp_path / "test_documented.py").write_text(block.text)
    (tmp_path / "test_coroutine.py").write_text(COROUTINE)
    done = installed.run("pytest", "-q", "-W", "error", str(tmp_path), XDG_CACHE_HOME=installed.cache())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
