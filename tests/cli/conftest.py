"""The command line on a devnet of the test's own."""

import pytest

from orchestrator.request_signing.key_folder import RequestKeyFolder
from orchestrator.signers.keyring import Keyring
from tests.e2e.commands import CommandLine


@pytest.fixture(autouse=True)
def light_scrypt(monkeypatch):
    """A key file that a command of these tests writes takes milliseconds; the usual cost has tests of its own."""
    for made in (Keyring, RequestKeyFolder):
        monkeypatch.setitem(made.__init__.__kwdefaults__, "work_factor", 2**12)


@pytest.fixture
def cli(devnet, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return CommandLine(devnet.environment, home)


@pytest.fixture
def alone(tmp_path):
    """The command line without any settings."""
    home = tmp_path / "home"
    home.mkdir()
    return CommandLine({}, home)
