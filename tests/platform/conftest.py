"""A platform on loopback that answers what a test scripts: real sockets, so that drops and half answers are real."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import SecretStr

from orchestrator.platform import PlatformClient, PlatformSettings

API_KEY = "0b0f3a52-7f2c-4b93-8e0a-3b8e2e8f4c11"
API_SECRET = "s3cret-that-must-never-show"
OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


@dataclass
class Seen:
    """A request as it came over the wire."""

    method: str
    target: str
    lines: list[tuple[str, str]]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.lines if key.lower() == name.lower()), None)


@dataclass
class Reply:
    """An answer. ``drop``: the connection is closed without one; ``cut``: after so many bytes of the body."""

    status: int = 200
    value: Any = None
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    cut: int | None = None
    hang: bool = False

    def bytes(self) -> bytes:
        body = self.raw if self.raw is not None else b"" if self.value is None else json.dumps(self.value).encode()
        names = {"content-type": "application/json", **self.headers} if body else dict(self.headers)
        if self.status != 204:
            names["content-length"] = str(len(body))
        head = f"HTTP/1.1 {self.status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in names.items()) + "\r\n"
        return head.encode() + (body if self.cut is None else body[: self.cut])


Script = Callable[[Seen], Awaitable[Reply] | Reply]


class LoopbackPlatform:
    """Scripted answers by method and path (under ``/v1``); the last of several repeats itself."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self.tokens = 0
        self.token_life = 3600
        self.speak: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None
        """Takes a connection over, to say what is no HTTP."""
        self.fallback: Script = lambda seen: Reply(404, {"code": "not_found", "message": "no such thing"})
        self._scripts: dict[tuple[str, str], list[Reply | Script]] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.on("POST", "/auth/token", self._login)

    def _login(self, seen: Seen) -> Reply:
        sent = json.loads(seen.body)
        if sent != {"apiKey": API_KEY, "apiSecret": API_SECRET}:
            return Reply(401, {"code": "invalid_credentials", "message": "no"})
        self.tokens += 1
        return Reply(200, {"token": self.token, "expiresAt": int(time.time()) + self.token_life, "tokenType": "Bearer"})

    @property
    def token(self) -> str:
        return f"token-{self.tokens}"

    def on(self, method: str, path: str, *replies: Reply | Script) -> None:
        self._scripts[method, "/v1" + path] = list(replies)

    def calls(self, method: str, path: str) -> list[Seen]:
        return [one for one in self.seen if one.method == method and one.path == "/v1" + path]

    @property
    def origin(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        return self.origin + "/v1"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.speak is not None:
                await self.speak(reader, writer)
            else:
                while await self._one(reader, writer):
                    pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        lines = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
        seen = Seen(method, target, lines, b"")
        seen.body = await reader.readexactly(int(seen.header("content-length") or 0))
        self.seen.append(seen)
        scripts = self._scripts.get((method, seen.path))
        script = self.fallback if scripts is None else scripts.pop(0) if len(scripts) > 1 else scripts[0]
        if isinstance(script, Reply):
            reply = script
        else:
            made = script(seen)
            reply = made if isinstance(made, Reply) else await made
        if reply.hang:
            await asyncio.Event().wait()
        if reply.drop:
            return False
        writer.write(reply.bytes())
        await writer.drain()
        return reply.cut is None


class Keys:
    """A P-384 pair as PEM text."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP384R1())
        self.private_pem = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self.public_pem = (
            self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        )


@pytest.fixture(scope="session")
def signing_keys() -> Keys:
    return Keys()


@pytest.fixture
async def server() -> AsyncIterator[LoopbackPlatform]:
    platform = LoopbackPlatform()
    await platform.start()
    yield platform
    await platform.stop()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture
def settings(server: LoopbackPlatform, signing_keys: Keys) -> Callable[..., PlatformSettings]:
    """Settings for the loopback platform; keywords replace some."""

    def make(**changes: Any) -> PlatformSettings:
        values: dict[str, Any] = {
            "base_url": server.url,
            "api_key": API_KEY,
            "api_secret": SecretStr(API_SECRET),
            "signing_key_pem": SecretStr(signing_keys.private_pem),
            "signing_key_id": "key-1",
            "timeout_seconds": 5.0,
            "backoff_seconds": 0.001,
        }
        return PlatformSettings(**(values | changes))

    return make


@pytest.fixture
async def client(settings: Callable[..., PlatformSettings]) -> AsyncIterator[PlatformClient]:
    async with PlatformClient(settings()) as one:
        yield one


@pytest.fixture
def account_json() -> Callable[..., dict[str, Any]]:
    """An account as the API writes it."""

    def make(account_id: str | None = None, **changes: Any) -> dict[str, Any]:
        return {
            "id": account_id or str(uuid.uuid4()),
            "customerId": str(uuid.uuid4()),
            "status": "initiating",
            "type": "card_account",
            "currencies": ["EUR"],
            "createdAt": "2024-01-12T15:07:17.358440283Z",
            "updatedAt": "2024-01-12T15:07:17.358440999Z",
            "aFieldOfTomorrow": {"x": 1},
        } | changes

    return make


@pytest.fixture
def challenge_text() -> str:
    return base64.b64encode(str(uuid.uuid4()).encode()).decode()
