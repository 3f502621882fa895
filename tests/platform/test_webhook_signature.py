"""Signatures of deliveries: made by the platform's npm library, which nobody here wrote, and by RFC 9421's examples."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import shutil
import subprocess
import time
import traceback
import uuid
from pathlib import Path

import http_sf
import pytest

from orchestrator.errors import MalformedAnswer, PlatformRefused, PlatformUnreachable
from orchestrator.platform import VerificationKeys, WebhookVerifier, webhook_signature
from orchestrator.platform.programme import VerificationKey
from orchestrator.platform.webhook_signature import _Delivery, _Lines, _Signature

ROOT = Path(__file__).parents[2]
NPM = ROOT / "contracts"
VECTORS = json.loads((ROOT / "tests/simulator/vectors/rfc9421.json").read_text())
URL = "https://hooks.example/webhooks/an-unguessable-token-42"
KEY_ID = "0b7f5b0e-6a0b-4c5e-9a53-0c5f4f1d2e3a"
BODY = b'{"webhookType":"account.updated"}'
TOLERANCE = 60.0
PLAIN = ["@method", "@authority", "@path"]

needs_npm = pytest.mark.skipif(
    shutil.which("node") is None or not (NPM / "node_modules/http-message-signatures").is_dir(),
    reason="Node is not installed, or npm ci has not run",
)


def digest(body: bytes, name: str = "sha-512") -> str:
    hashed = hashlib.new(name.replace("-", ""), body).digest()
    return f"{name}=:{base64.b64encode(hashed).decode()}:"


@pytest.fixture(scope="module")
def npm():
    """The npm library, in one process for all: a line in, a line out."""
    command = [shutil.which("node"), str(Path(__file__).parent / "sign.mjs"), str(NPM)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def sign(signing_keys, npm):
    """``sign(headers={}, fields=PLAIN, url=URL, created=now, …)``: the headers, by the npm library."""

    def signed(headers=None, fields=PLAIN, url=URL, **more):
        one = {
            "url": url,
            "headers": {"content-type": "application/json"} | (headers or {}),
            "fields": fields,
            "key": signing_keys.private_pem,
            "keyid": KEY_ID,
            "created": int(time.time()),
        } | more
        npm.stdin.write(json.dumps(one) + "\n")
        npm.stdin.flush()
        return json.loads(npm.stdout.readline())

    return signed


class Platform:
    """What ``GET /webhooks/verification-key`` answers, and how often it was asked."""

    def __init__(self, key, key_id=KEY_ID):
        self.answer = VerificationKey(key_id, key)
        self.asked = 0
        self.now = 1000.0

    async def fetch(self):
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def keys(self):
        return VerificationKeys(self.fetch, pause_seconds=10, clock=lambda: self.now)


@pytest.fixture
def platform(signing_keys):
    return Platform(signing_keys.private.public_key())


@pytest.fixture
def verifier(platform):
    return WebhookVerifier(platform.keys(), TOLERANCE)


async def refused(verifier, headers, *, url=URL, body=BODY, method="POST"):
    with pytest.raises(PlatformRefused) as caught:
        await verifier.verify(method, url, headers, body)
    assert (caught.value.code, caught.value.status) == ("webhook_signature_invalid", 401)
    assert "an-unguessable-token-42" not in caught.value.message
    return caught.value.message


# --- whatever it covers -------------------------------------------------------------------------------------------


@needs_npm
@pytest.mark.parametrize(
    "fields",
    [
        PLAIN,
        ["@method"],
        ["@target-uri"],
        ["@method", "@scheme", "@authority", "@request-target", "@path", "@query", "content-type"],
        ["@method", '@query-param;name="a"', 'x-dictionary;key="b"', "x-dictionary;bs"],
        [*PLAIN, "content-digest", "content-type"],
        [*PLAIN, "content-digest;sf"],
        [*PLAIN, 'content-digest;key="sha-512"'],
    ],
    ids=" ".join,
)
async def test_what_the_npm_library_signs_holds_whatever_it_covers(sign, verifier, fields):
    headers = {"x-dictionary": "a=1,  b=2;x"}
    if any("content-digest" in field for field in fields):
        headers["content-digest"] = digest(BODY)
    url = URL + "?a=b%20c"
    signed = sign(headers, fields, url)
    await verifier.verify("POST", url, signed, BODY)
    await verifier.verify("post", url, list(signed.items()), BODY)


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=lambda vector: vector["section"])
def test_the_signature_bases_are_those_of_rfc_9421(vector):
    """Of its requests: a delivery is never a response."""
    message = VECTORS["messages"][vector["message"]]
    if message["status"] is not None:
        pytest.skip("a response")
    components, parameters = http_sf.parse(f"x={vector['input']}".encode(), tltype="dictionary")["x"]
    signature = _Signature("x", "", components, parameters, b"")
    lines = _Lines(tuple((name, value) for name, value in message["headers"]))
    base = signature.base(_Delivery(message["method"], message["uri"], lines))
    assert base.decode() == "\n".join(vector["base"])


# --- what is refused ----------------------------------------------------------------------------------------------


async def test_a_missing_signature(verifier, platform):
    for headers in ({}, {"signature": "sig=:AAAA:"}, {"signature-input": f'sig=();keyid="{KEY_ID}";created=1'}):
        assert "expected the header Signature" in await refused(verifier, headers)
    assert platform.asked == 0


@needs_npm
async def test_a_wrong_signature(sign, verifier, platform):
    good = sign({"content-digest": digest(BODY)}, [*PLAIN, "content-digest", "content-type"])
    await verifier.verify("POST", URL, good, BODY)
    words = await refused(verifier, good, url=URL.replace("hooks.example", "127.0.0.1:8080"))
    assert "it does not hold for POST https://127.0.0.1:8080/webhooks/…" in words
    assert "it covers @method @authority @path content-digest content-type" in words
    assert "does not hold" in await refused(verifier, good, method="PUT")
    assert "does not hold" in await refused(verifier, good | {"content-type": "text/plain"})
    flipped = good["Signature"].replace("sig=:", "sig=:AAAA", 1)
    assert "does not hold" in await refused(verifier, good | {"Signature": flipped})
    assert "does not hold" in await refused(verifier, good | {"Signature": "sig=:AAAA:"})
    without = {name: value for name, value in good.items() if name != "content-digest"}
    assert "what it covers is not there" in await refused(verifier, without)
    assert platform.asked == 2, "a wrong signature asks for the key again, once"


@needs_npm
@pytest.mark.parametrize("away", [-TOLERANCE - 5, TOLERANCE + 5])
async def test_an_old_signature_and_one_of_the_future(sign, verifier, platform, away):
    words = await refused(verifier, sign(created=int(time.time() + away)))
    assert re.search(r"created \d+ s (ago|ahead); 60 s are tolerated \(ORCHESTRATOR_CLOCK_TOLERANCE\)", words)
    assert platform.asked == 0, "what is too old asks for no key"


@needs_npm
async def test_within_the_tolerance_it_holds_and_an_end_in_the_past_ends_it(sign, verifier):
    now = int(time.time())
    for created in (now - TOLERANCE + 20, now + TOLERANCE - 20):
        await verifier.verify("POST", URL, sign(created=created, params=["keyid", "created"]), BODY)
    assert "it has expired" in await refused(verifier, sign(created=now, expires=now - 100))
    words = await refused(verifier, sign(created=None, params=["keyid", "alg"]))
    assert "expected the time of its creation" in words


@needs_npm
async def test_a_foreign_signature(sign, verifier, platform, signing_keys):
    stranger = type(signing_keys)().private_pem
    await verifier.verify("POST", URL, sign(), BODY)
    assert "does not hold" in await refused(verifier, sign(key=stranger))
    for key_id in ("proxy", "", None):
        words = await refused(verifier, sign(key=stranger, keyid=key_id))
        assert "expected the id of a key of the platform (a UUID)" in words
    words = await refused(verifier, sign(alg="ecdsa-p256-sha256"))
    assert "expected the algorithm ecdsa-p384-sha384" in words
    assert platform.asked == 2


@needs_npm
async def test_the_right_one_of_several_is_taken(sign, verifier, signing_keys):
    """A proxy signs too, with a key of its own; before the platform's signature or after it."""
    stranger = type(signing_keys)().private_pem
    for first, second in (
        ({"key": stranger, "keyid": "proxy", "name": "a"}, {"name": "b"}),
        ({"name": "z"}, {"key": stranger, "keyid": str(uuid.uuid4()), "name": "b"}),
        ({"key": stranger, "name": "a", "created": 1}, {}),
        ({"key": stranger, "name": "a"}, {"name": "b"}),
    ):
        both = sign(sign(**first), **second)
        assert both["Signature-Input"].count(";created=") == 2
        await verifier.verify("POST", URL, both, BODY)
    lost = sign(sign(name="a"), key=stranger, name="b")
    lost["Signature"] = lost["Signature"].replace("a=", "c=", 1)
    await refused(verifier, lost)


@needs_npm
async def test_content_digests(sign, verifier):
    covering = [*PLAIN, "content-digest"]
    for value in (
        digest(BODY),
        digest(BODY, "sha-256"),
        f"{digest(BODY, 'sha-256')}, {digest(BODY)}",
        f"md5=:AAAA:, {digest(BODY)}, tomorrow=1",
    ):
        await verifier.verify("POST", URL, sign({"content-digest": value}, covering), BODY)
    for value, words in (
        (digest(b"another"), "is not the body's"),
        (f"{digest(BODY)}, {digest(b'another', 'sha-256')}", "is not the body's"),
        ("md5=:AAAA:", "expected a Content-Digest with sha-256 or sha-512"),
        ("sha-512=1", "is not the body's"),
        ("%%%", "cannot be read"),
    ):
        headers = sign({"content-digest": "a=1"}, PLAIN) | {"content-digest": value}
        assert words in await refused(verifier, headers)
    assert "does not cover content-digest" in await refused(verifier, sign({"content-digest": digest(BODY)}, PLAIN))
    one = sign({"content-digest": f"md5=:AAAA:, {digest(BODY)}"}, [*PLAIN, 'content-digest;key="md5"'])
    assert "does not cover content-digest" in await refused(verifier, one)


@needs_npm
async def test_a_signature_without_a_digest_is_taken_with_one_body(sign, platform):
    now = time.time()
    verifier = WebhookVerifier(platform.keys(), TOLERANCE, now=lambda: now)
    first, second = sign(created=int(now)), sign(created=int(now))
    for _ in range(2):
        await verifier.verify("POST", URL, first, BODY)
    assert "taken before with another body" in await refused(verifier, first, body=b"{}")
    value = base64.b64decode(first["Signature"].split(":")[1])
    order = 2**384 - 1388124618062372383947042015309946732620727252194336364173
    mirrored = value[:48] + (order - int.from_bytes(value[48:])).to_bytes(48)
    other = first | {"Signature": f"sig=:{base64.b64encode(mirrored).decode()}:"}
    await verifier.verify("POST", URL, other, BODY)
    assert "taken before with another body" in await refused(verifier, other, body=b"{}")
    await verifier.verify("POST", URL, second, b"{}")
    assert len(verifier._bodies) == 2
    now += TOLERANCE + 2
    await verifier.verify("POST", URL, sign(created=int(now)), BODY)
    assert len(verifier._bodies) == 1, "what is too old to be taken is forgotten"


@needs_npm
async def test_the_bodies_that_are_remembered_are_bounded(sign, verifier, monkeypatch):
    monkeypatch.setattr(webhook_signature, "_MOST_BODIES", 2)
    for number in range(4):
        await verifier.verify("POST", URL, sign(), str(number).encode())
    assert len(verifier._bodies) == 2
    digested = sign({"content-digest": digest(BODY)}, [*PLAIN, "content-digest"])
    kept = dict(verifier._bodies)
    await verifier.verify("POST", URL, digested, BODY)
    assert verifier._bodies == kept, "its digest is covered"


NONSENSE = [
    {"signature": "\x00", "signature-input": "nonsense("},
    {"signature": "sig=:AAAA:", "signature-input": "sig=é"},
    {"signature": "sig=:AAAA:", "signature-input": "sig=1"},
    {"signature": "sig=1", "signature-input": f'sig=();created={{now}};keyid="{KEY_ID}"'},
    {"signature": "sig=:AAAA:", "signature-input": f'sig=(1);created={{now}};keyid="{KEY_ID}"'},
    {"signature": "sig=:AAAA:", "signature-input": f'sig=("@status");created={{now}};keyid="{KEY_ID}"'},
    {"signature": "sig=:AAAA:", "signature-input": f'sig=("@method" "@method");created={{now}};keyid="{KEY_ID}"'},
    {"signature": "sig=:AAAA:", "signature-input": f'sig=("X-A");created={{now}};keyid="{KEY_ID}"', "x-a": "1"},
    {"signature": "sig=:AAAA:", "signature-input": f'sig=("@method"),sig=();created={{now}};keyid="{KEY_ID}"'},
    {"signature": "sig=:AAAA:", "signature-input": f"sig=();created={{now}};keyid={KEY_ID}"},
    {"signature": "sig=:AAAA:", "signature-input": f'sig=();created={{now}}.5;keyid="{KEY_ID}"'},
]


@pytest.mark.parametrize("headers", NONSENSE, ids=range(len(NONSENSE)))
async def test_nonsense_is_refused_with_a_sentence(verifier, headers):
    filled = {name: value.replace("{now}", str(int(time.time()))) for name, value in headers.items()}
    words = await refused(verifier, filled)
    assert len(words) > len("webhook delivery: its signature is refused: ") + 10
    assert len(words) < 600


async def test_signed_headers_of_any_length_are_not_parsed(verifier):
    headers = {"signature": "sig=:AAAA:", "signature-input": "sig=(" + '"b" ' * 16_000 + ")"}
    assert "headers of at most 16384 bytes" in await refused(verifier, headers)
    many = ", ".join(f"s{n}=()" for n in range(9))
    fields = " ".join(f'"x{n}"' for n in range(33))
    headers = {"signature-input": f'sig=({fields});created={int(time.time())};keyid="{KEY_ID}"'}
    words = await refused(verifier, {"signature": "sig=:AAAA:"} | headers)
    assert "at most 32 components, got 33" in words
    assert "at most 4096 characters" in await refused(verifier, forged(KEY_ID), url=URL + "?" + "x" * 5000)
    assert "at most 8 signatures" in await refused(verifier, {"signature": "s1=:AAAA:", "signature-input": many})


# --- keys -----------------------------------------------------------------------------------------------------------


def forged(key_id: str) -> dict[str, str]:
    now = int(time.time())
    return {"signature": "sig=:AAAA:", "signature-input": f'sig=("@method");created={now};keyid="{key_id}"'}


async def test_a_key_id_that_does_not_exist_asks_the_platform_once_however_many_are_forged(verifier, platform):
    ids = [str(uuid.uuid4()) for _ in range(40)]
    words = await asyncio.gather(*(refused(verifier, forged(key_id)) for key_id in ids))
    assert all(
        f"the platform has no verification key {key_id}" in said for key_id, said in zip(ids, words, strict=True)
    )
    assert platform.asked == 1
    platform.now += 10
    await refused(verifier, forged(ids[0]))
    assert platform.asked == 2


@needs_npm
async def test_a_key_that_changes_in_the_middle(sign, verifier, platform, signing_keys):
    """Deliveries that the former key has signed may still be under way; the one before that is forgotten."""
    first = sign()
    await asyncio.gather(*(verifier.verify("POST", URL, first, BODY) for _ in range(20)))
    assert platform.asked == 1
    for asked in (2, 3):
        fresh, key_id = type(signing_keys)(), str(uuid.uuid4())
        platform.answer = VerificationKey(key_id, fresh.private.public_key())
        await verifier.verify("POST", URL, sign(key=fresh.private_pem, keyid=key_id.upper()), BODY)
        assert platform.asked == asked
        if asked == 2:
            await verifier.verify("POST", URL, first, BODY)
    assert "no verification key" in await refused(verifier, first)


@needs_npm
async def test_a_key_that_changes_under_its_id(sign, verifier, platform, signing_keys):
    await verifier.verify("POST", URL, sign(), BODY)
    fresh = type(signing_keys)()
    platform.answer = VerificationKey(KEY_ID, fresh.private.public_key())
    await verifier.verify("POST", URL, sign(key=fresh.private_pem), BODY)
    assert "does not hold" in await refused(verifier, sign())


@needs_npm
async def test_a_platform_that_gives_no_key_is_no_refusal_of_the_delivery(sign, verifier, platform, signing_keys):
    good, answer = sign(), platform.answer
    platform.answer = PlatformUnreachable("nobody answers")
    for _ in range(3):
        with pytest.raises(PlatformUnreachable):
            await verifier.verify("POST", URL, good, BODY)
    assert platform.asked == 1
    platform.answer = answer
    platform.now += 10
    await verifier.verify("POST", URL, good, BODY)
    platform.answer = PlatformUnreachable("nobody answers")
    stranger = type(signing_keys)().private_pem
    assert "does not hold" in await refused(verifier, sign(key=stranger)), "the key that is known suffices to refuse it"


async def test_trouble_that_is_told_again_does_not_keep_the_deliveries_before(verifier, platform):
    platform.answer = PlatformUnreachable("nobody answers")
    frames = []
    for _ in range(5):
        with pytest.raises(PlatformUnreachable) as caught:
            await verifier.verify("POST", URL, forged(KEY_ID), BODY)
        frames.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(set(frames[1:])) == 1


async def test_the_key_as_the_platform_answers_it(server, client, reply, signing_keys):
    encoded = base64.b64encode(signing_keys.public_pem.encode()).decode()
    server.on("GET", "/webhooks/verification-key", reply(value={"keyId": KEY_ID.upper(), "key": encoded}))
    found = await client.verification_key()
    assert found.id == KEY_ID
    assert found.key.public_numbers() == signing_keys.private.public_key().public_numbers()


P256 = VECTORS["keys"]["test-key-ecc-p256"]


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ([], "JSON object"),
        ({"key": "AAAA"}, "field keyId"),
        ({"keyId": "1", "key": "AAAA"}, "field keyId"),
        ({"keyId": KEY_ID}, "field key"),
        ({"keyId": KEY_ID, "key": "not Base64"}, "field key"),
        ({"keyId": KEY_ID, "key": "AAAA"}, "field key"),
        ({"keyId": KEY_ID, "key": base64.b64encode(P256.encode()).decode()}, "field key.*P-384"),
        ({"keyId": KEY_ID, "key": P256}, "field key"),
    ],
)
async def test_an_answer_that_is_no_key_names_the_field(server, client, reply, answer, field):
    server.on("GET", "/webhooks/verification-key", reply(value=answer))
    with pytest.raises(MalformedAnswer, match=field):
        await client.verification_key()
