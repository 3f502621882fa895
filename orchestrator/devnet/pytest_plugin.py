"""Pytest fixtures: a real chain and a real platform for each test, on ports that the system chose.

Loaded by pytest where the package is installed. One Anvil serves a test process (``xdist``-safe: each worker has its
own); each test sees a fresh chain, by snapshot and revert, and a fresh platform.

    def test_an_account_becomes_active(blocking_orchestrator, devnet):
        account = blocking_orchestrator.create_account(devnet.programme.customer_id, "EUR")
        report = blocking_orchestrator.activate(account.account_id)
        assert report.outcome == "done"

That needs pytest and nothing else. Tests that are coroutines take ``orchestrator`` and a mark: ``anyio``, whose plugin
comes with this package, or ``asyncio`` with pytest-asyncio.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from orchestrator.app import Orchestrator
    from orchestrator.blocking import BlockingOrchestrator
    from orchestrator.devnet.anvil import Anvil
    from orchestrator.devnet.contracts import Contracts
    from orchestrator.devnet.devnet import Devnet
    from orchestrator.devnet.simulator import SimulatorThread
    from orchestrator.settings import Settings

_BLOCK_SECONDS = 0.1

try:
    from pytest_asyncio import fixture as _async_fixture
except ImportError:  # the other fixtures need no event loop
    _async_fixture = pytest.fixture  # type: ignore[assignment]


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    """An Anvil of this process, which mines a block with each transaction; chain 31337, one slot per epoch."""
    from orchestrator.devnet.anvil import Anvil

    with Anvil() as node:
        yield node


@pytest.fixture(scope="session")
def contracts(anvil: Anvil) -> Contracts:
    """The factory, an escrow and a token, deployed once on ``anvil``."""
    from orchestrator.devnet.contracts import deploy_contracts

    return deploy_contracts(anvil)


@pytest.fixture
def chain(anvil: Anvil, contracts: Contracts) -> Iterator[Anvil]:  # noqa: ARG001  (deployed before the snapshot)
    """``anvil`` for one test: what the test does to the chain is undone after it."""
    from orchestrator.devnet.contracts import deploy_contracts
    from orchestrator.errors import ChainError

    snapshot = anvil.rpc_sync("evm_snapshot")
    anvil.control.floor = anvil.control.heads()["block"]["number"]
    yield anvil
    try:
        anvil.rpc_sync("evm_revert", snapshot)
    except ChainError:  # the test took the snapshot's block away, by JSON-RPC: no other test shall see that
        anvil.rpc_sync("anvil_reset")
        deploy_contracts(anvil)


@pytest.fixture(scope="session")
def _devnet_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key files are encrypted once: scrypt takes longer than all else in a devnet's start."""
    from orchestrator.devnet.devnet import make_keys

    folder = tmp_path_factory.mktemp("devnet-keys")
    make_keys(folder)
    return folder


@pytest.fixture
def devnet(chain: Anvil, contracts: Contracts, tmp_path: Path, _devnet_keys: Path) -> Iterator[Devnet]:
    """A whole devnet for one test: chain, contracts, a fresh platform, a keystore. Blocks come 10 times a second, so
    that finality does too."""
    from orchestrator.devnet.devnet import devnet as start

    started = start(anvil=chain, contracts=contracts, folder=tmp_path / "devnet", keys=_devnet_keys)
    with started as made, _blocks(chain):
        yield made


@pytest.fixture
def platform(devnet: Devnet) -> SimulatorThread:
    """The platform simulator of ``devnet``: ``fault(…)``, ``records()``, ``clear_faults()``."""
    return devnet.simulator


@pytest.fixture(scope="session")
def _empty_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal's database, migrated once: that takes 40 ms."""
    import asyncio

    from orchestrator.journal.database import open_database

    path = tmp_path_factory.mktemp("empty-journal") / "journal.db"

    async def make() -> None:
        await (await open_database(f"sqlite:///{path}")).close()

    with asyncio.Runner() as runner:
        runner.run(make())
    return path


@pytest.fixture
def orchestrator_settings(devnet: Devnet, tmp_path: Path, _empty_journal: Path) -> Settings:
    """Settings for ``devnet``, with a journal and a folder for certificates of the test's own."""
    import sqlite3

    from orchestrator.settings import load_settings

    journal = tmp_path / "journal.db"
    shutil.copy(_empty_journal, journal)
    with contextlib.closing(sqlite3.connect(journal)) as database, database:  # another journal, so with another id
        database.execute("UPDATE meta SET value = ? WHERE name = 'journal_id'", (str(uuid.uuid4()),))
    return load_settings(
        devnet.environment,
        overrides={
            "database_url": f"sqlite:///{journal}",
            "certificates": tmp_path / "certificates",
            "poll_interval": 0.1,
        },
    )


@pytest.fixture
def blocking_orchestrator(orchestrator_settings: Settings) -> Iterator[BlockingOrchestrator]:
    """An open ``BlockingOrchestrator`` on ``devnet``, for tests without an event loop."""
    from orchestrator.blocking import BlockingOrchestrator

    with BlockingOrchestrator(orchestrator_settings) as opened:
        yield opened


@_async_fixture
async def orchestrator(orchestrator_settings: Settings) -> AsyncIterator[Orchestrator]:
    """An open ``Orchestrator`` on ``devnet``, for tests with the mark ``anyio``, or ``asyncio`` (pytest-asyncio, in
    whichever of its modes)."""
    from orchestrator.app import Orchestrator

    async with Orchestrator.open(orchestrator_settings) as opened:
        yield opened


@pytest.fixture
def mine(chain: Anvil) -> Callable[..., dict[str, Any]]:
    """``mine(blocks=1)``: mines blocks now."""
    return chain.control.mine


@pytest.fixture
def finalize(chain: Anvil) -> Callable[[], dict[str, Any]]:
    """``finalize()``: mines until what is latest now is final."""
    return chain.control.finalize


@pytest.fixture
def reorg(chain: Anvil) -> Callable[..., dict[str, Any]]:
    """``reorg(depth, drop=False)``: replaces the newest blocks by others with the same transactions, past ``finalized``
    if so deep; with ``drop`` by empty ones. No deeper than the test's own blocks."""
    return chain.control.reorg


@pytest.fixture
def resubmit(platform: SimulatorThread) -> Callable[[], dict[str, Any]]:
    """``resubmit()``: the platform's operator sends again what the chain has lost, by ``reorg(…, drop=True)``."""
    return platform.resubmit


@pytest.fixture
def warp(chain: Anvil) -> Callable[[int], dict[str, Any]]:
    """``warp(seconds)``: moves the chain's clock ahead and mines a block there."""
    return chain.control.warp


class _blocks:  # noqa: N801  (reads as a statement where it is used)
    """Mines in the background while the block runs."""

    def __init__(self, anvil: Anvil) -> None:
        self._anvil = anvil
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._mine, name="blocks", daemon=True)

    def _mine(self) -> None:
        while not self._stop.wait(_BLOCK_SECONDS):
            with self._anvil.control.lock:
                if self._anvil.rpc_sync("anvil_getAutomine"):  # off while another process reorganises the chain
                    self._anvil.rpc_sync("anvil_mine", "0x1")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
