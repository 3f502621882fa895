"""Base64 is read strictly, the bytes are kept, and the kinds are told apart."""

from __future__ import annotations

import base64
import dataclasses

import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.challenge import Challenge, ChallengeKind
from orchestrator.challenge.decode import MAX_ISSUED
from orchestrator.errors import MalformedAnswer

UUID = "5df359f0-d299-40a1-8023-17c77a50144c"


def issue(data: bytes) -> str:
    return base64.b64encode(data).decode()


@given(st.binary(min_size=1, max_size=500))
@settings(deadline=None)
def test_decoding_gives_back_what_was_encoded(data):
    challenge = Challenge.parse(issue(data))
    assert challenge.decoded == data
    assert challenge.issued == issue(data)
    assert challenge.digest == "0x" + keccak(data).hex()


@given(st.binary(min_size=1, max_size=60), st.data())
@settings(deadline=None)
def test_no_other_text_stands_for_the_same_bytes(data, draw):
    text = issue(data)
    position = draw.draw(st.integers(0, len(text)))
    extra = draw.draw(st.text(alphabet="AZaz09+/=-_ \n\t\0é", max_size=2))
    end = draw.draw(st.integers(position, min(len(text), position + 2)))
    changed = text[:position] + extra + text[end:]
    try:
        challenge = Challenge.parse(changed)
    except MalformedAnswer:
        return
    assert issue(challenge.decoded) == changed
    assert (challenge.decoded == data) == (changed == text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("A", "Base64"),
        ("QQ", "Base64"),
        ("QQ=", "Base64"),
        ("QR==", "canonical Base64 'QQ=='"),
        ("QQ==\n", "Base64"),
        (" QQ==", "Base64"),
        ("QQ==QQ==", "Base64"),
        ("_-8=", "Base64"),
        ("é", "Base64"),
        ("A" * (MAX_ISSUED + 4), "at most 8192"),
    ],
)
def test_text_that_is_no_strict_base64_is_refused(text, reason):
    with pytest.raises(MalformedAnswer, match=reason) as caught:
        Challenge.parse(text)
    assert caught.value.code == "challenge_malformed"
    assert caught.value.message.startswith("field challenge: ")
    assert len(caught.value.message) < 300


def test_the_largest_challenge_is_read():
    assert len(Challenge.parse("A" * MAX_ISSUED).decoded) == MAX_ISSUED // 4 * 3


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (UUID.encode(), ChallengeKind.UUID),
        (UUID.upper().encode(), ChallengeKind.OPAQUE),
        (UUID.encode() + b"\n", ChallengeKind.OPAQUE),
        (b" " + UUID.encode(), ChallengeKind.OPAQUE),
        (UUID.replace("-", "").encode(), ChallengeKind.OPAQUE),
        (b"{" + UUID.encode() + b"}", ChallengeKind.OPAQUE),
        (b"urn:uuid:" + UUID.encode(), ChallengeKind.OPAQUE),
        (UUID.replace("5", "\u0665").encode(), ChallengeKind.OPAQUE),
        (b"example.com wants you to sign in with your Ethereum account:\n", ChallengeKind.EIP4361),
        (b"example.com wants you to sign in with your Solana account:\n", ChallengeKind.OPAQUE),
        (b"\n wants you to sign in with your Ethereum account:", ChallengeKind.OPAQUE),
        (b"hello", ChallengeKind.OPAQUE),
    ],
)
def test_kinds_are_told_apart(data, kind):
    assert Challenge.parse(issue(data)).kind is kind


def test_a_challenge_cannot_be_changed():
    challenge = Challenge.parse(issue(b"hello"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        challenge.decoded = b"other"  # type: ignore[misc]
