"""What a database says, as JournalError: which constraint was hit, and whether a repeat may help."""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from orchestrator.errors import Disposition, JournalError

_AGAIN = frozenset({"40001", "40P01", "55P03", "57014"})
"""PostgreSQL's serialization_failure, deadlock_detected, lock_not_available, query_canceled: nothing was committed."""
_GONE = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "53300"})
"""admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout, idle_in_transaction_session_timeout,
too_many_connections."""

_DAMAGE = frozenset({"XX001", "XX002"})
"""data_corrupted, index_corrupted."""


def translated(error: SQLAlchemyError, *, committing: bool = False) -> JournalError:
    """``committing``: whether it happened while the transaction was being committed, so that a lost connection leaves
    open whether it was."""
    cause = getattr(error, "orig", None) or error
    if isinstance(error, IntegrityError):
        found = _constraint(cause)
        if found is not None:
            return found
    if is_lost(error):
        return _connection_lost(cause, committing=committing)
    if _is_damage(cause):
        return damaged(_first_line(cause))
    state = getattr(cause, "sqlstate", None)
    if state in _AGAIN or (isinstance(error, OperationalError) and "locked" in str(cause)):
        return JournalError(
            "the journal's database is in use by another process and did not get free in time",
            code="journal_busy",
            disposition=Disposition.RETRY,
        )
    return JournalError(f"the journal's database refused: {_first_line(cause)}", code="journal_database")


def is_lost(error: SQLAlchemyError) -> bool:
    """Whether there is no connection to the server, or no longer."""
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, sa.exc.TimeoutError):  # none was free in the pool
        return True
    cause = getattr(error, "orig", None)
    if type(cause).__module__.partition(".")[0] != "psycopg":
        return False
    state = getattr(cause, "sqlstate", None)
    if state is None:  # no answer of the server's at all, or none to a connection
        return isinstance(error, OperationalError)
    return state in _GONE or state.startswith("08")


def damaged(what: str) -> JournalError:
    """The error for a database whose bytes are not those that were written."""
    return JournalError(
        f"the journal's database is damaged, so nothing is signed on it: {what}", code="journal_damaged"
    )


def _is_damage(cause: Any) -> bool:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # without SQLite's extended part
    return (
        code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        or getattr(cause, "sqlstate", None) in _DAMAGE
        or "Could not decode to UTF-8" in str(cause)
    )


def _connection_lost(cause: Any, *, committing: bool) -> JournalError:
    if committing:
        return JournalError(
            "the connection to the journal's database was lost while it committed: what was appended is there or it is "
            f"not; read it again ({_first_line(cause)})",
            code="journal_uncertain",
            disposition=Disposition.RETRY,
        )
    return JournalError(
        f"the journal's database cannot be reached, nothing was written: {_first_line(cause)}",
        code="journal_unreachable",
        disposition=Disposition.RETRY,
    )


def _constraint(cause: Any) -> JournalError | None:
    """PostgreSQL names the constraint; SQLite names the columns."""
    text = str(cause)
    if "a_challenge_is_signed_once" in text or "signatures.digest" in text:
        return JournalError(
            "this challenge was signed before, or is about to be, for this account or for another: a challenge is "
            "signed once, nothing was signed now",
            code="challenge_signed_before",
        )
    if "one_live_signature_per_operation" in text or "signatures.account_id" in text:
        return JournalError(
            "another signature of this account and operation is live: expected it to have lapsed or to be refused "
            "first; this one goes nowhere",
            code="signature_conflict",
        )
    if "claims" in text:
        return JournalError(
            "the account is the answer to another creation already: expected one reference per account",
            code="account_claimed",
        )
    return None


def _first_line(cause: Any) -> str:
    """Without PostgreSQL's DETAIL and CONTEXT, which repeat values."""
    return str(cause).strip().partition("\n")[0] or type(cause).__name__
