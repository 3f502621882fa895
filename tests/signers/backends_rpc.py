"""A remote signer over JSON-RPC for the shared suite: Anvil's own accounts, behind a proxy that can lie."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.models import Address, to_address
from orchestrator.passwords import NoPassword, PasswordSource

NAME = "rpc"


def unavailable() -> str | None:
    return None  # Anvil comes with the development tools


@contextmanager
def under_test(folder: Path) -> Iterator[RpcUnderTest]:
    with Anvil() as anvil, Proxy(anvil.url) as proxy:
        yield RpcUnderTest(proxy, folder)


class RpcUnderTest:
    """An account of Anvil's, which the proxy gives out to whoever knows a token."""

    cannot: Mapping[str, str] = {}

    def __init__(self, proxy: Proxy, folder: Path) -> None:
        self._proxy = proxy
        token = secrets.token_urlsafe(24)
        proxy.authorization = f"Bearer {token}"
        file = folder / "authorization"
        file.touch(mode=0o600)
        file.write_text(proxy.authorization + "\n")
        proxy.change = only(0)
        self.address: Address = to_address(DEV_ACCOUNTS[0].address)
        self.uri: str = proxy.uri("personal_sign", authorization_source=f"file:{file}")
        self.pin: PasswordSource = NoPassword()
        self.secrets: tuple[str, ...] = (token,)

    def lose_connection(self) -> None:
        self._proxy.fault = drop
        self._proxy.break_connections()

    def hang(self) -> None:
        self._proxy.fault = hang

    def swap_key(self) -> None:
        self._proxy.fault = other_key
        self._proxy.change = only(1)

    def restore(self) -> None:
        self._proxy.fault = None
        self._proxy.change = only(0)
        self._proxy.release.set()


Fault = Callable[["Handler", dict[str, Any]], Any]
"""What happens instead, for one call: None for "as ever", else it has answered by itself or ended the connection."""


class Proxy:
    """A context manager: an HTTP server before a node. ``change`` alters results, ``fault`` takes a call over."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.authorization: str | None = None
        """The header that callers must have."""
        self.fault: Fault | None = None
        self.change: Callable[[str, Any], Any] = lambda method, result: result
        self.release = threading.Event()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.tls: Any = None
        """An ssl.SSLContext of a server, for https."""
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Proxy:
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.proxy = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self.break_connections()
        self._server.server_close()  # waits for the handlers' threads
        self._thread.join()

    def uri(self, method: str = "eth_sign", **query: str) -> str:
        scheme = "rpc+http" if self.tls is None else "rpc+https"
        more = "".join(f"&{name.replace('_', '-')}={value}" for name, value in query.items())
        return f"{scheme}://127.0.0.1:{self.port}/?method={method}{more}"

    def break_connections(self) -> None:
        """Every connection that is open now ends in the middle."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            shut(sock)


def drop(handler: Handler, call: dict[str, Any]) -> bool:
    """Reads the request and ends the connection."""
    shut(handler.connection)
    return True


def hang(handler: Handler, call: dict[str, Any]) -> bool:
    """No answer until ``release``, then the connection's end."""
    handler.server.proxy.release.wait()
    shut(handler.connection)
    return True


def other_key(handler: Handler, call: dict[str, Any]) -> None:
    """The node signs with its next account instead."""
    first, other = DEV_ACCOUNTS[0].address.lower(), DEV_ACCOUNTS[1].address
    call["params"] = [other if value.lower() == first else value for value in call["params"]]


def only(number: int) -> Callable[[str, Any], Any]:
    """Of the node's accounts one is told about."""
    return lambda method, result: result[number : number + 1] if method == "eth_accounts" else result


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128
    proxy: Proxy

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self.proxy.tls is not None:
            connection = self.proxy.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are on order here; what else goes wrong shows in the client's answer."""


class Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body leave in two writes, which else cost 40 ms
    timeout = 30

    def setup(self) -> None:
        super().setup()
        proxy = self.server.proxy
        with proxy._lock:
            proxy._sockets.add(self.connection)
            proxy.connections += 1

    def finish(self) -> None:
        with self.server.proxy._lock:
            self.server.proxy._sockets.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:
        proxy = self.server.proxy
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        proxy.requests.append(call)
        proxy.headers.append(dict(self.headers.items()))
        if proxy.authorization is not None and self.headers["Authorization"] != proxy.authorization:
            self.reply(401, b"who are you?")
        elif proxy.fault is None or not proxy.fault(self, call):
            self.reply_json(self.forward(call))

    def do_GET(self) -> None:
        self.server.proxy.requests.append({"method": f"GET {self.path}"})
        self.reply(200, b"{}")

    def forward(self, call: dict[str, Any]) -> dict[str, Any]:
        proxy = self.server.proxy
        assert proxy.target.hostname is not None
        node = http.client.HTTPConnection(proxy.target.hostname, proxy.target.port, timeout=20)
        try:
            node.request("POST", "/", json.dumps(call), {"Content-Type": "application/json"})
            document: dict[str, Any] = json.loads(node.getresponse().read())
        finally:
            node.close()
        if "result" in document:
            document["result"] = proxy.change(call["method"], document["result"])
        return document

    def reply_json(self, document: Any) -> bool:
        return self.reply(200, json.dumps(document).encode())

    def reply(self, status: int, body: bytes, **headers: str) -> bool:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        return True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


def shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already
