"""Kill -9 at every moment that matters, and run the command again: it ends in done, at once, with nothing twice."""

from __future__ import annotations

import uuid

import pytest

from tests.e2e.commands import kill, wait_for

MOMENTS = {
    "before the effect": "delay_before",
    "between the effect and the answer": "delay_after",
}
ACTIVATE = {
    "reading the account": ("GET", "/accounts/[^/]+$"),
    "reading the customer": ("GET", "/customers/[^/]+$"),
    "fetching the challenge": ("GET", "/challenge$"),
    "submitting the signature": ("POST", "/challenge/sign$"),
}
CLOSE = {
    "reading the cards": ("GET", "/cards$"),
    "requesting the closure": ("DELETE", "/accounts/[^/]+$"),
    "fetching the challenge": ("GET", "/challenge$"),
    "submitting the signature": ("POST", "/challenge/sign$"),
}
LONG = 300
"""Seconds that a request is held: the process is killed long before."""


def _killed_while(devnet, cli, request, moment, *arguments):
    """Runs the command, holds the request that matches, and kills the command there."""
    method, path = request
    devnet.simulator.fault(MOMENTS[moment], method=method, path=path, seconds=LONG)
    process = cli.start(*arguments)

    def held():
        assert process.poll() is None, f"the command ended by itself: {process.communicate()}"
        return not devnet.simulator.simulator.platform.faults.active(MOMENTS[moment])

    wait_for(held, what="the request to be held")
    kill(process)
    devnet.simulator.clear_faults()


def _effects(devnet):
    return [r for r in devnet.simulator.records()["requests"] if r["method"] != "GET" and not r["replayed"]]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("request_name", ACTIVATE)
def test_activate(devnet, cli, request_name, moment):
    account = cli.json("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR")
    _killed_while(devnet, cli, ACTIVATE[request_name], moment, "activate", account["accountId"])
    assert cli.json("activate", account["accountId"])["outcome"] == "done"
    records = devnet.simulator.records()
    assert len(records["signatures"]) == 1
    assert cli.json("journal", "--verify")["valid"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("request_name", CLOSE)
def test_close(devnet, cli, request_name, moment):
    account = cli.json("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR")
    identifier = account["accountId"]
    assert cli.json("activate", identifier)["outcome"] == "done"
    _killed_while(devnet, cli, CLOSE[request_name], moment, "close", identifier, "--yes")
    closed = cli.json("close", identifier, "--yes")
    assert (closed["outcome"], closed["status"]) == ("done", "closed")
    assert cli.json("certificate", "verify", closed["certificate"])["valid"]
    assert len(devnet.simulator.records()["signatures"]) == 2
    assert sum(r["method"] == "DELETE" for r in _effects(devnet)) == 1


@pytest.mark.parametrize("moment", MOMENTS)
def test_create_with_a_reference_makes_one_account(devnet, cli, moment):
    reference = str(uuid.uuid4())
    create = ("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR")
    request = ("POST", "/customers/[^/]+/accounts$")
    _killed_while(devnet, cli, request, moment, *create, "--reference", reference)
    first = cli.json(*create, "--reference", reference)
    second = cli.json(*create, "--reference", reference)
    assert first["accountId"] == second["accountId"]
    assert [row["id"] for row in devnet.simulator.records()["accounts"]] == [first["accountId"]]


STEPS = ("sign", "submit", "to be final", "prove")


@pytest.mark.parametrize("step", STEPS)
def test_close_killed_at_a_step_of_its_own(devnet, cli, step):
    account = cli.json("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR")
    identifier = account["accountId"]
    assert cli.json("activate", identifier)["outcome"] == "done"
    process = cli.start("close", identifier, "--yes")
    assert process.stderr is not None
    for line in process.stderr:
        if step in line:
            break
    kill(process)
    assert cli.json("resume")["accounts"] == [] or cli.json("status", identifier)["outcome"] == "done"
    assert cli.json("close", identifier, "--yes")["outcome"] == "done"
    assert len(devnet.simulator.records()["signatures"]) == 2


@pytest.mark.parametrize("operation", ["deactivate", "reactivate"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_suspension(devnet, cli, operation, moment):
    account = cli.json("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR")
    identifier = account["accountId"]
    assert cli.json("activate", identifier)["outcome"] == "done"
    if operation == "reactivate":
        assert cli.json("deactivate", identifier)["outcome"] == "done"
    _killed_while(devnet, cli, ("PATCH", "activate$"), moment, operation, identifier)
    assert cli.json(operation, identifier)["outcome"] == "done"


def test_many_kills_at_any_moment(devnet, cli):
    """A command that is killed again and again, each time a little later, still ends in one account, closed once."""
    create = ("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR")
    identifier = cli.json(*create, "--reference", "one")["accountId"]
    for command in (("activate", identifier), ("close", identifier, "--yes")):
        for lines in range(1, 8):
            process = cli.start(*command)
            assert process.stderr is not None
            for _ in range(lines):
                if not process.stderr.readline():
                    break
            kill(process)
        assert cli.json(*command)["outcome"] == "done"
    assert len(devnet.simulator.records()["signatures"]) == 2
    assert len(devnet.simulator.records()["accounts"]) == 1
