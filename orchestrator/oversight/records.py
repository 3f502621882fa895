"""How people's decisions are read from the journal, and the one way in which they are written to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from orchestrator.authorization.gate import read_oversight
from orchestrator.errors import Disposition, JournalError
from orchestrator.lifecycle.oversight_state import STREAM, Oversight, fold_oversight
from orchestrator.lifecycle.recorded import Event
from orchestrator.policy import Ruleset
from orchestrator.ports.journal import Journal, retry_on_conflict

_QUIET_SECONDS = 0.5
"""How long a wait may take before it is reported."""

Clock = Callable[[], datetime]
"""The time now, aware, in UTC."""


@dataclass(frozen=True, slots=True)
class Landing:
    """How whoever forbids signing waits for the signatures that are on their way when the decision is journaled."""

    patience: float = 90.0
    """Seconds: longer than a request to the platform may take (ORCHESTRATOR_REQUEST_TIMEOUT)."""
    watch: Callable[[str], None] = lambda _what: None
    """Told what is waited for, where that takes a moment."""
    meanwhile: Callable[[], Awaitable[None]] | None = None
    """Done before the wait: the decision is journaled by then."""

    async def wait(self, records: Journal, decision: str) -> None:
        """Until what was on its way is over; ``decision``: what was journaled, in words.

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


LANDING: Final = Landing()


def in_force(oversight: Oversight, settings: Ruleset) -> Ruleset:
    """The ruleset that decides: the adopted one; before the first is adopted, what the settings ask for."""
    return oversight.ruleset or settings


async def record(
    records: Journal, decide: Callable[[Oversight, datetime], Sequence[Event]], clock: Clock
) -> tuple[Oversight, bool]:
    """Writes what ``decide`` makes of the stream ``signing``, as it is at the moment of writing: if another process was
    quicker, it is read and decided again. Returns the state after it, and whether anything was written.

    ``decide`` raises what refuses; no event means that there is nothing to write. SIDE EFFECTS: appends to ``signing``.
    """

    async def attempt() -> tuple[Oversight, bool]:
        oversight = await read_oversight(records)
        now = clock()
        new = decide(oversight, now)
        if not new:
            return oversight, False
        recorded = await records.append(STREAM, new, after=oversight.length, at=now)
        return fold_oversight(recorded, oversight), True

    return await retry_on_conflict(attempt, STREAM)
