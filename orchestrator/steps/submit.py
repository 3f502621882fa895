"""Sends what was journaled: the signed challenge, and the requests that change an account.

Each request's idempotency key is journaled before it is used and is used again after an uncertain answer, as long as
the platform remembers it (one hour). A refusal is believed only after the account was read back: a repeat may be
refused just because the first request was taken. A conflict (409, 422, or that it is signed already, by any status)
under a key that was used before says nothing of the first request (it may be in flight, or have had another body), so
the same is asked under a fresh key; under that, 409 has its published meaning: the challenge is signed already, or the
account's state does not allow the change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from orchestrator.authorization.gate import read_oversight
from orchestrator.authorization.permission import holding_permission_to_send, reason_not_to_send
from orchestrator.errors import Disposition, JournalError, PlatformRefused
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Action, End, Halt
from orchestrator.lifecycle.fold import Signed
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.models import AccountStatus, ChainAccount, OperationKind
from orchestrator.ports.platform import Submission
from orchestrator.session import AccountSession, new_idempotency_key
from orchestrator.steps.challenge import ask_for_challenge
from orchestrator.steps.observe import observe

_SIGNATURE_DEAD: Final = frozenset({"signature_refused", "challenge_expired"})
"""Refusals of ``submit`` after which the platform issues another challenge (API page)."""

_OF_THE_CALLER: Final = frozenset({"clock_skew", "platform_login_refused", "request_signature_refused"})
"""Refusals of the caller, whatever the request: nothing is learnt of the account."""

_CONFLICTS: Final = (409, 422)
UNDER_WAY: Final = timedelta(seconds=60)
"""How long a request whose answer was lost may still be under way at the platform."""


async def submit(session: AccountSession) -> Action | None:
    """Submits the live signature, if it may be sent; that is asked again before each try. A final refusal kills it, and
    a new challenge is fetched; that it is signed already is no refusal. The refusal of a repeat is none before the
    account shows that the try before it had no effect.

    Raises PlatformRefused for passing refusals and for those of the credentials: the signature stays live. Raises as
    ``reason_not_to_send`` besides.
    """
    op = session.op
    if op.signed is None or op.challenge is None:
        raise AssertionError("a signature is made before it is submitted")
    digest, key, used = op.signed.digest, op.signed.idempotency_key, True
    submission = Submission(
        signer=ChainAccount.parse(op.signed.signer),
        challenge=op.challenge.challenge,
        signature=bytes.fromhex(op.signed.signature.removeprefix("0x")),
    )
    if _stale(session, op.signed.idempotency_key_at):
        key = None
    while True:
        seen = await read_oversight(session.services.journal)
        found = await reason_not_to_send(session, seen)
        if found is not None:
            return found
        if key is None:
            key, used = new_idempotency_key(), False
            intended = e.SubmissionIntended(digest=digest, key=key)
            await session.record(intended, unchanged={DECISIONS_STREAM: seen.length})
        try:
            permit = partial(holding_permission_to_send, session)
            await session.services.platform.submit(session.account_id, submission, key=key, permit=permit)
        except JournalError as error:
            if error.code != "journal_moved":
                raise
            found = await reason_not_to_send(session, await read_oversight(session.services.journal))
            if found is None:
                raise  # decided back meanwhile
            return found
        except PlatformRefused as refused:
            if says_nothing(refused):
                raise
            if await _moved(session):
                return None
            already = refused.code == "challenge_already_signed"
            if already and not used:
                await session.record(e.SubmissionAccepted(digest=digest, found="already_signed"))
            elif (already or refused.status in _CONFLICTS) and used and refused.code not in _SIGNATURE_DEAD:
                key = None
                continue
            elif refused.code not in _SIGNATURE_DEAD and (used or not _outlived(session)):
                return Halt(refused.code, refused.message)
            elif _may_have_been_taken(session, op.signed):
                await session.record(e.SubmissionAccepted(digest=digest, found="unclear"))
            else:
                await session.record(e.SubmissionRefused(digest=digest, code=refused.code, message=refused.message))
            return None
        await session.record(e.SubmissionAccepted(digest=digest))
        return None


async def request(session: AccountSession) -> Action | None:
    """Sends the operation's modifying request: to deactivate, reactivate or close the account.

    Raises PlatformRefused for passing refusals and for those of the credentials: the operation stays as it is.
    """
    op, platform = session.op, session.services.platform
    calls: dict[OperationKind, Callable[..., Awaitable[object]]] = {
        OperationKind.DEACTIVATE: platform.deactivate,
        OperationKind.REACTIVATE: platform.reactivate,
        OperationKind.CLOSE: platform.close,
    }
    asked_before = op.request is not None
    key, used = (op.request.idempotency_key, True) if op.request is not None else (None, False)
    if op.request is not None and _stale(session, op.request.at):
        key = None
    while True:
        if key is None:
            key, used = new_idempotency_key(), False
            await session.record(e.RequestIntended(operation=op.kind, key=key))
        try:
            await calls[op.kind](session.account_id, key=key)
        except PlatformRefused as refused:
            if says_nothing(refused):
                raise
            if await _moved(session):
                return None
            if op.request is not None:
                _wait_for_the_first(session, op.request.at, refused)
            if refused.status in _CONFLICTS and used:
                key = None
                continue
            return await _refused(session, refused, asked_before=asked_before)
        await session.record(e.RequestAccepted(operation=op.kind))
        return None


async def _refused(session: AccountSession, refused: PlatformRefused, *, asked_before: bool) -> Action | None:
    """What follows from a final refusal of a request, with the account where it was.

    A closure that was asked for already is one that the platform refuses to be asked for again, while its account
    stands where it stood: then a deletion challenge is there to be signed.
    """
    closing = session.op.kind is OperationKind.CLOSE and refused.status in _CONFLICTS
    if closing and session.state.status in (AccountStatus.ACTIVE, AccountStatus.INACTIVE):
        accepted = e.RequestAccepted(operation=OperationKind.CLOSE)
        if session.op.signed is not None and session.op.signed.sent:  # asking would end what it signs
            await session.record(accepted)
            return None
        waiting = await ask_for_challenge(session, accepted)
        if waiting is None:
            return None
        if asked_before:
            await session.record(accepted)
            return waiting
    return End("failed", refused.code, refused.message)


def _wait_for_the_first(session: AccountSession, at: datetime, refused: PlatformRefused) -> None:
    """Raises PlatformRefused (retry) after a 409 while the request before, of the time ``at``, may still be under way:
    a time yet to come, too, for then the clock was set back, and the repeat under a fresh key is of now."""
    if refused.status == 409 and session.now() - at < UNDER_WAY:
        raise PlatformRefused(
            f"{refused.message}; the first request may still be under way, it is made again under another key "
            f"{UNDER_WAY.total_seconds():.0f} s after that",
            status=409,
            code=refused.code,
            disposition=Disposition.RETRY,
        ) from refused


def _outlived(session: AccountSession) -> bool:
    """Whether the live signature's challenge is dead by its age: no refusal of it will ever turn into an acceptance."""
    at, parameters = session.op.challenge_at, session.services.parameters
    return at is None or not parameters.is_young(at, session.now(), parameters.challenge_life)


def _may_have_been_taken(session: AccountSession, before: Signed) -> bool:
    """Whether an earlier try, as the signature was ``before`` this one, may have been taken without an effect so far:
    the platform then refuses a repeat in whatever words, and another signature would be one too many. So may one whose
    time is yet to come: the clock was set back."""
    at, parameters = before.idempotency_key_at, session.services.parameters
    life = parameters.idempotency_key_life + parameters.effect  # repeats under the key, till its end, are not journaled
    return before.sent and at is not None and session.now() - at < life


def says_nothing(refused: PlatformRefused) -> bool:
    """Whether a refusal is passing (rate limit, another request in progress) or about the caller (credentials, clock):
    it does not say what became of this request, nor of an earlier one under the same key."""
    return refused.disposition is Disposition.RETRY or refused.status == 401 or refused.code in _OF_THE_CALLER


async def _moved(session: AccountSession) -> bool:
    """Whether the account has left the status that the refused request was decided on. SIDE EFFECTS: as ``observe``."""
    before = session.state.status
    await observe(session)
    return session.state.status is not before


def _stale(session: AccountSession, at: datetime | None) -> bool:
    parameters = session.services.parameters
    return at is not None and not parameters.is_young(at, session.now(), parameters.idempotency_key_life)
