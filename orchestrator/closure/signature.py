"""EIP-191 personal messages: who signed these bytes. Pure; for the certificate's verifier."""

from __future__ import annotations

from eth_hash.auto import keccak

from orchestrator.models import Address, checksum

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""EIP-2: a signature with a greater ``s`` is the malleable twin of another."""


def recover_signer(message: bytes, signature: bytes) -> Address:
    """The address whose key signed ``message`` as an EIP-191 personal message (version 0x45).

    ``signature`` is 65 bytes r, s, v with v 27 or 28 and a low s. Raises ValueError that says what is wrong with it.
    """
    from coincurve import PublicKey

    if len(signature) != 65 or signature[64] not in (27, 28):
        raise ValueError("a signature is 65 bytes that end in 27 or 28")
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise ValueError("the signature's s is in the upper half of the curve's order (EIP-2)")
    digest = keccak(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
    except Exception as error:  # coincurve raises a plain Exception for a point that is not on the curve
        raise ValueError("no key can have made the signature") from error
    return checksum(keccak(key.format(compressed=False)[1:])[12:].hex())
