"""Deliveries: hostile until parsed. Their signatures: ``test_webhook_signature``."""

from __future__ import annotations

import contextlib
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import MalformedAnswer
from orchestrator.platform import parse_delivery
from orchestrator.platform.webhook import MAX_DELIVERY_BYTES


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
    ],
)
def test_malformed_deliveries_name_the_field(account_json, changes, field):
    with pytest.raises(MalformedAnswer, match=f"webhook delivery: field {field}"):
        parse_delivery(delivery(account_json(), **changes))


def test_a_delivery_with_an_unknown_status_is_a_hint_like_any_other(account_json):
    event = parse_delivery(delivery(account_json(), status="gone"))
    assert event.account is not None
    assert event.account.odd


def test_too_large_a_delivery():
    with pytest.raises(MalformedAnswer, match="at most"):
        parse_delivery(b" " * (MAX_DELIVERY_BYTES + 1))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_refusal(body):
    with contextlib.suppress(MalformedAnswer):  # any other exception fails
        parse_delivery(body)
