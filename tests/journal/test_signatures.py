"""What the database decides of signatures: one live one, a challenge once, not past a stop, not past a limit."""

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.challenge.expectation import ChallengeHistory
from orchestrator.errors import Disposition, JournalError, SettingsError
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.ports.journal import CountLimit, SignatureRow

from .facts import KEYSTORE, NOW, STARTED, fetched, intended, lapsed, refused, signed, stopped


async def refusal(journal, stream, new, after, code, **more) -> JournalError:
    before = await journal.head()
    with pytest.raises(JournalError) as raised:
        await journal.append(stream, new, after=after, at=more.pop("at", NOW), **more)
    assert raised.value.code == code
    assert await journal.head() == before, "all or nothing"
    checked = await journal.verify()
    assert checked.valid, checked.tables
    return raised.value


async def rows(journal) -> dict[str, tuple[bool, bool]]:
    """By digest: live, made."""
    return {row.digest: (row.live, row.made) for row in await journal.signature_rows()}


# --- one live signature, a challenge once ----------------------------------------------------------------------------


async def test_an_intention_is_made_by_its_signature(journal):
    await journal.append("a", [intended("0x1")], after=0, at=NOW)
    assert await rows(journal) == {"0x1": (True, False)}
    await journal.append("a", [signed("0x1")], after=1, at=NOW + timedelta(seconds=1))
    (row,) = await journal.signature_rows()
    assert row == SignatureRow(
        account_id="a", purpose="creation", digest="0x1", signer="eip155:1:0x", key="alice",
        at="2026-01-01T00:00:00.000000Z", made=True, live=True,
    )  # fmt: skip


@pytest.mark.parametrize("first", [intended, signed])
@pytest.mark.parametrize("second", [intended, signed])
async def test_one_live_signature_of_an_account_and_purpose(journal, first, second):
    await journal.append("a", [first("0x1")], after=0, at=NOW)
    await refusal(journal, "a", [STARTED, second("0x2")], 1, "signature_conflict")
    await journal.append("a", [second("0x3", "deletion")], after=1, at=NOW)
    await journal.append("b", [second("0x4")], after=0, at=NOW)


@pytest.mark.parametrize("first", [intended, signed])
async def test_a_challenge_is_signed_once_whoever_asks(journal, first):
    await journal.append("a", [first("0x1")], after=0, at=NOW)
    for stream, purpose, after in (("b", "creation", 0), ("a", "deletion", 1), ("a", "creation", 1)):
        await refusal(journal, stream, [intended("0x1", purpose)], after, "challenge_signed_before")
    for stream, purpose, after in (("b", "creation", 0), ("a", "deletion", 1)):
        await refusal(journal, stream, [signed("0x1", purpose)], after, "challenge_signed_before")


async def test_a_signature_is_made_once(journal):
    await journal.append("a", [intended("0x1"), signed("0x1")], after=0, at=NOW)
    await refusal(journal, "a", [signed("0x1")], 2, "challenge_signed_before")


@pytest.mark.parametrize("first", [intended, signed])
@pytest.mark.parametrize("dead", [lapsed, refused])
async def test_a_dead_signature_makes_room_and_is_not_made_again(journal, first, dead):
    await journal.append("a", [first("0x1"), dead("0x1")], after=0, at=NOW)
    for again in (intended, signed):
        await refusal(journal, "a", [again("0x1")], 2, "challenge_signed_before")
    await journal.append("a", [intended("0x2"), signed("0x2")], after=2, at=NOW)
    assert await rows(journal) == {"0x1": (False, first is signed), "0x2": (True, True)}


async def test_what_lapses_for_one_account_does_not_for_another(journal):
    await journal.append("a", [intended("0x1")], after=0, at=NOW)
    await journal.append("b", [lapsed("0x1"), refused("0x1")], after=0, at=NOW)
    assert await rows(journal) == {"0x1": (True, False)}


# --- what it rests on must not have moved ----------------------------------------------------------------------------


async def test_a_stop_comes_first_or_it_does_not(journal):
    await journal.append("a", [intended("0x1")], after=0, at=NOW, unchanged={DECISIONS_STREAM: 0})
    await journal.append(DECISIONS_STREAM, [stopped()], after=0, at=NOW)
    for stream, event, after in (("a", signed("0x1"), 1), ("b", intended("0x2"), 0)):
        error = await refusal(journal, stream, [event], after, "journal_moved", unchanged={DECISIONS_STREAM: 0})
        assert error.disposition is Disposition.RETRY
        assert "has 1 events, expected 0" in error.message
    await journal.append("a", [signed("0x1")], after=1, at=NOW, unchanged={DECISIONS_STREAM: 1})


async def test_all_streams_are_looked_at(journal):
    await journal.append("b", [STARTED], after=0, at=NOW)
    await refusal(journal, "a", [STARTED], 0, "journal_moved", unchanged={DECISIONS_STREAM: 0, "b": 2})
    await journal.append("a", [STARTED], after=0, at=NOW, unchanged={DECISIONS_STREAM: 0, "b": 1})


# --- limits ----------------------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)


def limit(most: int, *, key: str | None = "alice", now=NOW) -> CountLimit:
    return CountLimit(key=key, since=now - HOUR, most=most, text=f"{most} signatures in 3600 s")


async def test_a_limit_counts_intentions_of_its_key(journal):
    await journal.append("a", [intended("0x1")], after=0, at=NOW, limits=[limit(2)])
    await journal.append("b", [intended("0x2"), signed("0x2")], after=0, at=NOW, limits=[limit(2)])
    error = await refusal(journal, "c", [intended("0x3")], 0, "signing_limit", limits=[limit(2)])
    assert error.disposition is Disposition.RETRY
    assert "2 signatures in 3600 s" in error.message
    assert "free again at 2026-01-01T01:00:00Z" in error.message
    await refusal(journal, "c", [intended("0x3", key="bob")], 0, "signing_limit", limits=[limit(2, key=None)])
    await journal.append("c", [intended("0x3", key="bob")], after=0, at=NOW, limits=[limit(2, key="bob")])
    error = await refusal(journal, "d", [intended("0x4")], 0, "signing_limit", limits=[limit(0), limit(0, key=None)])
    assert ": 2 were made since" in error.message
    error = await refusal(journal, "d", [intended("0x4")], 0, "signing_limit", limits=[limit(0, key=None)])
    assert ": 3 were made since" in error.message


async def test_a_limit_counts_intentions_of_its_address_under_whatever_name(journal):
    """On this chain and on any other, and as the database compares texts: only the whole address is the address."""
    mine, others = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23", "0x2c7536E3605D9C16a7a3D7b1898e529396a65c24"
    of_key = replace(limit(2), address=mine)
    for digest, key, signer in (
        ("0x1", "alice", f"eip155:1:{others}"),
        ("0x2", "copy", f"eip155:31337:{mine}"),
        ("0x3", "bob", f"eip155:1:{others}"),
        ("0x4", "bob", f"eip155:1:{mine[:-1]}"),
    ):
        event = intended(digest, key=key, signer=signer)
        await journal.append(digest, [event], after=0, at=NOW, limits=[replace(of_key, most=100)])
    error = await refusal(
        journal, "x", [intended("0x5", signer=f"eip155:1:{mine}")], 0, "signing_limit", limits=[of_key]
    )
    assert ": 2 were made since" in error.message
    assert "free again at 2026-01-01T01:00:00Z" in error.message
    later = NOW + HOUR
    await journal.append("x", [intended("0x5")], after=0, at=later, limits=[replace(of_key, since=NOW)])


async def test_which_accounts_are_known(journal):
    await journal.append("a", [intended("0x1")], after=0, at=NOW)
    assert await journal.known_accounts([]) == frozenset()
    assert await journal.known_accounts(["b", "A"]) == frozenset()
    assert await journal.known_accounts(["b", "a", "a"]) == {"a"}


async def test_a_limit_forgets_what_is_older_than_its_window(journal):
    for number in range(3):
        at = NOW + number * timedelta(minutes=10)
        await journal.append(f"{number}", [intended(f"0x{number}")], after=0, at=at)
    now = NOW + timedelta(minutes=30)
    for most, free in ((3, "01:00"), (2, "01:10"), (1, "01:20")):
        error = await refusal(
            journal, "x", [intended("0xa")], 0, "signing_limit", limits=[limit(most, now=now)], at=now
        )
        assert f"free again at 2026-01-01T{free}:00Z" in error.message
    later = NOW + HOUR
    await journal.append("x", [intended("0xa")], after=0, at=later, limits=[limit(3, now=later)])


async def test_every_limit_counts_and_dead_signatures_too(journal):
    await journal.append("a", [intended("0x1"), lapsed("0x1")], after=0, at=NOW)
    await refusal(journal, "a", [intended("0x2")], 2, "signing_limit", limits=[limit(5), limit(1, key=None)])
    await refusal(
        journal, "a", [intended("0x2"), lapsed("0x2"), intended("0x3")], 2, "signing_limit", limits=[limit(2)]
    )
    error = await refusal(journal, "a", [intended("0x2")], 2, "signing_limit", limits=[limit(0)])
    assert "at any time" in error.message


# --- what is known ---------------------------------------------------------------------------------------------------


async def test_the_history_of_a_challenge(journal):
    assert await journal.challenge_history("0x1") == ChallengeHistory(None, None)
    await journal.append("a", [fetched("0x1"), fetched("0x1")], after=0, at=NOW)
    await journal.append("b", [fetched("0x1", "deletion"), intended("0x1", "deletion")], after=0, at=NOW)
    assert await journal.challenge_history("0x1") == ChallengeHistory(("a", "creation"), ("b", "deletion"))


async def test_the_last_signature_of_a_keystore(journal):
    assert await journal.last_signed_seq(KEYSTORE) is None
    await journal.append("a", [intended("0x1"), signed("0x1")], after=0, at=NOW)
    await journal.append("b", [intended("0x2", keystore="other"), signed("0x2")], after=0, at=NOW)
    await journal.append("c", [intended("0x3")], after=0, at=NOW)
    assert await journal.last_signed_seq(KEYSTORE) == 1, "what was intended only may never have been noted"
    assert await journal.last_signed_seq("other") == 3
    await journal.append("d", [signed("0x4")], after=0, at=NOW)
    await journal.import_signatures([line("0x5")], IMPORT, at=NOW)
    assert await journal.last_signed_seq(None) == 3, "what has no keystore is of none"


async def test_the_head_and_the_hash_of_an_event(journal):
    assert await journal.head() == (0, "0" * 64)
    one, two = await journal.append("a", [STARTED, STARTED], after=0, at=NOW)
    assert await journal.head() == (2, two.hash)
    assert [await journal.event_hash(seq) for seq in (0, 1, 2, 3)] == [None, one.hash, two.hash, None]


async def test_a_journal_has_an_id_of_its_own(journal, database, tmp_path):
    mine = await journal.identity()
    async with await Journal.open(database.url) as again:
        assert await again.identity() == mine
    async with await Journal.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
        assert await other.identity() != mine
    database.execute("DELETE FROM meta")
    assert await journal.identity() == mine
    async with await Journal.open(database.url) as again:
        with pytest.raises(JournalError, match="no id"):
            await again.identity()


# --- what comes from elsewhere ---------------------------------------------------------------------------------------

IMPORT = o.HistoryImported(source="elsewhere.jsonl", sha256="0" * 64, signatures=0, by="os:somebody")


def line(digest: str, **more) -> SignatureRow:
    values = {"account_id": "a", "purpose": "creation", "signer": None, "key": "alice", "at": "2026-01-01T00:00:00Z"}
    return SignatureRow(**{**values, "digest": digest, "made": True, "live": True, **more})


async def test_imported_challenges_are_not_signed_again(journal):
    await journal.append("a", [intended("0x1")], after=0, at=NOW)
    (event,) = await journal.import_signatures([line("0x1"), line("0x2"), line("0x2", key="bob")], IMPORT, at=NOW)
    assert (event.stream, event.seq, event.event.signatures) == (DECISIONS_STREAM, 2, 1)
    assert await rows(journal) == {"0x1": (True, False), "0x2": (False, True)}
    await refusal(journal, "b", [intended("0x2")], 0, "challenge_signed_before")
    await refusal(journal, "b", [signed("0x2")], 0, "challenge_signed_before")
    assert (await journal.challenge_history("0x2")).signed_for == ("a", "creation")
    error = await refusal(journal, "c", [intended("0x3")], 0, "signing_limit", limits=[limit(2)])
    assert ": 2 were made since" in error.message, "imported signatures count"
    again = await journal.import_signatures([line("0x2")], IMPORT, at=NOW)
    assert again[0].event.signatures == 0
    assert (await journal.verify()).valid


async def test_an_export_is_imported_elsewhere(journal, tmp_path):
    await journal.append("a", [intended("0x1"), signed("0x1"), refused("0x1"), intended("0x2")], after=0, at=NOW)
    exported = await journal.signature_rows()
    async with await Journal.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
        await other.import_signatures(exported, IMPORT, at=NOW)
        assert await rows(other) == {"0x1": (False, True), "0x2": (False, False)}
        assert (await other.verify()).valid


async def test_a_line_without_a_time_counts_from_its_import(journal):
    await journal.import_signatures([line("0x1", at=None)], IMPORT, at=NOW)
    error = await refusal(journal, "a", [intended("0x2")], 0, "signing_limit", limits=[limit(1)])
    assert ": 1 were made since" in error.message


async def test_a_line_from_the_future_stops_signing_for_one_window_only(journal):
    """Anybody may be the author of a history; nothing removes its lines from the journal again."""
    future = [line(f"0x{number}", at="2099-01-01T00:00:00+00:00") for number in range(3)]
    await journal.import_signatures(future, IMPORT, at=NOW)
    assert {row.at for row in await journal.signature_rows()} == {"2026-01-01T00:00:00.000000Z"}
    error = await refusal(journal, "a", [intended("0x9")], 0, "signing_limit", limits=[limit(3)])
    assert "free again at 2026-01-01T01:00:00Z" in error.message
    later = NOW + timedelta(hours=1, seconds=1)
    await journal.append("a", [intended("0x9")], after=0, at=later, limits=[limit(3, now=later)])


@pytest.mark.parametrize("at", ["", "yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00"])
async def test_a_line_with_a_time_that_is_none(journal, at):
    with pytest.raises(SettingsError) as raised:
        await journal.import_signatures([line("0x1", at=at)], IMPORT, at=NOW)
    assert raised.value.code == "history_malformed"
    assert await journal.head() == (0, "0" * 64)


@pytest.mark.parametrize(
    "more", [{"account_id": "a\x00b"}, {"key": "\ud800"}, {"signer": "\x00"}, {"purpose": "\udfff"}]
)
async def test_a_line_with_a_text_that_is_none(journal, more):
    with pytest.raises(SettingsError) as raised:
        await journal.import_signatures([line("0x1", **more)], IMPORT, at=NOW)
    assert raised.value.code == "history_malformed"


async def test_a_line_without_a_digest(journal):
    with pytest.raises(SettingsError, match="no digest"):
        await journal.import_signatures([line("")], IMPORT, at=NOW)


async def test_a_reconciliation_that_somebody_overtook(journal):
    event = o.JournalReconciled(keystore=KEYSTORE, finding="f", reason="r", by="os:somebody", accounts=1, signatures=0)
    await journal.append(DECISIONS_STREAM, [stopped()], after=0, at=NOW)
    with pytest.raises(JournalError) as raised:
        await journal.import_signatures([line("0x1")], event, at=NOW, after=0)
    assert raised.value.code == "journal_conflict"
    await journal.import_signatures([line(f"0x{number}") for number in range(1200)], event, at=NOW, after=1)
    assert len(await journal.signature_rows()) == 1200
    assert (await journal.verify()).valid
