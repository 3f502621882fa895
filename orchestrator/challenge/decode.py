"""A challenge as issued: the Base64 text, the exact bytes in it, and which kind of text they are."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum

from eth_hash.auto import keccak

from orchestrator.challenge import eip4361
from orchestrator.errors import MalformedAnswer

MAX_ISSUED = 8 * 1024
"""The longest Base64 text that is read, in characters. A sign-in message is well under 1,000."""

_PEM_ARMOUR = b"-----BEGIN PUBLIC KEY-----"
_PEM = re.compile(_PEM_ARMOUR + rb"\n((?:[A-Za-z0-9+/=]{64}\n)*[A-Za-z0-9+/=]{1,64}\n)-----END PUBLIC KEY-----\n?")
"""In full lines of 64 characters, as RFC 7468 has them written. Else one key could be written in many lengths, and the
length that a policy allows would say nothing of the key."""
_HEX_KEY = re.compile(rb"0x[0-9A-Fa-f]{64}")
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class ChallengeKind(StrEnum):
    """What a challenge's bytes are."""

    EIP4361 = "eip4361"
    """Announces itself as a Sign-In with Ethereum message in its first line. It may still break the grammar."""
    UUID = "uuid"
    """Exactly one canonical lower-case UUID, 36 characters, and nothing else."""
    SESSION_KEY = "session_key"
    """Exactly a public key in PEM, as RFC 7468 writes it, or ``0x`` and 64 hexadecimal digits, and nothing else."""
    OPAQUE = "opaque"
    """Anything else."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge, made by ``Challenge.parse``.

    ``issued`` is the platform's Base64 text, which goes back to it byte for byte; ``decoded`` is what is signed.
    """

    issued: str
    decoded: bytes = field(repr=False)
    kind: ChallengeKind

    @property
    def digest(self) -> str:
        """keccak256 of the decoded bytes, 0x and 64 lower-case hex digits: what the chain's commitment is made of."""
        return "0x" + keccak(self.decoded).hex()

    @classmethod
    def parse(cls, issued: str) -> Challenge:
        """Base64 of RFC 4648 section 4, canonical: padded, no white space, no stray bits; 1 to 8,192 characters.

        Raises MalformedAnswer (code ``challenge_malformed``).
        """
        if not issued:
            raise _malformed("expected Base64 text, got an empty challenge")
        if len(issued) > MAX_ISSUED:
            raise _malformed(f"expected at most {MAX_ISSUED} characters of Base64, got {len(issued)}")
        try:
            decoded = base64.b64decode(issued, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _malformed(f"expected Base64 (RFC 4648, with padding), got {_excerpt(issued)}: {error}") from None
        canonical = base64.b64encode(decoded).decode("ascii")
        if canonical != issued:
            # Two texts for the same bytes would make "the challenge that was issued" ambiguous.
            raise _malformed(f"expected canonical Base64 {_excerpt(canonical)}, got {_excerpt(issued)}")
        return cls(issued=issued, decoded=decoded, kind=_kind(decoded))


def _kind(decoded: bytes) -> ChallengeKind:
    if _UUID.fullmatch(decoded):
        return ChallengeKind.UUID
    if _is_session_key(decoded):
        return ChallengeKind.SESSION_KEY
    if eip4361.announces_itself(decoded):
        return ChallengeKind.EIP4361
    return ChallengeKind.OPAQUE


def session_key_form(decoded: bytes) -> str:
    """What a session key is written as, in words."""
    return "a public key in PEM" if decoded.startswith(_PEM_ARMOUR) else "32 bytes in hexadecimal"


def _is_session_key(decoded: bytes) -> bool:
    if _HEX_KEY.fullmatch(decoded):
        return True
    match = _PEM.fullmatch(decoded)
    if match is None:
        return False
    packed = match[1].replace(b"\n", b"")
    try:
        der = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return False
    return base64.b64encode(der) == packed and _is_public_key(der)


def _is_public_key(der: bytes) -> bool:
    """Whether the bytes have the form of a SubjectPublicKeyInfo (RFC 5280, section 4.1), to their end."""
    key, rest = _element(der, 0x30)
    algorithm, bits = _element(key, 0x30)
    value, end = _element(bits, 0x03)
    return bool(algorithm and value) and not rest and not end


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The first DER element's content, and what is after it; two empty texts where it is not of this tag."""
    if len(data) < 2 or data[0] != tag:
        return b"", b""
    width = data[1] - 0x80 if data[1] > 0x80 else 0
    start = 2 + width
    size = int.from_bytes(data[2:start], "big") if width else data[1]
    shortest = width == (0 if size < 0x80 else 1 if size < 0x100 else 2)  # DER has one form of each length
    end = start + size
    return (data[start:end], data[end:]) if shortest and end <= len(data) else (b"", b"")


def _excerpt(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def _malformed(message: str) -> MalformedAnswer:
    return MalformedAnswer(f"field challenge: {message}", code="challenge_malformed")
