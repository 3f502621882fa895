"""Creates an account on the platform, once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from orchestrator.errors import (
    Disposition,
    JournalError,
    KeyUnavailable,
    PlatformRefused,
    PlatformUnreachable,
    SettingsError,
)
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.events import creation_stream
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.models import AccountId, CustomerId
from orchestrator.ports.journal import retry_on_conflict
from orchestrator.ports.platform import PlatformAccount
from orchestrator.session import Services, new_idempotency_key
from orchestrator.steps.submit import UNDER_WAY, says_nothing

_CLOCK_MARGIN = timedelta(minutes=5)
"""How far the platform's clock may be behind ours for its ``createdAt`` still to count as after our intent."""
_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (2, 10, 60, 300))
"""How long after an uncertain request the next is made at the earliest; after as many as this and one, none is."""


async def create_account(services: Services, customer: CustomerId, currency: str, reference: str) -> PlatformAccount:
    """The account of this reference: found if it was created before, else created.

    Each request is journaled first, with its idempotency key. Where what became of one is not known, the customer's
    accounts are read back before the next: the one that nobody claims is adopted; an operator is asked if there are
    several, or still none after the last of five. A repeat within the key's hour bears the same key, for platforms
    that remember it. Where another process settles the creation too, its word is read and counts.

    Raises PlatformError's subclasses, SettingsError ``reference_taken``, JournalError ``creation_ambiguous`` and
    ``creation_unsettled`` (retry). SIDE EFFECTS: journals intent and answer; ``POST /customers/{id}/accounts``.
    """
    return await retry_on_conflict(lambda: _create(services, customer, currency, reference), creation_stream(reference))


async def _create(services: Services, customer: CustomerId, currency: str, reference: str) -> PlatformAccount:
    stream = creation_stream(reference)
    recorded = await services.journal.read(stream)
    for item in recorded:
        _same(item.event, customer, currency, reference)
    last = recorded[-1].event if recorded else None
    if isinstance(last, e.CreationAnswered):
        return await services.platform.account(AccountId(last.account_id))
    length = len(recorded)
    doubtful = _doubtful(recorded)
    key = _live_key(services, doubtful) if isinstance(last, e.CreationIntended) else None
    # Journaled, and by this process' own word not processed: its intent is the one of the next request.
    unsent = doubtful.pop() if key is not None and key in services.unsent else None
    if doubtful:
        try:
            found = await _adopt(services, customer, currency, doubtful, stream, length)
        except JournalError as error:
            if error.code != "creation_unsettled" or key is None:
                raise
            found = None  # it may be another reference's: our own key decides
        if found is not None:
            return found
    repeated = key is not None and bool(doubtful)
    if unsent is None:
        _require_another(services, doubtful, stream)
        key = key or new_idempotency_key()
        intent = e.CreationIntended(reference=reference, customer_id=customer, currency=currency, key=key)
        await services.journal.append(stream, [intent], after=length, at=services.clock())
        length += 1
    assert key is not None, f"{stream}: a request without a key"
    try:
        services.unsent.discard(key)
        account, challenge = await services.platform.create_account(customer, currency, key=key)
    except (PlatformUnreachable, SettingsError, KeyUnavailable):
        services.unsent.add(key)
        raise
    except PlatformRefused as refused:
        if says_nothing(refused):
            services.unsent.add(key)  # an earlier request under this key may have made the account: it is not given up
            raise
        if repeated:
            # The refusal of a repeat says nothing of the first request.
            found = await _adopt(services, customer, currency, doubtful, stream, length)
            if found is not None:
                return found
            if refused.status == 409:
                raise PlatformRefused(
                    refused.message, status=409, code=refused.code, disposition=Disposition.RETRY
                ) from refused
            if refused.code == "idempotency_mismatch":
                return await _under_another_key(services, customer, currency, reference, doubtful, length)
        # The key before may be in doubt too: then this refusal does not settle that.
        refusal = e.CreationRefused(code=refused.code, message=refused.message, repeated=bool(doubtful))
        await services.journal.append(stream, [refusal], after=length, at=services.clock())
        raise
    await _answered(services, stream, account, challenge, length)
    return account


async def _under_another_key(
    services: Services, customer: CustomerId, currency: str, reference: str, doubtful: Sequence[Recorded], length: int
) -> PlatformAccount:
    """The platform knows the key with another payload, and none of the accounts is that request's: it had no effect,
    once it is too old to be under way still. Raises JournalError ``creation_unsettled`` (retry) before that.

    SIDE EFFECTS: as ``create_account``.
    """
    stream = creation_stream(reference)
    if services.parameters.is_young(doubtful[-1].at, services.clock(), UNDER_WAY):
        raise JournalError(
            f"{stream}: the platform knows the key of the request of {doubtful[-1].at:%Y-%m-%dT%H:%M:%SZ} with another "
            f"payload; {UNDER_WAY.total_seconds():.0f} s after that it is made again under another key",
            code="creation_unsettled",
            disposition=Disposition.RETRY,
        )
    key = new_idempotency_key()
    intent = e.CreationIntended(reference=reference, customer_id=customer, currency=currency, key=key)
    await services.journal.append(stream, [intent], after=length, at=services.clock())
    account, challenge = await services.platform.create_account(customer, currency, key=key)
    await _answered(services, stream, account, challenge, length + 1)
    return account


def _doubtful(recorded: Sequence[Recorded]) -> list[Recorded]:
    """The intents of requests that may have made an account."""
    doubtful: list[Recorded] = []
    for item in recorded:
        match item.event:
            case e.CreationIntended():
                doubtful.append(item)
            case e.CreationRefused(repeated=False):
                doubtful = []
            case _:
                pass
    return doubtful


def _live_key(services: Services, intents: Sequence[Recorded]) -> str | None:
    """The last intent's key, as long as the platform remembers it since its first use."""
    key = _key(intents[-1])
    first = next(item for item in intents if _key(item) == key)
    parameters = services.parameters
    return key if parameters.is_young(first.at, services.clock(), parameters.idempotency_key_life) else None


def _key(item: Recorded) -> str | None:
    return item.event.key if isinstance(item.event, e.CreationIntended) else None


def _require_another(services: Services, doubtful: Sequence[Recorded], stream: str) -> None:
    """Raises JournalError: ``creation_ambiguous`` after the last request, ``creation_unsettled`` (retry) while it is
    too early for the next. No account has been found by then."""
    if not doubtful:
        return
    asked, last = len(doubtful), doubtful[-1].at
    if asked > len(_PAUSES):
        raise JournalError(
            f"{stream}: asked for {asked} times since {doubtful[0].at:%Y-%m-%dT%H:%M:%SZ} without an answer that says "
            "what became of it, and no account is shown that could be it: none more is asked for",
            code="creation_ambiguous",
        )
    if services.parameters.is_young(last, services.clock(), _PAUSES[asked - 1]):
        raise JournalError(
            f"{stream}: what became of the request of {last:%Y-%m-%dT%H:%M:%SZ} is not known yet, and no account is "
            f"shown that could be it; it is made again {_PAUSES[asked - 1].total_seconds():.0f} s after that",
            code="creation_unsettled",
            disposition=Disposition.RETRY,
        )


async def _answered(
    services: Services, stream: str, account: PlatformAccount, challenge: str | None, length: int
) -> None:
    """SIDE EFFECTS: journals the answer, whatever another process has written meanwhile.

    Raises JournalError ``creation_ambiguous`` where that was another answer.
    """
    while True:
        try:
            answer = e.CreationAnswered(account_id=account.id, challenge=challenge)
            await services.journal.append(stream, [answer], after=length, at=services.clock())
        except JournalError as error:
            if error.code != "journal_conflict":
                raise
        else:
            return
        recorded = await services.journal.read(stream)
        length = len(recorded)
        others = {item.event.account_id for item in recorded if isinstance(item.event, e.CreationAnswered)}
        if others == {account.id}:
            return
        if others:
            raise JournalError(
                f"{stream} was answered with account {', '.join(sorted(others))} in another process, and with "
                f"{account.id} in this one: expected one account",
                code="creation_ambiguous",
            )


async def _adopt(
    services: Services, customer: CustomerId, currency: str, intents: Sequence[Recorded], stream: str, length: int
) -> PlatformAccount | None:
    """``_read_back``. SIDE EFFECTS: journals an account that it finds as this reference's."""
    found = await _read_back(services, customer, currency, intents, stream)
    if found is not None:
        answered = e.CreationAnswered(account_id=found.id, found="read_back")
        try:
            await services.journal.append(stream, [answered], after=length, at=services.clock())
        except JournalError as error:
            if error.code != "account_claimed":
                raise
            # Another reference was read back meanwhile and took it: what is left is read again.
            raise JournalError(error.message, code="journal_conflict") from error
    return found


def _same(intent: Event, customer: CustomerId, currency: str, reference: str) -> None:
    if not isinstance(intent, e.CreationIntended):
        return
    if (intent.customer_id, intent.currency) != (customer, currency):
        raise SettingsError(
            f"reference {reference!r} was used for customer {intent.customer_id} and {intent.currency}, "
            f"not for {customer} and {currency}",
            code="reference_taken",
        )


async def _read_back(
    services: Services, customer: CustomerId, currency: str, intents: Sequence[Recorded], stream: str
) -> PlatformAccount | None:
    """The one account that an uncertain request of ours may have made, or None if it made none.

    The accounts are read before the journal, so that an account whose answer is being journaled is either claimed by
    then or belongs to a creation that is still open.
    """
    since = intents[0].at - _CLOCK_MARGIN
    if intents[0].at > services.clock() + services.parameters.clock_skew:
        since = datetime.min.replace(tzinfo=UTC)  # the clock was set back: when we asked is unknown
    found = [
        account
        for account in await services.platform.customer_accounts(customer)
        if account.created_at >= since and account.currencies in ((currency,), ())
    ]
    opened = await services.journal.open_creations()
    claimed = await services.journal.claimed_accounts()
    candidates = [account for account in found if account.id not in claimed]
    # One that names no currency may be of a creation in any.
    its = currency if all(account.currencies for account in candidates) else None
    rivals = [item.stream for item in opened if item.stream != stream and _may_have_made(item, customer, its, services)]
    if candidates and rivals:
        raise JournalError(
            f"account {candidates[0].id} may be of {stream} or of {', '.join(rivals)}: those are to be settled first",
            code="creation_unsettled",
            disposition=Disposition.RETRY,
        )
    if len(candidates) > 1:
        listed = ", ".join(account.id for account in candidates)
        raise JournalError(
            f"the request of {since:%Y-%m-%dT%H:%M:%SZ} may have made any of the accounts {listed}: expected at most "
            "one that no other reference claims",
            code="creation_ambiguous",
        )
    return candidates[0] if candidates else None


def _may_have_made(item: Recorded, customer: CustomerId, currency: str | None, services: Services) -> bool:
    """Whether another reference's open creation (None: in any currency) may still learn, by its own key, that an
    account is its own."""
    intent = item.event
    if not isinstance(intent, e.CreationIntended) or intent.customer_id != customer:
        return False
    if currency is not None and intent.currency != currency:
        return False
    return services.parameters.is_young(item.at, services.clock(), services.parameters.idempotency_key_life)
