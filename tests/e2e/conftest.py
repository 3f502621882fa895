"""The command line on a devnet of the test's own."""

import pytest

from orchestrator.devnet.anvil import Anvil
from tests.e2e.commands import CommandLine
from tests.e2e.wallets import deployed_on


@pytest.fixture
def cli(devnet, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return CommandLine(devnet.environment, home)


@pytest.fixture(scope="session")
def wallets():
    """A chain with the contracts of all families of wallets, by their names."""
    with Anvil() as node:
        yield node, deployed_on(node)
