"""The transactions that the platform's operator sends, and the worker whose jobs they are part of.

Each is brought onto the chain once, whatever dies in between. Where the chain is in the wanted state already, nothing
is sent. Where a signed transaction of this step is recorded, its receipt is awaited, and the SAME bytes are sent again
if the node has lost them. Else a new transaction is signed, recorded, and only then sent. Nonce, signature and sending
are one critical section.

The worker runs the open jobs, those of one account in order, those of different accounts side by side. A job is a row
before anything is sent, so one that dies with the process is begun again at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from .chain import CallReverted, Chain, ChainDown, NonceUsed, Signed
from .clock import Clock
from .config import Options
from .families import Sent
from .store import Row, Store

__all__ = ["JobFailed", "Jobs", "Step", "Transactions", "Worker"]

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 64
DOWN_PAUSE = 0.5
"""Seconds before a node that is down is asked again."""


class JobFailed(Exception):
    """The chain refuses the work for good."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of a job: what the chain says when it is done, and how it is sent."""

    sent: Sent
    done: Callable[[], Awaitable[bool]]


class Transactions:
    """Sends the steps of all jobs, and knows which transactions a reorganisation has taken."""

    def __init__(self, store: Store, clock: Clock, options: Options, chain: Chain) -> None:
        self._store = store
        self._clock = clock
        self._options = options
        self._chain = chain
        self._sending = asyncio.Lock()

    async def lost(self) -> list[Row]:
        """The transactions that were mined and that the chain has no longer: after a reorganisation, oldest first."""
        rows = self._store.all("SELECT id, account_id, hash FROM transactions WHERE state = 'mined' ORDER BY id")
        receipts = await asyncio.gather(*(self._chain.receipt(row["hash"]) for row in rows))
        return [row for row, receipt in zip(rows, receipts, strict=True) if receipt is None]

    async def perform(self, job: Row, step: Step) -> None:
        """Brings one transaction onto the chain, exactly once.

        Raises JobFailed where it was mined and reverted; CallReverted, ChainDown.
        """
        while True:
            row = self._store.one(
                "SELECT * FROM transactions WHERE job_id = ? AND step = ? AND state = 'signed'",
                job["id"],
                step.sent.step,
            )
            if row is None:
                if await step.done():
                    return
                row = await self._sign(job, step)
                if row is None:
                    return
            if await self._follow(row, step):
                return

    async def _sign(self, job: Row, step: Step) -> Row | None:
        async with self._sending:
            try:
                signed = await self._chain.sign(step.sent.to, step.sent.data)
            except CallReverted:
                if await step.done():  # somebody else was faster
                    return None
                raise
            identifier = self._keep(job, step, signed)
            row = self._store.one("SELECT * FROM transactions WHERE id = ?", identifier)
            with contextlib.suppress(NonceUsed, ChainDown):  # _follow sees it
                await self._chain.send(signed.raw)
        return row

    def _keep(self, job: Row, step: Step, signed: Signed) -> int:
        """Records a signed transaction. After a reorg the same one may be signed again, bit for bit: it has a row."""
        with self._store.transaction():
            known = self._store.one("SELECT id FROM transactions WHERE hash = ?", signed.hash)
            if known is not None:
                self._store.write(
                    "UPDATE transactions SET job_id = ?, step = ?, state = 'signed', block_number = NULL WHERE id = ?",
                    job["id"],
                    step.sent.step,
                    known["id"],
                )
                return int(known["id"])
            return self._store.insert(
                "transactions",
                job_id=job["id"],
                account_id=job["account_id"],
                step=step.sent.step,
                nonce=signed.nonce,
                hash=signed.hash,
                raw=signed.raw,
                state="signed",
                created_at=self._clock.iso(),
            )

    async def _follow(self, row: Row, step: Step) -> bool:
        """Waits for one recorded transaction. False if it can never be mined, so that the chain is to be read again."""
        chain, options = self._chain, self._options
        pause = options.poll_interval
        while True:
            receipt = await chain.receipt(row["hash"])
            if receipt is None:
                if await chain.rpc("eth_getTransactionByHash", row["hash"]) is None:
                    try:
                        await chain.send(row["raw"])
                    except NonceUsed:
                        if await chain.receipt(row["hash"]) is None:  # not mined in this very moment either
                            self._mark(row, "lost", None)
                            return False
            else:
                block = int(receipt["blockNumber"], 16)
                if int(receipt["status"], 16) != 1:
                    self._mark(row, "reverted", block)
                    raise JobFailed(f"{step.sent.step} reverted in transaction {row['hash']}")
                if options.confirmations <= 1 or await chain.block_number() - block + 1 >= options.confirmations:
                    self._mark(row, "mined", block)
                    return True
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, max(0.5, options.poll_interval))

    def _mark(self, row: Row, state: str, block: int | None) -> None:
        with self._store.transaction():
            self._store.write(
                "UPDATE transactions SET state = ?, block_number = ? WHERE id = ?", state, block, row["id"]
            )


class Jobs(Protocol):
    """What the worker runs: see :class:`jobs.ChainJobs`."""

    async def perform(self, job: Row) -> None: ...
    def fail(self, job: Row, reason: str) -> None: ...


class Worker:
    """Runs the open jobs in the background."""

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
