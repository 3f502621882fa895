"""Opens the journal's database: a file (SQLite) or a server (PostgreSQL), brought to the newest migration.

Writers take a lock at the start of their transaction, so that what they read is what they extend; the engines of
``sqlite`` and ``postgres`` see to that for connections whose execution option ``call`` is a write.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL

from orchestrator.errors import JournalError, SettingsError
from orchestrator.journal import postgres, sqlite
from orchestrator.journal.failures import is_lost
from orchestrator.journal.schema import require_ours
from orchestrator.journal.transactions import Database

HEAD = "0003"
"""The newest migration. A test compares it with the migrations' folder, so that alembic is imported only to migrate."""

_PASSING = ("starting up", "shutting down", "recovery", "too many", "remaining connection slots")
"""What a server says that is there and cannot take a connection now."""


async def open_database(url: str, *, create: bool = True) -> Database:
    """A migrated database.

    ``url`` is ``sqlite:///ABSOLUTE`` or ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``. ``create``: whether it is
    made where there is none. SIDE EFFECTS: creates the file (0600, in a folder of 0700) or the tables, and migrates
    them. Raises SettingsError (``database_url``, ``database_missing``, ``database_newer``, ``database_foreign``,
    ``database_unusable``, ``extra_missing``) and JournalError (``journal_damaged``; ``journal_unreachable``,
    ``journal_busy``: retry).
    """
    server = server_url(url)
    if server is not None:
        return await _open_server(server, create=create)
    path = database_path(url)
    if not create and (not path.exists() or path.stat().st_size == 0):
        raise _missing(str(path))
    return await _open_file(path, create=create)


async def open_in_memory() -> Database:
    """An empty database that ends with the process, for who only reads and finds none."""
    database = Database(sqlite.memory_engine())
    await _migrate(database, "memory", create=True)
    return database


def _missing(where: str) -> SettingsError:
    return SettingsError(f"there is no journal at {where}, and this command makes none", code="database_missing")


async def _open_file(path: Path, *, create: bool) -> Database:
    database = Database(await asyncio.to_thread(sqlite.sqlite_engine, path))
    try:
        await _migrate(database, str(path), create=create)
    except BaseException as error:
        await database.close()
        if isinstance(error, JournalError) and error.code == "journal_database":
            raise sqlite.unusable(path, getattr(error.__cause__, "orig", error)) from error
        raise
    return database


async def _open_server(url: URL, *, create: bool) -> Database:
    try:
        database = Database(postgres.postgres_engine(url))
    except sa.exc.ArgumentError:
        raise _malformed() from None
    try:
        await _migrate(database, postgres.shown(url), create=create)
    except BaseException as error:
        await database.close()
        if isinstance(error, UnicodeError):  # a host's name that is none
            raise _malformed() from None
        if not isinstance(error, JournalError) or not isinstance(error.__cause__, sa.exc.SQLAlchemyError):
            raise
        message = postgres.scrub(error.message, url)
        final = "FATAL" in message or "connection is bad: invalid" in message
        passing = not is_lost(error.__cause__) or not final or any(text in message for text in _PASSING)
        if passing and error.code != "journal_database":
            # Not "from error": what the driver says may hold the password.
            raise JournalError(message, code=error.code, disposition=error.disposition) from None
        raise SettingsError(
            f"cannot use the database {postgres.shown(url)}: {message}; is it there, and may this user make tables in "
            "it?",
            code="database_unusable",
        ) from None
    return database


def database_path(url: str) -> Path:
    """The file that ``sqlite:///ABSOLUTE`` names. Raises SettingsError ``database_url`` for anything else."""
    scheme, separator, path = url.partition("///")
    if not separator or scheme != "sqlite:" or not path.startswith("/"):
        shown = url.rsplit("@", maxsplit=1)[-1].partition("?")[0]  # never a password
        raise SettingsError(
            f"expected a database URL sqlite:///ABSOLUTE/PATH (four slashes in all) or postgresql://…, got {shown!r}",
            code="database_url",
        )
    return Path(path)


def server_url(url: str) -> URL | None:
    """The parts of a ``postgresql://…`` URL, None for another scheme. Raises SettingsError ``database_url``."""
    if not url.startswith(("postgresql://", "postgres://")):
        return None
    try:
        return sa.make_url(url).set(drivername="postgresql")
    except (sa.exc.ArgumentError, ValueError):
        raise _malformed() from None


def _malformed() -> SettingsError:
    return SettingsError(
        "expected a database URL postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with % and two hex digits for what in "
        "the password would mean something in a URL",
        code="database_url",
    )


def locks_beside(path: Path) -> Path:
    """The folder of the locks of all who share the file, by whatever name they call it."""
    real = path.resolve()
    return real.with_name(real.name + ".locks")


def lock_name(url: str) -> str | None:
    """For a server's database, a name for the folder of its locks on this machine: the same whatever the password is.
    None for a file, whose locks are beside it. Raises SettingsError ``database_url``."""
    server = server_url(url)
    return None if server is None else postgres.fingerprint(server)


async def _migrate(database: Database, where: str, *, create: bool) -> None:
    def found(connection: sa.Connection) -> str | None:
        require_ours(set(sa.inspect(connection).get_table_names()), where)
        return _revision(connection)

    def migrate(connection: sa.Connection) -> None:
        # Read again under the write lock: another process may have migrated meanwhile.
        revision = _revision(connection)
        if revision != HEAD:
            _upgrade(connection, revision)

    revision = await database.read(found)
    if revision is None and not create:
        raise _missing(where)
    if revision != HEAD:
        await database.write(migrate)


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
