"""Kill -9 at every moment that matters, and run the command again: it ends in done, at once, with nothing twice."""

from __future__ import annotations

import sys

import pytest

from orchestrator.blocking import BlockingOrchestrator
from tests.e2e.commands import kill, wait_for
from tests.e2e.kill_sweep import Untraceable, sweep
from tests.profile import FULL

BEFORE, AFTER = "delay_before", "delay_after"
"""The request is held before its effect, or between its effect and its answer; the process is killed there."""
LONG = 300
"""Seconds that a request is held: the process is killed long before."""

SUBMIT = ("POST", "/challenge/sign$")


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


def test_resume_finishes_what_a_kill_left(devnet, cli, account):
    create = ("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR", "--reference", "r")
    _killed_while(devnet, cli, ("POST", "/customers/[^/]+/accounts$"), AFTER, *create)
    _killed_while(devnet, cli, SUBMIT, AFTER, "activate", account)
    told = cli.json("resume")["accounts"]
    assert [(report["accountId"], report["outcome"]) for report in told] == [(account, "done")]
    assert len(devnet.simulator.records()["accounts"]) == 2
    assert cli.json("accounts", "list")["accounts"][1]["status"] == "initiating"


@pytest.mark.parametrize(
    ("operation", "moment"),
    _moments(("deactivate", AFTER), full=(("deactivate", BEFORE), ("reactivate", BEFORE), ("reactivate", AFTER))),
)
def test_suspension(devnet, cli, active, operation, moment):
    if operation == "reactivate":
        assert cli.json("deactivate", active)["outcome"] == "done"
    _killed_while(devnet, cli, ("PATCH", "activate$"), moment, operation, active)
    assert cli.json(operation, active)["outcome"] == "done"


@pytest.mark.timeout(3600)
def test_no_kill_of_a_whole_life_loses_or_doubles_anything(devnet, tmp_path, capsys):
    """At every fsync, file and request to the platform of creation, activation and closure."""
    try:
        counts = sweep(devnet, tmp_path, lives=None if FULL else 1, at_once=2 if FULL else 1)
    except Untraceable:
        pytest.skip("this machine lets no process trace its child (ptrace)")
    if FULL:
        with capsys.disabled():
            sys.stdout.writelines(f"\n{line}" for line in counts.lines())
    assert (counts.lost, counts.doubled) == ([], [])
    assert counts.kills >= 3
