"""What is in flight when somebody stops signing: a stop waits until all that was decided before it has landed.

Whoever checks what people have decided and then acts on it (sends a signature, say) does both within ``hold``, and
whoever writes a decision that forbids it calls ``landed`` after that. So each flight has either read the decision, or
is over before ``landed`` returns. A flight ends with its process. A sender that arrives
during the wait queues behind it.

    a file     two locks of the operating system (flock) beside it: a flight shares both for a moment and keeps the
               second; who waits takes the first for itself, which holds up what comes, and then the second
    a server   one advisory lock of a transaction, shared by flights (PostgreSQL, "Advisory Locks": who waits is in
               the queue before what comes), on connections of its own, so that no flight starves the journal
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString, Protocol

import sqlalchemy as sa

from orchestrator.errors import Disposition, JournalError, SettingsError
from orchestrator.journal.failures import translated
from orchestrator.journal.postgres import connected

if TYPE_CHECKING:
    import psycopg

_PATIENCE: Final = 300.0
"""Seconds a sender waits for its turn; longer than any stop waits."""
_RETRY_SECONDS: Final = 0.02
"""Seconds between two tries: the operating system does not say when a lock of another process is free."""
_MOST_CONNECTIONS: Final = 8
"""Connections to a server that flights of one process may have; more of them take turns."""
_LOCK: Final = int.from_bytes(hashlib.sha256(b"offblocks-orchestrator in flight").digest()[:8], "big", signed=True)
_SETTINGS: Final = """
SELECT set_config(name, value, true) FROM pg_settings JOIN (VALUES
    ('lock_timeout', %(wait)s),
    -- The server must not end a flight that is still out, whatever an administrator has set.
    ('idle_in_transaction_session_timeout', '0'), ('transaction_timeout', '0'), ('statement_timeout', '0'),
    -- A machine that is gone is noticed within half a minute.
    ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '4')
) AS wanted (name, value) USING (name)
"""


class InFlight(Protocol):
    """The flights of all processes that share a journal."""

    def hold(self) -> AbstractAsyncContextManager[None]:
        """A flight. Raises JournalError (``journal_busy``, ``journal_unreachable``: retry) before it begins, and
        SettingsError ``lock_unusable``."""
        ...

    async def landed(self, patience: float) -> bool:
        """Whether all that was in flight when this was called has ended within ``patience`` seconds. Raises as
        ``hold``."""
        ...


class FileInFlight:
    """By files in the folder of the journal's locks."""

    def __init__(self, folder: Path) -> None:
        self._turn, self._flight = folder / "in-flight-turn.lock", folder / "in-flight.lock"

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        until = time.monotonic() + _PATIENCE
        with _Lock(self._flight) as flight:
            with _Lock(self._turn) as turn:
                if not (await turn.take(fcntl.LOCK_SH, until) and await flight.take(fcntl.LOCK_SH, until)):
                    raise JournalError(
                        f"another process has been waiting for what is in flight for more than {_PATIENCE:.0f} s: "
                        "nothing was sent",
                        code="journal_busy",
                        disposition=Disposition.RETRY,
                    )
            yield

    async def landed(self, patience: float) -> bool:
        until = time.monotonic() + patience
        with _Lock(self._turn) as turn, _Lock(self._flight) as flight:
            return await turn.take(fcntl.LOCK_EX, until) and await flight.take(fcntl.LOCK_EX, until)


class _Lock:
    """One file, open; its lock ends with the block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> _Lock:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    async def take(self, kind: int, until: float) -> bool:
        """Whether it was to be had before ``until``, on ``time.monotonic``'s clock."""
        while True:
            try:
                fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
            except OSError as error:
                raise self._unusable(error) from error
            else:
                return True
            await asyncio.sleep(_RETRY_SECONDS)

    def _unusable(self, error: OSError) -> SettingsError:
        return SettingsError(
            f"cannot lock {self._path}: {error.strerror or error}; the folder of the journal's database must take "
            "files and locks",
            code="lock_unusable",
        )


class ServerInFlight:
    """By an advisory lock. A flight that loses its connection to the database is no longer waited for, so it ends."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._places = asyncio.Semaphore(_MOST_CONNECTIONS)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        async with (
            self._places,
            self._locked("pg_advisory_xact_lock_shared", _PATIENCE) as connection,
            _while_connected(connection),
        ):
            yield

    async def landed(self, patience: float) -> bool:
        try:
            async with self._locked("pg_advisory_xact_lock", patience):
                return True
        except JournalError as error:
            if error.code != "journal_busy":
                raise
            return False

    @asynccontextmanager
    async def _locked(
        self, function: LiteralString, patience: float
    ) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
        import psycopg

        connection = None
        try:
            try:
                connection = await connected(self._engine)
                await connection.execute(_SETTINGS, {"wait": f"{max(1, int(patience * 1000))}ms"})
                await connection.execute(f"SELECT {function}({_LOCK})")
            except psycopg.Error as error:
                raise translated(sa.exc.OperationalError(None, None, error)) from error
            yield connection
        finally:
            if connection is not None:
                await connection.close()  # ends the transaction and with it the lock


@asynccontextmanager
async def _while_connected(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> AsyncIterator[None]:
    """Cuts off what is within at once when the server has ended the connection, and with it the lock.

    Raises JournalError ``journal_unreachable`` then: what was cut off may have arrived, and is read back.
    """
    import psycopg

    loop, cut_off, descriptor = asyncio.get_running_loop(), asyncio.timeout(None), connection.fileno()

    def check() -> None:
        try:
            connection.pgconn.consume_input()
        except psycopg.Error:
            loop.remove_reader(descriptor)  # now, as the number may soon be another file's
            cut_off.reschedule(loop.time())

    loop.add_reader(descriptor, check)
    try:
        async with cut_off:
            yield
    except TimeoutError as error:
        if not cut_off.expired():
            raise
        raise JournalError(
            "the connection to the journal's database was lost while a signature was on its way: its request was cut "
            "off, and is read back",
            code="journal_unreachable",
            disposition=Disposition.RETRY,
        ) from error
    finally:
        if not connection.closed:
            loop.remove_reader(descriptor)
