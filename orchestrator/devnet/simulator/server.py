"""The HTTP server: one ASGI application that routes, authenticates, replays, performs, records and, on order, fails.

The order of the checks is the platform's contract: path (404), method (405), size (400), token and signature (401),
idempotency key (400, 409, 422), then the operation itself. Every request is recorded before anything else.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
from email.utils import formatdate
from typing import TYPE_CHECKING

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from orchestrator.http_server import Connection

from . import auth
from .answers import Answer, ApiError
from .http_signatures import Message
from .platform import Access, Call, Operation, Platform

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import Receive, Scope, Send

__all__ = ["Application", "QuietServer"]

logger = logging.getLogger(__name__)

LONGEST_BODY = 64 * 1024
Transports = dict[tuple[str, int], asyncio.Transport]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))


class Application:
    """The ASGI application of one platform."""

    def __init__(self, platform: Platform, transports: Transports, admin_token: str) -> None:
        self._platform = platform
        self._transports = transports
        self._admin_token = admin_token
        table: dict[str, dict[str, Operation]] = {}
        for operation in platform.operations:
            path = operation.path if operation.access is Access.ADMIN else f"/v1{operation.path}"
            table.setdefault(path, {})[operation.method] = operation
        self._table = [(_pattern(path), methods) for path, methods in table.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        record = self._open_record(request)
        call: Call | None = None
        try:
            call = await self._route(request)
            if (published := call.operation.published) is not None:
                path = call.path.removeprefix("/v1")
                self._platform.judge.request(published, call.message, path, call.query, call.body)
            answer = await self._answer(call)
        except ClientDisconnect:
            return
        except ApiError as error:
            answer = error.answer()
        except Exception:
            # The server stays up and says so; the trace goes to the log, never to the client.
            logger.exception("%s %s failed", request.method, request.url.path)
            answer = ApiError(500, "internal", "the simulator failed; its log has the reason").answer()
        self._close_record(record, call, answer)
        if answer is None:
            await self._drop(request)
            return
        if call is not None and (published := call.operation.published) is not None:
            self._platform.judge.answer(published, answer, call.faults)
        headers = {"date": formatdate(self._platform.clock.seconds(), usegmt=True)} | answer.headers
        media = "application/json" if answer.body else None
        response = Response(answer.body, answer.status, headers=headers, media_type=media)
        await response(scope, receive, send)

    # --- one request ---------------------------------------------------------------------------------------------

    async def _route(self, request: Request) -> Call:
        path = request.url.path
        for pattern, methods in self._table:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            operation = methods.get(request.method)
            if operation is None:
                self._unknown(request)
                allowed = ", ".join(sorted(methods))
                raise ApiError(
                    405,
                    "method_not_allowed",
                    f"{path} knows {allowed}, not {request.method}",
                    headers={"allow": allowed},
                )
            raw = request.scope.get("raw_path", path.encode()).decode("latin-1")
            query = request.scope["query_string"].decode("latin-1")
            host = request.headers.get("host", "")
            target = f"{request.scope['scheme']}://{host}{raw}" + (f"?{query}" if query else "")
            return Call(
                platform=self._platform,
                operation=operation,
                message=auth.request_message(
                    request.method,
                    target,
                    request.scope["headers"],
                    whole_target_uri=self._platform.options.whole_target_uri,
                ),
                path=path,
                parameters=match.groupdict(),
                query=query,
                body=await self._body(request),
            )
        self._unknown(request)
        raise ApiError(404, "path_not_found", f"the API has no path {path}")

    def _unknown(self, request: Request) -> None:
        self._platform.judge.request(None, Message(request.method, str(request.url), []), request.url.path, "", b"")

    @staticmethod
    async def _body(request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST_BODY:
                raise ApiError(400, "body_too_large", f"the body has more than {LONGEST_BODY} bytes")
        return bytes(body)

    async def _answer(self, call: Call) -> Answer | None:
        """The answer with the ordered faults applied; None for a connection that is to be closed without one."""
        if call.operation.access is Access.ADMIN:
            return await self._perform(call)
        delay = call.fault("delay_before")
        if delay is not None:
            await asyncio.sleep(float(delay.values.get("seconds", 1)))
        if call.fault("drop_before") is not None:
            return None
        broken = call.fault("status")
        if broken is not None:
            status = int(broken.values["status"])
            return ApiError(status, str(broken.values.get("code", "fault")), "ordered by a fault").answer()
        try:
            answer = await self._perform(call)
        except ApiError as error:
            answer = error.answer()
        delay = call.fault("delay_after")
        if delay is not None:
            await asyncio.sleep(float(delay.values.get("seconds", 1)))
        if call.fault("drop_after") is not None:
            return None
        if answer.body and call.fault("malformed_json") is not None:
            return Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers)
        return answer

    async def _perform(self, call: Call) -> Answer:
        operation, keys = call.operation, self._platform.keys
        if operation.access is Access.ADMIN:
            expected = f"Bearer {self._admin_token}".encode()
            if not hmac.compare_digest((call.message.field("authorization") or "").encode("latin-1"), expected):
                raise ApiError(401, "admin_token_invalid", "the devnet's own calls need its admin token")
        if operation.access not in (Access.BEARER, Access.PROGRAMME):
            return await operation.handler(self._platform, call)
        auth.verify_request(self._platform, call)
        given = call.message.values("idempotency-key")
        asked = operation.published is None or operation.published.keyed
        if not operation.modifying or not (given or asked):
            return await operation.handler(self._platform, call)
        key = keys.parse(given)
        stored = keys.begin(key, call.fingerprint)
        if stored is not None:
            call.replayed = True
            return stored
        call.key = key
        try:
            return await operation.handler(self._platform, call)
        except ApiError as error:
            if not error.keep:
                keys.release(key)
                raise
            with self._platform.store.transaction():
                return call.keep(error.answer())
        except Exception:
            keys.release(key)
            raise

    async def _drop(self, request: Request) -> None:
        """Closes the connection without a byte of an answer."""
        client = request.scope.get("client")
        transport = self._transports.get(tuple(client)) if client else None
        if transport is None:
            raise AssertionError(f"no connection from {client} is known")
        transport.abort()
        while (await request.receive())["type"] != "http.disconnect":
            pass

    # --- what is written down ------------------------------------------------------------------------------------

    def _open_record(self, request: Request) -> int:
        key = request.headers.get("idempotency-key")
        store = self._platform.store
        with store.transaction():
            return store.insert(
                "requests",
                at=self._platform.clock.iso(),
                method=request.method,
                path=request.url.path,
                idempotency_key=None if key is None else key[:64],
            )

    def _close_record(self, record: int, call: Call | None, answer: Answer | None) -> None:
        code = None
        if answer is not None and answer.status >= 400:
            try:
                code = json.loads(answer.body).get("code")
            except ValueError:
                code = None
        with self._platform.store.transaction():
            self._platform.store.write(
                "UPDATE requests SET status = ?, code = ?, replayed = ?, fault = ? WHERE id = ?",
                None if answer is None else answer.status,
                code,
                int(call is not None and call.replayed),
                ", ".join(call.faults) or None if call is not None else None,
                record,
            )


class QuietServer(uvicorn.Server):
    """uvicorn inside somebody else's event loop: signals are left alone."""

    def capture_signals(self) -> Generator[None, None, None]:  # type: ignore[override]
        raise AssertionError("signals belong to the program around the simulator")


def protocol(transports: Transports) -> type[Connection]:
    """The server's protocol, which also knows each connection's transport, so that a fault can cut it."""

    class Protocol(Connection):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.client is not None:
                transports[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                transports.pop(self.client, None)
            super().connection_lost(exc)

    return Protocol
