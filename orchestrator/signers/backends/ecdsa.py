"""From what a back end gives (r and s, a public key's point) to an Ethereum signature and an address.

A hardware module or a cloud knows no recovery id and no rule of the lower half. Both are found here: ``s`` is put into
the lower half (EIP-2), and the recovery id is the one whose key has the expected address.
"""

from __future__ import annotations

from coincurve import PublicKey

from orchestrator import eip191
from orchestrator.errors import Disposition, KeyUnavailable
from orchestrator.models import Address
from orchestrator.signers.backends import backend


def finish(digest: bytes, r: int, s: int, address: Address, where: str) -> bytes:
    """65 bytes r, s, v (27 or 28, low s) over a digest of 32 bytes, which recover to ``address``.

    ``where`` names the back end in errors. Raises KeyUnavailable, disposition operator: ``key_backend_malformed`` for
    numbers outside of the group, ``signature_mismatch`` if neither recovery id leads to the address. An ``r`` at or
    above the order's distance to the field (chance 2^-127) has no v of 27 or 28, and counts as a mismatch.
    """
    if len(digest) != 32:
        raise AssertionError(f"a digest has 32 bytes, not {len(digest)}")
    for name, number in (("r", r), ("s", s)):
        if not 0 < number < eip191.ORDER:
            raise backend.malformed(
                where, f"{name} from 1 to the order of secp256k1", f"a number of {number.bit_length()} bits outside"
            )
    if s > eip191.ORDER // 2:
        s = eip191.ORDER - s
    compact = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    seen: list[Address] = []
    for recovery_id in (0, 1):
        try:
            key = PublicKey.from_signature_and_message(compact + bytes((recovery_id,)), digest, hasher=None)
        except ValueError:
            continue
        found = eip191.address_of(key)
        if found == address:
            return compact + bytes((27 + recovery_id,))
        seen.append(found)
    raise mismatch(where, address, " or ".join(seen) or "no key at all")


def address_of_point(point: bytes, where: str) -> Address:
    """The address of a public key, 65 bytes (0x04, x, y) or 33 (compressed). Raises KeyUnavailable, operator."""
    expected = "a point of secp256k1, 65 or 33 bytes"
    try:
        return eip191.address_of(PublicKey(point))
    except ValueError:
        pass  # raised below, so that the library's error is not carried along
    raise backend.malformed(where, expected, f"{len(point)} bytes that are none")


def mismatch(where: str, expected: str, actual: str) -> KeyUnavailable:
    """A signature by another key than the one that was asked: it does not leave."""
    return KeyUnavailable(
        f"{where}: the signature does not leave: expected it to recover to {expected}, got {actual}",
        code="signature_mismatch",
        disposition=Disposition.OPERATOR,
    )
