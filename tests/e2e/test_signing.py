"""Managed keys and policy as an operator meets them: approvals, the emergency stop, the restore drill."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orchestrator import schemas
from tests.e2e.commands import COMMAND, wait_for
from tests.forked import Forked
from tests.profile import FULL


def created(cli, devnet, reference: str) -> str:
    arguments = ("--customer", devnet.programme.customer_id, "--currency", "EUR", "--reference", reference)
    return cli.json("accounts", "create", *arguments)["accountId"]


def proof(devnet, name: str) -> tuple[str, ...]:
    return ("--person-key", str(devnet.people[name]), "--person-password-file", str(devnet.password_file))


def require(devnet, **approvals: int) -> None:
    text = devnet.policy_file.read_text()
    for subject, number in approvals.items():
        text = text.replace(f"{subject} = 0", f"{subject} = {number}")
    devnet.policy_file.write_text(text)


def types(cli, stream: str) -> list[str]:
    events = cli.json("journal")["events"]
    return [event["type"] for event in events if event["stream"] == stream]


# --- approvals ------------------------------------------------------------------------------------------------------


def test_a_closure_waits_for_a_second_person_and_a_retry_asks_no_second_time(cli, devnet):
    require(devnet, closure=1)
    account = created(cli, devnet, "one")
    assert cli.json("activate", account)["outcome"] == "done"
    for _ in range(2):
        told = cli.json("close", account, "--yes", "--timeout", "1", expect=75)
        assert told["outcome"] == "waiting"
        assert told["error"] is None
        assert "approval" in told["waitingFor"]
        assert told["deadline"] is not None
    assert types(cli, account).count("approval_requested") == 1
    (shown,) = cli.json("status")["accounts"]
    assert f"orchestrator approve {account}" in shown["waitingFor"]
    (waiting,) = cli.json("approve")["approvals"]
    assert (waiting["accountId"], waiting["needed"], waiting["given"]) == (account, 1, [])
    assert cli.here("approve", account, *proof(devnet, "alice")).code == 2, "without a terminal and without --yes"
    assert cli.json("approve", account, "--yes", *proof(devnet, "alice"))["outcome"] == "done"
    assert cli.json("close", account, "--yes")["outcome"] == "done"
    assert types(cli, account).count("approval_used") == 1
    assert cli.json("journal", "--verify")["valid"]


def run_by(devnet, name: str) -> dict[str, str]:
    """The environment of a person: her key, and a file with its password."""
    return {
        "ORCHESTRATOR_PERSON_KEY": str(devnet.people[name]),
        "ORCHESTRATOR_PERSON_PASSWORD_FILE": str(devnet.password_file),
    }


def test_a_person_does_not_approve_the_closure_that_she_has_asked_for(cli, devnet):
    require(devnet, closure=1)
    account = created(cli, devnet, "one")
    cli.json("activate", account)
    alice = run_by(devnet, "alice")
    assert cli.json("close", account, "--yes", "--timeout", "1", expect=75, **alice)["outcome"] == "waiting"
    (waiting,) = cli.json("approve")["approvals"]
    assert (waiting["by"], waiting["byProven"], waiting["needed"]) == ("alice", True, 1)
    refused = cli.json("approve", account, "--yes", expect=1, **alice)
    assert refused["error"]["code"] == "approval_by_requester"
    assert cli.json("approve", account, "--yes", **run_by(devnet, "bob"))["outcome"] == "done"
    assert cli.json("close", account, "--yes")["outcome"] == "done"
    assert cli.json("journal", "--verify")["valid"]


def test_with_asker_person_what_nobody_is_proven_to_ask_for_takes_one_more(cli, devnet):
    require(devnet, closure=1, policy=1)
    text = devnet.policy_file.read_text()
    devnet.policy_file.write_text(text.replace("\n[approvals]\n", '\n[approvals]\nasker = "person"\n'))
    account = created(cli, devnet, "one")
    cli.json("activate", account)
    cli.json("close", account, "--yes", "--timeout", "1", expect=75)
    assert cli.json("approve", account, "--yes", *proof(devnet, "alice"), expect=75)["outcome"] == "waiting"
    assert cli.json("close", account, "--yes", "--timeout", "1", expect=75)["outcome"] == "waiting"
    assert cli.json("approve", account, "--yes", *proof(devnet, "bob"))["outcome"] == "done"
    assert cli.json("close", account, "--yes")["outcome"] == "done"
    # The rule is for changes of the rule, too: alice asks, and bob alone approves.
    devnet.policy_file.write_text(devnet.policy_file.read_text().replace('asker = "person"', 'asker = "any"'))
    other = created(cli, devnet, "two")
    assert cli.json("activate", other, "--timeout", "1", expect=75, **run_by(devnet, "alice"))["outcome"] == "waiting"
    (waiting,) = cli.json("approve")["approvals"]
    assert (waiting["subject"], waiting["by"], waiting["byProven"], waiting["needed"]) == ("ruleset", "alice", True, 1)
    assert cli.json("approve", "policy", "--yes", **run_by(devnet, "bob"))["outcome"] == "done"
    assert cli.json("activate", other)["outcome"] == "done"


def test_a_person_at_a_terminal_types_her_password_before_the_closure_begins(cli, devnet):
    require(devnet, closure=1)
    account = created(cli, devnet, "one")
    cli.json("activate", account)
    environment = {**cli.environment, "ORCHESTRATOR_PERSON_KEY": str(devnet.people["alice"])}

    def close(typed: str) -> tuple[int, str]:
        """The exit code, and what was shown before there was an end or something to type."""
        ours, theirs = os.openpty()
        process = Forked(
            [*COMMAND, "close", account, "--yes", "--timeout", "1"],
            env=environment,
            stdin=theirs,
            stderr=theirs,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # no terminal but this one
        )
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the other end is closed
            while data := os.read(ours, 4096):
                shown += data
                if typed and b"Password for person key" in shown:
                    os.write(ours, typed.encode() + b"\n")
                    typed = ""
        os.close(ours)
        return process.wait(timeout=60), shown.decode()

    code, shown = close("wrong")
    assert (code, "wrong_password" in shown) == (2, True), shown
    assert types(cli, account).count("operation_started") == 1, "the activation: nothing was begun"
    code, shown = close(devnet.password_file.read_text().strip())
    assert code == 75
    (waiting,) = cli.json("approve")["approvals"]
    assert (waiting["by"], waiting["byProven"]) == ("alice", True)
    code, shown = close("")
    assert code == 75
    assert "Password" not in shown, "it was asked for already"


def test_the_wrong_key_approves_nothing(cli, devnet):
    require(devnet, closure=1)
    account = created(cli, devnet, "one")
    cli.json("activate", account)
    cli.json("close", account, "--yes", "--timeout", "1", expect=75)
    stranger = (
        "--person-key",
        str(devnet.keystore / "owner.json"),
        "--person-password-file",
        str(devnet.password_file),
    )
    refused = cli.here("--json", "approve", account, "--yes", *stranger)
    assert refused.code != 0
    assert json.loads(refused.stdout)["error"]["code"] == "person_unknown"
    assert "approval_given" not in types(cli, account)


def test_a_changed_policy_waits_for_the_people_of_the_old_one(cli, devnet):
    require(devnet, policy=1, roles=1, finality=1)
    account = created(cli, devnet, "one")
    cli.json("activate", account)
    devnet.policy_file.write_text(
        devnet.policy_file.read_text().replace('binding = "first_use"', 'binding = "required"')
    )
    told = cli.json("deactivate", account, "--timeout", "1", expect=75)
    assert "policy" in told["waitingFor"]
    lowered = cli.json("deactivate", account, "--timeout", "1", "--confirmations", "2", expect=75)
    assert "finality" in lowered["waitingFor"]
    assert (
        cli.json("approve", "policy", "--yes", *proof(devnet, "bob"), expect=2)["error"]["code"] == "approval_ambiguous"
    )
    asked = re.search(r"orchestrator approve ([0-9a-f]+)", told["waitingFor"])[1]
    assert cli.json("approve", asked, "--yes", *proof(devnet, "bob"))["outcome"] == "done"
    assert cli.json("deactivate", account)["outcome"] == "done"


# --- the emergency stop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [(), *((("--key", "owner"), ("--chain", "eip155:31337")) if FULL else ())])
def test_one_person_stops_and_two_resume(cli, devnet, scope):
    account = created(cli, devnet, "one")
    assert cli.json("stop-signing", *scope, "--reason", "a laptop is gone")["stops"][0]["reason"] == "a laptop is gone"
    told = cli.json("activate", account, "--timeout", "1", expect=75)
    assert "a laptop is gone" in told["waitingFor"]
    assert cli.json("resume-signing", *scope, *proof(devnet, "alice"), expect=75)["outcome"] == "waiting"
    assert cli.json("resume-signing", *scope, *proof(devnet, "alice"), expect=75)["outcome"] == "waiting"
    assert cli.json("activate", account, "--timeout", "1", expect=75)["outcome"] == "waiting"
    assert cli.json("resume-signing", *scope, *proof(devnet, "bob"))["stops"] == []
    assert cli.json("activate", account)["outcome"] == "done"


def test_a_stop_reaches_a_process_that_is_at_work_and_nothing_is_lost(cli, devnet, platform):
    """The service drives two accounts; it is stopped from another process between them and goes on after the resume."""
    platform.fault("hold_deployments")
    first, second = created(cli, devnet, "one"), created(cli, devnet, "two")
    working = cli.start("--json", "activate", first, second, "--timeout", "100")
    try:
        wait_for(lambda: "challenge_signed" in types(cli, first), what="a signature")
        cli.json("stop-signing")
        third = created(cli, devnet, "three")
        before = [types(cli, account).count("challenge_signed") for account in (first, second)]
        assert cli.json("activate", third, "--timeout", "1", expect=75)["outcome"] == "waiting"
        assert types(cli, third).count("challenge_signed") == 0
        assert [types(cli, account).count("challenge_signed") for account in (first, second)] == before
        cli.json("resume-signing", *proof(devnet, "alice"), expect=75)
        cli.json("resume-signing", *proof(devnet, "bob"))
        platform.clear_faults()
        out, err = working.communicate(timeout=100)
        assert working.returncode == 0, err
        assert [json.loads(line)["outcome"] for line in out.splitlines()] == ["done", "done"]
    finally:
        working.kill()
        working.wait()
    assert [types(cli, account).count("challenge_signed") for account in (first, second)] == [1, 1]


@pytest.mark.parametrize("forbid", [("stop-signing",), *([("keys", "disable", "owner")] if FULL else [])])
def test_no_signature_is_sent_by_another_process_after_a_stop_has_returned(cli, devnet, platform, forbid):
    """One request of it is out when the stop comes, and the platform asks for repeats."""
    account = created(cli, devnet, "one")
    signing = {"method": "POST", "path": "challenge/sign"}
    platform.fault("delay_before", seconds=1.5, **signing)
    platform.fault("status", status=409, code="idempotency_in_flight", count=99, **signing)

    def sent() -> int:
        return sum(one["path"].endswith("/challenge/sign") for one in platform.records()["requests"])

    working = cli.start("activate", account)
    try:
        wait_for(lambda: working.poll() is not None or sent(), what="a signature on its way")
        cli.json(*forbid)
        then = sent()
        told = next(line for line in working.stderr if "resume-signing" in line or "key_disabled" in line)
        assert sent() == then, told
    finally:
        working.kill()
        working.communicate()
    assert sent() == then
    assert "submission_accepted" not in types(cli, account)


# --- the restore drill -----------------------------------------------------------------------------------------------


def backed_up(cli, copy: Path) -> None:
    database = cli.environment["ORCHESTRATOR_DATABASE_URL"].removeprefix("sqlite:///")
    copy.touch(mode=0o600)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def put_back(cli, copy: Path) -> None:
    database = Path(cli.environment["ORCHESTRATOR_DATABASE_URL"].removeprefix("sqlite:///"))
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    shutil.copy(copy, database)


def test_the_restore_drill_with_an_older_database(cli, devnet, tmp_path):
    first, second = created(cli, devnet, "one"), created(cli, devnet, "two")
    assert cli.json("activate", first)["outcome"] == "done"
    backed_up(cli, tmp_path / "backup.db")
    assert cli.json("activate", second)["outcome"] == "done"
    assert cli.json("close", second, "--yes")["outcome"] == "done"
    put_back(cli, tmp_path / "backup.db")
    third = created(cli, devnet, "three")
    told = cli.json("activate", third, expect=3)
    assert told["error"]["code"] == "journal_restored"
    failing = [check for check in cli.json("doctor", expect=1)["checks"] if not check["ok"]]
    assert [check["name"] for check in failing] == ["signing"]
    assert "challenge_signed" not in types(cli, third)
    cli.json("resolve", third, "--retry", "--reason", "the disk failed; this is last night's backup")
    assert cli.json("activate", third)["outcome"] == "done"
    assert cli.json("status", second)["status"] == "closed", "read back from the platform"
    history = cli.json("history", "list")["signatures"]
    assert {row["accountId"] for row in history} == {first, second, third}
    assert cli.json("journal", "--verify")["valid"]
    assert cli.json("doctor")["ok"]


def test_an_older_database_and_one_person_do_not_end_a_stop(cli, devnet, tmp_path):
    first, second = created(cli, devnet, "one"), created(cli, devnet, "two")
    assert cli.json("activate", first)["outcome"] == "done"
    backed_up(cli, tmp_path / "backup.db")
    cli.json("stop-signing", "--reason", "a key has leaked")  # and no other process comes across it
    put_back(cli, tmp_path / "backup.db")
    assert cli.json("activate", second, expect=3)["error"]["code"] == "journal_restored"
    resolved = cli.json("resolve", second, "--retry", "--reason", "restored")
    assert resolved["outcome"] == "waiting"
    assert "decisions of people were lost with the database, up to event " in resolved["waitingFor"]
    put_back(cli, tmp_path / "backup.db")
    assert cli.json("activate", second, expect=3)["error"]["code"] == "journal_restored"
    told = cli.here("resolve", second, "--retry", "--reason", "once more")
    assert told.code == 0
    assert "decisions of people were lost with the database" in " ".join((told.stdout + told.stderr).split())
    assert cli.json("activate", second, "--timeout", "1", expect=75)["outcome"] == "waiting"
    assert types(cli, second).count("signing_intended") == 0
    cli.json("resume-signing", *proof(devnet, "alice"), expect=75)
    cli.json("resume-signing", *proof(devnet, "bob"))
    assert cli.json("activate", second)["outcome"] == "done"
    assert cli.json("journal", "--verify")["valid"]


def test_the_restore_drill_with_an_older_keystore(cli, devnet, tmp_path):
    first, second, third = (created(cli, devnet, name) for name in ("one", "two", "three"))
    assert cli.json("activate", first)["outcome"] == "done"
    shutil.copytree(devnet.keystore, tmp_path / "keystore")
    assert cli.json("activate", second)["outcome"] == "done"
    shutil.rmtree(devnet.keystore)
    shutil.copytree(tmp_path / "keystore", devnet.keystore)
    assert cli.json("activate", third, expect=3)["error"]["code"] == "journal_restored"
    cli.json("resolve", third, "--retry", "--reason", "restored")
    assert cli.json("resume")["accounts"][0]["outcome"] == "done"


def test_a_history_taken_to_another_journal_keeps_it_from_signing_again(cli, devnet, tmp_path):
    account = created(cli, devnet, "one")
    cli.json("stop-signing")
    cli.json("activate", account, "--timeout", "1", expect=75)
    cli.json("resume-signing", *proof(devnet, "alice"), expect=75)
    cli.json("resume-signing", *proof(devnet, "bob"))
    assert cli.json("activate", account)["outcome"] == "done"
    file = tmp_path / "signed.json"
    assert cli.json("history", "export", str(file))["signatures"] == 1
    assert cli.here("history", "export", str(file)).code == 2, "never written over"
    other = {"ORCHESTRATOR_DATABASE_URL": f"sqlite:///{tmp_path / 'other.db'}"}
    Draft202012Validator(json.loads(schemas.text("signing-history"))).validate(json.loads(file.read_text()))
    Draft202012Validator(json.loads(schemas.text("history"))).validate(cli.json("history", "list"))
    assert cli.json("history", "import", str(file), **other)["imported"] == 1
    assert cli.json("history", "import", str(file), **other)["imported"] == 0
    (row,) = cli.json("history", "list", **other)["signatures"]
    assert (row["accountId"], row["made"], row["live"]) == (account, True, False)
    assert cli.json("journal", "--verify", **other)["valid"]
    for text in ("", "[]", "{}", file.read_text().replace('"version": 1', '"version": 2'), "[" * 100_000):
        bad = tmp_path / "bad.json"
        bad.write_text(text)
        assert cli.json("history", "import", str(bad), expect=2, **other)["error"]["code"] == "history_malformed"
