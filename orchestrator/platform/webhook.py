"""A webhook's delivery: hostile bytes until they are parsed, and a hint even then.

Nothing here trusts a delivery: the caller verifies its signature (``webhook_signature``), and reads the account back
from the API before it acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator.errors import MalformedAnswer
from orchestrator.models import AccountId
from orchestrator.platform.answers import parse_json
from orchestrator.platform.transport import Answer, Call
from orchestrator.platform.wire import AccountWire, Instant, Uuid, read
from orchestrator.ports.platform import PlatformAccount

__all__ = ["ACCOUNT_UPDATED", "MAX_DELIVERY_BYTES", "WebhookEvent", "parse_delivery"]

ACCOUNT_UPDATED: Final = "account.updated"
MAX_DELIVERY_BYTES: Final = 256 * 1024
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
    UnsupportedChain for an account whose ``chainId`` is malformed or of another namespace. What else is odd is no
    reason to refuse the hint that the account has changed: it is read back before anything is done.
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
    if account.unsupported_chain:
        account.known_status()  # which says so
    return WebhookEvent(envelope.webhook_type, envelope.event_id, account, wire.updated_at)
