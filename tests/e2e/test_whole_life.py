"""The whole life of an account through the library, on a real chain and a real platform."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from orchestrator.app import Orchestrator
from orchestrator.blocking import BlockingOrchestrator
from orchestrator.closure.certificate.verifier import verify
from orchestrator.models import ChainAccount, Outcome


async def test_from_creation_to_a_proven_end(orchestrator, devnet, tmp_path):
    account = await orchestrator.create_account(devnet.programme.customer_id, "eur", reference="order-1")
    assert (account.status, account.currencies, account.address) == ("initiating", ["EUR"], None)

    active = await orchestrator.activate(account.account_id, timeout=60)
    assert (active.outcome, active.status, active.block.finality) == ("done", "active", "finalized")
    wallet = ChainAccount.parse(active.address)
    assert await devnet.anvil.rpc("eth_getCode", wallet.address, "finalized") != "0x"
    assert await _slot0(devnet, wallet.address) == 1

    suspended = await orchestrator.deactivate(account.account_id, timeout=60)
    assert (suspended.outcome, suspended.status) == ("done", "inactive")
    assert await _slot0(devnet, wallet.address) == 2

    back = await orchestrator.reactivate(account.account_id, timeout=60)
    assert (back.outcome, back.status) == ("done", "active")
    assert await _slot0(devnet, wallet.address) == 1

    closed = await orchestrator.close(account.account_id, certificate=tmp_path / "closed.json", timeout=60)
    assert (closed.outcome, closed.status, closed.error) == ("done", "closed", None)
    assert await _slot0(devnet, wallet.address) == 3
    report = verify((tmp_path / "closed.json").read_bytes())
    assert (report.valid, report.verdict, report.address) == (True, "irreversible", wallet.address), report.detail
    assert json.loads((tmp_path / "closed.json").read_bytes())["analysis"]["result"] == "inert"

    assert (await orchestrator.journal.verify()).valid
    assert [told.outcome for told in await orchestrator.status()] == [Outcome.DONE]


async def test_an_operation_that_is_done_is_done_again_without_doing_anything(orchestrator, devnet, tmp_path):
    customer = devnet.programme.customer_id
    account = await orchestrator.create_account(customer, "EUR", reference="order-1")
    assert (await orchestrator.create_account(customer, "EUR", reference="order-1")).account_id == account.account_id
    first = await orchestrator.activate(account.account_id, timeout=60)
    events = len(await orchestrator.journal.read(account.account_id))
    again = await orchestrator.activate(account.account_id, timeout=60)
    assert (again.outcome, again.address) == ("done", first.address)
    assert len(await orchestrator.journal.read(account.account_id)) == events

    closed = await orchestrator.close(account.account_id, timeout=60)
    Path(closed.certificate).unlink()
    again = await orchestrator.close(account.account_id, certificate=tmp_path / "again.json", timeout=60)
    assert again.outcome == "done"
    assert verify((tmp_path / "again.json").read_bytes()).valid

    records = devnet.simulator.records()
    assert len(records["accounts"]) == 1
    effects = [r for r in records["requests"] if r["method"] != "GET" and "auth" not in r["path"] and not r["replayed"]]
    assert [r["method"] for r in effects].count("DELETE") == 1
    assert sum("challenge/sign" in r["path"] for r in effects) == 2
    assert sum(r["method"] == "POST" and r["path"].endswith("/accounts") for r in effects) == 1


async def test_an_account_made_elsewhere_is_activated(orchestrator, devnet, orchestrator_settings, tmp_path):
    from orchestrator.app import Orchestrator

    other = orchestrator_settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'other.db'}"})
    async with Orchestrator.open(other) as elsewhere:
        account = await elsewhere.create_account(devnet.programme.customer_id, "EUR")
    assert (await orchestrator.activate(account.account_id, timeout=60)).outcome == "done"


async def test_an_account_activated_elsewhere_is_found_active(orchestrator, devnet, orchestrator_settings, tmp_path):
    from orchestrator.app import Orchestrator

    other = orchestrator_settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'other.db'}"})
    async with Orchestrator.open(other) as elsewhere:
        account = await elsewhere.create_account(devnet.programme.customer_id, "EUR")
        await elsewhere.activate(account.account_id, timeout=60)
    signatures = len(devnet.simulator.records()["signatures"])
    found = await orchestrator.activate(account.account_id, timeout=60)
    assert (found.outcome, found.status) == ("done", "active")
    assert len(devnet.simulator.records()["signatures"]) == signatures
    assert (await orchestrator.close(account.account_id, timeout=60)).outcome == "done"


def test_the_synchronous_facade_does_the_same(devnet, orchestrator_settings):
    with BlockingOrchestrator(orchestrator_settings) as orchestrator:
        account = orchestrator.create_account(devnet.programme.customer_id, "EUR", reference="order-1")
        assert orchestrator.activate(account.account_id, timeout=60).outcome == "done"
        assert orchestrator.account(account.account_id).status == "active"
        assert [a.account_id for a in orchestrator.accounts()] == [account.account_id]
        assert orchestrator.close(account.account_id, timeout=60).outcome == "done"
        assert [told.status for told in orchestrator.status(account.account_id)] == ["closed"]


async def test_closing_pays_out_and_preflight_names_what_is_left(orchestrator, devnet):
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    active = await orchestrator.activate(account.account_id, timeout=60)
    wallet = ChainAccount.parse(active.address).address
    payer = devnet.programme.owner
    await devnet.anvil.rpc("eth_sendTransaction", {"from": payer, "to": wallet, "value": hex(10**18)})
    mint = "0x40c10f19" + wallet[2:].lower().rjust(64, "0") + f"{500:x}".rjust(64, "0")
    await devnet.anvil.rpc("eth_sendTransaction", {"from": payer, "to": devnet.contracts.token, "data": mint})
    await devnet.anvil.mine()
    _, left = await orchestrator.preflight(account.account_id)
    assert left["wei"] == str(10**18)
    assert left[f"token {devnet.contracts.token}"] == "500"

    assert (await orchestrator.close(account.account_id, timeout=60)).outcome == "done"
    assert int(await devnet.anvil.rpc("eth_getBalance", wallet, "latest"), 16) == 0
    taken = [r.event for r in await orchestrator.journal.read(account.account_id) if r.event.type == "preflight_taken"]
    assert (taken[0].wei, taken[0].tokens) == (str(10**18), {devnet.contracts.token: "500"})


@pytest.mark.parametrize(("operation", "code"), [("deactivate", "not_active_yet"), ("reactivate", "not_active_yet")])
async def test_suspending_needs_an_active_account(orchestrator, devnet, operation, code):
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    told = await getattr(orchestrator, operation)(account.account_id, timeout=60)
    assert (told.outcome, told.error.code) == ("failed", code)


async def test_activate_refuses_a_suspended_and_a_closed_account(orchestrator, devnet):
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    await orchestrator.activate(account.account_id, timeout=60)
    await orchestrator.deactivate(account.account_id, timeout=60)
    told = await orchestrator.activate(account.account_id, timeout=60)
    assert (told.outcome, told.error.code) == ("failed", "suspended_use_reactivate")
    assert (await orchestrator.close(account.account_id, timeout=60)).outcome == "done"
    for operation in (orchestrator.activate, orchestrator.deactivate, orchestrator.reactivate):
        told = await operation(account.account_id, timeout=60)
        assert (told.outcome, told.error.code) == ("failed", "account_closed")


async def _slot0(devnet, wallet: str) -> int:
    return int(await devnet.anvil.rpc("eth_getStorageAt", wallet, "0x0", "latest"), 16)


def _asked(devnet, since: int = 0) -> list[str]:
    """The platform's records of what it was asked for, in order, without logins."""
    rows = devnet.simulator.records()["requests"][since:]
    seen = [f"{row['method']} {row['path'].rpartition('/v1')[2]}" for row in rows]
    return [re.sub(r"[0-9a-f-]{36}", "ID", one) for one in seen if not one.endswith("/auth/token")]


async def test_an_activation_asks_the_platform_four_times_at_most(orchestrator, devnet):
    """Besides what polls read: the challenge came with the account's creation."""
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    devnet.simulator.fault("hold_deployments")
    before = len(devnet.simulator.records()["requests"])
    told = await orchestrator.activate(account.account_id, timeout=0)
    assert told.outcome == "waiting"
    asked = _asked(devnet, before)
    assert asked == ["GET /accounts/ID", "GET /customers/ID", "POST /accounts/ID/challenge/sign"]
    devnet.simulator.clear_faults()
    assert (await orchestrator.activate(account.account_id, timeout=60)).outcome == "done"
    assert set(_asked(devnet, before)[len(asked) :]) <= {"GET /accounts/ID"}, "polls"


async def test_an_activation_of_an_account_from_elsewhere_asks_for_one_challenge(
    orchestrator, orchestrator_settings, devnet, tmp_path
):
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    settings = orchestrator_settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'other.db'}"})
    before = len(devnet.simulator.records()["requests"])
    devnet.simulator.fault("hold_deployments")
    async with Orchestrator.open(settings) as other:
        await other.activate(account.account_id, timeout=0)
        asked = _asked(devnet, before)
        devnet.simulator.clear_faults()
        assert (await other.activate(account.account_id, timeout=60)).outcome == "done"
    assert asked == [
        "GET /accounts/ID",
        "GET /customers/ID",
        "GET /accounts/ID/challenge",
        "POST /accounts/ID/challenge/sign",
    ]


async def test_the_challenge_endpoint_is_asked_once_for_each_signature_at_most(orchestrator, devnet):
    accounts = [(await orchestrator.create_account(devnet.programme.customer_id, "EUR")).account_id for _ in range(3)]
    devnet.simulator.fault("refuse_signature")
    for account in accounts:
        for operation in ("activate", "deactivate", "reactivate", "close"):
            assert (await getattr(orchestrator, operation)(account, timeout=60)).outcome == "done"
    records = devnet.simulator.records()
    assert _asked(devnet).count("GET /accounts/ID/challenge") == len(records["signatures"]) - len(accounts)
    assert len(records["signatures"]) == 2 * len(accounts) + 1, "one was refused"
    assert len({row["challenge_id"] for row in records["signatures"]}) == len(records["signatures"])
