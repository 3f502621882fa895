"""The creation of an account: once, whatever becomes of its requests and whoever else settles it."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.errors import (
    Disposition,
    JournalError,
    OrchestratorError,
    PlatformRefused,
    PlatformUnreachable,
    UncertainAnswer,
)
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.steps.create import create_account
from tests.journal.databases import postgres_server  # noqa: F401
from tests.profile import FULL

CUSTOMER = "c0000000-0000-4000-8000-000000000001"


@pytest.fixture
def here(lab):
    return lab()


def lost(here, reference="order-1"):
    here.faults.queue.append(("create_account", "lost"))
    with pytest.raises(UncertainAnswer):
        here.create(reference)


def on_its_way(here, monkeypatch, reference="order-1") -> str:
    """The request gets no answer, and has no effect yet. Returns its key, a little later."""

    async def slow(*_args, **_options):
        raise UncertainAnswer("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(here.platform, "create_account", slow)
        with pytest.raises(UncertainAnswer):
            here.create(reference)
    here.pass_time(seconds=3)
    return here.events(f"reference:{reference}", e.CreationIntended)[-1].key


@pytest.mark.parametrize("minutes", [1, 54, 56, 61, 600])
def test_an_uncertain_creation_is_settled_with_one_account(here, minutes):
    lost(here)
    here.pass_time(minutes=minutes)
    found = here.create()
    assert [found.id] == list(here.platform.accounts_)
    assert here.create().id == found.id


@pytest.mark.parametrize(
    ("status", "code", "disposition"),
    [
        (429, "platform_rate_limited", Disposition.RETRY),
        (401, "platform_unauthorized", None),
        (403, "clock_skew", None),
    ],
)
def test_a_refused_repeat_does_not_give_the_key_up(here, monkeypatch, status, code, disposition):
    key, asked = on_its_way(here, monkeypatch), []

    async def refuse(*_args, key):
        asked.append(key)
        raise PlatformRefused("refused before the key was looked up", status=status, code=code, disposition=disposition)

    with monkeypatch.context() as patch:
        patch.setattr(here.platform, "create_account", refuse)
        for _ in range(20):  # nor does it count: it was surely not processed
            with pytest.raises(PlatformRefused):
                here.create()
    here.create()
    assert asked == [key] * 20
    assert list(here.platform.keys) == [key]
    assert len(here.platform.accounts_) == 1


STATUSES = [
    (400, "platform_bad_request"),
    (403, "platform_forbidden"),
    (404, "customer_not_found"),
    (409, "platform_conflict"),
    (422, "idempotency_mismatch"),
    (422, "customer_not_active"),
]


@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_a_refused_repeat_adopts_what_the_first_request_made(here, monkeypatch, status, code):
    key, create_account = on_its_way(here, monkeypatch), here.platform.create_account

    async def refuse(*_args, **_options):
        await create_account(CUSTOMER, "EUR", key=key)  # the first arrives now
        raise PlatformRefused("refused", status=status, code=code)

    with monkeypatch.context() as patch:
        patch.setattr(here.platform, "create_account", refuse)
        found = here.create()
    assert [found.id] == list(here.platform.accounts_)
    assert here.create().id == found.id
    assert len(here.platform.accounts_) == 1


@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_a_first_request_that_arrives_after_its_refused_repeat_makes_the_only_account(here, monkeypatch, status, code):
    key, used = on_its_way(here, monkeypatch), []

    async def refuse(*_args, key):
        used.append(key)
        raise PlatformRefused("refused", status=status, code=code)

    with monkeypatch.context() as patch:
        patch.setattr(here.platform, "create_account", refuse)
        with pytest.raises(OrchestratorError) as raised:
            here.create()
    assert used == [key]
    if code == "idempotency_mismatch":
        assert raised.value.code == "creation_unsettled", "it may be under way still"
    if status in (409, 422) and code != "customer_not_active":
        assert raised.value.disposition is Disposition.RETRY
        assert here.events("reference:order-1", e.CreationRefused) == []
    here.run(here.platform.create_account(CUSTOMER, "EUR", key=key))  # it arrives
    assert [here.create().id] == list(here.platform.accounts_)


def test_a_platform_that_forgets_keys_and_loses_answers_makes_one_account(here):
    """A repeat makes another account there, so the accounts are read back before it."""
    for _ in range(3):
        here.platform.keys.clear()
        here.faults.queue.append(("create_account", "lost"))
        with contextlib.suppress(UncertainAnswer):
            here.create()
        here.pass_time(minutes=10)
    assert len(here.platform.accounts_) == 1
    assert here.create().id in here.platform.accounts_


def hidden(here, monkeypatch):
    """The platform forgets keys, gives no answers, and shows none of the accounts that it makes."""
    create_account, asked = here.platform.create_account, []

    async def forgets(customer_id, currency, *, key):
        asked.append(here.now)
        here.platform.keys.clear()
        await create_account(customer_id, currency, key=key)
        raise UncertainAnswer("no answer")

    async def none(_customer_id):
        return []

    monkeypatch.setattr(here.platform, "create_account", forgets)
    monkeypatch.setattr(here.platform, "customer_accounts", none)
    return asked


def test_uncertain_requests_are_few_and_further_and_further_apart(here, monkeypatch):
    asked, started, codes = hidden(here, monkeypatch), here.now, {}
    for seconds in (0, 1, 2, 3, 11, 12, 13, 71, 72, 73, 371, 372, 373, 1000):
        here.now = started + timedelta(seconds=seconds)
        with pytest.raises((UncertainAnswer, JournalError)) as raised:
            here.create()
        codes[seconds] = raised.value.code
    assert [int((at - asked[0]).total_seconds()) for at in asked] == [0, 2, 12, 72, 372]
    assert len(here.platform.accounts_) == 5
    assert codes[371] == "creation_unsettled"
    assert codes[373] == codes[1000] == "creation_ambiguous"
    here.pass_time(minutes=600)
    with pytest.raises(JournalError, match="none more is asked for") as raised:
        here.create()
    assert raised.value.disposition is Disposition.OPERATOR
    assert len(asked) == 5, "nor with a new key, when the old one's hour is over"


def test_a_process_that_dies_in_each_request_makes_no_more_either(here, monkeypatch):
    asked = hidden(here, monkeypatch)
    for _ in range(20):
        with pytest.raises((UncertainAnswer, JournalError)):
            here.create()
        here.services.unsent.clear()  # another process knows the journal only
        here.pass_time(minutes=10)
    assert len(asked) == 5


def test_several_new_accounts_ask_for_an_operator_and_for_no_account_more(here, monkeypatch):
    key = on_its_way(here, monkeypatch)
    for number in range(2):
        here.run(here.platform.create_account(CUSTOMER, "EUR", key=f"{key}-{number}"))
    with pytest.raises(JournalError) as raised:
        here.create()
    assert raised.value.code == "creation_ambiguous"
    assert len(here.platform.accounts_) == 2


def test_of_two_references_at_once_each_is_told_its_account_by_its_own_key(here, monkeypatch):
    """The first one's request has arrived and the second one's has not: neither takes the account of the other."""
    lost(here, "first")
    on_its_way(here, monkeypatch, "second")
    second, first = here.create("second"), here.create("first")
    assert [first.id, second.id] == list(here.platform.accounts_)


def test_what_was_surely_not_sent_does_not_count(here):
    for _ in range(20):
        here.faults.queue.append(("create_account", "unreachable"))
        with pytest.raises(PlatformUnreachable):
            here.create()
    here.create()
    assert len(here.platform.accounts_) == len(here.events("reference:order-1", e.CreationIntended)) == 1


@pytest.mark.parametrize("moment", ["before the answer", "before the intent"])
def test_a_creation_that_another_machine_settles_is_read_again(here, moment):
    """No lock is between machines that share a database."""
    append, other = here.journal.append, []

    async def late(stream, new, **conditions):
        wanted = e.CreationAnswered if moment == "before the answer" else e.CreationIntended
        if not other and isinstance(new[0], wanted):
            other.append(True)
            settled = await create_account(here.services, CUSTOMER, "EUR", "order-1")
            other.append(settled.id)
        return await append(stream, new, **conditions)

    here.journal.append = late
    found = here.create()
    assert other == [True, found.id]
    assert list(here.platform.accounts_) == [found.id]


def test_a_key_that_the_platform_knows_with_another_payload_is_replaced_by_a_new_one(here, monkeypatch):
    key, create_account, asked = on_its_way(here, monkeypatch), here.platform.create_account, []

    async def mismatch(*arguments, key):
        asked.append(key)
        if key == asked[0]:
            raise PlatformRefused("another payload", status=422, code="idempotency_mismatch")
        return await create_account(*arguments, key=key)

    monkeypatch.setattr(here.platform, "create_account", mismatch)
    with pytest.raises(JournalError) as raised:
        here.create()
    assert (raised.value.code, raised.value.disposition) == ("creation_unsettled", Disposition.RETRY)
    here.pass_time(minutes=2)
    found = here.create()
    intended = [event.key for event in here.events("reference:order-1", e.CreationIntended)]
    assert (intended[0], intended[-1]) == (key, asked[-1])
    assert asked[-1] != key
    assert list(here.platform.accounts_) == [found.id]
    assert here.create().id == found.id


def test_an_account_without_currencies_may_be_the_one_that_was_made(here, monkeypatch):
    lost(here)
    document = here.platform._document
    monkeypatch.setattr(here.platform, "_document", lambda account: replace(document(account), currencies=()))
    assert here.create().id in here.platform.accounts_
    assert len(here.platform.accounts_) == 1


def test_a_final_refusal_lets_a_corrected_repeat_ask_again(here, monkeypatch):
    async def refuse(*_args, **_options):
        raise PlatformRefused("the customer is pending", status=422, code="customer_not_active")

    with monkeypatch.context() as patch:
        patch.setattr(here.platform, "create_account", refuse)
        with pytest.raises(PlatformRefused):
            here.create()
    here.create()
    keys = [event.key for event in here.events("reference:order-1", e.CreationIntended)]
    assert len(set(keys)) == len(keys) == 2


def test_a_clock_set_back_does_not_make_a_dead_key_live(here):
    here.skew = timedelta(hours=3)
    lost(here)
    here.skew = timedelta(0)
    here.pass_time(minutes=61)
    here.create()
    assert len(here.platform.accounts_) == 1


def test_an_account_that_names_no_currency_may_be_of_a_reference_in_another(here):
    here.faults.queue.append(("create_account", "unreachable"))
    with pytest.raises(Exception, match="no connection"):
        here.create("first")
    here.pass_time(minutes=61)
    here.faults.queue.append(("create_account", "lost"))
    with pytest.raises(UncertainAnswer):
        here.run(create_account(here.services, CUSTOMER, "USD", "second"))
    read = here.platform.customer_accounts

    async def without_currencies(customer):
        return [replace(account, currencies=()) for account in await read(customer)]

    here.platform.customer_accounts = without_currencies
    with pytest.raises(JournalError) as raised:
        here.create("first")
    assert (raised.value.code, raised.value.disposition) == ("creation_unsettled", Disposition.RETRY)


def test_an_account_that_may_be_of_another_reference_is_not_taken(here):
    """Two references of one customer: the first one's request never arrived, the second one's answer was lost."""
    here.faults.queue.append(("create_account", "unreachable"))
    with pytest.raises(Exception, match="no connection"):
        here.create("first")
    here.pass_time(minutes=61)
    lost(here, "second")
    with pytest.raises(JournalError) as raised:
        here.create("first")
    assert (raised.value.code, raised.value.disposition) == ("creation_unsettled", Disposition.RETRY)
    assert here.create("second").id != here.create("first").id
    assert len(here.platform.accounts_) == 2


def test_two_references_that_are_both_stale_get_an_account_each(here):
    for reference in ("first", "second"):
        lost(here, reference)
        here.pass_time(minutes=61)
    with pytest.raises(JournalError, match="expected at most one") as raised:
        here.create("first")
    assert raised.value.code == "creation_ambiguous"
    assert len(here.platform.accounts_) == 2


def test_an_account_that_another_reference_takes_meanwhile_is_not_an_operator_s(here):
    """Two stale references, of which one made an account, are read back at once: the one gets it, the other another."""
    for reference in ("A", "B"):
        lost(here, reference)
    here.platform.accounts_.popitem()
    here.platform.keys.clear()
    here.pass_time(minutes=70)

    async def both():
        return await asyncio.gather(*(create_account(here.services, CUSTOMER, "EUR", one) for one in "AB"))

    found = {account.id for account in here.run(both())}
    assert found == set(here.platform.accounts_)
    assert len(found) == 2


def test_two_machines_that_share_a_server_settle_one_creation_as_one(here, postgres_server):  # noqa: F811
    """No lock is between them. Whoever is outrun reads again, so that nothing but passing trouble comes of it."""
    url, number = postgres_server.new_schema(), 30 if FULL else 6

    async def settle(services, reference, start) -> str:
        await start.wait()
        while True:
            try:
                return (await create_account(services, CUSTOMER, "EUR", reference)).id
            except OrchestratorError as error:
                if error.disposition is not Disposition.RETRY:
                    raise
                here.now += timedelta(seconds=3)

    async def race() -> None:
        async with await Journal.open(url) as mine, await Journal.open(url) as other:
            worlds = [replace(here.services, journal=journal, unsent=set()) for journal in (mine, other)]
            for reference in map(str, range(number)):
                start = asyncio.Event()
                tasks = [asyncio.create_task(settle(services, reference, start)) for services in worlds * 2]
                start.set()
                assert len(set(await asyncio.gather(*tasks))) == 1

    here.run(race())
    assert len(here.platform.accounts_) == number
