"""From r and s to an Ethereum signature: low s, the recovery id, and nothing of another key."""

from __future__ import annotations

import pytest
from coincurve import PrivateKey
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import eip191
from orchestrator.errors import Disposition, KeyUnavailable
from orchestrator.signers.backends import ecdsa

KEYS = st.integers(1, eip191.ORDER - 1).map(lambda number: PrivateKey(number.to_bytes(32, "big")))


def parts(key: PrivateKey, digest: bytes) -> tuple[int, int]:
    signature = key.sign_recoverable(digest, hasher=None)
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")


@given(key=KEYS, message=st.binary(max_size=100), high=st.booleans())
def test_a_high_and_a_low_s_come_to_the_same_signature(key, message, high):
    digest, address = eip191.personal_hash(message), eip191.address_of(key.public_key)
    r, s = parts(key, digest)
    signature = ecdsa.finish(digest, r, eip191.ORDER - s if high else s, address, "test")
    assert signature == eip191.sign(key, message)
    eip191.require(message, signature, address)


def test_eth_account_recovers_the_same_address():
    from eth_account.messages import encode_defunct

    key = PrivateKey(b"\x07" * 32)
    address = eip191.address_of(key.public_key)
    for number in range(20):
        message = b"message %d" % number
        signature = ecdsa.finish(
            eip191.personal_hash(message), *parts(key, eip191.personal_hash(message)), address, "test"
        )
        assert Account.recover_message(encode_defunct(message), signature=signature) == address


def test_a_signature_of_another_key_or_digest_does_not_leave():
    key, other, digest = PrivateKey(b"\x01" * 32), PrivateKey(b"\x02" * 32), b"\x05" * 32
    address = eip191.address_of(key.public_key)
    for r, s in (parts(other, digest), parts(key, b"\x06" * 32), (1, 1), (5, 5)):
        with pytest.raises(KeyUnavailable, match=f"test: the signature does not leave.*{address}") as caught:
            ecdsa.finish(digest, r, s, address, "test")
        assert (caught.value.code, caught.value.disposition) == ("signature_mismatch", Disposition.OPERATOR)


@pytest.mark.parametrize(
    ("r", "s"), [(0, 1), (1, 0), (eip191.ORDER, 1), (1, eip191.ORDER), (-1, 1), (1, -5), (2**300, 1)]
)
def test_numbers_outside_of_the_group_are_malformed(r, s):
    with pytest.raises(KeyUnavailable, match="order of secp256k1") as caught:
        ecdsa.finish(b"\x05" * 32, r, s, eip191.address_of(PrivateKey(b"\x01" * 32).public_key), "test")
    assert (caught.value.code, caught.value.disposition) == ("key_backend_malformed", Disposition.OPERATOR)


def test_a_point_has_one_address_in_either_form():
    key = PrivateKey(b"\x01" * 32)
    for compressed in (False, True):
        point = key.public_key.format(compressed=compressed)
        assert ecdsa.address_of_point(point, "test") == Account.from_key(key.secret).address
    for point in (b"", b"\x04" + b"\x01" * 64, b"\x02" + b"\xff" * 32, key.public_key.format(compressed=False)[1:]):
        with pytest.raises(KeyUnavailable, match="test: expected a point") as caught:
            ecdsa.address_of_point(point, "test")
        assert caught.value.code == "key_backend_malformed"
        assert caught.value.__context__ is None
