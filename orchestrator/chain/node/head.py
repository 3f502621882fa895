"""Reads at the chain's head, which may be replaced while they are made.

Every answer is pinned by the head's hash (EIP-1898), or by its number where a node does not take hashes; the head's
hash is asked again before and after, in the same batch, and a head that has moved means to read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.chain.node import parse
from orchestrator.chain.node.failure import as_error
from orchestrator.chain.node.logs import LogSearch, Topics, log_call
from orchestrator.chain.node.refusals import Kind
from orchestrator.chain.node.rpc import Call, Rpc, RpcFailure
from orchestrator.errors import ChainNonsense, ChainUnreachable
from orchestrator.models import Address, BlockNumber, BlockRef
from orchestrator.ports.index import Log

ATTEMPTS: Final = 4
"""Reads before a head that keeps moving counts as trouble with the node."""
HEAD_CALLS: Final[list[Call]] = [
    ("eth_getBlockByNumber", ["finalized", False]),
    ("eth_getBlockByNumber", ["safe", False]),
    ("eth_getBlockByNumber", ["latest", False]),
]
"""The questions whose answers ``HeadReads.heads`` reads."""
_UNCLEAR: Final = frozenset({Kind.PARAMS, Kind.OTHER, Kind.BEHIND})
_NOBODY: Final = "0x" + "0" * 40
_PROBED_FOR: Final = 600.0
"""Seconds until a node that did not take hashes is asked by hash again: another one may stand there by then."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The head, and how much of the chain below it is settled, as far as the node knows those tags."""

    head: BlockRef
    safe: BlockNumber | None
    finalized: BlockNumber | None


class Moved(Exception):
    """The head left the canonical chain between two reads: read again."""


@dataclass(frozen=True, slots=True)
class Query:
    """A search for logs: of one contract (None: of any) and, from the first on, with these topics."""

    address: Address | None
    topics: Topics
    first_block: int


class HeadReads:
    """Reads of one node. Reads only."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc: Final = rpc

    def heads(self, answers: Sequence[Any]) -> Heads:
        """Finalized, safe and latest, in this order: each was asked before the next, so they may not decrease.

        Raises Moved if they do, and ChainNonsense.
        """
        finalized, safe, latest = answers
        head = latest_header(self.rpc, latest).block
        numbers: list[BlockNumber | None] = []
        for name, answer in (("finalized", finalized), ("safe", safe)):
            header = optional_header(answer, f"the {name} block")
            if header is not None and header.block.number > head.number:
                raise Moved
            numbers.append(None if header is None else header.block.number)
        return Heads(head, numbers[1], numbers[0])

    async def pinned(self, block: BlockRef, calls: Callable[[Any], list[Call]]) -> list[Any]:
        """The answers to ``calls(at)`` at one block, with that block's hash asked before and after them.

        Raises Moved if the block is no longer canonical, ChainUnreachable, ChainNonsense.
        """
        number = hex(block.number)
        if time.monotonic() < self.rpc.limits.by_number_until:
            return await self._around(block, calls(number))
        answers = await self._around(block, calls({"blockHash": block.hash, "requireCanonical": True}))
        if not any(_unclear(answer) for answer in answers):
            return answers
        # Perhaps a node without EIP-1898: by number, with the hash compared around it, is the next best.
        by_number = await self._around(block, calls(number))
        if any(_unclear(one) and not _unclear(two) for one, two in zip(answers, by_number, strict=True)):
            await self._probe(block)
        return by_number

    async def _around(self, block: BlockRef, calls: list[Call]) -> list[Any]:
        """The answers, with the block's hash compared before and after them."""
        again: Call = ("eth_getBlockByNumber", [hex(block.number), False])
        first, *answers, last = await self.rpc.batch([again, *calls, again])
        for answer in (first, last):
            now = optional_header(answer, f"block {block.number}")
            if now is None or now.block != block:
                raise Moved
        return answers

    async def _probe(self, block: BlockRef) -> None:
        """Asks a plain question by hash: only if that is refused, too, the next ones are asked by number at once."""
        answer = await self.rpc.call_or_failure("eth_getBalance", [_NOBODY, {"blockHash": block.hash}])
        limits = self.rpc.limits
        if _unclear(answer):
            limits.by_number_until = time.monotonic() + _PROBED_FOR
            limits.notes["by_hash"] = "does not take a block's hash (EIP-1898); asked by number"

    async def pinned_logs(
        self, block: BlockRef, queries: Sequence[Query], calls: Callable[[Any], list[Call]]
    ) -> tuple[list[list[Log]], list[Any]]:
        """The logs up to ``block`` of each query, and ``pinned`` answers: one round trip where the node lists them all
        at once, else the logs before it, in pieces.

        Raises as ``pinned``, and ChainNonsense ``logs_limited``.
        """
        search = LogSearch(self.rpc)
        if all(search.fits(query.first_block, block.number) for query in queries):
            logs = [log_call(query.address, query.topics, query.first_block, block.number) for query in queries]
            answers: list[Any] = []
            with suppress(ChainUnreachable):  # pieces may be answered where the whole range is not, in time or at all
                answers = await self.pinned(block, lambda at: [*logs, *calls(at)])
            given, rest = answers[: len(logs)], answers[len(logs) :]
            if given and not any(isinstance(answer, RpcFailure) for answer in given):
                return [await parse.many_logs(answer, "eth_getLogs") for answer in given], rest
            for query, answer in zip(queries, given, strict=False):
                if isinstance(answer, RpcFailure):
                    search.shorten(query.first_block, block.number, answer)
        found = [await search.logs(one.address, one.topics, one.first_block, block.number) for one in queries]
        return found, await self.pinned(block, calls)

    async def headers(self, numbers: Sequence[int]) -> dict[int, parse.Header]:
        """The headers at these numbers, as far as the node has them: one round trip for each hundred."""
        answers = await self.rpc.batch([("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
        found: dict[int, parse.Header] = {}
        for asked, answer in zip(numbers, answers, strict=True):
            header = optional_header(answer, f"block {asked}")
            if header is not None:
                if header.block.number != asked:
                    raise ChainNonsense(
                        f"{self.rpc.endpoint}: asked for block {asked}, got block {header.block.number}"
                    )
                found[asked] = header
        return found

    def moving(self) -> ChainUnreachable:
        """The error of a read that met a moved head ``ATTEMPTS`` times."""
        return ChainUnreachable(
            f"{self.rpc.endpoint}: the chain's head was replaced during each of {ATTEMPTS} reads", code="chain_moving"
        )


def latest_header(rpc: Rpc, answer: Any) -> parse.Header:
    """The latest block, which every node has once it is ready. Raises ChainUnreachable, ChainNonsense."""
    if rpc.demand(answer) is None:
        raise ChainUnreachable(f"{rpc.endpoint}: the node has no latest block (yet)", code="chain_behind")
    return parse.header(answer, "the latest block")


def _unclear(answer: Any) -> bool:
    """Whether a call was refused in a way that may be about its block parameter."""
    return isinstance(answer, RpcFailure) and answer.kind in _UNCLEAR and answer.method != "eth_getLogs"


def optional_header(answer: Any, what: str) -> parse.Header | None:
    """None where the node refuses (it does not know the tag) or has no such block. Raises ChainNonsense, and
    ChainUnreachable where the refusal says nothing about the block."""
    if isinstance(answer, RpcFailure) and answer.busy:
        raise as_error(answer, what)
    return None if answer is None or isinstance(answer, RpcFailure) else parse.header(answer, what)
