"""Opening the database: durability, rights, migrations, and files that are not a journal."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import alembic.autogenerate
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import orchestrator.journal
from orchestrator.errors import SettingsError
from orchestrator.journal.database import HEAD, open_database
from orchestrator.journal.schema import metadata
from tests.forked import CONTEXT


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "journal.db"


@pytest.fixture
async def opened(path):
    database = await open_database(f"sqlite:///{path}")
    yield database
    await database.close()


async def refusal(path, code: str) -> str:
    with pytest.raises(SettingsError) as raised:
        await open_database(f"sqlite:///{path}")
    assert raised.value.code == code
    return raised.value.message


def pragmas(connection: sa.Connection) -> dict[str, object]:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    return {name: connection.execute(sa.text(f"PRAGMA {name}")).scalar_one() for name in names}


async def test_every_connection_is_durable(opened):
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    assert [await opened.read(pragmas), await opened.write(pragmas), await opened.read(pragmas)] == [expected] * 3


async def test_only_the_owner_can_read_it(opened, path):
    await opened.write(lambda connection: connection.execute(sa.text("CREATE TABLE more (x)")))
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_the_migrations_make_the_schema(opened):
    options = {"compare_type": True, "compare_server_default": True}
    difference = await opened.read(
        lambda connection: alembic.autogenerate.compare_metadata(
            MigrationContext.configure(connection, opts=options), metadata
        )
    )
    assert difference == []


async def test_indexes_and_constraints_are_those_of_the_schema(opened, tmp_path):
    """What autogenerate does not compare: primary keys, and the condition of the partial index."""

    def described(connection: sa.Connection) -> set[tuple[str, str]]:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%'")
        return {
            (name, " ".join((sql or "").split())) for name, sql in rows if not name.startswith("sqlite_autoindex_al")
        }

    migrated = await opened.read(described)
    fresh = sa.create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
    metadata.create_all(fresh)
    with fresh.connect() as connection:
        assert migrated == described(connection)
    fresh.dispose()


def test_head_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", str(Path(orchestrator.journal.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_opening_again_changes_nothing_and_imports_no_alembic(opened, path):
    await opened.close()
    before = path.read_bytes()
    code = (
        "import asyncio, sys\nfrom orchestrator.journal.store import Journal\n"
        "async def main():\n    await (await Journal.open(f'sqlite:///{sys.argv[1]}')).close()\n"
        "asyncio.run(main())\nassert not [name for name in sys.modules if name.startswith('alembic')]"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert path.read_bytes() == before


def _open(path: str, barrier) -> None:
    async def run() -> None:
        await (await open_database(f"sqlite:///{path}")).close()

    barrier.wait(60)
    asyncio.run(run())


def test_several_processes_make_one_database(tmp_path):
    context = CONTEXT
    barrier = context.Barrier(4)
    racers = [context.Process(target=_open, args=(str(tmp_path / "one.db"), barrier)) for _ in range(4)]
    for process in racers:
        process.start()
    for process in racers:
        process.join(60)
    assert [process.exitcode for process in racers] == [0] * 4


# --- files that are something else ---------------------------------------------------


async def test_a_newer_release_s_database(opened, path):
    newer = sa.text("UPDATE alembic_version SET version_num = '9999'")
    await opened.write(lambda connection: connection.execute(newer))
    await opened.close()
    message = await refusal(path, "database_newer")
    assert "9999" in message
    assert HEAD in message


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE customers (id)",
        "CREATE TABLE events (id)",
        f"CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('{HEAD}')",
        "CREATE TABLE alembic_version (version_num); CREATE TABLE events (id)",
    ],
)
async def test_another_program_s_database_is_left_alone(tmp_path, script):
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    before = path.read_bytes()
    assert "nothing was changed" in await refusal(path, "database_foreign")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["other.db"]


async def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, " * 100)
    before = path.read_bytes()
    assert "not a database" in await refusal(path, "database_unusable")
    assert path.read_bytes() == before


@pytest.mark.parametrize("where", ["file/journal.db", "/proc/nowhere/journal.db", "folder"])
async def test_a_place_that_cannot_be(tmp_path, where):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert "cannot open" in await refusal(tmp_path / where, "database_unusable")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
async def test_a_folder_without_the_right_to_write(opened, path):
    await opened.close()
    path.parent.chmod(0o500)
    try:
        assert str(path) in await refusal(path, "database_unusable")
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize(
    "url",
    ["", "journal.db", "sqlite://journal.db", "sqlite:///relative.db", "sqlite:///", "mysql:///x", "sqlite:////"],
)
async def test_urls_that_are_none(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as raised:
        await open_database(url)
    assert raised.value.code in {"database_url", "database_unusable"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["mysql://user:hunter2@host/db", "postgresql:user:hunter2@host/db", "x://h?p=hunter2"])
async def test_a_password_in_a_url_is_not_repeated(url):
    with pytest.raises(SettingsError) as raised:
        await open_database(url)
    assert "hunter2" not in raised.value.message
