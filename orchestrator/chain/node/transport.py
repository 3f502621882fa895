"""HTTP to one node: a body out, a bounded answer in, counted. Alone in ``chain`` imports aiohttp."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

from orchestrator.errors import ChainError, ChainNonsense, ChainUnreachable, SettingsError
from orchestrator.foreign import retry_after, shown

if TYPE_CHECKING:
    from aiohttp import ClientSession, StreamReader

_URL = "the node's URL (ORCHESTRATOR_RPC_URL or --rpc-url)"
_SHORTEST_SECRET: Final = 8
"""Characters of a part of a URL that may be a key; shorter ones are such as ``v2``."""
_LONGEST_PAUSE: Final = 3600.0
"""Seconds: what a node asks for is kept to, but a mistake in its header must not stop everything for days."""


@dataclass(slots=True)
class Traffic:
    """What went to one endpoint so far. Bytes are those of bodies; ``seconds`` are spent waiting for answers."""

    requests: int = 0
    calls: int = 0
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    last: float | None = None
    """Seconds of the last answered request: its round trip alone, without imports."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer of any status."""

    status: int
    body: bytes
    retry_after: float | None
    """Seconds (RFC 9110, section 10.2.3), as far as the header gives a number."""
    location: str
    """Where a redirect leads: scheme and host, since the rest may hold a key."""


class TooLarge(Exception):
    """The answer has more bytes than are read."""


class Dropped(Exception):
    """The connection was closed in the place of an answer: a read may be sent again."""


class NoAnswerInTime(ChainUnreachable):
    """The node took longer than the timeout."""


class NoConnection(ChainUnreachable):
    """Nothing was asked: there is no connection to the node."""


class Transport:
    """Connections to one URL, in one event loop from the first request until ``close``."""

    endpoint: str
    """Scheme, host and port: the rest of a URL often holds an API key. With a number where several URLs share them."""

    def __init__(self, url: str, *, timeout: float, max_answer_bytes: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"{_URL}: expected one that begins with http:// or https:// and names a host")
        try:
            port = f":{parts.port}" if parts.port else ""
        except ValueError as error:
            raise SettingsError(f"{_URL}: expected a port number from 1 to 65535 in it") from error
        self.endpoint = f"{parts.scheme}://{parts.hostname}{port}"
        self.traffic: Final = Traffic()
        self._url = url
        self._secrets = _secrets(parts)
        self._timeout = timeout
        self._limit = max_answer_bytes
        self._session: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def hide(self, text: str) -> str:
        """A node's words, fit to be shown: it may repeat the request's URL, with its key, and hidden characters."""
        return shown(self._secrets.sub("…", text))

    async def post(self, body: bytes, calls: int) -> Response:
        """The answer to one POST of JSON; a request on a kept connection that was closed is sent once more.

        Raises TooLarge, Dropped, ChainUnreachable (no answer), ChainNonsense (``rpc_url``).
        """
        session = self._connect()
        for attempt in (1, 2):
            self.traffic.requests += 1
            self.traffic.calls += calls
            self.traffic.sent += len(body)
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._timeout):
                    response = await self._send(session, body)
            except TooLarge:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a hostile answer raises inside of aiohttp
                if not _connection_died(error):
                    # Not "from error": aiohttp's exceptions show the whole URL, with its key, where a cause is logged.
                    raise _translate(error, self.endpoint, self._timeout) from None
                if attempt == 2:
                    raise Dropped(type(error).__name__) from None
            else:
                self.traffic.last = time.monotonic() - began
                self.traffic.received += len(response.body)
                return response
            finally:
                self.traffic.seconds += time.monotonic() - began
        raise AssertionError("two attempts end in an answer or an error")

    async def _send(self, session: ClientSession, body: bytes) -> Response:
        # No redirects and no proxy from the environment: the URL that was given is the one that is asked.
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
            content = await _limited(answer.content, self._limit)
            location = urlsplit(answer.headers.get("Location", ""))
            return Response(
                answer.status,
                content,
                retry_after(answer.headers.get("Retry-After", ""), most=_LONGEST_PAUSE, now=datetime.now(UTC)),
                f"{location.scheme}://{location.hostname}" if location.hostname else "",
            )

    def _connect(self) -> ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None:
            # Imported here: the command line answers --help without it.
            from aiohttp import ClientSession, DummyCookieJar, TCPConnector

            self._session = ClientSession(
                connector=TCPConnector(limit=32), cookie_jar=DummyCookieJar(), trust_env=False
            )
            self._loop = loop
        elif self._loop is not loop:
            raise AssertionError("an Rpc must be closed in its event loop before another one uses it")
        return self._session

    async def close(self) -> None:
        """Ends the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _secrets(url: SplitResult) -> re.Pattern[str]:
    """Whatever in a URL's path, query and user information may be a key, as it stands and without percent signs."""
    parts = (*re.split(r"[/?&=]", f"{url.path}?{url.query}"), url.username or "", url.password or "")
    found = {form for part in parts for form in (part, unquote(part)) if len(form) >= _SHORTEST_SECRET}
    longest_first = sorted(map(re.escape, found), key=len, reverse=True)
    return re.compile("|".join(longest_first) or r"(?!)", re.IGNORECASE)


async def _limited(content: StreamReader, limit: int) -> bytes:
    """A response's body, which must be of at most ``limit`` bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in content.iter_any():
        size += len(part)
        if size > limit:
            raise TooLarge
        parts.append(part)
    return b"".join(parts)


def _connection_died(error: BaseException) -> bool:
    from aiohttp import ClientConnectorError, ClientOSError, ServerDisconnectedError

    return isinstance(error, ServerDisconnectedError | ClientOSError) and not isinstance(error, ClientConnectorError)


def _translate(error: Exception, endpoint: str, timeout: float) -> ChainError:
    """Every exception of aiohttp as ours. Never shows the URL: it may hold a key."""
    import aiohttp

    if isinstance(error, TimeoutError):
        return NoAnswerInTime(f"{endpoint}: no answer within {timeout:g} s")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or type(error.os_error).__name__
        return NoConnection(f"{endpoint}: no connection: {reason}")
    if isinstance(error, aiohttp.InvalidURL):
        return ChainNonsense(f"{endpoint}: the RPC URL is malformed", code="rpc_url")
    if isinstance(error, aiohttp.ClientError | OSError):
        return ChainUnreachable(f"{endpoint}: the connection broke off ({type(error).__name__})")
    return ChainNonsense(f"{endpoint}: the answer is not valid HTTP ({type(error).__name__})")
