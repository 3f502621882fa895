"""Creates an account on the platform, once, whatever happens on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.errors import Disposition, JournalError, PlatformRefused, SettingsError
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.models import AccountId, CustomerId
from orchestrator.ports.platform import PlatformAccount
from orchestrator.steps.submit import says_nothing
from orchestrator.steps.world import World, new_key

_CLOCK_MARGIN = timedelta(minutes=5)
"""How far the platform's clock may be behind ours for its ``createdAt`` still to count as after our intent."""


async def create_account(world: World, customer: CustomerId, currency: str, reference: str) -> PlatformAccount:
    """The account of this reference: found if it was created before, else created.

    The intent with its idempotency key is journaled first. A repeat within the key's hour sends the same key. Where
    that is refused, or the hour is over, the customer's accounts are read back: the one that nobody claims is adopted;
    an operator is asked if there are several. Raises PlatformError's subclasses, SettingsError ``reference_taken``,
    JournalError ``creation_ambiguous`` and ``creation_unsettled`` (retry).
    """
    stream = f"reference:{reference}"
    recorded = await world.journal.read(stream)
    intents = [item for item in recorded if isinstance(item.event, e.CreationIntended)]
    last = recorded[-1].event if recorded else None
    for item in intents:
        _same(item.event, customer, currency, reference)
    if isinstance(last, e.CreationAnswered):
        return await world.platform.account(AccountId(last.account_id))
    length = len(recorded)
    key = None
    doubtful = isinstance(last, e.CreationIntended) or (isinstance(last, e.CreationRefused) and last.repeated)
    if isinstance(last, e.CreationIntended) and world.rules.is_young(
        intents[-1].at, world.clock(), world.rules.key_life
    ):
        key = last.key
    elif doubtful:
        found = await _adopt(world, customer, currency, intents, stream, length)
        if found is not None:
            return found
    fresh = key is None
    if key is None:
        key = new_key()
        intent = e.CreationIntended(reference=reference, customer_id=customer, currency=currency, key=key)
        await world.journal.append(stream, [intent], after=length, at=world.clock())
        length += 1
    try:
        account, _challenge = await world.platform.create_account(customer, currency, key=key)
    except PlatformRefused as refused:
        if says_nothing(refused):
            raise  # an earlier request under this key may have made the account: the key is not given up
        if not fresh:
            # The refusal of a repeat says nothing of the first request.
            found = await _adopt(world, customer, currency, intents, stream, length)
            if found is not None:
                return found
            if refused.status == 409:
                raise PlatformRefused(
                    refused.message, status=409, code=refused.code, disposition=Disposition.RETRY
                ) from refused
            if refused.code == "idempotency_mismatch":
                raise
        # The key before may be in doubt too: then this refusal does not settle that.
        refusal = e.CreationRefused(code=refused.code, message=refused.message, repeated=not fresh or doubtful)
        await world.journal.append(stream, [refusal], after=length, at=world.clock())
        raise
    await world.journal.append(stream, [e.CreationAnswered(account_id=account.id)], after=length, at=world.clock())
    return account


async def _adopt(
    world: World, customer: CustomerId, currency: str, intents: list[Recorded], stream: str, length: int
) -> PlatformAccount | None:
    """``_read_back``. SIDE EFFECTS: journals an account that it finds as this reference's."""
    found = await _read_back(world, customer, currency, intents, stream)
    if found is not None:
        answered = e.CreationAnswered(account_id=found.id, found="read_back")
        await world.journal.append(stream, [answered], after=length, at=world.clock())
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
    world: World, customer: CustomerId, currency: str, intents: list[Recorded], stream: str
) -> PlatformAccount | None:
    """The one account that an uncertain request of ours may have made, or None if it made none.

    The accounts are read before the journal, so that an account whose answer is being journaled is either claimed by
    then or belongs to a creation that is still open.
    """
    since = intents[0].at - _CLOCK_MARGIN
    if intents[0].at > world.clock() + world.rules.clock_skew:
        since = datetime.min.replace(tzinfo=UTC)  # the clock was set back: when we asked cannot be told
    found = [
        account
        for account in await world.platform.customer_accounts(customer)
        if account.created_at >= since and account.currencies == (currency,)
    ]
    rivals = [
        item.stream
        for item in await world.journal.open_creations()
        if item.stream != stream and _may_have_made(item, customer, currency, world)
    ]
    claimed = await world.journal.claimed_accounts()
    candidates = [account for account in found if account.id not in claimed]
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


def _may_have_made(item: Recorded, customer: CustomerId, currency: str, world: World) -> bool:
    """Whether another reference's open creation may still learn, by its own key, that an account is its own."""
    intent = item.event
    if not isinstance(intent, e.CreationIntended) or (intent.customer_id, intent.currency) != (customer, currency):
        return False
    return world.rules.is_young(item.at, world.clock(), world.rules.key_life)
