"""Hostile and mistaken input: each gets its own status and code, and changes nothing."""

from __future__ import annotations

import asyncio
import base64
import re
import uuid

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from tests.departures import deliberate
from tests.simulator.conftest import submission

OTHER = DEV_ACCOUNTS[3]


def refused(response, status, code):
    assert (response.status_code, response.json()["code"]) == (status, code), response.text


async def test_a_customer_from_creation_to_active(world):
    wallet = f"eip155:31337:{OTHER.address}"
    customer = await world.client.ok("POST", "/customers", {"chainId": wallet, "externalId": "c-1"})
    assert customer["status"] == "initiating"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", customer["createdAt"])
    text = base64.b64decode(customer["challenge"]).decode()
    lines = text.split("\n")
    assert lines[0] == "api.sandbox.offblocks.xyz wants you to sign in with your Ethereum account:"
    assert lines[1] == OTHER.address
    assert lines[5:8] == ["URI: https://api.sandbox.offblocks.xyz", "Version: 1", "Chain ID: 31337"]
    assert re.fullmatch(r"Nonce: [0-9a-f]{16}", lines[8])
    assert lines[9].startswith("Issued At: ")

    path = f"/customers/{customer['id']}"
    refused(await world.client.request("PATCH", f"/simulator{path}/verify"), 400, "invalid_state")
    refused(
        await world.client.request("POST", f"{path}/accounts", {"type": "card_account", "currencies": ["EUR"]}),
        400,
        "customer_not_active",
    )
    challenge = (await world.client.ok("GET", f"{path}/challenge"))["challenge"]
    assert challenge == customer["challenge"]
    signed = Account.sign_message(encode_defunct(text.encode()), OTHER.private_key)
    body = {
        "ownerId": wallet,
        "challenge": challenge,
        "signature": base64.b64encode(f"0x{bytes(signed.signature).hex()}".encode()).decode(),
    }
    assert await world.client.ok("POST", f"{path}/challenge/sign", body) is None
    refused(await world.client.request("POST", f"{path}/challenge/sign", body), 409, "challenge_already_signed")
    assert (await world.client.ok("GET", path))["status"] == "screening"
    verified = await world.client.request("PATCH", f"/simulator{path}/verify")
    assert (verified.status_code, verified.content) == (202, b"")
    assert (await world.client.ok("GET", path))["status"] == "active"
    refused(await world.client.request("GET", f"{path}/challenge"), 404, "challenge_not_found")
    assert customer["id"] in [one["id"] for one in await world.client.ok("GET", "/customers")]
    refused(await world.client.request("PATCH", f"{path}/activate"), 409, "invalid_state")
    assert (await world.client.ok("PATCH", f"{path}/deactivate"))["status"] == "inactive"
    assert (await world.client.ok("PATCH", f"{path}/activate"))["status"] == "active"


async def test_a_customer_that_is_rejected_gets_no_account(world):
    wallet = f"eip155:31337:{OTHER.address}"
    customer = await world.client.ok("POST", "/customers", {"chainId": wallet, "externalId": "c-9"})
    path = f"/customers/{customer['id']}"
    await world.client.ok("POST", f"{path}/challenge/sign", submission(customer["challenge"], OTHER))
    rejected = await world.client.request("PATCH", f"/simulator{path}/reject")
    assert rejected.status_code == 202
    assert (await world.client.ok("GET", path))["status"] == "rejected"
    body = {"type": "card_account", "currencies": ["EUR"]}
    refused(await world.client.request("POST", f"{path}/accounts", body), 400, "customer_not_active")


@pytest.mark.parametrize("same", ["chainId", "externalId"])
async def test_a_customer_exists_once(world, same):
    first = {"chainId": f"eip155:31337:{OTHER.address}", "externalId": "c-2"}
    await world.client.ok("POST", "/customers", first)
    second = {"chainId": f"eip155:31337:{DEV_ACCOUNTS[4].address}", "externalId": "c-3"}
    second[same] = first[same].lower() if same == "chainId" else first[same]
    refused(await world.client.request("POST", "/customers", second), 409, "customer_exists")


@pytest.mark.parametrize(
    ("chain_id", "code"),
    [
        (
            "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4HxJpyyigGzodYwHtCxZyUQe9JiBMHyRWXArAaKv",
            "unsupported_namespace",
        ),
        (
            "starknet:SN_MAIN:0x02dd1b492765c064eac4039e3841aa5f382773b598097a40073bd8b48170ab57",
            "unsupported_namespace",
        ),
        ("tron:mainnet:TJRabPrwbZy45sbavfcjinPJC18kjpRTv8", "unsupported_namespace"),
        (f"eip155:1:{OTHER.address}", "unsupported_chain"),
        ("eip155:31337:0x12", "unsupported_chain"),
        (f"eip155:31337:{OTHER.address}\n", "invalid_request"),
        (OTHER.address, "invalid_request"),
        (31337, "invalid_request"),
    ],
)
async def test_chain_identifiers_of_other_worlds(world, chain_id, code):
    body = {"chainId": chain_id, "externalId": "c"}
    response = await world.client.request("POST", "/customers", body, wrong=True)
    if chain_id == "eip155:31337:0x12":
        code = "invalid_request"
    refused(response, 400, code)
    if code == "unsupported_namespace":
        assert chain_id.partition(":")[0] in response.json()["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"type": "card_account", "currencies": []},
        {"type": "card_account", "currencies": ["EUR", "USD"]},
        {"type": "card_account", "currencies": ["EURO"]},
        {"type": "card_account", "currencies": ["XXX"]},
        {"type": "card_account"},
        {"type": "savings", "currencies": ["EUR"]},
        [],
        None,
        b"{",
        b"nonsense",
        b'{"type":"card_account","currencies":["EUR"],"currencies":["USD"]}',
        b"\xff\xfe",
        b"[" * 30_000,
        b'{"type": NaN}',
    ],
)
async def test_malformed_bodies(world, body):
    path = f"/customers/{world.programme.customer_id}/accounts"
    response = await world.client.request("POST", path, body, wrong=True)
    assert response.status_code == 400
    assert response.json()["message"]
    assert world.simulator.records()["accounts"] == []


async def test_both_spellings_of_the_type_and_the_documented_answer(world):
    path = f"/customers/{world.programme.customer_id}/accounts"
    for spelling in ("card_account", "CARD_ACCOUNT"):
        body = {"type": spelling, "currencies": ["EUR"], "aMemberOfTomorrow": 1}
        account = await world.client.ok("POST", path, body, wrong=spelling.isupper())
        assert account["type"] == "card_account"
    assert len(await world.client.ok("GET", path)) == 2
    assert len(await world.client.ok("GET", "/accounts")) == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/accounts/{}"),
        ("GET", "/accounts/{}/challenge"),
        ("GET", "/accounts/{}/cards"),
        ("DELETE", "/accounts/{}"),
        ("PATCH", "/accounts/{}/activate"),
        ("PATCH", "/accounts/{}/deactivate"),
        ("GET", "/customers/{}"),
        ("GET", "/customers/{}/accounts"),
        ("GET", "/customers/{}/challenge"),
        ("PATCH", "/customers/{}/activate"),
        ("PATCH", "/customers/{}/deactivate"),
        ("PATCH", "/simulator/customers/{}/verify"),
        ("PATCH", "/simulator/customers/{}/reject"),
        ("GET", "/webhooks/{}"),
        ("DELETE", "/webhooks/{}"),
    ],
)
async def test_unknown_and_malformed_identifiers(world, method, path):
    assert (await world.client.request(method, path.format(uuid.uuid4()))).status_code == 404
    refused(await world.client.request(method, path.format("x"), wrong=True), 400, "invalid_request")


async def test_unknown_paths_methods_and_media(world):
    with deliberate():
        refused(await world.client.http.get(f"{world.client.url}/nothing"), 404, "path_not_found")
        response = await world.client.http.post(f"{world.client.url}/accounts")
        refused(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "GET"
        response = await world.client.http.post(f"{world.client.url}/auth/token", content=b"apiKey=1")
        refused(response, 400, "unsupported_media_type")
        response = await world.client.http.post(f"{world.client.url}/auth/token", content=b"x" * 70_000)
        refused(response, 400, "body_too_large")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"signature": base64.b64encode(b"0x" + b"1" * 129).decode()}, "signature_malformed"),
        ({"signature": "AAAA"}, "signature_malformed"),
        ({"signature": "not base64"}, "invalid_request"),
        ({"signature": base64.b64encode(b"0x" + b"0" * 130).decode()}, "signature_invalid"),
        ({"signature": base64.b64encode(b"0x" + b"f" * 128 + b"1b").decode()}, "signature_invalid"),
        ({"challenge": base64.b64encode(b"something else").decode()}, "challenge_mismatch"),
        ({"ownerId": f"eip155:31337:{OTHER.address}"}, "signer_mismatch"),
        ({"chainId": f"eip155:31337:{OTHER.address}"}, "signer_mismatch"),
        ({"ownerId": "solana:mainnet:abc"}, "unsupported_namespace"),
    ],
)
async def test_signed_challenges_that_do_not_hold(world, change, code):
    account = await world.create()
    signed = Account.sign_message(encode_defunct(base64.b64decode(account["challenge"])), DEV_ACCOUNTS[1].private_key)
    body = {
        "ownerId": f"eip155:31337:{world.programme.owner}",
        "challenge": account["challenge"],
        "signature": base64.b64encode(f"0x{bytes(signed.signature).hex()}".encode()).decode(),
    }
    path = f"/accounts/{account['id']}/challenge/sign"
    response = await world.client.request("POST", path, body | change, wrong=code == "invalid_request")
    refused(response, 400, code)
    rows = [row for row in world.simulator.records()["challenges"] if row["subject"] == account["id"]]
    assert [row["state"] for row in rows] == (["refused", "current"] if code == "signature_invalid" else ["current"])
    assert (await world.client.ok("GET", f"/accounts/{account['id']}"))["status"] == "initiating"
    assert world.simulator.records()["jobs"] == []


async def test_a_challenge_is_signed_once(world):
    account = await world.create()
    owner = DEV_ACCOUNTS[1]
    signed = Account.sign_message(encode_defunct(base64.b64decode(account["challenge"])), owner.private_key)
    body = {
        "ownerId": f"eip155:31337:{owner.address}",
        "challenge": account["challenge"],
        "signature": base64.b64encode(f"0x{bytes(signed.signature).hex()}".encode()).decode(),
    }
    path = f"/accounts/{account['id']}/challenge/sign"
    answers = await asyncio.gather(*(world.client.request("POST", path, body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [204, 409, 409, 409, 409, 409]
    assert len(world.simulator.records()["jobs"]) == 1


async def test_plain_nonsense_on_the_socket(world):
    host, port = world.simulator.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x16\x03\x01nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()
    assert (await world.client.http.get(f"{world.client.url}/openapi.json")).status_code == 200
