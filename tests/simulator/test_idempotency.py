"""Idempotency keys: an hour, the identical answer, 400, 409 and 422; and records that show no secret."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

BODY = {"type": "card_account", "currencies": ["EUR"]}


@pytest.fixture
def path(world):
    return f"/customers/{world.programme.customer_id}/accounts"


async def test_the_same_request_gets_the_identical_answer(world, path):
    key = str(uuid.uuid4())
    first = await world.client.request("POST", path, BODY, key=key)
    second = await world.client.request("POST", path, BODY, key=key)
    third = await world.client.request("POST", path, BODY, key=key.upper())
    assert first.status_code == second.status_code == third.status_code == 201
    assert first.content == second.content == third.content
    records = world.simulator.records()
    assert len(records["accounts"]) == 1
    assert [row["replayed"] for row in records["requests"] if row["path"].endswith("/accounts")] == [0, 1, 1]


async def test_an_error_is_remembered_too(world, path):
    key = str(uuid.uuid4())
    first = await world.client.request("POST", path, {"type": "savings"}, key=key, wrong=True)
    second = await world.client.request("POST", path, {"type": "savings"}, key=key, wrong=True)
    assert first.status_code == second.status_code == 400
    assert first.content == second.content


async def test_another_payload_path_or_method_is_refused(world, path):
    key = str(uuid.uuid4())
    account = await world.client.ok("POST", path, BODY, key=key)
    for method, other, body in (
        ("POST", path, BODY | {"currencies": ["USD"]}),
        ("POST", "/customers", BODY),
        ("DELETE", f"/accounts/{account['id']}", None),
    ):
        response = await world.client.request(method, other, body, key=key, wrong=other == "/customers")
        assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert [row["status"] for row in world.simulator.records()["accounts"]] == ["initiating"]


@pytest.mark.parametrize(
    "key", [None, "", "x", "123e4567e89b12d3a456426614174000", "{123e4567-e89b-12d3-a456-426614174000}"]
)
async def test_a_missing_or_malformed_key(world, path, key):
    response = await world.client.request("POST", path, BODY, key=key, wrong=True)
    assert response.status_code == 400
    assert response.json()["code"] in {"idempotency_key_missing", "idempotency_key_malformed"}
    assert world.simulator.records()["accounts"] == []


async def test_a_key_is_forgotten_after_its_hour(world, path):
    key = str(uuid.uuid4())
    first = await world.client.ok("POST", path, BODY, key=key)
    world.simulator.fault("skew_clock", seconds=3602)
    await world.client.login()
    second = await world.client.ok("POST", path, BODY, key=key, created=time.time() + 3602)
    assert first["id"] != second["id"]


async def test_a_request_in_flight_is_answered_409(world, path):
    world.simulator.fault("delay_before", seconds=0.0, path="/never")
    key = str(uuid.uuid4())
    answers = await asyncio.gather(*(world.client.request("POST", path, BODY, key=key) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert len(world.simulator.records()["accounts"]) == 1


async def test_records_show_no_secrets(world, path):
    await world.client.request("POST", path, BODY)
    text = (await world.admin("GET", "/records")).text
    credentials = world.programme.credentials
    for secret in (credentials.api_secret, world.client.token, world.simulator.admin_token, "PRIVATE KEY"):
        assert secret not in text
