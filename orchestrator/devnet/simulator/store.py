"""The platform's state in SQLite: one file in WAL mode, one connection, rows that are never deleted (audit).

A request's effect and its stored answer are committed in one transaction, so a crash between them is impossible; what
must happen on the chain is a row in ``jobs`` first, and a signed row in ``transactions`` before it is sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from orchestrator import files

__all__ = ["Row", "Store"]

Row = sqlite3.Row
SqlValue: TypeAlias = str | int | float | bytes | None

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS credentials (
    api_key TEXT PRIMARY KEY, secret_hash TEXT NOT NULL, active INTEGER NOT NULL, created_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS signing_keys (
    id TEXT PRIMARY KEY, pem TEXT NOT NULL, active INTEGER NOT NULL, created_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS customers (
    id TEXT PRIMARY KEY, external_id TEXT NOT NULL UNIQUE, chain_id TEXT NOT NULL UNIQUE COLLATE NOCASE,
    status TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers (id), chain_id TEXT, status TEXT NOT NULL,
    type TEXT NOT NULL, currencies TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    wallet TEXT, note TEXT) STRICT;
CREATE INDEX IF NOT EXISTS accounts_by_customer ON accounts (customer_id);
CREATE TABLE IF NOT EXISTS challenges (
    id TEXT PRIMARY KEY, subject TEXT NOT NULL, purpose TEXT NOT NULL, text BLOB NOT NULL, base64 TEXT NOT NULL,
    issued_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL, state TEXT NOT NULL, shown INTEGER NOT NULL DEFAULT 0)
    STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_open_challenge ON challenges (subject) WHERE state IN ('committing', 'current');
CREATE TABLE IF NOT EXISTS signatures (
    id INTEGER PRIMARY KEY, subject TEXT NOT NULL, purpose TEXT NOT NULL, challenge_id TEXT NOT NULL,
    signer TEXT NOT NULL, signature TEXT NOT NULL, accepted INTEGER NOT NULL, code TEXT, received_at TEXT NOT NULL)
    STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_accepted_signature ON signatures (challenge_id) WHERE accepted = 1;
CREATE TABLE IF NOT EXISTS cards (
    id TEXT PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts (id), status TEXT NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts (id), kind TEXT NOT NULL, data TEXT NOT NULL,
    state TEXT NOT NULL, request_key TEXT, error TEXT, created_at TEXT NOT NULL, finished_at TEXT) STRICT;
CREATE INDEX IF NOT EXISTS open_jobs ON jobs (account_id) WHERE state = 'open';
CREATE TABLE IF NOT EXISTS transactions (
    id INTEGER PRIMARY KEY, job_id INTEGER NOT NULL REFERENCES jobs (id), account_id TEXT NOT NULL, step TEXT NOT NULL,
    nonce INTEGER NOT NULL, hash TEXT NOT NULL UNIQUE, raw TEXT NOT NULL, state TEXT NOT NULL, block_number INTEGER,
    created_at TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS transactions_by_job ON transactions (job_id, step);
CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, state TEXT NOT NULL, status INTEGER, body BLOB,
    created_ns INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS webhooks (
    id TEXT PRIMARY KEY, callback_url TEXT NOT NULL, types TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, webhook_id TEXT NOT NULL, event_id TEXT NOT NULL, type TEXT NOT NULL, body BLOB NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, created_ns INTEGER NOT NULL, next_ns INTEGER NOT NULL,
    error TEXT) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (next_ns) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, idempotency_key TEXT,
    status INTEGER, code TEXT, replayed INTEGER NOT NULL DEFAULT 0, fault TEXT) STRICT;
CREATE TABLE IF NOT EXISTS tokens (address TEXT PRIMARY KEY) STRICT;
"""


class Store:
    """The database. Used from one thread only: that of the event loop."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.make_empty(path)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing in this mode; only a power cut could, and then only the last commits.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(f"BEGIN;{SCHEMA}COMMIT;")  # one transaction: by itself each statement would be one
        self.after_commit: list[Callable[[], None]] = []

    def close(self) -> None:
        self._db.close()

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; wakes the background workers after the commit. No ``await`` belongs inside."""
        if self._db.in_transaction:
            raise AssertionError("transactions do not nest")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        for callback in self.after_commit:
            callback()

    def write(self, sql: str, *parameters: SqlValue) -> int:
        """One statement inside a transaction. Returns the number of changed rows."""
        if not self._db.in_transaction:
            raise AssertionError("a write needs a transaction")
        return self._db.execute(sql, parameters).rowcount

    def insert(self, table: str, **values: SqlValue) -> int:
        """Inserts one row and returns its rowid. ``table`` and the names come from this package, never from input."""
        names = ", ".join(values)
        marks = ", ".join("?" for _ in values)
        if not self._db.in_transaction:
            raise AssertionError("a write needs a transaction")
        cursor = self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
        return int(cursor.lastrowid or 0)

    def one(self, sql: str, *parameters: SqlValue) -> Row | None:
        row: Row | None = self._db.execute(sql, parameters).fetchone()
        return row

    def all(self, sql: str, *parameters: SqlValue) -> Sequence[Row]:
        return self._db.execute(sql, parameters).fetchall()

    def setting(self, key: str) -> str | None:
        row = self.one("SELECT value FROM settings WHERE key = ?", key)
        return None if row is None else str(row["value"])

    def put_setting(self, key: str, value: str) -> None:
        self.write("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", key, value)
