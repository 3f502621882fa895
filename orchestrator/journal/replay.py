"""Derives the tables beside the events once more, from the events alone, and compares: a row that somebody took out of
``signatures`` would let its challenge be signed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import rfc8785
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from orchestrator.journal.schema import challenges, claims, metadata, signatures
from orchestrator.journal.signatures import digest_of_creation, hash_of_rows

Row = dict[str, Any]


class Replay:
    """The tables as the events so far make them, by their primary keys."""

    def __init__(self) -> None:
        self.signatures: dict[str, Row] = {}
        self.challenges: dict[str, Row] = {}
        self.claims: dict[str, Row] = {}
        self.imports: dict[int, tuple[int, str | None]] = {}
        """By the place of the event: how many lines it took over, and their hash."""
        self.unreadable: int | None = None
        """The first event that ought to say something of the tables and cannot be read."""

    def apply(self, item: Any) -> None:
        """One row of ``events``. Total."""
        if item["type"] not in _READ or self.unreadable is not None:
            return
        try:
            self._apply(item["seq"], item["stream"], item["at"], item["type"], json.loads(item["data"]))
        except (ValueError, KeyError, TypeError):
            self.unreadable = item["seq"]

    def _apply(self, seq: int, stream: str, at: str, kind: str, data: Any) -> None:
        match kind:
            case "creation_answered":
                self.claims.setdefault(data["account_id"], {"account_id": data["account_id"], "stream": stream})
                digest = digest_of_creation(data.get("challenge"))
                if digest is not None:
                    row = {"digest": digest, "account_id": data["account_id"], "purpose": "creation", "seq": seq}
                    self.challenges.setdefault(digest, row)
            case "challenge_fetched":
                row = {"digest": data["digest"], "account_id": stream, "purpose": data["purpose"], "seq": seq}
                self.challenges.setdefault(data["digest"], row)
            case "signing_intended":
                more = {"keystore": data["keystore"], "key": data["key"], "policy": data["policy"]}
                self._sign(seq, stream, at, data, {**more, "made": False})
            case "challenge_signed":
                known = self.signatures.get(data["digest"])
                if known is None:
                    more = {"keystore": None, "key": data.get("key"), "policy": data.get("policy")}
                    self._sign(seq, stream, at, data, {**more, "made": True})
                elif (known["account_id"], known["purpose"]) == (stream, data["purpose"]):
                    known["made"] = True
            case "challenge_lapsed" | "submission_refused":
                known = self.signatures.get(data["digest"])
                if known is not None and known["account_id"] == stream:
                    known["live"] = False
            case _:
                self.imports[seq] = (data["signatures"], data.get("rows"))

    def _sign(self, seq: int, stream: str, at: str, data: Any, more: Row) -> None:
        row = {"digest": data["digest"], "account_id": stream, "purpose": data["purpose"], "signer": data["signer"]}
        # The first one keeps a challenge: that the first release signed it for a second account is passed by.
        self.signatures.setdefault(data["digest"], {**row, **more, "live": True, "at": at, "intent_seq": seq})


_READ = frozenset(
    {
        "creation_answered",
        "challenge_fetched",
        "signing_intended",
        "challenge_signed",
        "challenge_lapsed",
        "submission_refused",
        "journal_reconciled",
        "history_imported",
    }
)


def disagreement(connection: sa.Connection, replay: Replay) -> str | None:
    """The first thing that the tables say otherwise than the events, or that they no longer refuse; or None."""
    if replay.unreadable is not None:
        return f"event {replay.unreadable} cannot be read, so the tables beside the events cannot be compared with it"
    missing = missing_constraint(connection)
    if missing is not None:
        return missing
    try:
        found = {table.name: _rows(connection, table) for table in (signatures, challenges, claims)}
    except OperationalError as error:
        if "decode" not in str(error.orig):
            raise
        return "a table beside the events holds bytes that are no text"
    own = [row for row in found["signatures"] if row["intent_seq"] not in replay.imports]
    return (
        _first(own, replay.signatures, signatures, "digest")
        or _imports(found["signatures"], replay)
        or _first(found["challenges"], replay.challenges, challenges, "digest")
        or _first(found["claims"], replay.claims, claims, "account_id")
    )


def _rows(connection: sa.Connection, table: sa.Table) -> list[Row]:
    return [dict(row._mapping) for row in connection.execute(sa.select(table))]


def _first(found: Iterable[Row], expected: dict[str, Row], table: sa.Table, key: str) -> str | None:
    by_key = {row[key]: row for row in found}
    for name, row in expected.items():
        there = by_key.pop(name, None)
        if there is None:
            return f"{table.name}: the row of {ascii(name)[:80]} is missing"
        for column, value in row.items():
            if there[column] != value:
                return (
                    f"{table.name}: {column} of {ascii(name)[:80]} is {ascii(there[column])[:80]}, "
                    f"expected {ascii(value)[:80]} by the events"
                )
    if by_key:
        return f"{table.name}: no event speaks of the row of {ascii(next(iter(by_key)))[:80]}"
    return None


def _imports(found: list[Row], replay: Replay) -> str | None:
    for seq, (count, rows_hash) in replay.imports.items():
        rows = [row for row in found if row["intent_seq"] == seq]
        if len(rows) != (count if rows_hash is not None else 0):
            return f"signatures: {len(rows)} rows of the import in event {seq}, expected {count}"
        if rows_hash is not None and (_hash(rows) != rows_hash or any(row["live"] for row in rows)):
            return f"signatures: the rows of the import in event {seq} are not those that were taken over"
    return None


def _hash(rows: list[Row]) -> str | None:
    try:
        return hash_of_rows(rows)
    except rfc8785.CanonicalizationError:
        return None  # a value of a type that was never written


# --- keys and unique indexes ------------------------------------------------------------------------------------------


def missing_constraint(connection: sa.Connection) -> str | None:
    """The first key or unique index of the schema that the database does not have as it should, or None.

    One live signature for each operation, each challenge signed once, one event for each place: these hold because the
    database refuses a second. Somebody who drops an index leaves every row as it was.
    """
    return next(_missing(connection), None)


def _missing(connection: sa.Connection) -> Iterator[str]:
    inspector = sa.inspect(connection)
    for table in metadata.sorted_tables:
        if not inspector.has_table(table.name):
            yield f"{table.name}: the table is gone"
            continue
        if set(inspector.get_pk_constraint(table.name)["constrained_columns"]) != set(table.primary_key.columns.keys()):
            yield f"{table.name}: its primary key is not {', '.join(table.primary_key.columns.keys())}"
        found: dict[str | None, tuple[list[str | None], str | None]] = {
            one["name"]: ([*one["column_names"]], None) for one in inspector.get_unique_constraints(table.name)
        }
        for index in inspector.get_indexes(table.name):
            if index["unique"]:
                where = index.get("dialect_options", {}).get(f"{connection.dialect.name}_where")
                found.setdefault(index["name"], (index["column_names"], None if where is None else str(where)))
        for name, expected in _unique(table):
            if found.get(name) != expected:
                yield f"{table.name}: the unique index {name} is gone or another one, so the database refuses no second"


def _unique(table: sa.Table) -> Iterator[tuple[str, tuple[list[str], str | None]]]:
    """By name: the columns, and for which rows (SQL) if not for all."""
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            yield str(constraint.name), (constraint.columns.keys(), None)
    for index in table.indexes:
        if index.unique:
            where = index.dialect_options["sqlite"]["where"]  # the same on a server
            yield str(index.name), (index.columns.keys(), None if where is None else str(where))
