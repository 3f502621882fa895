"""Request signatures: checked with the platform's own npm library, with another RFC 9421 base, and against the RFC."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import uuid
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestrator.errors import OrchestratorError, SettingsError
from orchestrator.models import ChainAccount
from orchestrator.platform import DEFAULT_COMPONENTS, PlatformClient
from orchestrator.platform.transport import canonical_url
from orchestrator.ports.platform import Submission
from orchestrator.request_signing.http_signature import RequestSigner, content_digest

ROOT = Path(__file__).parents[2]
NPM = ROOT / "contracts"
ID = "4f4b3c1e-4c3a-4a57-9b1e-3c1f6f8c0a11"
OWNER = ChainAccount.parse("eip155:31337:0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


def key() -> str:
    return str(uuid.uuid4())


def verified_by_npm(public_pem, requests):
    """What the platform's own library says of each request."""
    done = subprocess.run(
        [shutil.which("node"), str(Path(__file__).parent / "verify.mjs"), str(NPM)],
        input=json.dumps({"publicKey": public_pem, "requests": requests}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def as_node_sees(server, seen):
    return {
        "method": seen.method,
        "url": server.origin + seen.target,
        "headers": {name.lower(): value for name, value in seen.lines},
    }


async def every_kind_of_request(server, client, other, reply):
    """One of each call; what is answered does not matter here."""
    submission = Submission(OWNER, "YQ==", bytes(64) + b"\x1b")
    calls = [
        client.account(ID),
        client.accounts(),
        other.accounts(),
        client.customer(ID),
        client.customer_accounts(ID),
        client.cards(ID),
        client.challenge(ID),
        client.create_account(ID, "EUR", key=key()),
        client.submit(ID, submission, key=key(), permit=nullcontext),
        client.deactivate(ID, key=key()),
        client.reactivate(ID, key=key()),
        client.close(ID, key=key()),
        client.put_webhook("https://me.example/Zoë “quoted” \U0001f600?y=z", ["account.updated"], key=key()),
        client.webhooks(),
        client.webhook(ID),
        client.delete_webhook(ID, key=key()),
        client.upload_signing_key("pem", key=key()),
        client.remove_signing_key(key=key()),
        client.revoke_credentials(key=key()),
    ]
    for call in calls:
        with pytest.raises(OrchestratorError):
            await call
    return [seen for seen in server.seen if not seen.path.endswith("/auth/token")]


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
@pytest.mark.skipif(not (NPM / "node_modules/http-message-signatures").is_dir(), reason="npm ci has not run")
async def test_every_kind_of_request_verifies_with_the_npm_library(server, settings, signing_keys, reply):
    made = settings(digest_algorithm="sha-512", signature_label="sig-b26")
    server.on("GET", "/accounts", reply(400), reply(400, {"message": "x"}))
    async with PlatformClient(settings()) as client, PlatformClient(made) as other:
        seen = await every_kind_of_request(server, client, other, reply)
    assert len({(one.method, re.sub(r"[0-9a-f-]{36}", "ID", one.path)) for one in seen}) >= 18
    requests = [as_node_sees(server, one) for one in seen]
    assert verified_by_npm(signing_keys.public_pem, requests) == [True] * len(requests)

    for one in seen:
        covered = re.search(r"=\((.*?)\)", one.header("signature-input")).group(1).replace('"', "").split()
        present = {"@method", "@target-uri"} | {name.lower() for name, _ in one.lines}
        assert covered == [name for name in DEFAULT_COMPONENTS if name in present]
        assert ("content-digest" in covered) == bool(one.body)
        if one.body:
            algorithm, _, value = one.header("content-digest").partition("=")
            hashed = hashlib.new(algorithm.replace("-", ""), one.body).digest()
            assert value == f":{base64.b64encode(hashed).decode()}:"

    changes = ({"method": "PATCH"}, {"url": server.origin + "/v1/accounts?x=1"})
    broken = [requests[0] | change for change in changes]
    broken.append(requests[0] | {"headers": requests[0]["headers"] | {"authorization": "Bearer other"}})
    assert True not in verified_by_npm(signing_keys.public_pem, broken)


@pytest.fixture
def signer(signing_keys):
    return RequestSigner(
        signing_keys.private_pem.encode(),
        key_id="key-1",
        components=DEFAULT_COMPONENTS,
        label="sig",
        digest_algorithm="sha-256",
    )


def holds(signing_keys, base: str, header: str) -> bool:
    raw = base64.b64decode(header.partition("=:")[2].rstrip(":"))
    assert len(raw) == 96
    der = encode_dss_signature(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))
    signing_keys.private.public_key().verify(der, base.encode(), ec.ECDSA(hashes.SHA384()))
    return True


def test_the_signature_base_is_the_one_of_the_rfc(signer, signing_keys):
    """RFC 9421 section 2.5, written out by hand for this request."""
    headers = {"Authorization": "Bearer t", "Content-Type": "application/json", "Idempotency-Key": ID}
    created = datetime(2021, 4, 20, 2, 7, 55, tzinfo=UTC)  # 1618884475, the RFC's examples' time
    body = b'{"hello": "world"}'
    signed = signer.sign("POST", "https://api.example/v1/accounts?x=%20y", headers, body, created=created)
    # RFC 9421 appendix B.2 and RFC 9530 give these digests of this body
    digest = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    parameters = (
        '("@method" "@target-uri" "authorization" "content-digest" "content-type" "idempotency-key")'
        ';created=1618884475;keyid="key-1";alg="ecdsa-p384-sha384"'
    )
    base = (
        '"@method": POST\n'
        '"@target-uri": https://api.example/v1/accounts?x=%20y\n'
        '"authorization": Bearer t\n'
        f'"content-digest": {digest}\n'
        '"content-type": application/json\n'
        f'"idempotency-key": {ID}\n'
        f'"@signature-params": {parameters}'
    )
    assert signed["Content-Digest"] == digest
    assert signed["Signature-Input"] == f"sig={parameters}"
    assert holds(signing_keys, base, signed["Signature"])


def test_content_digests_of_rfc_9530():
    body = b'{"hello": "world"}'
    assert content_digest(body, "sha-256") == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    assert content_digest(body, "sha-512") == (
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
    )


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.text(st.characters(codec="utf-8"), max_size=30))
@examples(deadline=None, max_examples=50)
def test_canonical_urls_are_stable_and_signable(name, value):
    from urllib.parse import parse_qsl, quote

    query = f"{quote(name, safe='')}={quote(value, safe='')}"
    url = canonical_url(f"https://api.example/v1/accounts?{query}")
    assert canonical_url(url) == url
    assert url.isascii()
    assert parse_qsl(url.partition("?")[2], keep_blank_values=True) == [(name, value)]


def test_a_body_is_always_covered(signing_keys):
    signer = RequestSigner(
        signing_keys.private_pem.encode(), key_id="k", components=("@method",), label="x", digest_algorithm="sha-512"
    )
    signed = signer.sign("POST", "https://api.example/v1", {}, b"{}")
    assert '("@method" "content-digest")' in signed["Signature-Input"]


def pem(private) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("-----BEGIN PRIVATE KEY-----\nSECRETSECRET\n-----END PRIVATE KEY-----", "cannot be read"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "curve secp256r1"),
    ],
)
def test_keys_that_cannot_sign(settings, text, words):
    with pytest.raises(SettingsError, match=words) as caught:
        PlatformClient(settings(signing_key_pem=SecretStr(text)))
    assert caught.value.code == "signing_key"
    assert "SECRETSECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"covered_components": ()},
        {"covered_components": ("@method", "@method")},
        {"covered_components": ("@nonsense",)},
        {"covered_components": ("Authorization",)},
        {"signature_label": "Sig 1"},
        {"digest_algorithm": "md5"},
        {"api_key": "me"},
        {"api_secret": SecretStr("")},
        {"timeout_seconds": 0},
        {"signer_fields": "all"},
    ],
)
def test_settings_that_are_refused(settings, changes):
    with pytest.raises(SettingsError):
        settings(**changes)
