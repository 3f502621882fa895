"""What is told of accounts: the platform's word beside the journal's. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from orchestrator.journal.store import Journal
from orchestrator.lifecycle.decide import Wait
from orchestrator.lifecycle.fold import AccountState, fold, is_account
from orchestrator.lifecycle.recorded import Recorded
from orchestrator.models import AccountId, CustomerId, to_uuid
from orchestrator.report import AccountReport, OperationReport, account_report, report
from orchestrator.steps.world import World

_IN_ONE_TURN = 500
"""Accounts that are looked at before the event loop gets its turn: some 10 ms."""


def to_account_id(text: str) -> AccountId:
    """An account's id as somebody wrote it. Raises SettingsError."""
    return AccountId(to_uuid(text, "an account's id"))


def account_states(streams: Mapping[str, Sequence[Recorded]]) -> dict[AccountId, AccountState]:
    """The accounts among these streams, which also hold creations and people's decisions."""
    return {AccountId(stream): fold(recorded) for stream, recorded in streams.items() if is_account(stream)}


class Accounts:
    """Reads journal, platform and chain. ``connected`` connects the last two when they are first needed, and may raise;
    ``patience``: how long an account may wait before a report calls it overdue."""

    def __init__(self, journal: Journal, connected: Callable[[], Awaitable[World]], *, patience: timedelta) -> None:
        self._journal = journal
        self._connected = connected
        self._patience = patience

    async def every(self, customer_id: str | None) -> list[AccountReport]:
        """All accounts of the programme, or of one customer. Raises PlatformError's subclasses."""
        world = await self._connected()
        if customer_id is None:
            found = await world.platform.accounts()
        else:
            found = await world.platform.customer_accounts(CustomerId(to_uuid(customer_id, "the customer's id")))
        known = await self.states()
        reports = []
        for number, account in enumerate(found):
            journal = self.report(account.id, known[account.id]) if account.id in known else None
            reports.append(account_report(account, journal))
            if number % _IN_ONE_TURN == 0:
                await asyncio.sleep(0)
        return reports

    async def one(self, account_id: AccountId) -> AccountReport:
        """One account. Raises PlatformRefused ``account_not_found``."""
        world = await self._connected()
        account = await world.platform.account(account_id)
        recorded = await self._journal.read(account_id)
        return account_report(account, report(account_id, fold(recorded)) if recorded else None)

    async def preflight(self, account_id: AccountId) -> tuple[AccountReport, dict[str, str]]:
        """The account, and what is left of it, by name: wei, tokens (each in its smallest unit), cards' status."""
        world = await self._connected()
        account = await world.platform.account(account_id)
        view = await world.chain.view(account_id)
        left: dict[str, str] = {}
        if view.deployment is not None:
            holdings = await world.chain.holdings(view.deployment.wallet, world.tokens)
            left["wei"] = str(holdings.wei)
            left |= {f"token {balance.token}": str(balance.amount) for balance in holdings.tokens}
        cards = await world.platform.cards(account_id)
        left |= {f"card {card.id}": card.status for card in cards}
        return account_report(account), left

    async def status(self, account_ids: Sequence[str]) -> list[OperationReport]:
        """Where these accounts stand (none named: all of the journal). Of one that the journal does not know the
        platform is asked."""
        if not account_ids:
            return [self.report(account_id, state) for account_id, state in (await self.states()).items()]
        reports = []
        for text in account_ids:
            account_id = to_account_id(text)
            recorded = await self._journal.read(account_id)
            if recorded:
                reports.append(self.report(account_id, fold(recorded)))
            else:
                account = await (await self._connected()).platform.account(account_id)
                unseen = report(account_id, AccountState())
                reports.append(unseen.model_copy(update={"status": account.status}))
        return reports

    async def state(self, account_id: AccountId) -> AccountState:
        """By the journal alone, as it is now."""
        return fold(await self._journal.read(account_id))

    async def states(self) -> dict[AccountId, AccountState]:
        """Of all accounts of the journal."""
        return account_states(await self.streams())

    async def streams(self) -> dict[str, list[Recorded]]:
        """The whole journal."""
        streams: dict[str, list[Recorded]] = {}
        after = 0
        while page := await self._journal.read_all(after):
            for item in page:
                streams.setdefault(item.stream, []).append(item)
            after = page[-1].seq
        return streams

    def report(self, account_id: AccountId, state: AccountState, wait: Wait | None = None) -> OperationReport:
        """By the journal alone; ``wait``: what the operation is known to wait for."""
        return report(account_id, state, wait=wait, patience=self._patience)
