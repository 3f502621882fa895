"""Appends facts and reads them back. Every method is one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from types import TracebackType

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.challenge.history import ChallengeHistory
from orchestrator.errors import Disposition, JournalError
from orchestrator.journal import signatures
from orchestrator.journal.database import locks_beside, open_database
from orchestrator.journal.in_flight import FileInFlight, InFlight, ServerInFlight
from orchestrator.journal.rows import GENESIS, iso, recorded, recorded_from, row_of
from orchestrator.journal.schema import certificates, claims, events, inbox, meta
from orchestrator.journal.transactions import reading, writing
from orchestrator.journal.verify import Verification, verified
from orchestrator.lifecycle.events import CREATIONS, SigningIntended
from orchestrator.lifecycle.oversight import STREAM as SIGNING
from orchestrator.lifecycle.oversight_events import HistoryImported, JournalReconciled, SigningStopped
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.ports.journal import CountLimit, SignatureRow

__all__ = ["GENESIS", "Journal", "Verification"]


class Journal:
    """The facts of all accounts, in streams: one per account id, one per ``reference:…`` of a creation, and ``signing``
    for what people decide."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._in_flight: InFlight = (
            FileInFlight(locks_beside(Path(engine.url.database or "")))
            if engine.dialect.name == "sqlite"
            else ServerInFlight(engine)
        )
        self._identity: str | None = None

    @classmethod
    async def open(cls, url: str) -> Journal:
        """Raises SettingsError if the database cannot be used. SIDE EFFECTS: creates and migrates it."""
        return cls(await open_database(url))

    async def close(self) -> None:
        await self._in_flight.close()
        await self._engine.dispose()

    async def __aenter__(self) -> Journal:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- facts ---------------------------------------------------------------------------------------------------

    async def append(
        self,
        stream: str,
        new: Sequence[Event],
        *,
        after: int,
        at: datetime,
        unchanged: Mapping[str, int] | None = None,
        limits: Sequence[CountLimit] = (),
    ) -> list[Recorded]:
        """Appends facts to a stream of which the caller has seen ``after`` events, all or nothing, durably.

        ``unchanged``: other streams that this rests on, and how many events of each were seen. ``limits``: what the
        intended signatures in ``new`` count towards.

        Raises JournalError:
        ``journal_conflict`` if the stream has grown meanwhile, ``journal_moved`` (retry) if one of ``unchanged`` has;
        ``challenge_signed_before`` if a signature of this challenge was intended or made before, for whomever;
        ``signature_conflict`` if another signature of the same account and purpose is live;
        ``signing_limit`` (retry) if a limit is reached; ``account_claimed`` if the account of a creation is another
        creation's; ``journal_busy``, ``journal_unreachable`` (retry, nothing was written); ``journal_uncertain``
        (retry, after reading again: it may have been written).
        """
        async with writing(self._engine) as connection:
            length = await _length(connection, stream)
            if length != after:
                raise JournalError(
                    f"the journal of {stream} has {length} events, expected {after}: another process works on it",
                    code="journal_conflict",
                )
            for other, seen in (unchanged or {}).items():
                length = await _length(connection, other)
                if length != seen:
                    raise JournalError(
                        f"the journal of {other} has {length} events, expected {seen}: something was decided meanwhile",
                        code="journal_moved",
                        disposition=Disposition.RETRY,
                    )
            wanted = sum(isinstance(event, SigningIntended) for event in new)
            await signatures.require_room(connection, limits, wanted, at)
            return await _extend(connection, stream, after, new, at)

    async def import_signatures(
        self,
        rows: Sequence[SignatureRow],
        event: HistoryImported | JournalReconciled,
        *also: SigningStopped,
        at: datetime,
        after: int | None = None,
    ) -> list[Recorded]:
        """Takes over signatures that another journal or a log knows of, so that none of those challenges is signed
        again, and appends the event to the stream ``signing``; its ``signatures`` and ``rows`` are set here, to the
        number and the hash of the lines that were not known before. ``also`` is appended behind it, in the same
        transaction.

        ``after``: as for ``append``, or None for whatever is there. Raises JournalError as ``append`` does, and
        SettingsError ``history_malformed``.
        """
        lines = signatures.imported(rows, at)
        async with writing(self._engine) as connection:
            length = await _length(connection, SIGNING)
            if after is not None and length != after:
                raise JournalError(
                    f"the journal of {SIGNING} has {length} events, expected {after}: another process works on it",
                    code="journal_conflict",
                )
            fresh = await signatures.unknown(connection, lines)
            update = {"signatures": len(fresh), "rows": signatures.hash_of_rows(fresh)}
            done = await _extend(connection, SIGNING, length, [event.model_copy(update=update), *also], at)
            await signatures.take_over(connection, fresh, done[0].seq)
            return done

    async def read(self, stream: str) -> list[Recorded]:
        """All facts of a stream, in order."""
        async with reading(self._engine) as connection:
            rows = await connection.execute(sa.select(events).where(events.c.stream == stream).order_by(events.c.seq))
            return [recorded(row._mapping) for row in rows]

    async def read_all(self, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """Facts of all streams with ``seq`` above ``after``, at most ``limit``."""
        async with reading(self._engine) as connection:
            query = sa.select(events).where(events.c.seq > after).order_by(events.c.seq).limit(limit)
            return [recorded(row._mapping) for row in await connection.execute(query)]

    async def streams(self) -> list[str]:
        """The names of all streams, by their first event."""
        query = sa.select(events.c.stream).where(events.c.stream_seq == 1).order_by(events.c.seq)
        async with reading(self._engine) as connection:
            return list((await connection.execute(query)).scalars())

    async def claimed_accounts(self) -> set[str]:
        """Ids of the accounts that some creation of this journal has already been answered with."""
        async with reading(self._engine) as connection:
            return set((await connection.execute(sa.select(claims.c.account_id))).scalars())

    async def open_creations(self) -> list[Recorded]:
        """The last intents of the creations that have had no answer and no refusal yet."""
        last = (
            sa.select(sa.func.max(events.c.seq))
            .where(events.c.stream.startswith(CREATIONS, autoescape=True))
            .group_by(events.c.stream)
        )
        query = sa.select(events).where(events.c.seq.in_(last)).where(events.c.type == "creation_intended")
        async with reading(self._engine) as connection:
            return [recorded(row._mapping) for row in await connection.execute(query.order_by(events.c.seq))]

    async def verify(self) -> Verification:
        """Whether all is as it was written: see ``orchestrator.journal.verify``."""
        async with reading(self._engine, snapshot=True) as connection:  # what is appended meanwhile is not seen
            return await verified(connection)

    async def head(self) -> tuple[int, str]:
        """The last event's ``seq`` and hash; 0 and GENESIS of an empty journal."""
        async with reading(self._engine) as connection:
            return await _head(connection)

    async def event_hash(self, seq: int) -> str | None:
        """The hash of the event with this ``seq``, None if there is none."""
        async with reading(self._engine) as connection:
            query = sa.select(events.c.hash).where(events.c.seq == seq)
            found: str | None = (await connection.execute(query)).scalar_one_or_none()
            return found

    async def identity(self) -> str:
        """Tells this journal from any other (UUID text); a copy of the database has the same."""
        if self._identity is None:
            async with reading(self._engine) as connection:
                query = sa.select(meta.c.value).where(meta.c.name == "journal_id")
                found = (await connection.execute(query)).scalar_one_or_none()
            if not found:
                raise JournalError(
                    "the journal has no id: its table meta was changed from outside; restore a backup",
                    code="journal_unreadable",
                )
            self._identity = found
        return self._identity

    # --- what is in flight ---------------------------------------------------------------------------------------

    def in_flight(self) -> AbstractAsyncContextManager[None]:
        """Held while what people have decided is checked and then acted on: see ``orchestrator.journal.in_flight``."""
        return self._in_flight.hold()

    async def landed(self, patience: float) -> bool:
        """Whether all that was in flight at the time of the call, in any process, is over within so many seconds."""
        return await self._in_flight.landed(patience)

    # --- signatures ----------------------------------------------------------------------------------------------

    async def challenge_history(self, digest: str) -> ChallengeHistory:
        """Whom this challenge was first fetched for, and whom a signature of it was intended for."""
        async with reading(self._engine) as connection:
            return await signatures.history(connection, digest)

    async def known_accounts(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of these UUIDs are accounts that something was journaled of."""
        if not ids:
            return frozenset()
        async with reading(self._engine) as connection:
            query = sa.select(events.c.stream).where(events.c.stream.in_(ids)).distinct()
            return frozenset((await connection.execute(query)).scalars())

    async def require_room(self, limits: Sequence[CountLimit], at: datetime) -> None:
        """Raises JournalError ``signing_limit`` if one more signature at ``at`` exceeds a limit, as an intent would."""
        async with reading(self._engine) as connection:
            await signatures.require_room(connection, limits, 1, at)

    async def signature_rows(self) -> list[SignatureRow]:
        """The signing history, the oldest first."""
        async with reading(self._engine) as connection:
            return await signatures.all_rows(connection)

    async def last_signed_seq(self, keystore: str | None) -> int | None:
        """The place of the last ``signing_intended`` whose signature was made with a key of this keystore, or (None) of
        any that has an id."""
        async with reading(self._engine) as connection:
            return await signatures.last_made(connection, keystore)

    # --- certificates --------------------------------------------------------------------------------------------

    async def keep_certificate(self, account_id: str, body: bytes) -> str:
        """Stores a certificate; returns its SHA-256 in hex. Storing the same bytes again changes nothing."""
        digest = hashlib.sha256(body).hexdigest()
        async with writing(self._engine) as connection:
            known = await connection.execute(sa.select(certificates.c.sha256).where(certificates.c.sha256 == digest))
            if known.first() is None:
                row = {"sha256": digest, "account_id": account_id, "body": body}
                await connection.execute(certificates.insert(), row)
        return digest

    async def certificate(self, sha256: str) -> bytes | None:
        """The bytes of a stored certificate."""
        async with reading(self._engine) as connection:
            query = sa.select(certificates.c.body).where(certificates.c.sha256 == sha256)
            body: bytes | None = (await connection.execute(query)).scalar_one_or_none()
            return body

    # --- the webhooks' inbox -------------------------------------------------------------------------------------

    async def receive(self, event_id: str, kind: str, account_id: str | None, body: str, at: datetime) -> bool:
        """Keeps a webhook. False if this ``event_id`` was there before (a duplicate delivery)."""
        row = {"event_id": event_id, "received_at": iso(at), "type": kind, "account_id": account_id, "body": body}
        try:
            async with writing(self._engine) as connection:
                await connection.execute(inbox.insert(), row)
        except JournalError as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise
        return True

    async def unhandled(self) -> list[tuple[str, str | None]]:
        """``(event_id, account_id)`` of webhooks that have woken nobody yet, oldest first."""
        query = sa.select(inbox.c.event_id, inbox.c.account_id).where(inbox.c.handled_at.is_(None))
        async with reading(self._engine) as connection:
            rows = await connection.execute(query.order_by(inbox.c.received_at))
            return [(row.event_id, row.account_id) for row in rows]

    async def handled(self, event_id: str, at: datetime) -> None:
        async with writing(self._engine) as connection:
            await connection.execute(inbox.update().where(inbox.c.event_id == event_id).values(handled_at=iso(at)))


async def _head(connection: AsyncConnection) -> tuple[int, str]:
    top = (await connection.execute(_TOP)).first()
    return (top.seq, top.hash) if top else (0, GENESIS)


async def _length(connection: AsyncConnection, stream: str) -> int:
    return int((await connection.execute(_LENGTH, {"stream": stream})).scalar_one())


async def _extend(
    connection: AsyncConnection, stream: str, after: int, new: Sequence[Event], at: datetime
) -> list[Recorded]:
    seq, previous = await _head(connection)
    done = []
    for offset, event in enumerate(new, start=1):
        row = row_of(seq + offset, stream, after + offset, at, event, previous)
        await connection.execute(events.insert(), row)
        await signatures.keep(connection, seq + offset, stream, at, event)
        previous = row["hash"]
        done.append(recorded_from(row, event, at))
    return done


_TOP = sa.select(events.c.seq, events.c.hash).order_by(events.c.seq.desc()).limit(1)
_LENGTH = sa.select(sa.func.count()).select_from(events).where(events.c.stream == sa.bindparam("stream"))
