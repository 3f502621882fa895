"""The operations of this process: each starts and goes on under its account's lock, until it is over or a deadline.

A deadline is in seconds, on ``time.monotonic``'s clock: until then trouble that may pass is waited out; what hangs is
cut off. ``resolve`` journals an operator's decision on an account that waits for one, under the same lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, TypeVar

from orchestrator.dispatch.embedded import EmbeddedDispatch, Wakes
from orchestrator.dispatch.locks import TURN_SECONDS, AccountLocks
from orchestrator.errors import Disposition, OrchestratorError, SettingsError, UncertainAnswer
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import End, Wait, next_action
from orchestrator.lifecycle.fold import AccountState, Operation, fold
from orchestrator.lifecycle.recorded import Event
from orchestrator.models import AccountId, OperationKind, Outcome
from orchestrator.ports.journal import Journal, retry_on_conflict
from orchestrator.report import ErrorNote, OperationReport, report, troubled
from orchestrator.runner import Runner
from orchestrator.session import AccountSession, Services
from orchestrator.steps.observe import observe

NO_ANSWER = "the platform or the node gave no answer within the timeout; nothing is lost, run it again"

_GRACE = 5.0
"""Seconds after the deadline that a poll under way may take before it is cut off."""
_FIRST_PAUSE = 0.2
"""Seconds; each further pause is twice as long, up to the poll interval."""

_Result = TypeVar("_Result")
Decision = Literal["retry", "accept", "abandon"]


class Operations:
    """Runs the operations of any number of accounts at the same time."""

    def __init__(
        self,
        services: Services,
        locks: AccountLocks,
        wakes: Wakes,
        *,
        poll_interval: float,
        watch: Callable[[str, str], None],
    ) -> None:
        self._services = services
        self._locks = locks
        self._poll_interval = poll_interval
        self._watch = watch
        self._dispatch = EmbeddedDispatch(
            Runner(services, watch=watch), wakes, poll_interval=poll_interval, watch=self._waiting
        )

    async def run(self, account_id: AccountId, kind: OperationKind, deadline: float) -> OperationReport:
        """Starts the operation, or goes on with the one of its kind, to its end; waiting at the deadline, or an error.

        Raises OrchestratorError's subclasses. SIDE EFFECTS: those of the steps.
        """
        async with self._locks.hold(account_id, deadline, lambda what: self._watch(account_id, what)):
            self._watch(account_id, f"{kind}: reading platform and chain back")
            try:
                async with cut_off(deadline):
                    started = await patiently(
                        lambda: retry_on_conflict(lambda: self._start(account_id, kind), account_id),
                        deadline,
                        poll_interval=self._poll_interval,
                        watch=lambda what: self._watch(account_id, what),
                    )
                    if isinstance(started, OperationReport):
                        return started
                    return await self._drive(account_id, deadline, observed=started)
            except TimeoutError:
                return await self._cut_short(account_id)

    async def resume(self, account_id: AccountId, deadline: float) -> OperationReport:
        """Goes on with the account's unfinished operation. An error is in the report. SIDE EFFECTS: as of ``run``."""
        try:
            async with self._locks.hold(account_id, deadline, lambda what: self._watch(account_id, what)):
                state = await self._state(account_id)
                if not state.unfinished:  # another worker was faster
                    return report(account_id, state)
                async with cut_off(deadline):
                    return await self._drive(account_id, deadline)
        except TimeoutError:
            return await self._cut_short(account_id)
        except OrchestratorError as error:
            return troubled(account_id, await self._state(account_id), error)

    async def poll(self, account_id: AccountId) -> OperationReport:
        """Reads the account back once, without waiting: an unfinished operation is moved on as far as it goes now; of
        any other account both sides are read back and what is new is journaled.

        Raises OrchestratorError's subclasses: JournalError ``account_busy`` (retry), too.
        """
        async with self._locks.hold(account_id, time.monotonic()):
            return await retry_on_conflict(lambda: self._poll(account_id), account_id)

    async def read_back(self, account_id: AccountId) -> None:
        """Reads both sides back, of an account with an unfinished operation too, and journals what is new.

        Raises OrchestratorError's subclasses.
        """
        self._watch(account_id, "reading platform and chain back")
        async with self._locks.hold(account_id, time.monotonic() + TURN_SECONDS):
            await retry_on_conflict(lambda: self._observed(account_id), account_id)

    async def _poll(self, account_id: AccountId) -> OperationReport:
        session = await AccountSession.load(account_id, self._services)
        if session.state.unfinished:
            return await self._drive(account_id, time.monotonic())
        if session.length == 0:
            await self._services.platform.account(account_id)  # a made-up id costs this one read
        await observe(session)
        return report(account_id, session.state)

    async def _observed(self, account_id: AccountId) -> None:
        await observe(await AccountSession.load(account_id, self._services))

    async def _start(self, account_id: AccountId, kind: OperationKind) -> OperationReport | AccountSession | None:
        """Starts the operation and gives the account as it was read back for that, or says why there is nothing to
        start; None: it was started before."""
        services = self._services
        session = await AccountSession.load(account_id, services)
        op = session.state.operation
        if op is not None and op.ended is None:
            if op.kind is kind:
                return None
            await self._drive(account_id, time.monotonic())  # it may only need to be read back to end
            session = await AccountSession.load(account_id, services)
            op = session.state.operation
        if op is not None and op.ended is None:
            return self._under_way(session, op, kind)
        await observe(session)
        if op is not None and op.kind is kind and op.ended is not None and op.ended.outcome == "done":
            now = services.clock()
            again = Operation(kind=kind, started_at=now)
            if next_action(account_id, replace(session.state, operation=again), now, services.parameters) == End(
                "done"
            ):
                return report(account_id, session.state)
        await session.record(e.OperationStarted(operation=kind, by=services.actor))
        return session

    def _under_way(self, session: AccountSession, op: Operation, kind: OperationKind) -> OperationReport:
        """The report that another operation keeps this one from starting."""
        message = (
            f"{op.kind} is under way (since {op.started_at:%Y-%m-%dT%H:%M:%SZ}), and {kind} cannot start before "
            f"its end: see orchestrator status {session.account_id}, then resume, or resolve --abandon"
        )
        return report(session.account_id, session.state).model_copy(
            update={
                "operation": kind,
                "outcome": Outcome.FAILED,
                "waiting_for": None,
                "deadline": None,
                "error": ErrorNote.of_code("operation_in_progress", message),
            }
        )

    async def _drive(
        self, account_id: AccountId, deadline: float, *, observed: AccountSession | None = None
    ) -> OperationReport:
        """Its report at the operation's end or at the deadline. The account's lock is held."""
        advanced = await self._dispatch.drive(account_id, deadline, observed=observed)
        wait = advanced.action if isinstance(advanced.action, Wait) else None
        return report(account_id, advanced.session.state, wait=wait, trouble=advanced.trouble)

    async def _cut_short(self, account_id: AccountId) -> OperationReport:
        """The report where the other side let the timeout pass without an answer. What was cut is as after a kill."""
        return troubled(account_id, await self._state(account_id), UncertainAnswer(NO_ANSWER, code="no_answer"))

    def _waiting(self, account_id: AccountId, wait: Wait, trouble: OrchestratorError | None) -> None:
        because = f" ({trouble.message})" if trouble is not None else ""
        self._watch(account_id, f"waiting for {wait.waits_for}{because}")

    async def _state(self, account_id: AccountId) -> AccountState:
        return fold(await self._services.journal.read(account_id))


def cut_off(deadline: float) -> asyncio.Timeout:
    """Cuts off what runs within it, a little after the deadline, so that a poll may end. Raises TimeoutError."""
    return asyncio.timeout(max(0.0, deadline - time.monotonic()) + _GRACE)


async def patiently(
    attempt: Callable[[], Awaitable[_Result]],
    deadline: float,
    *,
    poll_interval: float,
    watch: Callable[[str], None],
) -> _Result:
    """Tries again while trouble may pass, until the deadline; then the trouble is raised (OrchestratorError)."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except OrchestratorError as error:
            remaining = deadline - time.monotonic()
            if error.disposition is not Disposition.RETRY or remaining <= 0:
                raise
            watch(f"waiting for trouble to pass ({error.message})")
            await asyncio.sleep(min(pause, remaining))
            pause = min(pause * 2, poll_interval)


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
