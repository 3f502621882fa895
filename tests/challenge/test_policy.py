"""What may be signed: transactions, authorizations and digests are refused by name, and so is what does not fit."""

from __future__ import annotations

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest
import rlp
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.challenge import Challenge, Expectation, SignInMessage, check, decide
from orchestrator.challenge.policy import RULES, SIGN_IN_RULES
from orchestrator.errors import PolicyRefused
from orchestrator.models import AccountId, ChainAccount

UUID = b"5df359f0-d299-40a1-8023-17c77a50144c"
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
OTHER = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"
NOW = datetime(2024, 1, 12, 15, 10, 0, tzinfo=UTC)
MESSAGE = f"""api.sandbox.offblocks.xyz wants you to sign in with your Ethereum account:
{ADDRESS}

Sign in

URI: https://api.sandbox.offblocks.xyz/v1
Version: 1
Chain ID: 31337
Nonce: 32891756
Issued At: 2024-01-12T15:07:17.358440283Z
Expiration Time: 2024-01-12T16:07:17.358440283Z
Not Before: 2024-01-12T15:07:17.358440283Z
Resources:
- https://api.sandbox.offblocks.xyz/terms"""
EXPECTED = Expectation(
    account_id=AccountId("5b0fa2bb-9d9b-4d0a-9a26-2dd4b0d8a9b1"),
    operation="creation",
    signer=ChainAccount.parse(f"eip155:31337:{ADDRESS}"),
    now=NOW,
    fetched_at=NOW - timedelta(seconds=2),
    max_age=timedelta(hours=1),
    clock_skew=timedelta(seconds=60),
    allowed_domains=frozenset({"api.sandbox.offblocks.xyz", "127.0.0.1:8080"}),
)
CUSTOMER = dataclasses.replace(EXPECTED, operation="customer", account_id=None)


def challenge(data: bytes | str) -> Challenge:
    data = data.encode() if isinstance(data, str) else data
    return Challenge.parse(base64.b64encode(data).decode())


def refused(data: bytes | str, expectation: Expectation = EXPECTED) -> PolicyRefused:
    decision = decide(challenge(data), expectation)
    assert not decision.allowed
    with pytest.raises(PolicyRefused) as caught:
        check(challenge(data), expectation)
    error = caught.value
    assert error.code == "policy_refused"
    assert error.message == f"rule {decision.rule}: expected {decision.expected}, got {decision.actual}"
    assert error.message.isascii()
    assert error.message.isprintable()
    return error


@pytest.mark.parametrize("operation", ["creation", "deletion"])
@pytest.mark.parametrize(("data", "rule"), [(UUID, "uuid"), (MESSAGE, "eip4361")])
def test_fitting_challenges_of_accounts_are_allowed(operation, data, rule):
    expectation = dataclasses.replace(EXPECTED, operation=operation)
    check(challenge(data), expectation)
    decision = decide(challenge(data), expectation)
    assert decision.allowed
    assert decision.rule == rule
    assert str(decision).startswith(f"rule {rule}: allowed")


def test_a_customer_signs_sign_in_messages_only():
    check(challenge(MESSAGE), CUSTOMER)
    assert refused(UUID, CUSTOMER).message.startswith("rule kind: expected an EIP-4361 message")


def transaction(**fields) -> bytes:
    base = {"to": OTHER, "value": 1, "gas": 21000, "nonce": 0, "chainId": 31337}
    return bytes(Account.sign_transaction(base | fields, "0x" + "01" * 32).raw_transaction)


FEES = {"maxFeePerGas": 2, "maxPriorityFeePerGas": 1}
LEGACY = transaction(gasPrice=1)
UNSIGNED = rlp.encode([b"", b"\x01", b"\x52\x08", bytes.fromhex(OTHER[2:]), b"\x01", b"data", b"\x01", b"", b""])
AUTHORIZATION = b"\x05" + rlp.encode([31337, bytes.fromhex(OTHER[2:]), 0])
TYPED_DATA = {
    "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "Permit": [{"name": "value", "type": "uint256"}]},
    "primaryType": "Permit",
    "domain": {"name": "Token"},
    "message": {"value": 1},
}
PREHASH = encode_typed_data(full_message=TYPED_DATA)
PREHASHED = b"\x19" + PREHASH.version + PREHASH.header + PREHASH.body
DANGEROUS = {
    "legacy": (LEGACY, "transaction", "legacy"),
    "unsigned legacy": (UNSIGNED, "transaction", "9 items"),
    "legacy with a long payload": (transaction(gasPrice=1, data=b"\x7f" * 600), "transaction", "legacy"),
    "EIP-2930": (transaction(gasPrice=1, accessList=[], type=1), "transaction", "EIP-2930"),
    "EIP-1559": (transaction(**FEES), "transaction", "EIP-1559"),
    "EIP-4844": (b"\x03" + rlp.encode([b"\x01"] * 14), "transaction", "EIP-4844"),
    "EIP-7702": (b"\x04" + rlp.encode([b"\x01"] * 10), "transaction", "EIP-7702"),
    "hexadecimal transaction": (b"0x" + transaction(**FEES).hex().encode(), "transaction", "as hexadecimal text"),
    "empty list": (b"\xc0", "transaction", "0 items"),
    "authorization": (AUTHORIZATION, "authorization", "EIP-7702"),
    "hexadecimal authorization": (AUTHORIZATION.hex().upper().encode(), "authorization", "hexadecimal"),
    "prehash": (PREHASHED, "eip191", "0x1901"),
    "hexadecimal prehash": (b"0x" + PREHASHED.hex().encode() + b"\n", "eip191", "0x1901"),
    "prefixed": (b"\x19Ethereum Signed Message:\n36" + UUID, "eip191", "prefixed already"),
    "validator": (b"\x19\x00" + bytes(20) + b"data", "eip191", "0x1900"),
    "typed data": (json.dumps(TYPED_DATA).encode(), "eip712", "primaryType"),
    "typed data with BOM": (b"\xef\xbb\xbf \n" + json.dumps(TYPED_DATA).encode(), "eip712", "primaryType"),
    "digest": (b"\x80" + bytes(31), "digest", "32 bytes"),
    "text of 32 characters": (b"a" * 31 + b"-", "digest", "32 bytes"),
    "hexadecimal digest": (b"ab" * 32, "digest", "as hexadecimal text"),
    "prefixed hexadecimal digest": (b"0x" + b"AB" * 32, "digest", "as hexadecimal text"),
    "spaced hexadecimal digest": (b" 0X" + b"Ab" * 32 + b"\r\n", "digest", "as hexadecimal text"),
    "escape": (b"hello \x1b[2J", "characters", "U+001B"),
    "carriage return": (MESSAGE.replace("\n", "\r\n").encode(), "characters", "U+000D"),
    "NUL": (UUID + b"\x00", "characters", "U+0000"),
    "C1": ("a\u0085b".encode(), "characters", "U+0085"),
    "right to left": (MESSAGE.replace("Sign in", "Sign\u202e in").encode(), "characters", "RIGHT-TO-LEFT OVERRIDE"),
    "isolate": ("a\u2066b".encode(), "characters", "U+2066"),
    "zero width": (UUID + "\u200b".encode(), "characters", "ZERO WIDTH SPACE"),
    "byte order mark": ("\ufeff".encode() + UUID, "characters", "U+FEFF"),
    "line separator": ("a\u2028b".encode(), "characters", "U+2028"),
    "upper-case UUID": (UUID.upper(), "kind", "36 opaque bytes"),
    "text": (b"Please sign", "kind", "11 opaque bytes"),
    "bytes": (b"\xff\xfe\xfd", "kind", "keccak256 0x"),
}


@pytest.mark.parametrize(("data", "rule", "actual"), DANGEROUS.values(), ids=DANGEROUS.keys())
@pytest.mark.parametrize("expectation", [EXPECTED, CUSTOMER], ids=["account", "customer"])
def test_what_has_another_meaning_is_refused_by_its_own_rule(data, rule, actual, expectation):
    error = refused(data, expectation)
    assert error.message.startswith(f"rule {rule}: expected ")
    assert actual in error.message


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("api.sandbox.offblocks.xyz wants", "api.sandbox.offblocks.xyz.evil.example wants", "eip4361.domain"),
        ("api.sandbox.offblocks.xyz wants", "offblocks.xyz wants", "eip4361.domain"),
        ("api.sandbox.offblocks.xyz wants", "api.sandbox.offblocks.xyz:444 wants", "eip4361.domain"),
        ("api.sandbox.offblocks.xyz wants", "api.sandbox.offblocks.xyz@evil.example wants", "eip4361.domain"),
        ("api.sandbox.offblocks.xyz wants", "API.sandbox.offblocks.xyz wants", "eip4361.domain"),
        ("api.sandbox.offblocks.xyz wants", "http://api.sandbox.offblocks.xyz wants", "eip4361.scheme"),
        ("api.sandbox.offblocks.xyz wants", "api/sandbox.offblocks.xyz wants", "eip4361.domain"),
        ("api.sandbox.offblocks.xyz/v1", "evil.example/api.sandbox.offblocks.xyz", "eip4361.uri"),
        ("api.sandbox.offblocks.xyz/v1", "api.sandbox.offblocks.xyz@evil.example/v1", "eip4361.uri"),
        ("https://api.sandbox.offblocks.xyz/v1", "http://api.sandbox.offblocks.xyz/v1", "eip4361.uri"),
        ("https://api.sandbox.offblocks.xyz/v1", "urn:api.sandbox.offblocks.xyz", "eip4361.uri"),
        ("Version: 1", "Version: 2", "eip4361.version"),
        ("Chain ID: 31337", "Chain ID: 1", "eip4361.chain_id"),
        ("Chain ID: 31337", "Chain ID: 0", "eip4361.chain_id"),
        (ADDRESS, OTHER, "eip4361.address"),
        (ADDRESS, ADDRESS.lower(), "eip4361.address"),
        ("Issued At: 2024-01-12T15:07:17", "Issued At: 2024-01-12T14:09:59", "eip4361.issued_at"),
        ("Issued At: 2024-01-12T15:07:17", "Issued At: 2024-01-12T15:11:00", "eip4361.issued_at"),
        ("Issued At: 2024-01-12T15:07:17", "Issued At: 2034-01-12T15:07:17", "eip4361.issued_at"),
        (
            "Expiration Time: 2024-01-12T16:07:17.358440283Z",
            "Expiration Time: 2024-01-12T15:10:00Z",
            "eip4361.expiration_time",
        ),
        ("Not Before: 2024-01-12T15:07:17", "Not Before: 2024-01-12T15:11:00", "eip4361.not_before"),
        ("- https://api.sandbox.offblocks.xyz/terms", "- urn:recap:eyJhdHQiOnt9fQ", "eip4361.resources"),
        ("- https://api.sandbox.offblocks.xyz/terms", "- https://evil.example/", "eip4361.resources"),
        ("Nonce: 32891756", "Nonce: 1234567", "eip4361.nonce"),
    ],
)
def test_a_message_that_does_not_fit_is_refused_by_its_own_rule(old, new, rule):
    assert old in MESSAGE
    assert refused(MESSAGE.replace(old, new, 1)).message.startswith(f"rule {rule}: expected ")


def test_expected_and_actual_are_shown():
    message = refused(MESSAGE.replace("Chain ID: 31337", "Chain ID: 1")).message
    assert message == "rule eip4361.chain_id: expected chain eip155:31337, got chain eip155:1"


def test_http_is_allowed_on_loopback_only():
    local = MESSAGE.replace("https://api.sandbox.offblocks.xyz", "http://127.0.0.1:8080")
    local = local.replace("api.sandbox.offblocks.xyz wants", "127.0.0.1:8080 wants")
    check(challenge(local), EXPECTED)
    assert refused(local.replace("8080", "8081")).message.startswith("rule eip4361.domain")


@pytest.mark.parametrize("data", [UUID, MESSAGE])
def test_a_challenge_that_was_fetched_long_ago_or_in_the_future_is_refused(data):
    def at(**delta):
        return dataclasses.replace(EXPECTED, fetched_at=NOW - timedelta(**delta), max_age=timedelta(minutes=5))

    check(challenge(data), at(minutes=2))
    assert refused(data, at(minutes=6)).message.startswith("rule fetched: expected")
    assert refused(data, at(minutes=-2)).message.startswith("rule fetched: expected")


def test_an_expectation_leaves_nothing_out():
    for field in dataclasses.fields(Expectation):
        given_fields = {name: getattr(EXPECTED, name) for name in EXPECTED.__slots__ if name != field.name}
        with pytest.raises(TypeError, match=field.name):
            Expectation(**given_fields)


@pytest.mark.parametrize(
    "wrong",
    [
        {"account_id": None},
        {"operation": "customer"},
        {"operation": "transfer"},
        {"now": NOW.replace(tzinfo=None)},
        {"fetched_at": NOW.replace(tzinfo=None)},
        {"max_age": timedelta(0)},
        {"clock_skew": timedelta(-1)},
        {"allowed_domains": "api.sandbox.offblocks.xyz"},
        {"allowed_domains": {"api.sandbox.offblocks.xyz"}},
    ],
)
def test_a_senseless_expectation_cannot_be_made(wrong):
    with pytest.raises((ValueError, TypeError)):
        dataclasses.replace(EXPECTED, **wrong)


def test_no_domain_allowed_means_no_message_allowed():
    nothing = dataclasses.replace(EXPECTED, allowed_domains=frozenset())
    assert "no domain is allowed" in refused(MESSAGE, nothing).message


def test_rule_names_are_unique():
    names = [name for name, _ in RULES + SIGN_IN_RULES]
    assert len(set(names)) == len(names)


@given(st.data())
@settings(deadline=None)
def test_a_changed_message_is_refused_or_means_the_same_where_it_matters(data):
    original = MESSAGE.encode()
    start = data.draw(st.integers(0, len(original)))
    end = data.draw(st.integers(start, min(len(original), start + 8)))
    put = data.draw(st.binary(max_size=3) | st.text("0123456789abcdefABCDEF.:/@\n -", max_size=8).map(str.encode))
    changed = challenge(original[:start] + put + original[end:])
    if decide(changed, EXPECTED).allowed:
        message = SignInMessage.parse(changed.decoded)
        assert message.domain in EXPECTED.allowed_domains
        assert message.uri.host == "api.sandbox.offblocks.xyz"
        assert (message.address, message.chain_id.number) == (ADDRESS, 31337)
        assert NOW - timedelta(hours=1) <= message.issued_at.at <= NOW + timedelta(minutes=1)
        assert message.expiration_time is None or message.expiration_time.at > NOW


@given(st.binary(min_size=1, max_size=200))
@settings(deadline=None)
def test_random_bytes_are_never_allowed_and_never_break_the_decision(data):
    assert not decide(challenge(data), EXPECTED).allowed


def test_nested_lists_do_not_break_the_decision():
    for nested in (b"[" * 6000, b'{"types":' * 600, b"\xc0" * 6000):
        assert not decide(challenge(nested), EXPECTED).allowed
    deep = b""
    for _ in range(1500):
        deep = rlp.codec.encode_raw([]) if not deep else _list(deep)
    assert refused(deep).message.startswith("rule kind")


def _list(payload: bytes) -> bytes:
    if len(payload) < 56:
        return bytes((0xC0 + len(payload),)) + payload
    size = len(payload).to_bytes((len(payload).bit_length() + 7) // 8, "big")
    return bytes((0xF7 + len(size),)) + size + payload
