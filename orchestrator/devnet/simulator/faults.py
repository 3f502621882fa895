"""Faults that a test can order: what a network, a proxy or a platform does to its clients on a bad day.

Kept in memory: a restarted simulator behaves. A fault that names a request matches by method and by a regular
expression on the path under /v1, and ends after ``count`` matches; a lasting one ends when it is removed.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .answers import ApiError

__all__ = ["IMMEDIATE", "KINDS", "PARAMETERS", "Fault", "Faults", "parsed"]

KINDS = {
    "drop_before": "closes the connection before the request has any effect",
    "drop_after": "closes the connection after the effect, without an answer",
    "delay_before": "waits `seconds` before the effect",
    "delay_after": "waits `seconds` between the effect and the answer",
    "status": "answers `status` without an effect",
    "malformed_json": "cuts the answer's JSON in the middle, after the effect",
    "refuse_signature": "refuses the next submitted challenge signature",
    "lie": "shows the account `accountId` with `fields` in place of the truth, until removed",
    "hold_deployments": "keeps deployments from starting, until removed",
    "fail_deployment": "lets the next deployment end in `failed`",
    "deploy_by_another": "deploys the next wallet by another factory, of the same code",
    "deploy_twice": "deploys two wallets for the next account, where the family's factory lets it",
    "confuse_register": "lets the factory's register name another wallet for the next account than its event",
    "upgrade_implementation": "changes the implementation of the next wallet that is suspended, resumed or closed",
    "hold_webhooks": "keeps webhooks from being delivered, until removed",
    "duplicate_webhooks": "delivers the next webhooks twice",
    "reorder_webhooks": "delivers the newest webhook first, until removed",
}
"""Faults that stay until they are used up or removed."""

IMMEDIATE = {
    "expire_tokens": "invalidates all tokens",
    "expire_challenges": "ends the hour of every open challenge",
    "skew_clock": "sets the platform's clock `seconds` ahead (negative: behind) of the true time; 0 ends it",
}
"""Faults that happen when they are ordered, once."""

_REQUEST = ("method", "path", "count")
PARAMETERS: dict[str, tuple[str, ...]] = {
    "drop_before": _REQUEST,
    "drop_after": _REQUEST,
    "delay_before": (*_REQUEST, "seconds"),
    "delay_after": (*_REQUEST, "seconds"),
    "status": (*_REQUEST, "status", "code"),
    "malformed_json": _REQUEST,
    "refuse_signature": _REQUEST,
    "lie": ("accountId", "fields"),
    "hold_deployments": (),
    "fail_deployment": ("count",),
    "deploy_by_another": ("count",),
    "deploy_twice": ("count",),
    "confuse_register": ("count",),
    "upgrade_implementation": ("count",),
    "hold_webhooks": (),
    "duplicate_webhooks": ("count",),
    "reorder_webhooks": (),
    "expire_tokens": (),
    "expire_challenges": (),
    "skew_clock": ("seconds",),
}
"""What each fault takes."""
_NEEDED = {"status": ("status",), "lie": ("accountId", "fields"), "skew_clock": ("seconds",)}
_LONGEST = 10**9
"""Seconds, some thirty years: beyond it no date can be written."""
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

LASTING = {"lie", "hold_deployments", "hold_webhooks", "reorder_webhooks"}


def parsed(kind: object, values: dict[str, Any]) -> dict[str, Any]:
    """The parameters of an ordered fault, checked by name and type; ``path`` becomes a pattern, ``method`` upper case.

    Raises ApiError 400 for what cannot be meant: a misspelt name would let a fault strike what it was not meant for.
    """
    if not isinstance(kind, str) or kind not in PARAMETERS:
        raise _wrong("kind", f"one of {', '.join(PARAMETERS)}", kind)
    known = PARAMETERS[kind]
    for name in values:
        if name not in known:
            raise ApiError(400, "invalid_request", f"{kind} has no parameter {name!r}; it takes {_listed(known)}")
    for name in _NEEDED.get(kind, ()):
        if name not in values:
            raise ApiError(400, "invalid_request", f"{kind} needs {name}")
    return {name: _PARSERS[name](name, value, kind) for name, value in values.items()}


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _wrong(name: str, expected: str, value: object) -> ApiError:
    return ApiError(400, "invalid_request", f"{name}: expected {expected}, got {value!r}"[:300])


def _method(name: str, value: object, _: str) -> str:
    if not isinstance(value, str) or value.upper() not in _METHODS:
        raise _wrong(name, f"one of {', '.join(_METHODS)}", value)
    return value.upper()


def _pattern(name: str, value: object, _: str) -> re.Pattern[str]:
    if not isinstance(value, str):
        raise _wrong(name, "a regular expression", value)
    try:
        return re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise ApiError(400, "invalid_request", f"{name}: not a regular expression: {error}") from error


def _count(name: str, value: object, _: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong(name, "a whole number from 1", value)
    return value


def _seconds(name: str, value: object, kind: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _LONGEST:
        raise _wrong(name, f"a number of at most {_LONGEST}", value)
    if value < 0 and kind != "skew_clock":
        raise _wrong(name, "no negative number", value)
    return float(value)


def _status(name: str, value: object, _: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 400 <= value <= 599:
        raise _wrong(name, "a number from 400 to 599", value)
    return value


def _text(name: str, value: object, _: str) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(name, "a text", value)
    return value


def _object(name: str, value: object, _: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    return value


_PARSERS: dict[str, Callable[[str, object, str], Any]] = {
    "method": _method,
    "path": _pattern,
    "count": _count,
    "seconds": _seconds,
    "status": _status,
    "code": _text,
    "accountId": _text,
    "fields": _object,
}


@dataclass(slots=True)
class Fault:
    """One ordered fault. ``count`` is how often it still strikes."""

    kind: str
    count: int = 1
    method: str | None = None
    path: re.Pattern[str] | None = None
    values: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def matches(self, method: str, path: str) -> bool:
        return self.method in (None, method) and (self.path is None or self.path.search(path) is not None)

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "count": self.count,
            "method": self.method,
            "path": None if self.path is None else self.path.pattern,
            **self.values,
        }


class Faults:
    """The faults in force, oldest first."""

    def __init__(self) -> None:
        self._all: list[Fault] = []

    def add(self, kind: str, **values: Any) -> Fault:
        """Puts a fault in force: ``values`` as :func:`parsed` gave them."""
        method, path, count = values.pop("method", None), values.pop("path", None), values.pop("count", 1)
        fault = Fault(kind, count=count, method=method, path=path, values=values)
        self._all.append(fault)
        return fault

    def remove(self, identifier: str | None = None) -> int:
        """Removes one fault, or all. Returns their number."""
        kept = [fault for fault in self._all if identifier is not None and fault.id != identifier]
        removed = len(self._all) - len(kept)
        self._all = kept
        return removed

    def all(self) -> list[dict[str, Any]]:
        return [fault.document() for fault in self._all]

    def take(self, kind: str, request: tuple[str, str] | None = None) -> Fault | None:
        """The oldest fault of a kind, counted down; of those that match ``request``, a method and a path, if given."""
        for fault in self._all:
            if fault.kind != kind or (request is not None and not fault.matches(*request)):
                continue
            if kind not in LASTING:
                fault.count -= 1
                if fault.count <= 0:
                    self._all.remove(fault)
            return fault
        return None

    def active(self, kind: str) -> bool:
        return any(fault.kind == kind for fault in self._all)

    def shown_instead(self, account_id: str) -> dict[str, Any]:
        """The members that are shown in place of the truth."""
        shown: dict[str, Any] = {}
        for fault in self._all:
            if fault.kind == "lie" and fault.values["accountId"] == account_id:
                shown |= fault.values["fields"]
        return shown
