"""HTTP itself: one request out, one bounded answer in, foreign exceptions translated. Alone imports httpx and aiohttp.

``httpx-aiohttp`` maps every dropped connection to ``ConnectTimeout``, and aiohttp silently sends a PUT or DELETE again
when a kept connection turns out to be closed. Both would break the one promise that this module makes, to tell "surely
not sent" from "perhaps sent". So a middleware of aiohttp, below both, gives each failure its faithful httpx name.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp
import httpx
import yarl
from httpx_aiohttp import AiohttpTransport

from orchestrator.errors import (
    MalformedAnswer,
    OrchestratorError,
    PlatformUnreachable,
    SettingsError,
    UncertainAnswer,
)

__all__ = ["Answer", "Call", "Http", "ItemReader", "Meaning", "canonical_url", "meaning_of", "translate"]

_LIST_BYTES_PER_SECOND = 64 * 1024
"""A list has a second more for each of these: its length is not the platform's fault, and reading it takes time too.
Whoever sends more slowly is cut off by the timeout, as ever."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a message may say about a request: never its headers or its body."""

    method: str
    host: str
    path: str
    modifying: bool
    """Whether the platform's state may change. A login does not count: a token more harms nobody."""
    own_conflict: bool = False
    """Whether its 409 has a published meaning of its own, besides that the idempotency key is in flight."""
    signed: bool = True
    """False: it goes without a signature, as calls under ``/auth`` may."""
    items: Callable[[Answer], ItemReader] | None = field(default=None, repr=False, compare=False)
    """For a list: what takes the items of a 2xx answer as they come. It is given the answer without its body."""

    def __str__(self) -> str:
        return f"{self.method} {self.path} at {self.host}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. ``headers`` have lower-case names; ``received_at`` is local Unix time in seconds."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: float
    items: list[Any] = field(default_factory=list, repr=False)
    """Of a list, what its reader made of the items; such an answer has no body."""
    json: tuple[Any] | None = field(default=None, repr=False)
    """The body's value, where it was parsed already."""


class ItemReader(Protocol):
    """Takes a list's bytes as they come. Both methods raise MalformedAnswer."""

    def feed(self, data: bytes) -> None: ...

    def end(self) -> list[Any]:
        """All items, once the answer is complete."""
        ...


class Meaning(Enum):
    """What a foreign exception says about the request."""

    NOT_SENT = "not sent"
    PERHAPS_SENT = "perhaps sent"
    MALFORMED = "malformed"
    SETTINGS = "settings"


_MEANINGS: dict[type[BaseException], Meaning] = {
    httpx.ConnectError: Meaning.NOT_SENT,
    httpx.ConnectTimeout: Meaning.NOT_SENT,
    httpx.PoolTimeout: Meaning.NOT_SENT,
    httpx.ProxyError: Meaning.NOT_SENT,
    httpx.UnsupportedProtocol: Meaning.SETTINGS,
    httpx.InvalidURL: Meaning.SETTINGS,
    httpx.DecodingError: Meaning.MALFORMED,
    httpx.TooManyRedirects: Meaning.MALFORMED,
    httpx.HTTPStatusError: Meaning.MALFORMED,
    httpx.CookieConflict: Meaning.MALFORMED,
    httpx.HTTPError: Meaning.PERHAPS_SENT,
    httpx.RequestError: Meaning.PERHAPS_SENT,
    httpx.TransportError: Meaning.PERHAPS_SENT,
    httpx.TimeoutException: Meaning.PERHAPS_SENT,
    httpx.ReadTimeout: Meaning.PERHAPS_SENT,
    httpx.WriteTimeout: Meaning.PERHAPS_SENT,
    httpx.NetworkError: Meaning.PERHAPS_SENT,
    httpx.ReadError: Meaning.PERHAPS_SENT,
    httpx.WriteError: Meaning.PERHAPS_SENT,
    httpx.CloseError: Meaning.PERHAPS_SENT,
    httpx.ProtocolError: Meaning.PERHAPS_SENT,
    httpx.LocalProtocolError: Meaning.PERHAPS_SENT,
    httpx.RemoteProtocolError: Meaning.PERHAPS_SENT,
    httpx.StreamError: Meaning.PERHAPS_SENT,
    httpx.StreamConsumed: Meaning.PERHAPS_SENT,
    httpx.StreamClosed: Meaning.PERHAPS_SENT,
    httpx.ResponseNotRead: Meaning.PERHAPS_SENT,
    httpx.RequestNotRead: Meaning.PERHAPS_SENT,
    aiohttp.ClientConnectorError: Meaning.NOT_SENT,
    aiohttp.ConnectionTimeoutError: Meaning.NOT_SENT,
    aiohttp.InvalidURL: Meaning.SETTINGS,
    aiohttp.ClientError: Meaning.PERHAPS_SENT,
    TimeoutError: Meaning.PERHAPS_SENT,
    OSError: Meaning.PERHAPS_SENT,
}
_FOREIGN = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    httpx.CookieConflict,
    aiohttp.ClientError,
    OSError,  # TimeoutError among them
)
_WORDS: dict[type[BaseException], str] = {
    httpx.ConnectTimeout: "no connection in time",
    httpx.PoolTimeout: "no free connection in time",
    httpx.ConnectError: "no connection",
    httpx.ReadTimeout: "no answer in time",
    httpx.WriteTimeout: "the request could not be written in time",
    httpx.RemoteProtocolError: "the platform closed the connection without an answer, or does not speak HTTP",
    httpx.ReadError: "the connection was lost",
    TimeoutError: "no complete answer in time",
}


def meaning_of(kind: type[BaseException]) -> Meaning | None:
    """The meaning of an exception class, by its nearest listed ancestor; None where there is none."""
    return next((_MEANINGS[ancestor] for ancestor in kind.__mro__ if ancestor in _MEANINGS), None)


def translate(error: BaseException, call: Call, *, answering: bool = False) -> OrchestratorError:
    """This project's error for a foreign exception; its message is never empty and never holds a header or a body.

    ``answering``: the platform had begun to answer, so the request was sent whatever the exception's class. A read
    has no effect, so for it PERHAPS_SENT becomes PlatformUnreachable too: it may be sent again as it is.
    """
    meaning = meaning_of(type(error)) or Meaning.PERHAPS_SENT
    if answering and meaning is Meaning.NOT_SENT:
        meaning = Meaning.PERHAPS_SENT
    words = next((_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS), "")
    if answering:
        words = "the answer broke off"
    # The exception's own text is often empty (timeouts); a text over several lines is not ours to show.
    detail = " ".join(str(error).split())[:200]
    why = f"{words} ({type(error).__name__}{': ' + detail if detail else ''})" if words else type(error).__name__
    if not words and detail:
        why = f"{type(error).__name__}: {detail}"
    if meaning is Meaning.SETTINGS:
        return SettingsError(f"{call}: the platform's URL cannot be used: {why}", code="platform_url")
    if meaning is Meaning.MALFORMED:
        return MalformedAnswer(f"{call}: the answer cannot be read: {why}")
    if meaning is Meaning.NOT_SENT:
        return PlatformUnreachable(f"{call}: the platform was not reached: {why}; the request was not sent")
    if not call.modifying:
        return PlatformUnreachable(f"{call}: the platform gave no answer: {why}; a read, so it may be repeated")
    return UncertainAnswer(f"{call}: no answer: {why}; the request may have arrived, so its effect must be read back")


def canonical_url(text: str) -> str:
    """The URL as it goes over the wire: what httpx and then aiohttp (by yarl) make of it, until neither changes it.

    A signature covers the target URI, so it must be made over this text and no other.
    """
    current = text
    for _ in range(4):
        after = str(yarl.URL(str(httpx.URL(current))))
        if after == current:
            return current
        current = after
    raise SettingsError("the platform's URL has no stable normal form", code="platform_url")


async def _faithful(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Gives aiohttp's failures their true httpx names; raised as those, aiohttp sends nothing a second time."""
    try:
        return await handler(request)
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from None
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error)) from None
    except aiohttp.ServerTimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from None
    except aiohttp.ServerDisconnectedError as error:
        raise httpx.RemoteProtocolError(str(error)) from None
    except aiohttp.ClientResponseError as error:
        # What the server sent is not HTTP. Its text quotes raw bytes: not shown.
        raise httpx.RemoteProtocolError(f"status line or headers cannot be read ({error.status})") from None
    except (aiohttp.ClientConnectionError, OSError) as error:
        raise httpx.ReadError(str(error)) from None


class Http:
    """One client for all requests: a pool of connections of one host. Use as an async context manager."""

    def __init__(
        self,
        *,
        tls: bool,
        timeout_seconds: float,
        connect_timeout_seconds: float,
        keepalive_seconds: float,
        max_connections: int,
        max_answer_bytes: int,
        max_list_bytes: int,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_answer_bytes = max_answer_bytes
        self._max_list_bytes = max_list_bytes
        # The system's certificates take 40 ms to load. Without them no connection by TLS would be trusted.
        ssl_context = httpx.create_ssl_context() if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

        def session() -> aiohttp.ClientSession:
            # Called at the first request, inside the running loop.
            connector = aiohttp.TCPConnector(
                limit=max_connections, keepalive_timeout=keepalive_seconds, ssl=ssl_context
            )
            return aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                # Else it gives a request without a body a content type, after the signature was made.
                skip_auto_headers=("Content-Type",),
                middlewares=(_faithful,),
            )

        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(verify=ssl_context, client=session),
            timeout=httpx.Timeout(timeout_seconds, connect=min(connect_timeout_seconds, timeout_seconds)),
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def exchange(self, call: Call, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """SIDE EFFECTS: sends the request, once. ``url`` must be canonical.

        Raises PlatformUnreachable, UncertainAnswer, MalformedAnswer (too large, not readable) or SettingsError.
        """
        request = self._client.build_request(call.method, url, headers=dict(headers), content=body)
        if str(request.url) != url:
            raise AssertionError(f"{call}: the URL would be changed on its way, so its signature would not hold")
        answering = False
        try:
            async with asyncio.timeout(self._timeout_seconds) as deadline:
                response = await self._client.send(request, stream=True)
                answering = True
                try:
                    names = {name.lower(): value for name, value in response.headers.items()}
                    head = Answer(response.status_code, names, b"", time.time())
                    return await self._read(response, head, call, deadline)
                finally:
                    await response.aclose()
        except _FOREIGN as error:
            raise translate(error, call, answering=answering) from None

    async def _read(self, response: httpx.Response, head: Answer, call: Call, deadline: asyncio.Timeout) -> Answer:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            # None was asked for; and unpacking what a stranger packed has no bound.
            raise MalformedAnswer(f"{call}: header Content-Encoding: expected none, got {encoding[:40]!r}")
        reader = call.items(head) if call.items is not None and 200 <= head.status < 300 else None
        limit = self._max_answer_bytes if reader is None else self._max_list_bytes
        content, size, until = bytearray(), 0, deadline.when()
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > limit:
                raise MalformedAnswer(f"{call}: the answer is larger than {limit} bytes")
            if reader is None:
                content += chunk
            else:
                reader.feed(chunk)
                if until is not None:
                    deadline.reschedule(until + size / _LIST_BYTES_PER_SECOND)
                await asyncio.sleep(0)  # what has already come is read without a turn for anybody else
        return replace(head, body=bytes(content), items=[] if reader is None else reader.end())
