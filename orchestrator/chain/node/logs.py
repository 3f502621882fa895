"""``eth_getLogs`` over any range of blocks, in pieces that the node takes.

Every provider limits the range, the number of results or the time of a search, and says so in its own way
(``refusals``). A piece that is refused is halved, or cut to what the node's sentence names; what an endpoint takes is
remembered with it, and grows back where the limit was one of results.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from orchestrator.chain.node import parse
from orchestrator.chain.node.endpoint import LEARNT_FOR, Call
from orchestrator.chain.node.refusals import Kind, named_limit, suggested_span
from orchestrator.chain.node.rpc import Rpc, RpcFailure
from orchestrator.chain.node.transport import NoConnection
from orchestrator.errors import ChainNonsense, ChainUnreachable
from orchestrator.models import Address
from orchestrator.ports.index import Log

CONCURRENT: Final = 4
"""Pieces that are asked for at the same time."""
MOST_REQUESTS: Final = 5_000
"""Pieces of one search: a chain of 20 million blocks in ranges of 4,000."""
_LEAST_NAMED: Final = 5
"""Blocks: the least that a provider is known to name. A smaller number in a sentence is something else."""
_MOST_SLOW: Final = 4
"""Pieces without an answer in time before it is the node that does not answer."""
_PERHAPS_SLOW: Final = frozenset({"chain_unreachable", "answer_unreadable"})
"""Codes of what gateways make of a search that is too long: no answer in time, a page with 502 or 504, a closed
connection, half an answer."""
_CALM: Final = 4
"""Full pieces that were answered before a longer one is tried."""

Topics = Sequence[bytes | Sequence[bytes] | None]


def log_call(address: Address | Sequence[Address] | None, topics: Topics, first: int | str, last: int | str) -> Call:
    """The search from one block to another, both included (numbers or tags); any contract where ``address`` is None."""
    query: dict[str, Any] = {
        "fromBlock": first if isinstance(first, str) else hex(first),
        "toBlock": last if isinstance(last, str) else hex(last),
        "topics": [_topic(topic) for topic in topics],
    }
    if address is not None:
        query["address"] = address if isinstance(address, str) else list(address)
    return ("eth_getLogs", [query])


class LogSearch:
    """Searches of one Rpc. ``most_requests`` and ``most_logs`` bound what one search may cost."""

    def __init__(self, rpc: Rpc, *, most_requests: int = MOST_REQUESTS, most_logs: int = parse.MAX_LOGS) -> None:
        self._rpc = rpc
        self._most_requests = most_requests
        self._most_logs = most_logs
        self._slow = 0

    async def logs(
        self, address: Address | Sequence[Address] | None, topics: Topics, first_block: int, last_block: int
    ) -> list[Log]:
        """All logs from ``first_block`` to ``last_block``, both included, in the chain's order.

        The pieces are read at different times: whether one chain holds them all is the caller's to compare, by the
        hash of ``last_block``'s header and those in the logs. Raises ChainNonsense ``logs_limited`` where even one
        block is refused, or the search would take more than ``most_requests`` or has more than ``most_logs``;
        ChainUnreachable for what may pass, ChainNonsense for answers that make no sense.
        """
        self._slow = 0
        found: list[Any] = []
        todo = [(first_block, last_block)] if first_block <= last_block else []
        running: dict[asyncio.Task[Any], tuple[int, int]] = {}
        asked = 0
        try:
            while todo or running:
                while todo and len(running) < CONCURRENT:
                    piece = self._cut(todo)
                    asked += 1
                    self._bound(asked, len(found), piece, last_block)
                    call = log_call(address, topics, *piece)
                    running[asyncio.create_task(self._ask(call))] = piece
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    piece = running.pop(task)
                    answer = task.result()
                    if isinstance(answer, RpcFailure):
                        todo.append(self._shorten(piece, answer))
                        continue
                    self._grow(piece)
                    if not isinstance(answer, list):
                        raise ChainNonsense(f"eth_getLogs: expected a list of logs, got {parse.show(answer)}")
                    found += answer
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return await self._parse(found, first_block, last_block)

    def fits(self, first_block: int, last_block: int) -> bool:
        """Whether a search may be answered in one piece, as far as is known. Nothing is asked of an empty range."""
        span = self._rpc.limits.span
        return first_block <= last_block and (span is None or last_block - first_block < span)

    def shorten(self, first_block: int, last_block: int, failure: RpcFailure) -> None:
        """Learns from a search that was refused elsewhere. Raises as ``logs`` where it cannot be shortened."""
        self._shorten((first_block, last_block), failure)

    # --- below: pieces -------------------------------------------------------------------------------------------

    def _cut(self, todo: list[tuple[int, int]]) -> tuple[int, int]:
        """The next piece, of no more blocks than the endpoint takes; the rest stays to be done."""
        first, last = todo.pop()
        span = self._rpc.limits.span
        if span is not None and last - first >= span:
            todo.append((first + span, last))
            last = first + span - 1
        return first, last

    async def _ask(self, call: Call) -> Any:
        (query,) = call[1]
        try:
            answer = await self._rpc.call_or_failure(*call)
            unwell = isinstance(answer, RpcFailure) and answer.kind is Kind.UNWELL
            return self._rpc.demand(answer) if unwell else answer
        except ChainUnreachable as error:
            if error.code not in _PERHAPS_SLOW or isinstance(error, NoConnection):
                raise
            self._slow += 1
            if self._slow > _MOST_SLOW or query["fromBlock"] == query["toBlock"]:
                raise
            return RpcFailure(call[0], 0, "query took too long")  # a shorter one may not

    def _shorten(self, piece: tuple[int, int], failure: RpcFailure) -> tuple[int, int]:
        """The piece again, with ``limits`` such that it is cut. Raises where it cannot be."""
        blocks = piece[1] - piece[0] + 1
        kind = failure.kind
        if blocks == 1 or kind not in (Kind.RANGE, Kind.RESULTS, Kind.OTHER, Kind.PARAMS):
            self._rpc.demand(failure)
        limits = self._rpc.limits
        if kind is Kind.RANGE:
            named = named_limit(failure.message, blocks, besides=piece)
            span = named if named is not None and named >= _LEAST_NAMED else blocks // 2
            limits.most_span = min(span, limits.most_span or span)
        else:
            span = suggested_span(failure.message, blocks) or blocks // 2
        if limits.span is None:
            limits.span_until = time.monotonic() + LEARNT_FOR
        limits.span = min(span, limits.span or span)
        limits.calm = 0
        limits.notes["logs"] = f"takes at most {limits.most_span or limits.span} blocks in one search for logs"
        return piece

    def _grow(self, piece: tuple[int, int]) -> None:
        """After some full pieces were answered the next may be twice as long, up to a limit on ranges."""
        limits = self._rpc.limits
        if limits.span is None or piece[1] - piece[0] + 1 < limits.span:
            return
        limits.calm += 1
        if limits.calm >= _CALM:
            limits.calm = 0
            limits.span = min(2 * limits.span, limits.most_span or 2 * limits.span)

    def _bound(self, asked: int, logs: int, piece: tuple[int, int], last: int) -> None:
        span = self._rpc.limits.most_span
        left = 1 if span is None else (last - piece[0]) // span
        if asked + left > self._most_requests:
            raise ChainNonsense(
                f"{self._rpc.endpoint}: the logs of blocks {piece[0]} to {last} would take some {left} more requests "
                f"of at most {self._rpc.limits.span} blocks; {self._most_requests} are made",
                code="logs_limited",
            )
        if logs > self._most_logs:
            raise ChainNonsense(f"{self._rpc.endpoint}: more than {self._most_logs} logs", code="logs_limited")

    async def _parse(self, found: list[Any], first: int, last: int) -> list[Log]:
        logs = await parse.many_logs(found, "eth_getLogs")
        for log in (logs[0], logs[-1]) if logs else ():
            if not first <= log.block.number <= last:
                raise ChainNonsense(
                    f"{self._rpc.endpoint}: asked for logs of blocks {first} to {last}, got one of {log.block.number}"
                )
        return logs


def _topic(topic: bytes | Sequence[bytes] | None) -> Any:
    if topic is None:
        return None
    return "0x" + topic.hex() if isinstance(topic, bytes) else ["0x" + one.hex() for one in topic]
