"""Request-signing keys and credentials as the platform's published file has them: named by the caller, several at once,
changed with the bearer token alone."""

from __future__ import annotations

import base64
import uuid
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.devnet.simulator import Options
from tests.departures import deliberate


class Pair:
    """A key pair, P-384 unless another curve is named, and the body that uploads it."""

    def __init__(self, curve=None):
        private = ec.generate_private_key(curve or ec.SECP384R1())
        self.id = str(uuid.uuid4())
        self.private = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.body = {"signingKeyId": self.id, "signingKey": base64.b64encode(public).decode()}


def sign_with(client, pair, key_id=None):
    client.credentials = replace(client.credentials, signing_key=pair.private, signing_key_id=key_id or pair.id)


async def code_of(client, method="GET", path="/webhooks", value=None, **how):
    answer = await client.request(method, path, value, **how)
    return answer.json()["code"] if answer.status_code >= 400 else answer.status_code


async def bare(client, method, path, body):
    """A request with the bearer token, and neither signature nor idempotency key."""
    headers = {"authorization": f"Bearer {client.token or await client.login()}"}
    with deliberate():  # some are wrong on purpose
        answer = await client.http.request(method, client.url + path, json=body, headers=headers)
    return answer.json()["code"] if answer.content else answer.status_code


async def test_keys_live_side_by_side_until_each_is_removed(world):
    client, pair = world.client, Pair()
    old = client.credentials
    answer = await client.request("PUT", "/auth/signing", pair.body)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await code_of(client) == 200, "the old one signs on"
    sign_with(client, pair)
    assert await code_of(client) == 200
    assert await code_of(client, "DELETE", "/auth/signing", {"signingKeyId": old.signing_key_id}) == 204
    assert await code_of(client) == 200
    client.credentials = old
    assert await code_of(client) == "signature_key_unknown"


async def test_the_bearer_token_is_enough_for_the_last_key_and_the_first(world):
    client, pair = world.client, Pair()
    own = {"signingKeyId": client.credentials.signing_key_id}
    assert await bare(client, "DELETE", "/auth/signing", own) == 204
    assert await code_of(client) == "signature_key_unknown"
    assert await bare(client, "PUT", "/auth/signing", pair.body) == 204
    sign_with(client, pair)
    assert await code_of(client) == 200
    headers = {"authorization": f"Bearer {client.token}"}
    with deliberate():
        assert (await client.http.get(f"{client.url}/webhooks", headers=headers)).status_code == 401, "nothing else is"


async def test_a_repeat_does_nothing_twice_and_another_key_may_take_an_id(world):
    client, pair, other = world.client, Pair(), Pair()
    for _ in range(2):
        assert await bare(client, "PUT", "/auth/signing", pair.body) == 204
    assert await bare(client, "PUT", "/auth/signing", other.body | {"signingKeyId": pair.id}) == 204
    sign_with(client, other, pair.id)
    assert await code_of(client) == 200
    sign_with(client, pair)
    assert await code_of(client) == "signature_wrong"


async def test_what_is_not_there_cannot_be_removed(world):
    client = world.client
    unknown = {"signingKeyId": str(uuid.uuid4())}
    assert await bare(client, "DELETE", "/auth/signing", unknown) == "signing_key_unknown"
    assert await bare(client, "DELETE", "/auth/credentials", {"apiKey": str(uuid.uuid4())}) == "credentials_unknown"
    assert await code_of(client) == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"signingKeyId": None}, "invalid_request"),
        ({"signingKeyId": "k-7"}, "invalid_request"),
        ({"signingKey": None}, "invalid_request"),
        ({"signingKey": "no Base64!"}, "invalid_request"),
        ({"signingKey": base64.b64encode(b"no PEM").decode()}, "signing_key_invalid"),
        ({"signingKey": Pair(ec.SECP256R1()).body["signingKey"]}, "signing_key_invalid"),
        ({"signingKey": Pair(ec.SECP521R1()).body["signingKey"]}, "signing_key_invalid"),
    ],
)
async def test_what_an_upload_must_have(world, change, code):
    body = {name: value for name, value in (Pair().body | change).items() if value is not None}
    assert await bare(world.client, "PUT", "/auth/signing", body) == code


@pytest.mark.parametrize("body", [{}, {"signingKeyId": "k-7"}, {"apiKey": str(uuid.uuid4())}])
async def test_a_removal_names_its_key(world, body):
    assert await bare(world.client, "DELETE", "/auth/signing", body) == "invalid_request"
    assert await code_of(world.client) == 200


async def test_the_platform_s_own_id_where_the_switch_says_so(make):
    client, pair = (await make(Options(answer_signing=200))).client, Pair()
    answer = await client.ok("PUT", "/auth/signing", pair.body)
    assert answer["signingKeyId"] != pair.id
    sign_with(client, pair)
    assert await code_of(client) == "signature_key_unknown"
    sign_with(client, pair, answer["signingKeyId"])
    assert await code_of(client) == 200


async def test_credentials_live_side_by_side_too_and_each_change_ends_all_tokens(world):
    client = world.client
    first = {"apiKey": client.credentials.api_key, "apiSecret": client.credentials.api_secret}
    second = {"apiKey": str(uuid.uuid4()), "apiSecret": "a new secret of some length"}

    async def login(pair):
        answer = await client.http.post(f"{client.url}/auth/token", json=pair)
        return answer.json().get("token") or answer.json()["code"]

    async def ended():
        return await code_of(client) == "token_expired"

    assert await code_of(client, "PUT", "/auth/credentials", second) == 204
    assert await ended()
    client.token = await login(first)
    assert await code_of(client) == 200
    changed = first | {"apiSecret": "another secret of some length"}
    assert await bare(client, "PUT", "/auth/credentials", changed) == 204
    assert await ended()
    assert await login(first) == "credentials_invalid"
    client.token = await login(changed)
    assert await bare(client, "DELETE", "/auth/credentials", {"apiKey": first["apiKey"]}) == 204
    assert await ended()
    assert await login(changed) == "credentials_invalid"
    client.token = await login(second)
    assert await code_of(client) == 200
    assert await bare(client, "DELETE", "/auth/credentials", {}) == "invalid_request"
    assert await bare(client, "DELETE", "/auth/credentials", {"apiKey": second["apiKey"]}) == 204
    assert await login(second) == "credentials_invalid", "the last one, too"
