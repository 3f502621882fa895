"""Starts and stops the simulator: in the running event loop, or in a thread of its own for synchronous callers."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.http_server import Limits, configure

from . import admin, auth, customers, routes
from .config import Credentials, Programme, SimulatorConfig
from .jobs import ChainJobs
from .platform import Platform
from .server import Application, QuietServer, Transports, protocol

__all__ = ["Simulator", "SimulatorThread"]

T = TypeVar("T")

_LIMITS = Limits(connections=4096, requests=4096, answer_seconds=3600.0)
"""Wide: a test may open many connections, and a fault may hold an answer back."""


class Simulator:
    """The platform as a real HTTP server on loopback, in the running event loop. An async context manager.

    A restart with the same configuration continues where the last one ended, or was killed. All methods but
    construction belong to the event loop that started it.
    """

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config if config.admin_token else replace(config, admin_token=secrets.token_urlsafe(24))
        self.credentials: Credentials | None = None
        self._platform: Platform | None = None
        self._server: QuietServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._transports: Transports = {}
        self._port = 0

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:<port>``."""
        return f"http://{self.config.host}:{self._port}"

    @property
    def url(self) -> str:
        """The API's base URL, with ``/v1``."""
        return f"{self.origin}/v1"

    @property
    def admin_url(self) -> str:
        """The base URL of the devnet's own calls, with ``/simulator``."""
        return f"{self.origin}/simulator"

    @property
    def admin_token(self) -> str:
        return self.config.admin_token

    @property
    def platform(self) -> Platform:
        """The state behind the server: for tests and for the devnet, in the same event loop."""
        if self._platform is None:
            raise AssertionError("the simulator has not been started")
        return self._platform

    async def start(self) -> Self:
        """SIDE EFFECTS: opens the database and the port, continues unfinished work."""
        listener = socket.create_server((self.config.host, self.config.port))
        try:
            self._port = int(listener.getsockname()[1])
            self._platform = Platform(self.config, routes.OPERATIONS, ChainJobs)
            application = Application(self._platform, self._transports, self.config.admin_token)
            self._server = QuietServer(
                configure(
                    application,
                    _LIMITS,
                    connection=protocol(self._transports),
                    lifespan="off",
                    loop="none",
                    date_header=False,
                    timeout_graceful_shutdown=1,
                )
            )
            await self._platform.start()
            # Connections are accepted by the kernel from here on, so a client may call at once.
            self._serving = asyncio.create_task(self._server._serve([listener]), name="simulator")
            while not self._server.started:
                if self._serving.done():
                    await self._serving
                await asyncio.sleep(0.005)
        except BaseException:
            listener.close()
            raise
        return self

    async def stop(self) -> None:
        """Ends the server and its workers; requests get a second to finish."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
        if self._platform is not None:
            await self._platform.stop()
        self._server = self._serving = self._platform = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def bootstrap(
        self, owner: str, *, external_id: str | None = None, credentials: Credentials | None = None
    ) -> Programme:
        """A ready programme: credentials, a registered signing key, and an active customer whose wallet is ``owner``.

        ``credentials`` of an earlier start of the same database are kept; else new ones replace whatever was there. The
        customer is found again by its wallet.
        """
        self.credentials = credentials or self._new_credentials()
        platform = self.platform
        chain_id = f"eip155:{self.config.chain_id}:{owner}"
        row = platform.store.one("SELECT * FROM customers WHERE chain_id = ?", chain_id)
        if row is None:
            with platform.store.transaction():
                row = customers.insert(platform, chain_id, external_id or f"owner-{uuid.uuid4()}", "active")
        return Programme(
            url=self.url,
            credentials=self.credentials,
            customer_id=row["id"],
            owner=owner,
            admin_url=self.admin_url,
            admin_token=self.admin_token,
        )

    def _new_credentials(self) -> Credentials:
        private = ec.generate_private_key(ec.SECP384R1())
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        api_key, api_secret, key_id = str(uuid.uuid4()), secrets.token_hex(20), str(uuid.uuid4())
        platform = self.platform
        with platform.store.transaction():
            platform.store.write("UPDATE credentials SET active = 0")
            platform.store.write("UPDATE signing_keys SET active = 0")
            auth.set_credentials(platform, api_key, api_secret)
            auth.set_signing_key(platform, key_id, public)
        return Credentials(api_key, api_secret, pem.decode(), key_id)

    def fault(self, kind: str, **values: Any) -> dict[str, Any]:
        """Orders a fault (see ``faults``), as POST /simulator/faults does."""
        return admin.order_fault(self.platform, {"kind": kind, **values})

    def clear_faults(self) -> None:
        """Ends all faults, and sets the clock right."""
        self.platform.faults.remove()
        self.platform.clock.offset = 0.0
        self.platform.deliveries.wake()

    def rotate_webhook_key(self, *, keep_id: bool = False) -> str:
        """Another key for deliveries, as POST /simulator/webhook-key: its id."""
        return self.platform.deliveries.rotate_signing_key(keep_id=keep_id)

    async def resubmit(self) -> dict[str, Any]:
        """Sends again what the chain has lost, as POST /simulator/resubmit. Raises ChainDown if it does not answer."""
        return {"accounts": await admin.resubmit_lost(self.platform)}

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """Everything that was asked and done, as GET /simulator/records."""
        return admin.collect_records(self.platform)

    def departures(self) -> list[dict[str, str]]:
        """Where the published API was left, as GET /simulator/departures."""
        return self.platform.judge.documents()


class SimulatorThread:
    """A simulator with a thread and an event loop of its own: for synchronous callers, and across event loops."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.simulator = Simulator(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator", daemon=True)

    def run(self, function: Callable[[], T]) -> T:
        """Calls ``function`` in the simulator's event loop and returns what it returns."""
        result: Future[T] = Future()

        def call() -> None:
            try:
                result.set_result(function())
            except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
                result.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return result.result()

    def start(self) -> Self:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.simulator.start(), self._loop).result()
        except BaseException:
            self._end()
            raise
        return self

    def stop(self) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self.simulator.stop(), self._loop).result()
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return self.simulator.url

    @property
    def admin_url(self) -> str:
        return self.simulator.admin_url

    @property
    def admin_token(self) -> str:
        return self.simulator.admin_token

    def bootstrap(self, owner: str, *, external_id: str | None = None) -> Programme:
        return self.run(lambda: self.simulator.bootstrap(owner, external_id=external_id))

    def fault(self, kind: str, **values: Any) -> dict[str, Any]:
        return self.run(lambda: self.simulator.fault(kind, **values))

    def clear_faults(self) -> None:
        self.run(self.simulator.clear_faults)

    def records(self) -> dict[str, list[dict[str, Any]]]:
        return self.run(self.simulator.records)

    def departures(self) -> list[dict[str, str]]:
        return self.run(self.simulator.departures)

    def resubmit(self) -> dict[str, Any]:
        return asyncio.run_coroutine_threadsafe(self.simulator.resubmit(), self._loop).result()
