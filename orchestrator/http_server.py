"""The HTTP server under ``serve`` and under the simulator: uvicorn, with bounds on what a connection may hold.

By itself uvicorn waits for ever for a request's headers (its keep-alive timer starts after the first answer, and one
byte ends it) and for whoever does not read an answer; and its ``limit_concurrency`` counts the silent connections, and
then refuses every request. Here a connection has a deadline in each of its two states, waiting for a request and
answering one, and where there are too many, the silent ones make room.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["Connection", "Limits", "configure"]

_log = logging.getLogger("uvicorn.error")

_BACKLOG = 256
"""Connections that the kernel holds ready, and that asyncio accepts in one go before it reads from those it has. With
``Limits.connections`` it stays below the 1,024 open files that a process usually may have."""
_REPEAT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one server. Times are in seconds."""

    connections: int = 512
    """At the same time. One more ends the one that has waited longest without a request, of the peer that has most of
    these: no fixed number for each peer, because behind a reverse proxy all of them are one."""
    requests: int = 448
    """Under way at the same time. Further ones are answered 503, and their connections closed. Less than
    ``connections``: the rest is always there for the paths below."""
    request_seconds: float = 10.0
    """Until a request's headers are complete: after connecting, and after an answer. Also for the rest of a body that
    was not waited for."""
    answer_seconds: float = 60.0
    """From there until the answer is complete: body, work, and a peer that does not read while it is written. One that
    is large is buffered when it is complete; for reading it from there, the peer has this time once more."""
    always: frozenset[str] = frozenset()
    """Paths that are answered however many requests are under way."""


class Connection(H11Protocol):
    """uvicorn's protocol with deadlines, and without Nagle's delay."""

    def __init__(self, *arguments: Any, limits: Limits, warn: Callable[[str], None], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._warn = warn
        self._app = self.app
        self.app = self._bounded
        self._deadline: asyncio.TimerHandle | None = None
        self.peer = ""
        self.waiting_since = 0.0
        """On the event loop's clock."""

    # --- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        _send_at_once(transport)
        self._wait()
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    # --- uvicorn's turns -----------------------------------------------------------------------------------------

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._within(self._limits.answer_seconds)

    def on_response_complete(self) -> None:
        self._wait(still_sending=self.transport.get_write_buffer_size() > 0)
        super().on_response_complete()  # may take up the next request at once

    # --- the bounds ----------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing of use would be lost with it: no request, or an answer that the peer does not read."""
        return self.cycle is None or self.cycle.response_complete or self.flow.write_paused

    def abort(self) -> None:
        """Ends the connection now, whatever has not been sent."""
        self.connections.discard(self)
        self.transport.abort()

    def _wait(self, *, still_sending: bool = False) -> None:
        self.waiting_since = self.loop.time()
        self._within(self._limits.answer_seconds if still_sending else self._limits.request_seconds)

    def _within(self, seconds: float) -> None:
        self._end_deadline()
        self._deadline = self.loop.call_later(seconds, self.abort)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _make_room(self) -> None:
        if len(self.connections) <= self._limits.connections:
            return
        idle = [one for one in self.connections if isinstance(one, Connection) and one.idle]  # this one at least
        number = Counter(one.peer for one in idle)
        min(idle, key=lambda one: (-number[one.peer], one.waiting_since)).abort()
        self._warn(f"more than {self._limits.connections} connections: those without a request are closed")

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.tasks) > self._limits.requests and scope["path"] not in self._limits.always:
            self._warn(f"more than {self._limits.requests} requests at the same time: answered 503")
            await service_unavailable(scope, receive, send)  # type: ignore[arg-type]
        else:
            await self._app(scope, receive, send)


def configure(
    app: Any, limits: Limits | None = None, *, connection: type[Connection] = Connection, **settings: Any
) -> uvicorn.Config:
    """uvicorn's configuration for ``app`` with these limits; ``settings`` are uvicorn's own."""
    made = partial(connection, limits=limits or Limits(), warn=_Warnings().warn)
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", made),
        ws="none",
        log_config=None,
        access_log=False,  # it would print the path, and with it the webhooks' token
        server_header=False,
        backlog=_BACKLOG,
        **settings,
    )


def _send_at_once(transport: asyncio.Transport) -> None:
    """Headers and body leave in two writes; Nagle's algorithm (RFC 896) holds the second back until the peer has
    acknowledged the first, some 40 ms. asyncio turns it off only where a socket names its protocol, which one of
    ``socket.create_server`` does not."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Warnings:
    """Logs a warning at once, and again only after a while: a flood of connections is no flood of log entries."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def warn(self, message: str) -> None:
        now = time.monotonic()
        if now - self._said.get(message, -_REPEAT_SECONDS) >= _REPEAT_SECONDS:
            self._said[message] = now
            _log.warning(message)
