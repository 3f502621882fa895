"""Appends facts and reads them back. Every method is one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import rfc8785
import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.errors import Disposition, JournalError
from orchestrator.journal.database import open_database
from orchestrator.journal.schema import certificates, claims, events, inbox, signatures
from orchestrator.lifecycle.events import (
    ChallengeLapsed,
    ChallengeSigned,
    CreationAnswered,
    Event,
    Recorded,
    SubmissionRefused,
    parse_event,
)

GENESIS = "0" * 64
"""The ``previous`` of the first event."""

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Verification:
    """``valid``, the number of events, the last good hash (``head``), and the place
    (from 1) of the first event that is not as it was written."""

    valid: bool
    events: int
    head: str
    first_bad: int | None


class Journal:
    """The facts of all accounts, in streams: one per account id, one per ``reference:…`` of a creation."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    async def open(cls, url: str) -> Journal:
        """Raises SettingsError if the database cannot be used. SIDE EFFECTS: creates and migrates it."""
        return cls(await open_database(url))

    async def close(self) -> None:
        await self._engine.dispose()

    async def __aenter__(self) -> Journal:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- facts ---------------------------------------------------------------------------------------------------

    async def append(self, stream: str, new: Sequence[Event], *, after: int, at: datetime) -> list[Recorded]:
        """Appends facts to a stream of which the caller has seen ``after`` events, all or nothing, durably.

        Raises JournalError: ``journal_conflict`` if the stream has grown meanwhile, ``signature_conflict`` if another
        signature of the same account and purpose is live or this challenge was signed before, ``account_claimed`` if
        the account of a creation is another creation's, ``journal_busy`` (retry).
        """
        async with self._write() as connection:
            top = (await connection.execute(_HEAD)).first()
            seq, previous = (top.seq, top.hash) if top else (0, GENESIS)
            length = (await connection.execute(_LENGTH, {"stream": stream})).scalar_one()
            if length != after:
                raise JournalError(
                    f"the journal of {stream} has {length} events, expected {after}: another process works on it",
                    code="journal_conflict",
                )
            recorded = []
            for offset, event in enumerate(new, start=1):
                row = _row(seq + offset, stream, after + offset, at, event, previous)
                await connection.execute(events.insert(), row)
                await _constrain(connection, stream, event)
                previous = row["hash"]
                recorded.append(_recorded_from(row, event, at))
            return recorded

    async def read(self, stream: str) -> list[Recorded]:
        """All facts of a stream, in order."""
        async with self._read() as connection:
            rows = await connection.execute(sa.select(events).where(events.c.stream == stream).order_by(events.c.seq))
            return [_recorded(row._mapping) for row in rows]

    async def read_all(self, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """Facts of all streams with ``seq`` above ``after``, at most ``limit``."""
        async with self._read() as connection:
            query = sa.select(events).where(events.c.seq > after).order_by(events.c.seq).limit(limit)
            return [_recorded(row._mapping) for row in await connection.execute(query)]

    async def streams(self) -> list[str]:
        """The names of all streams, by their first event."""
        query = sa.select(events.c.stream).where(events.c.stream_seq == 1).order_by(events.c.seq)
        async with self._read() as connection:
            return list((await connection.execute(query)).scalars())

    async def claimed_accounts(self) -> set[str]:
        """Ids of the accounts that some creation of this journal has already been answered with."""
        async with self._read() as connection:
            return set((await connection.execute(sa.select(claims.c.account_id))).scalars())

    async def open_creations(self) -> list[Recorded]:
        """The last intents of the creations that have had no answer and no refusal yet."""
        last = sa.select(sa.func.max(events.c.seq)).where(events.c.stream.like("reference:%")).group_by(events.c.stream)
        query = sa.select(events).where(events.c.seq.in_(last)).where(events.c.type == "creation_intended")
        async with self._read() as connection:
            return [_recorded(row._mapping) for row in await connection.execute(query.order_by(events.c.seq))]

    async def verify(self) -> Verification:
        """Recomputes the hash chain over all events.

        Finds what was changed, removed, moved or put in between. Events cut off at the end leave a whole, shorter
        chain: compare ``head`` and ``events`` with a copy kept elsewhere.
        """
        count, previous, page = 0, GENESIS, _PAGE
        async with self._read() as connection:  # one transaction: what is appended meanwhile is not seen
            while True:
                query = sa.select(events).where(events.c.seq > count).order_by(events.c.seq).limit(page)
                try:
                    rows = (await connection.execute(query)).all()
                except OperationalError as error:  # bytes in a text that are no UTF-8
                    if "decode" not in str(error.orig):
                        raise
                    if page == 1:
                        return Verification(False, count, previous, count + 1)
                    page = 1
                    continue
                for row in rows:
                    item = row._mapping
                    if not _follows(item, count + 1, previous):
                        # The place in the order, and not what the row says of itself: that may be forged too.
                        return Verification(False, count, previous, count + 1)
                    count, previous = count + 1, item["hash"]
                if not rows:
                    break
            total = (await connection.execute(sa.select(sa.func.count()).select_from(events))).scalar_one()
        if total != count:
            return Verification(False, count, previous, count + 1)
        return Verification(True, count, previous, None)

    # --- certificates --------------------------------------------------------------------------------------------

    async def keep_certificate(self, account_id: str, body: bytes) -> str:
        """Stores a certificate; returns its SHA-256 in hex. Storing the same bytes again changes nothing."""
        digest = hashlib.sha256(body).hexdigest()
        async with self._write() as connection:
            known = await connection.execute(sa.select(certificates.c.sha256).where(certificates.c.sha256 == digest))
            if known.first() is None:
                row = {"sha256": digest, "account_id": account_id, "body": body}
                await connection.execute(certificates.insert(), row)
        return digest

    async def certificate(self, sha256: str) -> bytes | None:
        """The bytes of a stored certificate."""
        async with self._read() as connection:
            query = sa.select(certificates.c.body).where(certificates.c.sha256 == sha256)
            body: bytes | None = (await connection.execute(query)).scalar_one_or_none()
            return body

    # --- the webhooks' inbox -------------------------------------------------------------------------------------

    async def receive(self, event_id: str, kind: str, account_id: str | None, body: str, at: datetime) -> bool:
        """Keeps a webhook. False if this ``event_id`` was there before (a duplicate delivery)."""
        row = {"event_id": event_id, "received_at": _iso(at), "type": kind, "account_id": account_id, "body": body}
        try:
            async with self._write() as connection:
                await connection.execute(inbox.insert(), row)
        except JournalError as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise
        return True

    async def unhandled(self) -> list[tuple[str, str | None]]:
        """``(event_id, account_id)`` of webhooks that have woken nobody yet, oldest first."""
        query = sa.select(inbox.c.event_id, inbox.c.account_id).where(inbox.c.handled_at.is_(None))
        async with self._read() as connection:
            rows = await connection.execute(query.order_by(inbox.c.received_at))
            return [(row.event_id, row.account_id) for row in rows]

    async def handled(self, event_id: str, at: datetime) -> None:
        async with self._write() as connection:
            await connection.execute(inbox.update().where(inbox.c.event_id == event_id).values(handled_at=_iso(at)))

    def _write(self) -> _Write:
        return _Write(self._engine)

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _translated(error) from error


class _Write:
    """One writing transaction; database errors become JournalError."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._connection = engine.connect()

    async def __aenter__(self) -> AsyncConnection:
        try:
            connection = await self._connection.start()
            await connection.execution_options(write=True)
            await connection.begin()
        except BaseException as error:
            await self._connection.close()
            if isinstance(error, SQLAlchemyError):
                raise _translated(error) from error
            raise
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._connection.commit()
            else:
                await self._connection.rollback()
        except SQLAlchemyError as failure:
            raise _translated(failure) from failure
        finally:
            await self._connection.close()
        if isinstance(error, SQLAlchemyError):
            raise _translated(error) from error


_HEAD = sa.select(events.c.seq, events.c.hash).order_by(events.c.seq.desc()).limit(1)
_LENGTH = sa.select(sa.func.count()).select_from(events).where(events.c.stream == sa.bindparam("stream"))


async def _constrain(connection: AsyncConnection, stream: str, event: Event) -> None:
    """Keeps the tables of live signatures and of claimed accounts, whose constraints make a second one impossible."""
    match event:
        case ChallengeSigned():
            row = {"account_id": stream, "purpose": event.purpose, "digest": event.digest, "live": True}
            await connection.execute(signatures.insert(), row)
        case CreationAnswered():
            await connection.execute(claims.insert(), {"account_id": event.account_id, "stream": stream})
        case SubmissionRefused() | ChallengeLapsed():
            mine = (signatures.c.account_id == stream) & (signatures.c.digest == event.digest)
            await connection.execute(signatures.update().where(mine).values(live=False))
        case _:
            pass


def _translated(error: SQLAlchemyError) -> JournalError:
    cause = getattr(error, "orig", None) or error
    if isinstance(error, IntegrityError) and "signatures" in str(cause):
        return JournalError(
            "another signature of this account and operation is live, or this challenge was signed before: this "
            "signature was dropped and went nowhere",
            code="signature_conflict",
        )
    if isinstance(error, IntegrityError) and "claims" in str(cause):
        return JournalError(
            "the account is the answer to another creation already: expected one reference per account",
            code="account_claimed",
        )
    if isinstance(error, OperationalError) and "locked" in str(cause):
        return JournalError(
            "the journal's database is in use by another process and did not get free in time",
            code="journal_busy",
            disposition=Disposition.RETRY,
        )
    return JournalError(f"the journal's database refused: {cause}", code="journal_database")


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _row(seq: int, stream: str, stream_seq: int, at: datetime, event: Event, previous: str) -> dict[str, Any]:
    data = event.model_dump(mode="json", exclude={"type"})
    row: dict[str, Any] = {
        "seq": seq,
        "stream": stream,
        "stream_seq": stream_seq,
        "at": _iso(at),
        "type": event.type,
        "data": rfc8785.dumps(data).decode(),
        "previous": previous,
    }
    row["hash"] = _hash(row)
    return row


def _hash(row: Any) -> str:
    """SHA-256 over the RFC 8785 form of all columns but the hash itself, ``previous`` included."""
    columns = ("seq", "stream", "stream_seq", "at", "type", "data", "previous")
    return hashlib.sha256(rfc8785.dumps({name: row[name] for name in columns})).hexdigest()


def _follows(row: Any, seq: int, previous: str) -> bool:
    try:
        return bool(row["seq"] == seq and row["previous"] == previous and row["hash"] == _hash(row))
    except (rfc8785.CanonicalizationError, TypeError):
        return False  # a value of a type that was never written


def _recorded(row: Any) -> Recorded:
    try:
        event = parse_event({**json.loads(row["data"]), "type": row["type"]})
        at = datetime.fromisoformat(row["at"])
    except (ValidationError, ValueError, TypeError) as error:
        raise JournalError(
            f"event {row['seq']} of the journal cannot be read (type {row['type']!r}); run journal --verify",
            code="journal_unreadable",
        ) from error
    return _recorded_from(row, event, at)


def _recorded_from(row: Any, event: Event, at: datetime) -> Recorded:
    return Recorded(
        seq=row["seq"], stream=row["stream"], at=at, event=event, hash=row["hash"], previous=row["previous"]
    )
