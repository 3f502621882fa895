"""A journal of the first release: its events stay as they are, the tables beside them are derived anew.

``data/first_release.sql`` was written by that release (a dump of its SQLite file).
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.challenge.expectation import ChallengeHistory
from orchestrator.errors import JournalError, SettingsError
from orchestrator.journal.store import Journal

from .facts import KEYSTORE, NOW, intended, signed

DUMP = Path(__file__).parent / "data" / "first_release.sql"
A, B = (f"{n * 8}-{n * 4}-4{n * 3}-8{n * 3}-{n * 12}" for n in "ab")


def digest(number: int) -> str:
    return f"0x{number:064x}"


@pytest.fixture
def first_release(database):
    """The database as the first release left it."""
    text = DUMP.read_text()
    if database.kind == "sqlite":
        database.path.parent.mkdir(mode=0o700)
        with closing(sqlite3.connect(database.path)) as connection:
            connection.executescript(text)
    else:
        statements = [part.strip() for part in text.replace(" BLOB ", " BYTEA ").split(";\n")]
        rows = [
            part.replace(",0)", ",false)").replace(",1)", ",true)") if "signatures" in part else part
            for part in statements
        ]
        database.execute(*(part for part in rows if part and part not in {"BEGIN TRANSACTION", "COMMIT"}))
    return database


async def test_nothing_that_was_written_changes(first_release):
    before = first_release.execute("SELECT * FROM events ORDER BY seq")
    claims = first_release.execute("SELECT * FROM claims")
    async with await Journal.open(first_release.url) as journal:
        assert first_release.execute("SELECT * FROM events ORDER BY seq") == before
        assert first_release.execute("SELECT * FROM claims") == claims
        found = await journal.verify()
        assert (found.valid, found.events, found.tables) == (True, len(before), None)
        assert len(await journal.read_all()) == len(before)
        assert await journal.identity()


async def test_the_tables_hold_what_was_signed_and_fetched(first_release):
    async with await Journal.open(first_release.url) as journal:
        rows = {row.digest: row for row in await journal.signature_rows()}
        assert {number: (rows[digest(number)].account_id, rows[digest(number)].live) for number in (1, 2, 3, 4, 6)} == {
            1: (A, False), 2: (A, False), 3: (A, True), 4: (A, True), 6: (B, True),
        }  # fmt: skip
        assert len(rows) == 5, "the first release signed one challenge for two accounts: the first keeps it"
        assert all(row.made and row.at and row.signer and row.key is None for row in rows.values())
        assert rows[digest(4)].purpose == "deletion"
        assert await journal.challenge_history(digest(1)) == ChallengeHistory((A, "creation"), (A, "creation"))
        assert await journal.challenge_history(digest(5)) == ChallengeHistory((B, "creation"), None)
        assert await journal.last_signed_seq(KEYSTORE) is None


async def test_it_goes_on_from_there(first_release):
    async with await Journal.open(first_release.url) as journal:
        seen = len(await journal.read(B))
        for event, code in (
            (intended(digest(7)), "signature_conflict"),
            (signed(digest(7)), "signature_conflict"),
            (intended(digest(2), "deletion"), "challenge_signed_before"),
        ):
            with pytest.raises(JournalError) as raised:
                await journal.append(B, [event], after=seen, at=NOW)
            assert raised.value.code == code
        await journal.append("c", [intended(digest(8)), signed(digest(8))], after=0, at=NOW)
        assert (await journal.verify()).valid


@pytest.mark.parametrize("data", ["{}", "[]", "null", "{", '{"digest":["x"]}'])
async def test_an_event_that_cannot_be_read_is_named_and_nothing_changes(first_release, data):
    first_release.execute(f"UPDATE events SET data = '{data}' WHERE type = 'challenge_signed'")
    before = first_release.execute("SELECT digest, live FROM signatures ORDER BY account_id, digest")
    with pytest.raises(SettingsError, match="event 6 ") as raised:
        await Journal.open(first_release.url)
    assert raised.value.code == "database_unusable"
    assert first_release.execute("SELECT version_num FROM alembic_version") == [("0001",)]
    assert first_release.execute("SELECT digest, live FROM signatures ORDER BY account_id, digest") == before


async def test_the_dump_is_of_the_first_release():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(DUMP.read_text())
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        columns = {row[1] for row in connection.execute("PRAGMA table_info(signatures)")}
    assert columns == {"account_id", "purpose", "digest", "live"}
