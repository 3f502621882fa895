"""Structured logs on stderr, a JSON object a line, from which the settings' secrets are taken out."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from pydantic import SecretStr

from orchestrator.errors import OrchestratorError
from orchestrator.report import OperationReport
from orchestrator.settings import Settings

_log = structlog.get_logger(__name__)

_SHORTEST = 6
"""Characters: a shorter "secret" would be found in innocent words."""


@contextmanager
def logging_to_stderr(settings: Settings) -> Iterator[None]:
    """While open, structlog and the HTTP server log to stderr. SIDE EFFECTS: process-wide; restored at the end."""
    before = structlog.get_config()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            Scrubber(settings),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    server, handler = logging.getLogger("uvicorn.error"), _Forward(logging.WARNING)
    propagates, server.propagate = server.propagate, False
    server.addHandler(handler)
    try:
        yield
    finally:
        server.removeHandler(handler)
        server.propagate = propagates
        structlog.configure(**before)


class Scrubber:
    """Replaces the settings' secrets wherever they stand in a log entry."""

    def __init__(self, settings: Settings) -> None:
        values = (getattr(settings, name) for name in Settings.model_fields)
        texts = (value.get_secret_value() for value in values if isinstance(value, SecretStr))
        self._secrets = sorted((text for text in texts if len(text) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, _logger: Any, _method: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {name: self._clean(value) for name, value in entry.items()}

    def _clean(self, value: Any) -> Any:
        match value:
            case str():
                for secret in self._secrets:
                    value = value.replace(secret, "[secret]")
                return value
            case dict():
                return {name: self._clean(item) for name, item in value.items()}
            case list() | tuple():
                return [self._clean(item) for item in value]
            case None | bool() | int() | float():
                return value
            case _:
                return self._clean(str(value))


class ChangeLog:
    """Logs trouble, and where an account stands, when it has changed: what a poll finds again is not logged again."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def trouble(self, name: str, event: str, error: OrchestratorError) -> None:
        if self._is_new(name, error.code):
            _log.warning(event, account=name, code=error.code, message=error.message)

    def report(self, name: str, report: OperationReport) -> None:
        code = report.error.code if report.error else None
        if self._is_new(name, f"{report.operation} {report.outcome} {report.status} {report.waiting_for} {code}"):
            _log.info(
                "account",
                account=name,
                operation=report.operation,
                outcome=report.outcome,
                status=report.status,
                waiting_for=report.waiting_for,
                code=code,
            )

    def forget(self, name: str) -> None:
        """Whatever this name logs next is new."""
        self._last.pop(name, None)

    def _is_new(self, name: str, summary: str) -> bool:
        # Of many accounts that stand alike one text is kept.
        known, self._last[name] = self._last.get(name), sys.intern(summary)
        return known != summary


class _Forward(logging.Handler):
    """What the HTTP server has to say, as an entry of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        extra = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger("http").log(record.levelno, "http_server", message=record.getMessage(), **extra)
