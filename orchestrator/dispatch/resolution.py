"""An operator's decision on an account that waits for one, journaled under the account's lock."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal

from orchestrator.dispatch.locks import TURN_SECONDS, AccountLocks
from orchestrator.errors import SettingsError
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Wait
from orchestrator.lifecycle.fold import AccountState, Operation, fold
from orchestrator.lifecycle.recorded import Event
from orchestrator.models import AccountId
from orchestrator.ports.journal import Journal, retry_on_conflict

Decision = Literal["retry", "accept", "abandon"]


async def resolve(
    journal: Journal,
    locks: AccountLocks,
    account_id: AccountId,
    decision: Decision,
    *,
    reason: str,
    by: str,
    reconcile: Callable[[], Awaitable[Wait | None]],
) -> tuple[AccountState, Wait | None]:
    """The state after the decision, and what it waits for if that is known. ``reconcile`` brings the whole journal up
    to date and says whether it has left signing stopped: it is called before a ``retry`` of what a restored backup had
    halted, and may raise.

    Raises SettingsError ``nothing_to_resolve``, and JournalError. SIDE EFFECTS: journals it.
    """
    wait: Wait | None = None
    halted = _waiting(account_id, fold(await journal.read(account_id)), decision).halted
    if decision == "retry" and halted is not None and halted.code == "journal_restored":
        wait = await reconcile()

    async def decide() -> AccountState:
        recorded = await journal.read(account_id)
        state = fold(recorded)
        _waiting(account_id, state, decision)
        decided: list[Event] = [e.OperatorResolved(decision=decision, reason=reason, by=by)]
        if decision == "accept":
            decided.append(e.OperationEnded(outcome="done", code="accepted_by_operator", message=reason))
        elif decision == "abandon":
            decided.append(e.OperationEnded(outcome="failed", code="abandoned", message=reason))
        new = await journal.append(account_id, decided, after=len(recorded), at=datetime.now(UTC))
        return fold(new, state)

    async with locks.hold(account_id, time.monotonic() + TURN_SECONDS):
        return await retry_on_conflict(decide, account_id), wait


def _waiting(account_id: AccountId, state: AccountState, decision: Decision) -> Operation:
    """The operation that the decision is about. Raises SettingsError ``nothing_to_resolve``."""
    op = state.operation
    if op is None or op.ended is not None or (op.halted is None and decision != "abandon"):
        raise SettingsError(f"account {account_id} does not wait for an operator's decision", code="nothing_to_resolve")
    return op
