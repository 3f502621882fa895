"""The background worker: does on the chain what the API has recorded, once, whatever dies in between.

A job is a row before anything is sent. Each of its steps goes: is the chain there already? then the step is done; is a
signed transaction of this step recorded? then its receipt is awaited, and the SAME bytes are sent again if the node has
lost them; else a new transaction is signed, recorded, and only then sent. The jobs of one account run in order; those
of different accounts side by side, with one lock around nonce, signature and sending.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import challenges
from .chain import ACTIVE, CLOSED, CREATED, INACTIVE, CallReverted, Chain, ChainDown, NonceUsed, Signed, encode_call
from .store import Row

if TYPE_CHECKING:
    from .platform import Platform

__all__ = ["Worker"]

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 64
DOWN_PAUSE = 0.5
"""Seconds before a node that is down is asked again."""


class JobFailed(Exception):
    """The chain refuses the work for good."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of a job: how the chain looks when it is done, and how it is sent."""

    name: str
    done: Callable[[], Awaitable[bool]]
    to: str
    data: Callable[[], Awaitable[str]]


class Worker:
    """Drives the open jobs."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._chain: Chain | None = None
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._sending = asyncio.Lock()
        self._room = asyncio.Semaphore(SIDE_BY_SIDE)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        self._wake.set()

    async def start(self) -> None:
        config = self._platform.config
        if config.rpc_url:
            self._chain = Chain(config.rpc_url, config.operator_key, config.factory, config.escrow)
            self._task = asyncio.create_task(self._dispatch(), name="chain worker")

    async def stop(self) -> None:
        tasks = [task for task in (self._task, *self._running.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._chain is not None:
            await self._chain.stop()

    async def settled(self, account_id: str, timeout: float) -> bool:  # an answer, not an exception
        """Waits until the account has no open job, at most ``timeout`` seconds. Whether that came true."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: not self._open(account_id))
        except TimeoutError:
            return not self._open(account_id)
        return True

    async def lost(self) -> list[Row]:
        """The transactions that were mined and that the chain has no longer: after a reorganisation, oldest first."""
        if self._chain is None:
            return []
        rows = self._platform.store.all(
            "SELECT id, account_id, hash FROM transactions WHERE state = 'mined' ORDER BY id"
        )
        receipts = await asyncio.gather(*(self._chain.receipt(row["hash"]) for row in rows))
        return [row for row, receipt in zip(rows, receipts, strict=True) if receipt is None]

    def _open(self, account_id: str) -> bool:
        query = "SELECT 1 FROM jobs WHERE account_id = ? AND state = 'open' LIMIT 1"
        return self._platform.store.one(query, account_id) is not None

    async def _dispatch(self) -> None:
        while True:
            self._wake.clear()
            for row in self._platform.store.all("SELECT DISTINCT account_id FROM jobs WHERE state = 'open'"):
                account_id = str(row["account_id"])
                if account_id not in self._running:
                    self._running[account_id] = asyncio.create_task(self._account(account_id))
            await self._wake.wait()

    async def _account(self, account_id: str) -> None:
        """All open jobs of one account, oldest first."""
        query = "SELECT * FROM jobs WHERE account_id = ? AND state = 'open' ORDER BY id LIMIT 1"
        try:
            while (job := self._platform.store.one(query, account_id)) is not None:
                async with self._room:
                    await self._job(job)
                async with self._changed:
                    self._changed.notify_all()
        finally:
            self._running.pop(account_id, None)
            self._wake.set()

    async def _job(self, job: Row) -> None:
        while True:
            try:
                if job["kind"] == "deploy":
                    await self._until_not_held()
                await getattr(self, f"_{job['kind']}")(job, json.loads(job["data"]))
            except ChainDown:
                await asyncio.sleep(DOWN_PAUSE)
            except (JobFailed, CallReverted) as error:
                self._fail(job, str(error))
                return
            except Exception:
                # A node that answers nonsense must neither end the job nor the worker: it is said, and tried again.
                logger.exception("the job %s (%s) of account %s failed", job["id"], job["kind"], job["account_id"])
                await asyncio.sleep(DOWN_PAUSE)
            else:
                return

    async def _until_not_held(self) -> None:
        while self._platform.faults.active("hold_deployments"):  # noqa: ASYNC110  # faults are plain memory
            await asyncio.sleep(0.05)

    # --- the jobs ------------------------------------------------------------------------------------------------

    async def _deploy(self, job: Row, data: dict[str, str]) -> None:
        from . import accounts

        platform, chain, account_id = self._platform, self._node, str(job["account_id"])
        challenge, owner = self._challenge(data["challenge"]), self._owner(account_id)
        if platform.faults.take("fail_deployment") is not None:
            raise JobFailed("the deployment was ordered to fail")
        wallet = await chain.predict(owner, account_id)
        await self._step(
            job,
            Step(
                "deploySmartWallet",
                lambda: chain.has_code(wallet),
                chain.factory,
                _ready(chain.deploy_data(owner, account_id, challenge)),
            ),
        )
        await self._step(
            job,
            Step(
                "activate",
                lambda: self._left(wallet, CREATED),
                wallet,
                _ready(encode_call("activate(bytes,bytes)", challenge, bytes.fromhex(data["signature"]))),
            ),
        )
        with platform.store.transaction():
            platform.store.write(
                "UPDATE accounts SET wallet = ?, chain_id = ? WHERE id = ?",
                wallet,
                f"eip155:{platform.config.chain_id}:{wallet}",
                account_id,
            )
            self._close_job(job)
            if accounts.require(platform, account_id)["status"] == "pending":
                accounts.set_status(platform, account_id, "active")

    async def _commit(self, job: Row, data: dict[str, str]) -> None:
        chain, wallet = self._node, self._wallet(job)
        challenge = self._challenge(data["challenge"])
        if await chain.state(wallet) == CLOSED:
            raise JobFailed("the wallet is closed on the chain already")
        await self._step(
            job,
            Step(
                "commitChallenge",
                lambda: chain.committed(wallet, challenge),
                wallet,
                _ready(chain.commit_data(challenge)),
            ),
        )
        with self._platform.store.transaction():
            challenges.offer(self._platform, data["challenge"])
            self._close_job(job)

    async def _deactivate(self, job: Row, _: dict[str, str]) -> None:
        await self._suspend(job, "deactivate", INACTIVE, "inactive")

    async def _reactivate(self, job: Row, _: dict[str, str]) -> None:
        await self._suspend(job, "reactivate", ACTIVE, "active")

    async def _suspend(self, job: Row, function: str, state: int, status: str) -> None:
        from . import accounts

        wallet = self._wallet(job)
        await self._step(
            job, Step(function, lambda: self._reached(wallet, state), wallet, _ready(encode_call(f"{function}()")))
        )
        with self._platform.store.transaction():
            self._close_job(job)
            if accounts.require(self._platform, job["account_id"])["status"] != "closed":
                accounts.set_status(self._platform, job["account_id"], status)

    async def _close(self, job: Row, data: dict[str, str]) -> None:
        from . import accounts

        chain, wallet = self._node, self._wallet(job)
        challenge, signature = self._challenge(data["challenge"]), bytes.fromhex(data["signature"])

        async def call_data() -> str:
            known = [str(row["address"]) for row in self._platform.store.all("SELECT address FROM tokens")]
            held = await chain.tokens_held(wallet, known)
            return encode_call("close(bytes,bytes,address[])", challenge, signature, held)

        await self._step(job, Step("close", lambda: self._reached(wallet, CLOSED), wallet, call_data))
        with self._platform.store.transaction():
            self._close_job(job)
            challenges.retire(self._platform, job["account_id"], "void")
            if accounts.require(self._platform, job["account_id"])["status"] != "closed":
                accounts.set_status(self._platform, job["account_id"], "closed")

    def _fail(self, job: Row, reason: str) -> None:
        """Writes the failure down. A failed deployment fails the account; a failed closing asks for a new signature."""
        from . import accounts

        platform = self._platform
        with platform.store.transaction():
            self._close_job(job, error=reason)
            if job["kind"] == "deploy":
                accounts.set_status(platform, job["account_id"], "failed", note=reason)
            elif job["kind"] == "close":
                accounts.plan_deletion_challenge(platform, job["account_id"])
            elif job["kind"] == "commit":
                challenges.retire(platform, job["account_id"], "void")

    def _close_job(self, job: Row, *, error: str | None = None) -> None:
        self._platform.store.write(
            "UPDATE jobs SET state = ?, error = ?, finished_at = ? WHERE id = ?",
            "done" if error is None else "failed",
            error,
            self._platform.clock.iso(),
            job["id"],
        )

    # --- one step ------------------------------------------------------------------------------------------------

    async def _step(self, job: Row, step: Step) -> None:
        """Brings one transaction onto the chain, exactly once. Raises JobFailed where it is mined and reverts."""
        store = self._platform.store
        while True:
            row = store.one(
                "SELECT * FROM transactions WHERE job_id = ? AND step = ? AND state = 'signed'", job["id"], step.name
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
        store = self._platform.store
        data = await step.data()
        async with self._sending:
            try:
                signed = await self._node.sign(step.to, data)
            except CallReverted:
                if await step.done():  # somebody else was faster
                    return None
                raise
            identifier = self._keep(job, step, signed)
            row = store.one("SELECT * FROM transactions WHERE id = ?", identifier)
            with contextlib.suppress(NonceUsed, ChainDown):  # _follow sees it
                await self._node.send(signed.raw)
        return row

    def _keep(self, job: Row, step: Step, signed: Signed) -> int:
        """Records a signed transaction. After a reorg the same one may be signed again, bit for bit: it has a row."""
        store = self._platform.store
        with store.transaction():
            known = store.one("SELECT id FROM transactions WHERE hash = ?", signed.hash)
            if known is not None:
                store.write(
                    "UPDATE transactions SET job_id = ?, step = ?, state = 'signed', block_number = NULL WHERE id = ?",
                    job["id"],
                    step.name,
                    known["id"],
                )
                return int(known["id"])
            return store.insert(
                "transactions",
                job_id=job["id"],
                account_id=job["account_id"],
                step=step.name,
                nonce=signed.nonce,
                hash=signed.hash,
                raw=signed.raw,
                state="signed",
                created_at=self._platform.clock.iso(),
            )

    async def _follow(self, row: Row, step: Step) -> bool:
        """Waits for one recorded transaction. False if it can never be mined, so that the chain is looked at again."""
        chain, options = self._node, self._platform.options
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
                    raise JobFailed(f"{step.name} reverted in transaction {row['hash']}")
                if options.confirmations <= 1 or await chain.block_number() - block + 1 >= options.confirmations:
                    self._mark(row, "mined", block)
                    return True
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, max(0.5, options.poll_interval))

    def _mark(self, row: Row, state: str, block: int | None) -> None:
        with self._platform.store.transaction():
            self._platform.store.write(
                "UPDATE transactions SET state = ?, block_number = ? WHERE id = ?", state, block, row["id"]
            )

    # --- what the jobs need --------------------------------------------------------------------------------------

    @property
    def _node(self) -> Chain:
        if self._chain is None:
            raise AssertionError("jobs run only with a chain")
        return self._chain

    async def _reached(self, wallet: str, state: int) -> bool:
        return await self._node.state(wallet) == state

    async def _left(self, wallet: str, state: int) -> bool:
        return await self._node.state(wallet) != state

    def _challenge(self, identifier: str) -> bytes:
        row: Any = self._platform.store.one("SELECT text FROM challenges WHERE id = ?", identifier)
        return bytes(row["text"])

    def _owner(self, account_id: str) -> str:
        row: Any = self._platform.store.one(
            "SELECT c.chain_id FROM accounts a JOIN customers c ON c.id = a.customer_id WHERE a.id = ?", account_id
        )
        return str(row["chain_id"]).rpartition(":")[2]

    def _wallet(self, job: Row) -> str:
        row: Any = self._platform.store.one("SELECT wallet FROM accounts WHERE id = ?", job["account_id"])
        if row["wallet"] is None:
            raise JobFailed(f"account {job['account_id']} has no wallet on the chain")
        return str(row["wallet"])


def _ready(value: str) -> Callable[[], Awaitable[str]]:
    async def data() -> str:
        return value

    return data
