"""Puts the parts together: ``Orchestrator``, the library's front door.

    async with Orchestrator.open(load_settings()) as orchestrator:
        account = await orchestrator.create_account(customer_id, "EUR", reference="order-4711")
        report = await orchestrator.activate(account.account_id)

``orchestrator.blocking`` has the same without async.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.account_queries import AccountQueries, Ask, account_states, new_reference, to_account_id
from orchestrator.authorization.gate import stop_wait
from orchestrator.connect import Keys, connect, lock_folder, make_keys, make_outlook, open_journal
from orchestrator.dispatch.audit import Auditor
from orchestrator.dispatch.embedded import Wakes
from orchestrator.dispatch.locks import AccountLocks
from orchestrator.dispatch.operations import NO_ANSWER, Decision, Operations, cut_off, patiently, resolve
from orchestrator.errors import OrchestratorError, SettingsError, UncertainAnswer
from orchestrator.facade import Facade, Seconds, checked
from orchestrator.files import require_free
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Wait
from orchestrator.lifecycle.fold import AccountState
from orchestrator.models import AccountId, CustomerId, OperationKind, to_uuid
from orchestrator.oversight.reconcile import reconcile
from orchestrator.people import Signatory
from orchestrator.report import AccountReport, AuditReport, OperationReport, StatusReport, account_report, troubled
from orchestrator.session import Services
from orchestrator.settings import Settings
from orchestrator.steps.create import create_account

if TYPE_CHECKING:
    from orchestrator.chain.node.changes import Change
    from orchestrator.chain.node.follower import Follower

DEFAULT_TIMEOUT = 600.0
"""Seconds that an operation may take before it is reported as waiting."""

_REISSUE_SECONDS = 60.0
"""How long an audit waits for one closure's new certificate."""

Watch = Callable[[str, str], None]
"""Called with the account's id (or a reference) and what is being done or waited for, in words."""


class Orchestrator(Facade):
    """All operations on accounts. Made by ``open``; safe for any number of tasks of one event loop.

    Every operation is idempotent: called again, after a crash too, it goes on where the journal says it was.
    """

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        stack: AsyncExitStack,
        watch: Watch | None,
        signatory: Signatory | None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._journal = journal
        self._stack = stack
        self._watch = watch or (lambda _who, _what: None)
        self._signatory = signatory
        self._locks = AccountLocks(lock_folder(settings))
        self._wakes = Wakes()
        self._services: Services | None = None
        self._follower: Follower | None = None
        self._keys: Keys | None = None
        self._operations: Operations | None = None
        self._connecting = asyncio.Lock()
        self._accounts = AccountQueries(journal, self._connected, partial(make_outlook, settings, journal))

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        watch: Watch | None = None,
        signatory: Signatory | None = None,
        create: bool | None = True,
    ) -> AsyncIterator[Orchestrator]:
        """Opens the journal; platform, chain and keys are connected when they are first needed.

        ``signatory``: the person who asks for what takes an approval; None: the one whose key and password file the
        settings name, else the operating system's user. ``create``: whether the journal's database is made where there
        is none; False, for who only reads: ``database_missing`` is raised, or at the default place it reads as empty.

        Raises SettingsError. SIDE EFFECTS: creates (if ``create``) and migrates the journal's database.
        """
        if not isinstance(settings, Settings):
            raise SettingsError(
                f"expected Settings (orchestrator.load_settings()), got {type(settings).__name__}", code="argument"
            )
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(await open_journal(settings, create=create))
            yield cls(settings, journal, stack, watch, signatory)

    # --- accounts ------------------------------------------------------------------------------------------------

    @checked
    async def create_account(
        self, customer_id: str, currency: str, *, reference: str | None = None, timeout: Seconds = DEFAULT_TIMEOUT
    ) -> AccountReport:
        """Creates an account on the platform, and does not activate it.

        With a ``reference`` of yours a repeated call finds the account that the first one made, even if that one was
        killed on the way; a blank one is refused, because it is a name that got lost. Raises OrchestratorError's
        subclasses; what was uncertain at the timeout (seconds) is settled by calling again with the same reference, or
        by ``resume``.
        """
        customer = CustomerId(to_uuid(customer_id, "the customer's id"))
        if reference is not None and not reference.strip():
            raise SettingsError(
                f"expected a reference with a letter or a digit in it, or none at all, got {reference[:80]!r}",
                code="reference_blank",
            )
        own, reference = reference, new_reference() if reference is None else reference
        deadline = time.monotonic() + timeout
        services = await self._connected()

        async def attempt() -> AccountReport:
            account = await create_account(services, customer, currency.upper(), reference)
            return account_report(account, reference=own)

        async with self._locks.hold(e.creation_stream(reference), deadline, lambda what: self._watch(reference, what)):
            try:
                async with cut_off(deadline):
                    return await patiently(
                        attempt,
                        deadline,
                        poll_interval=self._settings.poll_interval,
                        watch=lambda what: self._watch(reference, what),
                    )
            except TimeoutError:
                raise UncertainAnswer(f"creating the account of reference {reference!r}: {NO_ANSWER}") from None

    @checked
    async def accounts(self, customer_id: str | None = None) -> list[AccountReport]:
        """All accounts of the programme, or of one customer, as the platform has them, beside the journal."""
        return await self._accounts.every(customer_id)

    @checked
    async def account(self, account_id: str) -> AccountReport:
        """One account. Raises PlatformRefused ``account_not_found``."""
        return await self._accounts.one(to_account_id(account_id))

    @checked
    async def account_of(self, reference: str) -> AccountReport:
        """The account that was created here under this reference.

        Raises SettingsError ``reference_unknown``, JournalError ``creation_unsettled`` (retry), as ``account``.
        """
        return await self._accounts.one(await self._accounts.referred(reference))

    @checked
    async def named(self, texts: Sequence[str], *, ask: Ask) -> list[str]:
        """For people who type: the whole id in the place of each unique beginning of one, of 6 characters or more;
        other texts as they are.

        ``ask`` the platform too: ``never``; ``if_unknown`` to the journal; ``always``, for what cannot be undone.
        Raises SettingsError ``account_unknown``, ``account_ambiguous`` (with the candidates). Reads only.
        """
        return await self._accounts.named(texts, ask)

    # --- operations ----------------------------------------------------------------------------------------------

    @checked
    async def activate(self, account_id: str, *, timeout: Seconds = DEFAULT_TIMEOUT) -> OperationReport:
        """Fetches the challenge, signs and submits it, and follows the deployment until it is final.

        ``timeout`` in seconds; at its end the report says ``waiting``, and nothing is lost.
        """
        return await self._operate(account_id, OperationKind.ACTIVATE, timeout)

    @checked
    async def deactivate(self, account_id: str, *, timeout: Seconds = DEFAULT_TIMEOUT) -> OperationReport:
        """Suspends an active account, checked on the platform and on the chain."""
        return await self._operate(account_id, OperationKind.DEACTIVATE, timeout)

    @checked
    async def reactivate(self, account_id: str, *, timeout: Seconds = DEFAULT_TIMEOUT) -> OperationReport:
        """Ends a suspension, checked on the platform and on the chain."""
        return await self._operate(account_id, OperationKind.REACTIVATE, timeout)

    @checked
    async def close(
        self, account_id: str, *, certificate: Path | str | None = None, timeout: Seconds = DEFAULT_TIMEOUT
    ) -> OperationReport:
        """Closes the account for ever and proves that no call can ever undo it.

        Done only on the verdict ``irreversible``; any other is ``operator``, code ``closure_not_proven``, with the
        witness. A closure that was certified by the first release is proven again. SIDE EFFECTS: writes the
        certificate's file. Raises SettingsError ``certificate_unwritable``, with nothing done, where ``certificate`` is
        there already and is another file than this account's certificate.
        """
        older = None
        if certificate is not None:
            _, older = await self._proven(account_id)
            require_free(Path(certificate), code="certificate_unwritable", known=(older,))
        closed = await self._operate(account_id, OperationKind.CLOSE, timeout)
        proof, body = await self._proven(account_id)
        if proof is None or proof.verdict != "irreversible" or closed.outcome != "done":
            return closed
        if body is None:
            raise SettingsError(f"the certificate {proof.certificate_sha256} is not in the journal's database")
        from orchestrator.certifier import file_certificate

        path = Path(certificate or proof.certificate)
        file_certificate(path, body, force=certificate is None, older=older)
        return closed.model_copy(update={"certificate": str(path)})

    @checked
    async def preflight(self, account_id: str) -> tuple[AccountReport, dict[str, str]]:
        """What closing would end: the account, and what its wallet still holds, by name. Reads only."""
        return await self._accounts.preflight(to_account_id(account_id))

    @checked
    async def resume(self, *, timeout: Seconds = DEFAULT_TIMEOUT) -> list[OperationReport]:
        """Drives every unfinished creation and operation of the journal to its end; proves closures of the first
        release again, so that they get a certificate of today.

        One that fails does not keep the others: its error is in its report (of a creation, the report has
        ``reference:…`` in place of the account's id; one that succeeds has none).
        """
        deadline = time.monotonic() + timeout
        streams = await self._accounts.streams()
        intents = [recorded[-1].event for recorded in streams.values()]
        states = account_states(streams)
        unfinished = [account for account, state in states.items() if state.unfinished]
        outdated = [account for account, state in states.items() if _outdated(state)]
        reports = await asyncio.gather(
            *(self._resumed_creation(intent, deadline) for intent in intents if isinstance(intent, e.CreationIntended)),
            *(self._resumed(account, deadline) for account in unfinished),
            *(self._reissued(account, deadline) for account in outdated),
        )
        return [
            report.model_copy(update={"reference": await self._accounts.reference(report.account_id)})
            for report in reports
            if report is not None
        ]

    @checked
    async def audit(self) -> AuditReport:
        """Proves every closure of the journal again, at today's finalized block, and checks its certificate's block.

        A closure that is proven and has no certificate of this release gets one; a certificate whose block has left
        the chain is revoked. SIDE EFFECTS: those of ``close`` for the first, a journaled revocation for the second.
        """
        auditor = Auditor(
            services=await self._connected(),
            state=self._accounts.state,
            poll=self.poll,
            certify=lambda account_id: self.close(account_id, timeout=_REISSUE_SECONDS),
            watch=self._watch,
        )
        return await auditor.audit(await self._accounts.states())

    @checked
    async def status(self, account_ids: str | Sequence[str] = ()) -> list[OperationReport]:
        """Where this account stands, or these (none named: all of the journal), by the journal alone: what each waits
        for is what the next poll would wait for if nothing has changed outside. Of an account that the journal does
        not know the platform is asked."""
        return (await self.overview(account_ids)).accounts

    @checked
    async def overview(self, account_ids: str | Sequence[str] = ()) -> StatusReport:
        """``status``, and what of it needs a person: decisions, approvals, the end of an emergency stop."""
        given = (account_ids,) if isinstance(account_ids, str) else account_ids
        return await self._accounts.status([to_account_id(text) for text in given])

    @checked
    async def resolve(self, account_id: str, decision: Decision, *, reason: str, by: str) -> OperationReport:
        """Journals an operator's decision on an account that waits for one.

        ``retry`` lets the operation go on (with ``resume`` or the command itself), ``accept`` ends it as done on the
        operator's word, ``abandon`` ends it as failed. Raises SettingsError ``nothing_to_resolve``. A ``retry`` of an
        operation that a restored backup had halted (``journal_restored``) reconciles the whole journal first; where
        the backup had lost decisions of people, signing is stopped then, and the report waits for that.
        """
        if not reason.strip():
            raise SettingsError("expected a reason for the decision, got an empty one", code="reason_missing")
        identifier = to_account_id(account_id)
        state, wait = await resolve(
            self._journal,
            self._locks,
            identifier,
            decision,
            reason=reason,
            by=by,
            reconcile=lambda: self._reconcile(reason, by),
        )
        return await self._accounts.report(identifier, state, wait)

    @checked
    async def poll(self, account_id: str) -> OperationReport:
        """Reads an account back once, without waiting: what a webhook, a new block or a due time asks for.

        An unfinished operation is moved on as far as it goes now; of any other account both sides are read back and
        what is new is journaled. Raises OrchestratorError's subclasses: JournalError ``account_busy`` (retry), too,
        where another worker has the account.
        """
        return await (await self._operating()).poll(to_account_id(account_id))

    @checked
    async def hint(self, account_id: str) -> OperationReport:
        """Deprecated: ``poll``, under its first name."""
        return await self.poll(account_id)

    @property
    def journal(self) -> Journal:
        """The audit trail."""
        return self._journal

    @property
    def wakes(self) -> Wakes:
        """Wakes waiting accounts: what webhooks and the chain's follower call."""
        return self._wakes

    async def follower(self) -> Follower:
        """What keeps this process's index of the chain; it reads by itself once it is started. Raises SettingsError."""
        await self._connected()
        assert self._follower is not None, "it is connected"
        return self._follower

    @property
    def keys(self) -> Keys:
        """What holds this process's opened keys."""
        if self._keys is None:
            self._keys = make_keys(self._settings)
        return self._keys

    # --- inside --------------------------------------------------------------------------------------------------

    async def _connected(self) -> Services:
        async with self._connecting:
            if self._services is None:
                connected = await connect(self._settings, self._journal, self._stack, self.keys, self._signatory)
                self._services, self._follower = connected
                self._follower.subscribe(self._chain_changed)
            return self._services

    def _chain_changed(self, change: Change) -> None:
        from orchestrator.chain.node.changes import Touched

        if isinstance(change, Touched):
            for account_id in change.accounts:
                self._wakes.wake(account_id)

    async def _operating(self) -> Operations:
        services = await self._connected()
        if self._operations is None:
            interval = self._settings.poll_interval
            self._operations = Operations(services, self._locks, self._wakes, poll_interval=interval, watch=self._watch)
        return self._operations

    async def _operate(self, account_id: str, kind: OperationKind, timeout: float) -> OperationReport:
        identifier = to_account_id(account_id)
        deadline = time.monotonic() + timeout
        report = await (await self._operating()).run(identifier, kind, deadline)
        return report.model_copy(update={"reference": await self._accounts.reference(identifier)})

    async def _proven(self, account_id: str) -> tuple[e.ClosureProven | None, bytes | None]:
        """The newest proof of the account's closure, and its certificate."""
        proof = (await self._accounts.state(to_account_id(account_id))).closure
        return proof, None if proof is None else await self._journal.certificate(proof.certificate_sha256)

    async def _resumed(self, account_id: AccountId, deadline: float) -> OperationReport:
        return await (await self._operating()).resume(account_id, deadline)

    async def _reissued(self, account_id: AccountId, deadline: float) -> OperationReport:
        """The report of a closure of the first release, proven again."""
        try:
            return await self.close(account_id, timeout=max(0.0, deadline - time.monotonic()))
        except OrchestratorError as error:
            return troubled(account_id, await self._accounts.state(account_id), error)

    async def _resumed_creation(self, intent: e.CreationIntended, deadline: float) -> OperationReport | None:
        try:
            await self.create_account(
                intent.customer_id,
                intent.currency,
                reference=intent.reference,
                timeout=max(0.0, deadline - time.monotonic()),
            )
        except OrchestratorError as error:
            return troubled(AccountId(e.creation_stream(intent.reference)), AccountState(), error)
        return None

    async def _reconcile(self, reason: str, by: str) -> Wait | None:
        services, read_back = await self._connected(), (await self._operating()).read_back
        journaled = await self._accounts.states()
        done = await reconcile(services, journaled, read_back, reason=reason, by=by)
        if done is None or done.stopped is None:
            return None
        return stop_wait(done.stopped, services.clock(), services.parameters.patience)


def _outdated(state: AccountState) -> bool:
    """Whether the closure was certified by the first release, which proved less."""
    return not state.unfinished and state.closure is not None and state.closure.verdict != "irreversible"
