"""Whatever has another meaning is refused in every wrapping that some tool takes off, even where opaque bytes are
allowed; and ordinary opaque challenges are not."""

from __future__ import annotations

import base64
import dataclasses
import json
import random

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.challenge import decide
from orchestrator.challenge.decode import MAX_ISSUED
from orchestrator.challenge.forms import MAX_FORMS, forms_of
from orchestrator.policy import ChallengePolicy
from tests.challenge.cases import cases, challenge

PERMISSIVE = dataclasses.replace(
    next(case.expectation for case in cases("honest") if case.name == "message with all fields"),
    policy=ChallengePolicy(kinds=("eip4361", "uuid", "opaque"), opaque_max_bytes=1024),
)
IN_ANY_CONTEXT = {"transaction", "authorization", "eip191", "eip712", "digest", "signature", "abi", "characters"}

numbers = st.integers(0, 2**64)
recipients = st.just(b"") | st.binary(min_size=20, max_size=20)
words = st.binary(min_size=32, max_size=32)
access = st.lists(st.tuples(st.binary(min_size=20, max_size=20), st.lists(words, max_size=2)), max_size=2).map(
    lambda entries: [[address, slots] for address, slots in entries]
)
payloads = st.binary(max_size=80)
gas = st.tuples(numbers, numbers, numbers)
legacy = st.builds(
    lambda fees, to, value, data, tail: rlp.encode([*fees, to, value, data, *tail]),
    gas, recipients, numbers, payloads, st.just([]) | st.tuples(numbers, numbers, numbers).map(list),
)  # fmt: skip
typed = st.builds(
    lambda kind, chain, fees, to, value, data, listed, tail: bytes([kind])
    + rlp.encode([chain, *fees, to, value, data, listed, *tail]),
    st.sampled_from([1, 2, 3, 4]), numbers, gas, recipients, numbers, payloads, access,
    st.lists(numbers, max_size=3),
)  # fmt: skip
authorizations = st.builds(
    lambda chain, to, nonce: b"\x05" + rlp.encode([chain, to, nonce]),
    numbers, st.binary(min_size=20, max_size=20), numbers,
)  # fmt: skip
prehashes = st.builds(lambda domain, message: b"\x19\x01" + domain + message, words, words)
messages = st.binary(max_size=60).map(lambda data: b"\x19Ethereum Signed Message:\n%d" % len(data) + data)
signatures = st.builds(
    lambda r, s, v: r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v]),
    st.integers(1, 2**255), st.integers(1, 2**254), st.sampled_from([0, 1, 27, 28]),
)  # fmt: skip
calls = st.builds(
    lambda selector, to, value: selector + bytes(12) + to + value.to_bytes(32, "big"),
    st.binary(min_size=4, max_size=4), st.binary(min_size=20, max_size=20), numbers,
)  # fmt: skip
dangerous = st.one_of(legacy, typed, authorizations, prehashes, messages, words, signatures, calls)

WRAPPINGS = {
    "0x": lambda data: b"0x" + data.hex().encode(),
    "hexadecimal": lambda data: data.hex().encode(),
    "upper case": lambda data: b"0X" + data.hex().upper().encode(),
    "line feed": lambda data: b"0x" + data.hex().encode() + b"\n",
    "spaces": lambda data: b" " + data.hex(" ").encode() + b" ",
    "colons": lambda data: data.hex(":").encode(),
    "lines": lambda data: b"\n".join(data.hex()[at : at + 60].encode() for at in range(0, 2 * len(data), 60)),
    "Base64": base64.b64encode,
    "Base64 for URLs": base64.urlsafe_b64encode,
    "Base64, no padding": lambda data: base64.b64encode(data).rstrip(b"="),
    "RLP string": rlp.encode,
    "JSON": lambda data: json.dumps({"data": "0x" + data.hex()}).encode(),
    "JSON bytes": lambda data: json.dumps(list(data)).encode(),
    "JSON, Base64": lambda data: json.dumps({"raw": base64.b64encode(data).decode()}).encode(),
    "JSON name": lambda data: json.dumps({"0x" + data.hex(): 1}).encode(),
    "space before": lambda data: b" \n" + data,
    "JSON list": lambda data: json.dumps([["0x" + data.hex()]]).encode(),
}


@given(dangerous)
def test_what_has_another_meaning_is_refused(data):
    decision = decide(challenge(data), PERMISSIVE)
    assert not decision.allowed
    assert decision.rule in IN_ANY_CONTEXT


@pytest.mark.parametrize("wrap", [name for name in WRAPPINGS if name not in ("space before", "RLP string")])
def test_a_digest_of_printable_characters_is_refused_in_every_wrapping(wrap):
    """As characters it could be a word of the text around it; as digits it is a digest like any other."""
    wrapped = WRAPPINGS[wrap](b" " * 32)
    assert not decide(challenge(wrapped), PERMISSIVE).allowed
    assert not decide(challenge(json.dumps({"token": wrapped.decode()}).encode()), PERMISSIVE).allowed
    if wrap in ("0x", "hexadecimal", "upper case"):
        assert not decide(challenge(b"sign " + wrapped + b" now"), PERMISSIVE).allowed


@given(st.one_of(legacy, typed, authorizations, prehashes, words, signatures), st.data())
def test_it_is_refused_in_every_wrapping(data, draw):
    for _ in range(draw.draw(st.integers(1, 2))):
        wrap = WRAPPINGS[draw.draw(st.sampled_from(sorted(WRAPPINGS)))]
        data = wrap(data)
    decision = decide(challenge(data), PERMISSIVE)
    assert not decision.allowed, data
    assert decision.rule in IN_ANY_CONTEXT | {"kind"}


PUNCTUATION = [("sign ", " now"), ("'", "'"), ("(0x", ")"), ("0x0x", "."), ("x'", "'"), ('{"a": 1}\n{"b": ["', '"]}')]


@given(st.one_of(legacy, typed, prehashes, words), st.sampled_from(PUNCTUATION), st.booleans())
def test_it_is_refused_with_text_around_it(data, around, wide):
    """28 bytes and more: shorter is no transaction that pays somebody."""
    digits = data.hex()
    if len(data) < 28:
        return
    shown = "".join(chr(ord(digit) + 0xFEE0) for digit in digits) if wide else digits
    decision = decide(challenge((around[0] + shown + around[1]).encode()), PERMISSIVE)
    assert not decision.allowed
    assert decision.rule in IN_ANY_CONTEXT | {"kind"}


@given(typed, st.binary(min_size=1, max_size=8))
def test_a_transaction_with_something_after_it_is_refused(data, rest):
    assert not decide(challenge(data + rest), PERMISSIVE).allowed


TOKENS = {
    "hexadecimal text of 16 bytes and a prefix": lambda draw: b"session:" + draw.randbytes(16).hex().encode(),
    "letters": lambda draw: "".join(draw.choices("abcdefghijklmnopqrstuvwxyz-_ ", k=40)).encode(),
    "Base64 of 18 bytes": lambda draw: base64.b64encode(draw.randbytes(18)),
    "Base64 of 48 bytes": lambda draw: base64.b64encode(draw.randbytes(48)),
    "16 bytes": lambda draw: draw.randbytes(16),
    "24 bytes": lambda draw: draw.randbytes(24),
    "48 bytes": lambda draw: draw.randbytes(48),
    "128 bytes": lambda draw: draw.randbytes(128),
    "JSON": lambda draw: json.dumps({"session": draw.randbytes(9).hex(), "n": draw.randrange(99)}).encode(),
}


@pytest.mark.parametrize("name", TOKENS)
def test_ordinary_opaque_challenges_are_hardly_ever_taken_for_something_else(name):
    """A refusal by chance costs a new challenge. At most 1 in 100, with numbers that are the same in each run."""
    draw, tries = random.Random(name), 300
    refused = [
        data for data in (TOKENS[name](draw) for _ in range(tries)) if not decide(challenge(data), PERMISSIVE).allowed
    ]
    assert len(refused) <= tries // 100, [decide(challenge(data), PERMISSIVE) for data in refused]


@given(st.binary(max_size=400))
def test_forms_are_bounded_and_begin_with_the_bytes_themselves(data):
    forms = forms_of(data)
    assert len(forms) <= MAX_FORMS
    assert [form.data for form in forms[:1]] == [data][: len(data)]
    assert all(form.data for form in forms)
    assert len({form.data for form in forms}) == len(forms)


@pytest.mark.parametrize(
    "piece", [b"0", b"a", b"[", b'["', b"{", b'{"a":', b"\xc1", b"\xf9\xff", b" ", b"(", b"=", b"\x81", b"-"]
)
def test_long_and_deep_bytes_are_decided_quickly(piece):
    """By counting, not by the clock: what is looked at stays a small multiple of the longest challenge."""
    data = (piece * MAX_ISSUED)[: MAX_ISSUED // 4 * 3]
    assert sum(len(form.data) for form in forms_of(data)) <= 8 * len(data)
    assert not decide(challenge(data), PERMISSIVE).allowed
