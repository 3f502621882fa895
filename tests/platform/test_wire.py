"""Answers: what is accepted, and that each refusal names the field."""

from __future__ import annotations

import contextlib
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import MalformedAnswer, UnsupportedChain
from orchestrator.platform.answers import parse_json
from orchestrator.platform.transport import Answer, Call
from orchestrator.platform.wire import AccountWire, Instant, read

CALL = Call("GET", "api.example", "/v1/accounts/x", modifying=False)
GOOD = {
    "id": "4F4B3C1E-4C3A-4A57-9B1E-3C1F6F8C0A11",
    "customerId": "9d2e7d7a-51c5-4c55-8d5c-0a8f1a1b2c3d",
    "chainId": "eip155:31337:0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "status": "active",
    "type": "card_account",
    "currencies": ["EUR"],
    "createdAt": "2024-01-12T15:07:17Z",
    "updatedAt": "2024-01-12T15:07:17.358440283Z",
}


def answer(body: bytes, kind: str = "application/json") -> Answer:
    return Answer(200, {"content-type": kind}, body, 0.0)


def test_a_good_account():
    wire = read(AccountWire, GOOD | {"tomorrow": 1}, "GET x")
    assert wire.id == GOOD["id"].lower()
    assert wire.updated_at.ns % 1_000_000_000 == 358_440_283
    assert wire.account().updated_at.microsecond == 358_440
    assert read(AccountWire, GOOD | {"chainId": None}, "x").account().wallet is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "x"),
        ("id", 5),
        ("id", None),
        ("customerId", ""),
        ("createdAt", "yesterday"),
        ("createdAt", 1705072037),
        ("updatedAt", "2024-01-12T15:07:17.3584402831Z"),
        ("updatedAt", "2024-13-12T15:07:17Z"),
        ("updatedAt", "2024-01-12T15:07:17"),
    ],
)
def test_each_malformed_field_is_named(field, value):
    with pytest.raises(MalformedAnswer, match=rf"GET /x: field {field}"):
        read(AccountWire, GOOD | {field: value}, "GET /x")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "opening"),
        ("status", ["active"]),
        ("status", None),
        ("type", "savings"),
        ("type", None),
        ("currencies", "EUR"),
        ("currencies", ["euro"]),
        ("currencies", [1]),
        ("currencies", ["EUR"] * 201),
        ("chainId", 31337),
    ],
)
def test_each_odd_field_is_named_where_an_account_is_acted_on(field, value):
    account = read(AccountWire, GOOD | {field: value}, "GET /x").account()
    assert [one.partition(":")[0] for one in account.odd] == [f"field {field}"]
    with pytest.raises((MalformedAnswer, UnsupportedChain), match=f"field {field}: "):
        account.known_status()


@pytest.mark.parametrize("field", ["id", "customerId", "createdAt", "updatedAt"])
def test_each_missing_field_is_named(field):
    value = copy.deepcopy(GOOD)
    del value[field]
    with pytest.raises(MalformedAnswer, match=f"field {field}: Field required"):
        read(AccountWire, value, "GET x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4HxJpyyigGzodYwHtCxZyUQe9JiBMHyRWXArAaKv", "solana"),
        ("tron:0x2b6653dc:TJRabPrwbZy45sbavfcjinPJC18kjpRTv8", "tron"),
        ("starknet:SN_MAIN:0x02dd1b492765c064eac4039e3841aa5f382773b598097a40073bd8b48170ab57", "starknet"),
        ("eip155:31337", "chainId"),
        ("eip155:31337:0x70997970c51812DC3A010C7d01b50e0d17dc79C8", "checksum"),
        ("", "CAIP-10"),
    ],
)
def test_other_namespaces_are_refused_by_name(text, words):
    account = read(AccountWire, GOOD | {"chainId": text}, "GET x").account()
    with pytest.raises(UnsupportedChain, match=words) as caught:
        account.known_status()
    assert "field chainId" in caught.value.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b'{"a":1', "no JSON"),
        (b'{"a":1,"a":2}', "'a' occurs twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b"[" * 100_000, "nests deeper"),
        (b"1" * 10_000, "cannot be used"),
    ],
)
def test_what_is_no_json(body, words):
    with pytest.raises(MalformedAnswer, match=words) as caught:
        parse_json(answer(body), CALL)
    assert "GET /v1/accounts/x at api.example" in caught.value.message


@pytest.mark.parametrize("kind", ["text/html", "", "application/jsonp", "text/json"])
def test_another_content_type(kind):
    with pytest.raises(MalformedAnswer, match="Content-Type"):
        parse_json(answer(b"{}", kind), CALL)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/hal+json"])
def test_content_types_that_are_json(kind):
    assert parse_json(answer(b"{}", kind), CALL) == {}


def test_nine_digits_decide_the_order():
    texts = ["2024-01-12T15:07:17.358440283Z", "2024-01-12T15:07:17.358440284Z", "2024-01-12T15:07:17.3584403Z"]
    instants = [Instant.parse(text) for text in texts]
    assert instants == sorted(instants)
    assert len(set(instants)) == 3
    assert instants[0].moment == instants[1].moment
    assert Instant.parse("2024-01-12T17:07:17.5+02:00") == Instant.parse("2024-01-12T15:07:17.500000000Z")


@given(st.integers(0, 253_402_300_799_999_999_999))
def test_instants_keep_what_they_are_given(ns):
    moment = Instant(ns).moment
    text = f"{moment:%m-%dT%H:%M:%S}.{ns % 1_000_000_000:09d}Z"
    assert Instant.parse(f"{moment.year:04d}-{text}") == Instant(ns)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "x"]), inner, max_size=5),
        max_leaves=8,
    )
)
def test_whatever_comes_is_an_account_or_a_clear_refusal(value):
    parsed = parse_json(answer(json.dumps(value).encode()), CALL)
    for one in (parsed, GOOD | parsed if isinstance(parsed, dict) else parsed):
        with contextlib.suppress(MalformedAnswer, UnsupportedChain):  # any other exception fails
            read(AccountWire, one, str(CALL)).account().known_status()
