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
from typing import Any

from orchestrator.lifecycle.fold import AccountState, Operation
from orchestrator.lifecycle.oversight_state import Approval, content_hash, find_request
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
"""The steps towards a signature, which a refused one begins again. An emergency stop holds up the last two."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The times that decisions use. An idempotency key and a challenge live one hour on the platform (platform API);
    both are taken as dead five minutes before that, so that a slow clock or a slow request never meets the edge."""

    challenge_life: timedelta = timedelta(minutes=55)
    idempotency_key_life: timedelta = timedelta(minutes=55)
    patience: timedelta = timedelta(hours=24)
    """How long one stage may be waited for before an operator is asked."""
    clock_skew: timedelta = timedelta(seconds=60)
    """How far the platform's clock may be ahead of ours."""
    refusals: int = 3
    """How many signatures of one operation the platform may refuse before an operator is asked."""
    effect: timedelta = timedelta(minutes=20)
    """After which a signature that the platform took and that had no effect is submitted again: twice within the hour
    that its challenge lives. The platform then says whether it has it."""
    given_up: timedelta = timedelta(hours=2)
    """After which a signature that the platform says it has, and that had no effect, counts as refused: twice as long
    as its challenge lives."""
    submissions: int = 2
    """How often one signature may be taken without an effect before an operator is asked."""
    closure_approvals: int = 0
    """How many people besides the one who asks must approve a closure."""
    approval_life: timedelta = timedelta(days=1)
    asker: Asker = "any"
    """Whether a request that none of the people has signed takes one approval more."""

    def is_young(self, at: datetime, now: datetime, life: timedelta) -> bool:
        """Whether what was noted at ``at`` still lives. A time in the future means that the clock was set back: its
        real age is unknown, so it counts as dead."""
        return -self.clock_skew <= now - at < life


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage sees: the account, its state, its operation, the time, the parameters."""

    account_id: str
    state: AccountState
    op: Operation
    now: datetime
    parameters: Parameters

    @property
    def status(self) -> AccountStatus | None:
        return self.state.status

    def wallet_is(self, *states: WalletState) -> bool:
        """Whether the chain says so; of a wallet whose state no source tells, whether it is there: what then decides is
        the platform's word, and at its end the proof."""
        return self.state.wallet is not None and self.state.wallet.state in (*states, WalletState.UNKNOWN)

    @property
    def wallet_is_final(self) -> bool:
        return self.state.wallet is not None and self.state.wallet.final

    @property
    def has_challenge(self) -> bool:
        """A fresh challenge to sign; or one whose signature the platform may have, however old: asking for another
        would end it, so the signature is submitted again and the platform says what it has."""
        signed = self.op.signed
        if self.op.challenge is None or self.op.challenge_at is None:
            return False
        if signed is not None and (signed.sent or signed.accepted_at is not None):
            return True
        return self.parameters.is_young(self.op.challenge_at, self.now, self.parameters.challenge_life)

    @property
    def signed(self) -> bool:
        return self.op.signed is not None

    @property
    def submitted(self) -> bool:
        return self.op.signed is not None and self.op.signed.accepted_at is not None

    @property
    def needs_approval(self) -> bool:
        """Whether a second person has a say still: until she has said yes, or nothing is left to sign."""
        return self.parameters.closure_approvals > 0 and not self.op.approved and not _closed(self)

    @property
    def approval(self) -> Approval | None:
        return closure_approval(self.account_id, self.state, self.op, self.parameters.closure_approvals, self.now)

    @property
    def requested(self) -> bool:
        return self.op.request is not None and self.op.request.accepted_at is not None


@dataclass(frozen=True, slots=True)
class Stage:
    """``holds``: whether the stage is passed; if not, ``step`` is done, or ``waits_for`` is waited for.
    ``ACCOUNT_ID`` in that text stands for the account's id."""

    name: str
    holds: Callable[[StageContext], bool]
    step: Step | None = None
    waits_for: str = ""
    until: Callable[[StageContext], datetime] | None = None
    """Until when it is waited for; None: for as long as ``Parameters.patience``."""


_S, _W = AccountStatus, WalletState

_FINAL = Stage("final", lambda c: c.wallet_is_final, waits_for="the block of the wallet's last change to be final")


def _past_signature(c: StageContext) -> bool:
    return c.status in (_S.PENDING, _S.ACTIVE)


ACTIVATION = (
    Stage("challenge fetched", lambda c: _past_signature(c) or c.has_challenge, step=Step.FETCH_CHALLENGE),
    Stage("signed", lambda c: _past_signature(c) or c.signed, step=Step.SIGN),
    Stage("submitted", lambda c: _past_signature(c) or c.submitted, step=Step.SUBMIT),
    Stage("pending", _past_signature, waits_for="the platform to verify the signature"),
    Stage(
        "deployed",
        lambda c: c.state.deployed is not None,
        waits_for="the wallet to be deployed on the chain",
    ),
    Stage(
        "active on the chain",
        lambda c: c.wallet_is(_W.ACTIVE),
        waits_for="the wallet to become active on the chain",
    ),
    _FINAL,
    Stage("active", lambda c: c.status is _S.ACTIVE, waits_for="the platform to say active"),
)

DEACTIVATION = (
    Stage("requested", lambda c: c.status is _S.INACTIVE or c.requested, step=Step.REQUEST),
    Stage("inactive on the platform", lambda c: c.status is _S.INACTIVE, waits_for="the platform to say inactive"),
    Stage(
        "inactive on the chain",
        lambda c: c.wallet_is(_W.INACTIVE),
        waits_for="the wallet to become inactive on the chain",
    ),
    _FINAL,
)

REACTIVATION = (
    Stage("requested", lambda c: c.status is _S.ACTIVE or c.requested, step=Step.REQUEST),
    Stage("active on the platform", lambda c: c.status is _S.ACTIVE, waits_for="the platform to say active"),
    Stage(
        "active on the chain",
        lambda c: c.wallet_is(_W.ACTIVE),
        waits_for="the wallet to become active on the chain",
    ),
    _FINAL,
)


def _closed(c: StageContext) -> bool:
    """Nothing is left to sign once the chain says closed; the platform's word alone does not settle that, unless the
    chain cannot tell."""
    silent = c.state.wallet is not None and c.state.wallet.state is _W.UNKNOWN
    if silent or c.state.deployed is None:
        return c.status is _S.CLOSED
    return c.wallet_is(_W.CLOSED)


CLOSURE = (
    Stage(
        "settled",
        lambda c: c.status is not _S.PENDING or c.op.request is not None,
        waits_for="the platform to finish the deployment, as an account that is being deployed cannot be closed",
    ),
    Stage("preflight", lambda c: c.status is _S.CLOSED or c.op.preflight is not None, step=Step.PREFLIGHT),
    Stage("approval asked for", lambda c: not c.needs_approval or c.approval is not None, step=Step.ASK_APPROVAL),
    Stage(
        "approved",
        lambda c: not c.needs_approval or (c.approval is not None and c.approval.is_granted(c.now, c.parameters.asker)),
        waits_for="a second person's approval (orchestrator approve ACCOUNT_ID)",
        until=lambda c: c.approval.asked.expires_at if c.approval is not None else c.now,
    ),
    Stage("approval taken", lambda c: not c.needs_approval, step=Step.TAKE_APPROVAL),
    Stage("requested", lambda c: c.status is _S.CLOSED or c.requested, step=Step.REQUEST),
    Stage("challenge fetched", lambda c: _closed(c) or c.has_challenge, step=Step.FETCH_CHALLENGE),
    Stage("signed", lambda c: _closed(c) or c.signed, step=Step.SIGN),
    Stage("submitted", lambda c: _closed(c) or c.submitted, step=Step.SUBMIT),
    Stage("closed on the platform", lambda c: c.status is _S.CLOSED, waits_for="the platform to say closed"),
    Stage("closed on the chain", lambda c: c.wallet_is(_W.CLOSED), waits_for="the wallet to close on the chain"),
    _FINAL,
    Stage(
        "proven", lambda c: c.state.closure is not None and c.state.closure.verdict == "irreversible", step=Step.PROVE
    ),
)

STAGES: dict[OperationKind, tuple[Stage, ...]] = {
    OperationKind.ACTIVATE: ACTIVATION,
    OperationKind.DEACTIVATE: DEACTIVATION,
    OperationKind.REACTIVATE: REACTIVATION,
    OperationKind.CLOSE: CLOSURE,
}


# --- what a second person approves of a closure ----------------------------------------------------------------------


def closure_content(account_id: str, state: AccountState, op: Operation) -> dict[str, Any]:
    """Which account and wallet end, whose they are, and what preflight found left: all that closing would end.

    Another wallet, owner or preflight is another content, and so is another closure of the same account, after one that
    failed or was abandoned: each takes its own approval. ``left`` is None where the platform has closed already.
    """
    platform, deployed, preflight = state.platform, state.deployed, op.preflight
    if platform is None:
        raise AssertionError("the platform is read before a closure's approval is asked for")
    left: dict[str, Any] | None = None
    if preflight:
        left = {"wei": preflight.wei, "tokens": preflight.tokens, "cards": preflight.cards}
        # Named only where there are such: what was approved before these were known stays the same content.
        left |= {"unlisted": True} if preflight.unlisted else {}
        left |= {"unreadable": sorted(preflight.unreadable)} if preflight.unreadable else {}
    return {
        "operation": op.kind.value,
        "accountId": account_id,
        "customerId": platform.customer_id,
        "owner": platform.owner,
        "wallet": f"{deployed.chain_id}:{deployed.wallet}" if deployed is not None else None,
        "left": left,
        "startedAt": op.started_at.isoformat(),
    }


def closure_approval(
    account_id: str, state: AccountState, op: Operation, needed: int, now: datetime
) -> Approval | None:
    """The live request for exactly this closure, granted or not; None before it is asked for."""
    if state.platform is None:
        return None
    content = content_hash(closure_content(account_id, state, op))
    return find_request(state.approvals.values(), "closure", content, needed, now)
