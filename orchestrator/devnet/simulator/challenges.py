"""Challenges: issued, expired, replaced and accepted; and the owner's signature, checked before anything happens.

A subject (customer or account) has at most one open challenge. A deletion challenge is ``committing`` until its hash
stands on the chain: only then is it issued.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import uuid

from orchestrator.process import lazy_py_ecc

from .answers import ApiError
from .clock import NANOSECONDS, iso
from .platform import Call, Platform
from .store import Row

__all__ = [
    "account_text",
    "check_signature",
    "customer_text",
    "expire_all",
    "issue",
    "offer",
    "open_challenge",
    "retire",
    "show",
]

SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}")
# Half of secp256k1's order: OpenZeppelin's ECDSA refuses the upper half (EIP-2).
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def customer_text(platform: Platform, wallet: str) -> bytes:
    """The EIP-4361 message for a customer's wallet (EIP-55 address)."""
    from eth_utils.address import to_checksum_address

    domain = platform.options.domain
    return (
        f"{domain} wants you to sign in with your Ethereum account:\n"
        f"{to_checksum_address(wallet)}\n"
        "\n"
        "I confirm that I own this wallet.\n"
        "\n"
        f"URI: https://{domain}\n"
        "Version: 1\n"
        f"Chain ID: {platform.config.chain_id}\n"
        f"Nonce: {secrets.token_hex(8)}\n"
        f"Issued At: {platform.clock.iso()}"
    ).encode()


def account_text() -> bytes:
    """A bare UUID: the session key that an account's owner signs."""
    return str(uuid.uuid4()).encode()


def issue(platform: Platform, subject: str, purpose: str, text: bytes, *, state: str = "current") -> Row:
    """A new open challenge. Inside a transaction; an older open one must have been retired."""
    now = platform.clock.ns()
    identifier = str(uuid.uuid4())
    platform.store.insert(
        "challenges",
        id=identifier,
        subject=subject,
        purpose=purpose,
        text=text,
        base64=base64.b64encode(text).decode(),
        issued_ns=now,
        expires_ns=now + int(platform.options.challenge_lifetime * NANOSECONDS),
        state=state,
    )
    row = platform.store.one("SELECT * FROM challenges WHERE id = ?", identifier)
    if row is None:
        raise AssertionError("the challenge was just inserted")
    return row


def offer(platform: Platform, challenge_id: str) -> None:
    """A committed challenge is issued now: its hour begins. Inside a transaction."""
    now = platform.clock.ns()
    platform.store.write(
        "UPDATE challenges SET state = 'current', issued_ns = ?, expires_ns = ? WHERE id = ? AND state = 'committing'",
        now,
        now + int(platform.options.challenge_lifetime * NANOSECONDS),
        challenge_id,
    )


def show(platform: Platform, row: Row) -> None:
    """The challenge goes out in an answer: the next GET invalidates it. Inside a transaction."""
    platform.store.write("UPDATE challenges SET shown = 1 WHERE id = ?", row["id"])


def retire(platform: Platform, subject: str, state: str) -> None:
    """Ends the subject's open challenge as ``state``. Inside a transaction."""
    platform.store.write(
        "UPDATE challenges SET state = ? WHERE subject = ? AND state IN ('committing', 'current')", state, subject
    )


def open_challenge(platform: Platform, subject: str) -> Row | None:
    return platform.store.one(
        "SELECT * FROM challenges WHERE subject = ? AND state IN ('committing', 'current')", subject
    )


def expired(platform: Platform, row: Row) -> bool:
    return bool(row["state"] == "current" and platform.clock.ns() > row["expires_ns"])


def expire_all(platform: Platform) -> int:
    """Ends the hour of every challenge now. Inside a transaction. Returns their number."""
    return platform.store.write("UPDATE challenges SET expires_ns = 0 WHERE state = 'current'")


def fields(platform: Platform, row: Row | None) -> dict[str, str]:
    """The members that an answer carries for an issued challenge; none for one that is not issued."""
    if row is None or row["state"] != "current":
        return {}
    value = {"challenge": str(row["base64"])}
    if platform.options.include_expiry:
        value["expiresAt"] = iso(row["expires_ns"])
    return value


def _decode_signature(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "signature_malformed", "signature: expected Base64 of 0x and 130 hex digits") from error
    if not SIGNATURE.fullmatch(decoded):
        raise ApiError(400, "signature_malformed", "signature: expected Base64 of 0x and 130 hex digits")
    return bytes.fromhex(decoded[2:])


def _signer(text: bytes, signature: bytes) -> str | None:
    """The address that signed ``text`` (EIP-191 personal message), lower-case, by the rules of the chain's verifier."""
    with lazy_py_ecc():
        from eth_account import Account
        from eth_account.messages import encode_defunct
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    if signature[64] not in (27, 28) or int.from_bytes(signature[32:64]) > HALF_ORDER:
        return None
    try:
        return str(Account.recover_message(encode_defunct(text), signature=signature)).lower()
    except (BadSignature, ValidationError, ValueError):
        return None


def check_signature(
    platform: Platform, call: Call, subject: str, wallet_account: str, body: dict[str, str]
) -> tuple[Row | None, bytes | ApiError]:
    """The subject's open challenge, and the 65 bytes of a signature of it that holds, or the refusal. Changes nothing.

    ``wallet_account`` is the customer's CAIP-10 account. A refusal ``challenge_expired`` or ``signature_invalid`` uses
    the challenge up: the caller issues a new one.
    """
    row = open_challenge(platform, subject)
    return row, _checked(platform, call, subject, row, wallet_account, body)


def _checked(
    platform: Platform, call: Call, subject: str, row: Row | None, wallet_account: str, body: dict[str, str]
) -> bytes | ApiError:
    signature = _decode_signature(body["signature"])
    for name in ("ownerId", "chainId"):
        if name in body and body[name].lower() != wallet_account.lower():
            return ApiError(
                400, "signer_mismatch", f"{name}: expected the customer's wallet {wallet_account}, got {body[name]}"
            )
    signed = "SELECT 1 FROM challenges WHERE subject = ? AND base64 = ? AND state = 'accepted'"
    if platform.store.one(signed, subject, body["challenge"]) is not None:
        return ApiError(409, "challenge_already_signed", "challenge already signed")
    if row is None or row["state"] != "current" or body["challenge"] != row["base64"]:
        return ApiError(400, "challenge_mismatch", "challenge: this is not the current challenge, byte for byte")
    if expired(platform, row):
        return ApiError(400, "challenge_expired", "the challenge has expired; a new one has been issued")
    if call.fault("refuse_signature") is not None:
        return ApiError(400, "signature_invalid", "the signature was refused; a new challenge has been issued")
    owner = wallet_account.rpartition(":")[2].lower()
    signer = _signer(bytes(row["text"]), signature)
    if signer != owner and platform.options.verify_owner_signatures:
        return ApiError(
            400,
            "signature_invalid",
            f"the signature is not {owner}'s (it recovers to {signer or 'nothing'}); a new challenge has been issued",
        )
    return signature


def record(
    platform: Platform, row: Row | None, body: dict[str, str], checked: bytes | ApiError, *, subject: str
) -> None:
    """Writes a submitted signature down, accepted or refused. Inside a transaction."""
    refusal = checked if isinstance(checked, ApiError) else None
    platform.store.insert(
        "signatures",
        subject=subject,
        purpose="none" if row is None else row["purpose"],
        challenge_id="" if row is None else row["id"],
        signer=body.get("ownerId") or body["chainId"],
        signature=body["signature"],
        accepted=int(refusal is None),
        code=None if refusal is None else refusal.code,
        received_at=platform.clock.iso(),
    )
    if refusal is None and row is not None:
        platform.store.write("UPDATE challenges SET state = 'accepted' WHERE id = ?", row["id"])


def uses_up(refusal: ApiError) -> bool:
    """Whether a refusal ends the challenge, so that a new one is issued."""
    return refusal.code in {"challenge_expired", "signature_invalid"}
