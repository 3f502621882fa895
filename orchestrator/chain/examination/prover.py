"""The prover of the closing step: the examination of a contract, as the step's port sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.chain.node.rpc import Rpc, RpcFailure
from orchestrator.errors import ChainError
from orchestrator.models import Address

if TYPE_CHECKING:
    from orchestrator.closure.verdict import Certifiable, Verdict

TRANSIENT: Final = frozenset(
    {
        "chain_unreachable",
        "rpc_overload",
        "answer_unreadable",
        "chain_moving",
        "chain_behind",
        "latest_unknown",
        "not_canonical",
    }
)
"""Reasons of an inconclusive verdict that the same question may not meet again: the node was away, or lagged, or its
finalized block was replaced while it was read."""


class NodeProver:
    """Implements ``ports.chain.Prover``, for the closing step: examines contracts at the node's finalized block.

    ``rpc`` is closed with it.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def examine(self, wallet: Address) -> Certifiable:
        """As ``Prover.examine``; some 5 round trips."""
        # Here: every command that asks the platform connects a prover, and few of them prove anything.
        from orchestrator.chain.examination.examiner import examine
        from orchestrator.closure.verdict import Certifiable

        examination = await examine(self._rpc, wallet, "finalized")
        verdict = examination.verdict
        return Certifiable(
            verdict=verdict.verdict,
            analysis=verdict.analysis,
            reason=verdict.reason,
            detail=_sentence(verdict),
            chain=verdict.chain_id,
            block=verdict.block,
            code_hash=verdict.code_hash,
            states=verdict.states,
            steps=verdict.steps,
            transient=verdict.verdict == "inconclusive" and await self._is_transient(verdict.reason),
            examination=examination,
        )

    async def _is_transient(self, reason: str) -> bool:
        """``not_final`` is transient where the node knows finality: another node behind the same address lagged.

        Where it does not, it stays."""
        if reason != "not_final":
            return reason in TRANSIENT
        try:
            finalized = await self._rpc.call_or_failure("eth_getBlockByNumber", ["finalized", False])
        except ChainError as error:
            return error.code in TRANSIENT
        return isinstance(finalized, dict) or (isinstance(finalized, RpcFailure) and finalized.busy)

    async def close(self) -> None:
        """Ends the connections to the node."""
        await self._rpc.close()


def _sentence(verdict: Verdict) -> str:
    """The verdict's sentence, and the call that shows it."""
    witness = verdict.witness
    if witness is None or witness.calldata is None:
        return verdict.detail
    calldata = "0x" + witness.calldata.hex()
    shown = calldata if len(calldata) <= 500 else calldata[:500] + "…"
    how = "shown by executing it" if witness.confirmed else "not confirmed"
    return (
        f"{verdict.detail}; witness ({how}): from {witness.sender} to {verdict.address}, value {witness.value} wei, "
        f"calldata {shown}"
    )
