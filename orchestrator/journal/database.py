"""Opens the journal's database: its file, its durability, its migrations.

SQLite in WAL mode with ``synchronous=FULL``: a committed event survives the loss of power (sqlite.org, "PRAGMA
synchronous"). Writers take the write lock at the start of their transaction, so that what they read is what they
extend.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from orchestrator.errors import SettingsError

HEAD = "0001"
"""The newest migration. A test compares it with the migrations' folder, so that alembic is imported only to migrate."""

_BUSY_SECONDS = 30


async def open_database(url: str) -> AsyncEngine:
    """An engine on a migrated database.

    ``url`` is ``sqlite:///ABSOLUTE``. SIDE EFFECTS: creates the file (0600, in a folder of 0700) and migrates it.
    Raises SettingsError (``database_url``, ``database_newer``, ``database_foreign``, ``database_unusable``).
    """
    path = database_path(url)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise SettingsError(
            f"cannot open the database {path}: {error.strerror or error}", code="database_unusable"
        ) from error
    _identify(path)
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS})
    sa.event.listen(engine.sync_engine, "connect", _on_connect)
    sa.event.listen(engine.sync_engine, "begin", _on_begin)
    try:
        await _migrate(engine)
    except BaseException as error:
        await engine.dispose()
        if isinstance(error, sa.exc.DatabaseError):
            raise _unusable(path, error.orig) from error
        if isinstance(error, sqlite3.Error):
            raise _unusable(path, error) from error
        raise
    return engine


def _unusable(path: Path, reason: object) -> SettingsError:
    return SettingsError(
        f"cannot use the database {path}: {reason}; is it a journal of this program, can this user write in its "
        "folder, and is the disk full?",
        code="database_unusable",
    )


def _identify(path: Path) -> None:
    """Refuses another program's database before anything in it is changed (WAL mode, too, is a change)."""
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    tables = {str(name) for (name,) in rows}
    if tables and not {"alembic_version", "events", "signatures"} <= tables:
        raise SettingsError(
            f"the database {path} was not written by this program: expected the table 'events' among others, found "
            f"{', '.join(sorted(tables)[:5])}; nothing was changed",
            code="database_foreign",
        )


def database_path(url: str) -> Path:
    """The file that ``sqlite:///ABSOLUTE`` names. Raises SettingsError ``database_url`` for anything else."""
    scheme, separator, path = url.partition("///")
    if not separator or scheme != "sqlite:" or not path.startswith("/"):
        shown = url.rsplit("@", maxsplit=1)[-1]  # never a password
        raise SettingsError(
            f"expected a database URL sqlite:///ABSOLUTE/PATH (four slashes in all), got {shown!r}; other databases "
            "are not supported by this release",
            code="database_url",
        )
    return Path(path)


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _on_begin says, not where the driver guesses
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


async def _migrate(engine: AsyncEngine) -> None:
    async with engine.connect() as reader:
        if await reader.run_sync(_revision) == HEAD:
            return
    async with engine.connect() as connection:
        await connection.execution_options(write=True)
        async with connection.begin():
            # Read again under the write lock: another process may have migrated meanwhile.
            found = await connection.run_sync(_revision)
            if found != HEAD:
                await connection.run_sync(_upgrade, found)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(connection: sa.Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise SettingsError(
            f"the database is at version {found}, this program knows versions up to {HEAD}: it was written by a newer "
            "release; install that release, nothing was changed",
            code="database_newer",
        )
    command.upgrade(config, "head")
