"""Follows a chain for a whole process, and keeps the index of its wallets: blocks, reorgs, broken finality, outages.

A poll is ONE round trip (chain id, finalized, safe, latest), a new block one more for its logs, and a gap or a reorg
another for the headers between, whatever the number of accounts that wait. What was read is committed to the index, and
the next poll, of this process or of another, goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Final, Self

import structlog

from orchestrator.chain.node import parse
from orchestrator.chain.node.changes import Change, NewHead, News
from orchestrator.chain.node.head import ATTEMPTS, HEAD_CALLS, HeadReads, Heads, Moved, latest_header, optional_header
from orchestrator.chain.node.joining import WINDOW, Joined, Lag, block_at, common_block, higher, join, lost_finality
from orchestrator.chain.node.parse import Header
from orchestrator.chain.node.rpc import Rpc
from orchestrator.chain.node.wallet_events import WalletEvents
from orchestrator.errors import ChainError, ChainNonsense, ChainUnreachable, JournalError, OrchestratorError
from orchestrator.models import AccountId, Address, BlockNumber, BlockRef, ChainId
from orchestrator.ports.index import AccountLog, Advance, ChainIndex, KeptBlock, Position
from orchestrator.wallet.reading import DEFAULT_PROFILE, Profile

_log = structlog.get_logger(__name__)

_AGAIN_SECONDS: Final = 30.0
_AGAIN_BLOCKS: Final = 1_000
"""Blocks that are read again every so many seconds (``_read_again``)."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one poll was answered."""

    latest: Header
    safe: BlockNumber | None
    finalized: BlockRef | None


class Follower:
    """One for each process and chain. Reads when it is asked to (``fresh``), and by itself from ``start`` to ``stop``.

    ``index`` opens the index of a name. ``from_block`` is the factory's block, where its events begin;
    ``confirmations`` the depth at which a block is final for those who wait. ``interval`` is in seconds between polls,
    doubled up to ``outage_interval`` while the node does not answer. A catch-up is committed after each ``stretch`` of
    blocks, so that a kill loses no more. Reads the node only.
    """

    def __init__(
        self,
        rpc: Rpc,
        factory: Address,
        profile: Profile,
        index: Callable[[str], ChainIndex],
        *,
        from_block: int = 0,
        confirmations: int = 1,
        interval: float = 1.0,
        outage_interval: float = 15.0,
        stretch: int = 20_000,
    ) -> None:
        self._rpc = rpc
        self._factory = factory
        self._open_index = index
        self._profile = profile
        self._events = WalletEvents(rpc, factory, profile)
        self._reads = HeadReads(rpc)
        self._from_block = from_block
        self._stretch = stretch
        self._confirmations = confirmations
        self.interval = interval
        self._outage_interval = max(interval, outage_interval)
        self._lock = asyncio.Lock()
        self._index: ChainIndex | None = None
        self._position = Position()
        self._stale = True
        """Whether the position is to be read from the index: at the start, and after another process was faster."""
        self._news = News()
        self._chain: ChainId | None = None
        self._heads: Heads | None = None
        self._read_at = float("-inf")
        self._trouble: OrchestratorError | None = None
        """What the last poll ended with."""
        self._lag = Lag()
        self._again_at = time.monotonic() + _AGAIN_SECONDS
        self._again_older = True
        self._again_below = 0
        self._unchecked: dict[bool, str] = {}
        """Of older and of the newest blocks: the code of the error that kept them from being read again."""
        self._task: asyncio.Task[None] | None = None

    # --- use ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts following in the background. Does nothing if it runs."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="chain-follower")
            self._task.add_done_callback(_log_end)

    async def stop(self) -> None:
        """Ends following. The Rpc stays open."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def subscribe(self, callback: Callable[[Change], None]) -> None:
        """Calls ``callback`` in the event loop with each change. It must not block or raise."""
        self._news.callbacks.append(callback)

    def name(self, key: AccountId, account_id: AccountId) -> None:
        """What the index has under ``key`` is this account's: those who are woken are told of that."""
        self._news.names[key] = account_id

    async def chain_id(self) -> ChainId:
        """The node's chain. Raises as ``fresh``."""
        await self.fresh(self.interval)
        assert self._chain is not None, "a poll has read it"
        return self._chain

    async def fresh(self, age: float) -> Heads:
        """The head that the index has come to, read no longer ago than so many seconds. Those who ask at the same time
        share one poll, and its trouble. Raises ChainError, JournalError."""
        since = time.monotonic() - age
        async with self._lock:
            if self._read_at < since:
                began, last, self._trouble = time.monotonic(), self._trouble, None
                try:
                    await self._poll()
                except OrchestratorError as error:
                    self._trouble = error
                except Exception as surprise:  # noqa: BLE001 - a mistake in this program must not end the following
                    self._trouble = self._broken(surprise, last)
                self._read_at = began
            if self._trouble is not None:
                raise copy(self._trouble)
            assert self._heads is not None, "a poll has read it"
            return self._heads

    async def poll(self) -> None:
        """Reads the node once and reports changes. Raises ChainError, JournalError; the next poll goes on from the same
        place."""
        await self.fresh(0.0)

    async def logs(self, account_id: AccountId, age: float) -> tuple[Heads, int, list[AccountLog]]:
        """The head, the index' version and the account's logs up to that head. Raises as ``fresh``."""
        for _ in range(ATTEMPTS):
            heads = await self.fresh(age)
            seen = self._position.version  # the index that this head is of: nothing has run since
            version, logs = await self._kept().logs(account_id)
            if version == seen:
                return heads, version, logs
            if version != self._position.version:
                self._stale, age = True, 0.0  # another process was here
        raise self._reads.moving()

    async def mend(self, seen: int, account_id: AccountId, logs: Sequence[AccountLog]) -> None:
        """Puts what was read of an account alone in the place of what the index has of it. Raises Moved if the index is
        not of that version any more, and JournalError."""
        async with self._lock:
            if not await self._kept().mend(seen, account_id, logs):
                raise Moved
            _log.warning("chain_index_mended", account=account_id, logs=len(logs))
            if self._position.version == seen:
                self._position = replace(self._position, version=seen + 1)

    # --- following ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = self.interval
        while True:
            try:
                await self.poll()
                pause = self.interval
            except ChainError as error:
                if not self._news.outage(error):
                    pause = min(pause * 2, self._outage_interval)
            except JournalError as error:
                _log.warning("chain_index_trouble", code=error.code, message=error.message)
                pause = self._outage_interval
            await asyncio.sleep(pause)

    def _broken(self, surprise: Exception, last: OrchestratorError | None) -> OrchestratorError:
        """The trouble that others are told where something unexpected happened. Logged once while it lasts."""
        name = type(surprise).__name__
        if last is None or last.code != "chain_follower_broken":
            _log.error("chain_follower_broken", error=name, exc_info=surprise)
        return ChainUnreachable(
            f"{self._rpc.endpoint}: its answers could not be followed: {name}", code="chain_follower_broken"
        )

    async def _poll(self) -> None:
        for _ in range(ATTEMPTS):
            with contextlib.suppress(Moved):
                answer = await self._ask()
                await self._follow(answer)
                if time.monotonic() >= self._again_at:
                    self._again_at = time.monotonic() + _AGAIN_SECONDS
                    await self._check()
                if not self._lag.polls or self._heads is None:
                    await self._tell(answer)
                return
        raise self._reads.moving()

    async def _ask(self) -> _Answer:
        """The one round trip of each poll. Raises Moved where the tags are not of one moment."""
        chain_id, *heads = await self._rpc.batch([("eth_chainId", []), *HEAD_CALLS])
        self._check_chain(ChainId(parse.quantity(self._rpc.demand(chain_id), "eth_chainId")))
        finalized, safe = (
            optional_header(heads[at], f"the {name} block") for at, name in ((0, "finalized"), (1, "safe"))
        )
        latest = latest_header(self._rpc, heads[2])
        if any(header is not None and header.block.number > latest.block.number for header in (finalized, safe)):
            raise Moved
        return _Answer(
            latest, None if safe is None else safe.block.number, None if finalized is None else finalized.block
        )

    async def _follow(self, answer: _Answer) -> None:
        """Brings the index to the answered head, in stretches. Raises Moved."""
        while True:
            if self._stale:
                await self._load()
            position = self._position
            step = await self._step(position, answer)
            if step is None:
                return
            dropped = await self._kept().advance(position.version, step)
            if dropped is None:
                self._stale = True
                continue
            self._news.touched |= dropped | {one.account_id for one in step.logs}
            self._take(position, step)
            if step.head == answer.latest.block:
                return

    async def _load(self) -> None:
        """Takes over how far the index has come, and what another process has found since this one looked."""
        before, now = self._position, await self._kept().position()
        if before.head is not None and now.head is not None and now.version != before.version:
            ancestor = common_block(before, now)
            common = -1 if ancestor is None else ancestor.number
            oldest = min((kept.block.number for kept in now.blocks), default=now.head.number)
            gone = [kept.block for kept in before.blocks if kept.block.number >= max(oldest, common + 1)]
            self._news.touched |= await self._accounts(common + 1, now.head.number)
            self._news.lost(gone, common, ancestor, before.finalized, by_another=True)
        self._position, self._stale = now, False

    async def _step(self, position: Position, answer: _Answer) -> Advance | None:
        """The next change of the index; None where there is nothing to do, or the node only lags."""
        latest = answer.latest.block
        lost = lost_finality(position, answer.finalized)
        if lost is None and position.head == latest:
            self._lag.forget()
            if position.finalized == higher(position.finalized, answer.finalized):
                return None
            joined = Joined(latest.number, ())
        elif lost is None and self._lag.explains(position, latest, self.interval):
            return None
        else:
            first, most = self._from_block, self._stretch
            joined = await join(position, answer.latest, self._reads.headers, first=first, most=most, lost=lost)
        first, headers = max(self._from_block, joined.ancestor + 1), joined.headers
        if latest.number - first >= self._stretch:
            headers = tuple((await self._reads.headers([first + self._stretch - 1])).values())
            if not headers:
                raise Moved
        logs = await self._logs(first, headers)
        head = headers[-1].block if headers else latest
        oldest = head.number - WINDOW + 1
        kept = position.finalized
        if kept is not None and kept.number > joined.ancestor:
            # What the node calls finalized after a violation is a new promise; where it does not say, what stayed is.
            kept = None if answer.finalized else block_at(position, joined.ancestor)
        return Advance(
            joined.ancestor,
            head,
            higher(kept, answer.finalized if answer.finalized and answer.finalized.number <= head.number else None),
            [KeptBlock(header.block, header.parent) for header in headers if header.block.number >= oldest],
            logs,
            oldest,
        )

    async def _logs(self, first: int, headers: Sequence[Header]) -> list[AccountLog]:
        """The wallets' logs from block ``first`` to the last of the headers."""
        if not headers or headers[-1].block.number < first:
            return []
        if headers[-1].block.number == first:
            return await self._events.of_block(headers[-1], self._kept())
        return await self._events.of_range(first, headers, self._kept())

    async def _accounts(self, first: int, last: int) -> set[AccountId]:
        return {one.account_id for one in await self._kept().between(first, last)}

    async def _check(self) -> None:
        """``_read_again``. A node that does not tell what is old (it prunes), or not now, keeps nobody waiting."""
        try:
            await self._read_again()
        except ChainError as error:
            if self._unchecked.get(self._again_older) != error.code:
                _log.warning("chain_index_unchecked", code=error.code, message=error.message)
            self._unchecked[self._again_older] = error.code
        else:
            self._unchecked.pop(self._again_older, None)

    async def _read_again(self) -> None:
        """The safety net under an index that a node has not told of a log: one range is read once more, the newest
        blocks and older ones in turn, down to the first and then from the head again. One request for all accounts
        together, however many wait: what is hidden in the newest ``_AGAIN_BLOCKS`` is found within a minute after the
        node shows it, what is older within as many minutes as the chain has such ranges. Nothing is decided by it."""
        head, first = self._position.head, self._from_block
        assert head is not None, "it has been followed"
        blocks = min(_AGAIN_BLOCKS, self._rpc.limits.span or _AGAIN_BLOCKS)
        self._again_older, last = not self._again_older, int(head.number)
        if self._again_older:
            below = self._again_below - blocks
            last = self._again_below = below if below >= first else head.number
        start = max(first, last - blocks + 1)
        logs = await self._events.between(start, last, self._kept())
        known = await self._kept().between(start, last)
        kept = {one.block.number: one.block for one in self._position.blocks}
        missing = [
            one for one in logs if one not in known and kept.get(one.log.block.number, one.log.block) == one.log.block
        ]
        if not missing:
            return
        _log.warning("chain_index_lacked_logs", logs=len(missing), first=start, last=last)
        position = self._position
        step = Advance(head.number, head, position.finalized, (), missing, head.number - WINDOW + 1)
        self._stale = await self._kept().advance(position.version, step) is None
        if not self._stale:
            self._position = replace(position, version=position.version + 1)
            self._news.touched |= {one.account_id for one in missing}

    # --- telling ------------------------------------------------------------------------------------------------

    def _take(self, position: Position, step: Advance) -> None:
        """Remembers what was committed, and notes what it dropped."""
        stayed = [kept for kept in position.blocks if step.oldest <= kept.block.number <= step.ancestor]
        gone = [kept.block for kept in position.blocks if kept.block.number > step.ancestor]
        self._position = Position(position.version + 1, step.head, step.finalized, (*stayed, *step.blocks))
        if gone:
            self._news.lost(gone, step.ancestor, block_at(position, step.ancestor), position.finalized)

    async def _tell(self, answer: _Answer) -> None:
        """Reports what the polls since the last report have found."""
        head = self._position.head
        assert head is not None, "it has been followed"
        # A node that refuses the tag for once (behind a balancer, at its start) has not made all that is deep final.
        final = self._position.finalized
        heads = Heads(head, answer.safe, None if final is None else final.number)
        settled = head.number - self._confirmations + 1
        settled = settled if heads.finalized is None else min(settled, heads.finalized)
        last = self._news.settled
        if last is not None and settled > last:
            self._news.touched |= await self._accounts(last + 1, settled)
        self._news.settled = settled if last is None else max(settled, last)
        self._heads = heads
        self._news.tell(NewHead(heads.head, heads.safe, heads.finalized))

    def _check_chain(self, chain: ChainId) -> None:
        if self._chain is None:
            self._chain = chain
            # Another profile reads other events.
            family = "" if self._profile.id == DEFAULT_PROFILE else f":{self._profile.id}"
            self._index = self._open_index(f"{chain}:{self._factory}:{self._from_block}{family}")
        elif chain != self._chain:
            raise ChainNonsense(
                f"{self._rpc.endpoint}: the node was of chain {self._chain} and is now of {chain}", code="wrong_chain"
            )

    def _kept(self) -> ChainIndex:
        assert self._index is not None, "the first answer has opened it"
        return self._index


def _log_end(task: asyncio.Task[None]) -> None:
    """An end that is not a cancellation is a mistake in this module: say so at once, not when somebody waits."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("chain_follower_died", exc_info=error)
