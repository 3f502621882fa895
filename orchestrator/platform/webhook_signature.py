"""The signature of a webhook's delivery (RFC 9421).

Every delivery carries one (the platform's published file); what it covers, the platform chooses: all of that is
verified, and nothing more is demanded. Where there is a ``Content-Digest`` (RFC 9530), the signature must cover it and
the body must match. A delivery stays a hint even then.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import http_sf
from cryptography.hazmat.primitives.asymmetric import ec
from http_message_signatures import HTTPSignatureComponentResolver, InvalidSignature
from http_message_signatures.algorithms import ECDSA_P384_SHA384
from http_sf.compat import Item

from orchestrator.errors import OrchestratorError, PlatformRefused
from orchestrator.foreign import shown
from orchestrator.models import canonical_uuid
from orchestrator.platform.subscription import shown_url
from orchestrator.platform.verification_keys import VerificationKeys

__all__ = ["MAX_HEADER_BYTES", "WebhookVerifier"]

MAX_HEADER_BYTES: Final = 16 * 1024
"""Of a delivery: structured fields (RFC 9651) take 2 ms for each KiB."""
_MOST_SIGNATURES: Final = 8
_MOST_COMPONENTS: Final = 32
_LONGEST_URL: Final = 4096
_MOST_BODIES: Final = 10_000
"""Signatures without a digest whose bodies are remembered: more than come within the tolerance."""
_ALGORITHM: Final = "ecdsa-p384-sha384"
_HASHES: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_R_BYTES: Final = 48
"""The half of a signature that knows it again: whoever has (r, s) can write (r, -s), which holds, too."""


@dataclass(frozen=True, slots=True)
class _Signature:
    label: str
    key_id: str
    components: list[tuple[str, dict[str, Any]]]
    parameters: dict[str, Any]
    value: bytes

    def covers_digest(self) -> bool:
        return any(
            name == "content-digest" and given.get("key", "sha-512") in _HASHES for name, given in self.components
        )

    def base(self, message: _Delivery) -> bytes:
        """RFC 9421 section 2.5. Raises whatever a component that is not there, or cannot be signed, raises."""
        resolver: Any = HTTPSignatureComponentResolver(message)  # type: ignore[no-untyped-call]
        lines: dict[str, str] = {}
        for name, given in self.components:
            item = Item(name)
            item.params.update(given)
            identifier, value = str(item), resolver.resolve(item)
            if name != name.lower() or identifier in lines or "\n" in value or "\r" in value:
                raise InvalidSignature(f"component {identifier} is given twice, or cannot be signed")
            lines[identifier] = value
        lines['"@signature-params"'] = _member((self.components, self.parameters))
        return "\n".join(f"{identifier}: {value}" for identifier, value in lines.items()).encode("ascii")


@dataclass(frozen=True, slots=True)
class _Delivery:
    """The library's view of a request."""

    method: str
    url: str
    headers: _Lines


@dataclass(frozen=True, slots=True)
class _Lines:
    """Header lines in their order, repeated names included."""

    lines: tuple[tuple[str, str], ...]

    def items(self) -> Iterable[tuple[str, str]]:
        return self.lines

    def field(self, name: str) -> str | None:
        found = [value.strip(" \t") for key, value in self.lines if key.lower() == name]
        return ", ".join(found) if found else None


@dataclass(frozen=True, slots=True)
class WebhookVerifier:
    """Verifies deliveries. ``created`` may be ``tolerance_seconds`` from ``now`` (unix seconds), to either side. A
    signature that covers no digest is taken with one body only, the first."""

    keys: VerificationKeys
    tolerance_seconds: float
    now: Callable[[], float] = time.time
    _bodies: dict[bytes, tuple[bytes, float]] = field(default_factory=dict, init=False, repr=False)
    """By signature: the hash of its body, and until when (unix seconds) the signature can be taken."""

    async def verify(
        self, method: str, url: str, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes
    ) -> None:
        """Returns where a signature of the platform holds over this method, URL, headers and body.

        ``url`` is the one that the platform called, as it knows it. Raises PlatformRefused, code
        ``webhook_signature_invalid``, status 401; the message shows the URL without its token. Whatever else it raises,
        ``VerificationKeys`` raised: the platform could not be asked for a key.
        """
        lines = tuple(headers.items() if isinstance(headers, Mapping) else headers)
        if sum(len(name) + len(value) for name, value in lines) > MAX_HEADER_BYTES:
            raise _invalid(f"expected headers of at most {MAX_HEADER_BYTES} bytes, got more")
        if len(url) > _LONGEST_URL:
            raise _invalid(f"expected a URL of at most {_LONGEST_URL} characters, got more")
        message = _Delivery(method.upper(), url, _Lines(lines))
        signatures, refusals = self._signatures(message.headers)
        has_digest = _digest_matches(message.headers.field("content-digest"), body)
        for signature in sorted(signatures, key=lambda one: self.keys.known(one.key_id) is None):
            if has_digest and not signature.covers_digest():
                refusals.insert(0, f"{signature.label}: it does not cover content-digest, and the header is there")
                continue
            refusal = await self._refusal(signature, message)
            if refusal is None and not has_digest:
                refusal = self._second_body(signature, body)
            if refusal is None:
                return
            refusals.insert(0, f"{signature.label}: {refusal}")
        raise _invalid("; ".join(refusals[:2]) or "Signature-Input names none")

    def _signatures(self, headers: _Lines) -> tuple[list[_Signature], list[str]]:
        """Those that may be the platform's, and why the others are not."""
        inputs, values = (_dictionary(name, headers.field(name)) for name in ("signature-input", "signature"))
        if len(inputs) > _MOST_SIGNATURES:
            raise _invalid(f"expected at most {_MOST_SIGNATURES} signatures, got {len(inputs)}")
        found, refusals = [], []
        for label, (components, parameters) in inputs.items():
            value = values.get(label, (None, {}))[0]
            try:
                key_id = canonical_uuid(parameters.get("keyid", ""))
            except (ValueError, TypeError, AttributeError):
                key_id = ""
            if not isinstance(components, list) or not isinstance(value, bytes):
                refusals.append(f"{label}: expected components and a signature, got something else")
            elif len(components) > _MOST_COMPONENTS:
                refusals.append(f"{label}: expected at most {_MOST_COMPONENTS} components, got {len(components)}")
            elif not all(isinstance(name, str) for name, _ in components):
                refusals.append(f"{label}: its components are no text")
            elif not key_id:
                refusals.append(f"{label}: expected the id of a key of the platform (a UUID) as keyid")
            elif parameters.get("alg", _ALGORITHM) != _ALGORITHM:
                refusals.append(f"{label}: expected the algorithm {_ALGORITHM}, got another")
            elif (untimely := self._untimely(parameters)) is not None:
                refusals.append(f"{label}: {untimely}")
            else:
                found.append(_Signature(label, key_id, components, parameters, value))
        return found, refusals

    def _untimely(self, parameters: Mapping[str, Any]) -> str | None:
        now, created, expires = self.now(), parameters.get("created"), parameters.get("expires")
        if type(created) is not int:
            return "expected the time of its creation (created, unix seconds)"
        if abs(now - created) > self.tolerance_seconds:
            away = f"{abs(now - created):.0f} s {'ago' if now > created else 'ahead'}"
            return f"created {away}; {self.tolerance_seconds:g} s are tolerated (ORCHESTRATOR_CLOCK_TOLERANCE)"
        if expires is not None and (type(expires) is not int or expires + self.tolerance_seconds < now):
            return "it has expired"
        return None

    async def _refusal(self, signature: _Signature, message: _Delivery) -> str | None:
        """Why a signature is not taken; None if it holds."""
        try:
            base = signature.base(message)
        except Exception as error:  # noqa: BLE001 the bytes are a stranger's: whatever they break, they are refused
            return f"what it covers is not there: {shown(' '.join(str(error).split()))[:200] or type(error).__name__}"
        key = self.keys.known(signature.key_id)
        if key is None or not _holds(key, signature.value, base):
            newer = await self._another(signature.key_id, key)
            if newer is not None and _holds(newer, signature.value, base):
                return None
            if key is None and newer is None:
                return f"the platform has no verification key {signature.key_id}"
            covered = " ".join(name for name, _ in signature.components)
            return f"it does not hold for {message.method} {shown_url(message.url)}; it covers {shown(covered)[:200]}"
        return None

    def _second_body(self, signature: _Signature, body: bytes) -> str | None:
        """Why a signature that holds, and says nothing of the body, is not taken with this one. SIDE EFFECTS: the first
        body is remembered while the signature is young enough."""
        now, hashed = self.now(), hashlib.sha256(body).digest()
        first = signature.value[:_R_BYTES]
        known, _ = self._bodies.get(first, (hashed, 0.0))
        if known != hashed:
            return "it was taken before with another body, and covers no content-digest"
        for old in [one for one, (_, until) in self._bodies.items() if until < now]:
            del self._bodies[old]
        while len(self._bodies) >= _MOST_BODIES:
            del self._bodies[next(iter(self._bodies))]
        self._bodies[first] = hashed, signature.parameters["created"] + self.tolerance_seconds
        return None

    async def _another(
        self, key_id: str, refused: ec.EllipticCurvePublicKey | None
    ) -> ec.EllipticCurvePublicKey | None:
        try:
            return await self.keys.another(key_id, refused)
        except OrchestratorError:
            if refused is None:
                raise
            return None  # under the key that is known it does not hold, whatever the platform would say now


def _holds(key: ec.EllipticCurvePublicKey, value: bytes, base: bytes) -> bool:
    algorithm: Any = ECDSA_P384_SHA384  # untyped in the library
    try:
        algorithm(public_key=key).verify(signature=value, message=base)
    except Exception:  # noqa: BLE001 a signature of another length, or of no numbers at all
        return False
    return True


def _digest_matches(value: str | None, body: bytes) -> bool:
    """Whether there is a digest, and it is the body's. Raises PlatformRefused where it is another's."""
    if value is None:
        return False
    digests = {name: member[0] for name, member in _dictionary("content-digest", value).items() if name in _HASHES}
    if not digests:
        raise _invalid(f"expected a Content-Digest with {' or '.join(_HASHES)}, got others only")
    for name, digest in digests.items():
        if not isinstance(digest, bytes) or not hmac.compare_digest(digest, _HASHES[name](body).digest()):
            raise _invalid(f"the Content-Digest ({name}) is not the body's")
    return True


def _dictionary(name: str, value: str | None) -> dict[str, Any]:
    if value is None:
        raise _invalid(f"expected the header {name.title()}, got none")

    def twice(key: str, context: str) -> None:
        if context == "dictionary":
            raise ValueError(key)

    try:
        parsed = http_sf.parse(value.encode("ascii"), tltype="dictionary", on_duplicate_key=twice)
    except Exception:  # noqa: BLE001 the bytes are a stranger's: whatever they break, they are refused
        parsed = None
    if not isinstance(parsed, dict):
        raise _invalid(f"the header {name.title()} cannot be read (RFC 9651)")
    return parsed


def _member(member: Any) -> str:
    return str(http_sf.ser({"x": member})).removeprefix("x=")


def _invalid(reason: str) -> PlatformRefused:
    return PlatformRefused(
        f"webhook delivery: its signature is refused: {reason}", status=401, code="webhook_signature_invalid"
    )
