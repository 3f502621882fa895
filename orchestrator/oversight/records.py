"""The journal, as far as people's decisions need it, and the one way in which they are written to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from orchestrator.errors import Disposition, JournalError
from orchestrator.lifecycle.oversight import STREAM, Oversight, fold_oversight
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.policy import Ruleset

_TRIES = 50
"""More processes than ever write to one stream at the same moment."""
_GROWN = frozenset({"journal_conflict", "journal_moved"})

Clock = Callable[[], datetime]
"""The time now, aware, in UTC."""


class Records(Protocol):
    """What is asked of the journal (``orchestrator.journal``). All raise JournalError."""

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


async def read_oversight(records: Records) -> Oversight:
    """What the stream ``signing`` says now."""
    return fold_oversight(await records.read(STREAM))


def in_force(oversight: Oversight, settings: Ruleset) -> Ruleset:
    """The ruleset that decides: the adopted one; before the first is adopted, what the settings ask for."""
    return oversight.ruleset or settings


async def record(
    records: Records, decide: Callable[[Oversight, datetime], Sequence[Event]], clock: Clock
) -> tuple[Oversight, bool]:
    """Writes what ``decide`` makes of the stream ``signing``, as it is at the moment of writing: if another process was
    quicker, it is read and decided again. Returns the state after it, and whether anything was written.

    ``decide`` raises what refuses; no event means that there is nothing to write. SIDE EFFECTS: appends to ``signing``.
    """
    for _ in range(_TRIES):
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
    """Whether another process wrote to a stream between reading and writing: read again."""
    return error.code in _GROWN


def busy(stream: str) -> JournalError:
    return JournalError(
        f"the journal of {stream} grew at each of {_TRIES} tries: nothing was written",
        code="journal_busy",
        disposition=Disposition.RETRY,
    )
