"""A real node: its start and its sure ending, blocks and their finality, reorganisations, time."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from orchestrator.devnet.anvil import DEV_ACCOUNTS, Anvil
from orchestrator.errors import ChainError, ChainUnreachable


def gone(pid: int) -> bool:
    """Whether the process has ended (one that nobody has reaped yet counts as ended)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met


@pytest.fixture
async def node() -> AsyncIterator[Anvil]:
    async with Anvil() as node:
        yield node


async def test_it_answers_as_soon_as_it_is_started(node):
    assert await node.rpc("eth_chainId") == hex(31337)
    assert await node.block_number() == 0
    assert "anvil/v1.7.1" in await node.rpc("web3_clientVersion")


async def test_its_end_is_the_end_of_the_process():
    async with Anvil() as node:
        pid, url = node.pid, node.url
        assert node.running
        assert url.startswith("http://127.0.0.1:")
    assert gone(pid)
    assert not node.running
    with pytest.raises(AssertionError, match="not started"):
        _ = node.url


def test_without_an_event_loop():
    with Anvil(chain_id=4242) as node:
        assert node.rpc_sync("eth_chainId") == hex(4242)
        pid = node.pid
    assert gone(pid)
    node.stop()


def test_it_can_be_started_again():
    node = Anvil()
    for _ in range(2):
        with node:
            assert node.rpc_sync("eth_blockNumber") == "0x0"


async def test_many_nodes_at_once_have_ports_of_their_own():
    async with asyncio.TaskGroup() as group:
        starts = [group.create_task(Anvil().astart()) for _ in range(3)]
    nodes = [start.result() for start in starts]
    try:
        assert len({node.url for node in nodes}) == 3
    finally:
        for node in nodes:
            await node.astop()


async def test_finality_follows_mining(node):
    assert await node.block_number("finalized") == 0
    assert await node.mine(5) == 5
    assert (await node.block_number("safe"), await node.block_number("finalized")) == (4, 3)
    assert await node.finalize() == 5
    assert await node.block_number("finalized") == 5
    assert await node.block_number() == 7


async def test_slots_in_an_epoch_set_the_distance_of_finality():
    async with Anvil(slots_in_an_epoch=4) as node:
        await node.mine(10)
        assert (await node.block_number("safe"), await node.block_number("finalized")) == (6, 2)
        assert await node.finalize() >= 10


async def test_with_a_block_time_blocks_come_by_themselves():
    async with Anvil(block_time=0.05) as node:
        async with asyncio.timeout(20):
            # Each round is a round trip to the node: the wait needs no pause of its own.
            while await node.block_number("finalized") < 2:
                pass


async def test_a_reorg_replaces_blocks(node):
    await node.mine(5)
    before = [(await node.rpc("eth_getBlockByNumber", hex(n), False))["hash"] for n in range(6)]
    await node.rpc("evm_increaseTime", 7)
    await node.reorg(2)
    after = [(await node.rpc("eth_getBlockByNumber", hex(n), False))["hash"] for n in range(6)]
    assert after[:4] == before[:4]
    assert after[4] != before[4]
    assert after[5] != before[5]


async def test_a_rollback_takes_blocks_away_past_finality(node):
    await node.mine(6)
    await node.rollback(4)
    assert await node.block_number() == 2


async def test_a_warp_moves_the_clock(node):
    async def clock() -> int:
        return int((await node.rpc("eth_getBlockByNumber", "latest", False))["timestamp"], 16)

    before = await clock()
    await node.warp(3600)
    assert 3600 <= await clock() - before < 3700


async def test_a_snapshot_brings_everything_back_once(node):
    address = DEV_ACCOUNTS[9].address
    snapshot = await node.snapshot()
    await node.set_balance(address, 7)
    await node.mine(3)
    assert int(await node.rpc("eth_getBalance", address, "latest"), 16) == 7
    await node.revert(snapshot)
    assert int(await node.rpc("eth_getBalance", address, "latest"), 16) == 10_000 * 10**18
    assert await node.block_number() == 0
    with pytest.raises(ChainError, match="has no snapshot"):
        await node.revert(snapshot)


async def test_a_refusal_is_named(node):
    with pytest.raises(ChainError, match=r"anvil_reorg.*50") as caught:
        await node.reorg(50)
    assert caught.value.code == "rpc_error"


async def test_a_killed_node_is_unreachable_and_can_still_be_stopped(node):
    os.kill(node.pid, 9)
    assert until(lambda: not node.running)
    with pytest.raises(ChainUnreachable, match="did not answer eth_blockNumber"):
        await node.rpc("eth_blockNumber")


def test_the_dev_accounts_are_the_nodes_own():
    with Anvil() as node:
        assert [account.address.lower() for account in DEV_ACCOUNTS] == node.rpc_sync("eth_accounts")
    assert DEV_ACCOUNTS[0].address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert DEV_ACCOUNTS[0].private_key == "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
    assert DEV_ACCOUNTS[0].private_key not in repr(DEV_ACCOUNTS[0])
    assert len({account.private_key for account in DEV_ACCOUNTS[2:]}) == 8


def test_the_state_file_carries_a_chain_over_a_restart(tmp_path):
    state = tmp_path / "state.json"
    with Anvil(state=state) as node:
        node.rpc_sync("anvil_setBalance", DEV_ACCOUNTS[0].address, "0x7")
        node.rpc_sync("anvil_mine", "0x3")
    with Anvil(state=state) as node:
        assert node.rpc_sync("eth_getBalance", DEV_ACCOUNTS[0].address, "latest") == "0x7"
        assert node.rpc_sync("eth_blockNumber") == "0x3"


def test_the_log_has_the_nodes_output(tmp_path):
    log = tmp_path / "anvil.log"
    log.write_text("Listening on 127.0.0.1:1\n")
    with Anvil(log=log) as node:
        port = node.url.rpartition(":")[2]
    assert f"Listening on 127.0.0.1:{port}" in log.read_text()
    assert "eth_chainId" in log.read_text()


def test_a_node_that_cannot_start_says_why():
    with Anvil() as first:
        taken = int(first.url.rpartition(":")[2])
        second = Anvil(port=taken)
        with pytest.raises(ChainUnreachable, match=r"ended with exit code .*in use") as caught:
            second.start()
        assert caught.value.code == "anvil_not_started"
        assert not second.running


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_start_leaves_no_node(tmp_path, times):
    log = tmp_path / "anvil.log"
    node = Anvil(log=log)
    start = asyncio.create_task(node.astart())
    await asyncio.to_thread(until, log.exists)
    for _ in range(times):
        start.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not node.running


def test_a_node_outlives_the_thread_that_started_it():
    node = Anvil()
    thread = threading.Thread(target=node.start)
    thread.start()
    thread.join()
    try:
        assert node.rpc_sync("eth_blockNumber") == "0x0"
    finally:
        node.stop()


@pytest.mark.parametrize("way", ["kill", "exit"])
def test_a_parent_that_is_gone_leaves_no_node(way):
    program = (
        "import os, sys; from orchestrator.devnet.anvil import Anvil; node = Anvil().start(); "
        "print(node.pid, node._running.watchdog.pid, flush=True); sys.stdin.read(); os._exit(0)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        node, watchdog = map(int, parent.stdout.readline().split())
        assert not gone(node)
        assert not gone(watchdog)
        if way == "kill":
            parent.kill()
        else:
            parent.stdin.close()
            parent.stdin = None
        parent.wait()
    assert until(lambda: gone(node))
    assert until(lambda: gone(watchdog))
