"""Verifies HTTP message signatures (RFC 9421) and content digests (RFC 9530), from the RFCs' text alone.

Shares nothing with the client's signing: only ``http_sf`` (structured fields, RFC 9651) and ``cryptography``. The
platform accepts one algorithm, ``ecdsa-p384-sha384``; the curve is a parameter so that the RFC's published vectors,
which use P-256, can be checked against the same code.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

import http_sf
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

__all__ = [
    "P256",
    "P384",
    "Algorithm",
    "Message",
    "SignatureRefused",
    "Verified",
    "content_digest",
    "sign_message",
    "signature_base",
    "verify_content_digest",
    "verify_message",
]


class SignatureRefused(Exception):  # a refusal is this protocol's word for it
    """A signature or digest that is absent, malformed, wrong or out of time. ``code`` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An ECDSA algorithm of RFC 9421 section 3.3: raw ``r || s``, each ``size`` bytes."""

    name: str
    curve: type[ec.EllipticCurve]
    digest: type[hashes.HashAlgorithm]
    size: int

    def verify(self, key: ec.EllipticCurvePublicKey, signature: bytes, base: bytes) -> bool:
        """Whether ``signature`` over ``base`` holds. False as well for another curve's key or a wrong length."""
        if not isinstance(key.curve, self.curve) or len(signature) != 2 * self.size:
            return False
        r, s = (int.from_bytes(part) for part in (signature[: self.size], signature[self.size :]))
        try:
            key.verify(encode_dss_signature(r, s), base, ec.ECDSA(self.digest()))
        except InvalidSignature:
            return False
        return True

    def sign(self, key: ec.EllipticCurvePrivateKey, base: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(base, ec.ECDSA(self.digest())))
        return r.to_bytes(self.size) + s.to_bytes(self.size)


P384 = Algorithm("ecdsa-p384-sha384", ec.SECP384R1, hashes.SHA384, 48)
P256 = Algorithm("ecdsa-p256-sha256", ec.SECP256R1, hashes.SHA256, 32)


@dataclass(frozen=True, slots=True)
class Message:
    """What a signature can cover. Header names are lower-case, in the order received, repeated ones repeated."""

    method: str
    target_uri: str
    headers: Sequence[tuple[str, str]]
    status: int | None = None
    request_line: str | None = None
    """What ``@target-uri`` is to a server that knows its request line only (path and query), as the platform's verifier
    does; None: the whole URI, as the RFC has it."""

    def values(self, name: str) -> list[str]:
        return [value.strip() for header, value in self.headers if header == name]

    def field(self, name: str) -> str | None:
        """The combined field value (RFC 9421 section 2.1), None where the field is absent."""
        values = self.values(name)
        return ", ".join(" ".join(value.splitlines()) for value in values) if values else None


@dataclass(frozen=True, slots=True)
class Verified:
    label: str
    key_id: str
    covered: tuple[str, ...]
    """The plain components, without those that carry parameters."""
    created: int


def _derived(name: str, parameters: dict[str, Any], message: Message) -> str:
    if name == "@status":
        if message.status is None:
            raise SignatureRefused("signature_component", "@status was signed, but a request has no status")
        return str(message.status)
    uri = urlsplit(message.target_uri)
    path = uri.path or "/"
    query = message.target_uri.partition("?")[2].partition("#")[0]
    match name:
        case "@method":
            return message.method
        case "@target-uri":
            return message.target_uri if message.request_line is None else message.request_line
        case "@scheme":
            return uri.scheme.lower()
        case "@authority":
            default = {"http": ":80", "https": ":443"}.get(uri.scheme.lower(), "")
            return uri.netloc.lower().removesuffix(default) if default else uri.netloc.lower()
        case "@path":
            return path
        case "@query":
            return f"?{query}"
        case "@request-target":
            return path + (f"?{query}" if "?" in message.target_uri else "")
        case "@query-param":
            return _query_parameter(parameters.get("name"), query)
    raise SignatureRefused("signature_component", f"the derived component {name} is not known")


def _query_parameter(wanted: object, query: str) -> str:
    def recode(text: str) -> str:
        return quote(unquote_to_bytes(text.replace("+", " ")), safe="*-._")

    if not isinstance(wanted, str):
        raise SignatureRefused("signature_component", '@query-param needs its "name" parameter')
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    values = [recode(value) for name, value in pairs if recode(name) == wanted]
    if len(values) != 1:
        raise SignatureRefused(
            "signature_component", f"@query-param {wanted!r} must occur exactly once, it occurs {len(values)} times"
        )
    return values[0]


def _component(name: str, parameters: dict[str, Any], message: Message) -> str:
    allowed = {"name"} if name == "@query-param" else set() if name.startswith("@") else {"key", "bs"}
    unknown = sorted(set(parameters) - allowed)
    if unknown:
        raise SignatureRefused(
            "signature_component", f"the component {name} carries parameters that are not supported: {unknown}"
        )
    if name.startswith("@"):
        return _derived(name, parameters, message)
    value = message.field(name)
    if value is None or name != name.lower():
        raise SignatureRefused("signature_component", f"{name!r} is signed, but the message does not carry it")
    if parameters.get("bs"):
        return ", ".join(f":{b64encode(part.encode('latin-1')).decode()}:" for part in message.values(name))
    if "key" in parameters:
        members = _dictionary(name, value)
        if parameters["key"] not in members:
            raise SignatureRefused("signature_component", f"{name!r} has no member {parameters['key']!r}")
        member = members[parameters["key"]]
        # An item or an inner list; as a member of a dictionary a true item would be left out.
        return _inner_list(*member) if isinstance(member[0], list) else str(http_sf.ser(member))
    return value


def _dictionary(name: str, value: str) -> dict[str, Any]:
    try:
        parsed = http_sf.parse(value.encode("ascii"), tltype="dictionary")
    except (http_sf.StructuredFieldError, ValueError) as error:
        raise SignatureRefused("signature_malformed", f"{name} is not a structured dictionary: {error}") from error
    if not isinstance(parsed, dict):
        raise SignatureRefused("signature_malformed", f"{name} is not a structured dictionary")
    return parsed


def signature_base(
    components: Sequence[tuple[str, dict[str, Any]]], parameters: dict[str, Any], message: Message
) -> bytes:
    """The signature base of RFC 9421 section 2.5. Raises SignatureRefused for a component that cannot be resolved."""
    lines: list[str] = []
    seen: set[str] = set()
    for name, component_parameters in components:
        if not isinstance(name, str) or name == "@signature-params":
            raise SignatureRefused("signature_malformed", f"{name!r} cannot be a covered component")
        identifier = str(http_sf.ser((name, component_parameters)))
        if identifier in seen:
            raise SignatureRefused("signature_malformed", f"the component {identifier} is covered twice")
        seen.add(identifier)
        lines.append(f"{identifier}: {_component(name, component_parameters, message)}")
    lines.append(f'"@signature-params": {_inner_list(components, parameters)}')
    try:
        return "\n".join(lines).encode("ascii")
    except UnicodeEncodeError as error:
        raise SignatureRefused("signature_malformed", "a covered component is not ASCII") from error


def _inner_list(components: Sequence[tuple[str, dict[str, Any]]], parameters: dict[str, Any]) -> str:
    member: Any = (list(components), parameters)
    return str(http_sf.ser({"x": member})).removeprefix("x=")


def verify_message(
    message: Message,
    *,
    key_for: Callable[[str], ec.EllipticCurvePublicKey | None],
    now: float,
    required: Collection[str],
    algorithm: Algorithm = P384,
) -> Verified:
    """Verifies the signature of ``message``; the first label that holds decides, the last refusal is raised.

    ``required`` components must be covered without parameters. By the rule of the platform's verifier ``created`` must
    be there and not be ahead of ``now``, in whole seconds and without tolerance, and ``expires``, where given, must not
    have passed; nothing else ages. Raises SignatureRefused.
    """
    inputs, values = message.field("signature-input"), message.field("signature")
    if inputs is None or values is None:
        raise SignatureRefused("signature_missing", "the request needs the headers Signature and Signature-Input")
    parsed_inputs, parsed_values = _dictionary("signature-input", inputs), _dictionary("signature", values)
    refusal = SignatureRefused("signature_missing", "no label stands in both Signature and Signature-Input")
    for label, member in parsed_inputs.items():
        if label not in parsed_values:
            continue
        try:
            return _verify_one(label, member, parsed_values[label], message, key_for, int(now), required, algorithm)
        except SignatureRefused as error:
            refusal = error
    raise refusal


def _verify_one(
    label: str,
    member: tuple[Any, dict[str, Any]],
    value: tuple[Any, dict[str, Any]],
    message: Message,
    key_for: Callable[[str], ec.EllipticCurvePublicKey | None],
    now: int,
    required: Collection[str],
    algorithm: Algorithm,
) -> Verified:
    components, parameters = member
    signature = value[0]
    if not isinstance(components, list) or not isinstance(signature, bytes):
        raise SignatureRefused("signature_malformed", f"{label}: expected an inner list and a byte sequence")
    created, key_id = parameters.get("created"), parameters.get("keyid")
    if parameters.get("alg", algorithm.name) != algorithm.name:
        raise SignatureRefused(
            "signature_algorithm", f"{label}: expected the algorithm {algorithm.name}, got {parameters['alg']}"
        )
    if not isinstance(created, int) or isinstance(created, bool):
        raise SignatureRefused("signature_malformed", f"{label}: the parameter created (unix seconds) is missing")
    if created > now:
        raise SignatureRefused(
            "signature_expired", f"{label}: created {created} is ahead of the platform's clock, which says {now}"
        )
    expires = parameters.get("expires")
    if expires is not None and (not isinstance(expires, int) or now > expires):
        raise SignatureRefused("signature_expired", f"{label}: expired at {expires}, it is {now}")
    covered = tuple(name for name, component_parameters in components if not component_parameters)
    missing = sorted(set(required) - set(covered))
    if missing:
        raise SignatureRefused("signature_incomplete", f"{label}: the signature must cover {', '.join(missing)}")
    key = key_for(key_id) if isinstance(key_id, str) else None
    if key is None:
        raise SignatureRefused("signature_key_unknown", f"{label}: keyid {key_id!r} is not a registered signing key")
    if not algorithm.verify(key, signature, signature_base(components, parameters, message)):
        raise SignatureRefused("signature_wrong", f"{label}: the signature does not match the request")
    return Verified(label, str(key_id), covered, created)


def sign_message(
    message: Message,
    *,
    key: ec.EllipticCurvePrivateKey,
    key_id: str,
    created: int,
    covered: Sequence[str],
    expires: int | None = None,
) -> dict[str, str]:
    """The headers Signature-Input and Signature for ``message`` (used for webhooks, and for clients in tests)."""
    components: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in covered]
    parameters: dict[str, Any] = {"created": created, "keyid": key_id, "alg": P384.name}
    if expires is not None:
        parameters["expires"] = expires
    signature = P384.sign(key, signature_base(components, parameters, message))
    return {
        "signature-input": f"sig1={_inner_list(components, parameters)}",
        "signature": f"sig1=:{b64encode(signature).decode()}:",
    }


def content_digest(body: bytes) -> str:
    """The value of Content-Digest (RFC 9530) for ``body``."""
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"


def verify_content_digest(value: str | None, body: bytes) -> None:
    """Checks every sha-256 and sha-512 of ``value`` (RFC 9530); at least one must be there. Raises SignatureRefused."""
    if value is None:
        raise SignatureRefused("content_digest_missing", "a request with a body needs the header Content-Digest")
    known = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
    checked = False
    for name, member in _dictionary("content-digest", value).items():
        if name not in known:
            continue
        checked = True
        digest = known[name](body).digest()
        if not isinstance(member[0], bytes) or not hmac.compare_digest(member[0], digest):
            raise SignatureRefused(
                "content_digest_wrong", f"{name}: expected :{b64encode(digest).decode()}:, the header gives another"
            )
    if not checked:
        raise SignatureRefused("content_digest_missing", "Content-Digest names neither sha-256 nor sha-512")
