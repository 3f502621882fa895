"""The report of an account: the same state always tells the same, and every wait says what, since and until."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.errors import PlatformUnreachable
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Wait
from orchestrator.lifecycle.fold import AccountState, fold
from orchestrator.lifecycle.recorded import Recorded
from orchestrator.models import OperationKind
from orchestrator.report import report
from orchestrator.runbook import RUNBOOK, advice

AT = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = e.OperationStarted(operation=OperationKind.ACTIVATE)
KEYS = {
    "accountId", "operation", "outcome", "status", "address", "block", "waitingFor", "since", "deadline", "error",
    "certificate", "reference", "notChecked",
}  # fmt: skip


def told(*events, **options):
    items = [
        Recorded(seq=i, stream="a", at=AT + timedelta(minutes=i), event=event, hash="", previous="")
        for i, event in enumerate(events)
    ]
    document = report("a", fold(items), **options).document()
    assert set(document) == KEYS
    return document


def test_an_account_that_was_never_worked_on():
    document = report("a", AccountState()).document()
    assert (document["operation"], document["outcome"], document["waitingFor"]) == (None, "done", None)


def test_a_wait_says_what_since_and_until():
    document = told(STARTED, wait=Wait("the moon", AT, AT + timedelta(hours=1)))
    assert (document["outcome"], document["waitingFor"]) == ("waiting", "the moon")
    assert (document["since"], document["deadline"]) == ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")
    assert told(STARTED)["waitingFor"]


def test_trouble_is_shown_beside_the_wait():
    trouble = PlatformUnreachable("no connection")
    document = told(STARTED, wait=Wait("trouble to pass", AT, AT), trouble=trouble)
    assert document["error"] == {"code": "platform_unreachable", "message": "no connection", "fix": advice(trouble)}


def test_a_halt_asks_for_an_operator():
    document = told(STARTED, e.OperationHalted(code="overdue", message="too late"))
    assert document["outcome"] == "operator"
    assert document["error"] == {"code": "overdue", "message": "too late", "fix": RUNBOOK["overdue"].advice}
    assert "resolve" in document["waitingFor"]


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (e.OperationEnded(outcome="done"), None),
        # A person's word is no proof: the report of a closure that was only accepted says so.
        (
            e.OperationEnded(outcome="done", code="accepted_by_operator", message="m"),
            {"code": "accepted_by_operator", "message": "m", "fix": RUNBOOK["accepted_by_operator"].advice},
        ),
        (
            e.OperationEnded(outcome="failed", code="abandoned", message="m"),
            {"code": "abandoned", "message": "m", "fix": RUNBOOK["abandoned"].advice},
        ),
    ],
)
def test_an_end(end, error):
    document = told(STARTED, end)
    assert (document["outcome"], document["error"], document["waitingFor"]) == (end.outcome, error, None)
    assert document["since"] == "2026-01-01T00:01:00Z"
