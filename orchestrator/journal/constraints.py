"""Whether the database still decides what it was made to decide: its keys and unique indexes, by the schema's names.

One live signature for each operation, each challenge signed once, one event for each place: these hold because the
database refuses a second. Somebody who drops an index leaves every row as it was.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from orchestrator.journal.schema import metadata


def missing_constraint(connection: sa.Connection) -> str | None:
    """The first key or unique index of the schema that the database does not have as it should, or None."""
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
        for name, expected in _unique(table, connection.dialect.name):
            if found.get(name) != expected:
                yield f"{table.name}: the unique index {name} is gone or another one, so the database refuses no second"


def _unique(table: sa.Table, dialect: str) -> Iterator[tuple[str, tuple[list[str], str | None]]]:
    """By name: the columns, and for which rows (SQL) if not for all."""
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            yield str(constraint.name), (constraint.columns.keys(), None)
    for index in table.indexes:
        if index.unique:
            where = index.dialect_options[dialect]["where"]
            yield str(index.name), (index.columns.keys(), None if where is None else str(where))
