"""One worker per account, by a lock of the operating system on a file.

The lock dies with its process: there is no lease to run out, so a command that is started right after a kill goes
straight on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.errors import Disposition, JournalError, SettingsError

TURN_SECONDS = 10.0
"""How long a short piece of work waits for its turn, while another worker has the account."""
_RETRY_SECONDS = 0.1
"""Seconds between two tries: the operating system does not say when a lock of another process is free."""


class AccountLocks:
    """Locks beside the journal's database, so that all who share the database share them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def hold(
        self, name: str, deadline: float, waiting: Callable[[str], None] | None = None
    ) -> AsyncIterator[None]:
        """Holds the lock of an account or a reference; ``deadline`` on ``time.monotonic``'s clock, in seconds.

        Raises JournalError ``account_busy`` (retry) if another worker still holds it at the deadline, and
        SettingsError ``lock_unusable`` where the folder takes no locks.
        """
        from filelock import FileLock, Timeout  # here: commands that only read take no lock

        path = self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.lock"
        # No soft lock where the file system has no locks: that one would outlive its process.
        lock = FileLock(path, timeout=0, mode=0o600, thread_local=False, fallback_to_soft=False)
        announced = False
        while True:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock.acquire()
                break
            except Timeout:
                if time.monotonic() >= deadline:
                    raise JournalError(
                        f"another process is working on {name} and had not finished at the timeout",
                        code="account_busy",
                        disposition=Disposition.RETRY,
                    ) from None
            except OSError as error:
                raise SettingsError(
                    f"cannot lock {path}: {error.strerror or error}; the folder of the journal's database must take "
                    "files and locks",
                    code="lock_unusable",
                ) from error
            if waiting is not None and not announced:
                waiting("another process to finish its work on this account")
                announced = True
            await asyncio.sleep(_RETRY_SECONDS)
        try:
            yield
        finally:
            lock.release()
