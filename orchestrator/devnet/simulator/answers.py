"""What the API answers: a status with bytes, or an error with a stable code that becomes one."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "ApiError", "PlainRefusal", "encode"]


def encode(value: object) -> bytes:
    """JSON as the API sends it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. ``body`` is empty for 204."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, value: object = None) -> Answer:
        if status == 204 or value is None:
            return cls(status)
        return cls(status, encode(value))


class ApiError(Exception):
    """A refusal. ``keep`` says whether an idempotency key remembers it: passing conditions are not remembered."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        keep: bool = True,
        details: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.keep = keep
        self.details = details
        self.headers = headers or {}

    def answer(self) -> Answer:
        value: dict[str, Any] = {"code": self.code, "message": self.message, "requestId": str(uuid.uuid4())}
        if self.details:
            value["details"] = self.details
        return Answer(self.status, encode(value), self.headers)


class PlainRefusal(ApiError):
    """A refusal in plain text."""

    def answer(self) -> Answer:
        return Answer(self.status, self.message.encode(), self.headers | {"content-type": "text/plain"})
