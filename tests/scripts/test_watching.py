"""What is looked at while everything runs: foreign wallets, and what waits."""

from __future__ import annotations

import importlib

import pytest

from orchestrator.blocking import BlockingOrchestrator
from tests.e2e.commands import kill
from tests.scripts.conftest import SCRIPTS


@pytest.fixture
def account(office, scripts):
    """Creates an account; ``active`` or not."""

    def make(*, active):
        with BlockingOrchestrator(scripts.settings()) as orchestrator:
            one = orchestrator.create_account(office.programme.customer_id, "EUR", reference="w-1")
            return one.account_id, orchestrator.activate(one.account_id, timeout=60 if active else 0)

    return make


def test_a_wallet_with_code_of_others_is_found(office, scripts, account, monkeypatch):
    identifier, report = account(active=True)
    address = report.address.rpartition(":")[2]
    customer = office.programme.customer_id
    good = scripts.script("find_foreign_wallets.py", "--customer", customer, "--json")
    assert good.code == 0, good.stderr
    assert {"account": identifier, "address": address, "result": "fits", "detail": ""} in good.document["wallets"]
    office.anvil.rpc_sync("anvil_setCode", address, "0x600160005260206000f3")
    monkeypatch.syspath_prepend(SCRIPTS)
    find_foreign_wallets = importlib.import_module("find_foreign_wallets")

    def ask(*words):  # as the script does, without an interpreter for each question
        done = scripts.here("--json", *words)
        return done.code, done.document

    with BlockingOrchestrator(scripts.settings()) as orchestrator:
        told = orchestrator.account(identifier)
    found = find_foreign_wallets.look(ask, "smart-wallet", ["offblocks", "safe"], told)
    assert (found.account, found.address, found.result) == (identifier, address, "foreign")
    assert found.line.startswith(f"foreign {identifier}  {address}  ")


def test_what_waits_is_shown(scripts, account):
    assert scripts.script("watch.py").stdout == "nothing waits\n"
    identifier, _ = account(active=False)
    once = scripts.script("watch.py", "--json")
    assert once.code == 0
    (one,) = once.document["accounts"]
    assert (one["accountId"], one["outcome"]) == (identifier, "waiting")
    process = scripts.begin("watch.py", "--every", "0.05")
    first = process.stdout.readline()
    kill(process)
    assert first.startswith(f"{identifier} (w-1) activate waiting for ")
