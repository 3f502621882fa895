"""The HTTP side of the service: webhooks in, and two pages for whoever watches over the process.

A delivery is hostile until it is verified and parsed, and a hint even then: it is kept, answered after the commit, and
the account is read back from the platform before anything is done. Its claims are used for nothing else.

Other types than ``account.updated`` are answered 200 and NOT kept: nothing here follows from them, and cards' and
transactions' data is not ours to collect.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.app import Orchestrator
from orchestrator.connect import CHAIN_SETTINGS, PLATFORM_SETTINGS, make_callback_url
from orchestrator.errors import JournalError, MalformedAnswer, OrchestratorError, UnsupportedChain
from orchestrator.foreign import read_json
from orchestrator.platform.subscription import require_token, shown_url
from orchestrator.platform.verification_keys import VerificationKeys
from orchestrator.platform.webhook import WebhookEvent, parse_delivery
from orchestrator.platform.webhook_signature import WebhookVerifier
from orchestrator.service.worker import Worker
from orchestrator.settings import Settings

_log = structlog.get_logger(__name__)

LONGEST_BODY = 64 * 1024
"""Bytes of one delivery; an account is well under two thousand."""
_DRAINED = 4 * 1024 * 1024
"""Bytes of a body that is too long which are still read, so that its sender can read the refusal."""
_BODY_SECONDS = 10.0
_OTHER_NAMESPACE = re.compile(r"(?!eip155:)[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}:[-.%a-zA-Z0-9]{1,128}")


def build_app(orchestrator: Orchestrator, settings: Settings) -> Starlette:
    """The ASGI application. Its lifespan runs the worker, so it works in any ASGI server.

    Raises SettingsError for a setting that the service needs and does not find, all of them before anything starts.
    """
    token = check_settings(settings)
    worker = Worker(orchestrator, settings)
    keys = VerificationKeys(worker.platform.verification_key)
    verifier = WebhookVerifier(keys, settings.clock_tolerance)
    inbox = _Inbox(orchestrator, worker, token, verifier, make_callback_url(settings))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with worker:
            yield

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_request: Request) -> Response:
        journal = await _journal_condition(orchestrator)
        keys = worker.keys.condition
        checks = {
            "journal": journal,
            "platform": worker.condition.platform,
            "keys": keys.keys,
            "request_key": keys.request_key,
        }
        good = all(check == "ok" for check in checks.values())
        # The chain is shown and not counted: webhooks can be taken, and accounts followed, while a node is away.
        # So is the subscription: without webhooks accounts are polled.
        shown = {"chain": worker.condition.chain, "webhooks": worker.condition.webhooks}
        document = {"ready": good, "checks": {**checks, **shown}}
        return JSONResponse(document, 200 if good else 503)

    return Starlette(
        routes=[
            Route("/webhooks/{token}", inbox.receive, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
            Route("/ready", ready, methods=["GET"]),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error},
    )


def check_settings(settings: Settings) -> str:
    """The webhooks' token, once all that the service needs is there. Raises SettingsError."""
    settings.need(*PLATFORM_SETTINGS, *CHAIN_SETTINGS)
    make_callback_url(settings)
    return require_token(settings.webhook_token.get_secret_value() if settings.webhook_token else None)


class _Inbox:
    """``POST /webhooks/{token}``."""

    def __init__(
        self, orchestrator: Orchestrator, worker: Worker, token: str, verifier: WebhookVerifier, url: str | None
    ) -> None:
        self._journal = orchestrator.journal
        self._worker = worker
        self._token = _digest(token)
        self._verifier = verifier
        self._url = url

    async def receive(self, request: Request) -> Response:
        if not hmac.compare_digest(_digest(request.path_params["token"]), self._token):
            _log.warning("webhook_unknown_token")
            raise HTTPException(404)
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await _body(request)
        except TimeoutError:
            return _refused(408, "body_timeout", f"the body did not arrive within {_BODY_SECONDS:g} s")
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        if body is None:
            return _refused(413, "body_too_large", f"expected at most {LONGEST_BODY} bytes, got more")
        unverified = await self._unverified(request, body)
        if unverified is not None:
            return unverified
        try:
            event = parse_delivery(body, content_type=request.headers.get("content-type", "application/json"))
        except UnsupportedChain as error:
            if not _of_another_namespace(body):
                return _refused(400, "webhook_malformed", error.message)
            # A refusal would only make the platform repeat it for a day: there is nothing to do for such an account.
            _log.info("webhook_ignored", reason=error.message)
            return _taken()
        except MalformedAnswer as error:
            return _refused(400, "webhook_malformed", error.message)
        return await self._keep(event, body)

    async def _unverified(self, request: Request, body: bytes) -> Response | None:
        """The refusal of a delivery that the platform has not signed; None for one that it has."""
        try:
            asked, query = str(request.url), request.url.query
        except ValueError:
            return _refused(400, "webhook_malformed", "the header Host and the target of the request are no URL")
        url = asked if self._url is None else self._url + (f"?{query}" if query else "")
        try:
            await self._verifier.verify("POST", url, request.headers.items(), body)
        except OrchestratorError as error:
            if error.code == "webhook_signature_invalid":
                source = "ORCHESTRATOR_PUBLIC_URL" if self._url else "the request, for want of ORCHESTRATOR_PUBLIC_URL"
                # Most often a proxy has changed the URL: the operator sees which one was compared.
                return _refused(401, error.code, error.message, compared=shown_url(url), compared_from=source)
            message = "the platform's verification key could not be read; send it again later"
            return _refused(503, error.code, message, reason=error.message)
        return None

    async def _keep(self, event: WebhookEvent, body: bytes) -> Response:
        account_id = event.account_id
        if account_id is None:
            return _taken()
        try:
            fresh = await self._journal.receive(
                event.event_id, event.type, account_id, body.decode(), datetime.now(UTC)
            )
        except JournalError as error:
            _log.error("webhook_not_kept", code=error.code, message=error.message, event_id=event.event_id)
            return _refused(503, error.code, "the delivery could not be kept; send it again later")
        _log.info("webhook", event_id=event.event_id, account=account_id, duplicate=not fresh)
        if fresh:
            self._worker.received(event.event_id, account_id)
        return _taken()


def _digest(text: str) -> bytes:
    """Of equal length for every text, so that the time of a comparison does not show the token's length."""
    return hashlib.sha256(text.encode(errors="replace")).digest()


async def _body(request: Request) -> bytes | None:
    """The body; None if it is too long."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _DRAINED:
            return None
        if size <= LONGEST_BODY:
            parts.append(part)
    return b"".join(parts) if size <= LONGEST_BODY else None


def _of_another_namespace(body: bytes) -> bool:
    """Whether the delivery's account is well-formed (CAIP-10) and of another kind of chain, such as Solana."""
    chain = read_json(body, max_bytes=LONGEST_BODY)["chainId"]  # read once before, as an object that has it
    return isinstance(chain, str) and _OTHER_NAMESPACE.fullmatch(chain) is not None


def _taken() -> Response:
    """What the platform's published file has for success."""
    return JSONResponse({})


def _refused(status: int, code: str, message: str, **logged: str) -> Response:
    _log.warning("webhook_refused", status=status, code=code, message=message, **logged)
    # The rest of a body that was given up is not waited for.
    headers = {"connection": "close"} if status in (408, 413) else None
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers=headers)


async def _http_error(_request: Request, error: Exception) -> Response:
    """One answer for every path that is not there, the webhooks' with a wrong token included."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "http_error")
    headers = error.headers if isinstance(error, HTTPException) else None
    document = {"error": {"code": code, "message": code.replace("_", " ")}}
    return JSONResponse(document, status, headers=headers)


async def _journal_condition(orchestrator: Orchestrator) -> str:
    try:
        await orchestrator.journal.read("")
    except JournalError as error:
        return error.code
    return "ok"
