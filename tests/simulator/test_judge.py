"""The judge: what departs from the published API is noted, by name and never by value; what was ordered is not."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from orchestrator.devnet.simulator import Options
from orchestrator.devnet.simulator.answers import Answer
from orchestrator.devnet.simulator.faults import Faults
from orchestrator.devnet.simulator.http_signatures import Message
from orchestrator.devnet.simulator.judge import Judge
from orchestrator.devnet.simulator.published_api import CALLS
from tests.departures import collector, deliberate, none_told
from tests.simulator.conftest import STRANGER, signature_text, submission

HEADERS = {
    "authorization": "Bearer t",
    "content-type": "application/json",
    "signature": "sig=:AA==:",
    "signature-input": "sig=()",
    "content-digest": "sha-512=:AA==:",
    "idempotency-key": "0b0f3a52-7f2c-4b93-8e0a-3b8e2e8f4c11",
}
ACCOUNT = {
    "id": "0b0f3a52-7f2c-4b93-8e0a-3b8e2e8f4c11",
    "customerId": "0b0f3a52-7f2c-4b93-8e0a-3b8e2e8f4c12",
    "status": "active",
    "type": "card_account",
    "createdAt": "2024-01-12T15:07:17.358440283Z",
    "updatedAt": "2024-01-12T15:07:17Z",
}
CREATION = {"type": "card_account", "currencies": ["EUR"]}
CUSTOMER = "/customers/0b0f3a52-7f2c-4b93-8e0a-3b8e2e8f4c12"


@pytest.fixture
def told():
    """A judge of its own, whose findings are taken before the suite's check of the test sees them."""
    judge = Judge(Options(), Faults())

    def take():
        found = [(one.side, one.what) for one in judge.departures]
        judge.departures.clear()
        collector().seen.clear()
        return found

    judge.take = take
    return judge


def ask(judge, name, body=None, *, path, query="", **headers):
    changed = HEADERS | {key.replace("_", "-"): value for key, value in headers.items()}
    given = {key: value for key, value in changed.items() if value is not None}
    sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    call = CALLS[name]
    judge.request(call, Message(call.method, "", list(given.items())), path, query, sent)
    return judge.take()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({}, None),
        ({"authorization": None}, "header authorization: no bearer token"),
        ({"authorization": "Basic x"}, "header authorization: no bearer token"),
        ({"signature": None}, "header signature is missing"),
        ({"signature_input": None}, "header signature-input is missing"),
        ({"content_digest": None}, "header content-digest is missing"),
        ({"idempotency_key": None}, "header idempotency-key is missing"),
        ({"idempotency_key": "123e4567e89b12d3a456426614174000"}, "header idempotency-key is no UUID"),
        ({"content_type": "text/plain"}, "body: no application/json"),
        ({"query": "limit=10"}, "query: limit is not known"),
        ({"path": "/customers/c-1/accounts"}, "path: {customerId} is no UUID"),
        ({"body": None}, "body: no JSON"),
        ({"body": b"{"}, "body: no JSON"),
        ({"body": CREATION | {"type": "savings"}}, "body: type: breaks enum: ['card_account']"),
        ({"body": {"type": "card_account"}}, "body: (body): 'currencies' is a required property"),
        ({"body": CREATION | {"more": 1}}, None),
    ],
)
def test_requests(told, changes, what):
    given = {"body": CREATION, "path": f"{CUSTOMER}/accounts"} | changes
    assert ask(told, "createCustomerAccount", **given) == ([] if what is None else [("request", what)])


def test_a_body_where_none_is_taken_and_a_call_that_is_none(told):
    assert ask(told, "getAccounts", {}, path="/accounts") == [("request", "a body, where none is taken")]
    told.request(None, Message("POST", "", []), "/accounts", "", b"")
    assert told.take() == [("request", "no such call")]


@pytest.mark.parametrize(
    ("status", "value", "what"),
    [
        (200, ACCOUNT, None),
        (200, ACCOUNT | {"currencies": ["EUR"], "chainId": "eip155:300:0x" + "ab" * 20}, None),
        (200, ACCOUNT | {"status": "deploying"}, "status: breaks enum"),
        (200, ACCOUNT | {"id": "1"}, "id: breaks format: uuid"),
        (200, ACCOUNT | {"chainId": "0x" + "ab" * 20}, "chainId: breaks pattern"),
        (200, ACCOUNT | {"updatedAt": "2024-01-12T15:07:17.3584402831Z"}, "updatedAt: breaks format: date-time"),
        (200, ACCOUNT | {"updatedAt": "2024-01-12 15:07:17"}, "updatedAt: breaks format: date-time"),
        (200, {name: one for name, one in ACCOUNT.items() if name != "status"}, "'status' is a required property"),
        (200, ACCOUNT | {"challenge": "AAAA"}, "challenge: not published"),
        (202, ACCOUNT, "status 202, expected 200"),
        (404, {}, None),
        (422, {}, "status 422"),
        (500, {}, "status 500, which nobody has ordered"),
    ],
)
def test_answers(told, status, value, what):
    told.answer(CALLS["getAccount"], Answer.of(status, value), [])
    (found, *more) = told.take() or [("answer", None)]
    assert more == []
    assert found[1] is None if what is None else what in found[1]


def test_an_answer_without_a_body_and_base64_that_is_none(told):
    told.answer(CALLS["closeAccount"], Answer(204, b"{}"), [])
    told.answer(CALLS["getAccountChallenge"], Answer.of(200, {"challenge": "AAA"}), [])
    assert told.take() == [
        ("answer", "a body, where none is promised"),
        ("answer", "body: challenge: breaks format: byte"),
    ]


def test_what_was_ordered_or_chosen_is_no_departure(told):
    told.answer(CALLS["getAccount"], Answer(503), ["status"])
    told.answer(CALLS["getAccount"], Answer(200, b'{"id'), ["malformed_json"])
    assert told.take() == []
    older = Judge(Options(answer_delete=202, include_expiry=True), Faults())
    older.answer(CALLS["closeAccount"], Answer.of(202, ACCOUNT | {"challenge": "AAAA"}), [])
    expiring = {"challenge": "AAAA", "expiresAt": "2024-01-12T15:07:17Z"}
    older.answer(CALLS["getAccountChallenge"], Answer.of(200, expiring), [])
    assert not older.departures


@pytest.mark.parametrize(
    ("status", "receipt", "what"),
    [
        (200, b"{}", []),
        (200, b'{"ok": true}', ["body: ok: not published"]),
        (200, b"", ["body: no JSON"]),
        (204, b"", ["status 204, expected 200"]),
        (503, b"later", []),
    ],
)
def test_deliveries(told, status, receipt, what):
    event = ACCOUNT | {"webhookType": "account.updated", "eventId": str(uuid.uuid4())}
    message = Message("POST", "", list(HEADERS.items()))
    told.delivery(message, json.dumps(event).encode(), status, "application/json", receipt)
    assert told.take() == [("answer", one) for one in what]


def test_a_delivery_without_a_signature_or_of_an_unknown_kind(told):
    message = Message("POST", "", [("content-type", "application/json")])
    told.delivery(message, b'{"webhookType": "account.deleted"}', 200, "application/json", b"{}")
    assert [what for _, what in told.take()] == [
        "header signature is missing",
        "header signature-input is missing",
        "body: webhookType is missing or unknown",
    ]


async def test_departures_are_read_by_the_admin_and_hold_no_secret(world):
    secret = "s3cret-that-must-never-show\n"
    body = {"apiKey": secret, "apiSecret": 12}
    with deliberate():
        response = await world.client.http.post(f"{world.client.url}/auth/token", json=body)
    assert response.status_code == 400
    assert secret.strip() not in response.text
    found = (await world.admin("GET", "/departures")).json()
    assert found == world.simulator.departures()
    assert {(one["call"], one["side"]) for one in found} == {("getToken", "request")}
    assert "s3cret" not in json.dumps(found)


async def test_a_departure_in_the_suite_is_collected_unless_its_request_was_deliberate(world):
    await world.client.login()
    await world.client.request("GET", "/accounts?page=2")
    assert collector().taken() == ["getAccounts, request: query: page is not known"]
    with deliberate():
        await world.client.request("GET", "/accounts?page=2")
    assert collector().taken() == []


def test_a_child_process_tells_by_its_log():
    none_told("ready\n")
    with pytest.raises(AssertionError):
        none_told("departs from the published API: getAccount, answer: status 422\n")


# --- what else the published platform has ---------------------------------------------------------------------------


async def test_supported_chains_and_assets_and_all_customers(make):
    token = "0xA15BB66138824a1c7167f5E85b957d04Dd34E468"
    world = await make(tokens=(token,))
    assert [one["id"] for one in await world.client.ok("GET", "/chains")] == ["eip155:31337"]
    (asset,) = await world.client.ok("GET", "/assets")
    assert (asset["id"], asset["blockchain"]) == (f"eip155:31337/erc20:{token}", "eip155:31337")
    assert await world.client.ok("GET", "/assets?chain=eip155%3A31337") == [asset]
    assert await world.client.ok("GET", "/assets?chain=eip155:1") == []
    (customer,) = await world.client.ok("GET", "/customers")
    assert customer == await world.client.ok("GET", f"/customers/{world.programme.customer_id}")


async def test_the_older_pages_name_of_the_signer(make):
    world = await make(Options(chain_wait=0.0, signer_member="chainId"))
    account = await world.create()
    path = f"/accounts/{account['id']}/challenge"
    body = submission((await world.client.ok("GET", path))["challenge"])
    assert (await world.client.request("POST", f"{path}/sign", body, wrong=True)).status_code == 400
    body["chainId"] = body.pop("ownerId")
    assert (await world.client.request("POST", f"{path}/sign", body)).status_code == 204


async def test_a_sandbox_takes_anybodys_signature_and_the_chain_does_not(make, node):
    options = Options(verify_owner_signatures=False, poll_interval=0.01)
    world = await make(options, chain=(node[0].url, node[1]))
    account = await world.create()
    challenge = (await world.client.ok("GET", f"/accounts/{account['id']}/challenge"))["challenge"]
    body = submission(challenge) | {"signature": signature_text(challenge, STRANGER.private_key)}
    answer = await world.client.request("POST", f"/accounts/{account['id']}/challenge/sign", body)
    assert answer.status_code == 204
    await asyncio.wait_for(world.reach(account["id"], "failed"), 20)
