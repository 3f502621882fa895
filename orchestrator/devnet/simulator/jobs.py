"""The jobs of the chain: deployment, commitment, suspension, closing; what each sends, and what it means afterwards.

A job is a row that an operation has recorded; :mod:`transactions` runs it and sends its steps.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from . import accounts, challenges, wallet_faults
from .families import Family, Sent, State
from .platform import Platform
from .store import Row
from .transactions import JobFailed, Step, Transactions

__all__ = ["ChainJobs"]


class ChainJobs:
    """What the worker runs."""

    def __init__(self, platform: Platform, family: Family, transactions: Transactions) -> None:
        self._platform = platform
        self._family = family
        self._transactions = transactions
        self._kinds: dict[str, Callable[[Row, dict[str, str]], Awaitable[None]]] = {
            "deploy": self._deploy,
            "commit": self._commit,
            "deactivate": self._deactivate,
            "reactivate": self._reactivate,
            "close": self._close,
        }

    async def perform(self, job: Row) -> None:
        """Does the job and marks it done. Raises JobFailed, CallReverted, ChainDown."""
        if job["kind"] != "deploy" and self._platform.faults.take("upgrade_implementation") is not None:
            await wallet_faults.upgrade(self._family, self._wallet(job))
        await self._kinds[job["kind"]](job, json.loads(job["data"]))

    def fail(self, job: Row, reason: str) -> None:
        """Writes the failure down. A failed deployment fails the account; a failed closing asks for a new signature."""
        platform = self._platform
        with platform.store.transaction():
            self._close_job(job, error=reason)
            if job["kind"] == "deploy":
                accounts.set_status(platform, job["account_id"], "failed", note=reason)
            elif job["kind"] == "close":
                accounts.plan_deletion_challenge(platform, job["account_id"])
            elif job["kind"] == "commit":
                challenges.retire(platform, job["account_id"], "void")

    async def _deploy(self, job: Row, data: dict[str, str]) -> None:
        await self._until_not_held()
        platform, family, account_id = self._platform, self._family, str(job["account_id"])
        challenge, owner = self._challenge(data["challenge"]), self._owner(account_id)
        if platform.faults.take("fail_deployment") is not None:
            raise JobFailed("the deployment was ordered to fail")
        if platform.faults.take("deploy_by_another") is not None:
            family = await wallet_faults.another_factory(family)
        wallet = await self._deploy_one(job, family, owner, challenge)
        if platform.faults.take("deploy_twice") is not None:
            await self._deploy_one(job, family, owner, challenge, 1)
        if platform.faults.take("confuse_register") is not None:
            await wallet_faults.confuse_register(family, account_id)
        await self._send(
            job,
            family.activate(wallet, challenge, bytes.fromhex(data["signature"])),
            lambda: self._left(wallet, State.CREATED),
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

    async def _deploy_one(self, job: Row, family: Family, owner: str, challenge: bytes, number: int = 0) -> str:
        account_id = str(job["account_id"])
        wallet = await family.predict(owner, account_id, number)
        sent = family.deploy(owner, account_id, challenge, number)
        step = replace(sent, step=f"{sent.step} {number + 1}") if number else sent
        await self._send(job, step, lambda: family.chain.has_code(wallet))
        return wallet

    async def _commit(self, job: Row, data: dict[str, str]) -> None:
        family, wallet = self._family, self._wallet(job)
        challenge = self._challenge(data["challenge"])
        if await family.state(wallet) is State.CLOSED:
            raise JobFailed("the wallet is closed on the chain already")
        await self._send(job, family.commit(wallet, challenge), lambda: family.committed(wallet, challenge))
        with self._platform.store.transaction():
            challenges.offer(self._platform, data["challenge"])
            self._close_job(job)

    async def _deactivate(self, job: Row, _: dict[str, str]) -> None:
        await self._change_state(job, self._family.suspend, State.INACTIVE)

    async def _reactivate(self, job: Row, _: dict[str, str]) -> None:
        await self._change_state(job, self._family.resume, State.ACTIVE)

    async def _change_state(self, job: Row, change: Callable[[str], Sent | None], state: State) -> None:
        wallet = self._wallet(job)
        await self._send(job, change(wallet), lambda: self._reached(wallet, state))
        with self._platform.store.transaction():
            self._close_job(job)
            if accounts.require(self._platform, job["account_id"])["status"] != "closed":
                accounts.set_status(self._platform, job["account_id"], state.value)

    async def _close(self, job: Row, data: dict[str, str]) -> None:
        family, wallet = self._family, self._wallet(job)
        challenge, signature = self._challenge(data["challenge"]), bytes.fromhex(data["signature"])
        known = [str(row["address"]) for row in self._platform.store.all("SELECT address FROM tokens")]
        held = await family.chain.tokens_held(wallet, known)
        sent = family.close(wallet, challenge, signature, held)
        await self._send(job, sent, lambda: self._reached(wallet, State.CLOSED))
        with self._platform.store.transaction():
            self._close_job(job)
            challenges.retire(self._platform, job["account_id"], "void")
            if accounts.require(self._platform, job["account_id"])["status"] != "closed":
                accounts.set_status(self._platform, job["account_id"], "closed")

    def _close_job(self, job: Row, *, error: str | None = None) -> None:
        self._platform.store.write(
            "UPDATE jobs SET state = ?, error = ?, finished_at = ? WHERE id = ?",
            "done" if error is None else "failed",
            error,
            self._platform.clock.iso(),
            job["id"],
        )

    # --- what the jobs need --------------------------------------------------------------------------------------

    async def _until_not_held(self) -> None:
        while self._platform.faults.active("hold_deployments"):  # noqa: ASYNC110  # faults are plain memory
            await asyncio.sleep(0.05)

    async def _send(self, job: Row, sent: Sent | None, done: Callable[[], Awaitable[bool]]) -> None:
        """Brings a call onto the chain, where the family has it, unless that is ``done``."""
        if sent is not None:
            await self._transactions.perform(job, Step(sent, done))

    async def _reached(self, wallet: str, state: State) -> bool:
        return await self._family.state(wallet) is state

    async def _left(self, wallet: str, state: State) -> bool:
        return await self._family.state(wallet) is not state

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
