"""Many closures at once: shown first, approved where the policy asks, proven, and their certificates in one folder."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from orchestrator.blocking import BlockingOrchestrator
from tests.e2e.commands import kill, wait_for

STRANGER = "5df359f0-d299-40a1-8023-17c77a50144c"


@pytest.fixture
def active(office, scripts):
    """Makes active accounts."""

    def make(*references):
        with BlockingOrchestrator(scripts.settings()) as orchestrator:
            customer = office.programme.customer_id
            ids = [orchestrator.create_account(customer, "EUR", reference=one).account_id for one in references]
            assert [orchestrator.activate(one, timeout=60).outcome for one in ids] == ["done"] * len(ids)
            return ids

    return make


def test_accounts_are_closed_after_a_look_a_kill_and_a_second_run(office, scripts, active):
    first, second = active("a-1", "a-2")
    file = scripts.home / "leavers.txt"
    file.write_text(f"{first}\n{first}\n{second[:13]}\n{STRANGER}\n\n")
    looked = scripts.script("close_accounts.py", file, "--dry-run", "--json")
    assert looked.code == 1
    assert [one["outcome"] for one in looked.document["closures"]] == ["", "", "failed"]
    assert re.search(rf"{first}  active +nothing", looked.stderr), looked.stderr
    assert f"row 2: {first} is in row 1, too" in looked.stderr
    assert not (scripts.home / "closed").exists()

    refused = scripts.script("close_accounts.py", file)
    assert refused.code == 2
    assert "closing is final" in refused.stderr

    process = scripts.begin("close_accounts.py", file, "--yes")
    journal = scripts.home / "journal.db-wal"
    wait_for(lambda: (journal.exists() and journal.stat().st_size > 0) or process.poll() is not None, what="work")
    kill(process)
    done = scripts.script("close_accounts.py", file, "--yes", "--json", "--folder", "closed")
    assert done.code == 1, done.stderr  # the stranger
    ended = {one["account"]: one for one in done.document["closures"]}
    assert {account: one["outcome"] for account, one in ended.items()} == {
        first: "done",
        second: "done",
        STRANGER: "failed",
    }
    assert ended[STRANGER]["message"].startswith("account_not_found")
    folder = scripts.home / "closed"
    for account in (first, second):
        assert json.loads((folder / f"{account}.json").read_text())["verdict"] == "irreversible"
        assert "irreversible" in (folder / f"{account}.html").read_text().lower()
    assert json.loads((folder / "summary.json").read_text()) == done.document

    shutil.rmtree(folder)  # the certificates are in the journal, too
    again = scripts.script("close_accounts.py", "--customer", office.programme.customer_id, "--yes", "--json")
    ours = {one["account"]: one["outcome"] for one in again.document["closures"]}
    assert (ours[first], ours[second]) == ("done", "done"), again.stderr
    assert (folder / f"{first}.html").exists()


def test_closures_wait_for_their_approval(office, scripts, active):
    policy = scripts.home / "policy.toml"
    policy.write_text(office.policy_file.read_text().replace("closure = 0", "closure = 1"))
    scripts.environment["ORCHESTRATOR_POLICY"] = str(policy)
    (account,) = active("b-1")
    file = scripts.home / "leavers.csv"
    file.write_text(f"reference,account\nb-1,{account}\n")
    options = ("close_accounts.py", file, "--yes", "--json", "--timeout", "2")
    waiting = scripts.script(*options)
    assert waiting.code == 75, waiting.stderr
    assert "orchestrator approve" in waiting.document["closures"][0]["message"]
    alice = ("--person-key", str(office.people["alice"]), "--person-password-file", str(office.password_file))
    scripts.json("approve", account, "--yes", *alice)
    done = scripts.script(*options[:-1], "60")
    assert done.code == 0, done.stderr
    assert done.document["closures"][0]["page"] == f"closed/{account}.html"
