"""Puts the parts together: ``Orchestrator``, the library's front door.

    async with Orchestrator.open(load_settings()) as orchestrator:
        account = await orchestrator.create_account(customer_id, "EUR", reference="order-4711")
        report = await orchestrator.activate(account.account_id)

``orchestrator.blocking`` has the same without async.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

from orchestrator.connect import Keys, connect, lock_folder, open_keys
from orchestrator.dispatch.audit import Auditor
from orchestrator.dispatch.embedded import EmbeddedDispatch, Wakes
from orchestrator.dispatch.locks import AccountLocks
from orchestrator.errors import Disposition, OrchestratorError, SettingsError, UncertainAnswer
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import End, Wait, next_action
from orchestrator.lifecycle.fold import AccountState, Operation, fold
from orchestrator.lifecycle.oversight import STREAM
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.models import AccountId, CustomerId, OperationKind, Outcome, to_uuid
from orchestrator.oversight.reconcile import reconcile
from orchestrator.report import (
    AccountReport,
    AuditReport,
    ErrorNote,
    OperationReport,
    account_report,
    report,
    troubled,
)
from orchestrator.runner import Advanced, Runner
from orchestrator.settings import Settings
from orchestrator.steps.create import create_account
from orchestrator.steps.observe import observe
from orchestrator.steps.world import Working, World

DEFAULT_TIMEOUT = 600.0
"""Seconds that an operation may take before it is reported as waiting."""

_GRACE = 5.0
"""Seconds after the timeout that a look under way may take before it is cut off."""
_REISSUE_SECONDS = 60.0
"""How long an audit waits for one closure's new certificate."""
_NO_ANSWER = "the platform or the node gave no answer within the timeout; nothing is lost, run it again"

Watch = Callable[[str, str], None]
"""Told the account's id (or a reference) and what is being done or waited for, in words."""

_Result = TypeVar("_Result")


class Orchestrator:
    """All operations on accounts. Made by ``open``; safe for any number of tasks of one event loop.

    Every operation is idempotent: called again, after a crash too, it goes on where the journal says it was.
    """

    def __init__(self, settings: Settings, journal: Journal, stack: AsyncExitStack, watch: Watch | None) -> None:
        self._settings = settings
        self._journal = journal
        self._stack = stack
        self._watch = watch or (lambda _who, _what: None)
        self._locks = AccountLocks(lock_folder(settings))
        self._wakes = Wakes()
        self._world: World | None = None
        self._keys: Keys | None = None
        self._dispatch: EmbeddedDispatch | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, watch: Watch | None = None) -> AsyncIterator[Orchestrator]:
        """Opens the journal; platform, chain and keys are connected when they are first needed.

        Raises SettingsError. SIDE EFFECTS: creates and migrates the journal's database.
        """
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(await Journal.open(settings.database_url))
            yield cls(settings, journal, stack, watch)

    # --- accounts ------------------------------------------------------------------------------------------------

    async def create_account(
        self, customer_id: str, currency: str, *, reference: str | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> AccountReport:
        """Creates an account on the platform, and does not activate it.

        With a ``reference`` of yours a repeated call finds the account that the first one made, even if that one was
        killed on the way. Raises OrchestratorError's subclasses; what was uncertain at the timeout (seconds) is
        settled by calling again with the same reference, or by ``resume``.
        """
        customer = CustomerId(to_uuid(customer_id, "the customer's id"))
        reference = reference or f"unnamed-{uuid.uuid4()}"
        deadline = time.monotonic() + timeout
        world = await self._connected()

        async def attempt() -> AccountReport:
            return account_report(await create_account(world, customer, currency.upper(), reference))

        async with self._locks.hold(f"reference:{reference}", deadline, lambda what: self._watch(reference, what)):
            try:
                async with asyncio.timeout_at(_cut(deadline)):
                    return await self._patiently(attempt, deadline, reference)
            except TimeoutError:
                raise UncertainAnswer(f"creating the account of reference {reference!r}: {_NO_ANSWER}") from None

    async def accounts(self, customer_id: str | None = None) -> list[AccountReport]:
        """All accounts of the programme, or of one customer, as the platform has them, beside the journal."""
        world = await self._connected()
        if customer_id is None:
            found = await world.platform.accounts()
        else:
            found = await world.platform.customer_accounts(CustomerId(to_uuid(customer_id, "the customer's id")))
        known = _states(await self._all())
        return [account_report(account, self._known(account.id, known)) for account in found]

    async def account(self, account_id: str) -> AccountReport:
        """One account. Raises PlatformRefused ``account_not_found``."""
        identifier = _account_id(account_id)
        world = await self._connected()
        account = await world.platform.account(identifier)
        recorded = await self._journal.read(identifier)
        journal = report(identifier, fold(recorded)) if recorded else None
        return account_report(account, journal)

    # --- operations ----------------------------------------------------------------------------------------------

    async def activate(self, account_id: str, *, timeout: float = DEFAULT_TIMEOUT) -> OperationReport:
        """Fetches the challenge, signs and submits it, and follows the deployment until it is final.

        ``timeout`` in seconds; at its end the report says ``waiting``, and nothing is lost.
        """
        return await self._operate(account_id, OperationKind.ACTIVATE, timeout)

    async def deactivate(self, account_id: str, *, timeout: float = DEFAULT_TIMEOUT) -> OperationReport:
        """Suspends an active account, checked on the platform and on the chain."""
        return await self._operate(account_id, OperationKind.DEACTIVATE, timeout)

    async def reactivate(self, account_id: str, *, timeout: float = DEFAULT_TIMEOUT) -> OperationReport:
        """Ends a suspension, checked on the platform and on the chain."""
        return await self._operate(account_id, OperationKind.REACTIVATE, timeout)

    async def close(
        self, account_id: str, *, certificate: Path | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> OperationReport:
        """Closes the account for ever and proves that no call can ever undo it.

        Done only on the verdict ``irreversible``; any other is ``operator``, code ``closure_not_proven``, with the
        witness. A closure that was certified by the first release is proven again. SIDE EFFECTS: writes the
        certificate's file.
        """
        told = await self._operate(account_id, OperationKind.CLOSE, timeout)
        recorded = await self._journal.read(_account_id(account_id))
        proof = fold(recorded).closure
        if proof is None or proof.verdict != "irreversible" or told.outcome != "done":
            return told
        body = await self._journal.certificate(proof.certificate_sha256)
        if body is None:
            raise SettingsError(f"the certificate {proof.certificate_sha256} is not in the journal's database")
        from orchestrator.closure.certifier import file_certificate

        path = certificate or Path(proof.certificate)
        file_certificate(path, body)
        return told.model_copy(update={"certificate": str(path)})

    async def preflight(self, account_id: str) -> tuple[AccountReport, dict[str, str]]:
        """What closing would end: the account, and what its wallet still holds, by name. Reads only."""
        identifier = _account_id(account_id)
        world = await self._connected()
        account = await world.platform.account(identifier)
        view = await world.chain.view(identifier)
        left: dict[str, str] = {}
        if view.deployment is not None:
            holdings = await world.chain.holdings(view.deployment.wallet, world.tokens)
            left["wei"] = str(holdings.wei)
            left |= {f"token {balance.token}": str(balance.amount) for balance in holdings.tokens}
        cards = await world.platform.cards(identifier)
        left |= {f"card {card.id}": card.status for card in cards}
        return account_report(account), left

    async def resume(self, *, timeout: float = DEFAULT_TIMEOUT) -> list[OperationReport]:
        """Drives every unfinished creation and operation of the journal to its end; proves closures of the first
        release again, so that they get a certificate of today.

        One that fails does not keep the others: its error is in its report (of a creation, the report has
        ``reference:…`` in place of the account's id; one that succeeds has none).
        """
        deadline = time.monotonic() + timeout
        streams = await self._all()
        intents = [recorded[-1].event for recorded in streams.values()]
        states = _states(streams)
        unfinished = [account for account, state in states.items() if state.unfinished]
        outdated = [account for account, state in states.items() if _outdated(state)]
        told = await asyncio.gather(
            *(self._resumed_creation(intent, deadline) for intent in intents if isinstance(intent, e.CreationIntended)),
            *(self._resumed(account, deadline) for account in unfinished),
            *(self._reissued(account, deadline) for account in outdated),
        )
        return [report for report in told if report is not None]

    async def audit(self) -> AuditReport:
        """Proves every closure of the journal again, at today's finalized block, and looks at its certificate's block.

        A closure that is proven and has no certificate of this release gets one; a certificate whose block has left
        the chain is revoked. SIDE EFFECTS: those of ``close`` for the first, a journaled revocation for the second.
        """
        auditor = Auditor(
            world=await self._connected(),
            state=self._state,
            look=self.hint,
            certify=lambda account_id: self.close(account_id, timeout=_REISSUE_SECONDS),
            watch=self._watch,
        )
        return await auditor.audit(_states(await self._all()))

    async def status(self, account_ids: Sequence[str] = ()) -> list[OperationReport]:
        """Where these accounts stand (none named: all of the journal), by the journal alone."""
        if not account_ids:
            return [self._report(account, state) for account, state in (_states(await self._all())).items()]
        reports = []
        for account_id in account_ids:
            identifier = _account_id(account_id)
            recorded = await self._journal.read(identifier)
            if recorded:
                reports.append(self._report(identifier, fold(recorded)))
            else:
                account = await (await self._connected()).platform.account(identifier)
                unseen = report(identifier, AccountState())
                reports.append(unseen.model_copy(update={"status": account.status}))
        return reports

    async def resolve(
        self, account_id: str, decision: Literal["retry", "accept", "abandon"], *, reason: str, by: str
    ) -> OperationReport:
        """Journals an operator's decision on an account that waits for one.

        ``retry`` lets the operation go on (with ``resume`` or the command itself), ``accept`` ends it as done on the
        operator's word, ``abandon`` ends it as failed. Raises SettingsError ``nothing_to_resolve``. A ``retry`` of an
        operation that a restored backup had halted (``journal_restored``) reconciles the whole journal first.
        """
        if not reason.strip():
            raise SettingsError("expected a reason for the decision, got an empty one", code="reason_missing")
        identifier = _account_id(account_id)
        halted = (await self._state(identifier)).operation
        if decision == "retry" and halted is not None and halted.halted and halted.halted.code == "journal_restored":
            await self._reconcile(reason, by)
        async with self._locks.hold(identifier, time.monotonic() + 10):
            recorded = await self._journal.read(identifier)
            state = fold(recorded)
            op = state.operation
            if op is None or op.ended is not None or (op.halted is None and decision != "abandon"):
                raise SettingsError(
                    f"account {identifier} does not wait for an operator's decision", code="nothing_to_resolve"
                )
            decided: list[Event] = [e.OperatorResolved(decision=decision, reason=reason, by=by)]
            if decision == "accept":
                decided.append(e.OperationEnded(outcome="done", code="accepted_by_operator", message=reason))
            elif decision == "abandon":
                decided.append(e.OperationEnded(outcome="failed", code="abandoned", message=reason))
            new = await self._journal.append(identifier, decided, after=len(recorded), at=_now())
            return self._report(identifier, fold(new, state))

    async def hint(self, account_id: str) -> OperationReport:
        """One look at an account, without waiting: what a webhook, a new block or a due time asks for.

        An unfinished operation is moved on as far as it goes now; of any other account both sides are read back and
        what is new is journaled. Raises OrchestratorError's subclasses: JournalError ``account_busy`` (retry), too,
        where another worker has the account.
        """
        identifier = _account_id(account_id)
        world = await self._connected()
        async with self._locks.hold(identifier, time.monotonic()):
            working = await Working.load(identifier, world)
            if working.state.unfinished:
                return await self._drive_locked(world, identifier, time.monotonic())
            if working.length == 0:
                await world.platform.account(identifier)  # a made-up id costs this one read
            await observe(working)
            return self._report(identifier, working.state)

    async def _reconcile(self, reason: str, by: str) -> None:
        world = await self._connected()

        async def look_back(account_id: AccountId) -> None:
            self._watch(account_id, "reading platform and chain back")
            async with self._locks.hold(account_id, time.monotonic() + 10):
                await observe(await Working.load(account_id, world))

        journaled = _states(await self._all())
        await reconcile(world, journaled, look_back, self._journal.import_signatures, reason=reason, by=by)

    @property
    def journal(self) -> Journal:
        """The audit trail."""
        return self._journal

    @property
    def wakes(self) -> Wakes:
        """Wakes waiting accounts: what webhooks and new blocks call."""
        return self._wakes

    @property
    def keys(self) -> Keys:
        """What holds this process's opened keys."""
        if self._keys is None:
            self._keys = open_keys(self._settings)
        return self._keys

    # --- inside --------------------------------------------------------------------------------------------------

    async def _connected(self) -> World:
        async with self._connecting:
            if self._world is None:
                self._world = await connect(self._settings, self._journal, self._stack, self.keys)
            return self._world

    async def _operate(self, account_id: str, kind: OperationKind, timeout: float) -> OperationReport:
        identifier = _account_id(account_id)
        deadline = time.monotonic() + timeout
        world = await self._connected()
        async with self._locks.hold(identifier, deadline, lambda what: self._watch(identifier, what)):
            self._watch(identifier, f"{kind}: reading platform and chain back")
            try:
                async with asyncio.timeout_at(_cut(deadline)):
                    started = await self._patiently(lambda: self._start(world, identifier, kind), deadline, identifier)
                    return started or await self._drive_locked(world, identifier, deadline)
            except TimeoutError:
                return await self._cut_short(identifier)

    async def _start(self, world: World, account_id: AccountId, kind: OperationKind) -> OperationReport | None:
        """Starts the operation, or says why there is nothing to start."""
        working = await Working.load(account_id, world)
        op = working.state.operation
        if op is not None and op.ended is None:
            if op.kind is kind:
                return None
            await self._drive_locked(world, account_id, time.monotonic())  # it may only need a look to end
            working = await Working.load(account_id, world)
            op = working.state.operation
        if op is not None and op.ended is None:
            told = self._report(account_id, working.state)
            message = (
                f"{op.kind} is under way (since {op.started_at:%Y-%m-%dT%H:%M:%SZ}), and {kind} cannot start before "
                f"its end: see orchestrator status {account_id}, then resume, or resolve --abandon"
            )
            return told.model_copy(
                update={
                    "operation": kind,
                    "outcome": Outcome.FAILED,
                    "waiting_for": None,
                    "deadline": None,
                    "error": ErrorNote(code="operation_in_progress", message=message),
                }
            )
        await observe(working)
        if op is not None and op.kind is kind and op.ended is not None and op.ended.outcome == "done":
            again = Operation(kind=kind, started_at=_now())
            if next_action(account_id, replace(working.state, operation=again), _now(), world.rules) == End("done"):
                return self._report(account_id, working.state)
        await working.record(e.OperationStarted(operation=kind, by=world.actor))
        return None

    async def _resumed(self, account_id: AccountId, deadline: float) -> OperationReport:
        world = await self._connected()
        try:
            async with self._locks.hold(account_id, deadline, lambda what: self._watch(account_id, what)):
                state = fold(await self._journal.read(account_id))
                if not state.unfinished:  # another worker was faster
                    return self._report(account_id, state)
                async with asyncio.timeout_at(_cut(deadline)):
                    return await self._drive_locked(world, account_id, deadline)
        except TimeoutError:
            return await self._cut_short(account_id)
        except OrchestratorError as error:
            return troubled(account_id, fold(await self._journal.read(account_id)), error)

    async def _reissued(self, account_id: AccountId, deadline: float) -> OperationReport:
        """The report of a closure of the first release, proven again."""
        try:
            return await self.close(account_id, timeout=max(0.0, deadline - time.monotonic()))
        except OrchestratorError as error:
            return troubled(account_id, fold(await self._journal.read(account_id)), error)

    async def _resumed_creation(self, intent: e.CreationIntended, deadline: float) -> OperationReport | None:
        try:
            await self.create_account(
                intent.customer_id,
                intent.currency,
                reference=intent.reference,
                timeout=max(0.0, deadline - time.monotonic()),
            )
        except OrchestratorError as error:
            return troubled(AccountId(f"reference:{intent.reference}"), AccountState(), error)
        return None

    async def _drive_locked(self, world: World, account_id: AccountId, deadline: float) -> OperationReport:
        if self._dispatch is None:
            runner = Runner(world, watch=self._watch)
            interval = self._settings.poll_interval
            self._dispatch = EmbeddedDispatch(runner, self._wakes, poll_interval=interval, watch=self._waiting)
        advanced: Advanced = await self._dispatch.drive(account_id, deadline)
        wait = advanced.action if isinstance(advanced.action, Wait) else None
        return report(account_id, advanced.working.state, wait=wait, trouble=advanced.trouble)

    async def _cut_short(self, account_id: AccountId) -> OperationReport:
        """The report where the other side let the timeout pass without an answer. What was cut is as after a kill."""
        state = fold(await self._journal.read(account_id))
        return troubled(account_id, state, UncertainAnswer(_NO_ANSWER, code="no_answer"))

    def _waiting(self, account_id: AccountId, wait: Wait, trouble: OrchestratorError | None) -> None:
        because = f" ({trouble.message})" if trouble is not None else ""
        self._watch(account_id, f"waiting for {wait.waits_for}{because}")

    async def _patiently(self, attempt: Callable[[], Awaitable[_Result]], deadline: float, who: str) -> _Result:
        """Tries again while trouble may pass, until the deadline; then the trouble is raised."""
        pause = 0.2
        while True:
            try:
                return await attempt()
            except OrchestratorError as error:
                remaining = deadline - time.monotonic()
                if error.disposition is not Disposition.RETRY or remaining <= 0:
                    raise
                self._watch(who, f"waiting for trouble to pass ({error.message})")
                await asyncio.sleep(min(pause, remaining))
                pause = min(pause * 2, self._settings.poll_interval)

    async def _state(self, account_id: AccountId) -> AccountState:
        return fold(await self._journal.read(account_id))

    async def _all(self) -> dict[str, list[Recorded]]:
        streams: dict[str, list[Recorded]] = {}
        after = 0
        while page := await self._journal.read_all(after):
            for item in page:
                streams.setdefault(item.stream, []).append(item)
            after = page[-1].seq
        return streams

    def _known(self, account_id: AccountId, known: dict[AccountId, AccountState]) -> OperationReport | None:
        return self._report(account_id, known[account_id]) if account_id in known else None

    def _report(self, account_id: AccountId, state: AccountState) -> OperationReport:
        return report(account_id, state, patience=timedelta(seconds=self._settings.patience))


def _outdated(state: AccountState) -> bool:
    """Whether the closure was certified by the first release, which proved less."""
    return not state.unfinished and state.closure is not None and state.closure.verdict != "irreversible"


def _cut(deadline: float) -> float:
    """When a call is cut off, on the event loop's clock: a little after the deadline, so that a look may end."""
    return asyncio.get_running_loop().time() + max(0.0, deadline - time.monotonic()) + _GRACE


def _states(streams: dict[str, list[Recorded]]) -> dict[AccountId, AccountState]:
    return {
        AccountId(stream): fold(recorded)
        for stream, recorded in streams.items()
        if not stream.startswith("reference:") and stream != STREAM
    }


def _account_id(text: str) -> AccountId:
    return AccountId(to_uuid(text, "an account's id"))


def _now() -> datetime:
    return datetime.now(UTC)
