"""Request signatures: by the rule of the platform's verifier, with its npm library, and against RFC 9421's vectors."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
import uuid
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

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
from tests.platform.conftest import Seen
from tests.platform.published_verifier import ServerRequest, base_of, refusal

ROOT = Path(__file__).parents[2]
NPM = ROOT / "contracts"
VECTORS = json.loads((ROOT / "tests" / "simulator" / "vectors" / "rfc9421.json").read_text())
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


async def every_kind_of_request(server, client, other):
    """One of each call; what is answered does not matter here."""
    submission = Submission(OWNER, "YQ==", bytes(64) + b"\x1b")
    calls = [
        client.account(ID),
        client.accounts(),
        other.create_account(ID, "EUR", key=key()),
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
        client.upload_signing_key(ID, "pem", key=key()),
        client.remove_signing_key(ID, key=key()),
        client.revoke_credentials(key=key()),
    ]
    for call in calls:
        with pytest.raises(OrchestratorError):
            await call
    return [seen for seen in server.seen if not seen.path.endswith("/auth/token")]


def as_server_sees(seen):
    return ServerRequest(seen.method, seen.target, seen.lines, seen.body)


async def signed_requests(server, settings):
    other = settings(digest_algorithm="sha-256", signature_label="sig-b26")
    async with PlatformClient(settings()) as client, PlatformClient(other) as another:
        seen = await every_kind_of_request(server, client, another)
    assert len({(one.method, re.sub(r"[0-9a-f-]{36}", "ID", one.path)) for one in seen}) >= 18
    return seen


def with_query(server, signer):
    """A request whose query has everything that is escaped."""
    url = canonical_url(f"{server.origin}/v1/accounts?cursor={quote('a b+c/=&?é~', safe='')}&x")
    headers = signer.sign("GET", url, {"Authorization": "Bearer t"}, None, created=datetime.now(UTC))
    lines = [("host", urlsplit(url).netloc), *headers.items()]
    return Seen("GET", url.removeprefix(server.origin), lines, b"")


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
@pytest.mark.skipif(not (NPM / "node_modules/http-message-signatures").is_dir(), reason="npm ci has not run")
async def test_every_kind_of_request_verifies_with_the_npm_library(server, settings, signing_keys, signer):
    seen = [*await signed_requests(server, settings), with_query(server, signer)]
    requests = [as_node_sees(server, one) for one in seen]
    assert verified_by_npm(signing_keys.public_pem, requests) == [True] * len(requests)

    changes = ({"method": "PATCH"}, {"url": server.origin + "/v1/other"})
    broken = [requests[0] | change for change in changes]
    broken += [requests[0] | {"headers": requests[0]["headers"] | {"authorization": "Bearer other"}}]
    broken += [requests[-1] | {"url": requests[-1]["url"] + "y"}]
    assert True not in verified_by_npm(signing_keys.public_pem, broken)


async def test_every_kind_of_request_is_taken_by_the_rule_of_the_platforms_verifier(
    server, settings, signing_keys, signer
):
    requests = [*await signed_requests(server, settings), with_query(server, signer)]
    public, known = signing_keys.private.public_key(), {"key_id": "key-1", "now": time.time()}
    for one in requests:
        assert refusal(as_server_sees(one), key=public, **known) is None
        parameters = one.header("signature-input")
        covered = re.search(r"=\((.*?)\)", parameters).group(1).replace('"', "").split()
        present = {"@method", "@authority", "@path"} | {name.lower() for name, _ in one.lines}
        present |= {"@query"} if "?" in one.target else set()
        assert covered == [name for name in DEFAULT_COMPONENTS if name in present]
        assert ("content-digest" in covered) == bool(one.body)
        created, expires = (int(re.search(rf";{name}=(\d+)", parameters).group(1)) for name in ("created", "expires"))
        assert expires == created + 300
    for change in (
        {"method": "PATCH"},
        {"target": "/v1/other"},
        {"lines": [*requests[0].lines, ("authorization", "x")]},
    ):
        assert refusal(as_server_sees(replace(requests[0], **change)), key=public, **known) is not None
    created = int(re.search(r";created=(\d+)", requests[0].header("signature-input")).group(1))
    for late in (created - 1, created + 301):
        assert refusal(as_server_sees(requests[0]), key=public, **(known | {"now": late})) == "out of time"


async def test_the_target_uri_of_the_rfc_is_a_choice_that_the_platforms_verifier_refuses(
    server, settings, signing_keys, reply
):
    public = signing_keys.private.public_key()
    server.on("GET", "/accounts", reply(value=[]))
    async with PlatformClient(settings(covered_components=("@method", "@target-uri", "authorization"))) as client:
        await client.accounts()
    (seen,) = server.calls("GET", "/accounts")
    known = {"key": public, "key_id": "key-1", "now": time.time(), "required": ("@method", "@target-uri")}
    assert refusal(as_server_sees(seen), **known) == "the signature does not hold"
    whole = replace(as_server_sees(seen), target=server.origin + seen.target)
    assert refusal(whole, **known) is None, "it is the one that RFC 9421 asks for"


class Recorder:
    """A key that keeps what it is to sign."""

    key_id = "key-1"

    def sign(self, data):
        self.base = data.decode()
        return bytes(96)


def plain(vector):
    """Whether a client's request can be signed so: no response, no component with parameters."""
    components = vector["input"].partition(")")[0]
    return VECTORS["messages"][vector["message"]]["status"] is None and ";" not in components


@pytest.mark.parametrize("vector", list(filter(plain, VECTORS["signatures"])), ids=lambda vector: vector["section"])
def test_the_signature_bases_are_those_of_the_rfcs_vectors(vector):
    """RFC 9421, appendix B.2: the client's and our own verifier's."""
    message = VECTORS["messages"][vector["message"]]
    names, recorder = re.findall(r'"([^"]+)"', vector["input"].partition(")")[0]), Recorder()
    signer = RequestSigner(recorder, key_id="k", components=tuple(names), label="sig", digest_algorithm="sha-512")
    body = b'{"hello": "world"}' if "content-digest" in names else None
    headers = {name: value for name, value in message["headers"] if name != "content-digest"}
    signer.sign(message["method"], message["uri"], headers, body)
    assert recorder.base.split("\n")[:-1] == vector["base"][:-1]

    target = re.sub(r"^https?://[^/]+", "", message["uri"])
    seen = ServerRequest(message["method"], target, message["headers"])
    assert base_of(seen, names, vector["input"]) == "\n".join(vector["base"])


@pytest.fixture
def signer(signing_keys):
    return RequestSigner(
        signing_keys.private_pem.encode(),
        key_id="key-1",
        components=DEFAULT_COMPONENTS,
        label="sig",
        digest_algorithm="sha-512",
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
    digest = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
    parameters = (
        '("@method" "@authority" "@path" "@query" "authorization" "content-digest" "content-type" "idempotency-key")'
        ';created=1618884475;keyid="key-1";alg="ecdsa-p384-sha384";expires=1618884775'
    )
    base = (
        '"@method": POST\n'
        '"@authority": api.example\n'
        '"@path": /v1/accounts\n'
        '"@query": ?x=%20y\n'
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
