"""``approve``: what waits, shown and approved by people with keys of their own."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
import rfc8785

from orchestrator import eip191
from orchestrator.connect import make_ruleset
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import request_approval
from orchestrator.lifecycle.person_signatures import approval_text
from tests.cli.people import Desk, address_of, key_of
from tests.e2e.commands import COMMAND
from tests.forked import Forked

ACCOUNT = "5df359f0-d299-40a1-8023-17c77a50144c"
CLOSURE = {
    "operation": "close",
    "accountId": ACCOUNT,
    "customerId": "0b0c1c7a-27b7-4d5b-a8a5-0d8a3f5c9e11",
    "owner": "eip155:1:0x2c7536E3605D9C16a7a3D7b1898e529396a65c23",
    "wallet": None,
    "left": {"wei": "7", "tokens": {"0xToken": "12"}, "cards": {}},
}


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def closure(desk, *, lifetime=timedelta(hours=1), needed=1, by="os:deploy", key=None):
    now = datetime.now(UTC)
    asked = request_approval("closure", "approver", CLOSURE, needed=needed, by=by, now=now, expires_at=now + lifetime)
    if key is not None:
        signature = eip191.sign(key, approval_text(asked, desk.identity()).encode())
        asked = asked.model_copy(update={"address": address_of(by), "signature": "0x" + signature.hex()})
    desk.journal(ACCOUNT, [asked], at=now)
    return asked


def test_nothing_waits(desk):
    desk.identity()
    assert desk.valid("approve", "approve") == {"outcome": "done", "approvals": [], "stops": []}
    assert desk.here("approve").stdout == "nothing waits for an approval\n"


def test_a_closure_is_listed_shown_and_approved(desk):
    asked = closure(desk)
    listed = desk.valid("approve", "approve")
    (approval,) = listed["approvals"]
    assert listed["outcome"] == "waiting"
    assert (approval["request"], approval["accountId"], approval["content"]) == (asked.request, ACCOUNT, CLOSURE)
    assert (approval["needed"], approval["given"], approval["by"]) == (1, [], "os:deploy")
    shown = desk.here("approve").stdout
    for line in ("left.wei", "left.tokens.0xToken", "asked by os:deploy", "takes 1 with the role approver"):
        assert line in shown
    done = desk.valid("approve", "approve", ACCOUNT, "--yes", *desk.as_("alice"))
    assert (done["outcome"], done["approvals"][0]["given"]) == ("done", ["alice"])
    assert desk.valid("approve", "approve", ACCOUNT, "--yes", *desk.as_("alice")) == done
    assert desk.types(ACCOUNT) == ["approval_requested", "approval_given"]
    assert desk.valid("approve", "approve")["outcome"] == "done"


def strict(desk) -> None:
    """The policy wants a person to ask."""
    policy = desk.home / "policy.toml"
    policy.write_text(policy.read_text().replace("finality = 1", 'finality = 1\nasker = "person"'))


def test_the_list_says_who_asks_and_whether_that_is_proven(desk):
    strict(desk)
    asked = closure(desk, by="alice")
    (approval,) = desk.valid("approve", "approve")["approvals"]
    assert (approval["by"], approval["byProven"], approval["needed"]) == ("alice", False, 2)
    shown = desk.here("approve").stdout
    assert "asked by alice (not proven to be one of the people) at" in shown
    assert "takes 2 with the role approver (one more, because no person is proven to ask); expires" in shown
    told = desk.valid("approve", "approve", asked.request, "--yes", *desk.as_("bob"), expect=75)
    assert (told["outcome"], told["approvals"][0]["given"]) == ("waiting", ["bob"])
    assert "approved by bob (1 of 2)" in desk.here("approve", asked.request, "--yes", *desk.as_("bob")).stdout


def test_a_person_who_proved_that_she_asks(desk):
    strict(desk)
    proven = closure(desk, by="alice", key=key_of("alice"))
    (approval,) = desk.valid("approve", "approve")["approvals"]
    assert (approval["by"], approval["byProven"], approval["needed"]) == ("alice", True, 1)
    shown = desk.here("approve").stdout
    assert "asked by alice (proven by her key) at" in shown
    assert "takes 1 with the role approver; expires" in shown
    desk.refused("approve", proven.request, "--yes", *desk.as_("alice"), code="approval_by_requester", expect=1)
    assert desk.valid("approve", "approve", proven.request, "--yes", *desk.as_("bob"))["outcome"] == "done"


def test_by_the_beginning_of_its_id_in_a_process_of_its_own(desk):
    asked = closure(desk, needed=2)
    told = desk.run("approve", asked.request[:10], "--yes", *desk.as_("bob"))
    assert (told.code, told.stderr) == (75, "")
    assert "waiting for others" in told.stdout
    assert "approved by bob (1 of 2)" in told.stdout


def test_without_a_terminal_and_without_yes_nothing_is_done(desk):
    closure(desk)
    for arguments in (("approve", ACCOUNT, *desk.as_("alice")), ("--json", "approve", ACCOUNT, *desk.as_("alice"))):
        told = desk.here(*arguments)
        assert told.code == 2
        assert "confirmation_needed" in told.stdout + told.stderr
    assert desk.types(ACCOUNT) == ["approval_requested"]


def test_who_may_not(desk):
    closure(desk, by="alice")
    for who, code, exit_code in (
        (desk.as_("alice"), "approval_by_requester", 1),
        (desk.as_("mallory"), "person_unknown", 1),
        (desk.as_("carol"), "person_role", 1),
        ((), "person_needed", 2),
        (("--person", "bob", "--signature", "0x12"), "person_signature", 2),
    ):
        desk.refused("approve", ACCOUNT, "--yes", *who, code=code, expect=exit_code)
    assert desk.types(ACCOUNT) == ["approval_requested"]


def test_what_is_not_there_or_over(desk):
    desk.refused("approve", ACCOUNT, "--yes", *desk.as_("alice"), code="approval_unknown", expect=2)
    closure(desk, lifetime=timedelta(microseconds=1))
    desk.refused("approve", ACCOUNT, "--yes", *desk.as_("alice"), code="approval_expired", expect=1)


def test_a_signature_of_another_wallet(desk):
    asked = closure(desk)
    text = desk.valid("approve", "approve", ACCOUNT, "--print-text")["text"]
    assert asked.content in text
    assert desk.here("approve", ACCOUNT, "--print-text").stdout == text + "\n"
    signature = "0x" + eip191.sign(key_of("bob"), text.encode()).hex()
    done = desk.json("approve", ACCOUNT, "--yes", "--person", "bob", "--signature", signature)
    assert done["approvals"][0]["given"] == ["bob"]


def test_a_changed_policy_is_shown_as_what_changes(desk):
    before = make_ruleset(desk.settings())
    now = datetime.now(UTC)
    adopted = o.RulesetAdopted(ruleset=before.hash, document=rfc8785.dumps(before.document).decode(), by="os:deploy")
    policy = desk.home / "policy.toml"
    strict(desk)
    policy.write_text(policy.read_text().replace("closure = 1", "closure = 0"))
    after = make_ruleset(desk.settings())
    content = {"from": before.hash, "to": after.hash, "changes": ["policy"], "document": after.document}
    asked = request_approval(
        "ruleset",
        "administrator",
        content,
        needed=1,
        by="os:deploy",
        now=now,
        expires_at=now + timedelta(hours=1),
    )
    desk.journal(new=[adopted, asked], at=now)
    shown = desk.here("approve").stdout
    assert "policy.approvals.closure: 1 → 0" in shown
    assert "policy.approvals.asker: any → person" in shown, "a default that the document leaves out is spelt out"
    assert shown.count("→") == 2, "what stays is not shown"
    assert desk.valid("approve", "approve", "policy", "--yes", *desk.as_("alice"))["outcome"] == "done"


def test_a_person_at_a_terminal_is_shown_the_matter_and_asked(desk):
    asked = closure(desk)
    for answer, code in (("n", 2), ("y", 0)):
        ours, theirs = os.openpty()
        process = Forked(
            [*COMMAND, "approve", asked.request, *desk.as_("alice")],
            env=desk.environment,
            stdin=theirs,
            stderr=theirs,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.close(theirs)
        shown = ""
        while "Approve exactly this?" not in shown:
            shown += os.read(ours, 4096).decode()
        assert "left.wei" in shown
        os.write(ours, f"{answer}\n".encode())
        process.communicate(timeout=60)
        os.close(ours)
        assert process.returncode == code
    assert desk.types(ACCOUNT) == ["approval_requested", "approval_given"]
