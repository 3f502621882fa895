"""The state of an account, folded from its events. State is never stored.

``fold`` is total: it takes any sequence that the journal may hold. What an event means is said here once; what follows
from it is said in ``decide``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Approval, fold_approval
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.models import AccountStatus, OperationKind, WalletState

PURPOSE: dict[OperationKind, Literal["creation", "deletion"]] = {
    OperationKind.ACTIVATE: "creation",
    OperationKind.CLOSE: "deletion",
}
"""What the challenge of an operation is for; other operations need no signature."""


@dataclass(frozen=True, slots=True)
class Signed:
    """The live signature of an operation, and how far its submission is."""

    digest: str
    signer: str
    signature: str
    at: datetime
    key_name: str | None = None
    """The managed key's; None from a release that did not write it."""
    idempotency_key: str | None = None
    idempotency_key_at: datetime | None = None
    accepted_at: datetime | None = None
    ineffective: int = 0
    """How often the platform took it without an effect, since it was made or the last ``resolve --retry``."""
    sent: bool = False
    """Whether its submission was ever intended: the platform may have it, whatever was answered."""
    confirmed: bool = False
    """Whether the platform refused a repeat because it has it: then time decides, and no further repeat."""


@dataclass(frozen=True, slots=True)
class PlatformRequest:
    """A modifying request of an operation, and whether the platform took it."""

    idempotency_key: str
    at: datetime
    accepted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """The current or the last operation of an account."""

    kind: OperationKind
    started_at: datetime
    by: str | None = None
    approval: str | None = None
    """The id of the request for a second person's approval."""
    approved: bool = False
    """Whether that approval was taken: it is good for this operation, and for no other."""
    challenge: e.ChallengeFetched | None = None
    challenge_at: datetime | None = None
    intended: e.SigningIntended | None = None
    """The challenge that is being signed: a signature may have been made that was never journaled."""
    signed: Signed | None = None
    refusals: int = 0
    """Signatures that the platform refused since the start or the last ``resolve --retry``."""
    last_refusal: str | None = None
    request: PlatformRequest | None = None
    preflight: e.PreflightTaken | None = None
    proven: e.ClosureProven | None = None
    halted: e.OperationHalted | None = None
    ended: e.OperationEnded | None = None
    touched_at: datetime | None = None
    """When this operation last moved: what it waits for now, it has waited for since then."""


@dataclass(frozen=True, slots=True)
class AccountState:
    """All that the journal knows of an account."""

    platform: e.PlatformObserved | None = None
    owner: str | None = None
    """The customer's wallet (CAIP-10) when the account was first seen: it never changes."""
    deployed: e.WalletDeployed | None = None
    wallet: e.WalletStateSeen | None = None
    first: e.WalletDeployed | None = None
    """The wallet as it was first seen, by the profile that it is read by now, with code that this accepts and where the
    platform says: its address and whose code it runs, if it is a proxy, never change."""
    closed: e.BlockFact | None = None
    """Where the chain has shown it closed, in a block that was final."""
    finality_violated: e.BlockFact | None = None
    digests: frozenset[str] = frozenset()
    """Digests of all creation challenges seen: none of them may be signed as a deletion challenge."""
    signed_digests: frozenset[str] = frozenset()
    """Digests of all creation challenges signed here: the factory must have been given one of them."""
    dead_digests: frozenset[str] = frozenset()
    """Digests of challenges whose signature was refused or lapsed: none of them is signed again."""
    operation: Operation | None = None
    earlier: tuple[Operation, ...] = ()
    """The last operation of each other kind: what it left behind may still take effect."""
    closure: e.ClosureProven | None = None
    """The last proof of closure, whichever operation made it."""
    revoked: e.CertificateRevoked | None = None
    """The last certificate, if its block has left the canonical chain and none has been made since."""
    approvals: dict[str, Approval] = field(default_factory=dict)
    """Requests for a second person's approval, by id."""

    @property
    def status(self) -> AccountStatus | None:
        return self.platform.status if self.platform else None

    @property
    def unfinished(self) -> bool:
        return self.operation is not None and self.operation.ended is None


def is_account(stream: str) -> bool:
    """Whether a stream is an account's, and not a creation's or that of people's decisions."""
    return not stream.startswith(e.CREATIONS) and stream != DECISIONS_STREAM


def fold(recorded: Iterable[Recorded], state: AccountState | None = None) -> AccountState:
    """The state after all these events of ONE stream, in order."""
    state = state or AccountState()
    for item in recorded:
        state = _apply(state, item.event, item.at)
    return state


def _apply(state: AccountState, event: Event, at: datetime) -> AccountState:
    match event:
        case e.PlatformObserved():
            moved = state.platform is None or state.platform.status != event.status
            seen = replace(state, platform=event, owner=state.owner or event.owner)
            return _touch(seen, at if moved else None)
        case e.WalletDeployed():
            return _touch(_deployed(state, event), at)
        case e.WalletStateSeen():
            ended = event.block if event.final and event.state is WalletState.CLOSED else None
            return _touch(replace(state, wallet=event, closed=state.closed or ended), at)
        case e.ChainFactsWithdrawn():
            return _touch(_withdraw(state, event), at)
        case e.OperationStarted():
            return _start(state, event, at)
        case o.ApprovalRequested() | o.ApprovalGiven() | o.ApprovalUsed():
            state = replace(state, approvals=fold_approval(state.approvals, event, at))
        case e.ClosureProven():
            state = replace(state, closure=event, revoked=None)
        case e.CertificateRevoked():
            void = state.closure is not None and state.closure.certificate_sha256 == event.certificate_sha256
            state = replace(state, revoked=event, closure=None if void else state.closure)
        case e.ChallengeFetched(purpose="creation"):
            state = replace(state, digests=state.digests | {event.digest})
        case e.ChallengeSigned(purpose="creation"):
            state = replace(state, signed_digests=state.signed_digests | {event.digest})
        case e.SubmissionRefused() | e.ChallengeLapsed():
            state = replace(state, dead_digests=state.dead_digests | {event.digest})
        case e.OperatorResolved(decision="retry"):
            state = replace(state, finality_violated=None)
        case _:
            pass
    if state.operation is None or state.operation.ended is not None:
        return state
    return replace(state, operation=_advance(state.operation, event, at))


def _deployed(state: AccountState, event: e.WalletDeployed) -> AccountState:
    """What was read by another profile means nothing by this one."""
    if state.deployed is not None and state.deployed.profile != event.profile:
        state = replace(state, first=None, closed=None, wallet=None)
    claim = state.platform.wallet if state.platform is not None else None
    fits = event.code_matches and claim in (None, f"{event.chain_id}:{event.wallet}")
    return replace(state, deployed=event, first=state.first or (event if fits else None))


def _start(state: AccountState, started: e.OperationStarted, at: datetime) -> AccountState:
    """A new operation, with what the last one of its kind left to it, operations of other kinds in between or not.

    A live signature, intended or made, is always left, because the journal allows no second one beside it. Of an
    operation that did not end well the challenge and the acceptance stay too: they may still take effect on the
    platform. A request is left only where it may be in flight and nothing else was asked since, or is one-way.
    """
    last, kind = state.operation, started.operation
    known = {op.kind: op for op in (*state.earlier, *((last,) if last is not None else ()))}
    before = known.pop(kind, None)
    op = Operation(kind=kind, started_at=at, touched_at=at, by=started.by)
    if before is not None and before.ended is not None and before.ended.outcome == "done":
        if before.signed is not None:  # with what it signs, which is submitted beside it
            signed = _unsubmitted(before.signed, ineffective=0)
            op = replace(op, signed=signed, challenge=before.challenge, challenge_at=before.challenge_at)
        op = replace(op, intended=before.intended)
    elif before is not None:
        request = before.request
        in_flight = request is not None and request.accepted_at is None and before is last
        op = replace(
            op,
            challenge=before.challenge,
            challenge_at=before.challenge_at,
            intended=before.intended,
            signed=replace(before.signed, confirmed=False) if before.signed is not None else None,
            request=request if in_flight or kind is OperationKind.CLOSE else None,
        )
    return replace(state, operation=op, earlier=tuple(known.values()))


def _advance(op: Operation, event: Event, at: datetime) -> Operation:
    match event:
        case e.OperationHalted():  # not a move: what was overdue before it is overdue after it
            return replace(op, halted=event)
        case e.OperationContinued():
            return replace(op, halted=None)
        case _:
            op = replace(op, touched_at=at)
    match event:
        case e.ChallengeFetched() if event.purpose == PURPOSE.get(op.kind):
            return replace(op, challenge=event, challenge_at=event.issued_at or at)
        case e.SigningIntended():
            return replace(op, intended=event)
        case e.ChallengeSigned():
            signed = Signed(
                digest=event.digest, signer=event.signer, signature=event.signature, at=at, key_name=event.key
            )
            return replace(op, signed=signed, intended=None)
        case e.SubmissionIntended() if op.signed:
            return replace(op, signed=replace(op.signed, idempotency_key=event.key, idempotency_key_at=at, sent=True))
        case e.SubmissionAccepted() if op.signed:
            known = event.found == "already_signed"
            return replace(op, signed=replace(op.signed, accepted_at=at, confirmed=known))
        case e.SubmissionIneffective() if op.signed:
            return replace(op, signed=_unsubmitted(op.signed, ineffective=op.signed.ineffective + 1))
        case e.SubmissionRefused():
            last = f"{event.code}: {event.message}"
            return replace(op, signed=None, intended=None, challenge=None, refusals=op.refusals + 1, last_refusal=last)
        case e.ChallengeLapsed():
            return replace(op, signed=None, intended=None, challenge=None)
        case o.ApprovalRequested():
            return replace(op, approval=event.request)
        case o.ApprovalUsed():
            return replace(op, approved=True)
        case e.RequestIntended():
            return replace(op, request=PlatformRequest(event.key, at))
        case e.RequestAccepted() if op.request:
            return replace(op, request=replace(op.request, accepted_at=at))
        case e.PreflightTaken():
            return replace(op, preflight=event)
        case e.ClosureProven():
            return replace(op, proven=event)
        case e.OperatorResolved(decision="retry"):
            return _retry(op)
        case e.OperationEnded():
            return replace(op, ended=event, halted=None)
        case _:
            return op


def _unsubmitted(signed: Signed, *, ineffective: int) -> Signed:
    """To be submitted anew, with an idempotency key of its own."""
    return replace(
        signed,
        idempotency_key=None,
        idempotency_key_at=None,
        accepted_at=None,
        ineffective=ineffective,
        confirmed=False,
    )


def _retry(op: Operation) -> Operation:
    """What nothing rests on is asked for anew: an unsigned challenge, a request that has led nowhere in its time. A
    signature is kept; one that has led nowhere in its time is submitted again: the platform then says what it has."""
    overdue = op.halted is not None and op.halted.code == "overdue"
    signed = op.signed
    if signed is not None:
        signed = _unsubmitted(signed, ineffective=0) if overdue else replace(signed, ineffective=0)
    return replace(
        op,
        halted=None,
        refusals=0,
        last_refusal=None,
        approval=op.approval if op.approved else None,
        challenge=op.challenge if op.signed is not None else None,
        signed=signed,
        request=None if overdue and signed is None else op.request,
    )


def _touch(state: AccountState, at: datetime | None) -> AccountState:
    if at is None or state.operation is None or state.operation.ended is not None:
        return state
    return replace(state, operation=replace(state.operation, touched_at=at))


def _withdraw(state: AccountState, event: e.ChainFactsWithdrawn) -> AccountState:
    """Takes back whatever rested on the block or on a later one: later blocks are its children or nothing."""
    deployed, wallet, closure, op = state.deployed, state.wallet, state.closure, state.operation
    first, closed = state.first, state.closed
    gone = event.block.number
    if deployed is not None and deployed.block.number >= gone:
        deployed = first = None
    if wallet is not None and wallet.block.number >= gone:
        wallet = None
    if closed is not None and closed.number >= gone:
        closed = None
    if closure is not None and closure.block.number >= gone:
        closure = None
    if op is not None and op.proven is not None and op.proven.block.number >= gone:
        op = replace(op, proven=None)
    violated = event.block if event.was_final else state.finality_violated
    return replace(
        state,
        deployed=deployed,
        wallet=wallet,
        first=first,
        closed=closed,
        closure=closure,
        operation=op,
        finality_violated=violated,
    )
