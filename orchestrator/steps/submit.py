"""Sends what was journaled: the signed challenge, and the requests that change an account.

Each request's idempotency key is journaled before it is used and is used again after an uncertain answer, as long as
the platform remembers it (one hour); after that the platform's state, read back before every decision, shows whether
the request took effect. A refusal is believed only after the account was read back too: a repeat may be refused just
because the first request was taken.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

from orchestrator.authorization.gate import read_oversight
from orchestrator.authorization.permission import holding_permission_to_send, reason_not_to_send
from orchestrator.challenge.decode import Challenge
from orchestrator.errors import Disposition, JournalError, PlatformRefused
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Action, End, Halt
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.models import AccountStatus, ChainAccount, OperationKind
from orchestrator.ports.platform import Submission
from orchestrator.session import AccountSession, new_idempotency_key

_SIGNATURE_DEAD = frozenset({"signature_refused", "challenge_expired"})
"""Refusals of ``submit`` after which the platform issues another challenge (API page)."""

_OF_THE_CALLER = frozenset({"clock_skew", "platform_login_refused", "request_signature_refused"})
"""Refusals of the caller, whatever the request: nothing is learnt of the account."""


async def submit(session: AccountSession) -> Action | None:
    """Submits the live signature, if it may be sent; that is asked again before each try. A final refusal kills it, and
    a new challenge is fetched.

    Raises PlatformRefused for passing refusals and for those of the credentials: the signature stays live. Raises as
    ``reason_not_to_send`` besides.
    """
    op = session.op
    if op.signed is None or op.challenge is None:
        raise AssertionError("a signature is made before it is submitted")
    seen = await read_oversight(session.services.journal)
    found = await reason_not_to_send(session, seen)
    if found is not None:
        return found
    key = op.signed.idempotency_key
    if key is None or _stale(session, op.signed.idempotency_key_at):
        key = new_idempotency_key()
        await session.record(
            e.SubmissionIntended(digest=op.signed.digest, key=key), unchanged={DECISIONS_STREAM: seen.length}
        )
    submission = Submission(
        signer=ChainAccount.parse(op.signed.signer),
        challenge=op.challenge.challenge,
        signature=bytes.fromhex(op.signed.signature.removeprefix("0x")),
    )
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
        dead = refused.code in _SIGNATURE_DEAD
        if not dead:
            if await _moved(session):
                return None
            offered = await offered_challenge(session)
            dead = offered is not None and offered.digest != op.signed.digest
        if not dead:
            return Halt(refused.code, refused.message)
        await session.record(e.SubmissionRefused(digest=op.signed.digest, code=refused.code, message=refused.message))
        return None
    await session.record(e.SubmissionAccepted(digest=op.signed.digest))
    return None


async def request(session: AccountSession) -> Action | None:
    """Sends the operation's modifying request: to deactivate, reactivate or close the account.

    Raises PlatformRefused for passing refusals and for those of the credentials: the operation stays as it is.
    """
    op = session.op
    key = op.request.idempotency_key if op.request is not None else None
    if key is None or _stale(session, op.request.at if op.request else None):
        if key is not None and await _closing(session):
            await session.record(e.RequestAccepted(operation=op.kind))
            return None
        key = new_idempotency_key()
        await session.record(e.RequestIntended(operation=op.kind, key=key))
    platform = session.services.platform
    calls = {
        OperationKind.DEACTIVATE: platform.deactivate,
        OperationKind.REACTIVATE: platform.reactivate,
        OperationKind.CLOSE: platform.close,
    }
    try:
        await calls[op.kind](session.account_id, key=key)
    except PlatformRefused as refused:
        if says_nothing(refused):
            raise
        if await _moved(session):
            return None
        if not await _closing(session):
            return End("failed", refused.code, refused.message)
    await session.record(e.RequestAccepted(operation=op.kind))
    return None


def says_nothing(refused: PlatformRefused) -> bool:
    """Whether a refusal is passing (rate limit, another request in progress) or about the caller (credentials, clock):
    it does not say what became of this request, nor of an earlier one under the same key."""
    return refused.disposition is Disposition.RETRY or refused.status == 401 or refused.code in _OF_THE_CALLER


async def offered_challenge(session: AccountSession) -> Challenge | None:
    """The challenge on offer for this operation. For a closure never the creation challenge, which may still be on
    offer: signing that would deploy, not close."""
    issued = await session.services.platform.challenge(session.account_id)
    challenge = Challenge.parse(issued) if issued is not None else None
    if challenge is not None and session.op.kind is OperationKind.CLOSE and challenge.digest in session.state.digests:
        return None
    return challenge


async def _moved(session: AccountSession) -> bool:
    """Whether the account has left the status that the refused request was decided on."""
    account = await session.services.platform.account(session.account_id)
    return account.status is not session.state.status


async def _closing(session: AccountSession) -> bool:
    """Whether the platform waits for a deletion to be signed: then it has taken an earlier DELETE."""
    if session.op.kind is not OperationKind.CLOSE or session.state.status is AccountStatus.INITIATING:
        return False
    return await offered_challenge(session) is not None


def _stale(session: AccountSession, at: datetime | None) -> bool:
    parameters = session.services.parameters
    return at is not None and not parameters.is_young(at, session.now(), parameters.idempotency_key_life)
