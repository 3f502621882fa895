"""Asks nodes whether a certificate's block is in the canonical chain. The rest of a certificate is checked offline."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from orchestrator.chain import parse
from orchestrator.chain.rpc import Rpc, RpcFailure
from orchestrator.closure.verifier import CertificateReport, Check
from orchestrator.errors import ChainError, ChainNonsense
from orchestrator.models import BlockRef


async def verify_canonical(
    report: CertificateReport,
    rpc_urls: Sequence[str],
    *,
    timeout: float = 10.0,
) -> CertificateReport:
    """The report with ``canonical`` and one check for each node.

    False (and then not ``valid``) if a node of the certificate's chain has another hash at the block's number; None if
    no node could tell (no answer, another chain, not that far yet); True if at least one agrees and none disagrees.
    ``timeout`` is in seconds and for each node. Raises SettingsError for a malformed URL.
    """
    if report.block is None or report.chain_id is None:
        return report
    rpcs = [Rpc(url, timeout=timeout) for url in rpc_urls]
    try:
        checks = await asyncio.gather(*(_ask(rpc, report.chain_id, report.block) for rpc in rpcs))
    finally:
        for rpc in rpcs:
            await rpc.close()
    results = {check.result for check in checks}
    canonical = False if "fail" in results else True if "pass" in results else None
    return dataclasses.replace(
        report,
        canonical=canonical,
        valid=report.valid and canonical is not False,
        reason="not_canonical" if report.valid and canonical is False else report.reason,
        claim=None if canonical is False else report.claim,
        checks=(*report.checks, *checks),
    )


async def _ask(rpc: Rpc, chain_id: str, block: BlockRef) -> Check:
    name = "canonical"
    try:
        chain_answer, answer = await rpc.batch(
            [("eth_chainId", []), ("eth_getBlockByNumber", [hex(block.number), False])]
        )
        chain = f"eip155:{parse.quantity(rpc.demand(chain_answer), 'eth_chainId')}"
        if chain != chain_id:
            return Check(name, "skipped", f"{rpc.endpoint} is of {chain}, the certificate of {chain_id}")
        if answer is None or isinstance(answer, RpcFailure):
            return Check(name, "skipped", f"{rpc.endpoint} has no block {block.number} (yet)")
        now = parse.header(answer, f"block {block.number}").block
        if now.number != block.number:
            raise ChainNonsense(f"{rpc.endpoint}: asked for block {block.number}, got block {now.number}")
    except ChainError as error:
        return Check(name, "skipped", error.message)
    if now != block:
        return Check(name, "fail", f"{rpc.endpoint}: block {block.number} is {now.hash}, not {block.hash}")
    return Check(name, "pass", f"{rpc.endpoint}: block {block.number} is canonical")
