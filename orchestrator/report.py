"""The report of an account: the document that every operation and ``status`` answer with. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, computed_field
from pydantic.alias_generators import to_camel

from orchestrator.errors import Disposition, OrchestratorError
from orchestrator.lifecycle.decide import Wait
from orchestrator.lifecycle.events import CertificateRevoked
from orchestrator.lifecycle.fold import AccountState
from orchestrator.lifecycle.oversight_state import PEOPLE_TO_RESUME, Stop
from orchestrator.models import AccountId, AccountStatus, Finality, OperationKind, Outcome
from orchestrator.ports.platform import PlatformAccount
from orchestrator.runbook import advice, advice_for


class _Document(BaseModel):
    """A ``--json`` document: camelCase, times in ISO-8601 UTC."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, defer_build=True)

    def document(self) -> dict[str, Any]:
        """The JSON form, as a dict."""
        return self.model_dump(mode="json", by_alias=True)


class ErrorNote(_Document):
    code: str
    message: str
    fix: str
    """What to do about it, a sentence."""

    @classmethod
    def of(cls, error: OrchestratorError) -> ErrorNote:
        return cls(code=error.code, message=error.message, fix=advice(error))

    @classmethod
    def of_code(cls, code: str, message: str, disposition: Disposition = Disposition.OPERATOR) -> ErrorNote:
        """Of what the journal holds: a code and a message."""
        return cls(code=code, message=message, fix=advice_for(code, disposition))


class BlockNote(_Document):
    number: int
    hash: str
    finality: Finality


class OperationReport(_Document):
    """Where an account's current or last operation stands."""

    account_id: AccountId
    operation: OperationKind | None
    outcome: Outcome
    status: AccountStatus | str | None
    """The platform's own word, where it is none that is known."""
    address: str | None
    """CAIP-10, once the chain shows the wallet."""
    block: BlockNote | None
    """The block of the wallet's last change of state."""
    waiting_for: str | None = None
    since: datetime | None = None
    deadline: datetime | None = None
    error: ErrorNote | None = None
    certificate: str | None = None
    reference: str | None = None
    """The caller's own name for the account, if it was created here under one."""
    not_checked: list[str] = []
    """What the wallet's profile cannot tell: see docs/wallets.md."""


class StopNote(_Document):
    """An emergency stop that holds."""

    stop: str
    scope: str
    since: datetime
    by: str
    reason: str
    agreed: list[str]
    """Who has agreed that signing resumes."""
    needed: int

    @classmethod
    def of(cls, stop: Stop) -> StopNote:
        return cls(
            stop=stop.id,
            scope=stop.scope,
            since=stop.since.astimezone(UTC),
            by=stop.by,
            reason=stop.reason,
            agreed=list(dict.fromkeys(agreed.person for agreed in stop.agreed)),
            needed=PEOPLE_TO_RESUME,
        )


class StatusReport(_Document):
    """Where accounts stand, and what of it needs a person."""

    accounts: list[OperationReport]
    decisions: list[AccountId]
    """Those that wait for an operator's decision."""
    approvals: list[str]
    """Ids of the requests that wait for somebody's approval."""
    stops: list[StopNote]
    """Emergency stops that hold."""


class BlockId(_Document):
    number: int
    hash: str


class ClosureReport(_Document):
    """One closure, as an audit found it."""

    account_id: AccountId
    address: str
    """CAIP-10."""
    result: Literal["holds", "fails", "unknown"]
    """``unknown``: neither proven nor refuted now."""
    verdict: Literal["irreversible", "reversible", "inconclusive"]
    """Of the proof made now."""
    reason: str
    detail: str
    block: BlockId | None
    """Where it was proven now."""
    certificate: str | None
    certified_block: BlockId | None
    """The block that the certificate rests on."""
    canonical: bool | None
    """Whether the certificate's block is in the canonical chain; None: no certificate, or nobody could say."""


class AuditReport(_Document):
    """All closures of the journal, proven again now."""

    closures: list[ClosureReport]
    holds: int
    fails: int
    unknown: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def untold(self) -> int:
        """Deprecated: ``unknown`` under its first name."""
        return self.unknown


class AccountReport(_Document):
    """An account as the platform has it."""

    account_id: AccountId
    customer_id: str
    status: AccountStatus | str
    """The platform's own word, where ``odd`` names it."""
    currencies: list[str]
    """Empty where the platform names none."""
    address: str | None
    created_at: datetime
    odd: list[str] = []
    """What of it is outside of the platform's documentation; no operation is done on such an account."""
    reference: str | None = None
    """The caller's own name for it, if it was created here under one."""
    journal: OperationReport | None = None
    """What the journal says of it, and so what was last read from the chain."""


def report(
    account_id: AccountId,
    state: AccountState,
    *,
    wait: Wait | None = None,
    trouble: OrchestratorError | None = None,
) -> OperationReport:
    """The report of an account from its folded state; ``wait`` as the runner returned it or as the journal has it,
    ``trouble`` as the runner returned it."""
    op, wallet, deployed = state.operation, state.wallet, state.deployed
    address = f"{deployed.chain_id}:{deployed.wallet}" if deployed else None
    values: dict[str, Any] = {
        "account_id": account_id,
        "operation": op.kind if op else None,
        "outcome": Outcome.DONE,
        "status": state.status,
        "address": address,
        "block": BlockNote(number=wallet.block.number, hash=wallet.block.hash, finality=Finality(wallet.finality))
        if wallet
        else None,
        "certificate": state.closure.certificate if state.closure else None,
        "not_checked": list(deployed.unchecked) if deployed else [],
    }
    if op is None:
        return OperationReport(**values)
    values["since"] = (op.ended and op.touched_at) or op.touched_at or op.started_at
    if op.ended is not None:
        values["outcome"] = Outcome(op.ended.outcome)
        if op.ended.code is not None:
            values["error"] = ErrorNote.of_code(op.ended.code, op.ended.message or op.ended.code, Disposition.STOP)
        if state.revoked is not None and op.ended.outcome == "done":
            values |= {"outcome": Outcome.OPERATOR, "error": _revoked(state.revoked), "waiting_for": _REVOKED}
        return OperationReport(**values)
    if op.halted is not None:
        values["outcome"] = Outcome.OPERATOR
        values["waiting_for"] = "an operator's decision (orchestrator resolve)"
        values["error"] = ErrorNote.of_code(op.halted.code, op.halted.message)
        return OperationReport(**values)
    values["outcome"] = Outcome.WAITING
    if wait is not None:
        values |= {"waiting_for": wait.waits_for, "since": wait.since, "deadline": wait.until}
    else:
        values["waiting_for"] = "its next step (orchestrator resume)"
        asked = state.approvals.get(op.approval or "")
        if asked is not None and not op.approved:
            values["waiting_for"] = f"a second person's approval (orchestrator approve {account_id})"
            values["deadline"] = asked.asked.expires_at
    if trouble is not None:
        values["error"] = ErrorNote.of(trouble)
    return OperationReport(**values)


_REVOKED = "a new proof (orchestrator close), once the node's finality can be trusted again"


def _revoked(fact: CertificateRevoked) -> ErrorNote:
    message = (
        f"the certificate {fact.certificate_sha256[:12]} is revoked: block {fact.block.number} ({fact.block.hash}), "
        "which it rests on, was final and has left the canonical chain"
    )
    return ErrorNote.of_code("certificate_revoked", message)


def troubled(account_id: AccountId, state: AccountState, error: OrchestratorError) -> OperationReport:
    """The report of an account on which ``error`` was raised: what could be done about it decides the outcome."""
    outcomes = {
        Disposition.RETRY: Outcome.WAITING,
        Disposition.STOP: Outcome.FAILED,
        Disposition.OPERATOR: Outcome.OPERATOR,
    }
    note = ErrorNote.of(error)
    return report(account_id, state).model_copy(update={"outcome": outcomes[error.disposition], "error": note})


def account_report(
    account: PlatformAccount, journal: OperationReport | None = None, *, reference: str | None = None
) -> AccountReport:
    """The report of an account as the platform gave it, beside the journal's."""
    return AccountReport(
        account_id=account.id,
        customer_id=account.customer_id,
        status=account.status,
        currencies=list(account.currencies),
        address=str(account.wallet) if account.wallet else None,
        created_at=account.created_at.astimezone(UTC),
        odd=list(account.odd),
        reference=reference,
        journal=journal,
    )
