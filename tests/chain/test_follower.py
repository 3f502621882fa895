"""Following a real Anvil's head: blocks, gaps, reorgs, broken finality, outages."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from orchestrator.chain.node.changes import FinalityViolation, NewHead, Outage, Reorg, Restored
from orchestrator.chain.node.follower import Follower
from orchestrator.chain.node.rpc import Rpc
from orchestrator.devnet.anvil import Anvil
from orchestrator.errors import ChainNonsense
from orchestrator.models import to_address
from tests.chain.model_node import SMART_WALLET

FACTORY = to_address("0x" + "fa" * 20)


@pytest.fixture
def make(journal):
    return lambda rpc, **options: Follower(rpc, FACTORY, SMART_WALLET, journal.chain_index, **options)


@pytest.fixture
def watcher(rpc, make):
    return make(rpc, interval=0.02)


@pytest.fixture
def seen(watcher):
    changes = []
    watcher.subscribe(changes.append)
    return changes


async def test_blocks_and_a_gap(watcher, seen, anvil, rpc):
    await watcher.poll()
    for count in (1, 1, 50):
        await anvil.mine(count)
        before = rpc.round_trips
        await watcher.poll()
        assert rpc.round_trips - before <= 3
    assert [change.head.number for change in seen] == [0, 1, 2, 52]
    assert seen[-1] == NewHead(seen[-1].head, 51, 50)
    await watcher.poll()
    assert len(seen) == 4, "the same head is not told again"


async def test_a_reorg_names_what_was_dropped(make):
    async with Anvil(slots_in_an_epoch=10) as anvil, Rpc(anvil.url) as rpc:
        watcher = make(rpc)
        seen = []
        watcher.subscribe(seen.append)
        for _ in range(4):
            await anvil.mine()
            await watcher.poll()
        old = [change.head for change in seen]
        await anvil.reorg(2)
        await watcher.poll()
        assert seen[4] == Reorg((old[2], old[3]), old[1])
        assert isinstance(seen[5], NewHead)
        assert seen[5].head.number == 4
        assert seen[5].head.hash != old[3].hash
        assert len(seen) == 6
        await anvil.mine()
        await watcher.poll()
        assert len(seen) == 7


async def test_a_reorg_behind_a_gap_is_seen(make):
    async with Anvil(slots_in_an_epoch=10) as anvil, Rpc(anvil.url) as rpc:
        watcher = make(rpc)
        seen = []
        watcher.subscribe(seen.append)
        await anvil.mine(4)
        await watcher.poll()
        await anvil.reorg(1)
        await anvil.mine(5)
        await watcher.poll()
        reorg = seen[1]
        assert isinstance(reorg, Reorg)
        assert reorg.dropped == (seen[0].head,)
        assert seen[2].head.number == 9


async def test_a_reorg_past_finalized_is_a_violation(watcher, seen, anvil):
    for _ in range(6):
        await anvil.mine()
        await watcher.poll()
    finalized = seen[-1].finalized
    assert finalized == 4
    heads = {change.head.number: change.head for change in seen}
    await anvil.reorg(4)
    await watcher.poll()
    assert isinstance(seen[6], Reorg)
    assert seen[6].common_ancestor == heads[2]
    assert seen[7] == FinalityViolation(heads[4], heads[2])
    assert isinstance(seen[8], NewHead)


async def test_a_head_that_goes_back_is_a_lagging_node_first_and_then_a_reorg(watcher, seen, anvil):
    watcher.interval = 0.0
    for _ in range(6):
        await anvil.mine()
        await watcher.poll()
    await anvil.rpc("anvil_rollback", 1)
    await watcher.poll()
    await watcher.poll()
    assert len(seen) == 6
    await watcher.poll()
    assert isinstance(seen[6], Reorg)
    assert [block.number for block in seen[6].dropped] == [6]
    assert not any(isinstance(change, FinalityViolation) for change in seen)
    await anvil.rpc("anvil_rollback", 3)
    for _ in range(3):
        await watcher.poll()
    assert any(isinstance(change, FinalityViolation) for change in seen)


async def test_an_outage_is_reported_once_and_survived(liar, liar_rpc, anvil, make):
    tried = asyncio.Event()
    times = 0

    async def drop(request):
        nonlocal times
        times += 1
        if times > 6:
            tried.set()
        request.transport.abort()
        return web.Response()

    watcher, changes = make(liar_rpc, interval=0.01, outage_interval=0.02), asyncio.Queue()
    watcher.subscribe(changes.put_nowait)
    async with watcher, asyncio.timeout(30):
        assert isinstance(await changes.get(), NewHead)
        liar.raw = drop
        outage = await changes.get()
        assert isinstance(outage, Outage)
        assert "broke off" in outage.error.message
        await tried.wait()
        liar.raw = None
        assert isinstance(await changes.get(), Restored)
        await anvil.mine()
        head = await changes.get()
        assert isinstance(head, NewHead)
        assert head.head.number == 1


async def test_another_chain_behind_the_same_url_is_named(watcher, anvil):
    await watcher.poll()
    await anvil.rpc("anvil_setChainId", 5)
    with pytest.raises(ChainNonsense, match="was of chain eip155:31337 and is now of eip155:5"):
        await watcher.poll()


async def test_one_subscribers_mistake_does_not_stop_the_others(watcher, anvil):
    def bad(change):
        raise ValueError("a mistake")

    good = []
    watcher.subscribe(bad)
    watcher.subscribe(good.append)
    await watcher.poll()
    assert len(good) == 1
