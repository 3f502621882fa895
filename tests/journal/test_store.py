"""The journal's promises: what was appended stays, in order, once; what was tampered with is found."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import Disposition, JournalError, SettingsError
from orchestrator.journal import transactions
from orchestrator.journal.store import GENESIS, Journal
from orchestrator.lifecycle import events as e
from orchestrator.models import OperationKind
from tests.forked import Forked

from .databases import EXAMPLES

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = e.OperationStarted(operation=OperationKind.ACTIVATE)


async def test_facts_come_back_as_they_were(journal):
    at = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    observed = e.PlatformObserved(
        customer_id="c", status="active", wallet=None, owner="eip155:1:0x", updated_at=NOW + timedelta(microseconds=7)
    )
    written = await journal.append("a", [STARTED, observed], after=0, at=at)
    assert await journal.read("a") == written
    assert [(item.seq, item.stream, item.event) for item in written] == [(1, "a", STARTED), (2, "a", observed)]
    assert written[0].previous == GENESIS
    assert written[1].previous == written[0].hash
    assert written[0].at == at
    assert await journal.append("a", [], after=2, at=at) == []


async def test_a_closed_journal_says_so(journal):
    await journal.close()
    for call in (journal.read("a"), journal.append("a", [STARTED], after=0, at=NOW)):
        with pytest.raises(SettingsError, match="is closed") as raised:
            await call
        assert raised.value.code == "not_open"


async def test_streams_are_apart_and_the_chain_is_one(journal):
    await journal.append("a", [STARTED], after=0, at=NOW)
    await journal.append("b", [STARTED], after=0, at=NOW)
    (third,) = await journal.append("a", [STARTED], after=1, at=NOW)
    assert third.seq == 3
    assert [item.stream for item in await journal.read_all()] == ["a", "b", "a"]
    assert [item.seq for item in await journal.read_all(after=1, limit=1)] == [2]
    assert await journal.streams() == ["a", "b"]


@pytest.mark.parametrize("after", [0, 2])
async def test_who_has_not_seen_all_cannot_append(journal, after):
    await journal.append("a", [STARTED], after=0, at=NOW)
    with pytest.raises(JournalError, match=f"1 events, expected {after}") as raised:
        await journal.append("a", [STARTED], after=after, at=NOW)
    assert raised.value.code == "journal_conflict"
    assert (await journal.verify()).events == 1


# --- claims ----------------------------------------------------------------------


async def test_an_account_answers_one_creation_only(journal):
    await journal.append("reference:r", [e.CreationAnswered(account_id="a")], after=0, at=NOW)
    with pytest.raises(JournalError) as raised:
        await journal.append("reference:s", [e.CreationAnswered(account_id="a")], after=0, at=NOW)
    assert raised.value.code == "account_claimed"
    assert await journal.claimed_accounts() == {"a"}


async def test_open_creations(journal):
    def intended(reference: str) -> e.CreationIntended:
        return e.CreationIntended(reference=reference, customer_id="c", currency="EUR", key="k")

    refused = e.CreationRefused(code="c", message="m")
    await journal.append("reference:r", [intended("r")], after=0, at=NOW)
    await journal.append("reference:s", [intended("s"), e.CreationAnswered(account_id="a")], after=0, at=NOW)
    await journal.append("reference:t", [intended("t"), refused], after=0, at=NOW)
    await journal.append("reference:u", [intended("u"), refused, intended("u")], after=0, at=NOW)
    assert [item.stream for item in await journal.open_creations()] == ["reference:r", "reference:u"]


# --- tampering -------------------------------------------------------------------

EVENTS = 5
TAMPERINGS = {
    "at": "UPDATE events SET at = '2027-01-01T00:00:00.000000Z' WHERE seq = 3",
    "type": "UPDATE events SET type = 'operation_continued' WHERE seq = 3",
    "data": 'UPDATE events SET data = \'{"operation":"close"}\' WHERE seq = 3',
    "data's form": "UPDATE events SET data = data || ' ' WHERE seq = 3",
    "data as bytes": "UPDATE events SET data = CAST(data AS BLOB) WHERE seq = 3",
    "data of no encoding": "UPDATE events SET data = CAST(x'22ff22' AS TEXT) WHERE seq = 3",
    "data of no type": "UPDATE events SET data = '[]' WHERE seq = 3",
    "stream": "UPDATE events SET stream = 'b' WHERE seq = 3",
    "stream_seq": "UPDATE events SET stream_seq = 30 WHERE seq = 3",
    "previous": "UPDATE events SET previous = hash WHERE seq = 3",
    "hash": "UPDATE events SET hash = previous WHERE seq = 3",
    "seq": "UPDATE events SET seq = 30 WHERE seq = 3",
    "seq below": "UPDATE events SET seq = -1 WHERE seq = 3",
    "seq as text": "UPDATE events SET seq = 'three' WHERE seq = 3",
    "deleted": "DELETE FROM events WHERE seq = 3",
    "deleted and closed up": "DELETE FROM events WHERE seq = 3; UPDATE events SET seq = seq - 1 WHERE seq > 3",
    "swapped": "UPDATE events SET seq = 30 WHERE seq = 3; UPDATE events SET seq = 3 WHERE seq = 4; "
    "UPDATE events SET seq = 4 WHERE seq = 30",
    "inserted": "UPDATE events SET seq = seq + 1000 WHERE seq >= 3; UPDATE events SET seq = seq - 999 WHERE seq > 999; "
    "INSERT INTO events SELECT 3, 'b', 1, at, type, data, previous, hash FROM events WHERE seq = 4",
}

SQLITE_ONLY = {"data as bytes", "data of no encoding", "seq as text"}


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_tampering_is_found(journal, database, name):
    if database.kind == "postgresql" and name in SQLITE_ONLY:
        pytest.skip("its columns have types that hold")
    await journal.append("a", [STARTED] * EVENTS, after=0, at=NOW)
    before = await journal.verify()
    assert (before.valid, before.events, before.first_bad) == (True, EVENTS, None)
    database.script(TAMPERINGS[name])
    after = await journal.verify()
    assert not after.valid
    assert after.first_bad == 3
    assert after.events == 2
    assert after.head == (await journal.read_all(limit=2))[-1].hash


async def test_the_last_event_moved_below_the_first_is_found(journal, database):
    await journal.append("a", [STARTED] * EVENTS, after=0, at=NOW)
    database.script(f"UPDATE events SET seq = -1 WHERE seq = {EVENTS}")
    assert not (await journal.verify()).valid


async def test_what_is_cut_off_shows_in_the_head(journal, database):
    written = await journal.append("a", [STARTED] * EVENTS, after=0, at=NOW)
    database.script(f"DELETE FROM events WHERE seq = {EVENTS}")
    after = await journal.verify()
    assert (after.valid, after.events, after.head) == (True, EVENTS - 1, written[-2].hash)


@pytest.mark.parametrize("name", ["data of no type", "data of no encoding", "type", "data as bytes"])
async def test_unreadable_events_are_named_and_no_surprise(journal, database, name):
    if database.kind == "postgresql" and name in SQLITE_ONLY:
        pytest.skip("its columns have types that hold")
    await journal.append("a", [STARTED] * EVENTS, after=0, at=NOW)
    database.script(TAMPERINGS[name].replace("operation_continued", "from_tomorrow"))
    try:
        await journal.read("a")
    except JournalError as error:
        assert error.code in {"journal_unreadable", "journal_database", "journal_damaged"}  # noqa: PT017


async def test_an_empty_journal_is_whole(journal):
    found = await journal.verify()
    assert (found.valid, found.events, found.head) == (True, 0, GENESIS)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(data=st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_any_text_comes_back_and_verifies(database, data):
    async def run() -> None:
        async with await Journal.open(database.url) as journal:
            database.empty()
            event = e.PreflightTaken(wei="1" * 40, tokens=data, cards=data)
            await journal.append("a", [event], after=0, at=NOW)
            assert (await journal.read("a"))[0].event == event
            assert (await journal.verify()).valid

    asyncio.run(run())


# --- trouble with the file ---------------------------------------------------------


async def test_a_database_that_stays_locked_is_passing_trouble(journal, database, monkeypatch):
    await journal.append("a", [STARTED], after=0, at=NOW)
    monkeypatch.setattr(transactions, "_WAIT", 0.05)
    loop = asyncio.get_running_loop()
    async with await Journal.open(database.url) as other:

        def work(_: sa.Connection) -> None:
            appending = journal.append("a", [STARTED], after=1, at=NOW)
            asyncio.run_coroutine_threadsafe(appending, loop).result()

        with pytest.raises(JournalError) as raised:
            await other._database.write(work)
    assert (raised.value.code, raised.value.disposition) == ("journal_busy", Disposition.RETRY)
    await journal.append("a", [STARTED], after=1, at=NOW)


async def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path):
    async with await Journal.open(f"sqlite:///{tmp_path / 'journal.db'}") as journal:

        def full(connection: sa.Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        await journal._database.write(full)
        big = e.OperationHalted(code="c", message="m" * 3000)
        with pytest.raises(JournalError, match="full"):
            await journal.append("a", [big] * 50, after=0, at=NOW)
        assert await journal.read("a") == []


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from orchestrator.journal.store import Journal
from orchestrator.lifecycle.events import OperationHalted

async def main():
    async with await Journal.open(sys.argv[1]) as journal:
        for number in range(100_000):
            event = OperationHalted(code=str(number), message="m")
            await journal.append("a", [event], after=number, at=datetime.now(UTC))
            print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 40])
async def test_a_kill_loses_nothing_that_was_acknowledged(database, acknowledged):
    with Forked([sys.executable, "-c", WRITER, database.url], stdout=subprocess.PIPE, text=True) as writer:
        told = [int(writer.stdout.readline()) for _ in range(acknowledged)]
        os.kill(writer.pid, signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().splitlines()]
        assert writer.wait() == -signal.SIGKILL
    async with await Journal.open(database.url) as journal:
        found = [int(item.event.code) for item in await journal.read("a")]
        assert found == list(range(len(found)))
        assert found[: len(told)] == told
        assert len(found) <= len(told) + 1
        assert (await journal.verify()).valid
        await journal.append("a", [STARTED], after=len(found), at=NOW)


# --- the inbox and certificates ------------------------------------------------------


async def test_a_webhook_is_kept_once_and_handled_once(journal):
    assert await journal.receive("e2", "account.updated", "a", json.dumps({}), NOW)
    assert await journal.receive("e1", "customer.updated", None, "{}", NOW + timedelta(seconds=1))
    assert not await journal.receive("e2", "account.updated", "a", "other", NOW)
    assert await journal.unhandled() == [("e2", "a"), ("e1", None)]
    await journal.handled("e2", NOW)
    assert await journal.unhandled() == [("e1", None)]


async def test_certificates(journal):
    digest = await journal.keep_certificate("a", b"body")
    assert await journal.keep_certificate("a", b"body") == digest
    assert await journal.certificate(digest) == b"body"
    assert await journal.certificate("0" * 64) is None


@pytest.mark.both_databases
async def test_who_only_reads_makes_no_journal(database):
    """Neither a file nor, on a server, tables; what is there already is opened."""
    for _ in range(2):
        with pytest.raises(SettingsError) as raised:
            await Journal.open(database.url, create=False)
        assert raised.value.code == "database_missing"
        assert database.path is None or not database.path.exists()
    async with await Journal.open(database.url) as made:
        identity = await made.identity()
    async with await Journal.open(database.url, create=False) as found:
        assert await found.identity() == identity
        assert found.is_there
    async with await Journal.missing() as missing:
        assert not missing.is_there
        assert await missing.read_all() == []


async def test_many_may_read_and_write_what_is_in_memory_only_at_once():
    async with await Journal.missing() as missing:
        events = [e.OperationHalted(code=str(number), message="m") for number in range(20)]
        writing = [missing.append(f"s{number}", [one], after=0, at=NOW) for number, one in enumerate(events)]
        await asyncio.gather(*writing, *(missing.read(f"s{number}") for number in range(20)), missing.streams())
        assert len(await missing.read_all()) == 20
        assert (await missing.verify()).valid


async def test_accounts_by_the_beginning_of_their_id(journal):
    """Those that were worked on, and those that were only created here."""
    one, other = "5df359f0-d299-40a1-8023-17c77a50144c", "5df359f0-d299-40a1-8023-17c77a50144d"
    await journal.append(one, [STARTED], after=0, at=NOW)
    intent = e.CreationIntended(reference="r", customer_id="c", currency="EUR", key="k")
    await journal.append("reference:r", [intent, e.CreationAnswered(account_id=other)], after=0, at=NOW)
    assert await journal.accounts_beginning("5df359") == {one, other}
    assert await journal.accounts_beginning(one) == {one}
    assert await journal.accounts_beginning("5df35a") == await journal.accounts_beginning("%") == set()
    assert await journal.creation_streams() == {other: "reference:r"}
    assert await journal.creation_streams(one) == {}
