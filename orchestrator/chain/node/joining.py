"""Where a new head joins the blocks that are known: by hashes and parent hashes. And whether the node
only lags."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.chain.node.head import Moved
from orchestrator.chain.node.parse import Header
from orchestrator.models import BlockRef
from orchestrator.ports.index import Position

WINDOW: Final = 256
"""Blocks up to the head whose hashes are kept. A reorg that goes deeper is followed by reading all again, from the
highest finalized block if that is still there."""
_NEAR: Final = 64
"""Blocks below a replaced head that are compared first: one round trip, and deeper than reorgs go."""
_MAX_BEHIND: Final = 3
"""Intervals for which a head that goes back to a known block is taken for a lagging node."""

ReadHeaders = Callable[[Sequence[int]], Awaitable[dict[int, Header]]]
"""The headers at these numbers, as far as the node has them."""


@dataclass(frozen=True, slots=True)
class Joined:
    """``ancestor``: the number of the newest known block that stayed, -1 for none. ``headers``: ascending, each the
    parent of the next, up to the new head; below them and above the ancestor may be a gap."""

    ancestor: int
    headers: tuple[Header, ...]


async def join(
    position: Position, latest: Header, read: ReadHeaders, *, first: int, most: int, lost: int | None = None
) -> Joined:
    """Compares hashes from the newest block down, in one round trip as a rule. ``first``: no block below it is read;
    nor are the headers of a gap of ``most`` blocks. ``lost``: this block and those above it are known to be replaced.
    Raises Moved where the answers are not of one chain."""
    number = latest.block.number
    known: dict[int, str] = {kept.block.number: kept.block.hash for kept in position.blocks}
    for block in (position.head, position.finalized):
        if block is not None:
            known[block.number] = block.hash
    known = {at: digest for at, digest in known.items() if at <= number and (lost is None or at < lost)}
    if known.get(number) == latest.block.hash:
        return Joined(number, ())
    if known.get(number - 1) == latest.parent:
        return Joined(number - 1, (latest,))
    now: dict[int, Header] = {number: latest}
    for numbers in _questions(sorted(known), number, first, most):
        now |= await read(numbers) if numbers else {}
        stayed = [at for at, digest in known.items() if at in now and now[at].block.hash == digest]
        if stayed:
            return Joined(max(stayed), _chain(now, max(stayed), known[max(stayed)]))
    return Joined(-1, _chain(now, -1, None))


def _questions(known: Sequence[int], number: int, first: int, most: int) -> list[list[int]]:
    """Which headers to ask for, until one of them is known."""
    below = [at for at in known if at < number]
    top = below[-1] if below else first - 1
    new = list(range(max(first, top + 1, number - WINDOW + 1), number)) if number - top <= most else []
    near = [at for at in below if at >= top - _NEAR]
    far = [at for at in below if at < top - _NEAR]
    # Behind a gap, that the last known block is still there is more likely than a reorg.
    return [[*below[-1:], *new], near, far] if number > top + 1 else [near, far]


def _chain(now: dict[int, Header], ancestor: int, digest: str | None) -> tuple[Header, ...]:
    """The headers above the ancestor, as far down from the head as none is missing. Raises Moved where one is not the
    parent of the next."""
    headers: list[Header] = []
    at = max(now)
    while at > ancestor and at in now:
        if headers and headers[0].parent != now[at].block.hash:
            raise Moved
        headers.insert(0, now[at])
        at -= 1
    if at == ancestor and digest is not None and headers and headers[0].parent != digest:
        raise Moved
    return tuple(headers)


@dataclass(slots=True)
class Lag:
    """In how many polls the node was behind an index of this version; those of one interval, retries, are one."""

    version: int = 0
    polls: int = 0
    at: float = float("-inf")

    def explains(self, position: Position, latest: BlockRef, interval: float) -> bool:
        """Whether the head has gone back to a block that is known, or is older than all that are: a node behind a
        balancer, or one that starts, for some intervals (seconds). Another process that goes on meanwhile has a node
        that does."""
        number = latest.number
        known = {kept.block.number: kept.block for kept in position.blocks}
        back = position.head is not None and number < position.head.number
        if not back or (known.get(number) != latest and number >= min(known, default=0)):
            self.forget()
            return False
        if self.version != position.version:
            self.forget()
            self.version = position.version
        now = time.monotonic()
        if now - self.at >= interval:
            self.polls, self.at = self.polls + 1, now
        if self.polls < _MAX_BEHIND:
            return True
        self.forget()
        return False

    def forget(self) -> None:
        self.version, self.polls, self.at = 0, 0, float("-inf")


def higher(one: BlockRef | None, other: BlockRef | None) -> BlockRef | None:
    if one is None or other is None:
        return one or other
    return other if other.number > one.number else one


def lost_finality(position: Position, finalized: BlockRef | None) -> int | None:
    """The number of the block that the node calls finalized, where another one is known at that number."""
    if finalized is None:
        return None
    known = [position.finalized, *(kept.block for kept in position.blocks)]
    lost = any(block is not None and block.number == finalized.number and block != finalized for block in known)
    return finalized.number if lost else None


def common_block(before: Position, now: Position) -> BlockRef | None:
    """The newest block that is known to be of both."""
    stayed = [kept.block for kept in {*before.blocks} & {*now.blocks}]
    if before.finalized is not None and before.finalized == now.finalized:
        stayed.append(before.finalized)
    return max(stayed, key=lambda block: block.number, default=None)


def block_at(position: Position, number: int) -> BlockRef | None:
    known = [position.finalized, *(kept.block for kept in position.blocks)]
    return next((block for block in known if block is not None and block.number == number), None)
