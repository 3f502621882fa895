"""Tokens, and what an unsigned, wrong or late request gets."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import jwt
import pytest

from orchestrator.devnet.simulator import Options
from orchestrator.devnet.simulator.http_signatures import content_digest
from tests.departures import deliberate


def refused(response, code, status=401):
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.json()["message"]


async def test_a_token_is_a_jwt_of_one_hour(world):
    body = {"apiKey": world.programme.credentials.api_key, "apiSecret": world.programme.credentials.api_secret}
    response = await world.client.http.post(f"{world.client.url}/auth/token", json=body)
    token = response.json()
    claims = jwt.decode(token["token"], options={"verify_signature": False})
    assert token["tokenType"] == "Bearer"
    assert token["expiresAt"] == claims["exp"]
    assert 3590 <= token["expiresAt"] - time.time() <= 3600
    assert (await world.client.request("GET", "/accounts")).status_code == 200


async def test_wrong_credentials(world):
    for change in ({"apiSecret": "x" * 40}, {"apiKey": str(uuid.uuid4())}):
        body = {"apiKey": world.programme.credentials.api_key, "apiSecret": world.programme.credentials.api_secret}
        response = await world.client.http.post(f"{world.client.url}/auth/token", json=body | change)
        refused(response, "credentials_invalid")


@pytest.mark.parametrize("header", [None, "Bearer", "Basic abc", "Bearer not-a-token", "Bearer a.b.c"])
async def test_a_bad_token(world, header):
    response = await world.client.request("GET", "/accounts", extra={"authorization": header}, wrong=True)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_token_signed_by_somebody_else(world):
    claims = {"sub": "x", "iat": int(time.time()), "exp": int(time.time()) + 60, "generation": 1}
    forged = jwt.encode(claims, "another secret that is long enough", algorithm="HS256")
    refused(
        await world.client.request("GET", "/accounts", extra={"authorization": f"Bearer {forged}"}), "token_invalid"
    )
    unsigned = jwt.encode(claims, None, algorithm="none")
    refused(
        await world.client.request("GET", "/accounts", extra={"authorization": f"Bearer {unsigned}"}), "token_invalid"
    )


async def test_a_token_ends_with_its_hour(world):
    await world.client.login()
    world.simulator.fault("skew_clock", seconds=3601)
    now = time.time() + 3601
    refused(await world.client.request("GET", "/accounts", created=now), "token_expired")
    world.simulator.clear_faults()
    assert (await world.client.request("GET", "/accounts")).status_code == 200


async def test_all_tokens_can_be_expired_by_a_fault(world):
    await world.client.login()
    world.simulator.fault("expire_tokens")
    refused(await world.client.request("GET", "/accounts"), "token_expired")
    await world.client.login()
    assert (await world.client.request("GET", "/accounts")).status_code == 200


async def test_an_unsigned_request(world):
    await world.client.login()
    headers = {"authorization": f"Bearer {world.client.token}"}
    with deliberate():
        refused(await world.client.http.get(f"{world.client.url}/accounts", headers=headers), "signature_missing")


@pytest.mark.parametrize("age", [-60, 302])  # one to come grows younger while the login takes its time
async def test_a_signature_that_is_made_in_the_future_or_has_expired(world, age):
    refused(await world.client.request("GET", "/accounts", created=time.time() - age), "signature_expired")


async def test_a_signature_of_another_request(world):
    await world.client.login()
    url = f"{world.client.url}/accounts"
    headers = world.client.headers("GET", url, b"")
    assert (await world.client.http.get(url, headers=headers)).status_code == 200
    other = f"{url}/{uuid.uuid4()}"
    refused(await world.client.http.get(other, headers=headers), "signature_wrong")
    with_query = world.client.headers("GET", f"{url}?a=1", b"")
    with deliberate():
        refused(await world.client.http.get(f"{url}?a=2", headers=with_query), "signature_wrong")


async def test_a_changed_body_or_digest(world):
    await world.client.login()
    url = f"{world.client.url}/customers/{world.programme.customer_id}/accounts"
    body, other = b'{"type":"card_account","currencies":["EUR"]}', b'{"type":"card_account","currencies":["USD"]}'
    headers = world.client.headers("POST", url, body, key=str(uuid.uuid4()))
    refused(await world.client.http.post(url, headers=headers, content=other), "content_digest_wrong")
    changed = headers | {"content-digest": content_digest(other)}
    refused(await world.client.http.post(url, headers=changed, content=other), "signature_wrong")
    changed = headers | {"idempotency-key": str(uuid.uuid4())}
    refused(await world.client.http.post(url, headers=changed, content=body), "signature_wrong")
    assert world.simulator.records()["accounts"] == []


EVERYTHING = ["@method", "@authority", "@path", "authorization", "content-digest", "content-type", "idempotency-key"]


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("left_out", EVERYTHING)
async def test_each_required_component_must_be_covered(make, left_out, careful):
    """By default what the platform's published request script covers."""
    options = Options(chain_wait=0.0)
    world = await make(replace(options, signature_components=tuple(EVERYTHING)) if careful else options)
    response = await world.client.request(
        "POST",
        f"/customers/{world.programme.customer_id}/accounts",
        {"type": "card_account", "currencies": ["EUR"]},
        covered=[name for name in EVERYTHING if name != left_out],
    )
    if not careful and left_out in EVERYTHING[3:4] + EVERYTHING[5:]:
        assert response.status_code == 201
        return
    refused(response, "signature_incomplete")
    assert left_out in response.json()["message"]


async def test_a_refusal_in_the_words_of_the_published_middleware(make):
    world = await make(Options(signature_refusal=400))
    response = await world.client.request("GET", "/accounts", created=time.time() + 60)
    assert (response.status_code, response.text) == (400, "invalid required signature")
    assert response.headers["content-type"].startswith("text/plain")
    assert (await world.client.request("GET", "/accounts")).status_code == 200
    refused(await world.client.request("GET", "/accounts", extra={"authorization": "Bearer x"}), "token_invalid")


@pytest.mark.parametrize("whole", [False, True])
async def test_the_target_uri_of_the_rfc_is_a_choice(make, whole):
    """The platform's verifier sees path and query only, so by default such a signature does not hold."""
    world = await make(Options(whole_target_uri=whole, signature_components=("@method",)))
    response = await world.client.request("GET", "/accounts", covered=["@method", "@target-uri"])
    assert response.status_code == (200 if whole else 401)
    if not whole:
        refused(response, "signature_wrong")


async def test_a_body_needs_a_digest(world):
    response = await world.client.request(
        "POST",
        f"/customers/{world.programme.customer_id}/accounts",
        {"type": "card_account", "currencies": ["EUR"]},
        extra={"content-digest": None},
        wrong=True,
    )
    refused(response, "content_digest_missing")


async def test_the_admins_calls_need_the_admins_token(world):
    await world.client.login()
    for token in ("", "Bearer wrong", f"Bearer {world.client.token}"):
        response = await world.client.http.get(f"{world.simulator.admin_url}/records", headers={"authorization": token})
        refused(response, "admin_token_invalid")
    assert (await world.admin("GET", "/records")).status_code == 200
