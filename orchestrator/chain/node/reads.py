"""A profile's reads (``orchestrator.wallet.findings.Read``) as calls to a node, and its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.chain.node import parse
from orchestrator.chain.node.head import HeadReads
from orchestrator.chain.node.refusals import Kind
from orchestrator.chain.node.rpc import Call, Rpc, RpcFailure
from orchestrator.models import BlockRef
from orchestrator.wallet.findings import Read


def call_of(read: Read, at: Any) -> Call:
    """The read as a call at a block."""
    data = "0x" + read.data.hex()
    match read.kind:
        case "code":
            return ("eth_getCode", [read.address, at])
        case "slot":
            return ("eth_getStorageAt", [read.address, data, at])
        case "call":
            return ("eth_call", [{"to": read.address, "data": data}, at])


def answer_of(rpc: Rpc, read: Read, answer: Any) -> bytes | None:
    """Bytes; None for a call that the contract refused. Raises what the node's refusal means."""
    if read.kind == "slot":
        return parse.quantity_or_word(rpc.demand(answer), "eth_getStorageAt").to_bytes(32, "big")
    if read.kind == "call" and isinstance(answer, RpcFailure) and answer.kind is Kind.REVERTED:
        return None
    return parse.data(rpc.demand(answer), "eth_getCode" if read.kind == "code" else "eth_call")


async def read_at(reads: HeadReads, head: BlockRef, wanted: Sequence[Read]) -> dict[Read, bytes | None]:
    """The answers at ``head``, in one round trip. Raises as ``HeadReads.pinned``."""
    answers = await reads.pinned(head, lambda at: [call_of(read, at) for read in wanted])
    return {read: answer_of(reads.rpc, read, answer) for read, answer in zip(wanted, answers, strict=True)}
