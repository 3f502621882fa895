"""The service in this process, on a real socket, with a real journal, platform and chain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from orchestrator.app import Orchestrator
from orchestrator.devnet.devnet import Devnet
from orchestrator.devnet.simulator import SimulatorThread
from orchestrator.errors import JournalError
from orchestrator.http_server import Limits, configure
from orchestrator.service.server import LIMITS
from orchestrator.service.webapp import build_app
from orchestrator.settings import Settings

TOKEN = "a-token-of-the-tests-0123456789"
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of this machine: the system's take 50 ms to load."""


async def _eventually(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """Waits until ``condition`` (a function or coroutine function) gives something true, and returns it."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


def _account_event(account_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """A delivery as the platform's documentation has it."""
    return {
        "webhookType": "account.updated",
        "eventId": str(uuid.uuid4()),
        "id": account_id or str(uuid.uuid4()),
        "customerId": str(uuid.uuid4()),
        "status": "active",
        "type": "CARD_ACCOUNT",
        "currencies": ["EUR"],
        "createdAt": "2026-01-12T15:07:17.358440283Z",
        "updatedAt": "2026-01-12T15:07:18.358440283Z",
    } | changes


@dataclass
class Service:
    """A running service and a client of it."""

    url: str
    settings: Settings
    orchestrator: Orchestrator
    server: uvicorn.Server
    simulator: SimulatorThread
    """The platform that signs what is posted."""
    http: httpx.AsyncClient = field(
        default_factory=lambda: httpx.AsyncClient(
            trust_env=False, timeout=30, limits=httpx.Limits(max_connections=60), verify=NO_CERTIFICATES
        )
    )

    @property
    def hook(self) -> str:
        assert self.settings.webhook_token is not None
        return f"{self.url}/webhooks/{self.settings.webhook_token.get_secret_value()}"

    async def post(self, body: bytes | dict[str, Any], **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        signed = await asyncio.to_thread(_signed, self.simulator, self.hook, content)
        return await self.http.post(self.hook, content=content, headers=signed | headers)

    def inbox(self) -> dict[str, str | None]:
        return _inbox(self.settings)

    async def handled(self, event_id: str) -> None:
        await _eventually(lambda: self.inbox().get(event_id), f"{event_id} is handled")


def _signed(simulator: SimulatorThread, url: str, body: bytes) -> dict[str, str]:
    """The headers of a delivery by the simulated platform."""
    return simulator.run(lambda: simulator.simulator.platform.deliveries.sign(url, body))


def _inbox(settings: Settings) -> dict[str, str | None]:
    """When each event of the inbox was handled, read beside the journal's own code."""
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return dict(database.execute("SELECT event_id, handled_at FROM inbox").fetchall())


@contextlib.asynccontextmanager
async def _running(
    orchestrator: Orchestrator, settings: Settings, simulator: SimulatorThread, limits: Limits = LIMITS
) -> AsyncIterator[Service]:
    """The application under the service's HTTP server, on a port that the system chose."""
    server = uvicorn.Server(configure(build_app(orchestrator, settings), limits, lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server._serve([listener]))
        await _eventually(lambda: server.started or serving.done(), "the server has started")
        service = Service(f"http://127.0.0.1:{listener.getsockname()[1]}", settings, orchestrator, server, simulator)
        try:
            yield service
        finally:
            await service.http.aclose()
            server.should_exit = True
            await serving


@pytest.fixture
def eventually() -> Any:
    """``await eventually(condition, what, seconds=30)``."""
    return _eventually


async def _at_once(operation: Callable[..., Any], account_id: str) -> Any:
    """Starts an operation and does not wait for it, as soon as the service's own look at the account is over."""
    while True:
        try:
            return await operation(account_id, timeout=0)
        except JournalError as error:
            if error.code != "account_busy":
                raise
            await asyncio.sleep(0.02)


@pytest.fixture
def at_once() -> Any:
    """``await at_once(orchestrator.activate, account_id)``."""
    return _at_once


@pytest.fixture
def account_event() -> Any:
    """``account_event(account_id=None, **changes)``: the body of a delivery."""
    return _account_event


@pytest.fixture
def inbox() -> Any:
    """``inbox(settings)``: when each event was handled."""
    return _inbox


@pytest.fixture
def signed() -> Any:
    """``signed(simulator, url, body)``: the headers of a delivery."""
    return _signed


@pytest.fixture
def running(platform: SimulatorThread) -> Any:
    """``async with running(orchestrator, settings, limits=LIMITS, simulator=platform) as service``."""

    def run(orchestrator: Orchestrator, settings: Settings, limits: Limits = LIMITS, simulator: Any = platform) -> Any:
        return _running(orchestrator, settings, simulator, limits)

    return run


@pytest.fixture
def service_settings(orchestrator_settings: Settings) -> Settings:
    values = orchestrator_settings.model_dump() | {"webhook_token": TOKEN}
    return Settings.model_validate(values)


@pytest.fixture
async def service(service_settings: Settings, running: Any) -> AsyncIterator[Service]:
    async with Orchestrator.open(service_settings) as opened, running(opened, service_settings) as made:
        yield made


@pytest.fixture
async def account_id(service: Service, devnet: Devnet) -> str:
    """An account of the programme that this journal knows nothing of."""
    account = await service.orchestrator.create_account(devnet.programme.customer_id, "EUR")
    return account.account_id
