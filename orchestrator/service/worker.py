"""The background worker: polls every account that something has happened to, by a webhook, on the chain or in the
journal. A due time is the net under these.

A poll is short and never waits: an unfinished operation is moved on as far as it goes now, any other account is read
back and what is new is journaled. Between two polls an account is a row in the journal and a line in the schedule, no
task. Operations that another process has started, and left, are found in the journal and driven on.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from orchestrator.app import Orchestrator
from orchestrator.chain.node.canonical import not_canonical
from orchestrator.chain.node.changes import Change, FinalityViolation, NewHead, Outage, Reorg, Restored, Touched
from orchestrator.chain.node.follower import Follower
from orchestrator.connect import make_callback_url, make_platform, make_rpc
from orchestrator.errors import Disposition, OrchestratorError
from orchestrator.lifecycle.fold import is_account
from orchestrator.models import AccountId, AccountStatus, Outcome
from orchestrator.platform.subscription import Creation, shown_url, subscribe
from orchestrator.service.backlog import Backlog, Schedule
from orchestrator.service.logs import ChangeLog
from orchestrator.settings import Settings
from orchestrator.signers.loading import KeyMonitor

_log = structlog.get_logger(__name__)

_CONCURRENCY = 16
"""Accounts polled at the same time."""
_GROWTH = 1.5
_BUSY = 0.5
"""Seconds until the next poll of an account that another worker has, which may have read it before what woke us."""
_LONGEST = 15
"""The longest pause between two polls of an account in trouble, in poll intervals: 30 s by default."""
_MANY = 50
"""Waiting accounts from which on the platform's list is read for all of them, in place of a poll of each."""
_LONGEST_WAIT = 450
"""The pause between two polls of an account while that is so: 15 minutes by default. What it waits for wakes it."""
_LONGEST_UNMOVED = 150
"""The same of one that may have to submit its signature again (``Parameters.effect``): 5 minutes."""
_LIST_SHARE = 20
"""The list is read for at most one in so many seconds."""
_STOP_SECONDS = 30.0
"""How long polls under way may take to finish when the service stops. What is cut off later is resumed."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What was last known of the outside: "ok", "not_checked", or the code of the trouble."""

    platform: str = "not_checked"
    chain: str = "not_checked"
    webhooks: str = "not_checked"
    """Of the platform's subscription of this service; "not_managed" where no public URL is set."""


class Worker:
    """Runs as an async context manager, within one event loop. Raises SettingsError when it is made."""

    def __init__(self, orchestrator: Orchestrator, settings: Settings) -> None:
        self._rpc = make_rpc(settings)
        self._orchestrator = orchestrator
        self._interval = settings.poll_interval
        keys, own = orchestrator.keys, settings.signing_key is not None and settings.signing_key_id
        self.platform = make_platform(settings, keys.request_keys)
        self._callback_url = make_callback_url(settings)
        self.keys = KeyMonitor(keys.managed, None if own else keys.request_keys, report=_log_key_trouble)
        self._follower: Follower | None = None
        self._backlog = Backlog(orchestrator.journal)
        self._schedule = Schedule()
        self._deliveries: dict[str, set[str]] = {}
        """By account: webhooks in the inbox that have had no poll yet."""
        self._polls: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._pauses: dict[str, float] = {}
        self._statuses: dict[str, str] = {}
        """By account with an unfinished operation: the platform's word at its last poll."""
        self._listed = False
        """Whether the platform's list was read for all that wait, so that none needs to be polled for it."""
        self._changes = ChangeLog()
        self._recheck = asyncio.Event()
        self._wake = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self.condition = Condition()

    # --- from outside --------------------------------------------------------------------------------------------

    def received(self, event_id: str, account_id: AccountId) -> None:
        """A webhook of this account has been committed to the inbox."""
        self._deliveries.setdefault(account_id, set()).add(event_id)
        self._pauses.pop(account_id, None)
        if account_id in self._backlog:
            self._orchestrator.wakes.wake(account_id)  # a task of this process may hold the account and wait
        self._poll_soon(account_id)

    async def __aenter__(self) -> Self:
        self._follower = await self._orchestrator.follower()
        self._follower.subscribe(self._chain_changed)
        await self._follower.start()
        self._tasks = [
            asyncio.create_task(self._run(), name="worker"),
            *(
                asyncio.create_task(self._kept_up(name, loop), name=name)
                for name, loop in (
                    ("platform-probe", self._probe),
                    ("subscription", self._subscribe),
                    ("closures", self._watch_closures),
                    ("platform-list", self._watch_platform),
                    ("keys", partial(self.keys.run, interval=self._interval * _LONGEST)),
                )
            ),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets the polls under way finish; starts no further one."""
        self._stopping = True
        self._wake.set()
        run, *others = self._tasks
        for task in others:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._follower is not None:
            await self._follower.stop()
        await run
        if self._polls:
            _done, late = await asyncio.wait(self._polls.values(), timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
                _log.warning("stopped_in_the_middle", accounts=len(late), message="they are resumed at the next start")
        await self.platform.aclose()
        await self._rpc.close()

    # --- the loop ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        recovered = False
        follow_at = 0.0
        while not self._stopping:
            self._wake.clear()
            now = time.monotonic()
            if now >= follow_at:
                follow_at = now + self._interval
                try:
                    if not recovered:
                        await self._recover()
                        recovered = True
                    for stream in await self._backlog.follow():
                        self._poll_soon(stream)
                except OrchestratorError as error:
                    self._changes.trouble("journal", "journal_trouble", error)
                except Exception as surprise:  # noqa: BLE001  whatever the database does, the worker stays
                    _log.error("journal_trouble", error=type(surprise).__name__, exc_info=True)
            while len(self._polls) < _CONCURRENCY and (name := self._schedule.take(now)) is not None:
                self._polls[name] = asyncio.create_task(self._poll(name), name=f"poll-{name}")
            due = self._schedule.next() if len(self._polls) < _CONCURRENCY else None
            until = follow_at if due is None else min(due, follow_at)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    await self._wake.wait()

    async def _kept_up(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Runs the loop to its end; what nobody has thought of begins it anew after a pause."""
        while True:
            try:
                return await loop()
            except Exception as surprise:  # noqa: BLE001  a loop that has ended would be missed by nobody
                _log.error("worker_loop_broken", loop=name, error=type(surprise).__name__, exc_info=True)
                await asyncio.sleep(self._interval * _LONGEST)

    async def _recover(self) -> None:
        """Webhooks that were committed before a crash and have had no poll."""
        for event_id, account_id in await self._orchestrator.journal.unhandled():
            if account_id is not None:
                self.received(event_id, AccountId(account_id))

    def _poll_soon(self, name: str) -> None:
        if name in self._polls:
            self._again.add(name)
        else:
            self._schedule.at(name, time.monotonic())
            self._wake.set()

    async def _poll(self, name: str) -> None:
        deliveries = self._deliveries.pop(name, set())
        pause: float | None = None
        try:
            pause = await self._poll_once(name)
        except OrchestratorError as error:
            self._changes.trouble(name, "poll_failed", error)
            if error.disposition is Disposition.RETRY:
                self._deliveries.setdefault(name, set()).update(deliveries)
                deliveries = set()
                pause = min(_BUSY, self._interval) if error.code == "account_busy" else self._grown(name)
            elif name in self._backlog:
                pause = self._interval * _LONGEST  # somebody may fix the setting or the key meanwhile
        except Exception as surprise:  # noqa: BLE001  a broken invariant of one account must not stop the others
            _log.error("poll_broken", account=name, error=type(surprise).__name__, exc_info=True)
            pause = self._interval * _LONGEST if name in self._backlog else None
        await self._mark_handled(name, deliveries)
        self._polls.pop(name, None)
        if name in self._again:
            self._again.discard(name)
            pause = 0.0
        elif pause is None and self._deliveries.get(name):
            pause = self._interval
        if pause is None:
            self._pauses.pop(name, None)
            self._statuses.pop(name, None)
            self._changes.forget(name)
        else:
            self._schedule.at(name, time.monotonic() + pause * random.uniform(0.8, 1.0))  # noqa: S311  jitter
        self._wake.set()

    async def _poll_once(self, name: str) -> float | None:
        """Seconds until the next poll, or None where nothing is unfinished. Raises OrchestratorError."""
        creation = self._backlog.creations.get(name)
        if creation is not None:
            account = await self._orchestrator.create_account(
                creation.customer_id, creation.currency, reference=creation.reference, timeout=0
            )
            _log.info("creation_settled", reference=creation.reference, account=account.account_id)
            return None
        if not is_account(name):
            return None  # a creation that was settled since it was scheduled
        report = await self._orchestrator.poll(name)
        self._changes.report(name, report)
        self._statuses[name] = report.status or ""
        if report.outcome is Outcome.OPERATOR:
            return self._interval * _LONGEST
        if report.outcome is Outcome.WAITING:
            if self._listed and report.error is None:
                unmoved = report.status == AccountStatus.INITIATING
                return self._interval * (_LONGEST_UNMOVED if unmoved else _LONGEST_WAIT)
            return self._grown(name)
        return None

    async def _mark_handled(self, name: str, deliveries: set[str]) -> None:
        for event_id in sorted(deliveries):
            try:
                await self._orchestrator.journal.handled(event_id, datetime.now(UTC))
            except OrchestratorError as error:
                self._deliveries.setdefault(name, set()).add(event_id)
                self._changes.trouble(name, "inbox_trouble", error)

    def _grown(self, name: str) -> float:
        pause = self._pauses.get(name, self._interval)
        self._pauses[name] = min(pause * _GROWTH, self._interval * _LONGEST)
        return pause

    # --- the outside ---------------------------------------------------------------------------------------------

    def _chain_changed(self, change: Change) -> None:
        match change:
            case NewHead():
                self._chain_is("ok")
            case Touched(accounts=accounts):
                self._wake_all(accounts & self._backlog.operations)
            case Reorg(dropped=dropped, by_another=by_another):
                _log.warning("reorg", blocks=len(dropped), first=dropped[0].number)
                self._recheck.set()
                if by_another:
                    self._wake_all(self._backlog.operations)
            case FinalityViolation(finalized=block):
                _log.error("finality_violation", block=block.number, hash=block.hash)
                self._recheck.set()
            case Outage(error=error):
                self._chain_is(error.code)
            case Restored(seconds=seconds):
                self._chain_is("ok")
                _log.info("chain_restored", seconds=round(seconds, 1))

    def _wake_all(self, names: set[str] | frozenset[AccountId]) -> None:
        for name in names:
            self._pauses.pop(name, None)
            self._poll_soon(name)

    def _chain_is(self, chain: str) -> None:
        self.condition = replace(self.condition, chain=chain)

    async def _watch_platform(self) -> None:
        """Where many accounts wait, reads the platform's list of all in one request, and polls those whose status is
        another one than at their last poll: the net under webhooks, at a cost that the accounts share."""
        pause, told = self._interval, set[str]()
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * _GROWTH, self._interval * _LONGEST)
            if len(self._backlog.operations) < _MANY:
                self._listed = False
                continue
            began = time.monotonic()
            try:
                accounts = await self.platform.accounts()
            except OrchestratorError as error:
                self._listed = False
                self._changes.trouble("accounts", "accounts_unlisted", error)
                continue
            self._listed = True
            self._changes.forget("accounts")
            changed = {one.id for one in accounts if self._statuses.get(one.id, one.status) != one.status}
            for name in changed - told:
                self._poll_soon(name)
            pause = max(self._interval if changed - told else pause, (time.monotonic() - began) * _LIST_SHARE)
            told = set(changed)

    async def _watch_closures(self) -> None:
        """Checks again and again, and after every reorg, whether the last closures' certificates rest on canonical
        blocks: one round trip. An account whose certificate does not is polled, which revokes it."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval * _LONGEST if self._backlog.closures else self._interval):
                    await self._recheck.wait()
            self._recheck.clear()
            closures = dict(self._backlog.closures)
            try:
                gone = set(await not_canonical(self._rpc, list(closures.values())) if closures else ())
            except OrchestratorError as error:
                self._changes.trouble("closures", "closures_unchecked", error)
                continue
            self._changes.forget("closures")
            for name, block in closures.items():
                if block in gone:
                    _log.error("certificate_not_canonical", account=name, block=block.number, hash=block.hash)
                    self._poll_soon(name)

    async def _probe(self) -> None:
        """Asks the platform for something small, again and again: login, signature and connection in one."""
        while True:
            try:
                await self.platform.login()
                await self.platform.webhooks()
                platform = "ok"
            except OrchestratorError as error:
                platform = error.code
                if platform != self.condition.platform:
                    _log.warning("platform_trouble", code=error.code, message=error.message)
            if platform == "ok" and self.condition.platform not in ("ok", "not_checked"):
                _log.info("platform_restored")
            self.condition = replace(self.condition, platform=platform)
            await asyncio.sleep(self._interval * _LONGEST)

    async def _subscribe(self) -> None:
        """Makes sure, once at the start, that the platform delivers webhooks here; tried until that is so."""
        if self._callback_url is None:
            self.condition = replace(self.condition, webhooks="not_managed")
            _log.info("webhooks_not_managed", message="ORCHESTRATOR_PUBLIC_URL is not set: nothing is subscribed here")
            return
        creation = Creation()
        while self.condition.webhooks != "ok":
            try:
                webhook = await subscribe(self.platform, self._callback_url, creation=creation)
                self.condition = replace(self.condition, webhooks="ok")
                _log.info("webhooks_subscribed", id=webhook.id, url=shown_url(self._callback_url))
            except OrchestratorError as error:
                self.condition = replace(self.condition, webhooks=error.code)
                self._changes.trouble("webhooks", "webhooks_not_subscribed", error)
                await asyncio.sleep(self._interval * _LONGEST)


def _log_key_trouble(name: str, error: OrchestratorError) -> None:
    _log.warning("key_trouble", key=name, code=error.code, message=error.message)
