"""Whether the journal can be written and is whole, and whether other users of the machine have a way into our files."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import stat
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.connect import lock_folder
from orchestrator.dispatch.locks import AccountLocks
from orchestrator.doctor.check import CheckFailed
from orchestrator.errors import OrchestratorError, SettingsError
from orchestrator.files import open_to_others
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.models import ChainAccount, ChainId
from orchestrator.settings import Settings

LEAST_SPACE = 256 * 1024 * 1024
"""Bytes free beside the database."""
_VERIFY_SECONDS = 20.0
_NAMED = 4
"""Loose files that are named; of more, their number."""


class Database:
    """One journal for its checks. A database that is missing is not created."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._opened: Journal | None = None

    async def journal(self) -> Journal | None:
        """The opened journal, None where there is none. Raises SettingsError."""
        if self._opened is None:
            try:
                opened = await Journal.open(self._settings.database_url, create=False)
            except SettingsError as error:
                if error.code != "database_missing":
                    raise
                return None
            self._opened = await self._stack.enter_async_context(opened)
        return self._opened

    async def opens(self) -> str:
        path = _database_path(self._settings)
        if await self.journal() is not None:
            from orchestrator.journal.database import HEAD

            if path is not None:
                require_private((path, Path(f"{path}-wal"), Path(f"{path}-shm")))
            return f"{path or 'the server'} opens, at version {HEAD}"
        if path is None:
            return "the server is there, and has no journal yet; the first command that changes anything makes it"
        folder = _existing(path.parent)
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise CheckFailed(
                f"{path} is not there, and cannot be made: {folder} is not a folder that can be written to",
                "Make the folder, or set ORCHESTRATOR_DATABASE_URL to a place that this user may write to.",
            )
        return f"{path} is not there yet; the first command makes it"

    async def whole(self) -> str:
        journal = await self.journal()
        if journal is None:
            return "no journal yet"
        try:
            async with asyncio.timeout(_VERIFY_SECONDS):
                checked = await journal.verify()
        except TimeoutError:
            return f"too long for a quick check ({_VERIFY_SECONDS:.0f} s): orchestrator journal --verify checks it all"
        if checked.tables is not None:
            raise CheckFailed(
                f"the events are whole, and {checked.tables}",
                "Stop all commands, keep a copy of the database, and restore it from a backup: somebody wrote to it.",
            )
        if not checked.valid:
            raise CheckFailed(
                f"the hash chain breaks at event {checked.first_bad}; {checked.events} events before it are whole",
                "Stop all commands, keep a copy of the database, and restore it from a backup: it was changed from "
                "outside, or the disk is damaged.",
            )
        return f"the hash chain is whole: {checked.events} events"

    async def chains(self) -> set[ChainId]:
        """The chains that the journal's customers and wallets are on; none if it cannot be read."""
        found: set[ChainId] = set()
        try:
            journal = await self.journal()
            after = 0
            while journal is not None and (page := await journal.read_all(after)):
                after = page[-1].seq
                for item in page:
                    match item.event:
                        case e.PlatformObserved(owner=owner):
                            found.add(ChainAccount.parse(owner).chain)
                        case e.WalletDeployed(chain_id=chain):
                            found.add(ChainId.parse(chain))
                        case _:
                            pass
        except OrchestratorError:
            return set()  # the checks of the database say why
        return found


def _database_path(settings: Settings) -> Path | None:
    scheme, _, path = settings.database_url.partition("///")
    return Path(path) if scheme == "sqlite:" and path.startswith("/") else None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest existing one above it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


async def disk(settings: Settings) -> str:
    path = _database_path(settings)
    folder = _existing(path.parent if path else settings.keystore)
    free = shutil.disk_usage(folder).free
    detail = f"{free // 1024**2} MiB free at {folder}"
    if free < LEAST_SPACE:
        raise CheckFailed(
            f"{detail}, expected at least {LEAST_SPACE // 1024**2} MiB",
            "Free some space: nothing is done that cannot be journaled first.",
        )
    return detail


async def locks(settings: Settings) -> str:
    """A lock is really taken, because some network file systems only pretend to give one."""
    folder = lock_folder(settings)
    if not folder.exists() and (path := _database_path(settings)) is not None and not path.exists():
        return f"{folder} is not there yet; the first command makes it"
    began = datetime.now(UTC)
    try:
        async with AccountLocks(folder).hold("doctor", time.monotonic() + 2):
            pass
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise CheckFailed(
            f"no lock can be taken in {folder}: {reason}",
            "Let this user write to the folder, and put the database on a file system that knows locks.",
        ) from error
    return f"a lock in {folder} is taken and given back in {(datetime.now(UTC) - began).total_seconds() * 1000:.0f} ms"


def require_files_private(settings: Settings) -> None:
    """Raises CheckFailed for certificates and a person's files that others can open. The database, and the keys with
    their password, have checks of their own; the files of secrets are refused when the settings are read."""
    handed = (settings.person_key, settings.person_password_file)
    require_private((path for path in handed if path is not None), handed_over=True)
    require_private(sorted(settings.certificates.glob("*.json")))


def require_private(paths: Iterable[Path], *, handed_over: bool = False) -> None:
    """Raises CheckFailed naming those with the chmod to type. ``handed_over``: as ``orchestrator.files``."""
    found: dict[Path, int] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue  # not there, or gone since
        if open_to_others(status, handed_over=handed_over):
            found[path] = stat.S_IMODE(status.st_mode)
    if not found:
        return
    named = [f"{path} (expected mode 600, got {mode:o})" for path, mode in found.items()]
    typed = shlex.join(map(str, found))
    if len(found) > _NAMED:
        named[_NAMED:] = [f"and {len(found) - _NAMED} more"]
        typed = " ".join(f"{shlex.quote(str(folder))}/*" for folder in sorted({path.parent for path in found}))
    raise CheckFailed(
        "open to other users: " + ", ".join(named),
        f"Type chmod 600 {typed}; umask 077 keeps copies from being made so.",
    )
