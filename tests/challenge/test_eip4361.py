"""EIP-4361 messages: what the grammar allows is read, each thing that it does not has its cause."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.challenge import Eip4361Cause, Eip4361Error, SignInMessage
from orchestrator.models import checksum

ADDRESSES = json.loads((Path(__file__).parent / "vectors" / "eip55.json").read_text())["addresses"]
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
DOCUMENTED = f"""api.sandbox.offblocks.xyz wants you to sign in with your Ethereum account:
{ADDRESS}

I accept the terms: https://offblocks.xyz/terms

URI: https://api.sandbox.offblocks.xyz
Version: 1
Chain ID: 300
Nonce: 32891756
Issued At: 2024-01-12T15:07:17.358440283Z"""
FULL = (
    DOCUMENTED
    + """
Expiration Time: 2024-01-12T17:07:17+01:00
Not Before: 2024-01-12T15:00:00z
Request ID: 5df359f0%20a@b:c
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json?a=b#c
- urn:isbn:0451450523"""
)


def written(v) -> str:
    """The grammar once more, by hand: not by the code under test."""
    text = "" if v["scheme"] is None else v["scheme"] + "://"
    text += f"{v['domain']} wants you to sign in with your Ethereum account:\n{v['address']}\n\n"
    text += "" if v["statement"] is None else v["statement"] + "\n"
    text += (
        f"\nURI: {v['uri']}\nVersion: 1\nChain ID: {v['chain_id']}\nNonce: {v['nonce']}\nIssued At: {v['issued_at']}"
    )
    for label, name in (
        ("Expiration Time", "expiration_time"),
        ("Not Before", "not_before"),
        ("Request ID", "request_id"),
    ):
        text += "" if v[name] is None else f"\n{label}: {v[name]}"
    if v["resources"] is not None:
        text += "\nResources:" + "".join(f"\n- {resource}" for resource in v["resources"])
    return text


def meaning(message: SignInMessage) -> dict:
    def text(value):
        return None if value is None else value.text

    return {
        "scheme": message.scheme,
        "domain": message.domain,
        "address": message.address,
        "statement": message.statement,
        "uri": message.uri.text,
        "chain_id": message.chain_id.number,
        "nonce": message.nonce,
        "issued_at": message.issued_at.text,
        "expiration_time": text(message.expiration_time),
        "not_before": text(message.not_before),
        "request_id": message.request_id,
        "resources": None if message.resources is None else [resource.text for resource in message.resources],
    }


def rewritten(message: SignInMessage) -> bytes:
    return written(meaning(message)).encode()


def test_the_documented_message_is_read():
    message = SignInMessage.parse(DOCUMENTED.encode())
    assert message.scheme is None
    assert message.domain == "api.sandbox.offblocks.xyz"
    assert message.address == ADDRESS
    assert message.statement == "I accept the terms: https://offblocks.xyz/terms"
    assert (message.uri.scheme, message.uri.authority, message.uri.host) == (
        "https",
        *["api.sandbox.offblocks.xyz"] * 2,
    )
    assert message.chain_id.number == 300
    assert message.nonce == "32891756"
    assert message.issued_at.text == "2024-01-12T15:07:17.358440283Z"
    assert message.issued_at.at == datetime(2024, 1, 12, 15, 7, 17, 358440, UTC)
    assert message.expiration_time is message.not_before is message.request_id is message.resources is None
    assert message.original == rewritten(message) == DOCUMENTED.encode()


def test_all_fields_are_read():
    message = SignInMessage.parse(FULL.encode())
    assert message.expiration_time is not None
    assert message.expiration_time.at == datetime(2024, 1, 12, 16, 7, 17, tzinfo=UTC)
    assert message.not_before is not None
    assert message.request_id == "5df359f0%20a@b:c"
    assert message.resources is not None
    assert [resource.scheme for resource in message.resources] == ["ipfs", "https", "urn"]
    assert message.resources[2].authority is None
    assert rewritten(message) == FULL.encode()


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_of_eip55_are_read_and_their_miscased_forms_are_not(address):
    assert SignInMessage.parse(DOCUMENTED.replace(ADDRESS, address).encode()).address == address
    for other in ("0x" + address[2:].swapcase(), address.lower(), "0X" + address[2:]):
        if other != address:
            with pytest.raises(Eip4361Error) as caught:
                SignInMessage.parse(DOCUMENTED.replace(ADDRESS, other).encode())
            assert caught.value.cause is Eip4361Cause.ADDRESS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\nI accept the terms: https://offblocks.xyz/terms\n", "\n"),
        ("api.sandbox.offblocks.xyz wants", "https://api.sandbox.offblocks.xyz wants"),
        ("api.sandbox.offblocks.xyz wants", "user@[2001:db8::1]:8080 wants"),
        ("URI: https://api.sandbox.offblocks.xyz", "URI: did:key:z6Mk"),
        ("URI: https://api.sandbox.offblocks.xyz", "URI: http://127.0.0.1:8080/a;b/c%20?d=e/f#g?"),
        ("Chain ID: 300", "Chain ID: 0"),
        ("Issued At: 2024-01-12T15:07:17.358440283Z", "Issued At: 2024-02-29t23:59:59-23:59"),
        ("2024-01-12T15:07:17.358440283Z", "2024-01-12T15:07:17.358440283Z\nResources:"),
        ("2024-01-12T15:07:17.358440283Z", "2024-01-12T15:07:17.358440283Z\nRequest ID: "),
    ],
)
def test_what_the_grammar_allows_is_read(old, new):
    assert old in DOCUMENTED
    text = DOCUMENTED.replace(old, new)
    assert rewritten(SignInMessage.parse(text.encode())) == text.encode()


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("terms:", "t\u00e9rms:", "encoding"),
        (" wants you to sign in", " wants You to sign in", "first_line"),
        ("api.sandbox.offblocks.xyz wants", "1ttps://api.sandbox.offblocks.xyz wants", "scheme"),
        ("api.sandbox.offblocks.xyz wants", "://api.sandbox.offblocks.xyz wants", "scheme"),
        ("api.sandbox.offblocks.xyz wants", " wants", "domain"),
        ("api.sandbox.offblocks.xyz wants", "api.offblocks.xyz/path wants", "domain"),
        ("api.sandbox.offblocks.xyz wants", "api offblocks.xyz wants", "domain"),
        ("api.sandbox.offblocks.xyz wants", "api.offblocks.xyz:80a wants", "domain"),
        ("api.sandbox.offblocks.xyz wants", "user@ wants", "domain"),
        ("api.sandbox.offblocks.xyz wants", "api%zz wants", "domain"),
        (ADDRESS, ADDRESS[:-1], "address"),
        (ADDRESS, ADDRESS + " ", "address"),
        (ADDRESS, ADDRESS[2:], "address"),
        (f"{ADDRESS}\n\n", f"{ADDRESS}\n", "layout"),
        ("I accept the terms", 'I "accept" the terms', "statement"),
        ("I accept the terms", "I accept\tthe terms", "statement"),
        ("I accept the terms", "I accept\nthe terms", "layout"),
        ("I accept the terms", "I accept\r\nthe terms", "statement"),
        ("terms\n\nURI", "terms\nURI", "layout"),
        ("URI: https://api.sandbox.offblocks.xyz", "URI: api.sandbox.offblocks.xyz", "uri"),
        ("URI: https://api.sandbox.offblocks.xyz", "URI: https://api.sandbox.offblocks.xyz/a b", "uri"),
        ("URI: https://api.sandbox.offblocks.xyz", "URI: https://a%2/", "uri"),
        ("URI: https://api.sandbox.offblocks.xyz", "URI: https://a\\@b/", "uri"),
        ("URI: https://api.sandbox.offblocks.xyz\n", "", "uri"),
        ("URI: ", "uri: ", "uri"),
        ("URI: ", "URI:  ", "uri"),
        ("Version: 1", "Version: 2", "version"),
        ("Version: 1", "Version: 1 ", "version"),
        ("Version: 1\n", "", "version"),
        ("Chain ID: 300", "Chain ID: 0300", "chain_id"),
        ("Chain ID: 300", "Chain ID: 0x12c", "chain_id"),
        ("Chain ID: 300", "Chain ID: -1", "chain_id"),
        ("Chain ID: 300", "Chain ID: ", "chain_id"),
        ("Chain ID: 300", "Chain ID: " + "9" * 5000, "chain_id"),
        ("Chain ID: 300\n", "", "chain_id"),
        ("Nonce: 32891756", "Nonce: 3289175", "nonce"),
        ("Nonce: 32891756", "Nonce: 3289175-", "nonce"),
        ("Nonce: 32891756\n", "", "nonce"),
        ("2024-01-12T15:07:17.358440283Z", "2024-01-12T15:07:17.Z", "issued_at"),
        ("2024-01-12T15:07:17.358440283Z", "2024-01-12T15:07:17", "issued_at"),
        ("2024-01-12T15:07:17.358440283Z", "2024-01-12 15:07:17Z", "issued_at"),
        ("2024-01-12T15:07:17.358440283Z", "2024-02-30T15:07:17Z", "issued_at"),
        ("2024-01-12T15:07:17.358440283Z", "2024-01-12T24:07:17Z", "issued_at"),
        ("2024-01-12T15:07:17.358440283Z", "2024-01-12T15:07:60Z", "issued_at"),
        ("2024-01-12T15:07:17.358440283Z", "2024-01-12T15:07:17+24:00", "issued_at"),
        ("2024-01-12T15:07:17.358440283Z", "2024-01-12T15:07:17+0100", "issued_at"),
        ("2024-01-12T15:07:17.358440283Z", "0000-01-12T15:07:17Z", "issued_at"),
        ("2024-01-12T15:07:17.358440283Z", "0001-01-01T00:00:00+23:59", "issued_at"),
        ("2024-01-12T15:07:17.358440283Z", "9999-12-31T23:59:59-23:59", "issued_at"),
        ("2024-01-12T17:07:17+01:00", "never", "expiration_time"),
        ("2024-01-12T15:00:00z", "soon", "not_before"),
        ("Not Before: 2024-01-12T15:00:00z", "not before: 2024-01-12T15:00:00z", "layout"),
        ("Request ID: 5df359f0%20a@b:c", "Request ID: a/b", "request_id"),
        ("Request ID: 5df359f0%20a@b:c", "Request ID: %2", "request_id"),
        ("- urn:isbn:0451450523", "- no uri", "resources"),
        ("- urn:isbn:0451450523", "urn:isbn:0451450523", "layout"),
        ("- urn:isbn:0451450523", "- urn:isbn:0451450523\n", "layout"),
        ("- urn:isbn:0451450523", "- urn:isbn:0451450523\nChain ID: 1", "layout"),
    ],
)
def test_each_thing_outside_of_the_grammar_has_its_cause(old, new, cause):
    assert old in FULL
    with pytest.raises(Eip4361Error) as caught:
        SignInMessage.parse(FULL.replace(old, new, 1).encode())
    error = caught.value
    assert error.cause == cause
    assert error.message == f"EIP-4361 {cause}: expected {error.expected}, got {error.actual}"
    assert error.message.isascii()
    assert error.message.isprintable()
    assert len(error.message) < 400


def test_optional_fields_out_of_order_or_twice_are_refused():
    for extra in (
        "Not Before: 2024-01-12T15:00:00Z\nExpiration Time: 2024-01-12T17:00:00Z",
        "Not Before: 2024-01-12T15:00:00Z\nNot Before: 2024-01-12T15:00:00Z",
        "Resources:\nRequest ID: a",
    ):
        with pytest.raises(Eip4361Error) as caught:
            SignInMessage.parse(f"{DOCUMENTED}\n{extra}".encode())
        assert caught.value.cause is Eip4361Cause.LAYOUT


def test_every_truncation_is_refused_or_a_message_of_its_own():
    for length in range(len(FULL)):
        try:
            message = SignInMessage.parse(FULL[:length].encode())
        except Eip4361Error:
            continue
        assert rewritten(message) == FULL[:length].encode()
        assert length >= len(DOCUMENTED) - len(".358440283Z")


# --- laws -----------------------------------------------------------------------------------------------------------

PCHAR = "abzAZ09-._~!$&'()*+,;=:@"
HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5}){0,3}(:[0-9]{1,5})?", fullmatch=True)
SCHEMES = st.from_regex(r"[a-z][a-z0-9+.-]{0,8}", fullmatch=True)
PATHS = st.text(alphabet=PCHAR + "/", max_size=20)
URIS = st.builds(
    lambda scheme, host, path, query: f"{scheme}://{host}{'/' + path if path else ''}{query}",
    SCHEMES,
    HOSTS,
    PATHS,
    st.sampled_from(["", "?", "?a=b", "#c", "?a#%41"]),
)
MOMENTS = st.builds(
    lambda at, fraction, zone: at.replace(tzinfo=zone).isoformat().replace("+00:00", "Z").replace("Z", f"{fraction}Z"),
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0)),
    st.sampled_from(["", ".1", ".123456", ".123456789"]),
    st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-5, minutes=-30))]),
)
ACCOUNTS = st.binary(min_size=20, max_size=20).map(lambda data: checksum(data.hex()))


@st.composite
def values(draw):
    return {
        "scheme": draw(st.none() | SCHEMES),
        "domain": draw(HOSTS),
        "address": draw(ACCOUNTS),
        "statement": draw(st.none() | st.text(alphabet=PCHAR + "/?#[] ", min_size=1, max_size=60)),
        "uri": draw(URIS),
        "chain_id": draw(st.integers(0, 2**64)),
        "nonce": draw(st.from_regex(r"[A-Za-z0-9]{8,20}", fullmatch=True)),
        "issued_at": draw(MOMENTS),
        "expiration_time": draw(st.none() | MOMENTS),
        "not_before": draw(st.none() | MOMENTS),
        "request_id": draw(st.none() | st.text(alphabet=PCHAR, max_size=20)),
        "resources": draw(st.none() | st.lists(URIS, max_size=3)),
    }


@given(values())
@settings(deadline=None)
def test_what_is_written_is_read_with_the_same_meaning(v):
    message = SignInMessage.parse(written(v).encode())
    assert meaning(message) == v
    assert message.original == written(v).encode()


@given(values(), st.data())
@settings(deadline=None)
def test_a_changed_message_is_refused_or_says_exactly_what_its_bytes_say(v, data):
    original = written(v).encode()
    start = data.draw(st.integers(0, len(original)))
    end = data.draw(st.integers(start, min(len(original), start + 30)))
    labels = [b"\n", b"\r", b"\n\n", b"\nChain ID: 1", b"\nURI: https://evil.example", b" ", b"\xe2\x80\xae", b"\x00"]
    put = data.draw(st.sampled_from([b"", original[start:end] * 2, *labels]) | st.binary(max_size=4))
    changed = original[:start] + put + original[end:]
    assume(changed != original)
    try:
        message = SignInMessage.parse(changed)
    except Eip4361Error:
        return
    assert written(meaning(message)).encode() == changed
    assert meaning(message) != v


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_bytes_are_read_or_refused(data):
    try:
        message = SignInMessage.parse(data)
    except Eip4361Error:
        return
    assert rewritten(message) == data
