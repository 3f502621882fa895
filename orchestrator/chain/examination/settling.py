"""The end of an examination: the block is read again, after everything else, to see how settled it is.

With it comes what closing left behind beside the account (residue), as far as the node knows.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from orchestrator.chain.examination.pinned import PinnedBlock
from orchestrator.chain.examination.record import Record
from orchestrator.chain.examination.residue import approval_topics, approvals, deposit_calls, deposits
from orchestrator.chain.node import parse
from orchestrator.chain.node.logs import LogSearch, log_call
from orchestrator.chain.node.rpc import Call, Rpc, RpcFailure
from orchestrator.closure.verdict import Standing
from orchestrator.errors import ChainError, ChainNonsense, ChainUnreachable
from orchestrator.models import Address, BlockRef
from orchestrator.ports.index import Log

_MOST_REQUESTS = 200
"""For what is told beside a verdict, and never part of it."""


async def settle(pinned: PinnedBlock, address: Address, record: Record, *, inert: bool) -> None:
    """Records the block's standing, and residue: one round trip, two at once where the analysis found ``inert`` or the
    node does not answer all of it together.

    Raises ChainUnreachable, ChainNonsense; the search for approvals alone fails without harm.
    """
    block = pinned.block
    finals: list[Call] = [
        ("eth_getBlockByNumber", ["finalized", False]),
        ("eth_getBlockByNumber", [hex(block.number), False]),
    ]
    held = deposit_calls(address, pinned.at)
    given: list[Log] | ChainError | None = None
    answers: list[Any] = []
    if not inert:
        with suppress(ChainUnreachable):
            given_logs, *answers = await pinned.rpc.batch(
                [log_call(None, approval_topics(address), 0, block.number), *held, *finals]
            )
            given = await _read(pinned.rpc, given_logs)
    if given is None:
        # A search of the whole chain may take a node too long: it must not keep the block from being read.
        searching = asyncio.create_task(_search(pinned.rpc, address, block))
        try:
            answers = await pinned.rpc.batch([*held, *finals])
            given = await searching
        finally:
            searching.cancel()
            await asyncio.gather(searching, return_exceptions=True)
    finalized, now = answers[-2:]
    for answer in (finalized, now):
        if isinstance(answer, RpcFailure) and answer.busy:
            pinned.rpc.demand(answer)
    record.residue = [*deposits(answers[:-2]), *approvals(given, address)]
    _set_standing(block, finalized, now, record)


async def _search(rpc: Rpc, address: Address, block: BlockRef) -> list[Log] | ChainError:
    try:
        search = LogSearch(rpc, most_requests=_MOST_REQUESTS)
        return await search.logs(None, approval_topics(address), 0, block.number)
    except ChainError as error:
        return error


async def _read(rpc: Rpc, answer: Any) -> list[Log] | ChainError:
    try:
        return await parse.many_logs(rpc.demand(answer), "Approval logs")
    except ChainError as error:
        return error


def _set_standing(block: BlockRef, finalized: Any, now: Any, record: Record) -> None:
    """From the node's blocks: ``finalized``, and the one that has the block's number now."""
    number = block.number
    if now is None or isinstance(now, RpcFailure):
        record.standing_detail = f"the node has no block {number} any more"
        record.standing = Standing.NOT_CANONICAL
        return
    current = parse.header(now, f"block {number}").block
    if current != block:
        record.standing = Standing.NOT_CANONICAL
        record.standing_detail = f"block {number} of the chain is {current.hash}, not {block.hash}"
        return
    record.standing = Standing.NOT_FINAL  # also if what the node calls finalized makes no sense
    if finalized is None or isinstance(finalized, RpcFailure):
        record.standing_detail = "the node knows no finalized block"
        return
    settled = parse.header(finalized, "the finalized block").block
    if settled.number < number:
        record.standing_detail = f"block {number} is above the node's finalized block {settled.number}"
        return
    if settled.number == number and settled != block:
        raise ChainNonsense(f"the finalized block {number} is {settled.hash}, the canonical one {block.hash}")
    record.standing = Standing.FINAL
    record.standing_detail = f"canonical, and at or below the node's finalized block {settled.number}"
