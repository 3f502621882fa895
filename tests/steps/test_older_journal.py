"""A journal that was written before challenges were what the platform has published: folded anew, and gone on with.

``journal/data/before_challenges.sql`` is a dump of its SQLite file, written by the steps of that time: an account that
is closed, with one signature refused on the way; one whose signature was taken; one whose submission had no answer; one
that was created, by an answer of which the challenge was not kept.
"""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import End, Wait
from orchestrator.models import AccountStatus, OperationKind, WalletState
from orchestrator.ports.signers import LogEntry
from tests.lab import EPOCH, OWNER, Account, Lab

DUMP = Path(__file__).parents[1] / "journal" / "data" / "before_challenges.sql"
CLOSED, TAKEN, LOST, CREATED = (f"00000000-0000-000a-0000-{number:012d}" for number in (1, 7, 9, 5))


def note_signatures(here):
    """The log beside the keystore, as it was written with that journal."""
    identity = here.run(here.journal.identity())
    for item in here.run(here.journal.read_all()):
        if isinstance(item.event, e.SigningIntended):
            about = {"purpose": item.event.purpose, "account_id": item.stream, "digest": item.event.digest}
            entry = LogEntry.of(item, 0, signer=str(OWNER), key="model", **about)
            here.services.signing_log.note(identity, entry)


@pytest.fixture
def here(tmp_path):
    """A lab with that journal, a minute after its last event; the platform has the three accounts that are not over."""
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text())
    with Lab(path) as one:
        for number, account in enumerate((TAKEN, LOST, CREATED)):
            made = one.platform.accounts_[account] = Account(account, EPOCH)
            one.platform._numbers = 100 + number
            one.platform._issue(made, "creation")
            if account != CREATED:
                (signed,) = one.events(account, e.ChallengeFetched)
                made.signed.add(signed.challenge)
                made.creation_hash = signed.digest
                made.offer, made.job, made.status = None, "deploy", AccountStatus.PENDING
        note_signatures(one)
        one.now = one.run(one.journal.read_all())[-1].at + timedelta(minutes=1)
        yield one


def test_its_events_are_read_and_stay_as_they_are(here):
    recorded = here.run(here.journal.read_all())
    found = here.run(here.journal.verify())
    assert (found.valid, found.events, found.tables) == (True, len(recorded), None)
    answers = [item.event for item in recorded if isinstance(item.event, e.CreationAnswered)]
    assert [answer.challenge for answer in answers] == [None] * 4


def test_it_is_folded_to_what_it_was(here):
    closed, taken, lost = (here.state(account) for account in (CLOSED, TAKEN, LOST))
    assert (closed.status, closed.wallet.state, closed.operation.ended.outcome) == (
        AccountStatus.CLOSED,
        WalletState.CLOSED,
        "done",
    )
    assert closed.closure.claim == "irreversible"
    assert len(closed.digests) == 2
    assert len(closed.dead_digests) == 1
    for state, accepted in ((taken, True), (lost, False)):
        op = state.operation
        assert (op.kind, op.ended) == (OperationKind.ACTIVATE, None)
        assert (op.signed.accepted_at is not None, op.signed.sent, op.signed.confirmed) == (accepted, True, False)
        assert op.challenge.issued_at is None
        fetched = next(item.at for item in here.run(here.journal.read_all()) if item.event == op.challenge)
        assert op.challenge_at == fetched, "as old as the look that fetched it"


@pytest.mark.parametrize("account", [TAKEN, LOST])
def test_a_signature_of_then_is_gone_on_with(here, account):
    assert isinstance(here.advance(account).action, Wait)
    assert here.settle(account) == End("done")
    assert here.account(account).asked == 0
    assert len(here.events(account, e.ChallengeSigned)) == 1


def test_an_answer_without_its_challenge_has_one_asked_for(here):
    assert here.complete(CREATED, OperationKind.ACTIVATE) == End("done")
    assert here.account(CREATED).asked == 1
    assert len(here.events(CREATED, e.ChallengeSigned)) == 1
