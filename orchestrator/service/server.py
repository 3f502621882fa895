"""Runs the service: one socket, the application, and an orderly end at SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import structlog
import uvicorn

from orchestrator.app import Orchestrator
from orchestrator.errors import SettingsError
from orchestrator.http_server import Limits, configure
from orchestrator.service.logs import logging_to_stderr
from orchestrator.service.webapp import build_app, check_settings
from orchestrator.settings import Settings

_log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_IN_FLIGHT_SECONDS = 10
"""How long requests under way may take when the service stops."""
LIMITS = Limits(always=frozenset({"/health"}))
"""The platform sends again what is refused with 503 or cut off."""


async def serve(settings: Settings, host: str, port: int, *, ready: Callable[[str], None]) -> None:
    """Takes webhooks and drives accounts until SIGTERM or SIGINT; then the polls under way are finished.

    ``port`` 0 lets the system choose; ``ready`` gets the real URL as soon as requests are answered. Raises
    SettingsError (settings, database, address), before anything is started. SIDE EFFECTS: logs to stderr; handles the
    two signals (in the main thread) until it returns.
    """
    check_settings(settings)
    with logging_to_stderr(settings):
        async with Orchestrator.open(settings) as orchestrator:
            app = build_app(orchestrator, settings)
            listener = _listen(host, port)
            try:
                config = configure(
                    app,
                    LIMITS,
                    lifespan="on",
                    log_level="warning",
                    timeout_graceful_shutdown=_IN_FLIGHT_SECONDS,
                )
                url = _url(host, listener.getsockname()[1])

                def started() -> None:
                    _log.info("service_ready", url=url)
                    ready(url)

                server = _Server(config, started)
                with _until_signalled(server):
                    await server.serve(sockets=[listener])
            finally:
                listener.close()
            _log.info("service_stopped")


class _Server(uvicorn.Server):
    """Reports when it is ready, and leaves signals to ``_until_signalled``: uvicorn's way raises them again after the
    orderly end, which would make that end look like a kill."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._report_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._report_started()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()

    def stop(self) -> None:
        """The first call ends in order; a second one does not wait for requests under way."""
        self.force_exit = self.should_exit
        self.should_exit = True


@contextmanager
def _until_signalled(server: _Server) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, server.stop)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not an address"
        raise SettingsError(f"cannot listen on {host[:100]} port {port}: {reason}", code="address_unusable") from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
