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

from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.contracts import deploy_contracts
from orchestrator.devnet.control import ChainControl
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.errors import ChainError, ChainUnreachable, SettingsError


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


async def blocks(node, first: int = 0) -> list[str]:
    head = await node.block_number()
    return [(await node.rpc("eth_getBlockByNumber", hex(n), False))["hash"] for n in range(first, head + 1)]


async def mined(node, tx_hash: str) -> int:
    """The transaction's block, once it has one."""
    receipt = await asyncio.to_thread(node.receipt_sync, tx_hash)
    return int(receipt["blockNumber"], 16)


async def pay(node, sender: str, **fields: str) -> str:
    return await node.rpc(
        "eth_sendTransaction", {"from": sender, "to": DEV_ACCOUNTS[5].address, "value": "0x1"} | fields
    )


@pytest.mark.parametrize("block_time", [None, 1.0])
async def test_a_reorg_replaces_blocks_and_keeps_their_transactions(block_time):
    """Signed and impersonated ones, of every kind, at their heights; and the node mines on as before."""
    signer, nobody = DEV_ACCOUNTS[2].address, "0x" + "ab" * 20
    async with Anvil(block_time=block_time) as node:
        await node.set_balance(nobody, 10**18)
        await node.rpc("anvil_impersonateAccount", nobody)
        await node.mine(6)
        start = await node.block_number()
        sent = []
        for sender, fees in ((signer, {}), (nobody, {}), (nobody, {"gasPrice": hex(10**10)}), (signer, {})):
            sent.append(await pay(node, sender, **fees))
            await node.mine()
        heights = [await mined(node, tx_hash) for tx_hash in sent]
        await node.rpc("anvil_stopImpersonatingAccount", nobody)
        way = (await node.rpc("anvil_getAutomine"), await node.rpc("anvil_getIntervalMining"))
        before = await blocks(node)
        margin = 3  # blocks that a node with a clock may mine between these two calls
        await node.reorg(len(before) - 1 - start + margin)
        after = await blocks(node)
        assert after[: start + 1 - margin] == before[: start + 1 - margin]
        assert not set(after[start + 1 :]) & set(before)
        assert [await mined(node, tx_hash) for tx_hash in sent] == heights
        assert (await node.rpc("anvil_getAutomine"), await node.rpc("anvil_getIntervalMining")) == way
        await mined(node, await pay(node, DEV_ACCOUNTS[3].address))


async def test_a_reorg_changes_blocks_that_are_mined_within_one_second(node):
    """With the base fee at its lowest, nothing else tells an empty block from its successor at the same height."""
    await node.mine(200)
    for _ in range(5):
        before = await blocks(node, 197)
        await node.reorg(2)
        after = await blocks(node, 197)
        assert after[:-2] == before[:-2]
        assert not set(after[-2:]) & set(before)


async def test_what_a_harsh_reorg_drops_is_gone(node):
    tx_hash = await pay(node, DEV_ACCOUNTS[2].address)
    height = await mined(node, tx_hash)
    await node.reorg(1, drop=True)
    assert await node.block_number() == height
    assert await node.rpc("eth_getTransactionByHash", tx_hash) is None
    assert await node.rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}


async def test_a_transaction_that_cannot_be_sent_again_is_named(node):
    """Money that came by decree is gone with the block before it was spent."""
    nobody = "0x" + "ab" * 20
    await node.mine()
    await node.set_balance(nobody, 10**18)
    await node.rpc("anvil_impersonateAccount", nobody)
    tx_hash = await pay(node, nobody)
    await mined(node, tx_hash)
    with pytest.raises(ChainError, match=f"not sent again after the reorg: {tx_hash}: .*nsufficient funds"):
        await node.reorg(2)


def test_a_reorg_keeps_the_contracts_or_is_refused():
    """An Anvil with other options has the code of fewer and fewer blocks, in the end of ten: a deeper one wiped it."""
    with Anvil(states=450) as node:
        contracts = deploy_contracts(node)
        code = node.rpc_sync("eth_getCode", contracts.factory, "latest")
        node.control.mine(700)
        for depth in (12, 400):
            before = node.control.heads()["block"]
            after = node.control.reorg(depth)["block"]
            assert (after["number"], after["hash"] == before["hash"]) == (before["number"], False)
            assert node.rpc_sync("eth_getCode", contracts.factory, "latest") == code != "0x"
        before = node.control.heads()
        with pytest.raises(SettingsError, match="cannot reorg 480 blocks: the node no longer has the state") as refused:
            node.control.reorg(480)
        assert refused.value.code == "usage"
        assert node.control.heads() == before


def test_a_node_that_others_started_and_that_loses_its_contracts_is_named(monkeypatch):
    monkeypatch.setattr(Anvil, "_arguments", lambda self: iter(("--host", "127.0.0.1", "--port", "0")))
    with Anvil() as node:
        deploy_contracts(node)
        node.control.mine(700)
        with pytest.raises(ChainError, match=r"lost the contracts by a reorg of 600 blocks: .*--prune-history"):
            node.control.reorg(600)


def test_the_contracts_of_a_devnet_stay():
    with Anvil() as node:
        deploy_contracts(node)
        deployed = node.control.heads()["block"]["number"]
        node.control.mine(2)
        node.control.reorg(2)
        before = node.control.heads()
        for depth in (4, deployed + 2, deployed + 3):
            with pytest.raises(SettingsError, match=f"cannot reorg {depth} blocks"):
                node.control.reorg(depth)
        assert node.control.heads() == before


@pytest.mark.parametrize(
    ("order", "value"), [("mine", 0), ("mine", True), ("mine", "3"), ("reorg", 0), ("reorg", 1.5), ("warp", -1)]
)
def test_numbers_that_cannot_be_meant_are_refused(order, value):
    control = ChainControl(lambda *_: pytest.fail("the node was asked"))
    with pytest.raises(SettingsError, match="expected a whole number from 1"):
        getattr(control, order)(value)


async def test_a_rollback_takes_blocks_away_past_finality(node):
    await node.mine(6)
    await node.rpc("anvil_rollback", 4)
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
        await node.rpc("anvil_reorg", 50, [])
    assert caught.value.code == "rpc_error"
    with pytest.raises(SettingsError, match="cannot reorg 50 blocks: the newest block that must stay is 0") as refused:
        await node.reorg(50)
    assert refused.value.code == "usage"


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
        "print(node.pid, node._running.child.watchdog.pid, flush=True); sys.stdin.read(); os._exit(0)"
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
