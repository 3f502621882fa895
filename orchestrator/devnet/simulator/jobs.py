"""The jobs of the chain: deployment, commitment, suspension, closing; what each sends, and what it means afterwards.

A job is a row that an operation has recorded; :mod:`transactions` runs it and sends its steps.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from . import accounts, challenges
from .chain import ACTIVE, CLOSED, CREATED, INACTIVE, Chain, encode_call
from .platform import Platform
from .store import Row
from .transactions import JobFailed, Step, Transactions

__all__ = ["ChainJobs"]


class ChainJobs:
    """What the worker runs."""

    def __init__(self, platform: Platform, chain: Chain, transactions: Transactions) -> None:
        self._platform = platform
        self._chain = chain
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
        platform, chain, account_id = self._platform, self._chain, str(job["account_id"])
        challenge, owner = self._challenge(data["challenge"]), self._owner(account_id)
        if platform.faults.take("fail_deployment") is not None:
            raise JobFailed("the deployment was ordered to fail")
        wallet = await chain.predict(owner, account_id)
        await self._transactions.perform(
            job,
            Step(
                "deploySmartWallet",
                lambda: chain.has_code(wallet),
                chain.factory,
                _ready(chain.deploy_data(owner, account_id, challenge)),
            ),
        )
        await self._transactions.perform(
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
        chain, wallet = self._chain, self._wallet(job)
        challenge = self._challenge(data["challenge"])
        if await chain.state(wallet) == CLOSED:
            raise JobFailed("the wallet is closed on the chain already")
        await self._transactions.perform(
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
        await self._change_state(job, "deactivate", INACTIVE, "inactive")

    async def _reactivate(self, job: Row, _: dict[str, str]) -> None:
        await self._change_state(job, "reactivate", ACTIVE, "active")

    async def _change_state(self, job: Row, function: str, state: int, status: str) -> None:
        wallet = self._wallet(job)
        await self._transactions.perform(
            job, Step(function, lambda: self._reached(wallet, state), wallet, _ready(encode_call(f"{function}()")))
        )
        with self._platform.store.transaction():
            self._close_job(job)
            if accounts.require(self._platform, job["account_id"])["status"] != "closed":
                accounts.set_status(self._platform, job["account_id"], status)

    async def _close(self, job: Row, data: dict[str, str]) -> None:
        chain, wallet = self._chain, self._wallet(job)
        challenge, signature = self._challenge(data["challenge"]), bytes.fromhex(data["signature"])

        async def call_data() -> str:
            known = [str(row["address"]) for row in self._platform.store.all("SELECT address FROM tokens")]
            held = await chain.tokens_held(wallet, known)
            return encode_call("close(bytes,bytes,address[])", challenge, signature, held)

        await self._transactions.perform(job, Step("close", lambda: self._reached(wallet, CLOSED), wallet, call_data))
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

    async def _reached(self, wallet: str, state: int) -> bool:
        return await self._chain.state(wallet) == state

    async def _left(self, wallet: str, state: int) -> bool:
        return await self._chain.state(wallet) != state

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
