"""A webhook's delivery: hostile bytes until they are parsed, and a hint even then.

Nothing here trusts a delivery: the caller reads the account back from the API before it acts. Where a verification key
is set, an RFC 9421 signature over the delivery is demanded as well (how the platform signs is silent in its
documentation).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, InvalidSignature
from http_message_signatures.algorithms import ECDSA_P384_SHA384
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator.errors import MalformedAnswer, OrchestratorError, PlatformRefused, SettingsError, UnsupportedChain
from orchestrator.models import AccountId
from orchestrator.platform.answers import parse_json
from orchestrator.platform.transport import Answer, Call
from orchestrator.platform.wire import AccountWire, Instant, Uuid, read
from orchestrator.ports.platform import PlatformAccount

__all__ = ["ACCOUNT_UPDATED", "MAX_DELIVERY_BYTES", "WebhookEvent", "WebhookVerifier", "parse_delivery"]

ACCOUNT_UPDATED: Final = "account.updated"
MAX_DELIVERY_BYTES: Final = 256 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024
"""Of a delivery with a signature: structured fields (RFC 8941) take 2 ms for each KiB."""
_WHAT: Final = "webhook delivery"


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One event. De-duplicate by ``event_id``; order by ``updated_at``, never by arrival."""

    type: str
    event_id: str
    """UUID text."""
    account: PlatformAccount | None
    """What the delivery claims of the account; None for other types than ``account.updated``. A claim, not a fact."""
    updated_at: Instant | None
    """With all nine digits; None where another type than ``account.updated`` has none."""

    @property
    def account_id(self) -> AccountId | None:
        return self.account.id if self.account is not None else None


class _Envelope(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="ignore",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    webhook_type: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z][a-z0-9_.-]*$")]
    event_id: Uuid


def parse_delivery(body: bytes, *, content_type: str = "application/json") -> WebhookEvent:
    """The event in a delivery's body.

    Other types than ``account.updated`` are accepted with type and event id alone, to be ignored. Raises
    MalformedAnswer with the field named (too large, no JSON, a field twice, a value that does not fit), and
    UnsupportedChain for an account of another blockchain namespace.
    """
    if len(body) > MAX_DELIVERY_BYTES:
        raise MalformedAnswer(f"{_WHAT}: {len(body)} bytes, at most {MAX_DELIVERY_BYTES} are taken")
    call = Call("POST", "this service", _WHAT, modifying=False)
    value: Any = parse_json(Answer(200, {"content-type": content_type}, body, 0.0), call)
    envelope = read(_Envelope, value, _WHAT)
    if envelope.webhook_type != ACCOUNT_UPDATED:
        return WebhookEvent(envelope.webhook_type, envelope.event_id, None, None)
    wire = read(AccountWire, value, _WHAT)
    account = wire.account()
    try:
        account.known_status()
    except (MalformedAnswer, UnsupportedChain) as error:
        raise type(error)(f"{_WHAT}: {'; '.join(account.odd)}") from None
    return WebhookEvent(envelope.webhook_type, envelope.event_id, account, wire.updated_at)


@dataclass(slots=True)
class _Delivery:
    """The library's view of a request; ``headers`` are field lines in order."""

    method: str
    url: str
    headers: _Lines


class _Lines:
    """Header lines, repeated names included."""

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self._lines = tuple(lines)

    def items(self) -> Iterable[tuple[str, str]]:
        return self._lines


@dataclass(frozen=True, slots=True)
class WebhookVerifier:
    """Verifies the RFC 9421 signature of a delivery with the platform's public key (P-384).

    ``required``: components that the signature must cover; the body's digest always must. A signature older than
    ``max_age_seconds`` is refused. Raises SettingsError for a key that is none.
    """

    public_key_pem: str
    required: tuple[str, ...] = ("@method", "content-digest")
    max_age_seconds: float = 300.0
    _verifier: HTTPMessageVerifier = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            key = load_pem_public_key(self.public_key_pem.encode())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
            raise SettingsError("expected the webhook verification key as PEM text of a P-384 public key")
        object.__setattr__(
            self, "_verifier", HTTPMessageVerifier(signature_algorithm=ECDSA_P384_SHA384, key_resolver=_OneKey(key))
        )

    def verify(
        self, method: str, url: str, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes
    ) -> None:
        """Returns where the signature holds over this method, URL, headers and body.

        Raises PlatformRefused (code ``webhook_signature_invalid``, status 401). ``url`` is the one that the platform
        called, as it was configured there.
        """
        lines = tuple(headers.items() if isinstance(headers, Mapping) else headers)
        if sum(len(name) + len(value) for name, value in lines) > MAX_HEADER_BYTES:
            raise _invalid(f"expected headers of at most {MAX_HEADER_BYTES} bytes, got more")
        message = _Delivery(method.upper(), url, _Lines(lines))
        try:
            self._verifier.verify(
                message,
                max_age=timedelta(seconds=self.max_age_seconds),
                require_components=self.required,
                body=body,
            )
        except InvalidSignature as error:
            raise _invalid(str(error)) from None
        except Exception as error:  # noqa: BLE001 the bytes are a stranger's: whatever they break, they are refused
            raise _invalid(type(error).__name__) from None


class _OneKey(HTTPSignatureKeyResolver):
    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key

    def resolve_public_key(self, key_id: str) -> ec.EllipticCurvePublicKey:  # noqa: ARG002 whatever id it names
        return self._key


def _invalid(reason: str) -> OrchestratorError:
    shown = " ".join(reason.split())[:200] or "it does not hold"
    return PlatformRefused(f"{_WHAT}: its signature is refused: {shown}", status=401, code="webhook_signature_invalid")
