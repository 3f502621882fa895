"""The request-signing key and its replacement: which signatures the simulator takes around that moment."""

from __future__ import annotations

import base64
import uuid
from dataclasses import replace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.devnet.simulator import Options


class Pair:
    """A P-384 pair."""

    def __init__(self):
        private = ec.generate_private_key(ec.SECP384R1())
        self.private = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.body = {"publicKey": base64.b64encode(public).decode()}


def sign_with(client, pair, key_id):
    client.credentials = replace(client.credentials, signing_key=pair.private, signing_key_id=key_id)


async def upload(client, pair, key):
    return await client.request("PUT", "/auth/signing", pair.body, key=key)


async def code_of(client, method="GET", path="/webhooks", value=None, **how):
    answer = await client.request(method, path, value, **how)
    return answer.json()["code"] if answer.status_code >= 400 else answer.status_code


async def unsigned(client, pair, key):
    headers = {"authorization": f"Bearer {client.token or await client.login()}", "idempotency-key": key}
    return await client.http.request("PUT", f"{client.url}/auth/signing", json=pair.body, headers=headers)


async def test_the_old_key_ends_with_the_request_that_replaces_it(world):
    client, pair = world.client, Pair()
    answer = await upload(client, pair, str(uuid.uuid4()))
    assert answer.status_code == 200
    assert await code_of(client) == "signature_key_unknown"
    sign_with(client, pair, answer.json()["keyId"])
    assert await code_of(client) == 200


def world_time(world):
    return world.simulator.platform.clock.seconds()


async def test_a_removed_key_signs_nothing_any_more(world):
    assert (await world.client.request("DELETE", "/auth/signing")).status_code == 204
    assert await code_of(world.client) == "signature_key_unknown"


async def test_keys_are_uploaded_and_removed_with_the_token_alone(world):
    """The published file asks for no signature under /auth, so a first key gets in."""
    client, pair, key = world.client, Pair(), str(uuid.uuid4())
    await client.request("DELETE", "/auth/signing")
    answer = await unsigned(client, pair, key)
    assert answer.status_code == 200
    assert (await unsigned(client, pair, key)).content == answer.content
    assert (await unsigned(client, Pair(), str(uuid.uuid4()))).status_code == 200


async def test_a_key_that_was_replaced_can_sign_for_a_while(make):
    world = await make(Options(signing_key_overlap=60.0))
    client, pair, key = world.client, Pair(), str(uuid.uuid4())
    await upload(client, pair, key)
    assert await code_of(client) == 200, "both keys sign for a while"
    world.simulator.fault("skew_clock", seconds=61)
    assert await code_of(client, created=world_time(world)) == "signature_key_unknown"
