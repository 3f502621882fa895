"""What may be asked of the journal; ``orchestrator.journal`` answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar

from orchestrator.challenge.expectation import ChallengeHistory
from orchestrator.errors import Disposition, JournalError
from orchestrator.lifecycle.oversight_events import HistoryImported, JournalReconciled, SigningStopped
from orchestrator.lifecycle.recorded import Event, Recorded

_TRIES: Final = 50
"""More processes than ever write to one stream at the same moment."""
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """A line of the signing history: an intended signature, made or not."""

    account_id: str
    purpose: str
    digest: str
    signer: str | None
    key: str | None
    at: str | None
    """ISO-8601 UTC."""
    made: bool
    live: bool


@dataclass(frozen=True, slots=True)
class CountLimit:
    """At most ``most`` intended signatures since ``since``, of one key or of all.

    One key: named ``key``, or with ``address`` under whatever name. Both None: all keys.
    """

    key: str | None
    since: datetime
    most: int
    text: str
    """For the error: ``100 signatures in 3600 s by key alice``."""
    address: str | None = None


class Journal(Protocol):
    """The journal. Each call is one transaction; all raise JournalError."""

    async def identity(self) -> str:
        """The journal's id (UUID text); a copy of the database has the same."""
        ...

    # --- facts -------------------------------------------------------------------------------------------------------

    async def read(self, stream: str) -> list[Recorded]: ...

    async def read_all(self, after: int = 0, limit: int = 1000) -> list[Recorded]: ...

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
        """All or nothing, if the stream has ``after`` events and each of ``unchanged`` as many as it says; else
        JournalError ``journal_conflict``, and for one of ``unchanged`` ``journal_moved`` (retry)."""
        ...

    async def event_hash(self, seq: int) -> str | None: ...

    async def require_whole(self) -> None:
        """Raises JournalError ``journal_damaged``."""
        ...

    # --- accounts ----------------------------------------------------------------------------------------------------

    async def claimed_accounts(self) -> set[str]: ...

    async def creation_streams(self, account_id: str | None = None) -> dict[str, str]: ...

    async def open_creations(self) -> list[Recorded]: ...

    async def known_accounts(self, ids: Sequence[str]) -> frozenset[str]: ...

    # --- signatures --------------------------------------------------------------------------------------------------

    def in_flight(self) -> AbstractAsyncContextManager[None]:
        """Hold this while you check decisions and act on them. A stop is journaled first and then waits for all
        holders, so a holder has either seen the stop or finished before ``stop`` returns."""
        ...

    async def landed(self, patience: float) -> bool:
        """Whether all that was in flight when this was called is over within so many seconds."""
        ...

    async def challenge_history(self, digest: str) -> ChallengeHistory: ...

    async def last_signed_seq(self, keystore: str | None) -> int | None: ...

    async def require_room(self, limits: Sequence[CountLimit], at: datetime) -> None:
        """Raises JournalError ``signing_limit`` if one more signature at ``at`` exceeds a limit."""
        ...

    async def signature_rows(self) -> list[SignatureRow]: ...

    async def import_signatures(
        self,
        rows: Sequence[SignatureRow],
        event: HistoryImported | JournalReconciled,
        *also: SigningStopped,
        at: datetime,
        after: int | None = None,
    ) -> list[Recorded]:
        """Takes over the rows that it does not know, with the events, in one transaction."""
        ...

    # --- certificates ------------------------------------------------------------------------------------------------

    async def keep_certificate(self, account_id: str, body: bytes) -> str: ...

    async def certificate(self, sha256: str) -> bytes | None: ...


async def retry_on_conflict(
    attempt: Callable[[], Awaitable[_Result]], stream: str, *, also: frozenset[str] = frozenset()
) -> _Result:
    """``attempt``, which reads the stream and then writes to it; again where another process wrote first. Locks are one
    machine's, and people need none. ``also``: further codes of JournalError after which it is tried again.

    Raises JournalError ``journal_busy`` (retry) where that happens each time.
    """
    for _ in range(_TRIES):
        try:
            return await attempt()
        except JournalError as error:
            if error.code != "journal_conflict" and error.code not in also:
                raise
    raise JournalError(
        f"the journal of {stream} grew at each of {_TRIES} tries", code="journal_busy", disposition=Disposition.RETRY
    )
