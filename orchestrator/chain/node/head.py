"""Reads at the chain's head, which may be replaced while they are made.

Every answer is pinned by the head's hash (EIP-1898), or by its number where a node does not take hashes; the head's
hash is asked again before and after, in the same batch, and a head that has moved means to read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.chain.node import parse
from orchestrator.chain.node.rpc import Call, Rpc, RpcFailure
from orchestrator.errors import ChainNonsense, ChainUnreachable
from orchestrator.models import Address, BlockNumber, BlockRef

ATTEMPTS: Final = 4
"""Reads before a head that keeps moving counts as trouble with the node."""
HEAD_CALLS: Final[list[Call]] = [
    ("eth_getBlockByNumber", ["finalized", False]),
    ("eth_getBlockByNumber", ["safe", False]),
    ("eth_getBlockByNumber", ["latest", False]),
]
"""The questions whose answers ``HeadReads.heads`` reads."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The head, and how much of the chain below it is settled, as far as the node knows those tags."""

    head: BlockRef
    safe: BlockNumber | None
    finalized: BlockNumber | None


class Moved(Exception):
    """The head left the canonical chain between two reads: read again."""


class HeadReads:
    """Reads of one node. ``from_block`` is where its search for logs begins. Reads only."""

    def __init__(self, rpc: Rpc, from_block: int) -> None:
        self.rpc: Final = rpc
        self._from_block = from_block
        self._by_hash = True

    def heads(self, answers: Sequence[Any]) -> Heads:
        """Finalized, safe and latest, in this order: each was asked before the next, so they may not decrease.

        Raises Moved if they do, and ChainNonsense.
        """
        finalized, safe, latest = answers
        if isinstance(latest, RpcFailure) or latest is None:
            raise ChainNonsense(f"{self.rpc.endpoint}: expected the latest block, got {latest or 'none'}")
        head = parse.header(latest, "the latest block").block
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
        at: Any = {"blockHash": block.hash, "requireCanonical": True} if self._by_hash else hex(block.number)
        again: Call = ("eth_getBlockByNumber", [hex(block.number), False])
        answers = await self.rpc.batch([again, *calls(at), again])
        for answer in (answers[0], answers[-1]):
            now = optional_header(answer, f"block {block.number}")
            if now is None or now.block != block:
                raise Moved
        if self._by_hash and any(isinstance(a, RpcFailure) and a.code == -32602 for a in answers[1:-1]):
            # "Invalid params": a node without EIP-1898. By number, with the hash compared around it, is the next best.
            self._by_hash = False
            return await self.pinned(block, calls)
        return answers[1:-1]

    def logs(self, address: Address | None, topics: Sequence[bytes | None], to_block: str) -> Call:
        """The search for logs up to a block (a tag or a hex number); of any contract where ``address`` is None."""
        query: dict[str, Any] = {
            "fromBlock": hex(self._from_block),
            "toBlock": to_block,
            "topics": [None if topic is None else "0x" + topic.hex() for topic in topics],
        }
        return ("eth_getLogs", [query if address is None else {**query, "address": address}])

    def moving(self) -> ChainUnreachable:
        """The error of a read that met a moved head ``ATTEMPTS`` times."""
        return ChainUnreachable(
            f"{self.rpc.endpoint}: the chain's head was replaced during each of {ATTEMPTS} reads", code="chain_moving"
        )


def optional_header(answer: Any, what: str) -> parse.Header | None:
    """None where the node refuses (it does not know the tag) or has no such block. Raises ChainNonsense."""
    return None if answer is None or isinstance(answer, RpcFailure) else parse.header(answer, what)
