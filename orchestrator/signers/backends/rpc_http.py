"""The HTTP under ``rpc``: connections that stay open, answers of a limited size, and an end in time."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from typing import Final
from urllib.parse import urlsplit

from orchestrator.signers.backends.bounded import Bounded

MAX_ANSWER_BYTES: Final = 256 * 1024
"""The greatest answer that is read: a list of some 5,000 accounts."""
_MAX_IDLE: Final = 32
BROKEN_TLS: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""A TLS connection that ended: no trouble with certificates."""


class TooLarge(Exception):
    """The answer is longer than is read."""


class Exchange:
    """One request and its answer, in a thread that ``abort`` sets free."""

    def __init__(self, connections: Connections, body: bytes, headers: dict[str, str]) -> None:
        self._connections = connections
        self._body = body
        self._headers = headers
        self._sock: socket.socket | None = None
        self._aborted = False

    def run(self) -> tuple[int, bytes]:
        """Status and body. Raises TooLarge, OSError (ssl.SSLError among it), http.client.HTTPException, ValueError."""
        connection, used = self._connections.take()
        try:
            return self._once(connection)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, *BROKEN_TLS):
            if not used or self._aborted:
                raise
        return self._once(self._connections.new())

    def _once(self, connection: http.client.HTTPConnection) -> tuple[int, bytes]:
        keep = False
        try:
            if connection.sock is None:
                connection.connect()
            self._sock = connection.sock  # the connection forgets it before a body that the other side ends by closing
            if self._aborted:
                raise TimeoutError
            connection.request("POST", self._connections.path, self._body, self._headers)
            with connection.getresponse() as response:  # which then holds the socket alone, and has to be closed itself
                body = _body(response)
                keep = response.isclosed() and connection.sock is not None and not self._aborted
            return response.status, body
        finally:
            if keep:
                self._connections.give(connection)
            else:
                connection.close()

    def abort(self) -> None:
        """Ends what the thread waits for, as far as that is a socket. (Known gap: name resolution goes on.)"""
        self._aborted = True
        if self._sock is not None:
            try:
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended by itself


def _body(response: http.client.HTTPResponse) -> bytes:
    """All of it. Raises TooLarge, and http.client.IncompleteRead for fewer bytes than its Content-Length."""
    body = response.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise TooLarge
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return body


class Connections:
    """Connections to one URL that stay open between requests, of one process."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.hostname is None:
            raise AssertionError("a parsed rpc URI has a host")
        self.pid: Final = os.getpid()
        self.bounded: Final = Bounded()
        self.path: Final = parts.path or "/"
        self._host = parts.hostname
        self._port = parts.port
        self._secure = parts.scheme == "https"
        self._timeout = timeout
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._idle: list[http.client.HTTPConnection] = []

    def take(self) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it has been used before."""
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        return self.new(), False

    def new(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        with self._lock:
            if self._tls is None:
                self._tls = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)

    def give(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < _MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
