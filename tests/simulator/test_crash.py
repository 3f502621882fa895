"""A simulator that dies at any moment does nothing twice, and nothing by halves."""

from __future__ import annotations

import asyncio
import uuid

import httpx
import pytest

from orchestrator.devnet.simulator import Options


@pytest.fixture
async def slow(make, node):
    """A platform whose transactions are only mined when the test says so."""
    anvil, deployed = node
    world = await make(Options(chain_wait=20, poll_interval=0.01), chain=(anvil.url, deployed))
    await anvil.rpc("evm_setAutomine", False)
    yield world, anvil
    await anvil.rpc("evm_setAutomine", True)
    await anvil.rpc("evm_mine")


def transactions(world):
    return world.simulator.records()["transactions"]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_deployment_goes_on_after_a_crash_between_sending_and_mining(slow):
    world, anvil = slow
    account = await world.create()
    await world.sign(account)
    await until(lambda: len(transactions(world)) == 1)
    await world.restart(crash=True)
    assert (await world.client.ok("GET", f"/accounts/{account['id']}"))["status"] == "pending"
    await anvil.rpc("evm_setAutomine", True)
    await anvil.rpc("evm_mine")
    await world.reach(account["id"], "active")
    assert [row["step"] for row in transactions(world)] == ["deploySmartWallet", "activate"]
    assert [row["state"] for row in transactions(world)] == ["mined", "mined"]


async def test_a_transaction_that_was_recorded_but_never_sent_is_sent(slow):
    world, anvil = slow
    account = await world.create()
    await world.sign(account)
    await until(lambda: len(transactions(world)) == 1)
    # The node forgets it: the same as a crash after the record and before the sending.
    await anvil.rpc("anvil_dropTransaction", transactions(world)[0]["hash"])
    await world.restart(crash=True)
    await anvil.rpc("evm_setAutomine", True)
    await world.reach(account["id"], "active")
    assert len(transactions(world)) == 2


async def test_a_taken_nonce_is_replaced_after_a_look_at_the_chain(slow):
    world, anvil = slow
    account = await world.create()
    await world.sign(account)
    await until(lambda: len(transactions(world)) == 1)
    row = transactions(world)[0]
    await anvil.rpc("anvil_dropTransaction", row["hash"])
    sender = world.simulator.platform.chain.operator
    await anvil.rpc("anvil_setNonce", sender, hex(row["nonce"] + 1))
    await anvil.rpc("evm_setAutomine", True)
    await world.reach(account["id"], "active")
    assert [row["state"] for row in transactions(world)] == ["lost", "mined", "mined"]


async def test_a_suspension_repeated_after_a_crash_happens_once(slow):
    world, anvil = slow
    await anvil.rpc("evm_setAutomine", True)
    account = await world.active()
    await anvil.rpc("evm_setAutomine", False)
    key = str(uuid.uuid4())
    request = asyncio.create_task(world.client.request("PATCH", f"/accounts/{account['id']}/deactivate", key=key))
    await until(lambda: len(transactions(world)) == 3)
    in_flight = await world.client.request("PATCH", f"/accounts/{account['id']}/deactivate", key=key)
    assert (in_flight.status_code, in_flight.json()["code"]) == (409, "idempotency_in_flight")
    busy = await world.client.request("PATCH", f"/accounts/{account['id']}/deactivate")
    assert (busy.status_code, busy.json()["code"]) == (409, "operation_in_progress")
    await world.restart(crash=True)
    with pytest.raises(httpx.TransportError):
        await request
    await anvil.rpc("evm_setAutomine", True)
    await anvil.rpc("evm_mine")
    answer = await world.client.request("PATCH", f"/accounts/{account['id']}/deactivate", key=key)
    assert (answer.status_code, answer.json()["status"]) == (200, "inactive")
    assert [row["step"] for row in transactions(world)].count("deactivate") == 1


async def test_a_deletion_repeated_after_a_crash_commits_once(slow):
    world, anvil = slow
    await anvil.rpc("evm_setAutomine", True)
    account = await world.active()
    await anvil.rpc("evm_setAutomine", False)
    key = str(uuid.uuid4())
    request = asyncio.create_task(world.client.request("DELETE", f"/accounts/{account['id']}", key=key))
    await until(lambda: len(transactions(world)) == 3)
    await world.restart(crash=True)
    with pytest.raises(httpx.TransportError):
        await request
    await anvil.rpc("evm_setAutomine", True)
    await anvil.rpc("evm_mine")
    answer = await world.client.request("DELETE", f"/accounts/{account['id']}", key=key)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await world.client.request("DELETE", f"/accounts/{account['id']}", key=key)).status_code == 204
    assert [row["step"] for row in transactions(world)].count("commitChallenge") == 1
    challenges = [row for row in world.simulator.records()["challenges"] if row["purpose"] == "deletion"]
    assert len(challenges) == 1


async def test_a_request_that_takes_too_long_is_answered_and_goes_on(make, node):
    anvil, deployed = node
    world = await make(Options(chain_wait=0.05, poll_interval=0.01), chain=(anvil.url, deployed))
    account = await world.active()
    await anvil.rpc("evm_setAutomine", False)
    try:
        assert await world.client.ok("DELETE", f"/accounts/{account['id']}") is None
        pending = await world.client.request("GET", f"/accounts/{account['id']}/challenge")
        assert (pending.status_code, pending.json()["code"]) == (404, "challenge_not_found")
    finally:
        await anvil.rpc("evm_setAutomine", True)
        await anvil.rpc("evm_mine")
    await world.simulator.platform.worker.settled(account["id"], 20)
    assert (await world.client.ok("GET", f"/accounts/{account['id']}/challenge"))["challenge"]


async def test_credentials_customers_and_keys_survive_a_restart(world):
    key = str(uuid.uuid4())
    path = f"/customers/{world.programme.customer_id}/accounts"
    body = {"type": "card_account", "currencies": ["USD"]}
    first = await world.client.request("POST", path, body, key=key)
    await world.restart()
    again = await world.client.request("POST", path, body, key=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert len(await world.client.ok("GET", "/accounts")) == 1
