"""Every byte of a certificate changed or deleted, one at a time: each is noticed."""

from __future__ import annotations

import pytest

from orchestrator.closure.certificate.builder import build_certificate
from orchestrator.closure.certificate.verifier import verify
from tests.profile import FULL

SHARDS = 4
"""Parts of the file's positions, so that processes can share the work."""


def stride(signed: bool) -> int:
    """The full profile changes every byte of the signed one; the unsigned differs in its signature only."""
    if not FULL:
        return 97
    return 1 if signed else 11


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_every_changed_byte_is_noticed(case, signer, signed, shard):
    data = build_certificate(case.evidence, case.verdict, account=case.account, signer=signer if signed else None)
    assert verify(data).valid
    noticed(data, sorted({*range(0, len(data), stride(signed)), *range(len(data) - 6, len(data))})[shard::SHARDS])


def test_every_changed_byte_of_a_stand_alone_one_is_noticed(case):
    data = build_certificate(case.evidence, case.verdict)
    assert verify(data).valid
    noticed(data, range(0, len(data), 97))


def noticed(data: bytes, positions) -> None:
    for position in positions:
        changed = bytearray(data)
        # One bit, another in each place: the next digit, the other case of a letter, a control character.
        changed[position] ^= 1 << (position % 8)
        for hostile in (bytes(changed), data[:position] + data[position + 1 :]):
            report = verify(hostile)
            assert not report.valid, position
            assert report.verdict == "inconclusive", position


def test_every_changed_byte_of_the_signature_is_noticed(case, signer):
    data = build_certificate(case.evidence, case.verdict, account=case.account, signer=signer)
    start, end = data.index(b'"signature"'), data.index(b'"slots"')
    for position in range(start, end):
        changed = bytearray(data)
        changed[position] ^= 0x01
        assert not verify(bytes(changed)).valid, position
        assert not verify(data[:position] + data[position + 1 :]).valid, position


def test_bytes_put_in_between_are_noticed(case):
    data = build_certificate(case.evidence, case.verdict, account=case.account)
    for position in range(0, len(data) + 1, 499):
        for more in (b" ", b"\n", b"0", b"a", b"\x00", "\N{ZERO WIDTH SPACE}".encode()):
            assert not verify(data[:position] + more + data[position:]).valid, (position, more)
    assert not verify(data + data).valid
    assert not verify(b"\xef\xbb\xbf" + data).valid
