"""Transactions on the journal's database: one writer at a time, and database errors as JournalError."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.journal.failures import translated


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that holds the write lock from its start, so that what it reads is what it extends. Committed,
    durably, at the end of the block; rolled back if that raises. Raises JournalError."""
    committing = False
    try:
        async with engine.connect() as connection:
            await connection.execution_options(write=True)
            transaction = await connection.begin()
            try:
                yield connection
            except BaseException:
                if transaction.is_active:
                    await transaction.rollback()
                raise
            committing = True
            await transaction.commit()
            committing = False
    except SQLAlchemyError as error:
        raise translated(error, committing=committing) from error


@asynccontextmanager
async def reading(engine: AsyncEngine, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
    """A transaction that only reads. ``snapshot``: all its queries see the database of one moment. Raises
    JournalError."""
    try:
        async with engine.connect() as connection:
            if snapshot and engine.dialect.name == "postgresql":  # SQLite's transactions are that by themselves
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
    except SQLAlchemyError as error:
        raise translated(error) from error
