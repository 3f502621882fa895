"""The background worker: runs the open jobs, those of one account in order, those of different accounts side by side.

A job is a row before anything is sent, so one that dies with the process is begun again at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from .chain import CallReverted, ChainDown
from .store import Row, Store
from .transactions import JobFailed

__all__ = ["Jobs", "Worker"]

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 64
DOWN_PAUSE = 0.5
"""Seconds before a node that is down is asked again."""


class Jobs(Protocol):
    """What the worker runs: see :class:`jobs.ChainJobs`."""

    async def perform(self, job: Row) -> None: ...
    def fail(self, job: Row, reason: str) -> None: ...


class Worker:
    """Drives the open jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._room = asyncio.Semaphore(SIDE_BY_SIDE)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        self._wake.set()

    def start(self, jobs: Jobs) -> None:
        self._task = asyncio.create_task(self._dispatch(jobs), name="chain worker")

    async def stop(self) -> None:
        tasks = [task for task in (self._task, *self._running.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settled(self, account_id: str, timeout: float) -> bool:  # an answer, not an exception
        """Waits until the account has no open job, at most ``timeout`` seconds. Whether that came true."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: not self._open(account_id))
        except TimeoutError:
            return not self._open(account_id)
        return True

    def _open(self, account_id: str) -> bool:
        query = "SELECT 1 FROM jobs WHERE account_id = ? AND state = 'open' LIMIT 1"
        return self._store.one(query, account_id) is not None

    async def _dispatch(self, jobs: Jobs) -> None:
        while True:
            self._wake.clear()
            for row in self._store.all("SELECT DISTINCT account_id FROM jobs WHERE state = 'open'"):
                account_id = str(row["account_id"])
                if account_id not in self._running:
                    self._running[account_id] = asyncio.create_task(self._account(jobs, account_id))
            await self._wake.wait()

    async def _account(self, jobs: Jobs, account_id: str) -> None:
        """All open jobs of one account, oldest first."""
        query = "SELECT * FROM jobs WHERE account_id = ? AND state = 'open' ORDER BY id LIMIT 1"
        try:
            while (job := self._store.one(query, account_id)) is not None:
                async with self._room:
                    await self._job(jobs, job)
                async with self._changed:
                    self._changed.notify_all()
        finally:
            self._running.pop(account_id, None)
            self._wake.set()

    async def _job(self, jobs: Jobs, job: Row) -> None:
        while True:
            try:
                await jobs.perform(job)
            except ChainDown:
                await asyncio.sleep(DOWN_PAUSE)
            except (JobFailed, CallReverted) as error:
                jobs.fail(job, str(error))
                return
            except Exception:
                # A node that answers nonsense ends neither the job nor the worker: it is logged, and tried again.
                logger.exception("the job %s (%s) of account %s failed", job["id"], job["kind"], job["account_id"])
                await asyncio.sleep(DOWN_PAUSE)
            else:
                return
