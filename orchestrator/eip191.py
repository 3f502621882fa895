"""EIP-191 personal messages (version 0x45): hash, sign and recover, on secp256k1 by libsecp256k1.

The nonce of a signature is RFC 6979's, so the same key and message give the same bytes; ``s`` is in the lower half
(EIP-2), and ``v`` is 27 or 28.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_hash.auto import keccak

from orchestrator.errors import Disposition, SigningError
from orchestrator.models import Address, checksum

if TYPE_CHECKING:
    from coincurve import PrivateKey, PublicKey

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""The order of secp256k1's group (SEC 2). A private key is 1 to ORDER - 1."""
_V = (b"\x1b", b"\x1c")
"""27 and 28, by recovery id. An id of 2 or 3 (chance 2^-127) has no v and is an IndexError."""


def personal_hash(message: bytes) -> bytes:
    """keccak256 of 0x19, "Ethereum Signed Message:", LF, the length in decimal, and the message."""
    return bytes(keccak(b"\x19Ethereum Signed Message:\n%d" % len(message) + message))


def address_of(public_key: PublicKey) -> Address:
    """The EIP-55 address of a public key."""
    return checksum(keccak(public_key.format(compressed=False)[1:])[12:].hex())


def sign(key: PrivateKey, message: bytes) -> bytes:
    """65 bytes r, s, v (27 or 28) over the personal message. Nothing is compared here: see ``require``."""
    signature = key.sign_recoverable(personal_hash(message), hasher=None)
    return signature[:64] + _V[signature[64]]


def require(message: bytes, signature: bytes, address: Address) -> None:
    """Whoever wants to use a signature calls this first, once: is it ``address``'s, over exactly this message?

    It finds a fault in memory, a key that was swapped behind its name, and a signer that lies. Raises SigningError:
    ``signature_mismatch`` (operator) with both addresses, or ``signature_malformed`` as ``recover``.
    """
    public_key = _recovered(message, signature)
    if keccak(public_key.format(compressed=False)[1:])[12:].hex() != address[2:].lower():
        raise SigningError(
            f"the signature does not leave: expected it to recover to {address}, got {address_of(public_key)}",
            code="signature_mismatch",
            disposition=Disposition.OPERATOR,
        )


def recover(message: bytes, signature: bytes) -> Address:
    """Who signed a personal message. ``signature``: 65 bytes r, s, v with v 27 or 28 and a low s.

    Raises SigningError, code ``signature_malformed``.
    """
    return address_of(_recovered(message, signature))


def _recovered(message: bytes, signature: bytes) -> PublicKey:
    if len(signature) != 65:
        raise _malformed("65 bytes", f"{len(signature)} bytes")
    if signature[64] not in (27, 28):
        raise _malformed("v of 27 or 28", f"v of {signature[64]}")
    if int.from_bytes(signature[32:64], "big") > ORDER // 2:
        raise _malformed("an s in the lower half (EIP-2)", "a high s")
    from coincurve import PublicKey  # here: commands that only read the journal recover nothing

    try:
        return PublicKey.from_signature_and_message(
            signature[:64] + bytes((signature[64] - 27,)), personal_hash(message), hasher=None
        )
    except ValueError:
        raise _malformed("a signature that recovers to a key", "values r and s that do not") from None


def _malformed(expected: str, actual: str) -> SigningError:
    return SigningError(f"signature: expected {expected}, got {actual}", code="signature_malformed")
