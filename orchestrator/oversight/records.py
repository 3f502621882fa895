"""The journal, as far as people's decisions need it, and the one function that writes them to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from orchestrator.errors import Disposition, JournalError
from orchestrator.lifecycle.oversight import STREAM, Oversight, fold_oversight
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.policy import Ruleset

TRIES: Final = 50
"""More processes than ever write to one stream at the same moment."""
_QUIET_SECONDS: Final = 0.5
"""A wait that is longer is reported."""
_GROWN: Final = frozenset({"journal_conflict", "journal_moved"})

Clock = Callable[[], datetime]
"""The time now, aware, in UTC."""


class Records(Protocol):
    """The journal's calls that are needed here (``orchestrator.journal``). All raise JournalError."""

    async def identity(self) -> str:
        """The journal's id (UUID text); a copy of the database has the same."""
        ...

    async def read(self, stream: str) -> list[Recorded]: ...

    async def read_all(self, after: int = 0, limit: int = 1000) -> list[Recorded]: ...

    async def append(
        self,
        stream: str,
        new: Sequence[Event],
        *,
        after: int,
        at: datetime,
        unchanged: Mapping[str, int] = ...,
    ) -> list[Recorded]:
        """All or nothing, if the stream has ``after`` events and each of ``unchanged`` as many as it says."""
        ...

    async def landed(self, patience: float) -> bool:
        """Whether all that was in flight (``ports.journal``) when this was called is over within so many seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Drain:
    """How a decision that forbids signing waits for the signatures that were being sent when it was journaled."""

    patience: float = 90.0
    """Seconds: longer than a request to the platform may take (ORCHESTRATOR_REQUEST_TIMEOUT)."""
    watch: Callable[[str], None] = lambda _what: None
    """Called with what is waited for, where that takes a moment."""
    meanwhile: Callable[[], Awaitable[None]] | None = None
    """Done before the wait, when the decision is journaled."""

    async def wait(self, records: Records, decision: str) -> None:
        """Returns when those requests have ended. ``decision``: what was journaled, in words.

        Raises JournalError ``signature_in_flight`` (retry): the decision holds, and one more may go out.
        """
        if self.meanwhile is not None:
            await self.meanwhile()
        if await records.landed(min(_QUIET_SECONDS, self.patience)):
            return
        self.watch(f"{decision}; a signature was on its way before, waiting for the end of its request")
        if not await records.landed(self.patience):
            raise JournalError(
                f"{decision}, and that holds; but a signature that was on its way before may still go out: its request "
                f"has not ended in {self.patience:.0f} s. Look for a process of this program that hangs, and end it",
                code="signature_in_flight",
                disposition=Disposition.RETRY,
            )


DRAIN: Final = Drain()


async def read_oversight(records: Records) -> Oversight:
    """The state of the stream ``signing`` now."""
    return fold_oversight(await records.read(STREAM))


def in_force(oversight: Oversight, settings: Ruleset) -> Ruleset:
    """The ruleset that decides: the adopted one, or before the first adoption that of the settings."""
    return oversight.ruleset or settings


async def record(
    records: Records, decide: Callable[[Oversight, datetime], Sequence[Event]], clock: Clock
) -> tuple[Oversight, bool]:
    """Appends the events that ``decide`` returns for the state of the stream ``signing``. If another process has
    written to it meanwhile, reads and decides again. Returns the state afterwards, and whether anything was appended.

    ``decide`` raises to refuse, and returns no event where there is nothing to write.
    """
    for _ in range(TRIES):
        oversight = await read_oversight(records)
        now = clock()
        new = decide(oversight, now)
        if not new:
            return oversight, False
        try:
            recorded = await records.append(STREAM, new, after=oversight.length, at=now)
        except JournalError as error:
            if error.code not in _GROWN:
                raise
            continue
        return fold_oversight(recorded, oversight), True
    raise busy(STREAM)


def has_grown(error: JournalError) -> bool:
    """Whether another process wrote to the stream between reading and writing: read again."""
    return error.code in _GROWN


def busy(stream: str) -> JournalError:
    return JournalError(
        f"the journal of {stream} grew at each of {TRIES} tries: nothing was written",
        code="journal_busy",
        disposition=Disposition.RETRY,
    )
