"""Every endpoint of an Rpc looked at for itself: whether it answers, how fast, which blocks it has, what it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.chain.node import parse
from orchestrator.chain.node.endpoint import Endpoint
from orchestrator.chain.node.rpc import Rpc
from orchestrator.errors import ChainError, ChainNonsense

_TAGS = ("finalized", "latest")


@dataclass(frozen=True, slots=True)
class NodeState:
    """What one endpoint showed. ``milliseconds`` are of a round trip on an open connection."""

    endpoint: Endpoint
    head: int | None = None
    finalized: int | None = None
    milliseconds: float | None = None
    error: ChainError | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return self.error.message
        return f"{self.endpoint.name} answers in {self.milliseconds or 0:.1f} ms; block {self.head}"


async def survey(rpc: Rpc) -> list[NodeState]:
    """The state of each endpoint, all asked at once: two round trips, of which the second is timed. Raises nothing."""
    return await asyncio.gather(*(_state(one) for one in rpc.endpoints))


async def disagreements(states: Sequence[NodeState]) -> list[str]:
    """Sentences about blocks at the same height that two of them have with different hashes, never a vote on them.

    Compared are the highest block that all have, and the highest that all call final; the first may differ for a
    moment. One round trip to each. Raises ChainError.
    """
    well = [state for state in states if state.error is None]
    heights = {
        "": min((one.head for one in well if one.head is not None), default=None),
        "final ": min((one.finalized for one in well if one.finalized is not None), default=None),
    }
    found = []
    for name, height in heights.items():
        if height is None or len(well) < 2:
            continue
        call = ("eth_getBlockByNumber", [hex(height), False])
        answers = await asyncio.gather(*(one.endpoint.batch([call]) for one in well))
        hashes = [
            (state.endpoint.name, parse.header(answer, f"{state.endpoint.name}: block {height}").block.hash)
            for state, (answer,) in zip(well, answers, strict=True)
            if isinstance(answer, dict)
        ]
        if len({digest for _, digest in hashes}) > 1:
            listed = ", ".join(f"{digest} at {node}" for node, digest in hashes)
            found.append(f"the {name}block {height} is {listed}")
    return found


async def look(rpc: Rpc) -> list[str]:
    """Sentences about each endpoint, what it cost to ask it, and where two differ. Closes ``rpc``. Raises nothing for
    what nodes say."""
    async with rpc:
        states = await survey(rpc)
        try:
            different = await disagreements(states)
        except ChainError as error:
            different = [error.message]
        return [*map(str, states), *(traffic(one) for one in rpc.endpoints), *different]


def traffic(endpoint: Endpoint) -> str:
    """What went to an endpoint so far, and what was learnt of it, in a sentence."""
    sent = endpoint.transport.traffic
    mean = sent.seconds / sent.requests * 1000 if sent.requests else 0.0
    notes = "".join(f"; {note}" for note in endpoint.limits.notes.values())
    return (
        f"{endpoint.name}: {sent.requests} requests with {sent.calls} calls, {sent.sent} bytes sent, "
        f"{sent.received} received, {mean:.1f} ms on average{notes}"
    )


async def _state(endpoint: Endpoint) -> NodeState:
    calls = [("eth_getBlockByNumber", [tag, False]) for tag in _TAGS]
    try:
        await endpoint.batch(calls[:1])
        finalized, latest = await endpoint.batch(calls)
        if not isinstance(latest, dict):
            raise ChainNonsense(f"{endpoint.name}: expected the latest block, got {parse.show(latest)}")
        head = parse.header(latest, f"{endpoint.name}: the latest block").block.number
        return NodeState(endpoint, head, _number(finalized), (endpoint.transport.traffic.last or 0) * 1000)
    except ChainError as error:
        return NodeState(endpoint, error=error)


def _number(answer: Any) -> int | None:
    return parse.header(answer, "the finalized block").block.number if isinstance(answer, dict) else None
