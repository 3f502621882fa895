"""Where a new head joins the blocks that are known: by hashes and parent hashes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.chain.node.head import Moved
from orchestrator.chain.node.parse import Header
from orchestrator.ports.index import Position

WINDOW: Final = 256
"""Blocks up to the head whose hashes are kept. A reorg that goes deeper is followed by reading all again, from the
highest finalized block if that is still there."""
_NEAR: Final = 64
"""Blocks below a replaced head that are compared first: one round trip, and deeper than reorgs go."""

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
