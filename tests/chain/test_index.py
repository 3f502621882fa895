"""The index of a chain against a model of the chain: whatever the chain, the node and the process do, it ends equal to
one that is built from nothing."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from structlog.testing import capture_logs

from orchestrator.chain.node import follower as module
from orchestrator.chain.node.changes import FinalityViolation, NewHead, Outage, Reorg, Restored, Touched
from orchestrator.chain.node.follower import Follower
from orchestrator.chain.node.joining import WINDOW
from orchestrator.chain.node.reader import ChainReader
from orchestrator.errors import ChainNonsense, ChainUnreachable
from orchestrator.journal.chain_index import StoredIndex
from orchestrator.journal.schema import chain_blocks, chain_cursors
from orchestrator.journal.store import Journal
from orchestrator.models import checksum
from orchestrator.ports.chain import UNKNOWN
from orchestrator.wallet.contract import account_word, word_account
from tests.chain.model_node import SMART_WALLET

from .model_node import ModelNode, ModelRpc, account

_factories = iter(range(1, 1 << 60))


def new_factory():
    return checksum(f"{next(_factories):040x}")


def follow(node, journal, **options):
    return Follower(ModelRpc(node), node.factory, SMART_WALLET, journal.chain_index, **{"interval": 0.0, **options})


def index_of(journal, node, first=0):
    return journal.chain_index(f"eip155:31337:{node.factory}:{first}")


async def content(journal, node, first=0):
    """What the index has: account, block, its hash, the log's place."""
    logs = await index_of(journal, node, first).between(0, 1 << 60)
    return [(one.account_id, one.log.block.number, one.log.block.hash, one.log.index) for one in logs]


async def assert_whole(journal, node):
    assert await content(journal, node) == node.expected()
    position = await index_of(journal, node).position()
    assert position.head is not None
    assert (position.head.number, position.head.hash) == (node.head.number, node.head.hash)
    kept = [(one.block.number, one.block.hash, one.parent) for one in position.blocks]
    chain = {(block.number, block.hash, block.parent) for block in node.blocks}
    assert set(kept) <= chain
    assert len(kept) <= WINDOW


@pytest.fixture
async def journal(tmp_path):
    async with await Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield journal


@pytest.fixture
def node():
    return ModelNode(new_factory())


@pytest.fixture
def seen():
    return []


@pytest.fixture
def follower(node, journal, seen):
    follower = follow(node, journal)
    follower.subscribe(seen.append)
    return follower


def test_an_accounts_word_is_read_back():
    assert word_account(account_word(account(77))) == account(77)


# --- what a block costs ------------------------------------------------------------------------------------------


async def test_a_new_block_costs_two_round_trips_whatever_is_in_it(follower, node, journal):
    await follower.poll()
    for events in ([], [(1, None), (1, 1)], [(2, None), (1, 2), (2, 1), (3, -1)]):
        node.mine(*events)
        before = node.requests
        await follower.poll()
        assert node.requests - before == 2
    before = node.requests
    await follower.poll()
    assert node.requests - before == 1, "nothing is new"
    await assert_whole(journal, node)


@pytest.mark.parametrize("depth", [1, 2, 7, 33, 64])
async def test_a_reorg_is_taken_back_by_hashes_in_three_round_trips(follower, node, journal, seen, depth):
    node.finality = 100
    node.mine(count=80)
    node.mine((1, None), (1, 1))
    node.mine(count=63)
    await follower.poll()
    old = node.head
    node.drop(depth)
    node.mine((2, None), count=depth)
    seen.clear()
    before = node.requests
    await follower.poll()
    assert node.requests - before <= 3
    reorg = next(change for change in seen if isinstance(change, Reorg))
    assert [block.number for block in reorg.dropped] == list(range(old.number - depth + 1, old.number + 1))
    assert reorg.common_ancestor is not None
    assert reorg.common_ancestor.number == old.number - depth
    assert not any(isinstance(change, FinalityViolation) for change in seen)
    touched = {account(2), account(1)} if depth == 64 else {account(2)}
    assert next(change for change in seen if isinstance(change, Touched)).accounts == touched
    await assert_whole(journal, node)


async def test_a_reorg_deeper_than_what_is_kept_is_read_again(follower, node, journal, seen):
    node.finality = None
    node.mine((1, None), count=10)
    node.mine((1, 1), count=WINDOW + 40)
    await follower.poll()
    node.drop(WINDOW + 20)
    node.mine((3, None), count=WINDOW + 30)
    await follower.poll()
    assert any(isinstance(change, Reorg) and change.common_ancestor is None for change in seen)
    await assert_whole(journal, node)


async def test_a_reorg_below_what_is_kept_goes_back_to_the_finalized_block(follower, node, journal, seen):
    node.finality = WINDOW + 30
    node.mine((1, None), count=50)
    node.mine((2, None), count=WINDOW + 40)
    await follower.poll()
    finalized = node.head.number - node.finality
    node.drop(WINDOW + 10)
    node.mine((3, None), count=WINDOW + 11)
    node.calls.clear()
    await follower.poll()
    reorg = next(change for change in seen if isinstance(change, Reorg))
    assert reorg.common_ancestor is not None
    assert reorg.common_ancestor.number == finalized
    searches = [params[0]["fromBlock"] for method, params in node.calls if method == "eth_getLogs"]
    assert searches[0] == hex(finalized + 1)
    await assert_whole(journal, node)


async def test_a_catch_up_costs_ranges_and_not_blocks(follower, node, journal):
    node.range_limit = 1000
    node.mine((1, None), count=30_000)
    node.mine((1, 1), (2, None), count=40_000)
    node.mine((2, 2), count=30_000)
    await follower.poll()
    assert node.requests < 250
    await assert_whole(journal, node)
    node.mine((2, 1), count=5_000)
    before = node.requests
    await follower.poll()
    assert node.requests - before < 20
    await assert_whole(journal, node)


async def test_a_catch_up_that_is_killed_goes_on_where_it_was(node, journal):
    node.mine((1, None), count=900)
    node.mine((2, None), count=900)
    first = follow(node, journal, stretch=500)
    rpc, ranges = first._rpc, iter(range(3))

    async def dies(calls, batch=rpc.batch):
        if calls[0][0] == "eth_getLogs" and next(ranges, None) is None:
            raise ChainUnreachable("killed")
        return await batch(calls)

    rpc.batch = dies
    with pytest.raises(ChainUnreachable):
        await first.poll()
    node.calls.clear()
    await follow(node, journal, stretch=500).poll()
    searches = [params[0] for method, params in node.calls if method == "eth_getLogs"]
    assert searches[0]["fromBlock"] == hex(1500)
    await assert_whole(journal, node)


@pytest.mark.parametrize("depth", [0, 20])
async def test_a_tag_that_is_refused_once_makes_nothing_final(node, journal, seen, depth):
    follower = follow(node, journal, confirmations=12)
    follower.subscribe(seen.append)
    node.finality = 10
    node.mine(count=100)
    node.mine((1, None), count=5)
    await follower.poll()
    node.drop(depth)
    node.mine((2, None), count=depth)
    node.mine(count=30)
    node.finality = None
    await follower.poll()
    finalized = [change.finalized for change in seen if isinstance(change, NewHead)]
    assert finalized == [95, 95 - depth // 2], "the last that was called so, or what stayed of it"
    node.finality = 10
    seen.clear()
    await follower.poll()
    assert seen[-1] == Touched(frozenset({account(1 if depth == 0 else 2)}))


# --- what wakes an account ----------------------------------------------------------------------------------------


async def test_an_account_is_woken_by_its_logs_and_by_their_finality_only(node, journal, seen):
    follower = follow(node, journal, confirmations=3)
    follower.subscribe(seen.append)
    node.finality = 5
    node.mine(count=10)
    await follower.poll()
    woken = []
    for number in range(12):
        node.mine(*([(1, None), (1, 1)] if number == 2 else [(2, None)] if number == 4 else []))
        seen.clear()
        await follower.poll()
        woken.append([sorted(change.accounts) for change in seen if isinstance(change, Touched)])
    expected = {2: [[account(1)]], 4: [[account(2)]], 7: [[account(1)]], 9: [[account(2)]]}
    assert woken == [expected.get(number, []) for number in range(12)]


async def test_without_the_tag_confirmations_alone_make_final(node, journal, seen):
    follower = follow(node, journal, confirmations=3)
    follower.subscribe(seen.append)
    node.finality = None
    await follower.poll()
    node.mine((1, None))
    await follower.poll()
    seen.clear()
    node.mine()
    await follower.poll()
    assert not any(isinstance(change, Touched) for change in seen)
    node.mine()
    await follower.poll()
    assert seen[-1] == Touched(frozenset({account(1)}))


async def test_another_process_finds_it_and_this_one_is_told(follower, node, journal, seen):
    await follower.poll()
    other = follow(node, journal)
    node.mine((1, None))
    await other.poll()
    seen.clear()
    await follower.poll()
    assert seen == [NewHead(seen[0].head, 1, 0), Touched(frozenset({account(1)}))]
    await assert_whole(journal, node)


@pytest.mark.parametrize(("depth", "broken"), [(3, False), (15, True)])
async def test_a_reorg_that_another_process_has_taken_is_told_here_too(follower, node, journal, seen, depth, broken):
    node.mine(count=30)
    other, told = follow(node, journal), []
    other.subscribe(told.append)
    await other.poll()
    await follower.poll()
    node.drop(depth)
    node.mine(count=depth + 1)
    for process, changes in ((other, told), (follower, seen)):
        changes.clear()
        await process.poll()
    lost = [change for change in seen if isinstance(change, Reorg | FinalityViolation)]
    assert lost[0].by_another
    assert [replace(lost[0], by_another=False), *lost[1:]] == [
        change for change in told if isinstance(change, Reorg | FinalityViolation)
    ]
    assert len(lost) == 1 + broken


async def test_blocks_that_another_process_does_not_keep_any_more_are_no_reorg(follower, node, journal, seen):
    await follower.poll()
    other = follow(node, journal)
    for count in (10, WINDOW - 5, WINDOW + 5):
        node.mine(count=count)
        await other.poll()
        await follower.poll()
    assert not any(isinstance(change, Reorg | FinalityViolation) for change in seen)


async def test_two_processes_do_not_fight_over_it(node, journal):
    one, other = follow(node, journal), follow(node, journal)
    for number in range(6):
        node.mine((number, None), (number, 1))
        await asyncio.gather(one.poll(), other.poll(), one.poll())
    await assert_whole(journal, node)
    heads, _, logs = await other.logs(account(5), 0.0)
    assert (heads.head.number, len(logs)) == (6, 2)


@pytest.fixture
def reader(node, journal, monkeypatch):
    answer = node.answer

    def with_wallets(method, params):
        if method == "eth_getCode" and params[0] != node.factory:
            return "0x"
        return "0x0" if method == "eth_getStorageAt" else answer(method, params)

    monkeypatch.setattr(node, "answer", with_wallets)
    return ChainReader(ModelRpc(node), node.factory, SMART_WALLET, journal.chain_index)


async def test_a_block_that_comes_between_the_head_and_the_logs_is_read_with_both(reader, node, monkeypatch):
    await reader.follower.poll()
    events = [(1, None)]
    read = StoredIndex.logs

    async def queued(index, account_id):
        if events:
            node.mine(events.pop())
            await reader.follower.poll()
        return await read(index, account_id)

    monkeypatch.setattr(StoredIndex, "logs", queued)
    heads, _, logs = await reader.follower.logs(account(1), 1.0)
    assert heads.head == logs[0].log.block
    events.append((2, None))
    view = await reader._view(account(2), UNKNOWN, 1.0, search=False)
    assert view.head.number == view.deployment.block.number


async def test_a_wallet_is_not_read_at_a_head_below_its_logs(reader, node, journal):
    await reader.follower.poll()
    node.mine((1, None))
    await follow(node, journal).poll()
    node.lags, reader.follower._stale = 1, True
    with pytest.raises(ChainUnreachable) as caught:
        await reader.view(account(1))
    assert caught.value.code == "chain_moving"
    assert await content(journal, node) == [(account(1), 1, node.blocks[1].hash, 0)], "nor is the index mended to it"


# --- nodes that are behind, or lie --------------------------------------------------------------------------------


async def test_a_range_that_leaves_out_what_the_headers_filter_has_is_asked_again_by_hash(follower, node, journal):
    await follower.poll()
    node.hides = True
    node.mine((1, None))
    node.mine((1, 1), count=3)
    before = node.requests
    await follower.poll()
    assert node.requests - before == 4
    await assert_whole(journal, node)


async def test_a_node_that_wants_contracts_named_is_told_them(follower, node, journal):
    node.asks_for_names = True
    node.mine((1, None), (1, 1), count=20)
    await follower.poll()
    await assert_whole(journal, node)
    node.mine((2, None), (2, 1), (1, 2))
    before = node.requests
    await follower.poll()
    assert node.requests - before <= 4
    await assert_whole(journal, node)


async def test_logs_of_others_that_fill_a_block_keep_nobody_from_his(follower, node, journal):
    await follower.poll()
    search = node._search

    def limited(query):
        found = search(query)
        return (-32005, "query returned more than 10000 results") if len(found) > 50 else found

    node._search = limited
    node.mine((1, None), (1, 1), *[(3, -1)] * 60, count=3)
    await follower.poll()
    node.mine((1, 2), *[(3, -1)] * 60)
    await follower.poll()
    await assert_whole(journal, node)


async def test_what_no_filter_tells_of_is_found_by_reading_again(follower, node, journal, monkeypatch, seen):
    node.blooms, node.hides = False, True
    node.mine((1, None), count=3000)
    node.mine((1, 1), count=1500)
    await follower.poll()
    assert await content(journal, node) == []
    node.hides = False
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)
    follower._again_at = 0.0
    seen.clear()
    for _ in range(20):
        before = node.requests
        await follower.poll()
        assert node.requests - before == 2, "one more for all accounts together"
    await assert_whole(journal, node)
    assert {name for change in seen if isinstance(change, Touched) for name in change.accounts} == {account(1)}


async def test_a_node_that_prunes_old_logs_is_followed_all_the_same(follower, node, journal, monkeypatch):
    node.mine((1, None), count=3000)
    await follower.poll()
    search = node._search

    def pruned(query):
        old = int(query.get("fromBlock", "0xffff"), 16) < 1500
        return (4444, "pruned history unavailable") if old else search(query)

    node._search = pruned
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)
    follower._again_at = 0.0
    with capture_logs() as logs:
        for _ in range(6):
            node.mine((1, 1))
            await follower.poll()
    assert [(log["event"], log["code"]) for log in logs] == [("chain_index_unchecked", "state_pruned")]
    await assert_whole(journal, node)


async def test_a_node_that_does_not_have_the_block_yet_is_asked_again(follower, node, journal):
    await follower.poll()
    node.mine((1, None))
    answer, times = node.answer, iter(range(2))

    def behind(method, params):
        if method == "eth_getLogs" or (method == "eth_getBlockByNumber" and params[0].startswith("0x")):
            node.lags = 1 if next(times, None) is not None else 0
        return answer(method, params)

    node.answer = behind
    await follower.poll()
    node.lags = 0
    await follower.poll()
    await assert_whole(journal, node)


async def test_a_node_that_starts_from_nothing_is_behind_first_and_then_followed(follower, node, journal):
    node.mine((1, None), count=300)
    await follower.poll()
    before = await content(journal, node)
    node.lags = 300
    for _ in range(2):
        await follower.poll()
        assert await content(journal, node) == before
    await follower.poll()
    assert await content(journal, node) == []
    for node.lags in (250, 100, 0):
        await follower.poll()
    await assert_whole(journal, node)


async def test_retries_do_not_make_a_node_that_is_behind_one_that_has_gone_back(node, journal):
    node.mine((1, None), count=3)
    follower = follow(node, journal, interval=60.0)
    await follower.poll()
    node.lags = 1
    for _ in range(10):
        await follower.poll()
    node.lags = 0
    await assert_whole(journal, node)


async def test_a_node_that_is_behind_does_not_take_back_what_another_process_reads(follower, node, journal):
    node.mine((1, None), count=20)
    ahead = follow(node, journal)
    await ahead.poll()
    slow = ModelNode(node.factory)
    slow.blocks = node.blocks[:-3]
    behind = follow(slow, journal)
    for _ in range(6):
        node.mine()
        await ahead.poll()
        await behind.poll()
    await assert_whole(journal, node)


async def test_two_first_blocks_are_two_indexes_and_do_not_take_turns(node, journal, seen):
    node.mine((1, None), count=10)
    node.mine((2, None), count=10)
    late, whole = follow(node, journal, from_block=15), follow(node, journal)
    for one in (late, whole):
        one.subscribe(seen.append)
    for _ in range(5):
        node.mine()
        before = node.requests
        for one in (late, whole):
            await one.poll()
    assert node.requests - before == 4, "two each, as for any block"
    assert not any(isinstance(change, Reorg | FinalityViolation) for change in seen)
    assert [row[0] for row in await content(journal, node, 15)] == [account(2)]
    await assert_whole(journal, node)


@pytest.mark.parametrize("place", ["logIndex", "blockNumber"])
async def test_a_number_that_no_database_has_is_nonsense(follower, node, place):
    node.mine((1, None))
    node.blocks[1].logs[0][place] = hex(1 << 63)
    with pytest.raises(ChainNonsense, match=f"{place}: expected a hex number of at most 63 bits"):
        await follower.poll()


async def test_what_nobody_has_thought_of_is_an_outage_and_not_the_end(node, journal, seen, monkeypatch):
    follower = follow(node, journal)
    told = asyncio.Event()
    follower.subscribe(lambda change: (seen.append(change), told.set()))
    breaks = iter(range(3))

    async def broken(*_, advance=StoredIndex.advance):
        if next(breaks, None) is not None:
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return await advance(*_)

    monkeypatch.setattr(StoredIndex, "advance", broken)
    with capture_logs() as logs:
        async with follower:
            while not any(isinstance(change, Restored) for change in seen):
                told.clear()
                await told.wait()
    assert [type(change) for change in seen] == [Outage, Restored, NewHead]
    assert seen[0].error.code == "chain_follower_broken"
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["chain_follower_broken"]
    await assert_whole(journal, node)


# --- everything in any order --------------------------------------------------------------------------------------


class IndexMachine(RuleBasedStateMachine):
    """Two processes with one journal, one chain, and what can happen to each."""

    def __init__(self, runner: asyncio.Runner, journal: Journal) -> None:
        super().__init__()
        self.runner, self.journal = runner, journal
        self.node = ModelNode(new_factory())

    @initialize(finality=st.sampled_from([None, 0, 3, 40]), stretch=st.sampled_from([25, 50_000]), blooms=st.booleans())
    def begin(self, finality, stretch, blooms):
        self.node.finality, self.node.blooms, self.stretch = finality, blooms, stretch
        self.processes = [self._process(), self._process()]

    def _process(self):
        process = follow(self.node, self.journal, stretch=self.stretch)
        process._again_at = 0.0
        return process

    @rule(count=st.integers(1, 80), events=st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, -1, 1, 2]))))
    def mine(self, count, events):
        self.node.mine(*events, count=count)

    @rule(depth=st.integers(1, 64), more=st.integers(0, 3), number=st.integers(0, 5))
    def reorg(self, depth, more, number):
        depth = min(depth, len(self.node.blocks) - 1)
        self.node.drop(depth)
        if depth + more:
            self.node.mine((number, None), (number, 1), count=depth + more)

    @rule(which=st.integers(0, 1))
    def poll(self, which):
        self._poll(self.processes[which])

    def _poll(self, process):
        with contextlib.suppress(ChainUnreachable):  # a node that moves on during the read
            self.runner.run(process.poll())

    @rule(which=st.integers(0, 1))
    def restart(self, which):
        self.processes[which] = self._process()

    @rule(table=st.sampled_from([chain_cursors, chain_blocks]))
    def lose(self, table):
        self.runner.run(self.journal._database.write(lambda connection: connection.execute(sa.delete(table))))

    @rule(hides=st.booleans(), limit=st.sampled_from([None, 30, 1000]))
    def node_changes(self, hides, limit):
        self.node.hides, self.node.range_limit = hides, limit

    @rule(lags=st.sampled_from([0, 0, 1, 5, 1 << 20]))
    def lag(self, lags):
        self.node.lags = lags

    def teardown(self):
        self.node.hides, self.node.lags = False, 0
        self.node.mine((0, None), (0, 1))
        for _ in range(3):
            for process in self.processes:
                self._poll(process)
        self.runner.run(self._read_all_again())
        self.runner.run(assert_whole(self.journal, self.node))

    async def _read_all_again(self):
        process = self.processes[0]
        for _ in range(2 * (len(self.node.blocks) // 1000 + 2)):
            process._again_at = 0.0
            await process.poll()


def test_in_any_order_it_ends_equal_to_one_that_is_built_from_nothing(tmp_path):
    with asyncio.Runner() as runner:
        journal = runner.run(Journal.open(f"sqlite:///{tmp_path}/journal.db"))
        try:
            run_state_machine_as_test(
                lambda: IndexMachine(runner, journal),
                settings=settings(max_examples=30, stateful_step_count=20, deadline=None),
            )
        finally:
            runner.run(journal.close())
