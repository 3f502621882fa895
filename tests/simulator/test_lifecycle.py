"""The whole life of an account on the simulator, on a real chain: what the API says and what the chain says."""

from __future__ import annotations

import asyncio
import base64
import uuid
from dataclasses import replace

import pytest

from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.devnet.simulator import Options
from orchestrator.devnet.simulator.chain import encode_call
from tests.simulator.conftest import submission


async def state(anvil, wallet):
    return int(await anvil.rpc("eth_call", {"to": wallet, "data": encode_call("state()")}, "latest"), 16)


def wallet_of(account):
    return account["chainId"].rpartition(":")[2]


def sent(world, account):
    return [row["step"] for row in world.simulator.records()["transactions"] if row["account_id"] == account["id"]]


async def test_from_creation_to_closed(chained, node):
    anvil, deployed = node
    client = chained.client
    created = await chained.create()
    assert created["status"] == "initiating"
    assert "chainId" not in created
    assert (
        str(uuid.UUID(base64.b64decode(created["challenge"]).decode()))
        == base64.b64decode(created["challenge"]).decode()
    )
    signed = await chained.submit(created, created["challenge"])
    assert (signed.status_code, signed.content) == (204, b"")
    again = await chained.submit(created, created["challenge"])
    assert (again.status_code, again.json()["code"]) == (409, "challenge_already_signed")
    account = await chained.reach(created["id"], "active")
    wallet = wallet_of(account)
    assert await state(anvil, wallet) == 1
    card = (await chained.admin("POST", f"/accounts/{account['id']}/cards")).json()
    assert await client.ok("GET", f"/accounts/{account['id']}/cards") == [card]
    assert card["status"] == "active"

    account = await client.ok("PATCH", f"/accounts/{account['id']}/deactivate")
    assert account["status"] == "inactive"
    assert await state(anvil, wallet) == 2
    assert [card["status"] for card in await client.ok("GET", f"/accounts/{account['id']}/cards")] == ["inactive"]
    account = await client.ok("PATCH", f"/accounts/{account['id']}/activate")
    assert account["status"] == "active"
    assert await state(anvil, wallet) == 1

    # What the wallet holds goes to its owner when it closes.
    owner = chained.programme.owner
    mint = {
        "from": DEV_ACCOUNTS[9].address,
        "to": deployed.token,
        "data": encode_call("mint(address,uint256)", wallet, 70),
    }
    await anvil.rpc("eth_sendTransaction", mint)
    await anvil.rpc("eth_sendTransaction", {"from": DEV_ACCOUNTS[9].address, "to": wallet, "value": hex(10**18)})
    response = await client.request("DELETE", f"/accounts/{account['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert (await client.ok("GET", f"/accounts/{account['id']}"))["status"] == "active"
    assert (await chained.sign(account)).status_code == 204
    closed = await chained.reach(account["id"], "closed")
    assert closed["chainId"] == account["chainId"]
    assert await state(anvil, wallet) == 3
    assert int(await anvil.rpc("eth_getBalance", wallet, "latest"), 16) == 0
    balance = {"to": deployed.token, "data": encode_call("balanceOf(address)", owner)}
    assert int(await anvil.rpc("eth_call", balance, "latest"), 16) == 70

    assert (await client.request("GET", f"/accounts/{account['id']}/challenge")).status_code == 404
    for method, path in (("DELETE", ""), ("PATCH", "/activate"), ("PATCH", "/deactivate")):
        response = await client.request(method, f"/accounts/{account['id']}{path}")
        assert (response.status_code, response.json()["code"]) == (409, "invalid_state")
    assert sent(chained, account) == [
        "deploySmartWallet",
        "activate",
        "deactivate",
        "reactivate",
        "commitChallenge",
        "close",
    ]


async def test_an_inactive_account_closes_too(chained, node):
    account = await chained.active()
    await chained.client.ok("PATCH", f"/accounts/{account['id']}/deactivate")
    await chained.client.ok("DELETE", f"/accounts/{account['id']}")
    assert (await chained.sign(account)).is_success
    await chained.reach(account["id"], "closed")
    assert await state(node[0], wallet_of(account)) == 3


async def test_an_account_without_a_contract_closes_without_a_chain(world):
    account = await world.create()
    assert await world.client.ok("DELETE", f"/accounts/{account['id']}") is None
    assert (await world.client.ok("GET", f"/accounts/{account['id']}"))["status"] == "closed"
    assert (await world.client.request("GET", f"/accounts/{account['id']}/challenge")).status_code == 404
    assert world.simulator.records()["jobs"] == []


async def test_a_pending_account_cannot_be_closed(world):
    account = await world.create()
    assert (await world.sign(account)).is_success
    response = await world.client.request("DELETE", f"/accounts/{account['id']}")
    assert (response.status_code, response.json()["code"]) == (409, "invalid_state")


async def test_the_deletion_challenge_is_on_the_chain_before_it_is_issued(chained, node):
    account = await chained.active()
    await chained.client.ok("DELETE", f"/accounts/{account['id']}")
    stored = await node[0].rpc(
        "eth_call", {"to": wallet_of(account), "data": encode_call("challengeCommitment(uint8)", 1)}, "latest"
    )
    assert int(stored, 16) != 0
    assert sent(chained, account).count("commitChallenge") == 1
    path = f"/accounts/{account['id']}/challenge"
    first = (await chained.client.ok("GET", path))["challenge"]
    assert sent(chained, account).count("commitChallenge") == 1
    # Asking for its closure again is no transition; asking for its challenge again ends the one before.
    again = await chained.client.request("DELETE", f"/accounts/{account['id']}")
    assert (again.status_code, again.json()["code"]) == (409, "invalid_state")
    second = (await chained.client.ok("GET", path))["challenge"]
    assert second != first
    assert sent(chained, account).count("commitChallenge") == 2
    dead = await chained.submit(account, first)
    assert (dead.status_code, dead.json()["code"]) == (400, "challenge_mismatch")
    assert (await chained.submit(account, second)).is_success
    await chained.reach(account["id"], "closed")


@pytest.mark.parametrize("purpose", ["creation", "deletion"])
async def test_a_refused_or_expired_challenge_is_replaced(chained, node, purpose):
    account = await chained.create() if purpose == "creation" else await chained.active()
    if purpose == "deletion":
        await chained.client.ok("DELETE", f"/accounts/{account['id']}")
    path = f"/accounts/{account['id']}/challenge"
    first = (await chained.client.ok("GET", path))["challenge"]
    refused = await chained.submit(account, first, owner=OTHER)
    assert (refused.status_code, refused.json()["code"]) == (400, "signer_mismatch")
    chained.simulator.fault("refuse_signature")
    refused = await chained.submit(account, first)
    assert (refused.status_code, refused.json()["code"]) == (400, "signature_invalid")
    again = await chained.submit(account, first)
    assert (again.status_code, again.json()["code"]) == (400, "challenge_mismatch")
    second = (await chained.client.ok("GET", path))["challenge"]
    assert second != first

    chained.simulator.fault("expire_challenges")
    expired = await chained.submit(account, second)
    assert (expired.status_code, expired.json()["code"]) == (400, "challenge_expired")
    assert (await chained.sign(account)).is_success
    await chained.reach(account["id"], "active" if purpose == "creation" else "closed")
    accepted = [
        row for row in chained.simulator.records()["signatures"] if row["accepted"] and row["purpose"] == purpose
    ]
    assert len(accepted) == 1


OTHER = DEV_ACCOUNTS[2]


async def test_a_failed_deployment_fails_the_account(chained):
    account = await chained.create()
    chained.simulator.fault("fail_deployment")
    await chained.sign(account)
    await chained.reach(account["id"], "failed")
    assert sent(chained, account) == []


async def test_a_held_deployment_waits(chained):
    fault = chained.simulator.fault("hold_deployments")
    account = await chained.create()
    await chained.sign(account)
    await asyncio.sleep(0)
    assert (await chained.client.ok("GET", f"/accounts/{account['id']}"))["status"] == "pending"
    assert (await chained.admin("DELETE", f"/faults/{fault['id']}")).status_code == 204
    await chained.reach(account["id"], "active")


async def test_a_closing_that_reverts_asks_for_another_signature(chained, node):
    anvil, _ = node
    account = await chained.active()
    await chained.client.ok("DELETE", f"/accounts/{account['id']}")
    # An owner that refuses ether: the transfer fails, and with it the whole close.
    wallet, owner = wallet_of(account), chained.programme.owner
    await anvil.rpc("anvil_setCode", owner, "0xfe")
    try:
        await anvil.rpc("anvil_setBalance", wallet, hex(5))
        first = (await chained.client.ok("GET", f"/accounts/{account['id']}/challenge"))["challenge"]
        assert (await chained.sign(account)).is_success
        await chained.simulator.platform.worker.settled(account["id"], 20)
        assert (await chained.client.ok("GET", f"/accounts/{account['id']}"))["status"] == "active"
        jobs = [row for row in chained.simulator.records()["jobs"] if row["kind"] == "close"]
        assert "EtherTransferFailed" in jobs[0]["error"]
    finally:
        await anvil.rpc("anvil_setCode", owner, "0x")
    assert (await chained.client.ok("GET", f"/accounts/{account['id']}/challenge"))["challenge"] != first
    assert (await chained.sign(account)).is_success
    await chained.reach(account["id"], "closed")


async def test_the_platform_acts_by_itself(chained, node):
    account = await chained.active()
    wallet = wallet_of(account)
    answer = (await chained.admin("POST", f"/accounts/{account['id']}/deactivate")).json()
    assert answer["status"] == "inactive"
    assert await state(node[0], wallet) == 2
    answer = (await chained.admin("POST", f"/accounts/{account['id']}/close")).json()
    assert answer["status"] == "closed"
    assert await state(node[0], wallet) == 2
    assert (await chained.client.request("GET", f"/accounts/{account['id']}/challenge")).status_code == 404


async def test_a_platform_that_closed_alone_can_offer_a_challenge(chained, node):
    account = await chained.active()
    await chained.admin("POST", f"/accounts/{account['id']}/close", {"offerChallenge": True})
    assert (await chained.sign(account)).is_success
    await chained.simulator.platform.worker.settled(account["id"], 20)
    assert await state(node[0], wallet_of(account)) == 3


async def test_what_a_reorg_took_is_sent_again_on_order(chained, node):
    anvil, _ = node
    await anvil.mine(3)
    account = await chained.active()
    before = await chained.client.ok("PATCH", f"/accounts/{account['id']}/deactivate")
    await anvil.reorg(3, drop=True)
    assert await anvil.rpc("eth_getCode", wallet_of(account), "latest") == "0x"
    assert (await chained.client.ok("GET", f"/accounts/{account['id']}")) == before
    answer = await chained.admin("POST", f"/accounts/{account['id']}/resubmit")
    assert answer.json()["status"] == "inactive"
    assert await state(anvil, wallet_of(account)) == 2
    # Nothing is lost now, so nothing is sent.
    count = len(sent(chained, account))
    assert (await chained.admin("POST", "/resubmit")).json() == {"accounts": []}
    assert len(sent(chained, account)) == count == 6


async def test_what_a_harsh_reorg_took_of_all_accounts_is_sent_again_on_order(chained, node):
    anvil, _ = node
    await anvil.mine(3)
    start = await anvil.block_number()
    accounts = [await chained.active() for _ in range(2)]
    untouched = await chained.create()
    await anvil.reorg(await anvil.block_number() - start, drop=True)
    answer = await chained.admin("POST", "/resubmit")
    assert answer.json() == {"accounts": [account["id"] for account in accounts]}
    for account in accounts:
        assert await state(anvil, wallet_of(account)) == 1
    assert (await chained.client.ok("GET", f"/accounts/{untouched['id']}"))["status"] == "initiating"
    assert (await chained.admin("POST", "/resubmit")).json() == {"accounts": []}


async def test_many_accounts_side_by_side(chained):
    accounts = await asyncio.gather(*(chained.create() for _ in range(12)))
    await asyncio.gather(*(chained.sign(account) for account in accounts))
    worker = chained.simulator.platform.worker
    await asyncio.gather(*(worker.settled(account["id"], 60) for account in accounts))
    assert {row["status"] for row in chained.simulator.records()["accounts"]} == {"active"}
    rows = chained.simulator.records()["transactions"]
    assert sorted(row["step"] for row in rows) == ["activate"] * 12 + ["deploySmartWallet"] * 12
    assert len({row["nonce"] for row in rows}) == 24


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_the_silent_choices_of_answers(make, node, status):
    options = Options(
        answer_suspend=status,
        answer_delete=status,
        answer_sign=status,
        include_expiry=status == 202,
        poll_interval=0.01,
    )
    world = await make(options, chain=(node[0].url, node[1]))
    account = await world.create()
    assert ("expiresAt" in account) is (status == 202)
    assert (await world.sign(account)).status_code == status
    await world.reach(account["id"], "active")
    for method, path in (("PATCH", "/deactivate"), ("PATCH", "/activate"), ("DELETE", "")):
        response = await world.client.request(method, f"/accounts/{account['id']}{path}")
        assert response.status_code == status
        assert bool(response.content) is (status != 204)
    assert status == 204 or "challenge" in response.json()
    assert (await world.sign(account)).status_code == status
    await world.reach(account["id"], "closed")


async def test_the_older_pages_keep_a_challenge_and_name_the_signer_otherwise(make):
    world = await make(Options(keep_challenges=True, signer_member="chainId", chain_wait=0.0))
    account = await world.create()
    path = f"/accounts/{account['id']}/challenge"
    assert await world.client.ok("GET", path) == await world.client.ok("GET", path)
    assert await world.client.ok("GET", path) == {"challenge": account["challenge"]}
    body = submission(account["challenge"])
    refused = await world.client.request("POST", f"{path}/sign", body, wrong=True)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    await world.client.ok("POST", f"{path}/sign", body | {"chainId": body["ownerId"]})


async def test_the_sandbox_verifies_no_owner(make):
    world = await make(Options(verify_owner_signatures=False, chain_wait=0.0))
    account = await world.create()
    body = submission(account["challenge"]) | {"signature": submission(account["challenge"], OTHER)["signature"]}
    assert (await world.client.request("POST", f"/accounts/{account['id']}/challenge/sign", body)).status_code == 204


async def test_a_platform_that_asks_for_no_signature_leaves_the_chain(make, node):
    world = await make(Options(delete_asks_signature=False, poll_interval=0.01), chain=(node[0].url, node[1]))
    account = await world.active()
    await world.client.ok("DELETE", f"/accounts/{account['id']}")
    assert (await world.client.ok("GET", f"/accounts/{account['id']}"))["status"] == "closed"
    assert await state(node[0], wallet_of(account)) == 1


async def test_a_node_that_is_down_is_waited_for(make, node):
    anvil, deployed = node
    dead = replace_port(anvil.url)
    world = await make(Options(chain_wait=0, poll_interval=0.01), chain=(dead, deployed))
    account = await world.create()
    assert (await world.sign(account)).is_success
    assert (await world.client.ok("GET", f"/accounts/{account['id']}"))["status"] == "pending"
    # The same database on a node that answers: the deployment goes on.
    world.simulator.config = replace(world.simulator.config, rpc_url=anvil.url)
    await world.restart()
    await world.reach(account["id"], "active")


def replace_port(url):
    return url.rpartition(":")[0] + ":9"
