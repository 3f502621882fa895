"""Appends facts and reads them back. Every method is one transaction.

If a call is cancelled, it was written whole or not at all; read the journal to learn which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from orchestrator.challenge.expectation import ChallengeHistory
from orchestrator.errors import Disposition, JournalError
from orchestrator.journal import signatures
from orchestrator.journal.chain_index import StoredIndex
from orchestrator.journal.database import locks_beside, open_database, open_in_memory
from orchestrator.journal.in_flight import FileInFlight, InFlight, ServerInFlight
from orchestrator.journal.rows import GENESIS, iso, recorded, recorded_from, row_of
from orchestrator.journal.schema import certificates, claims, events, inbox, meta
from orchestrator.journal.transactions import Database
from orchestrator.journal.verify import Verification, require_whole, verified
from orchestrator.lifecycle.events import CREATIONS, SigningIntended
from orchestrator.lifecycle.oversight_events import HistoryImported, JournalReconciled, SigningStopped
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.ports.journal import CountLimit, SignatureRow

__all__ = ["GENESIS", "Journal", "Verification"]


class Journal:
    """The facts of all accounts, in streams: one per account id, one per ``reference:…`` of a creation, and ``signing``
    for what people decide. Implements ``ports.journal.Journal``."""

    def __init__(self, database: Database, *, is_there: bool = True) -> None:
        self._database = database
        self.is_there = is_there
        """False of ``missing``: nothing is kept, and nothing was ever written."""
        engine = database.engine
        self._in_flight: InFlight = (
            FileInFlight(locks_beside(Path(engine.url.database or "")))
            if engine.dialect.name == "sqlite"
            else ServerInFlight(engine)
        )
        self._identity: str | None = None
        self._pages_were_read = False

    @classmethod
    async def open(cls, url: str, *, create: bool = True) -> Journal:
        """Raises SettingsError if the database cannot be used; ``database_missing`` if there is none and it is not to
        be made. SIDE EFFECTS: creates (if ``create``) and migrates it."""
        return cls(await open_database(url, create=create))

    @classmethod
    async def missing(cls) -> Journal:
        """What is read where there is no journal yet: empty, and in memory only."""
        return cls(await open_in_memory(), is_there=False)

    async def close(self) -> None:
        await self._database.close()

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

        def work(connection: sa.Connection) -> list[Recorded]:
            length = _length(connection, stream)
            if length != after:
                raise JournalError(
                    f"the journal of {stream} has {length} events, expected {after}: another process works on it",
                    code="journal_conflict",
                )
            for other, seen in (unchanged or {}).items():
                length = _length(connection, other)
                if length != seen:
                    raise JournalError(
                        f"the journal of {other} has {length} events, expected {seen}: something was decided meanwhile",
                        code="journal_moved",
                        disposition=Disposition.RETRY,
                    )
            wanted = sum(isinstance(event, SigningIntended) for event in new)
            signatures.require_room(connection, limits, wanted, at)
            return _extend(connection, stream, after, new, at)

        return await self._database.write(work)

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

        def work(connection: sa.Connection) -> list[Recorded]:
            length = _length(connection, DECISIONS_STREAM)
            if after is not None and length != after:
                raise JournalError(
                    f"the journal of {DECISIONS_STREAM} has {length} events, expected {after}: another process works "
                    "on it",
                    code="journal_conflict",
                )
            fresh = signatures.unknown(connection, lines)
            update = {"signatures": len(fresh), "rows": signatures.hash_of_rows(fresh)}
            done = _extend(connection, DECISIONS_STREAM, length, [event.model_copy(update=update), *also], at)
            signatures.take_over(connection, fresh, done[0].seq)
            return done

        return await self._database.write(work)

    async def read(self, stream: str) -> list[Recorded]:
        """All facts of a stream, in order."""
        return await self._events(sa.select(events).where(events.c.stream == stream).order_by(events.c.seq))

    async def read_all(self, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """Facts of all streams with ``seq`` above ``after``, at most ``limit``."""
        return await self._events(sa.select(events).where(events.c.seq > after).order_by(events.c.seq).limit(limit))

    async def streams(self) -> list[str]:
        """The names of all streams, by their first event."""
        query = sa.select(events.c.stream).where(events.c.stream_seq == 1).order_by(events.c.seq)
        return await self._database.read(lambda connection: list(connection.execute(query).scalars()))

    async def claimed_accounts(self) -> set[str]:
        """Ids of the accounts that some creation of this journal has already been answered with."""
        return set(await self.creation_streams())

    async def accounts_beginning(self, prefix: str) -> set[str]:
        """Ids of the accounts that something was journaled of, their creation included, which begin so."""
        streams = sa.select(events.c.stream).where(events.c.stream_seq == 1)
        worked_on = streams.where(events.c.stream.startswith(prefix, autoescape=True))
        created = sa.select(claims.c.account_id).where(claims.c.account_id.startswith(prefix, autoescape=True))
        return await self._database.read(lambda connection: set(connection.execute(worked_on.union(created)).scalars()))

    async def creation_streams(self, account_id: str | None = None) -> dict[str, str]:
        """By account (None: all), the stream of the creation that was answered with it: ``reference:…``."""
        query = sa.select(claims.c.account_id, claims.c.stream)
        if account_id is not None:
            query = query.where(claims.c.account_id == account_id)

        def found(connection: sa.Connection) -> dict[str, str]:
            return {row.account_id: row.stream for row in connection.execute(query)}

        return await self._database.read(found)

    async def open_creations(self) -> list[Recorded]:
        """The last intents of the creations that have had no answer and no refusal yet."""
        last = (
            sa.select(sa.func.max(events.c.seq))
            .where(events.c.stream.startswith(CREATIONS, autoescape=True))
            .group_by(events.c.stream)
        )
        query = sa.select(events).where(events.c.seq.in_(last)).where(events.c.type == "creation_intended")
        return await self._events(query.order_by(events.c.seq))

    async def verify(self) -> Verification:
        """Whether all is as it was written: see ``orchestrator.journal.verify``."""
        return await self._database.read(verified, snapshot=True)  # what is appended meanwhile is not seen

    async def require_whole(self) -> None:
        """Before anything is signed on it: see ``orchestrator.journal.verify.require_whole``; all pages of a file are
        read once. Raises JournalError ``journal_damaged``."""
        await self._database.read(partial(require_whole, pages=not self._pages_were_read))
        self._pages_were_read = True

    async def head(self) -> tuple[int, str]:
        """The last event's ``seq`` and hash; 0 and GENESIS of an empty journal."""
        return await self._database.read(_head)

    async def event_hash(self, seq: int) -> str | None:
        """The hash of the event with this ``seq``, None if there is none."""
        found: str | None = await self._scalar(sa.select(events.c.hash).where(events.c.seq == seq))
        return found

    async def identity(self) -> str:
        """The journal's id (UUID text); a copy of the database has the same."""
        if self._identity is None:
            found = await self._scalar(sa.select(meta.c.value).where(meta.c.name == "journal_id"))
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
        return await self._database.read(lambda connection: signatures.history(connection, digest))

    async def known_accounts(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of these UUIDs are accounts that something was journaled of."""
        if not ids:
            return frozenset()
        query = sa.select(events.c.stream).where(events.c.stream.in_(ids)).distinct()
        return await self._database.read(lambda connection: frozenset(connection.execute(query).scalars()))

    async def require_room(self, limits: Sequence[CountLimit], at: datetime) -> None:
        """Raises JournalError ``signing_limit`` if one more signature at ``at`` exceeds a limit, as an intent would."""
        await self._database.read(lambda connection: signatures.require_room(connection, limits, 1, at))

    async def signature_rows(self) -> list[SignatureRow]:
        """The signing history, the oldest first."""
        return await self._database.read(signatures.all_rows)

    async def last_signed_seq(self, keystore: str | None) -> int | None:
        """The place of the last ``signing_intended`` whose signature was made with a key of this keystore, or (None) of
        any that has an id."""
        return await self._database.read(lambda connection: signatures.last_made(connection, keystore))

    # --- certificates --------------------------------------------------------------------------------------------

    async def keep_certificate(self, account_id: str, body: bytes) -> str:
        """Stores a certificate; returns its SHA-256 in hex. Storing the same bytes again changes nothing."""
        digest = hashlib.sha256(body).hexdigest()
        query = sa.select(certificates.c.sha256).where(certificates.c.sha256 == digest)

        def work(connection: sa.Connection) -> None:
            if connection.execute(query).first() is None:
                row = {"sha256": digest, "account_id": account_id, "body": body}
                connection.execute(certificates.insert(), row)

        await self._database.write(work)
        return digest

    async def certificate(self, sha256: str) -> bytes | None:
        """The bytes of a stored certificate."""
        body: bytes | None = await self._scalar(sa.select(certificates.c.body).where(certificates.c.sha256 == sha256))
        return body

    # --- the index of a chain ------------------------------------------------------------------------------------

    def chain_index(self, name: str) -> StoredIndex:
        """What is known of one factory's wallets on one chain: ``CHAIN:FACTORY``."""
        return StoredIndex(self._database, name)

    # --- the webhooks' inbox -------------------------------------------------------------------------------------

    async def receive(self, event_id: str, kind: str, account_id: str | None, body: str, at: datetime) -> bool:
        """Keeps a webhook. False if this ``event_id`` was there before (a duplicate delivery)."""
        row = {"event_id": event_id, "received_at": iso(at), "type": kind, "account_id": account_id, "body": body}
        try:
            await self._database.write(lambda connection: connection.execute(inbox.insert(), row))
        except JournalError as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise
        return True

    async def unhandled(self) -> list[tuple[str, str | None]]:
        """``(event_id, account_id)`` of webhooks that have woken nobody yet, oldest first."""
        query = sa.select(inbox.c.event_id, inbox.c.account_id).where(inbox.c.handled_at.is_(None))

        def work(connection: sa.Connection) -> list[tuple[str, str | None]]:
            rows = connection.execute(query.order_by(inbox.c.received_at))
            return [(row.event_id, row.account_id) for row in rows]

        return await self._database.read(work)

    async def handled(self, event_id: str, at: datetime) -> None:
        update = inbox.update().where(inbox.c.event_id == event_id).values(handled_at=iso(at))
        await self._database.write(lambda connection: connection.execute(update))

    async def _events(self, query: sa.Select[Any]) -> list[Recorded]:
        return await self._database.read(
            lambda connection: [recorded(row._mapping) for row in connection.execute(query)]
        )

    async def _scalar(self, query: sa.Select[Any]) -> Any:
        return await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())


def _head(connection: sa.Connection) -> tuple[int, str]:
    top = connection.execute(_TOP).first()
    return (top.seq, top.hash) if top else (0, GENESIS)


def _length(connection: sa.Connection, stream: str) -> int:
    return int(connection.execute(_LENGTH, {"stream": stream}).scalar_one())


def _extend(connection: sa.Connection, stream: str, after: int, new: Sequence[Event], at: datetime) -> list[Recorded]:
    seq, previous = _head(connection)
    done = []
    for offset, event in enumerate(new, start=1):
        row = row_of(seq + offset, stream, after + offset, at, event, previous)
        connection.execute(events.insert(), row)
        signatures.keep(connection, seq + offset, stream, at, event)
        previous = row["hash"]
        done.append(recorded_from(row, event, at))
    return done


_TOP = sa.select(events.c.seq, events.c.hash).order_by(events.c.seq.desc()).limit(1)
_LENGTH = sa.select(sa.func.count()).select_from(events).where(events.c.stream == sa.bindparam("stream"))
