"""The tables beside the events must say what the events say: a row taken out would have its challenge signed again."""

import pytest

from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.ports.journal import SignatureRow
from tests.profile import FULL

from .facts import NOW, STARTED, fetched, intended, lapsed, refused, signed

IMPORT = o.HistoryImported(source="elsewhere.jsonl", sha256="0" * 64, signatures=0, by="os:somebody")


def line(digest: str) -> SignatureRow:
    return SignatureRow("z", "creation", digest, None, None, "2026-01-01T00:00:00Z", made=True, live=False)


async def filled(journal: Journal) -> None:
    """Every way into every table."""
    await journal.append("reference:r", [e.CreationAnswered(account_id="a")], after=0, at=NOW)
    first = [STARTED, fetched("0x1"), intended("0x1"), signed("0x1", key="alice", policy="p"), refused("0x1")]
    second = [fetched("0x2"), intended("0x2"), lapsed("0x2"), fetched("0x3"), intended("0x3")]
    await journal.append("a", first + second, after=0, at=NOW)
    await journal.append("b", [fetched("0x3", "deletion"), signed("0x4", "deletion")], after=0, at=NOW)
    await journal.import_signatures([line("0x5"), line("0x6")], IMPORT, at=NOW)
    await journal.import_signatures([line("0x5")], IMPORT, at=NOW)
    reconciled = o.JournalReconciled(keystore="k", finding="f", reason="r", by="b", accounts=1, signatures=9)
    await journal.import_signatures([line("0x7")], reconciled, at=NOW)


async def test_what_the_journal_writes_agrees(journal):
    await filled(journal)
    found = await journal.verify()
    assert (found.valid, found.first_bad, found.tables) == (True, None, None)


TAMPERINGS = {
    "a signature taken out": "DELETE FROM signatures WHERE digest = '0x1'",
    "a live signature taken out": "DELETE FROM signatures WHERE digest = '0x3'",
    "a signature put in": "INSERT INTO signatures SELECT '0x9', account_id, 'other', live, made, at, intent_seq, "
    "signer, key, keystore, policy FROM signatures WHERE digest = '0x1'",
    "live": "UPDATE signatures SET live = NOT live WHERE digest = '0x3'",
    "made": "UPDATE signatures SET made = NOT made WHERE digest = '0x1'",
    "of another account": "UPDATE signatures SET account_id = 'y' WHERE digest = '0x4'",
    "for another purpose": "UPDATE signatures SET purpose = 'creation' WHERE digest = '0x4'",
    "another challenge": "UPDATE signatures SET digest = '0x9' WHERE digest = '0x1'",
    "at": "UPDATE signatures SET at = '2025-01-01T00:00:00.000000Z' WHERE digest = '0x1'",
    "key": "UPDATE signatures SET key = 'bob' WHERE digest = '0x1'",
    "no key": "UPDATE signatures SET key = NULL WHERE digest = '0x1'",
    "keystore": "UPDATE signatures SET keystore = NULL WHERE digest = '0x1'",
    "policy": "UPDATE signatures SET policy = 'q' WHERE digest = '0x1'",
    "signer": "UPDATE signatures SET signer = 'somebody' WHERE digest = '0x1'",
    "from another event": "UPDATE signatures SET intent_seq = 2 WHERE digest = '0x1'",
    "passed off as imported": "UPDATE signatures SET intent_seq = "
    "(SELECT min(seq) FROM events WHERE type = 'history_imported') WHERE digest = '0x1'",
    "an imported one taken out": "DELETE FROM signatures WHERE digest = '0x5'",
    "an imported one changed": "UPDATE signatures SET at = '2025-01-01T00:00:00.000000Z' WHERE digest = '0x5'",
    "an imported one revived": "UPDATE signatures SET live = (1 = 1) WHERE digest = '0x5'",
    "an imported one of a reconciliation taken out": "DELETE FROM signatures WHERE digest = '0x7'",
    "two of one import swapped": "UPDATE signatures SET digest = '0x9' WHERE digest = '0x5'",
    "a challenge taken out": "DELETE FROM challenges WHERE digest = '0x2'",
    "a challenge of another account": "UPDATE challenges SET account_id = 'b' WHERE digest = '0x3'",
    "a challenge for another purpose": "UPDATE challenges SET purpose = 'deletion' WHERE digest = '0x3'",
    "a challenge put in": "INSERT INTO challenges VALUES ('0x9', 'a', 'creation', 2)",
    "a claim taken out": "DELETE FROM claims",
    "a claim of another": "UPDATE claims SET stream = 'reference:s'",
    "a claim put in": "INSERT INTO claims VALUES ('y', 'reference:r')",
}


@pytest.mark.parametrize("name", list(TAMPERINGS)[:: 1 if FULL else 2])
async def test_a_hand_in_the_tables_is_found(journal, database, name):
    await filled(journal)
    before = await journal.verify()
    database.execute(TAMPERINGS[name])
    found = await journal.verify()
    assert not found.valid
    assert found.tables
    assert found.tables.startswith(("signatures: ", "challenges: ", "claims: "))
    assert (found.events, found.head, found.first_bad) == (before.events, before.head, None), "the events are whole"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE signatures SET at = CAST(x'ff' AS TEXT) WHERE digest = '0x1'",
        "UPDATE signatures SET at = CAST(x'ff' AS BLOB) WHERE digest = '0x5'",
    ],
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_values_of_no_type_are_found_and_no_surprise(journal, database, statement):
    await filled(journal)
    database.execute(statement)
    found = await journal.verify()
    assert not found.valid
    assert found.tables


async def test_a_broken_chain_is_told_first(journal, database):
    await filled(journal)
    database.execute("DELETE FROM signatures WHERE digest = '0x1'")
    database.execute("UPDATE events SET type = 'operation_continued' WHERE seq = 2")
    found = await journal.verify()
    assert (found.valid, found.first_bad, found.tables) == (False, 2, None)


async def test_an_import_that_was_appended_without_its_lines(journal):
    """Nothing in this program does; a journal that holds one is told and not trusted with its number."""
    event = o.HistoryImported(source="s", sha256="0" * 64, signatures=3, by="os:somebody")
    await journal.append(DECISIONS_STREAM, [event], after=0, at=NOW)
    assert (await journal.verify()).valid


ONE_LIVE = "CREATE {}INDEX one_live_signature_per_operation ON signatures (account_id, purpose{}) WHERE {}"
CONSTRAINTS = {
    "gone": (),
    "for nothing": (ONE_LIVE.format("", "", "live"),),
    "for other rows": (ONE_LIVE.format("UNIQUE ", "", "live AND made"),),
    "of other columns": (ONE_LIVE.format("UNIQUE ", ", digest", "live"),),
}


@pytest.mark.both_databases
@pytest.mark.parametrize("name", CONSTRAINTS)
async def test_an_index_that_no_longer_refuses_a_second_is_found(journal, database, name):
    await filled(journal)
    assert (await journal.verify()).valid
    for statement in ("DROP INDEX one_live_signature_per_operation", *CONSTRAINTS[name]):
        database.execute(statement)
    found = await journal.verify()
    assert not found.valid
    assert "one_live_signature_per_operation" in found.tables
    if name != "gone":
        database.execute("DROP INDEX one_live_signature_per_operation")
    database.execute(ONE_LIVE.format("UNIQUE ", "", "live"))
    assert (await journal.verify()).valid


@pytest.mark.both_databases
async def test_a_primary_key_that_is_gone_is_found(journal, database):
    for statement in (
        "ALTER TABLE claims RENAME TO old",
        "CREATE TABLE claims (account_id TEXT, stream TEXT)",
        "INSERT INTO claims SELECT account_id, stream FROM old",
    ):
        database.execute(statement)
    assert "claims: its primary key" in (await journal.verify()).tables
    database.execute("DROP TABLE claims")
    assert "claims: the table is gone" in (await journal.verify()).tables
