"""Faults that tests can order: each does what it says, and ends."""

from __future__ import annotations

import time
import uuid
from email.utils import parsedate_to_datetime

import httpx
import pytest

from orchestrator.devnet.simulator.answers import ApiError
from orchestrator.devnet.simulator.faults import IMMEDIATE, KINDS, PARAMETERS

BODY = {"type": "card_account", "currencies": ["EUR"]}


@pytest.fixture
def path(world):
    return f"/customers/{world.programme.customer_id}/accounts"


async def test_an_answer_lost_after_the_effect_is_replayed(world, path):
    world.simulator.fault("drop_after", method="POST", path="/accounts$")
    key = str(uuid.uuid4())
    with pytest.raises(httpx.TransportError):
        await world.client.request("POST", path, BODY, key=key)
    assert len(world.simulator.records()["accounts"]) == 1
    answer = await world.client.request("POST", path, BODY, key=key)
    assert answer.status_code == 201
    assert len(world.simulator.records()["accounts"]) == 1
    last = [row for row in world.simulator.records()["requests"] if row["path"].endswith("/accounts")]
    assert [(row["status"], row["fault"], row["replayed"]) for row in last] == [(None, "drop_after", 0), (201, None, 1)]


async def test_a_request_lost_before_the_effect_has_none(world, path):
    world.simulator.fault("drop_before", path="/accounts$")
    await world.client.login()
    key = str(uuid.uuid4())
    with pytest.raises(httpx.TransportError):
        await world.client.request("POST", path, BODY, key=key)
    assert world.simulator.records()["accounts"] == []
    assert (await world.client.request("POST", path, BODY, key=key)).status_code == 201


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_a_status_for_the_next_requests(world, path, status):
    answer = await world.admin(
        "POST", "/faults", {"kind": "status", "status": status, "count": 2, "path": "/accounts$"}
    )
    assert answer.status_code == 201
    await world.client.login()
    key = str(uuid.uuid4())
    statuses = [(await world.client.request("POST", path, BODY, key=key)).status_code for _ in range(3)]
    assert statuses == [status, status, 201]


async def test_malformed_json_after_the_effect(world, path):
    world.simulator.fault("malformed_json", path="/accounts$")
    key = str(uuid.uuid4())
    answer = await world.client.request("POST", path, BODY, key=key)
    assert answer.status_code == 201
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()
    assert (await world.client.request("POST", path, BODY, key=key)).json()["status"] == "initiating"


async def test_a_delayed_answer(world, path):
    await world.client.login()
    world.simulator.fault("delay_after", seconds=0.2, path="/accounts$")
    world.client.http.timeout = httpx.Timeout(0.05)
    key = str(uuid.uuid4())
    with pytest.raises(httpx.ReadTimeout):
        await world.client.request("POST", path, BODY, key=key)
    world.client.http.timeout = httpx.Timeout(10)
    assert (await world.client.request("POST", path, BODY, key=key)).status_code == 201
    assert len(world.simulator.records()["accounts"]) == 1


async def test_a_clock_that_is_wrong(world):
    await world.client.login()
    world.simulator.fault("skew_clock", seconds=-600)
    answer = await world.client.request("GET", "/accounts")
    assert (answer.status_code, answer.json()["code"]) == (401, "signature_expired")
    assert 590 < time.time() - parsedate_to_datetime(answer.headers["date"]).timestamp() < 610
    world.simulator.clear_faults()
    assert (await world.client.request("GET", "/accounts")).status_code == 200


async def test_a_lie_is_shown_and_not_stored(world):
    account = await world.create()
    fields = {"status": "active", "chainId": f"eip155:31337:0x{'ab' * 20}"}
    fault = world.simulator.fault("lie", accountId=account["id"], fields=fields)
    shown = await world.client.ok("GET", f"/accounts/{account['id']}")
    assert {name: shown[name] for name in fields} == fields
    assert world.simulator.records()["accounts"][0]["status"] == "initiating"
    assert [row["id"] for row in (await world.admin("GET", "/faults")).json()] == [fault["id"]]
    assert (await world.admin("DELETE", "/faults")).status_code == 204
    assert (await world.client.ok("GET", f"/accounts/{account['id']}"))["status"] == "initiating"


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"kind": "explode"},
        {"kind": "status"},
        {"kind": "status", "status": 200},
        {"kind": "status", "status": "x"},
        {"kind": "lie"},
        {"kind": "drop_after", "path": "("},
        {"kind": "drop_after", "path": 1},
        {"kind": "drop_after", "path": ["a"]},
        {"kind": "drop_after", "methd": "POST"},
        {"kind": "drop_after", "method": "PSOT"},
        {"kind": "drop_after", "method": 1},
        {"kind": "drop_after", "count": 0},
        {"kind": "drop_after", "count": True},
        {"kind": "drop_after", "count": "2"},
        {"kind": "drop_after", "seconds": 1},
        {"kind": ["drop_after"]},
        {"kind": "delay_after", "seconds": "long"},
        {"kind": "delay_after", "seconds": -1},
        {"kind": "delay_after", "seconds": 1e300},
        {"kind": "delay_after", "seconds": True},
        {"kind": "status", "status": 503, "code": 1},
        {"kind": "status", "status": True},
        {"kind": "lie", "accountId": "a", "fields": []},
        {"kind": "lie", "accountId": "a", "fields": {}, "count": 2},
        {"kind": "hold_deployments", "count": 2},
        {"kind": "fail_deployment", "path": "/accounts"},
        {"kind": "expire_tokens", "seconds": 1},
        {"kind": "skew_clock"},
        {"kind": "skew_clock", "seconds": "long"},
        {"kind": "skew_clock", "seconds": 1, "path": "/accounts"},
        [],
    ],
)
async def test_an_order_that_cannot_be_meant(world, order):
    answer = await world.admin("POST", "/faults", order)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_request"
    assert (await world.admin("GET", "/faults")).json() == []
    assert world.simulator.platform.clock.offset == 0


def test_a_misspelt_parameter_is_named_with_those_that_there_are(world):
    with pytest.raises(ApiError, match="drop_after has no parameter 'methd'; it takes method, path, count"):
        world.simulator.fault("drop_after", methd="POST")
    with pytest.raises(ApiError, match="hold_deployments has no parameter 'count'; it takes none"):
        world.simulator.fault("hold_deployments", count=1)


def test_each_fault_says_what_it_takes():
    assert PARAMETERS.keys() == KINDS.keys() | IMMEDIATE.keys()
