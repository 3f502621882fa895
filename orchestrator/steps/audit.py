"""Proves a closure again, against the chain of now, and checks its certificate. Nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.errors import ChainError
from orchestrator.lifecycle.fold import AccountState
from orchestrator.models import AccountId, Address, BlockHash, BlockNumber, BlockRef, OperationKind
from orchestrator.ports.chain import Examined
from orchestrator.session import Checked, Services

Holds = Literal["holds", "fails", "unknown"]


@dataclass(frozen=True, slots=True)
class Audited:
    """What became of one closure."""

    account_id: AccountId
    address: str
    """CAIP-10."""
    result: Holds
    verdict: Literal["irreversible", "reversible", "inconclusive"]
    """Of the proof made now."""
    reason: str
    """The verdict's, unless the certificate is what fails."""
    detail: str
    block: BlockRef | None
    """Where it was proven now."""
    certificate: str | None
    """The path of the certificate that holds; None if there is none."""
    certified: BlockRef | None
    """The block that the certificate rests on."""
    canonical: bool | None
    """Whether that block is in the canonical chain; None if there is no certificate, or it is not known."""

    @property
    def needs_certificate(self) -> bool:
        """Whether it is proven now and has no certificate that says so, or one of the first release."""
        return self.verdict == "irreversible" and self.reason in _REISSUED


def closed(states: Mapping[AccountId, AccountState]) -> list[AccountId]:
    """The accounts whose closure is over and has a contract: what an audit checks."""
    return [account for account, state in states.items() if _is_closure(state)]


def _is_closure(state: AccountState) -> bool:
    if _place(state) is None:
        return False
    if state.revoked is not None or state.closure is not None:
        return True
    op = state.operation  # ended as done on an operator's word: there is no proof yet
    return op is not None and op.kind is OperationKind.CLOSE and op.ended is not None and op.ended.outcome == "done"


async def audit(services: Services, account_id: AccountId, state: AccountState) -> Audited:
    """Examines the account's contract at today's finalized block, and checks the stored certificate and its block.

    Raises JournalError only: trouble with the node is ``unknown``.
    """
    place = _place(state)
    if place is None:
        raise AssertionError("an audit is of closures whose contract is known: see closed()")
    chain_id, address = place
    examined = await services.prover.examine(Address(address))
    proof = state.closure
    body = None if proof is None else await services.journal.certificate(proof.certificate_sha256)
    checked = None if body is None else services.certifier.check(body)
    certified = None if proof is None else BlockRef(BlockNumber(proof.block.number), BlockHash(proof.block.hash))
    canonical: bool | None = None
    if certified is not None:
        try:
            canonical = await services.chain.is_canonical(certified)
        except ChainError:
            canonical = None
    result, reason, detail = _judge(state, chain_id, examined, checked, certified, canonical)
    return Audited(
        account_id=account_id,
        address=f"{chain_id}:{address}",
        result=result,
        verdict=examined.verdict,
        reason=reason,
        detail=detail,
        block=examined.block,
        certificate=None if proof is None or canonical is False else proof.certificate,
        certified=certified,
        canonical=canonical,
    )


def _place(state: AccountState) -> tuple[str, str] | None:
    """Chain and address, also of a closure whose facts a finality violation has taken back."""
    for fact in (state.closure, state.revoked):
        if fact is not None and fact.chain_id is not None and fact.address is not None:
            return fact.chain_id, fact.address
    return None if state.deployed is None else (state.deployed.chain_id, state.deployed.wallet)


def _judge(
    state: AccountState,
    chain_id: str,
    examined: Examined,
    checked: Checked | None,
    certified: BlockRef | None,
    canonical: bool | None,
) -> tuple[Holds, str, str]:
    """Result, reason and sentence: what fails comes first, then what is unknown."""
    if examined.chain is not None and str(examined.chain) != chain_id:
        return "unknown", "wrong_chain", f"the closure is on {chain_id}, the node serves {examined.chain}"
    if examined.verdict == "reversible" and not _behind(examined, certified):
        return "fails", examined.reason, examined.detail
    if canonical is False and certified is not None:
        gone = f"block {certified.number} ({certified.hash}), which the certificate rests on, has left the chain"
        return "fails", "not_canonical", f"{gone}: the certificate is revoked"
    if state.revoked is not None:
        gone = f"block {state.revoked.block.number} has left the chain"
        return "fails", "certificate_revoked", f"{gone}: the certificate is revoked, and none was made since"
    if checked is not None and not checked.valid:
        return "fails", checked.reason, f"the journal's certificate: {checked.detail}"
    if _behind(examined, certified) and certified is not None and examined.block is not None:
        behind = f"the node's finalized block is {examined.block.number}, the certificate's {certified.number}"
        return "unknown", "chain_behind", behind
    if examined.verdict != "irreversible":
        return "unknown", examined.reason, examined.detail
    if state.closure is None or checked is None:
        return "unknown", "no_certificate", "proven now, and no certificate of it is kept"
    if checked.verdict != "irreversible":
        return "unknown", checked.reason, checked.detail
    if canonical is None:
        return "unknown", "canonical_unknown", "proven now; whether the certificate's block is canonical is not known"
    return "holds", examined.reason, examined.detail


def _behind(examined: Examined, certified: BlockRef | None) -> bool:
    return certified is not None and examined.block is not None and examined.block.number < certified.number


_REISSUED = frozenset({"analysis_not_run", "no_certificate"})
"""Reasons that a new certificate fixes."""
