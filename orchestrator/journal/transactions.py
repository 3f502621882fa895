"""Transactions on the journal's database: each is ordinary code in a thread, so no cancellation can end it half-way.

A cancelled caller leaves at once if its transaction has not begun, and then it never begins. If it has, the caller
leaves when it has ended: committed or rolled back, with nothing held. What a cancelled write left is in the journal
and nowhere else, so whoever goes on reads it again.

Writers of one process go one at a time, in the order in which they asked: one thread writes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.errors import SettingsError
from orchestrator.journal.failures import translated

_WAIT: Final = 30.0
"""Seconds from the call until a writer that has not got the lock gives up (``journal_busy``)."""
_PATIENCE: Final = 2.0
"""Seconds after which the connection to a server is cut under a transaction whose caller was cancelled."""
_READERS: Final = 4

_Result = TypeVar("_Result")
Work = Callable[[sa.Connection], _Result]
"""What is done within one transaction. It may run in any thread and must not keep the connection."""


class GivenUp(Exception):
    """Ends a transaction that nobody waits for; nobody sees it."""


class Call:
    """One transaction, between its caller and the thread that runs it; the connection's execution option ``call``.
    Safe in both."""

    def __init__(self, *, write: bool) -> None:
        self.write = write
        self._until = time.monotonic() + _WAIT
        self._lock = threading.Lock()
        self._given_up = self._begun = False
        self._socket: socket.socket | None = None

    def remaining(self) -> float:
        """Seconds that are left to wait for the write lock."""
        return self._until - time.monotonic()

    def require_wanted(self) -> None:
        """Raises GivenUp where the caller has left."""
        if self._given_up:
            raise GivenUp

    def begin(self) -> None:
        """From here on the caller stays until the end. Raises GivenUp where it has left already."""
        with self._lock:
            self.require_wanted()
            self._begun = True

    def give_up(self) -> bool:
        """Whether the caller may leave: nothing has begun, and nothing will."""
        with self._lock:
            if self._begun:
                return False
            self._given_up = True
        self.cut()
        return True

    def over(self, descriptor: int) -> None:
        """It runs over this socket. A server may never answer, and no thread can be interrupted, but its socket can be
        shut: the thread then fails, and the server rolls back."""
        with self._lock:
            if self._socket is None:
                # Of its own, so that it never names what was opened after the driver has closed its own.
                self._socket = socket.socket(fileno=os.dup(descriptor))
        if self._given_up:
            self.cut()

    def cut(self) -> None:
        """Shuts the socket, if there is one."""
        with self._lock, suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


class Database:
    """An engine, and the threads in which its transactions run."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._closed = False
        self._writer = ThreadPoolExecutor(1, "journal-writer")
        alone = isinstance(engine.pool, sa.StaticPool)  # in memory: one connection, so one transaction at a time
        self._readers = self._writer if alone else ThreadPoolExecutor(_READERS, "journal-reader")
        sa.event.listen(engine, "before_cursor_execute", _before_statement)

    async def write(self, work: Work[_Result]) -> _Result:
        """Runs ``work`` under the write lock, so that what it reads is what it extends. Committed, durably, when this
        returns; rolled back if ``work`` raises. Raises JournalError, and SettingsError ``not_open`` once closed."""
        call = Call(write=True)

        def run() -> _Result:
            committing = False
            try:
                with closing(call), self.engine.connect() as connection:
                    connection.execution_options(call=call)
                    transaction = connection.begin()
                    call.begin()
                    result = work(connection)
                    committing = True
                    transaction.commit()
                    return result
            except SQLAlchemyError as error:
                raise translated(error, committing=committing) from error

        return await self._ended(self._writer, call, run)

    async def read(self, work: Work[_Result], *, snapshot: bool = False) -> _Result:
        """Runs ``work`` in a transaction that only reads. ``snapshot``: all its queries see the database of one moment.
        Raises as ``write``."""
        call = Call(write=False)

        def run() -> _Result:
            try:
                with closing(call), self.engine.connect() as connection:
                    connection.execution_options(call=call)
                    if snapshot and self.engine.dialect.name == "postgresql":  # SQLite's are that by themselves
                        connection.execution_options(isolation_level="REPEATABLE READ")
                    return work(connection)
            except SQLAlchemyError as error:
                raise translated(error) from error

        return await self._ended(self._readers, call, run)

    async def close(self) -> None:
        """Waits for the transactions that run, and closes all connections; none is possible afterwards."""
        self._closed = True
        await asyncio.to_thread(self._close)

    async def _ended(self, threads: ThreadPoolExecutor, call: Call, run: Callable[[], _Result]) -> _Result:
        if self._closed:
            raise SettingsError("the journal is closed: use it within the block that opened it", code="not_open")
        running = asyncio.wrap_future(threads.submit(run))
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                await asyncio.wait({running}, timeout=None if cancelled is None else _PATIENCE)
                if cancelled is not None:
                    call.cut()
            except asyncio.CancelledError as error:
                cancelled = error
                if call.give_up():
                    running.cancel()
                    raise
        if cancelled is None:
            return running.result()
        if not running.cancelled():
            running.exception()  # nobody is left to raise it to
        raise cancelled

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self.engine.dispose()


def _before_statement(connection: sa.Connection, *_: object) -> None:
    """A read that nobody waits for ends with its next statement."""
    call = connection.get_execution_options().get("call")
    if call is not None and not call.write:
        call.require_wanted()
