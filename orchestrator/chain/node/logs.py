"""``eth_getLogs`` over any range of blocks, in pieces that the node takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.chain.node import parse
from orchestrator.chain.node.rpc import Call, Rpc, RpcFailure
from orchestrator.errors import ChainNonsense
from orchestrator.models import Address
from orchestrator.ports.index import Log

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
    """Searches of one Rpc."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._span = 1 << 30

    async def logs(
        self, address: Address | Sequence[Address] | None, topics: Topics, first_block: int, last_block: int
    ) -> list[Log]:
        """All logs from ``first_block`` to ``last_block``, both included, in the chain's order."""
        found: list[Log] = []
        while first_block <= last_block:
            upto = min(last_block, first_block + self._span - 1)
            answer = await self._rpc.call_or_failure(*log_call(address, topics, first_block, upto))
            if isinstance(answer, RpcFailure) and upto > first_block:
                self._span = (upto - first_block + 1) // 2
                continue
            logs = await parse.many_logs(self._rpc.demand(answer), "eth_getLogs")
            for log in (logs[0], logs[-1]) if logs else ():
                if not first_block <= log.block.number <= upto:
                    raise ChainNonsense(
                        f"{self._rpc.endpoint}: asked for logs of blocks {first_block} to {upto}, got one of "
                        f"{log.block.number}"
                    )
            found += logs
            first_block = upto + 1
        return found


def _topic(topic: bytes | Sequence[bytes] | None) -> Any:
    if topic is None:
        return None
    return "0x" + topic.hex() if isinstance(topic, bytes) else ["0x" + one.hex() for one in topic]
