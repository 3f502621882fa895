"""Signs requests: RFC 9421 HTTP Message Signatures with ``ecdsa-p384-sha384``, and RFC 9530 Content-Digest.

The key is parsed once; a signature is made per request, over exactly the method, URL and headers that are sent.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from http_message_signatures import ContentDigest, HTTPMessageSignaturesException, HTTPMessageSigner
from http_message_signatures.algorithms import ECDSA_P384_SHA384

from orchestrator.errors import SettingsError

__all__ = ["RequestKey", "RequestKeySource", "RequestSigner", "content_digest"]


class _Sha512(ContentDigest):
    algorithm = "sha-512"


_LIFETIME: Final = timedelta(seconds=300)
"""From ``created`` to ``expires``, as in the platform's published request script."""
_DIGESTS: dict[str, type[ContentDigest]] = {"sha-256": ContentDigest, "sha-512": _Sha512}


def content_digest(body: bytes, algorithm: str) -> str:
    """RFC 9530: ``sha-256=:…:`` of the body as it is sent. ``algorithm``: sha-256 or sha-512."""
    return str(_DIGESTS[algorithm].create(body))


@dataclass(slots=True)
class _Message:
    """The library's view of a request."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)


class RequestKey(Protocol):
    """A request-signing key that can sign, wherever it is kept."""

    @property
    def key_id(self) -> str:
        """What the platform calls it."""
        ...

    def sign(self, data: bytes) -> bytes:
        """96 bytes r, s: ``ecdsa-p384-sha384`` (RFC 9421 section 3.3.5)."""
        ...


class RequestKeySource(Protocol):
    """Where managed request-signing keys are kept (``key_folder.RequestKeyFolder``)."""

    def current(self) -> RequestKey | None:
        """The key to sign with, opened; None where there is none. Blocks. Raises KeyUnavailable."""
        ...


class RequestSigner:
    """Signs with one key: PEM text of a P-384 private key, or a ``RequestKey``.

    Raises SettingsError (code ``signing_key``) for text that is no PEM, for a key under a password, and for another
    curve than P-384; the key's text is in no message.
    """

    def __init__(
        self, key: bytes | RequestKey, *, key_id: str, components: tuple[str, ...], label: str, digest_algorithm: str
    ) -> None:
        algorithm: Any = ECDSA_P384_SHA384  # untyped in the library
        self._algorithm = algorithm(private_key=_parse(key)) if isinstance(key, bytes) else key
        self._signer = HTTPMessageSigner(signature_algorithm=ECDSA_P384_SHA384)
        self._signer.content_digest_class = _DIGESTS[digest_algorithm]
        self._key_id = key_id
        self._components = components
        self._label = label

    @property
    def key_id(self) -> str:
        return self._key_id

    def __repr__(self) -> str:
        return f"RequestSigner(key_id={self._key_id!r})"

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, created: datetime | None = None
    ) -> dict[str, str]:
        """The headers with ``Signature-Input``, ``Signature`` and, where there is a body, ``Content-Digest`` added.

        ``created``: by the platform's clock (default: ours); the signature holds for 300 s from then on. Header fields
        and ``@query`` among the covered components are covered where the request has them. Raises SettingsError where
        the components cannot be signed for this request.
        """
        created = created or datetime.now(UTC)
        signed = dict(headers)
        present = {name.lower() for name in signed}
        if body is not None:
            present.add("content-digest")  # the library makes it, and covers it whatever the setting says
        try:
            prepared = self._signer.prepare(
                _Message(method, url, signed),
                key_id=self._key_id,
                created=created,
                expires=created + _LIFETIME,
                label=self._label,
                covered_component_ids=[
                    name
                    for name in self._components
                    if name in present or (name.startswith("@") and (name != "@query" or "?" in url))
                ],
                body=body,
            )
        except HTTPMessageSignaturesException as error:
            raise SettingsError(f"the request cannot be signed: {error}", code="request_signing") from None
        signature = self._algorithm.sign(prepared.signature_base)
        # The library's apply() would build the whole signature base again, only to compare it.
        signed["Signature-Input"] = f"{prepared.label}={prepared.signature_params}"
        signed["Signature"] = f"{prepared.label}=:{base64.b64encode(signature).decode()}:"
        return signed


def _parse(pem: bytes) -> ec.EllipticCurvePrivateKey:
    expected = "expected the request-signing key as PEM text of a P-384 private key without a password"
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The parser's own text can quote its input.
        raise SettingsError(f"{expected}, it cannot be read ({type(error).__name__})", code="signing_key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SettingsError(f"{expected}, got a key of another kind", code="signing_key")
    if not isinstance(key.curve, ec.SECP384R1):
        raise SettingsError(f"{expected}, got curve {key.curve.name}", code="signing_key")
    return key
