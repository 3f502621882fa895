"""Connections that send nothing, or slowly, or read nothing: they end in time, and ``/health`` answers meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from orchestrator.app import Orchestrator
from orchestrator.devnet.simulator import SimulatorConfig, SimulatorThread
from orchestrator.http_server import Limits, configure
from orchestrator.service.server import LIMITS, serve
from orchestrator.settings import Settings
from tests.departures import deliberate
from tests.service.conftest import NO_CERTIFICATES

NEVER = 3600.0
SHORT = 0.2


@dataclass
class Peer:
    """One raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ended(self) -> bytes:
        """What was still sent by the server before it ended the connection."""
        received = bytearray()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(30):
                while part := await self.reader.read(65536):
                    received += part
        return bytes(received)

    async def dribble(self, data: bytes) -> None:
        """Sends a byte at a time, until the server has had enough."""
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                while not self.reader.at_eof():
                    for byte in data:
                        await self.send(bytes([byte]))
                        await asyncio.sleep(0.01)  # slow is what is tried here
                        if self.reader.at_eof():
                            return

    @property
    def is_open(self) -> bool:
        return not self.reader.at_eof() and self.reader.exception() is None


class Peers:
    """Opens connections to one server, and closes them all."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.host, self.port = host, int(port)
        self.opened: list[Peer] = []

    async def open(self, source: str | None = None) -> Peer:
        at = None if source is None else (source, 0)
        peer = Peer(*await asyncio.open_connection(self.host, self.port, local_addr=at))
        self.opened.append(peer)
        return peer

    async def close(self) -> None:
        for peer in self.opened:
            peer.writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await peer.writer.wait_closed()


@pytest.fixture
def bounded(service_settings: Settings, running: Any) -> Any:
    """``async with bounded(**limits) as (service, peers)``."""

    @contextlib.asynccontextmanager
    async def run(**changes: Any) -> AsyncIterator[tuple[Any, Peers]]:
        limits = replace(LIMITS, request_seconds=NEVER, answer_seconds=NEVER)
        async with (
            Orchestrator.open(service_settings) as opened,
            running(opened, service_settings, replace(limits, **changes)) as service,
        ):
            peers = Peers(service.url)
            try:
                yield service, peers
            finally:
                await peers.close()

    return run


def head(*lines: str) -> bytes:
    """A request's head: ``lines`` begin with method and path."""
    first, *more = lines
    return "\r\n".join([f"{first} HTTP/1.1", "Host: it", *more, "", ""]).encode()


def hook(service: Any) -> str:
    return "POST " + service.hook.removeprefix(service.url)


async def healthy(service: Any) -> None:
    """``/health`` answers on a new connection."""
    async with httpx.AsyncClient(trust_env=False, timeout=30, verify=NO_CERTIFICATES) as client:
        answer = await client.get(f"{service.url}/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_a_connection_without_a_complete_request_ends(bounded: Any) -> None:
    async with bounded(request_seconds=SHORT) as (service, peers):
        silent = await peers.open()
        half = await peers.open()
        await half.send(b"GET /health HTTP/1.1\r\nHost: it\r\nX-Half: ")
        slow = await peers.open()
        await slow.dribble(b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 100_000)
        assert [await one.ended() for one in (silent, half, slow)] == [b"", b"", b""]
        await healthy(service)


@pytest.mark.parametrize("after", [b"", b"G", b"GET /health HTTP/1.1\r\n"])
async def test_a_kept_connection_ends_too_whatever_its_next_request_begins_with(bounded: Any, after: bytes) -> None:
    async with bounded(request_seconds=SHORT) as (_, peers):
        kept = await peers.open()
        await kept.send(head("GET /health"))
        assert (await kept.reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        await kept.send(after)
        assert await kept.ended() == b""


async def test_a_body_that_dribbles_in_after_the_answer_ends_with_the_connection(bounded: Any) -> None:
    async with bounded(request_seconds=SHORT) as (_, peers):
        for first in ("GET /health", "POST /webhooks/wrong-token-0123456789"):
            peer = await peers.open()
            await peer.send(head(first, "Content-Length: 1000000"))
            assert (await peer.reader.readuntil(b"}")).startswith(b"HTTP/1.1 ")
            await peer.dribble(b"x" * 100_000)
            await peer.ended()


async def test_a_delivery_that_dribbles_ends(bounded: Any) -> None:
    async with bounded(answer_seconds=SHORT) as (service, peers):
        peer = await peers.open()
        await peer.send(head(hook(service), "Content-Length: 60000"))
        await peer.dribble(b" " * 60_000)
        assert await peer.ended() == b""
        assert service.inbox() == {}


async def test_whoever_does_not_read_the_answers_is_cut_off(bounded: Any, eventually: Any) -> None:
    async with bounded(answer_seconds=SHORT, request_seconds=SHORT) as (service, peers):
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            await asyncio.get_running_loop().sock_connect(deaf, (peers.host, peers.port))
            await eventually(lambda: service.server.server_state.connections, "it is accepted")
            (taken,) = service.server.server_state.connections
            taken.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            async with asyncio.timeout(60):
                with contextlib.suppress(ConnectionError):
                    while True:  # its answers fill the buffers of both sides, and then it is not read from either
                        await asyncio.get_running_loop().sock_sendall(deaf, head("GET /health") * 1000)
            await eventually(lambda: not service.server.server_state.connections, "the connection is given up")
        await healthy(service)


async def test_a_long_answer_is_sent_to_its_end_however_slowly_it_is_read() -> None:
    """Once it lies in the server's buffer uvicorn takes it for sent: the time for the next request must not end it."""
    body = b"x" * (32 * 1024 * 1024)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(body)(scope, receive, send)

    limits = Limits(request_seconds=SHORT, answer_seconds=NEVER)
    server = uvicorn.Server(configure(app, limits, lifespan="off", timeout_keep_alive=NEVER))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server._serve([listener]))
        peers = Peers(f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            slow = await peers.open()
            await slow.send(head("GET /"))
            await slow.reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(2 * SHORT)  # slow is what is tried here
            assert await slow.reader.readexactly(len(body)) == body
        finally:
            await peers.close()
            server.should_exit = True
            await serving


async def test_silent_connections_make_room_the_oldest_first(bounded: Any, eventually: Any) -> None:
    async with bounded(connections=20) as (service, peers):
        for number in range(30):
            await peers.open()
            if number % 10 == 9:
                await healthy(service)  # it came last, so all of them are accepted
        still = [peer.is_open for peer in peers.opened]
        assert still == sorted(still), "the oldest went first"
        assert 18 <= sum(still) <= 20


async def test_a_flood_from_one_address_leaves_other_peers_alone(bounded: Any, eventually: Any) -> None:
    async with bounded(connections=20) as (_, peers):
        try:
            honest = await peers.open("127.0.0.2")
        except OSError:
            pytest.skip("this system has one loopback address")
        for _ in range(60):
            await peers.open()
        await eventually(lambda: sum(peer.is_open for peer in peers.opened) == 20, "there are no more than 20")
        await honest.send(head("GET /health"))
        assert (await honest.reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")


async def test_too_many_requests_under_way_are_told_so_and_health_is_not_among_them(
    bounded: Any, account_event: Any, eventually: Any
) -> None:
    async with bounded(connections=20, requests=8) as (service, peers):
        for _ in range(8):
            peer = await peers.open()
            await peer.send(head(hook(service), "Content-Length: 10"))
        await eventually(lambda: len(service.server.server_state.tasks) == 8, "8 deliveries are under way")
        answer = await service.post(account_event())
        assert (answer.status_code, answer.headers["connection"]) == (503, "close")
        for _ in range(40):
            await peers.open()  # no silent one takes a delivery's place
        await healthy(service)
        assert all(peer.is_open for peer in peers.opened[:8])
        await peers.opened[0].send(b"0123456789")
        assert (await peers.opened[0].reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 401")
        await eventually(lambda: len(service.server.server_state.tasks) == 7, "one is answered")
        assert (await service.post(account_event())).status_code == 200


def accepted(url: str) -> Iterator[socket.socket]:
    """The server's ends of the connections to ``url``, where the server is in this process: by their descriptors."""
    port = int(url.rpartition(":")[2])
    for entry in Path("/dev/fd").iterdir():
        try:
            end = socket.socket(fileno=os.dup(int(entry.name)))
        except OSError:
            continue  # no socket, or the descriptor that lists them
        with end:
            try:
                if end.family == socket.AF_INET and end.getpeername() and end.getsockname()[1] == port:
                    yield end
            except OSError:
                continue  # it listens


def all_at_once(url: str) -> bool:
    """Whether each answer leaves at once on the connections that ``url``'s server has accepted, one at least."""
    options = [end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in accepted(url)]
    return bool(options) and all(options)


async def test_the_service_sends_its_answers_at_once(service_settings: Settings) -> None:
    ready = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(service_settings, "127.0.0.1", 0, ready=ready.set_result))
    url = await ready
    async with httpx.AsyncClient(trust_env=False, verify=NO_CERTIFICATES) as client:
        assert (await client.get(f"{url}/health")).status_code == 200
        assert all_at_once(url)
    signal.raise_signal(signal.SIGTERM)
    await serving


async def test_the_simulator_sends_its_answers_at_once(tmp_path: Path) -> None:
    with SimulatorThread(SimulatorConfig(database=tmp_path / "simulator.db")) as simulator:
        async with httpx.AsyncClient(trust_env=False, verify=NO_CERTIFICATES) as client:
            with deliberate():
                assert (await client.get(f"{simulator.url}/accounts")).status_code == 401
            assert all_at_once(simulator.url.removesuffix("/v1"))
