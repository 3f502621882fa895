"""Follows the chain's head for a whole process: new blocks, reorgs, finality that was broken, and outages of the node.

A poll is ONE round trip (chain id, latest, safe, finalized) whatever the number of accounts that wait; a gap or a reorg
costs one more. Parent hashes are followed, so no replaced block goes unseen within ``window`` blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import structlog

from orchestrator.chain.node import parse
from orchestrator.chain.node.head import HEAD_CALLS, latest_header, optional_header
from orchestrator.chain.node.rpc import Rpc
from orchestrator.errors import ChainError, ChainNonsense
from orchestrator.models import BlockNumber, BlockRef

_log = structlog.get_logger(__name__)

_MAX_BEHIND = 3
"""Polls for which a head that goes back to a known block is taken for a lagging node."""


@dataclass(frozen=True, slots=True)
class NewHead:
    """The chain's head now. ``safe`` and ``finalized`` are None where the node does not know the tag."""

    head: BlockRef
    safe: BlockNumber | None
    finalized: BlockNumber | None


@dataclass(frozen=True, slots=True)
class Reorg:
    """Blocks that are not canonical any more, oldest first. Reported only; ``steps/observe.py`` withdraws facts."""

    dropped: tuple[BlockRef, ...]
    common_ancestor: BlockRef | None
    """The newest block that stayed; None if it is older than what the watcher remembers."""


@dataclass(frozen=True, slots=True)
class FinalityViolation:
    """A reorg went below a block that the node had called finalized: nothing that rests on it may be believed."""

    finalized: BlockRef
    """The highest block that was seen as finalized."""
    common_ancestor: BlockRef | None


@dataclass(frozen=True, slots=True)
class Outage:
    """The node cannot be read since then. Reported once; the watcher goes on trying."""

    error: ChainError


@dataclass(frozen=True, slots=True)
class Restored:
    """The node answers again after so many seconds."""

    seconds: float


Change = NewHead | Reorg | FinalityViolation | Outage | Restored


class ChainWatcher:
    """One for each process and chain. Runs from ``start`` to ``stop`` (or as an async context manager).

    ``interval`` is in seconds between polls, doubled up to ``outage_interval`` while the node does not answer.
    ``window`` is how many blocks back are remembered. A head that goes back to a block that is known is first
    taken for a lagging node behind a load balancer, and for a reorg after 3 polls.
    """

    def __init__(
        self,
        rpc: Rpc,
        *,
        interval: float = 1.0,
        outage_interval: float = 15.0,
        window: int = 256,
    ) -> None:
        self._rpc = rpc
        self._interval = interval
        self._outage_interval = max(interval, outage_interval)
        self._window = window
        self._known: dict[int, parse.Header] = {}
        self._finalized: BlockRef | None = None
        self._chain: int | None = None
        self._behind = 0
        self._outage_since: float | None = None
        self._callbacks: list[Callable[[Change], None]] = []
        self._task: asyncio.Task[None] | None = None
        self.head: NewHead | None = None
        """The last head that was read; None before the first."""

    # --- use ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts following in the background. Does nothing if it runs."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="chain-watcher")
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
        self._callbacks.append(callback)

    # --- following ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = self._interval
        while True:
            try:
                await self.poll()
                pause = self._interval
            except ChainError as error:
                if self._outage_since is None:
                    self._outage_since = time.monotonic()
                    _log.warning("chain_outage", code=error.code, message=error.message)
                    self._report(Outage(error))
                else:
                    pause = min(pause * 2, self._outage_interval)
            await asyncio.sleep(pause)

    async def poll(self) -> None:
        """Reads the node once and reports changes. Raises ChainError; the next poll goes on from the same place."""
        chain_id, finalized_raw, safe_raw, latest_raw = await self._rpc.batch([("eth_chainId", []), *HEAD_CALLS])
        self._check_chain(parse.quantity(self._rpc.demand(chain_id), "eth_chainId"))
        latest = latest_header(self._rpc, latest_raw)
        finalized = optional_header(finalized_raw, "the finalized block")
        safe = optional_header(safe_raw, "the safe block")
        if finalized is not None and finalized.block.number > latest.block.number:
            raise ChainNonsense(
                f"{self._rpc.endpoint}: the finalized block {finalized.block.number} "
                f"is above the latest {latest.block.number}"
            )
        changes: list[Change] = []
        if self._known and not await self._follow(latest, finalized, changes):
            return
        self._remember([latest])
        if finalized is not None and (self._finalized is None or finalized.block.number > self._finalized.number):
            self._finalized = finalized.block
        head = NewHead(
            latest.block,
            None if safe is None else safe.block.number,
            None if finalized is None else finalized.block.number,
        )
        if self._outage_since is not None:
            changes.insert(0, Restored(time.monotonic() - self._outage_since))
            self._outage_since = None
        if head != self.head:
            self.head = head
            changes.append(head)
        for change in changes:
            self._report(change)

    async def _follow(self, latest: parse.Header, finalized: parse.Header | None, changes: list[Change]) -> bool:
        """Joins the new head to the known blocks. False if the node only lags: nothing to report yet."""
        top = max(self._known)
        number = latest.block.number
        same = self._known.get(number)
        final_moved = self._finality_moved(finalized)
        if same is not None and same.block == latest.block and not final_moved:
            if number == top:
                self._behind = 0
                return True
            self._behind += 1
            if self._behind < _MAX_BEHIND:
                return False
            self._drop(number, changes)
            return True
        self._behind = 0
        if number == top + 1 and latest.parent == self._known[top].block.hash and not final_moved:
            return True
        await self._compare(latest, changes)
        return True

    def _finality_moved(self, finalized: parse.Header | None) -> bool:
        """Whether the block that was called finalized has another hash now, as far as the tag shows it."""
        return (
            finalized is not None
            and self._finalized is not None
            and finalized.block.number == self._finalized.number
            and finalized.block.hash != self._finalized.hash
        )

    async def _compare(self, latest: parse.Header, changes: list[Change]) -> None:
        """Joins a head that is not the child of the last one: a gap that fits, or else a reorg."""
        top = max(self._known)
        number = latest.block.number
        gap = range(max(top + 1, number - self._window + 1), number)
        if number > top + 1:
            now = await self._read([top, *gap], latest)
            if top in now and now[top].block == self._known[top].block:
                self._remember([now[n] for n in sorted(now)])
                return
        wanted = sorted({*(n for n in self._known if n <= number), *gap})
        if self._finalized is not None and self._finalized.number <= number:
            wanted = sorted({*wanted, self._finalized.number})
        now = await self._read(wanted, latest)
        final = self._finalized
        final_lost = final is not None and final.number in now and now[final.number].block != final
        stayed = [
            n
            for n in self._known
            if n in now
            and now[n].block == self._known[n].block
            and not (final_lost and final is not None and n >= final.number)
        ]
        ancestor = max(stayed, default=None)
        final_stayed = final is not None and final.number in now and not final_lost
        self._drop(ancestor, changes, ancestor_block=final if final_stayed else None)
        self._remember([now[n] for n in sorted(now) if ancestor is None or n > ancestor])

    async def _read(self, numbers: list[int], latest: parse.Header) -> dict[int, parse.Header]:
        """The headers at these numbers and the latest one, by number, as far as the node has them: one round trip."""
        answers = await self._rpc.batch([("eth_getBlockByNumber", [hex(n), False]) for n in numbers])
        now: dict[int, parse.Header] = {}
        for asked, answer in zip(numbers, answers, strict=True):
            header = optional_header(answer, f"block {asked}")
            if header is not None:
                if header.block.number != asked:
                    raise ChainNonsense(
                        f"{self._rpc.endpoint}: asked for block {asked}, got block {header.block.number}"
                    )
                now[asked] = header
        now[latest.block.number] = latest
        return now

    def _drop(self, ancestor: int | None, changes: list[Change], *, ancestor_block: BlockRef | None = None) -> None:
        """Forgets all known blocks above ``ancestor`` (all, if None), and reports it."""
        kept = ancestor_block if ancestor is None else self._known[ancestor].block
        dropped = [n for n in sorted(self._known) if ancestor is None or n > ancestor]
        self._behind = 0
        if not dropped:
            return
        changes.append(Reorg(tuple(self._known.pop(n).block for n in dropped), kept))
        final = self._finalized
        if final is not None and (kept is None or kept.number < final.number):
            changes.append(FinalityViolation(final, kept))
            # What the node calls finalized from here on is a new promise; the broken one has been reported.
            self._finalized = None

    def _remember(self, headers: list[parse.Header]) -> None:
        for header in headers:
            self._known[header.block.number] = header
        for number in sorted(self._known)[: -self._window]:
            del self._known[number]

    def _check_chain(self, chain: int) -> None:
        if self._chain is not None and chain != self._chain:
            raise ChainNonsense(
                f"{self._rpc.endpoint}: the node was of chain {self._chain} and is now of {chain}", code="wrong_chain"
            )
        self._chain = chain

    def _report(self, change: Change) -> None:
        for callback in list(self._callbacks):
            try:
                callback(change)
            except Exception:  # noqa: BLE001 - one subscriber's mistake must not stop the others' blocks
                _log.exception("chain_subscriber_failed", change=type(change).__name__)


def _log_end(task: asyncio.Task[None]) -> None:
    """An end that is not a cancellation is a mistake in this module: say so at once, not when somebody waits."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("chain_watcher_died", exc_info=error)
