"""The one module that talks JSON-RPC, over web3.py's HTTP provider.

Requests go out in batches, so that a question costs a constant number of round trips. Everything that can go wrong
below (aiohttp, web3, JSON, HTTP statuses) is translated in ONE function, ``_translate``. Answers are handed on raw and
are read by ``chain.node.parse``; web3's formatters would read into a hostile answer before its type is known.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, cast
from urllib.parse import urlsplit

from orchestrator.chain.node.parse import quantity, show
from orchestrator.errors import ChainError, ChainNonsense, ChainUnreachable, SettingsError
from orchestrator.foreign import MalformedJson, read_json
from orchestrator.models import ChainId
from orchestrator.process import lazy_py_ecc

if TYPE_CHECKING:
    from aiohttp import ClientSession, StreamReader
    from web3 import AsyncWeb3
    from web3.providers.rpc import AsyncHTTPProvider
    from web3.types import RPCResponse

_URL = "the node's URL (ORCHESTRATOR_RPC_URL or --rpc-url)"
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""The greatest answer that is read: a batch of 100 codes, or some 40,000 logs."""
_MAX_VALUES: Final = 1_000_000

Call = tuple[str, list[Any]]


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """A JSON-RPC error object: the node understood and refused. ``code`` is JSON-RPC's number."""

    method: str
    code: int
    message: str

    def __str__(self) -> str:
        return f"{self.method} was refused with {self.code}: {self.message}"


class _Unreadable(Exception):
    """Raised inside of the HTTP session only; translated before it leaves this module."""


class Rpc:
    """One JSON-RPC endpoint, over HTTP.

    ``timeout`` is in seconds and for one round trip; ``batch_size`` is the most calls in one HTTP request (public nodes
    limit it). Only reads are made, so a request that died with its kept-alive connection is sent once more. Must be
    closed; it belongs to one event loop from its first call until then.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        batch_size: int = 100,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"{_URL}: expected one that begins with http:// or https:// and names a host")
        self._url = url
        try:
            port = f":{parts.port}" if parts.port else ""
        except ValueError as error:
            raise SettingsError(f"{_URL}: expected a port number from 1 to 65535 in it") from error
        self.endpoint: Final = f"{parts.scheme}://{parts.hostname}{port}"
        """Scheme, host and port: the rest of a URL often holds an API key."""
        self._timeout = timeout
        self._batch_size = batch_size
        self._max_answer_bytes = max_answer_bytes
        self._w3: AsyncWeb3[AsyncHTTPProvider] | None = None
        self._session: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.round_trips = 0
        """HTTP requests sent so far."""

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The raw results in the order of the calls; a call that the node refused has an RpcFailure in its place.

        Raises ChainUnreachable (no answer, timeout, HTTP error, overload) or ChainNonsense (no valid JSON-RPC answer).
        """
        results: list[Any] = []
        for start in range(0, len(calls), self._batch_size):
            results += await self._batch(calls[start : start + self._batch_size])
        return results

    async def call(self, method: str, params: list[Any]) -> Any:
        """One raw result. Raises ChainUnreachable, or ChainNonsense where the node refuses."""
        return self.demand(await self.call_or_failure(method, params))

    async def call_or_failure(self, method: str, params: list[Any]) -> Any:
        """One raw result, or the RpcFailure where the node refuses."""
        (result,) = await self.batch([(method, params)])
        return result

    def demand(self, result: Any) -> Any:
        """The result, unless it is a refusal: then raises ChainNonsense with the node's words."""
        if isinstance(result, RpcFailure):
            raise ChainNonsense(f"{self.endpoint}: {result}", code="rpc_refused")
        return result

    async def chain_id(self) -> ChainId:
        """``eth_chainId``."""
        return ChainId(quantity(await self.call("eth_chainId", []), f"{self.endpoint}: eth_chainId"))

    async def close(self) -> None:
        """Ends the connections."""
        session, self._session, self._w3 = self._session, None, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- below: transport ---------------------------------------------------------------------------------------

    async def _batch(self, calls: Sequence[Call]) -> list[Any]:
        w3 = self._connect()
        answers: Any = None
        for attempt in (1, 2):
            self.round_trips += 1
            try:
                async with asyncio.timeout(self._timeout):
                    body = cast("bytes", await w3.provider.make_batch_request(cast("Any", list(calls))))
                    answers = await asyncio.to_thread(_read, body, self._max_answer_bytes)
                break
            except Exception as error:  # noqa: BLE001 - a hostile answer can raise anything inside of web3
                if attempt == 1 and _connection_died(error):
                    continue
                # Not "from error": aiohttp's exceptions show the whole URL, with its key, wherever a cause is logged.
                raise _translate(error, self.endpoint, self._timeout) from None
        if isinstance(answers, dict):
            failure = _failure(answers, "batch", self.endpoint)
            raise _refusal(failure, self.endpoint)
        return self._match(calls, answers)

    def _match(self, calls: Sequence[Call], answers: Any) -> list[Any]:
        """The answers to their calls: they are sorted by id, and web3 numbers the calls of a batch in sequence."""
        if not isinstance(answers, list) or len(answers) != len(calls):
            raise ChainNonsense(f"{self.endpoint}: expected {len(calls)} answers to a batch, got {show(answers)}")
        results: list[Any] = []
        first: int | None = None
        for index, ((method, _), answer) in enumerate(zip(calls, answers, strict=True)):
            if not isinstance(answer, dict):
                raise ChainNonsense(f"{self.endpoint}: {method}: expected an object, got {show(answer)}")
            number = answer.get("id")
            if not isinstance(number, int) or isinstance(number, bool):
                raise ChainNonsense(f"{self.endpoint}: {method}: expected a number as id, got {show(number)}")
            first = number if first is None else first
            if number != first + index:
                raise ChainNonsense(f"{self.endpoint}: {method}: expected id {first + index}, got {show(number)}")
            if answer.get("error") is not None:
                failure = _failure(answer, method, self.endpoint)
                if _is_overload(failure):
                    raise _refusal(failure, self.endpoint)
                results.append(failure)
            elif "result" in answer:
                results.append(answer["result"])
            else:
                raise ChainNonsense(f"{self.endpoint}: {method}: neither a result nor an error")
        return results

    def _connect(self) -> AsyncWeb3[AsyncHTTPProvider]:
        """web3 with a session of this event loop: connections kept alive, answers limited in size."""
        loop = asyncio.get_running_loop()
        if self._w3 is not None:
            if self._loop is not loop:
                raise AssertionError("an Rpc must be closed in its event loop before another one uses it")
            return self._w3
        # Imported here: web3 takes most of a second, and the command line answers --help without it.
        from aiohttp import ClientResponse, ClientSession, TCPConnector

        with lazy_py_ecc():
            from web3 import AsyncWeb3
            from web3._utils.http_session_manager import HTTPSessionManager
            from web3.providers.rpc import AsyncHTTPProvider

        # web3 logs the whole URL at these two when anything turns DEBUG on for all.
        for name in ("web3.providers.AsyncHTTPProvider", "web3._utils.http_session_manager.HTTPSessionManager"):
            logging.getLogger(name).setLevel(logging.WARNING)

        limit = self._max_answer_bytes

        class LimitedResponse(ClientResponse):
            async def read(self) -> bytes:
                try:
                    self._body = await _limited(self.content, limit)
                except BaseException:
                    self.close()
                    raise
                return self._body

        # Each call of this session is one round trip with a deadline of its own (asyncio.timeout above). No redirects
        # and no proxy from the environment: the URL that was given is the one that is asked.
        session = ClientSession(
            connector=TCPConnector(limit=32), response_class=LimitedResponse, raise_for_status=True, trust_env=False
        )

        class RawProvider(AsyncHTTPProvider):
            @staticmethod
            def decode_rpc_response(raw_response: bytes) -> RPCResponse:
                return cast("RPCResponse", raw_response)  # which ``_read`` decodes

        class OneSession(HTTPSessionManager):
            """web3's own takes a lock of the whole process before each request, in a thread. A request that is
            cancelled while it waits keeps the lock for ever, and no request of the process is sent any more."""

            async def async_cache_and_return_session(self, *_args: Any, **_options: Any) -> ClientSession:
                return session

        provider = RawProvider(self._url, request_kwargs={"allow_redirects": False}, exception_retry_configuration=None)
        provider._request_session_manager = OneSession()
        w3: AsyncWeb3[AsyncHTTPProvider] = AsyncWeb3(provider)
        self._w3, self._session, self._loop = w3, session, loop
        return w3


async def _limited(content: StreamReader, limit: int) -> bytes:
    """A response's body, which must be of at most ``limit`` bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in content.iter_any():
        size += len(part)
        if size > limit:
            raise _Unreadable(f"the answer has more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _read(body: bytes, limit: int) -> Any:
    """The answer to a batch, its answers in the order of their ids where all have one. For a thread.

    Some nodes name a member of a block or transaction twice, so that is no failure here.
    """
    try:
        answers = read_json(body, max_bytes=limit, max_values=_MAX_VALUES, unique=False)
    except MalformedJson as error:
        raise _Unreadable(f"the answer {error}") from None
    if isinstance(answers, list) and all(isinstance(one, dict) and type(one.get("id")) is int for one in answers):
        answers.sort(key=lambda one: one["id"])
    return answers


def _connection_died(error: BaseException) -> bool:
    """A kept-alive connection that the node had closed: a read may be sent again."""
    from aiohttp import ClientConnectorError, ClientOSError, ServerDisconnectedError

    return isinstance(error, ServerDisconnectedError | ClientOSError) and not isinstance(error, ClientConnectorError)


def _translate(error: Exception, endpoint: str, timeout: float) -> ChainError:
    """Every exception of aiohttp, web3 and json as ours. Never shows the URL: it may hold a key."""
    import aiohttp

    name = type(error).__name__
    if isinstance(error, ChainError):
        return error
    if isinstance(error, TimeoutError):
        return ChainUnreachable(f"{endpoint}: no answer within {timeout:g} s")
    if isinstance(error, _Unreadable):
        return ChainNonsense(f"{endpoint}: {error}", code="answer_unreadable")
    if isinstance(error, aiohttp.ClientResponseError):
        if error.status in (408, 429) or error.status >= 500:
            return ChainUnreachable(f"{endpoint}: expected HTTP 200, got {error.status}")
        hint = " (is the API key in the URL right?)" if error.status in (401, 403) else ""
        return ChainNonsense(f"{endpoint}: expected HTTP 200, got {error.status}{hint}", code="rpc_http")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or type(error.os_error).__name__
        return ChainUnreachable(f"{endpoint}: no connection: {reason}")
    if isinstance(error, aiohttp.InvalidURL):
        return ChainNonsense(f"{endpoint}: the RPC URL is malformed", code="rpc_url")
    if isinstance(error, aiohttp.ClientError | OSError):
        return ChainUnreachable(f"{endpoint}: the connection broke off ({name})")
    # json and web3: ValueError, UnicodeDecodeError, RecursionError, TypeError, KeyError, Web3Exception, …
    return ChainNonsense(f"{endpoint}: the answer is not valid JSON-RPC ({name})")


def _failure(answer: dict[str, Any], method: str, endpoint: str) -> RpcFailure:
    error = answer.get("error")
    if not isinstance(error, dict):
        raise ChainNonsense(f"{endpoint}: {method}: expected an error object, got {show(error)}")
    code, message = error.get("code"), error.get("message")
    number = code if isinstance(code, int) and abs(code) < 2**31 else 0
    text = message if isinstance(message, str) and message.strip() else "no reason given"
    return RpcFailure(method, number, " ".join(text.split())[:300])


def _is_overload(failure: RpcFailure) -> bool:
    """-32005 is "limit exceeded" in the common error codes (EIP-1474); 429 is copied from HTTP by some gateways."""
    return failure.code in (-32005, 429)


def _refusal(failure: RpcFailure, endpoint: str) -> ChainError:
    if _is_overload(failure):
        return ChainUnreachable(f"{endpoint}: {failure}", code="rpc_overload")
    return ChainNonsense(f"{endpoint}: {failure}", code="rpc_refused")
