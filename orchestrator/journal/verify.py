"""Whether the journal is as it was written: the hash chain over its events, and the tables derived from them."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from orchestrator.journal import sqlite
from orchestrator.journal.failures import damaged
from orchestrator.journal.replay import Replay, disagreement
from orchestrator.journal.rows import GENESIS, follows
from orchestrator.journal.schema import events

_PAGE = 1000
_TAIL = 32
"""Events at the end that are hashed again before each signature: some 2 ms."""


@dataclass(frozen=True, slots=True)
class Verification:
    """``valid``, the number of events, the last good hash (``head``), the place
    (from 1) of the first event that is not as it was written, and what the derived tables say otherwise than the
    events do (``tables``: a sentence, or None; None too where the chain is broken)."""

    valid: bool
    events: int
    head: str
    first_bad: int | None
    tables: str | None = None


def require_whole(connection: sa.Connection, *, pages: bool = True) -> None:
    """What can be checked before each signature: the last events are as they were written, and so is the length of
    SQLite's file; with ``pages``, all of its pages hold together. Raises JournalError ``journal_damaged``."""
    found = sqlite.damage(connection, pages=pages) if connection.dialect.name == "sqlite" else None
    if found is not None:
        raise damaged(found)
    query = sa.select(events).order_by(events.c.seq.desc()).limit(_TAIL)
    rows = [row._mapping for row in reversed(connection.execute(query).all())]
    for before, row in zip([None, *rows], rows, strict=False):
        previous, seq = (row["previous"], row["seq"]) if before is None else (before["hash"], before["seq"] + 1)
        if not follows(row, seq, previous):
            raise damaged(f"event {seq} is not as it was written")


def verified(connection: sa.Connection) -> Verification:
    """Recomputes the hash chain over all events, derives the tables again and compares them.

    Finds what was changed, removed, moved or put in between. Events cut off at the end leave a whole, shorter
    chain: compare ``head`` and ``events`` with a copy kept elsewhere. ``connection`` must see one moment's database.
    Raises JournalError ``journal_damaged`` where it cannot be read.
    """
    found = sqlite.damage(connection, pages=True) if connection.dialect.name == "sqlite" else None
    if found is not None:
        raise damaged(found)
    count, previous, page, replay = 0, GENESIS, _PAGE, Replay()
    while True:
        query = sa.select(events).where(events.c.seq > count).order_by(events.c.seq).limit(page)
        try:
            rows = connection.execute(query).all()
        except OperationalError as error:  # bytes in a text that are no UTF-8
            if "decode" not in str(error.orig):
                raise
            if page == 1:
                return Verification(False, count, previous, count + 1)
            page = 1
            continue
        for row in rows:
            item = row._mapping
            if not follows(item, count + 1, previous):
                # The place in the order, and not what the row says of itself: that may be forged too.
                return Verification(False, count, previous, count + 1)
            count, previous = count + 1, item["hash"]
            replay.apply(item)
        if not rows:
            break
    total = connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one()
    if total != count:
        return Verification(False, count, previous, count + 1)
    tables = disagreement(connection, replay)
    return Verification(tables is None, count, previous, None, tables)
