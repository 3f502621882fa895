"""An event's form in the table: its columns, and the hash that chains them. Pure."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import rfc8785
from pydantic import ValidationError

from orchestrator.errors import JournalError
from orchestrator.lifecycle.recorded import Event, Recorded, parse_event

GENESIS = "0" * 64
"""The ``previous`` of the first event."""


def iso(at: datetime) -> str:
    """ISO-8601 in UTC with microseconds and ``Z``: texts of one length, which sort as the times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def row_of(seq: int, stream: str, stream_seq: int, at: datetime, event: Event, previous: str) -> dict[str, Any]:
    """The columns of an event that is to be appended."""
    data = event.model_dump(mode="json", exclude={"type"})
    row: dict[str, Any] = {
        "seq": seq,
        "stream": stream,
        "stream_seq": stream_seq,
        "at": iso(at),
        "type": event.type,
        "data": rfc8785.dumps(data).decode(),
        "previous": previous,
    }
    row["hash"] = hash_of(row)
    return row


def hash_of(row: Any) -> str:
    """SHA-256 over the RFC 8785 form of all columns but the hash itself, ``previous`` included."""
    columns = ("seq", "stream", "stream_seq", "at", "type", "data", "previous")
    return hashlib.sha256(rfc8785.dumps({name: row[name] for name in columns})).hexdigest()


def follows(row: Any, seq: int, previous: str) -> bool:
    """Whether the row is the ``seq``-th, as it was written, after one with the hash ``previous``."""
    try:
        return bool(row["seq"] == seq and row["previous"] == previous and row["hash"] == hash_of(row))
    except (rfc8785.CanonicalizationError, TypeError):
        return False  # a value of a type that was never written


def recorded(row: Any) -> Recorded:
    """The event of a row. Raises JournalError ``journal_unreadable``."""
    try:
        event = parse_event({**json.loads(row["data"]), "type": row["type"]})
        at = datetime.fromisoformat(row["at"])
    except (ValidationError, ValueError, TypeError) as error:
        raise JournalError(
            f"event {row['seq']} of the journal cannot be read (type {row['type']!r}); run journal --verify",
            code="journal_unreadable",
        ) from error
    return recorded_from(row, event, at)


def recorded_from(row: Any, event: Event, at: datetime) -> Recorded:
    """The same of an event that is at hand."""
    return Recorded(
        seq=row["seq"], stream=row["stream"], at=at, event=event, hash=row["hash"], previous=row["previous"]
    )
