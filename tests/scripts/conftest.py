"""The operators' scripts on one devnet for each module; each test has a journal of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.devnet.devnet import devnet as started
from tests import forked
from tests.e2e.commands import CommandLine, Finished

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


class Scripts(CommandLine):
    """Runs scripts as ``CommandLine`` runs commands; ``home`` is where they are started."""

    def __init__(self, environment: dict[str, str], home: Path) -> None:
        super().__init__(environment, home)
        self.home = home
        self.environment["PYTHONPATH"] = str(SCRIPTS.parent)  # for the commands that scripts start

    def script(self, name: str, *arguments: object, seconds: float = 120, **environment: str) -> Finished:
        words = [sys.executable, str(SCRIPTS / name), *map(str, arguments)]
        done = forked.run(words, env={**self.environment, **environment}, cwd=self.home, timeout=seconds)
        return Finished(done.returncode, done.stdout, done.stderr)

    def begin(self, name: str, *arguments: object) -> subprocess.Popen[str]:
        return forked.Forked(
            [sys.executable, str(SCRIPTS / name), *map(str, arguments)],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def office(tmp_path_factory, _devnet_keys):
    """A devnet for the module's tests."""
    with started(folder=tmp_path_factory.mktemp("office") / "devnet", keys=_devnet_keys, block_time=0.1) as made:
        yield made


@pytest.fixture
def scripts(office, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return Scripts(office.environment, home)
