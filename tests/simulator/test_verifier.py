"""The simulator's verifier against what others have published, and against the platform's own npm library.

Vectors of RFC 9421: its appendix B.2 has no P-384 example, so its P-256 ones (B.2.4 and B.3) go through the same code
with the curve changed, and the others (RSA-PSS, Ed25519, HMAC) check the construction of the signature base, with
``cryptography`` verifying the published signature over the base that our code has built.
"""

from __future__ import annotations

import base64
import hmac
import json
import shutil
import subprocess
import time
from pathlib import Path

import http_sf
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from orchestrator.devnet.simulator.http_signatures import (
    P256,
    P384,
    Message,
    SignatureRefused,
    content_digest,
    sign_message,
    signature_base,
    verify_content_digest,
    verify_message,
)

VECTORS = json.loads((Path(__file__).parent / "vectors" / "rfc9421.json").read_text())
CONTRACTS = Path(__file__).parents[2] / "contracts"
NOW = 1618884473


def message(name):
    value = VECTORS["messages"][name]
    return Message(value["method"], value["uri"], [tuple(header) for header in value["headers"]], value["status"])


def built_base(vector):
    member = http_sf.parse(f"x={vector['input']}".encode(), tltype="dictionary")["x"]
    return signature_base(member[0], member[1], message(vector["message"]))


def public_key(name):
    return serialization.load_pem_public_key(VECTORS["keys"][name].encode())


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=lambda vector: vector["section"])
def test_the_rfcs_signature_bases(vector):
    assert built_base(vector).decode() == "\n".join(vector["base"])


@pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS["signatures"] if v["key"] == "test-key-ecc-p256"],
    ids=lambda vector: vector["section"],
)
def test_the_rfcs_ecdsa_signatures(vector):
    original = message(vector["message"])
    headers = [
        *original.headers,
        ("signature-input", f"sig={vector['input']}"),
        ("signature", f"sig=:{vector['signature']}:"),
    ]
    signed = Message(original.method, original.target_uri, headers, original.status)
    known = {"test-key-ecc-p256": public_key("test-key-ecc-p256")}
    verified = verify_message(signed, key_for=known.get, now=NOW, required=(), algorithm=P256)
    assert verified.key_id == "test-key-ecc-p256"
    broken = [(name, value + "0" if name == "content-length" else value) for name, value in headers]
    broken = [(name, value + "x" if name == "client-cert" else value) for name, value in broken]
    with pytest.raises(SignatureRefused, match="does not match"):
        verify_message(
            Message(original.method, original.target_uri, broken, original.status),
            key_for=known.get,
            now=NOW,
            required=(),
            algorithm=P256,
        )


@pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS["signatures"] if v["key"] != "test-key-ecc-p256"],
    ids=lambda vector: vector["section"],
)
def test_the_rfcs_other_signatures_hold_over_our_bases(vector):
    base, signature = built_base(vector), base64.b64decode(vector["signature"])
    if vector["key"] == "test-shared-secret":
        secret = base64.b64decode(VECTORS["keys"]["test-shared-secret"])
        assert hmac.digest(secret, base, "sha256") == signature
    elif vector["key"] == "test-key-ed25519":
        public_key("test-key-ed25519").verify(signature, base)
    else:
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)
        public_key("test-key-rsa-pss").verify(signature, base, pss, hashes.SHA512())
        with pytest.raises(InvalidSignature):
            public_key("test-key-rsa-pss").verify(signature, base + b" ", pss, hashes.SHA512())


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        # RFC 9421, section 2.2
        ("@method", {}, "POST"),
        ("@target-uri", {}, "https://www.example.com/path?param=value"),
        ("@authority", {}, "www.example.com"),
        ("@scheme", {}, "https"),
        ("@request-target", {}, "/path?param=value"),
        ("@path", {}, "/path"),
        ("@query", {}, "?param=value"),
        ("@query-param", {"name": "param"}, "value"),
        # section 2.1
        ("cache-control", {}, "max-age=60, must-revalidate"),
        ("x-empty-header", {}, ""),
        ("example-dict", {"key": "a"}, "1"),
        ("example-dict", {"key": "d"}, "?1"),
        ("example-dict", {"key": "c"}, "(a b c)"),
        ("example-header", {"bs": True}, ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"),
    ],
)
def test_component_values(name, parameters, expected):
    given = Message(
        "POST",
        "https://www.example.com/path?param=value",
        [
            ("cache-control", " max-age=60 "),
            ("cache-control", "   must-revalidate"),
            ("x-empty-header", ""),
            ("example-dict", " a=1,    b=2;x=1;y=2,   c=(a   b   c), d"),
            ("example-header", "value, with, lots"),
            ("example-header", "of, commas"),
        ],
    )
    line = signature_base([(name, parameters)], {"created": 1}, given).decode().split("\n")[0]
    assert line.partition(": ")[2] == expected


@pytest.mark.parametrize(
    ("url", "authority", "path", "query"),
    [
        ("https://www.Example.com:443/", "www.example.com", "/", "?"),
        ("http://www.example.com:80?x", "www.example.com", "/", "?x"),
        ("http://127.0.0.1:8443/a%20b?p=%2F", "127.0.0.1:8443", "/a%20b", "?p=%2F"),
    ],
)
def test_derived_components_are_normalized(url, authority, path, query):
    base = signature_base([("@authority", {}), ("@path", {}), ("@query", {})], {}, Message("GET", url, []))
    assert [line.partition(": ")[2] for line in base.decode().split("\n")[:3]] == [authority, path, query]


@pytest.mark.parametrize(
    ("body", "header"),
    [
        # RFC 9530, appendices B.1 and B.2
        (b'{"hello": "world"}\n', "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"),
        (b"", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
        # RFC 9421, appendix B.2
        (
            b'{"hello": "world"}',
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        ),
        (b'{"hello": "world"}', "unixsum=:AAA=:, sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
    ],
)
def test_the_rfcs_digests(body, header):
    verify_content_digest(header, body)
    with pytest.raises(SignatureRefused) as error:
        verify_content_digest(header, body + b" ")
    assert error.value.code == "content_digest_wrong"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "content_digest_missing"),
        ("", "content_digest_missing"),
        ("md5=:AAAA:", "content_digest_missing"),
        ("sha-256=abc", "content_digest_wrong"),
        ("sha-256=:AAAA:", "content_digest_wrong"),
        ("sha-256=:****:", "signature_malformed"),
        ("sha-256=(1 2)", "content_digest_wrong"),
        (content_digest(b"x") + ", sha-512=:AAAA:", "content_digest_wrong"),
    ],
)
def test_digests_that_do_not_hold(header, code):
    with pytest.raises(SignatureRefused) as error:
        verify_content_digest(header, b"x")
    assert error.value.code == code


KEY = ec.generate_private_key(ec.SECP384R1())


def check(headers, *, now=NOW, required=("@method",), key=KEY, url="http://h/a"):
    known = {"k": key.public_key()}
    return verify_message(Message("GET", url, list(headers.items())), key_for=known.get, now=now, required=required)


def signed(covered=("@method", "@target-uri"), created=NOW, key_id="k", expires=None, **headers):
    given = Message("GET", "http://h/a", list(headers.items()))
    return headers | sign_message(given, key=KEY, key_id=key_id, created=created, covered=covered, expires=expires)


def test_our_own_signatures_hold():
    headers = signed()
    assert check(headers).covered == ("@method", "@target-uri")
    assert len(base64.b64decode(headers["signature"].split(":")[1])) == 96


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"signature": None}, "signature_missing"),
        ({"signature-input": None}, "signature_missing"),
        ({"signature": "sig1=:AAAA:"}, "signature_wrong"),
        ({"signature": "sig1=:" + base64.b64encode(bytes(96)).decode() + ":"}, "signature_wrong"),
        ({"signature": "sig1=1"}, "signature_malformed"),
        ({"signature": "other=:AAAA:"}, "signature_missing"),
        ({"signature": "sig1=:A"}, "signature_malformed"),
        ({"signature-input": "sig1=1"}, "signature_malformed"),
        ({"signature-input": "\N{SNOWMAN}"}, "signature_malformed"),
        ({"signature-input": 'sig1=("@method");created=1618884473'}, "signature_key_unknown"),
        ({"signature-input": 'sig1=("@method");created=1618884473;keyid="x"'}, "signature_key_unknown"),
        ({"signature-input": 'sig1=("@method");created="1618884473";keyid="k"'}, "signature_malformed"),
        ({"signature-input": 'sig1=("@method");keyid="k"'}, "signature_malformed"),
        ({"signature-input": 'sig1=("@method");created=1618884473;keyid="k";alg="hmac-sha256"'}, "signature_algorithm"),
        ({"signature-input": 'sig1=("@method");created=1618884473;keyid="k";expires=1'}, "signature_expired"),
        ({"signature-input": 'sig1=();created=1618884473;keyid="k"'}, "signature_incomplete"),
        ({"signature-input": 'sig1=("@method";req);created=1618884473;keyid="k"'}, "signature_incomplete"),
        ({"signature-input": 'sig1=("@method" "@method");created=1618884473;keyid="k"'}, "signature_malformed"),
        ({"signature-input": 'sig1=("@method" "date");created=1618884473;keyid="k"'}, "signature_component"),
        ({"signature-input": 'sig1=("@method" "@status");created=1618884473;keyid="k"'}, "signature_component"),
        ({"signature-input": 'sig1=("@method" "@nonsense");created=1618884473;keyid="k"'}, "signature_component"),
        ({"signature-input": 'sig1=("@method" 1);created=1618884473;keyid="k"'}, "signature_malformed"),
        (
            {"signature-input": 'sig1=("@method" "@signature-params");created=1618884473;keyid="k"'},
            "signature_malformed",
        ),
    ],
)
def test_signatures_that_do_not_hold(change, code):
    headers = {name: value for name, value in (signed() | change).items() if value is not None}
    with pytest.raises(SignatureRefused) as error:
        check(headers)
    assert error.value.code == code


@pytest.mark.parametrize("now", [NOW - 0.1, NOW - 1, NOW + 301])
def test_signatures_out_of_time(now):
    """By the rule of the platform's verifier: whole seconds, no tolerance."""
    for good in (NOW, NOW + 0.1, NOW + 300.9):
        check(signed(expires=NOW + 300), now=good)
    with pytest.raises(SignatureRefused) as error:
        check(signed(expires=NOW + 300), now=now)
    assert error.value.code == "signature_expired"


def test_the_target_uri_is_the_request_line_s_to_a_server_that_knows_no_more():
    def seen(request_line):
        return Message("GET", "http://h/a?b", list(headers.items()), request_line=request_line)

    given = Message("GET", "http://h/a?b", [])
    headers = sign_message(given, key=KEY, key_id="k", created=NOW, covered=("@method", "@target-uri"))
    known = {"k": KEY.public_key()}
    verify_message(seen(None), key_for=known.get, now=NOW, required=())
    with pytest.raises(SignatureRefused, match="does not match"):
        verify_message(seen("/a?b"), key_for=known.get, now=NOW, required=())


def test_another_curve_never_holds():
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(SignatureRefused, match="does not match"):
        check(signed(), key=other)
    assert not P384.verify(KEY.public_key(), b"short", b"base")


# --- the platform's own library ------------------------------------------------------------------------------------

NODE = shutil.which("node")
SCRIPT = """
const crypto = require('node:crypto');
const { httpbis } = require('http-message-signatures');
const input = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const key = crypto.createPrivateKey(input.pem);
const signer = {
  id: input.keyid,
  alg: 'ecdsa-p384-sha384',
  sign: async (data) => crypto.sign('sha384', data, { key, dsaEncoding: 'ieee-p1363' }),
};
(async () => {
  const out = [];
  for (const request of input.requests) {
    out.push(await httpbis.signMessage(
      { key: signer, fields: request.fields, paramValues: { created: new Date(input.created * 1000) } },
      { method: request.method, url: request.url, headers: request.headers },
    ));
  }
  process.stdout.write(JSON.stringify(out));
})();
"""


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_requests_signed_by_the_platforms_npm_library_hold():
    if not (CONTRACTS / "node_modules" / "http-message-signatures").is_dir():
        pytest.skip("npm ci has not been run in contracts/")
    body = b'{"type":"card_account","currencies":["EUR"]}'
    url = "http://127.0.0.1:8080/v1/customers/5df359f0-d299-40a1-8023-17c77a50144c/accounts"
    full = {
        "Authorization": "Bearer abc.def.ghi",
        "Content-Type": "application/json",
        "Content-Digest": content_digest(body),
        "Idempotency-Key": "123e4567-e89b-12d3-a456-426614174000",
    }
    requests = [
        {
            "method": "POST",
            "url": url,
            "headers": full,
            "fields": ["@method", "@target-uri", "authorization", "content-digest", "content-type", "idempotency-key"],
        },
        {
            "method": "GET",
            "url": url + "?page=a%20b&x=1",
            "headers": {"Authorization": "Bearer abc"},
            "fields": ["@method", "@target-uri", "authorization", "@authority", "@path", "@query"],
        },
    ]
    created = int(time.time())
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    order = {"pem": pem, "keyid": "key-1", "created": created, "requests": requests}
    done = subprocess.run(
        [str(NODE), "-e", SCRIPT],
        check=False,
        input=json.dumps(order).encode(),
        capture_output=True,
        cwd=CONTRACTS,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    known = {"key-1": KEY.public_key()}
    for request, answer in zip(requests, json.loads(done.stdout), strict=True):
        headers = [(name.lower(), value) for name, value in answer["headers"].items()]
        given = Message(request["method"], request["url"], headers)
        verified = verify_message(given, key_for=known.get, now=created, required=request["fields"])
        assert list(verified.covered) == request["fields"]
        assert verified.created == created
        tampered = Message(request["method"], request["url"] + "x", headers)
        with pytest.raises(SignatureRefused):
            verify_message(tampered, key_for=known.get, now=created, required=())
