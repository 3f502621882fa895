"""The command line on a devnet of the test's own."""

import pytest

from tests.e2e.commands import CommandLine


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
