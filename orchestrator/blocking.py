"""``BlockingOrchestrator``: the library without async, for scripts and pipelines that have no event loop.

    with BlockingOrchestrator(load_settings()) as orchestrator:
        account = orchestrator.create_account(customer_id, "EUR", reference="order-4711")
        report = orchestrator.activate(account.account_id)

One event loop runs in a thread of its own between ``__enter__`` and ``__exit__``; calls from several threads run at
the same time in it. A fork has no such thread: each process opens one of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Thread
from types import TracebackType

from anyio.from_thread import BlockingPortal

from orchestrator.app import DEFAULT_TIMEOUT, Orchestrator, Watch
from orchestrator.dispatch.operations import Decision
from orchestrator.errors import SettingsError
from orchestrator.facade import Facade, Seconds
from orchestrator.report import AccountReport, AuditReport, OperationReport
from orchestrator.settings import Settings


class BlockingOrchestrator(Facade):
    """The operations of ``Orchestrator``, which has their documentation; a context manager.

    In a fork of the process that opened it, and where it is not open, they raise SettingsError (``forked``,
    ``not_open``).
    """

    def __init__(self, settings: Settings, *, watch: Watch | None = None) -> None:
        super().__init__()
        self._settings = settings
        self._watch = watch
        self._opened: tuple[BlockingPortal, Orchestrator] | None = None
        self._ended: Future[None] = Future()

    def __enter__(self) -> BlockingOrchestrator:
        super().__init__()  # it belongs to the process that opens it
        ready: Future[tuple[BlockingPortal, Orchestrator]] = Future()
        self._ended = Future()
        # Not anyio's own thread: its context manager waits for that thread in a fork, too, when it is collected there.
        Thread(target=self._run, args=(ready, self._ended), name="orchestrator", daemon=True).start()
        self._opened = ready.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened, self._opened = self._opened, None
        if opened is not None and self.is_of_this_process:  # else it is the other process' to close
            portal, _ = opened
            portal.call(portal.stop, error is not None)
            self._ended.result()

    def _run(self, ready: Future[tuple[BlockingPortal, Orchestrator]], ended: Future[None]) -> None:
        async def live() -> None:
            opening = Orchestrator.open(self._settings, watch=self._watch)
            async with opening as orchestrator, BlockingPortal() as portal:
                ready.set_result((portal, orchestrator))
                await portal.sleep_until_stopped()

        try:
            asyncio.run(live())
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            (ended if ready.done() else ready).set_exception(error)
        else:
            ended.set_result(None)

    def create_account(
        self, customer_id: str, currency: str, *, reference: str | None = None, timeout: Seconds = DEFAULT_TIMEOUT
    ) -> AccountReport:
        portal, o = self._ready()
        return portal.call(partial(o.create_account, customer_id, currency, reference=reference, timeout=timeout))

    def accounts(self, customer_id: str | None = None) -> list[AccountReport]:
        portal, o = self._ready()
        return portal.call(o.accounts, customer_id)

    def account(self, account_id: str) -> AccountReport:
        portal, o = self._ready()
        return portal.call(o.account, account_id)

    def activate(self, account_id: str, *, timeout: Seconds = DEFAULT_TIMEOUT) -> OperationReport:
        portal, o = self._ready()
        return portal.call(partial(o.activate, account_id, timeout=timeout))

    def deactivate(self, account_id: str, *, timeout: Seconds = DEFAULT_TIMEOUT) -> OperationReport:
        portal, o = self._ready()
        return portal.call(partial(o.deactivate, account_id, timeout=timeout))

    def reactivate(self, account_id: str, *, timeout: Seconds = DEFAULT_TIMEOUT) -> OperationReport:
        portal, o = self._ready()
        return portal.call(partial(o.reactivate, account_id, timeout=timeout))

    def close(
        self, account_id: str, *, certificate: Path | str | None = None, timeout: Seconds = DEFAULT_TIMEOUT
    ) -> OperationReport:
        portal, o = self._ready()
        return portal.call(partial(o.close, account_id, certificate=certificate, timeout=timeout))

    def status(self, account_ids: str | Sequence[str] = ()) -> list[OperationReport]:
        portal, o = self._ready()
        return portal.call(o.status, account_ids)

    def resume(self, *, timeout: Seconds = DEFAULT_TIMEOUT) -> list[OperationReport]:
        portal, o = self._ready()
        return portal.call(partial(o.resume, timeout=timeout))

    def audit(self) -> AuditReport:
        portal, o = self._ready()
        return portal.call(o.audit)

    def resolve(self, account_id: str, decision: Decision, *, reason: str, by: str) -> OperationReport:
        portal, o = self._ready()
        return portal.call(partial(o.resolve, account_id, decision, reason=reason, by=by))

    def _ready(self) -> tuple[BlockingPortal, Orchestrator]:
        self.require_own_process()
        if self._opened is None:
            raise SettingsError("BlockingOrchestrator is not open: use it in a with statement", code="not_open")
        return self._opened
