"""Holds every request, answer and delivery to the published API, and notes each departure.

What a fault has ordered is no departure, nor is an answer that an option of the older pages has chosen. A departure
names the member, header or status, never its value: that may be a secret.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from orchestrator.foreign import MalformedJson, read_json

from .answers import Answer
from .config import Options
from .faults import Faults
from .http_signatures import Message
from .published_api import CONVENTIONS, DELIVERY, PublishedCall
from .schemas import EVENTS, UUID, found, published, validator

__all__ = ["Departure", "Judge"]

logger = logging.getLogger(__name__)
_KEPT: Final = 1000
_OLDER: Final = {
    "updateSigningKey": ("answer_signing", "SigningKeyRemoval"),
    "signCustomerChallenge": ("answer_sign", "Customer"),
    "signAccountChallenge": ("answer_sign", "Account"),
    "closeAccount": ("answer_delete", "Account"),
    "deactivateAccount": ("answer_suspend", "Account"),
    "activateAccount": ("answer_suspend", "Account"),
}
"""The options that choose another answer than the published one, and the schema of its body, if it has one."""


@dataclass(frozen=True, slots=True)
class Departure:
    """``call``: its published name, or method and path where it is none; ``side``: ``request`` or ``answer``."""

    call: str
    side: str
    what: str

    def __str__(self) -> str:
        return f"{self.call}, {self.side}: {self.what}"


class Judge:
    """The judge of one platform. ``departures``: the last 1000, oldest first; each is logged as a warning, too."""

    def __init__(self, options: Options, faults: Faults) -> None:
        self._options = options
        self._faults = faults
        self._schemas = published(options.signer_member)
        self._validators = {name: validator(schema) for name, schema in self._schemas.items()}
        self.departures: deque[Departure] = deque(maxlen=_KEPT)

    def documents(self) -> list[dict[str, str]]:
        return [asdict(departure) for departure in self.departures]

    def request(self, call: PublishedCall | None, message: Message, path: str, query: str, body: bytes) -> None:
        """A request as it came. ``call``: None where nothing is published for its method and path."""
        if call is None:
            self._note(f"{message.method} {path}", "request", ["no such call"])
        else:
            self._note(call.name, "request", self._request(call, message, path, query, body))

    def answer(self, call: PublishedCall, answer: Answer, faults: list[str]) -> None:
        """An answer as it goes out. ``faults``: those that struck this request."""
        if "status" in faults or "malformed_json" in faults or self._faults.active("lie"):
            return
        self._note(call.name, "answer", self._answer(call, answer))

    def delivery(self, message: Message, body: bytes, status: int, kind: str | None, receipt: bytes) -> None:
        """A webhook and what its receiver has answered; an answer that asks for a repeat is the receiver's affair."""
        if not self._faults.active("lie"):
            self._note(DELIVERY.name, "request", self._delivery(message, body))
        if 200 <= status < 300:
            self._note(DELIVERY.name, "answer", self._success(DELIVERY.status, DELIVERY.answer, status, kind, receipt))

    def _note(self, call: str, side: str, found_: Iterator[str] | list[str]) -> None:
        for what in found_:
            departure = Departure(call, side, what)
            self.departures.append(departure)
            logger.warning("departs from the published API: %s", departure)

    # --- requests --------------------------------------------------------------------------------------------------

    def _request(self, call: PublishedCall, message: Message, path: str, query: str, body: bytes) -> Iterator[str]:
        yield from self._headers(call, message)
        for part, given in zip(call.path.split("/"), path.split("/"), strict=True):
            if part.startswith("{") and not UUID.fullmatch(given):
                yield f"path: {part} is no UUID"
        for pair in filter(None, query.split("&")):
            if (name := pair.partition("=")[0]) not in call.query:
                yield f"query: {name[:40]} is not known"
        if call.body is None:
            if body:
                yield "a body, where none is taken"
            return
        yield from self._body(call.body, message.field("content-type"), body)

    @staticmethod
    def _headers(call: PublishedCall, message: Message) -> Iterator[str]:
        if call.bearer and not (message.field("authorization") or "").startswith("Bearer "):
            yield "header authorization: no bearer token"
        for name in call.required_headers:
            value = message.field(name)
            if not value:
                yield f"header {name} is missing"
            elif name == "idempotency-key" and not UUID.fullmatch(value):
                yield f"header {name} is no UUID"

    def _delivery(self, message: Message, body: bytes) -> Iterator[str]:
        yield from self._headers(DELIVERY, message)
        try:
            kind = read_json(body, max_bytes=len(body)).get("webhookType")
        except (MalformedJson, AttributeError):
            kind = None
        if kind in EVENTS:
            yield from self._body(EVENTS[kind], message.field("content-type"), body)
        else:
            yield "body: webhookType is missing or unknown"

    # --- answers ---------------------------------------------------------------------------------------------------

    def _answer(self, call: PublishedCall, answer: Answer) -> Iterator[str]:
        if answer.status >= 500:
            yield f"status {answer.status}, which nobody has ordered"
        elif answer.status >= 400:
            if answer.status not in call.refusals | (CONVENTIONS if call.keyed else frozenset()):
                yield f"status {answer.status}"
        else:
            status, schema = self._expected(call)
            closed = status == call.status
            yield from self._success(status, schema, answer.status, "application/json", answer.body, closed=closed)

    def _expected(self, call: PublishedCall) -> tuple[int, str | None]:
        """Status and schema of success, as published, or by the option that chose another."""
        option, older = _OLDER.get(call.name, (None, None))
        status = call.status if option is None else int(getattr(self._options, option))
        if status == call.status:
            return status, call.answer
        return status, None if status == 204 else older

    def _success(
        self, expected: int, schema: str | None, status: int, kind: str | None, body: bytes, *, closed: bool = True
    ) -> Iterator[str]:
        if status != expected:
            yield f"status {status}, expected {expected}"
        elif schema is None:
            if body:
                yield "a body, where none is promised"
        else:
            yield from self._body(schema, kind, body, closed=closed)

    def _body(self, schema: str, kind: str | None, body: bytes, *, closed: bool = False) -> Iterator[str]:
        """``closed``: members that the schema does not name depart, too. (Of a request the platform ignores them.)"""
        if (kind or "").partition(";")[0].strip().lower() != "application/json":
            yield "body: no application/json"
        try:
            value = read_json(body, max_bytes=len(body))
        except MalformedJson:
            yield "body: no JSON"
            return
        for member, rule in found(self._validators[schema], value):
            yield f"body: {member}: {rule}"
        if closed:
            items = value if isinstance(value, list) else [value]
            shape: Mapping[str, Any] = self._schemas[schema].get("items", self._schemas[schema])
            more = {name for item in items if isinstance(item, dict) for name in item} - set(shape["properties"])
            if self._options.include_expiry:
                more.discard("expiresAt")
            for name in sorted(more):
                yield f"body: {name[:40]}: not published"
