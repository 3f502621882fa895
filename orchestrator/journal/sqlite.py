"""The journal in a file: SQLite in WAL mode with ``synchronous=FULL``, so that a committed event survives the loss of
power (sqlite.org, "PRAGMA synchronous")."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from orchestrator import files
from orchestrator.errors import SettingsError
from orchestrator.journal.failures import damaged
from orchestrator.journal.schema import require_ours

_BUSY_SECONDS = 30
_RETRY_MILLISECONDS = 50


def sqlite_engine(path: Path) -> sa.Engine:
    """Blocks. SIDE EFFECTS: creates the file (0600, in a folder of 0700). Raises SettingsError (``database_foreign``,
    ``database_unusable``) and JournalError ``journal_damaged``."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.make_empty(path)
    except OSError as error:
        raise SettingsError(
            f"cannot open the database {path}: {error.strerror or error}", code="database_unusable"
        ) from error
    _identify(path)
    return _listening(sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS}))


def memory_engine() -> sa.Engine:
    """One connection to a database in memory: for one transaction at a time."""
    arguments = {"check_same_thread": False}
    return _listening(sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args=arguments))


def _listening(engine: sa.Engine) -> sa.Engine:
    sa.event.listen(engine, "connect", _on_connect)
    sa.event.listen(engine, "begin", _on_begin)
    return engine


def unusable(path: Path, reason: object) -> SettingsError:
    """The error for a file that SQLite cannot use."""
    return SettingsError(
        f"cannot use the database {path}: {reason}; is it a journal of this program, can this user write in its "
        "folder, and is the disk full?",
        code="database_unusable",
    )


def damage(connection: sa.Connection, *, pages: bool) -> str | None:
    """What is wrong with the file, or None. ``pages``: reads all of it, 10 ms for each MB, because SQLite reads a
    page when it needs it, and an index of which a page is lost refuses no second signature."""
    page = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    path = connection.engine.url.database
    cut = None if path is None else _cut(Path(path), page)  # None: in memory
    if cut is not None or not pages:
        return cut
    found = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one())
    return None if found == "ok" else " ".join(found.split())


def _cut(path: Path, page: int) -> str | None:
    """SQLite takes what is missing of the last page for zeros, says nothing, and writes them back. ``page``: bytes.

    The file is not opened for it: to close any descriptor of it would end the locks that this process' connections
    hold on it (fcntl(2))."""
    length = path.stat().st_size
    if length % page == 0:
        return None
    return f"{path} has {length} bytes, expected a multiple of {page}: its end is missing"


def _identify(path: Path) -> None:
    """Checks before anything is changed (WAL mode, too, is a change)."""
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            cut = _cut(path, page)
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise damaged(f"{path}: {error}") from error
        raise unusable(path, error) from error
    if cut is not None:
        raise damaged(cut)
    require_ours({str(name) for (name,) in rows}, str(path))


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _on_begin says, not where the driver guesses
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: sa.Connection) -> None:
    call = connection.get_execution_options().get("call")
    if call is None or not call.write:
        connection.exec_driver_sql("BEGIN")
        return
    # SQLite tries the lock more and more rarely, and a process that writes all the time would keep it from one that
    # tries ten times a second. In short waits it tries often, and a caller that leaves is noticed.
    try:
        while True:
            left = call.remaining() * 1000
            connection.exec_driver_sql(f"PRAGMA busy_timeout={max(0, min(_RETRY_MILLISECONDS, int(left)))}")
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
            except sa.exc.OperationalError as error:
                if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY or left <= 0:
                    raise
                call.require_wanted()
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
