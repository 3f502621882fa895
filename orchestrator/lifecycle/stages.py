"""The stages of an account's life, as tables: what must hold, in order, and what is done or waited for until it holds.

    activation    registered → challenge fetched → signed → submitted → pending → deployed → final → active
    suspension    requested → changed on the platform → changed on the chain → final
    closure       preflight → approved (where policy asks for it) → requested → challenge → signed → submitted
                  → closed on the platform → closed on the chain → final → proven

A stage reads the folded state only. The first stage that does not hold decides (``decide.next_action``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.lifecycle.approval import closure_approval
from orchestrator.lifecycle.fold import AccountState, Operation
from orchestrator.lifecycle.oversight import Approval
from orchestrator.models import AccountStatus, OperationKind, WalletState
from orchestrator.policy import Asker


class Step(StrEnum):
    """An effect that a step carries out (``orchestrator.steps``)."""

    PREFLIGHT = "preflight"
    ASK_APPROVAL = "ask_approval"
    TAKE_APPROVAL = "take_approval"
    REQUEST = "request"
    FETCH_CHALLENGE = "fetch_challenge"
    SIGN = "sign"
    SUBMIT = "submit"
    PROVE = "prove"


FOR_A_SIGNATURE = frozenset({Step.FETCH_CHALLENGE, Step.SIGN, Step.SUBMIT})
"""The steps that an emergency stop holds up, and that a refused signature begins again."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The times that decisions use. A key and a challenge live one hour on the platform (platform API); both are
    taken as dead five minutes before that, so that a slow clock or a slow request never meets the edge."""

    challenge_life: timedelta = timedelta(minutes=55)
    key_life: timedelta = timedelta(minutes=55)
    patience: timedelta = timedelta(hours=24)
    """How long one stage may be waited for before an operator is asked."""
    clock_skew: timedelta = timedelta(seconds=60)
    """How far the platform's clock may be ahead of ours."""
    refusals: int = 3
    """How many signatures of one operation the platform may refuse before an operator is asked."""
    effect: timedelta = timedelta(minutes=20)
    """After which a signature that the platform took and that had no effect is submitted again: twice within the hour
    that its challenge lives."""
    submissions: int = 2
    """How often one signature may be taken without an effect before an operator is asked."""
    closure_approvals: int = 0
    """How many people besides the one who asks must approve a closure."""
    approval_life: timedelta = timedelta(days=1)
    asker: Asker = "any"
    """Whether a request that none of the people has signed takes one approval more."""

    def is_young(self, at: datetime, now: datetime, life: timedelta) -> bool:
        """Whether what was noted at ``at`` still lives. A time to come means that the clock was set back: how old the
        thing really is cannot be told, so it counts as dead."""
        return -self.clock_skew <= now - at < life


@dataclass(frozen=True, slots=True)
class Facts:
    """What a stage sees: the account, its state, its operation, the time, the rules."""

    account_id: str
    state: AccountState
    op: Operation
    now: datetime
    rules: Rules

    @property
    def status(self) -> AccountStatus | None:
        return self.state.status

    def wallet_is(self, *states: WalletState) -> bool:
        return self.state.wallet is not None and self.state.wallet.state in states

    @property
    def wallet_is_final(self) -> bool:
        return self.state.wallet is not None and self.state.wallet.final

    @property
    def has_challenge(self) -> bool:
        """A challenge to sign or one already taken: fresh, or with a signature that the platform accepted."""
        if self.op.signed is not None and self.op.signed.accepted_at is not None:
            return True
        if self.op.challenge is None or self.op.challenge_at is None:
            return False
        return self.rules.is_young(self.op.challenge_at, self.now, self.rules.challenge_life)

    @property
    def signed(self) -> bool:
        return self.op.signed is not None

    @property
    def submitted(self) -> bool:
        return self.op.signed is not None and self.op.signed.accepted_at is not None

    @property
    def needs_approval(self) -> bool:
        """Whether a second person has a say still: until she has said yes, or nothing is left to sign."""
        return self.rules.closure_approvals > 0 and not self.op.approved and not _closed(self)

    @property
    def approval(self) -> Approval | None:
        return closure_approval(self.account_id, self.state, self.op, self.rules.closure_approvals, self.now)

    @property
    def requested(self) -> bool:
        return self.op.request is not None and self.op.request.accepted_at is not None


@dataclass(frozen=True, slots=True)
class Stage:
    """``holds`` tells whether the stage is passed; if not, ``step`` is done, or ``waits_for`` is waited for.
    ``ACCOUNT_ID`` in that text stands for the account's id."""

    name: str
    holds: Callable[[Facts], bool]
    step: Step | None = None
    waits_for: str = ""
    until: Callable[[Facts], datetime] | None = None
    """Until when it is waited for; None: for as long as ``Rules.patience``."""


_S, _W = AccountStatus, WalletState

_FINAL = Stage("final", lambda f: f.wallet_is_final, waits_for="the block of the wallet's last change to be final")


def _past_signature(f: Facts) -> bool:
    return f.status in (_S.PENDING, _S.ACTIVE)


ACTIVATION = (
    Stage("challenge fetched", lambda f: _past_signature(f) or f.has_challenge, step=Step.FETCH_CHALLENGE),
    Stage("signed", lambda f: _past_signature(f) or f.signed, step=Step.SIGN),
    Stage("submitted", lambda f: _past_signature(f) or f.submitted, step=Step.SUBMIT),
    Stage("pending", _past_signature, waits_for="the platform to verify the signature"),
    Stage(
        "deployed",
        lambda f: f.state.deployed is not None,
        waits_for="the wallet to be deployed on the chain",
    ),
    Stage(
        "active on the chain",
        lambda f: f.wallet_is(_W.ACTIVE),
        waits_for="the wallet to become active on the chain",
    ),
    _FINAL,
    Stage("active", lambda f: f.status is _S.ACTIVE, waits_for="the platform to say active"),
)

DEACTIVATION = (
    Stage("requested", lambda f: f.status is _S.INACTIVE or f.requested, step=Step.REQUEST),
    Stage("inactive on the platform", lambda f: f.status is _S.INACTIVE, waits_for="the platform to say inactive"),
    Stage(
        "inactive on the chain",
        lambda f: f.wallet_is(_W.INACTIVE),
        waits_for="the wallet to become inactive on the chain",
    ),
    _FINAL,
)

REACTIVATION = (
    Stage("requested", lambda f: f.status is _S.ACTIVE or f.requested, step=Step.REQUEST),
    Stage("active on the platform", lambda f: f.status is _S.ACTIVE, waits_for="the platform to say active"),
    Stage(
        "active on the chain",
        lambda f: f.wallet_is(_W.ACTIVE),
        waits_for="the wallet to become active on the chain",
    ),
    _FINAL,
)


def _closed(f: Facts) -> bool:
    """Nothing is left to sign once the chain says closed; the platform's word alone does not settle that."""
    return f.wallet_is(_W.CLOSED) or (f.state.deployed is None and f.status is _S.CLOSED)


CLOSURE = (
    Stage(
        "settled",
        lambda f: f.status is not _S.PENDING or f.op.request is not None,
        waits_for="the platform to finish the deployment, as an account that is being deployed cannot be closed",
    ),
    Stage("preflight", lambda f: f.status is _S.CLOSED or f.op.preflight is not None, step=Step.PREFLIGHT),
    Stage("approval asked for", lambda f: not f.needs_approval or f.approval is not None, step=Step.ASK_APPROVAL),
    Stage(
        "approved",
        lambda f: not f.needs_approval or (f.approval is not None and f.approval.is_granted(f.now, f.rules.asker)),
        waits_for="a second person's approval (orchestrator approve ACCOUNT_ID)",
        until=lambda f: f.approval.asked.expires_at if f.approval is not None else f.now,
    ),
    Stage("approval taken", lambda f: not f.needs_approval, step=Step.TAKE_APPROVAL),
    Stage("requested", lambda f: f.status is _S.CLOSED or f.requested, step=Step.REQUEST),
    Stage("challenge fetched", lambda f: _closed(f) or f.has_challenge, step=Step.FETCH_CHALLENGE),
    Stage("signed", lambda f: _closed(f) or f.signed, step=Step.SIGN),
    Stage("submitted", lambda f: _closed(f) or f.submitted, step=Step.SUBMIT),
    Stage("closed on the platform", lambda f: f.status is _S.CLOSED, waits_for="the platform to say closed"),
    Stage("closed on the chain", lambda f: f.wallet_is(_W.CLOSED), waits_for="the wallet to close on the chain"),
    _FINAL,
    Stage(
        "proven", lambda f: f.state.closure is not None and f.state.closure.verdict == "irreversible", step=Step.PROVE
    ),
)

STAGES: dict[OperationKind, tuple[Stage, ...]] = {
    OperationKind.ACTIVATE: ACTIVATION,
    OperationKind.DEACTIVATE: DEACTIVATION,
    OperationKind.REACTIVATE: REACTIVATION,
    OperationKind.CLOSE: CLOSURE,
}
