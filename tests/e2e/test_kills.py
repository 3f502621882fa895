"""Kill -9 at every moment that matters, and run the command again: it ends in done, at once, with nothing twice."""

from __future__ import annotations

import pytest

from orchestrator.blocking import BlockingOrchestrator
from tests.e2e.commands import kill, wait_for
from tests.profile import FULL, full_only

BEFORE, AFTER = "delay_before", "delay_after"
"""The request is held before its effect, or between its effect and its answer; the process is killed there."""
LONG = 300
"""Seconds that a request is held: the process is killed long before."""

SUBMIT = ("POST", "/challenge/sign$")
DELETE = ("DELETE", "/accounts/[^/]+$")
FETCH = ("GET", "/challenge$")


def _moments(*default, full=()):
    return [*default, *(full if FULL else ())]


@pytest.fixture
def account(devnet, cli):
    """An account that was created, by the journal that the commands use."""
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        return orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id


@pytest.fixture
def active(account, cli):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        assert orchestrator.activate(account, timeout=60).outcome == "done"
    return account


def _killed_while(devnet, cli, request, moment, *arguments):
    """Runs the command, holds the request that matches, and kills the command there."""
    method, path = request
    devnet.simulator.fault(moment, method=method, path=path, seconds=LONG)
    process = cli.start(*arguments)

    def held():
        assert process.poll() is None, f"the command ended by itself: {process.communicate()}"
        return not devnet.simulator.simulator.platform.faults.active(moment)

    wait_for(held, what="the request to be held")
    kill(process)
    devnet.simulator.clear_faults()


def _effects(devnet, method):
    records = devnet.simulator.records()["requests"]
    return [r for r in records if r["method"] == method and not r["replayed"] and (r["status"] or 0) < 400]


@pytest.mark.parametrize(
    ("request_", "moment"),
    _moments((SUBMIT, AFTER), full=((SUBMIT, BEFORE), (FETCH, BEFORE), (FETCH, AFTER), (("GET", "s/[^/]+$"), AFTER))),
)
def test_activate(devnet, cli, account, request_, moment):
    _killed_while(devnet, cli, request_, moment, "activate", account)
    assert cli.json("activate", account)["outcome"] == "done"
    assert len(devnet.simulator.records()["signatures"]) == 1
    assert cli.json("journal", "--verify")["valid"]


@pytest.mark.parametrize(
    ("request_", "moment"),
    _moments(
        (DELETE, AFTER),
        (SUBMIT, AFTER),
        full=((DELETE, BEFORE), (SUBMIT, BEFORE), (FETCH, BEFORE), (FETCH, AFTER), (("GET", "/cards$"), AFTER)),
    ),
)
def test_close(devnet, cli, active, request_, moment):
    _killed_while(devnet, cli, request_, moment, "close", active, "--yes")
    closed = cli.json("close", active, "--yes")
    assert (closed["outcome"], closed["status"]) == ("done", "closed")
    assert cli.json("certificate", "verify", closed["certificate"])["valid"]
    assert len(devnet.simulator.records()["signatures"]) == 2


@pytest.mark.parametrize("moment", _moments(AFTER, full=(BEFORE,)))
def test_create_with_a_reference_makes_one_account(devnet, cli, moment):
    create = ("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR", "--reference", "r")
    _killed_while(devnet, cli, ("POST", "/customers/[^/]+/accounts$"), moment, *create)
    first = cli.json(*create)
    second = cli.json(*create)
    assert first["accountId"] == second["accountId"]
    assert [row["id"] for row in devnet.simulator.records()["accounts"]] == [first["accountId"]]


def test_resume_finishes_what_a_kill_left(devnet, cli, account):
    create = ("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR", "--reference", "r")
    _killed_while(devnet, cli, ("POST", "/customers/[^/]+/accounts$"), AFTER, *create)
    _killed_while(devnet, cli, SUBMIT, AFTER, "activate", account)
    told = cli.json("resume")["accounts"]
    assert [(report["accountId"], report["outcome"]) for report in told] == [(account, "done")]
    assert len(devnet.simulator.records()["accounts"]) == 2
    assert cli.json("accounts", "list")["accounts"][1]["status"] == "initiating"


@pytest.mark.parametrize("step", _moments("sign", full=("submit", "to be final", "prove")))
def test_close_killed_at_a_step_of_its_own(devnet, cli, active, step):
    process = cli.start("close", active, "--yes")
    assert process.stderr is not None
    for line in process.stderr:
        if step in line:
            break
    kill(process)
    assert cli.json("close", active, "--yes")["outcome"] == "done"
    assert len(devnet.simulator.records()["signatures"]) == 2
    assert len(_effects(devnet, "DELETE")) == 1


@pytest.mark.parametrize(
    ("operation", "moment"),
    _moments(("deactivate", AFTER), full=(("deactivate", BEFORE), ("reactivate", BEFORE), ("reactivate", AFTER))),
)
def test_suspension(devnet, cli, active, operation, moment):
    if operation == "reactivate":
        assert cli.json("deactivate", active)["outcome"] == "done"
    _killed_while(devnet, cli, ("PATCH", "activate$"), moment, operation, active)
    assert cli.json(operation, active)["outcome"] == "done"


@full_only("14 kills")
def test_many_kills_at_any_moment(devnet, cli, account):
    """A command that is killed again and again, each time a little later, still ends in one account, closed once."""
    for command in (("activate", account), ("close", account, "--yes")):
        for lines in range(1, 8):
            process = cli.start(*command)
            assert process.stderr is not None
            for _ in range(lines):
                if not process.stderr.readline():
                    break
            kill(process)
        assert cli.json(*command)["outcome"] == "done"
    assert len(devnet.simulator.records()["signatures"]) == 2
    assert len(_effects(devnet, "DELETE")) == 1
