"""``stop-signing`` and ``resume-signing``, as an operator types them at night: no platform, no node, no password."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator import eip191
from orchestrator.signers.signing_log import FileSigningLog
from tests.cli.people import Desk, key_of


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_one_stops_and_two_resume(desk):
    stopped = desk.valid("stops", "stop-signing", "--reason", "a key leaked")
    (stop,) = stopped["stops"]
    assert (stopped["outcome"], stopped["waitingFor"]) == ("done", None)
    assert (stop["scope"], stop["reason"], stop["agreed"], stop["needed"]) == ("all", "a key leaked", [], 2)
    assert stop["by"].startswith("os:")
    assert desk.valid("stops", "stop-signing")["stops"] == [stop], "a second stop changes nothing"
    first = desk.valid("stops", "resume-signing", *desk.as_("alice"), expect=75)
    assert first["outcome"] == "waiting"
    assert "alice" in first["waitingFor"]
    assert first["stops"] == [stop | {"agreed": ["alice"]}]
    assert desk.valid("stops", "resume-signing", *desk.as_("alice"), expect=75) == first
    assert desk.valid("stops", "resume-signing", *desk.as_("carol")) == {
        "outcome": "done",
        "waitingFor": None,
        "stops": [],
    }
    assert desk.types() == ["signing_stopped", "resume_agreed", "resume_agreed", "signing_resumed"]
    assert desk.valid("stops", "resume-signing", *desk.as_("alice"))["outcome"] == "done"


def test_it_takes_effect_in_another_process(desk):
    """A real process each, as at two terminals."""
    assert desk.run("stop-signing", "--chain", "eip155:1").code == 0
    told = desk.run("resume-signing", "--chain", "eip155:1", *desk.as_("alice"))
    assert told.code == 75
    assert "waiting for a second person to agree that signing resumes (alice did)" in told.stdout
    assert "stopped: chain:eip155:1 since " in told.stdout
    assert "no reason given" in told.stdout


def test_scopes_are_apart(desk):
    desk.keyring.create("treasury")
    desk.json("stop-signing", "--key", "treasury")
    desk.json("stop-signing", "--chain", "eip155:31337")
    assert [stop["scope"] for stop in desk.json("stop-signing")["stops"]] == [
        "key:treasury",
        "chain:eip155:31337",
        "all",
    ]
    for name in ("alice", "bob"):
        last = desk.here("--json", "resume-signing", "--key", "treasury", *desk.as_(name))
    assert [stop["scope"] for stop in last.document["stops"]] == ["chain:eip155:31337", "all"]


def test_a_stop_that_would_stop_nothing_is_refused(desk):
    desk.keyring.create("treasury")
    assert "treasury" in desk.refused("stop-signing", "--key", "tresury", code="key_not_found", expect=2)
    desk.refused("stop-signing", "--key", "a", "--chain", "eip155:1", code="usage", expect=2)
    desk.refused("stop-signing", "--chain", "solana:x", code="unsupported_chain", expect=2)
    assert desk.types() == []
    (desk.home / "keystore").chmod(0o755)  # a keystore in trouble keeps nobody from stopping
    assert desk.json("stop-signing", "--key", "treasury")["outcome"] == "done"


def test_who_resumes_in_another_scope_is_told_what_still_holds(desk):
    desk.keyring.create("treasury")
    desk.json("stop-signing", "--key", "treasury")
    told = desk.here("resume-signing", *desk.as_("alice"))
    assert told.code == 0
    assert "signing is not stopped" not in told.stdout
    assert "no stop of all holds; others do, and each is ended in its own scope (--key, --chain)" in told.stdout
    assert "stopped: key:treasury since " in told.stdout


def test_a_stop_of_a_key_notes_its_address(desk):
    """So that the same key under another name, or of another host's keystore, is stopped too."""
    key = desk.keyring.create("treasury")
    desk.json("stop-signing", "--key", "treasury")
    (stop,) = desk.journal()
    assert stop.event.address == key.address


def test_nobody_else_resumes(desk):
    desk.json("stop-signing")
    assert "--person-key" in desk.refused("resume-signing", code="person_needed", expect=2)
    desk.refused("resume-signing", *desk.as_("mallory"), code="person_unknown", expect=1)
    desk.refused("resume-signing", *desk.as_("alice"), "--person", "bob", code="signature_mismatch", expect=1)
    assert desk.types() == ["signing_stopped"]


def test_a_signature_of_another_wallet(desk):
    desk.json("stop-signing")
    (text,) = desk.valid("stops", "resume-signing", "--print-text")["texts"]
    assert text.startswith("I agree that signing resumes")
    assert desk.here("resume-signing", "--print-text").stdout == text + "\n"
    signature = "0x" + eip191.sign(key_of("alice"), text.encode()).hex()
    desk.refused("resume-signing", "--person", "bob", "--signature", signature, code="signature_mismatch", expect=1)
    told = desk.json("resume-signing", "--person", "alice", "--signature", signature, expect=75)
    assert told["stops"][0]["agreed"] == ["alice"]
    desk.refused("resume-signing", "--print-text", "--key", "x", code="not_stopped", expect=2)


def test_the_person_of_the_settings(desk):
    desk.json("stop-signing")
    who = {
        "ORCHESTRATOR_PERSON_KEY": str(desk.home / "people" / "bob.json"),
        "ORCHESTRATOR_PERSON_PASSWORD_FILE": str(desk.password),
    }
    assert desk.json("resume-signing", expect=75, **who)["stops"][0]["agreed"] == ["bob"]


def test_without_people_one_user_of_the_system_is_not_two(tmp_path):
    desk = Desk(tmp_path, policy=None)
    desk.json("stop-signing")
    for _ in range(2):
        assert desk.valid("stops", "resume-signing", expect=75)["outcome"] == "waiting"
    assert desk.types() == ["signing_stopped", "resume_agreed"]


def test_a_persons_key_that_others_can_read_or_a_wrong_password_is_refused(desk):
    desk.json("stop-signing")
    file = desk.home / "people" / "alice.json"
    file.chmod(0o644)
    assert "chmod 600" in desk.refused("resume-signing", *desk.as_("alice"), code="keystore_permissions", expect=2)
    file.chmod(0o600)
    desk.password.write_text("wrong")
    desk.refused("resume-signing", *desk.as_("alice"), code="wrong_password", expect=2)
    told = desk.refused("resume-signing", "--person-key", str(file), code="password_missing", expect=2)
    assert "--person-password-file" in told
    assert "KEYSTORE" not in told
    assert desk.types() == ["signing_stopped"]


@pytest.fixture
def log(desk):
    """What lies beside the keystore, which has one key."""
    desk.keyring.create("old")
    return FileSigningLog(desk.home / "keystore")


@pytest.mark.parametrize("command", [("stop-signing",), ("keys", "disable", "old")])
def test_the_log_beside_the_keystore_has_the_decision_at_once(desk, log, command):
    """Else an older database, put back before any process has come across it, would end it."""
    assert log.journals() == frozenset()
    desk.json(*command)
    (journal,) = log.journals()
    (line,) = log.entries(journal)
    assert line.purpose == "decision"
    assert line.hash == desk.journal()[-1].hash


def test_a_stop_in_an_older_database_does_not_hide_that_it_is_older(desk, log):
    desk.identity()
    database = Path(desk.environment["ORCHESTRATOR_DATABASE_URL"].removeprefix("sqlite:///"))
    older = database.with_suffix(".backup")
    shutil.copy(database, older)
    desk.json("stop-signing", "--reason", "first")
    (journal,) = log.journals()
    before = log.entries(journal)
    assert len(before) == 1
    for leftover in ("-wal", "-shm"):
        database.with_name(database.name + leftover).unlink(missing_ok=True)
    shutil.copy(older, database)
    desk.json("stop-signing", "--reason", "second")
    assert [item.event.reason for item in desk.journal()] == ["second"]
    assert log.entries(journal) == before


def test_without_a_keystore_nothing_is_written_beside_it(desk):
    assert desk.json("stop-signing")["stops"]
    assert not (desk.home / "keystore").exists()


def test_a_stop_in_a_journal_that_was_not_there_says_so(desk, tmp_path):
    """Else a slip in the URL looks like a stop, and the processes that use the right one go on signing."""
    for command in ("stop-signing", "resume-signing"):
        path = tmp_path / command / "journal.db"
        done = desk.here(command, *desk.as_("alice")[: 2 * (command == "resume-signing")], **url(path))
        assert f"there is no journal at {path}" in " ".join(done.stderr.split())
        assert "no journal at" not in desk.here("stop-signing", **url(path)).stderr


def url(path) -> dict[str, str]:
    return {"ORCHESTRATOR_DATABASE_URL": f"sqlite:///{path}"}
