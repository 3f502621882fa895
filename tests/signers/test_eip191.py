"""Signatures over personal messages: published vectors, an independent implementation, and the laws of signing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from coincurve import PrivateKey
from eth_account import Account  # on top: importing it changes the recursion limit, which Hypothesis objects to
from eth_account.messages import encode_defunct
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import eip191
from orchestrator.errors import Disposition, SigningError
from orchestrator.models import Address

VECTORS = json.loads((Path(__file__).parent / "vectors" / "eip191.json").read_text("utf-8"))["vectors"]
KEYS = st.integers(1, eip191.ORDER - 1).map(lambda number: PrivateKey(number.to_bytes(32, "big")))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["message"])
def test_published_vectors(vector):
    message, key = vector["message"].encode(), PrivateKey(bytes.fromhex(vector["privateKey"]))
    assert eip191.personal_hash(message).hex() == vector["hash"]
    assert eip191.sign(key, message).hex() == vector["signature"]
    assert eip191.recover(message, bytes.fromhex(vector["signature"])) == vector["address"]
    assert eip191.address_of(key.public_key) == vector["address"]


@given(key=KEYS, message=st.binary(max_size=300))
@settings(deadline=None)
def test_a_signature_recovers_to_its_signer_is_low_and_deterministic(key, message):
    signature = eip191.sign(key, message)
    assert len(signature) == 65
    assert signature[64] in (27, 28)
    assert 0 < int.from_bytes(signature[32:64], "big") <= eip191.ORDER // 2
    assert eip191.recover(message, signature) == eip191.address_of(key.public_key)
    assert eip191.sign(key, message) == signature


@given(key=KEYS, message=st.binary(max_size=100), bit=st.integers(0, 64 * 8 - 1))
@settings(deadline=None)
def test_a_changed_signature_never_recovers_to_the_signer(key, message, bit):
    signature = bytearray(eip191.sign(key, message))
    signature[bit // 8] ^= 1 << bit % 8
    try:
        recovered = eip191.recover(message, bytes(signature))
    except SigningError:
        return
    assert recovered != eip191.address_of(key.public_key)


@given(key=KEYS, message=st.binary(max_size=100))
@settings(deadline=None, max_examples=20)
def test_eth_account_makes_the_same_signature(key, message):
    assert Account.sign_message(encode_defunct(message), key.secret).signature == eip191.sign(key, message)


def test_a_signature_of_another_key_or_message_does_not_leave():
    key, other = PrivateKey(b"\x01" * 32), PrivateKey(b"\x02" * 32)
    address, signature = eip191.address_of(key.public_key), eip191.sign(other, b"message")
    eip191.require(b"message", eip191.sign(key, b"message"), address)
    with pytest.raises(SigningError) as caught:
        eip191.require(b"message", signature, address)
    assert (caught.value.code, caught.value.disposition) == ("signature_mismatch", Disposition.OPERATOR)
    assert address in caught.value.message
    assert eip191.address_of(other.public_key) in caught.value.message
    with pytest.raises(SigningError) as caught:
        eip191.require(b"massage", eip191.sign(key, b"message"), address)
    assert caught.value.code == "signature_mismatch"


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        (b"", "got 0 bytes"),
        (b"\x01" * 66, "got 66 bytes"),
        (b"\x01" * 64 + b"\x00", "v of 0"),
        (b"\x01" * 64 + b"\x1d", "v of 29"),
        (b"\x01" * 32 + b"\xf0" * 32 + b"\x1b", "a high s"),
        (b"\x00" * 64 + b"\x1b", "do not"),
        (b"\xff" * 32 + b"\x01" * 32 + b"\x1b", "do not"),
    ],
)
def test_malformed_signatures_are_refused(signature, text):
    for call in (eip191.recover, lambda *given: eip191.require(*given, Address("0x" + "00" * 20))):
        with pytest.raises(SigningError, match=text) as caught:
            call(b"message", signature)
        assert caught.value.code == "signature_malformed"
