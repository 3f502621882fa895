"""How people's decisions are read from the journal, and the one function that writes them to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from orchestrator.authorization.gate import read_oversight
from orchestrator.errors import Disposition, JournalError
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Oversight, fold_oversight
from orchestrator.lifecycle.recorded import Event
from orchestrator.policy import Ruleset
from orchestrator.ports.journal import Journal, retry_on_conflict

_QUIET_SECONDS = 0.5
"""How long a wait may take before it is reported."""

Clock = Callable[[], datetime]
"""The time now, aware, in UTC."""


@dataclass(frozen=True, slots=True)
class Drain:
    """How a decision that forbids signing waits for the signatures that were being sent when it was journaled."""

    patience: float = 90.0
    """Seconds: longer than a request to the platform may take (ORCHESTRATOR_REQUEST_TIMEOUT)."""
    watch: Callable[[str], None] = lambda _what: None
    """Called with what is waited for, where that takes a moment."""
    meanwhile: Callable[[], Awaitable[None]] | None = None
    """Done before the wait, when the decision is journaled."""

    async def wait(self, journal: Journal, decision: str) -> None:
        """Returns when those requests have ended. ``decision``: what was journaled, in words.

        Raises JournalError ``signature_in_flight`` (retry): the decision holds, and one more may go out.
        """
        if self.meanwhile is not None:
            await self.meanwhile()
        if await journal.landed(min(_QUIET_SECONDS, self.patience)):
            return
        self.watch(f"{decision}; a signature was on its way before, waiting for the end of its request")
        if not await journal.landed(self.patience):
            raise JournalError(
                f"{decision}, and that holds; but a signature that was on its way before may still go out: its request "
                f"has not ended in {self.patience:.0f} s. Look for a process of this program that hangs, and end it",
                code="signature_in_flight",
                disposition=Disposition.RETRY,
            )


DRAIN: Final = Drain()


def in_force(oversight: Oversight, settings: Ruleset) -> Ruleset:
    """The ruleset that decides: the adopted one, or before the first adoption that of the settings."""
    return oversight.ruleset or settings


async def record(
    journal: Journal, decide: Callable[[Oversight, datetime], Sequence[Event]], clock: Clock
) -> tuple[Oversight, bool]:
    """Appends the events that ``decide`` returns for the state of the stream ``signing``. If another process has
    written to it meanwhile, reads and decides again. Returns the state afterwards, and whether anything was appended.

    ``decide`` raises to refuse, and returns no event where there is nothing to write.
    """

    async def attempt() -> tuple[Oversight, bool]:
        oversight = await read_oversight(journal)
        now = clock()
        new = decide(oversight, now)
        if not new:
            return oversight, False
        recorded = await journal.append(DECISIONS_STREAM, new, after=oversight.length, at=now)
        return fold_oversight(recorded, oversight), True

    return await retry_on_conflict(attempt, DECISIONS_STREAM)
