"""The tables beside the events, kept in the transaction of the event: what was signed, what was fetched, what was
claimed. Their constraints decide what no check in code can: of two processes that want the same, one gets it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import rfc8785
import sqlalchemy as sa

from orchestrator.challenge.decode import Challenge
from orchestrator.challenge.expectation import ChallengeHistory
from orchestrator.errors import Disposition, JournalError, MalformedAnswer, SettingsError
from orchestrator.journal.rows import iso
from orchestrator.journal.schema import challenges, claims, signatures
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.recorded import Event
from orchestrator.ports.journal import CountLimit, SignatureRow

_BATCH = 500
"""Digests in one query: SQLite takes 32,766 parameters, PostgreSQL 65,535."""


def keep(connection: sa.Connection, seq: int, stream: str, at: datetime, event: Event) -> None:
    """What one event means for the tables. A broken constraint comes as SQLAlchemy's IntegrityError."""
    match event:
        case e.SigningIntended():
            _insert(connection, _intended(seq, stream, at, event))
        case e.ChallengeSigned():
            _mark_made(connection, seq, stream, at, event)
        case e.SubmissionRefused() | e.ChallengeLapsed():
            mine = (signatures.c.digest == event.digest) & (signatures.c.account_id == stream)
            connection.execute(signatures.update().where(mine).values(live=False))
        case e.ChallengeFetched():
            _know(connection, seq, stream, event.digest, event.purpose)
        case e.CreationAnswered():
            connection.execute(claims.insert(), {"account_id": event.account_id, "stream": stream})
            digest = digest_of_creation(event.challenge)
            if digest is not None:
                _know(connection, seq, event.account_id, digest, "creation")
        case _:
            pass


def digest_of_creation(challenge: str | None) -> str | None:
    """The digest of the challenge that came with an account's creation; None where there is none that can be read,
    which is never signed."""
    try:
        return None if challenge is None else Challenge.parse(challenge).digest
    except MalformedAnswer:
        return None


def _know(connection: sa.Connection, seq: int, account_id: str, digest: str, purpose: str) -> None:
    """Notes whose challenge it is, and for what. The first one keeps it."""
    known = sa.select(challenges.c.digest).where(challenges.c.digest == digest)
    if connection.execute(known).first() is None:
        row = {"digest": digest, "account_id": account_id, "purpose": purpose, "seq": seq}
        connection.execute(challenges.insert(), row)


def _intended(seq: int, stream: str, at: datetime, event: e.SigningIntended) -> dict[str, Any]:
    return {
        "digest": event.digest,
        "account_id": stream,
        "purpose": event.purpose,
        "live": True,
        "made": False,
        "at": iso(at),
        "intent_seq": seq,
        "signer": event.signer,
        "key": event.key,
        "keystore": event.keystore,
        "policy": event.policy,
    }


def _mark_made(connection: sa.Connection, seq: int, stream: str, at: datetime, event: e.ChallengeSigned) -> None:
    """Marks the live intention made. Where there is none (the first release wrote none) the row is new, so that the
    constraints refuse it beside another live one, and a second signature of one challenge."""
    table = signatures.c
    mine = (table.digest == event.digest) & (table.account_id == stream) & (table.purpose == event.purpose)
    intended = signatures.update().where(mine & table.live & ~table.made).values(made=True)
    if connection.execute(intended).rowcount == 0:
        row = {
            "digest": event.digest,
            "account_id": stream,
            "purpose": event.purpose,
            "live": True,
            "made": True,
            "at": iso(at),
            "intent_seq": seq,
            "signer": event.signer,
            "key": event.key,
            "keystore": None,
            "policy": event.policy,
        }
        _insert(connection, row)


def _insert(connection: sa.Connection, row: dict[str, Any]) -> None:
    """In two steps, so that on every database the constraint on the challenge speaks before that on the operation."""
    connection.execute(signatures.insert(), {**row, "live": False})
    connection.execute(signatures.update().where(signatures.c.digest == row["digest"]).values(live=True))


# --- limits ----------------------------------------------------------------------------------------------------------


def require_room(connection: sa.Connection, limits: Iterable[CountLimit], wanted: int, at: datetime) -> None:
    """Raises JournalError ``signing_limit`` (retry) if ``wanted`` more signatures at ``at`` exceed a limit."""
    for limit in limits:
        count = counted(connection, limit)
        if count + wanted > limit.most:
            free = free_at(connection, limit, at, wanted)
            until = f"free again at {free:%Y-%m-%dT%H:%M:%SZ}" if free else "more than the limit allows at any time"
            raise JournalError(
                f"the limit of {limit.text} is reached: {count} were made since {limit.since:%Y-%m-%dT%H:%M:%SZ}, "
                f"{wanted} more asked for; {until}",
                code="signing_limit",
                disposition=Disposition.RETRY,
            )


def counted(connection: sa.Connection, limit: CountLimit) -> int:
    """Signatures within the limit's window and of its key, or of all; made or not, imported ones too."""
    query = sa.select(sa.func.count()).select_from(signatures).where(_within(limit))
    return int(connection.execute(query).scalar_one())


def free_at(connection: sa.Connection, limit: CountLimit, at: datetime, wanted: int = 1) -> datetime | None:
    """When ``wanted`` more signatures fit within a limit whose window ends at ``at``: ``at`` itself if they do now,
    None if they never do."""
    times = sa.select(signatures.c.at).where(_within(limit)).order_by(signatures.c.at)
    found = list(connection.execute(times).scalars())
    over = len(found) + wanted - limit.most
    if over <= 0:
        return at
    if over > len(found):
        return None
    return datetime.fromisoformat(found[over - 1]) + (at - limit.since)


def _within(limit: CountLimit) -> sa.ColumnElement[bool]:
    recent = signatures.c.at > iso(limit.since)
    mine = [] if limit.key is None else [signatures.c.key == limit.key]
    if limit.address is not None:  # ``signer`` is CAIP-10; its address is in EIP-55 form, as the limit's is
        mine.append(signatures.c.signer.endswith(f":{limit.address}"))
    return recent & sa.or_(*mine) if mine else recent


# --- what is known ---------------------------------------------------------------------------------------------------


def history(connection: sa.Connection, digest: str) -> ChallengeHistory:
    """Whom a challenge was fetched for, and whom a signature of it was intended for."""

    def owner(table: sa.Table) -> tuple[str, str] | None:
        query = sa.select(table.c.account_id, table.c.purpose).where(table.c.digest == digest)
        row = connection.execute(query).first()
        return None if row is None else (row.account_id, row.purpose)

    return ChallengeHistory(fetched_for=owner(challenges), signed_for=owner(signatures))


def all_rows(connection: sa.Connection) -> list[SignatureRow]:
    """All signatures, the oldest first."""
    query = sa.select(signatures).order_by(signatures.c.intent_seq, signatures.c.digest)
    return [
        SignatureRow(
            account_id=row.account_id,
            purpose=row.purpose,
            digest=row.digest,
            signer=row.signer,
            key=row.key,
            at=row.at,
            made=row.made,
            live=row.live,
        )
        for row in connection.execute(query)
    ]


def last_made(connection: sa.Connection, keystore: str | None) -> int | None:
    """The place of the last intention whose signature was made with a key of this keystore, or of any (None)."""
    of_it = signatures.c.keystore.is_not(None) if keystore is None else signatures.c.keystore == keystore
    query = sa.select(sa.func.max(signatures.c.intent_seq)).where(of_it & signatures.c.made)
    found: int | None = connection.execute(query).scalar_one()
    return found


# --- what comes from elsewhere ---------------------------------------------------------------------------------------


def imported(rows: Sequence[SignatureRow], at: datetime) -> list[dict[str, Any]]:
    """The rows of an import, one per digest. All count in the limits, so a line without a time gets that of the import,
    ``at``, and so does one from the future, which would keep a limit reached until that future has passed.

    Raises SettingsError ``history_malformed``.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        try:
            when = iso(min(_aware(row.at), at) if row.at is not None else at)
        except (ValueError, OverflowError) as error:
            raise SettingsError(
                f"the signature of {ascii(row.digest)[:80]} has the time {ascii(row.at)[:40]}, expected ISO-8601 with "
                "an offset",
                code="history_malformed",
            ) from error
        texts = (row.digest, row.account_id, row.purpose, row.signer or "", row.key or "")
        if not row.digest or not all(map(_storable, texts)):
            raise SettingsError(
                f"the signature of {ascii(row.digest)[:80]} in the history has no digest, or a text that no database "
                "keeps",
                code="history_malformed",
            )
        found.setdefault(
            row.digest,
            {
                "digest": row.digest,
                "account_id": row.account_id,
                "purpose": row.purpose,
                "live": False,
                "made": row.made,
                "at": when,
                "signer": row.signer,
                "key": row.key,
                "keystore": None,
                "policy": None,
            },
        )
    return list(found.values())


def _storable(text: str) -> bool:
    """PostgreSQL keeps no NUL, and nothing is UTF-8 with half a surrogate pair in it."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _aware(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("no offset")
    return at.astimezone(UTC)


def unknown(connection: sa.Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose challenge has no row yet."""
    known: set[str] = set()
    for start in range(0, len(rows), _BATCH):
        digests = [row["digest"] for row in rows[start : start + _BATCH]]
        query = sa.select(signatures.c.digest).where(signatures.c.digest.in_(digests))
        known.update(connection.execute(query).scalars())
    return [row for row in rows if row["digest"] not in known]


def hash_of_rows(rows: Iterable[Any]) -> str:
    """SHA-256 over the RFC 8785 form of imported rows, by digest."""
    columns = ("digest", "account_id", "purpose", "made", "at", "signer", "key")
    lines = [[row[name] for name in columns] for row in sorted(rows, key=lambda row: str(row["digest"]))]
    return hashlib.sha256(rfc8785.dumps(lines)).hexdigest()


def take_over(connection: sa.Connection, rows: list[dict[str, Any]], seq: int) -> None:
    """Adds the rows of the import that is in event ``seq``."""
    if rows:
        connection.execute(signatures.insert(), [{**row, "intent_seq": seq} for row in rows])
