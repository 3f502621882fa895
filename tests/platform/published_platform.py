"""A card platform in the standard library: it answers as the platform's published file says, and checks signatures by
the published rule, with the published middleware's answers. It shares nothing with the package or its simulator."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric import ec

from tests.platform.published_verifier import ServerRequest, refusal

Answer = tuple[int, Any]
_ID = r"([0-9a-f-]{36})"
_MODIFYING = ("POST", "PUT", "PATCH", "DELETE")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


class PublishedPlatform:
    """One programme with one active customer. Use as a context manager."""

    def __init__(self, key: ec.EllipticCurvePublicKey, key_id: str, api_key: str, api_secret: str) -> None:
        self.key, self.key_id = key, key_id
        self.credentials = {"apiKey": api_key, "apiSecret": api_secret}
        self.customer_id = str(uuid.uuid4())
        self.owner = "eip155:31337:0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
        self.skew = 0.0
        """Its clock minus this machine's, seconds."""
        self.required: tuple[str, ...] = ("@method", "@authority", "@path")
        self.digests: tuple[str, ...] = ("sha-256", "sha-512")
        self.seen: list[tuple[str, str, int]] = []
        """Method, path and status of each request under /v1."""
        self._tokens: set[str] = set()
        self._accounts: dict[str, dict[str, Any]] = {}
        self._webhooks: dict[str, dict[str, Any]] = {}
        self._challenges: dict[str, str] = {}
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"platform": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> PublishedPlatform:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # --- one request -------------------------------------------------------------------------------------------------

    def answer(self, request: ServerRequest) -> Answer | str:
        """Status and JSON; or what the middleware answers a bad signature."""
        path = request.target.partition("?")[0].removeprefix("/v1")
        value = json.loads(request.body) if request.body else None
        if path == "/auth/token":
            if value != self.credentials:
                return 401, None
            token = secrets.token_urlsafe(24)
            self._tokens.add(f"Bearer {token}")
            expires = int(time.time() + self.skew) + 3600
            return 200, {"token": token, "expiresAt": expires, "tokenType": "Bearer"}
        if request.field("authorization") not in self._tokens:
            return 401, None
        if self._refuses(request):
            return "invalid required signature"
        if request.method in _MODIFYING and re.fullmatch(_ID, request.field("idempotency-key") or "") is None:
            return 400, None
        for method, pattern, handler in self._routes():
            found = re.fullmatch(pattern, path)
            if method == request.method and found is not None:
                return handler(*found.groups(), *([value] if request.body else []))
        return 404, None

    def _refuses(self, request: ServerRequest) -> bool:
        now = time.time() + self.skew
        if refusal(request, key=self.key, key_id=self.key_id, now=now, required=self.required) is not None:
            return True
        return bool(request.body) and (request.field("content-digest") or "").partition("=")[0] not in self.digests

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        account = f"/accounts/{_ID}"
        return [
            ("GET", f"/customers/{_ID}", self._customer),
            ("POST", f"/customers/{_ID}/accounts", self._create),
            ("GET", f"/customers/{_ID}/accounts", lambda _: (200, list(self._accounts.values()))),
            ("GET", "/accounts", lambda: (200, list(self._accounts.values()))),
            ("GET", account, lambda one: (200, self._accounts[one]) if one in self._accounts else (404, None)),
            ("DELETE", account, lambda one: (204, self._challenge(one))),
            ("GET", f"{account}/challenge", lambda one: (200, {"challenge": self._challenge(one)})),
            ("POST", f"{account}/challenge/sign", self._sign),
            ("PATCH", f"{account}/deactivate", lambda one: self._move(one, "active", "inactive")),
            ("PATCH", f"{account}/activate", lambda one: self._move(one, "inactive", "active")),
            ("GET", f"{account}/cards", lambda _: (200, [])),
            ("PUT", "/webhooks", self._save_webhook),
            ("GET", "/webhooks", lambda: (200, list(self._webhooks.values()))),
            ("GET", f"/webhooks/{_ID}", lambda one: (200, self._webhooks[one])),
            ("DELETE", f"/webhooks/{_ID}", lambda one: (204, self._webhooks.pop(one))),
        ]

    def _customer(self, customer: str) -> Answer:
        times = {"createdAt": _now(), "updatedAt": _now()}
        return 200, {"id": customer, "externalId": "x", "chainId": self.owner, "status": "active"} | times

    def _create(self, customer: str, value: Any) -> Answer:
        one = str(uuid.uuid4())
        times = {"createdAt": _now(), "updatedAt": _now()}
        self._accounts[one] = {"id": one, "customerId": customer, "status": "initiating", **value, **times}
        return 201, self._accounts[one] | {"challenge": self._challenge(one)}

    def _challenge(self, one: str) -> str:
        self._challenges[one] = secrets.token_hex(16)
        return self._challenges[one]

    def _sign(self, one: str, value: Any) -> Answer:
        if one not in self._accounts:
            return 404, None
        if value["challenge"] != self._challenges.pop(one, None):
            return 409, None
        state = "active" if self._accounts[one]["status"] == "initiating" else "closed"
        self._accounts[one] |= {"status": state, "chainId": f"eip155:31337:0x{'11' * 20}"}
        return 204, None

    def _move(self, one: str, before: str, after: str) -> Answer:
        if self._accounts[one]["status"] != before:
            return 409, None
        self._accounts[one] |= {"status": after, "updatedAt": _now()}
        return 200, self._accounts[one]

    def _save_webhook(self, value: Any) -> Answer:
        one = value.get("id") or str(uuid.uuid4())
        self._webhooks[one] = value | {"id": one, "createdAt": _now(), "updatedAt": _now()}
        return 200, self._webhooks[one]


class _Server(ThreadingHTTPServer):
    block_on_close = False
    """A connection that its client keeps open holds nothing up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    platform: ClassVar[PublishedPlatform]

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        request = ServerRequest(self.command, self.path, list(self.headers.items()), body)
        answer = self.platform.answer(request)
        status, value = (400, answer) if isinstance(answer, str) else answer
        self.platform.seen.append((self.command, self.path, status))
        content = value.encode() if isinstance(value, str) else b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("content-type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        if status != 204:
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 the library's names

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(time.time() + self.platform.skew, usegmt=True)

    def log_message(self, *_: object) -> None:
        """The tests look at what was seen."""
