"""``BlockingOrchestrator``: the library without async, for scripts and pipelines that have no event loop.

    with BlockingOrchestrator(load_settings()) as orchestrator:
        account = orchestrator.create_account(customer_id, "EUR", reference="order-4711")
        report = orchestrator.activate(account.account_id)

One event loop runs in a thread of its own between ``__enter__`` and ``__exit__``; calls from several threads run at
the same time in it.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal

from anyio.from_thread import BlockingPortal, start_blocking_portal

from orchestrator.app import DEFAULT_TIMEOUT, Orchestrator, Watch
from orchestrator.report import AccountReport, AuditReport, OperationReport
from orchestrator.settings import Settings


class BlockingOrchestrator:
    """The operations of ``Orchestrator``, which has their documentation; a context manager."""

    def __init__(self, settings: Settings, *, watch: Watch | None = None) -> None:
        self._settings = settings
        self._watch = watch
        self._stack = ExitStack()
        self._opened: tuple[BlockingPortal, Orchestrator] | None = None

    def __enter__(self) -> BlockingOrchestrator:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            opening = Orchestrator.open(self._settings, watch=self._watch)
            orchestrator = stack.enter_context(portal.wrap_async_context_manager(opening))
            self._opened = (portal, orchestrator)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened = None
        self._stack.__exit__(kind, error, trace)

    def create_account(
        self, customer_id: str, currency: str, *, reference: str | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> AccountReport:
        portal, o = self._ready()
        return portal.call(partial(o.create_account, customer_id, currency, reference=reference, timeout=timeout))

    def accounts(self, customer_id: str | None = None) -> list[AccountReport]:
        portal, o = self._ready()
        return portal.call(o.accounts, customer_id)

    def account(self, account_id: str) -> AccountReport:
        portal, o = self._ready()
        return portal.call(o.account, account_id)

    def activate(self, account_id: str, *, timeout: float = DEFAULT_TIMEOUT) -> OperationReport:
        portal, o = self._ready()
        return portal.call(partial(o.activate, account_id, timeout=timeout))

    def deactivate(self, account_id: str, *, timeout: float = DEFAULT_TIMEOUT) -> OperationReport:
        portal, o = self._ready()
        return portal.call(partial(o.deactivate, account_id, timeout=timeout))

    def reactivate(self, account_id: str, *, timeout: float = DEFAULT_TIMEOUT) -> OperationReport:
        portal, o = self._ready()
        return portal.call(partial(o.reactivate, account_id, timeout=timeout))

    def close(
        self, account_id: str, *, certificate: Path | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> OperationReport:
        portal, o = self._ready()
        return portal.call(partial(o.close, account_id, certificate=certificate, timeout=timeout))

    def status(self, *account_ids: str) -> list[OperationReport]:
        portal, o = self._ready()
        return portal.call(o.status, account_ids)

    def resume(self, *, timeout: float = DEFAULT_TIMEOUT) -> list[OperationReport]:
        portal, o = self._ready()
        return portal.call(partial(o.resume, timeout=timeout))

    def audit(self) -> AuditReport:
        portal, o = self._ready()
        return portal.call(o.audit)

    def resolve(
        self, account_id: str, decision: Literal["retry", "accept", "abandon"], *, reason: str, by: str
    ) -> OperationReport:
        portal, o = self._ready()
        return portal.call(partial(o.resolve, account_id, decision, reason=reason, by=by))

    def _ready(self) -> tuple[BlockingPortal, Orchestrator]:
        if self._opened is None:
            raise AssertionError("use BlockingOrchestrator in a with statement")
        return self._opened
