"""Deliveries: hostile until parsed; signatures verified where a key is set."""

from __future__ import annotations

import contextlib
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import MalformedAnswer, PlatformRefused, SettingsError
from orchestrator.platform import WebhookVerifier, parse_delivery
from orchestrator.platform.webhook import MAX_DELIVERY_BYTES
from orchestrator.request_signing.http_signature import RequestSigner

URL = "https://me.example/webhooks/unguessable"


def delivery(account, **changes) -> bytes:
    return json.dumps({"webhookType": "account.updated", "eventId": str(uuid.uuid4())} | account | changes).encode()


def test_account_updated(account_json):
    account = account_json()
    event_id = str(uuid.uuid4())
    event = parse_delivery(delivery(account, eventId=event_id.upper()))
    assert (event.type, event.event_id, event.account_id) == ("account.updated", event_id, account["id"])
    later = parse_delivery(delivery(account, updatedAt="2024-01-12T15:07:17.358441Z"))
    assert event.updated_at < later.updated_at


@pytest.mark.parametrize("kind", ["customer.updated", "card.updated", "authorisation.updated", "transaction.updated"])
def test_other_types_are_accepted_to_be_ignored(kind):
    event = parse_delivery(json.dumps({"webhookType": kind, "eventId": str(uuid.uuid4()), "x": []}).encode())
    assert (event.type, event.account, event.account_id) == (kind, None, None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"eventId": "1"}, "eventId"),
        ({"eventId": None}, "eventId"),
        ({"webhookType": "x\n"}, "webhookType"),
        ({"webhookType": 1}, "webhookType"),
        ({"id": "../../x"}, "id"),
        ({"updatedAt": "now"}, "updatedAt"),
        ({"status": "gone"}, "status"),
    ],
)
def test_malformed_deliveries_name_the_field(account_json, changes, field):
    with pytest.raises(MalformedAnswer, match=f"webhook delivery: field {field}"):
        parse_delivery(delivery(account_json(), **changes))


def test_too_large_a_delivery():
    with pytest.raises(MalformedAnswer, match="at most"):
        parse_delivery(b" " * (MAX_DELIVERY_BYTES + 1))


def test_signed_headers_of_any_length_are_not_parsed(signing_keys):
    verifier = WebhookVerifier(signing_keys.public_pem)
    headers = {"signature": "sig=:AAAA:", "signature-input": "sig=(" + '"b" ' * 16_000 + ")"}
    with pytest.raises(PlatformRefused, match="headers of at most 16384 bytes"):
        verifier.verify("POST", URL, headers, b"{}")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_refusal(body):
    with contextlib.suppress(MalformedAnswer):  # any other exception fails
        parse_delivery(body)


@pytest.fixture
def sign(signing_keys):
    signer = RequestSigner(
        signing_keys.private_pem.encode(),
        key_id="platform",
        components=("@method", "@target-uri", "content-digest"),
        label="sig",
        digest_algorithm="sha-256",
    )
    return lambda body, **more: signer.sign("POST", URL, {"content-type": "application/json"}, body, **more)


def test_a_signed_delivery(signing_keys, sign):
    verifier = WebhookVerifier(signing_keys.public_pem, required=("@method", "@target-uri"))
    body = b'{"a":1}'
    verifier.verify("POST", URL, sign(body), body)
    verifier.verify("post", URL, list(sign(body).items()), body)


def test_deliveries_whose_signature_does_not_hold(signing_keys, sign):
    verifier = WebhookVerifier(signing_keys.public_pem)
    body = b'{"a":1}'
    good = sign(body)
    old = sign(body, created=datetime.now(UTC) - timedelta(hours=1))
    forged = [
        ("POST", URL, good, b'{"a":2}'),
        ("POST", URL + "x", good, body),
        ("PUT", URL, good, body),
        ("POST", URL, old, body),
        ("POST", URL, {}, body),
        ("POST", URL, {"signature": "\x00", "signature-input": "nonsense("}, body),
        ("POST", URL, good | {"Signature": good["Signature"].replace(":", ":AA", 1)}, body),
        ("POST", URL, {name: value for name, value in good.items() if name != "Content-Digest"}, body),
        ("POST", "no url", good, body),
    ]
    for case in forged:
        with pytest.raises(PlatformRefused) as caught:
            verifier.verify(*case)
        assert caught.value.code == "webhook_signature_invalid"


def test_a_verification_key_that_is_none():
    with pytest.raises(SettingsError):
        WebhookVerifier("nonsense")
