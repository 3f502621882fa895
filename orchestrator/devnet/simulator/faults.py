"""Faults that a test can order: what a network, a proxy or a platform does to its clients on a bad day.

Kept in memory: a restarted simulator behaves. A fault that names a request matches by method and by a regular
expression on the path under /v1, and ends after ``count`` matches; a lasting one ends when it is removed.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .answers import ApiError

if TYPE_CHECKING:
    from .platform import Call

__all__ = ["AT_ONCE", "KINDS", "Fault", "Faults"]

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
    "hold_webhooks": "keeps webhooks from being delivered, until removed",
    "duplicate_webhooks": "delivers the next webhooks twice",
    "reorder_webhooks": "delivers the newest webhook first, until removed",
}
"""Faults that stay until they are used up or removed."""

AT_ONCE = {
    "expire_tokens": "invalidates all tokens",
    "expire_challenges": "ends the hour of every open challenge",
    "skew_clock": "sets the platform's clock `seconds` ahead (negative: behind) of the true time; 0 ends it",
}
"""Faults that happen when they are ordered, once."""

LASTING = {"lie", "hold_deployments", "hold_webhooks", "reorder_webhooks"}


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

    def add(
        self,
        kind: str,
        *,
        count: int = 1,
        method: str | None = None,
        path: str | None = None,
        **values: Any,
    ) -> Fault:
        """Orders a fault. ``path`` is a regular expression. Raises ApiError 400 for what cannot be meant."""
        if kind not in KINDS:
            raise ApiError(400, "invalid_request", f"kind: expected one of {', '.join(KINDS | AT_ONCE)}, got {kind!r}")
        status = values.get("status")
        if kind == "status" and not (isinstance(status, int) and 400 <= status <= 599):
            raise ApiError(400, "invalid_request", "status: expected a number from 400 to 599")
        if kind == "lie" and not (isinstance(values.get("fields"), dict) and isinstance(values.get("accountId"), str)):
            raise ApiError(400, "invalid_request", "a lie needs accountId and fields")
        try:
            pattern = None if path is None else re.compile(path)
        except re.error as error:
            raise ApiError(400, "invalid_request", f"path: not a regular expression: {error}") from error
        fault = Fault(kind, count=count, method=method and method.upper(), path=pattern, values=values)
        self._all.append(fault)
        return fault

    def remove(self, identifier: str | None = None, *, kind: str | None = None) -> int:
        """Removes one fault, those of a kind, or all. Returns their number."""
        kept = [
            fault
            for fault in self._all
            if (identifier is not None and fault.id != identifier) or (kind is not None and fault.kind != kind)
        ]
        removed = len(self._all) - len(kept)
        self._all = kept
        return removed

    def all(self) -> list[dict[str, Any]]:
        return [fault.document() for fault in self._all]

    def take(self, kind: str, call: Call | None = None) -> Fault | None:
        """The oldest fault of a kind that matches the call, counted down; noted in the call's record."""
        for fault in self._all:
            if fault.kind != kind:
                continue
            if call is not None and not fault.matches(call.operation.method, call.path):
                continue
            if kind not in LASTING:
                fault.count -= 1
                if fault.count <= 0:
                    self._all.remove(fault)
            if call is not None:
                call.faults.append(kind)
            return fault
        return None

    def active(self, kind: str) -> bool:
        return any(fault.kind == kind for fault in self._all)

    def lies_about(self, account_id: str) -> dict[str, Any]:
        """The members that are shown in place of the truth."""
        told: dict[str, Any] = {}
        for fault in self._all:
            if fault.kind == "lie" and fault.values["accountId"] == account_id:
                told |= fault.values["fields"]
        return told
