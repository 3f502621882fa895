"""Asks nodes about what a certificate's bytes cannot show: whether its block is canonical, and whether the closing
transaction did happen. The rest of a certificate is checked offline."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eth_hash.auto import keccak

from orchestrator.chain.node import parse
from orchestrator.chain.node.rpc import Call, Rpc, RpcFailure
from orchestrator.closure.certificate.report import CertificateReport
from orchestrator.closure.proof.evidence import Check
from orchestrator.errors import ChainError, ChainNonsense
from orchestrator.models import BlockRef

CLOSED_TOPIC: Final = keccak(b"Closed(bytes32,uint256,address[])")
"""The event of a wallet's closing."""


async def verify_canonical(report: CertificateReport, rpc_urls: Sequence[str]) -> CertificateReport:
    """The report with ``canonical``, and the checks of each node: one round trip to each.

    ``canonical`` is False (and the certificate then not ``valid``: it is revoked) if a node of its chain has another
    hash at the block's number; None if no node knows (no answer, another chain, not that far yet); True if at
    least one agrees and none disagrees. A node that has the closing transaction otherwise than the account section
    says makes it invalid, too; one that does not have it says nothing. Raises
    SettingsError for a malformed URL.
    """
    if report.block is None or report.chain_id is None:
        return report
    rpcs = [Rpc(url) for url in rpc_urls]
    try:
        answers = await asyncio.gather(*(_ask(rpc, report) for rpc in rpcs))
    finally:
        for rpc in rpcs:
            await rpc.close()
    checks = [check for checks in answers for check in checks]
    results = {check.result for check in checks if check.name == "canonical"}
    canonical = False if "fail" in results else True if "pass" in results else None
    asked = {check.name for check in checks}
    kept = [check for check in report.checks if check.result != "skipped" or check.name not in asked]
    kept = [_without_advice(check) for check in kept]
    report = dataclasses.replace(report, canonical=canonical, checks=(*kept, *checks))
    failed = next((check for check in checks if check.result == "fail"), None)
    if failed is None or not report.valid:
        return report
    reason = "not_canonical" if canonical is False else "closing_not_found"
    revoked = "the certificate is revoked: its block is not in the canonical chain: " if canonical is False else ""
    return dataclasses.replace(
        report,
        valid=False,
        verdict="inconclusive",
        reason=reason,
        detail=f"{revoked}{failed.detail}",
        claim=None,
    )


def _without_advice(check: Check) -> Check:
    """Without "--rpc-url asks …": it was given."""
    return dataclasses.replace(check, detail=check.detail.partition("; --rpc-url")[0])


async def not_canonical(rpc: Rpc, blocks: Sequence[BlockRef]) -> list[BlockRef]:
    """Those of the blocks that have another hash in the node's chain: one round trip for each hundred.

    A block that the node does not have (yet) is not among them. Raises ChainUnreachable or ChainNonsense.
    """
    answers = await rpc.batch([("eth_getBlockByNumber", [hex(block.number), False]) for block in blocks])
    gone = []
    for block, answer in zip(blocks, answers, strict=True):
        if answer is None or isinstance(answer, RpcFailure):
            continue
        now = parse.header(answer, f"block {block.number}").block
        if now.number == block.number and now != block:
            gone.append(block)
    return gone


async def _ask(rpc: Rpc, report: CertificateReport) -> list[Check]:
    """What one node says."""
    block, chain_id = report.block, report.chain_id
    assert block is not None
    closing = _closing(report)
    calls: list[Call] = [("eth_chainId", []), ("eth_getBlockByNumber", [hex(block.number), False])]
    if closing is not None:
        calls.append(("eth_getTransactionReceipt", [closing["transaction"]]))
        calls.append(("eth_getBlockByNumber", [hex(closing["block"]["number"]), False]))
    try:
        chain_answer, answer, *rest = await rpc.batch(calls)
        chain = f"eip155:{parse.quantity(rpc.demand(chain_answer), 'eth_chainId', 256)}"
    except ChainError as error:
        return [Check("canonical", "skipped", error.message)]
    if chain != chain_id:
        return [Check("canonical", "skipped", f"{rpc.endpoint} is of {chain}, the certificate of {chain_id}")]
    checks = [_canonical(rpc, block, answer)]
    if closing is not None:
        checks.append(await asyncio.to_thread(_closed, rpc, report, closing, *rest))
    return checks


def _canonical(rpc: Rpc, block: BlockRef, answer: Any) -> Check:
    name = "canonical"
    if answer is None or isinstance(answer, RpcFailure):
        return Check(name, "skipped", f"{rpc.endpoint} has no block {block.number} (yet)")
    try:
        now = parse.header(answer, f"block {block.number}").block
        if now.number != block.number:
            raise ChainNonsense(f"{rpc.endpoint}: asked for block {block.number}, got block {now.number}")
    except ChainError as error:
        return Check(name, "skipped", error.message)
    if now != block:
        return Check(name, "fail", f"{rpc.endpoint}: block {block.number} is {now.hash}, not {block.hash}")
    return Check(name, "pass", f"{rpc.endpoint}: block {block.number} is canonical")


def _closing(report: CertificateReport) -> Mapping[str, Any] | None:
    """The closing transaction that the certificate names; None in one that is not of an account."""
    document = report.document
    if document is None:
        return None
    closing: Mapping[str, Any] | None = document.get("account", document).get("closing")
    return closing if closing is not None and closing["transaction"] is not None else None


def _closed(rpc: Rpc, report: CertificateReport, closing: Mapping[str, Any], receipt: Any, header: Any) -> Check:
    """Whether the transaction succeeded, in a canonical block, and emitted ``Closed`` of this very wallet."""
    name = "closing_transaction"
    transaction = closing["transaction"]
    if not isinstance(receipt, dict) or not isinstance(header, dict):
        return Check(
            name, "skipped", f"{rpc.endpoint} does not have transaction {transaction}, or its block (any more)"
        )
    try:
        status = parse.quantity(receipt.get("status"), "receipt.status")
        number = parse.quantity(receipt.get("blockNumber"), "receipt.blockNumber")
        digest = parse.hash32(receipt.get("blockHash"), "receipt.blockHash")
        stated = parse.hash32(receipt.get("transactionHash"), "receipt.transactionHash")
        logs = parse.logs(receipt.get("logs"), "receipt.logs")
        canonical = parse.header(header, f"block {number}").block
    except ChainError as error:
        return Check(name, "skipped", f"{rpc.endpoint}: {error.message}")
    expected = closing["block"]
    stated_block = f"{expected['number']} ({expected['hash']})"
    profiled = report.version == 3  # which event closes such a wallet, its profile says
    emitted = any(log.address == report.address and (profiled or log.topics[:1] == (CLOSED_TOPIC,)) for log in logs)
    for holds, what in (
        (stated == transaction, f"asked for the receipt of {transaction}, got that of {stated}"),
        (
            (number, digest) == (expected["number"], expected["hash"]),
            f"transaction {transaction} is in block {number} ({digest}), the certificate says {stated_block}",
        ),
        (
            (canonical.number, canonical.hash) == (number, digest),
            f"transaction {transaction} is in block {digest}, which is not the canonical block {number}",
        ),
        (status == 1, f"transaction {transaction} failed: its status is {status}"),
        (emitted, f"transaction {transaction} has no event {'' if profiled else 'Closed '}of {report.address}"),
    ):
        if not holds:
            return Check(name, "fail", f"{rpc.endpoint}: {what}")
    what = "has a log of this wallet" if profiled else "emitted Closed"
    return Check(name, "pass", f"{rpc.endpoint}: {transaction} succeeded in block {number} and {what}")
