"""Reads of accounts: what the platform says beside what the journal says. Nothing is written."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

from orchestrator.errors import Disposition, JournalError, SettingsError
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Wait
from orchestrator.lifecycle.fold import AccountState, fold, is_account
from orchestrator.lifecycle.recorded import Recorded
from orchestrator.models import AccountId, CustomerId, Outcome, to_uuid
from orchestrator.oversight.outlook import Outlook
from orchestrator.ports.chain import Known
from orchestrator.report import AccountReport, OperationReport, StatusReport, StopNote, account_report, report
from orchestrator.session import Services

_UNNAMED = re.compile(r"unnamed-[0-9a-f-]{36}")
_SHORTEST_PREFIX = 6
_MOST_NAMED = 10
"""Accounts that are listed for an ambiguous beginning."""
_IN_ONE_TURN = 500
"""Accounts that are reported before the event loop gets its turn: some 10 ms."""

Ask = Literal["never", "if_unknown", "always"]
"""Whether the platform is asked, too, which accounts begin so."""


def to_account_id(text: str) -> AccountId:
    """An account's id as somebody wrote it. Raises SettingsError."""
    return AccountId(to_uuid(text, "an account's id"))


def new_reference() -> str:
    """For a creation that nobody has named."""
    return f"unnamed-{uuid.uuid4()}"


def account_states(streams: Mapping[str, Sequence[Recorded]]) -> dict[AccountId, AccountState]:
    """The accounts among these streams, which also hold creations and people's decisions."""
    return {AccountId(stream): fold(recorded) for stream, recorded in streams.items() if is_account(stream)}


def beginning(text: str) -> str | None:
    """The text in lower case, if it is the beginning of an account's id, 6 characters or more, and no whole one."""
    text = text.lower()
    if not _SHORTEST_PREFIX <= len(text) < 36:
        return None
    fits = all(c == "-" if i in (8, 13, 18, 23) else c in "0123456789abcdef" for i, c in enumerate(text))
    return text if fits else None


class AccountQueries:
    """Reads journal, platform and chain. ``connected`` connects the last two when they are first needed, and may raise;
    ``outlook``: what people have decided and the settings ask for, now."""

    def __init__(
        self,
        journal: Journal,
        connected: Callable[[], Awaitable[Services]],
        outlook: Callable[[], Awaitable[Outlook]],
    ) -> None:
        self._journal = journal
        self._connected = connected
        self._outlook = outlook

    async def every(self, customer_id: str | None) -> list[AccountReport]:
        """All accounts of the programme, or of one customer. Raises PlatformError's subclasses."""
        services = await self._connected()
        if customer_id is None:
            found = await services.platform.accounts()
        else:
            found = await services.platform.customer_accounts(CustomerId(to_uuid(customer_id, "the customer's id")))
        known = {one.account_id: one for one in (await self.status(())).accounts}
        references = await self._references()
        reports = []
        for number, account in enumerate(found):
            reports.append(account_report(account, known.get(account.id), reference=references.get(account.id)))
            if number % _IN_ONE_TURN == 0:
                await asyncio.sleep(0)
        return reports

    async def one(self, account_id: AccountId) -> AccountReport:
        """One account. Raises PlatformRefused ``account_not_found``."""
        services = await self._connected()
        account = await services.platform.account(account_id)
        recorded = await self._journal.read(account_id)
        journaled = await self.report(account_id, fold(recorded)) if recorded else None
        return account_report(account, journaled, reference=await self.reference(account_id))

    async def preflight(self, account_id: AccountId) -> tuple[AccountReport, dict[str, str]]:
        """The account, and what is left of it, by name: wei, tokens (each in its smallest unit), cards' status."""
        services = await self._connected()
        account = await services.platform.account(account_id)
        claimed = None if account.wallet is None else account.wallet.address  # shown only
        view = await services.chain.view(account_id, Known(claimed))
        left: dict[str, str] = {}
        if view.deployment is not None:
            holdings = await services.chain.holdings(view.deployment.wallet, services.tokens)
            left["wei"] = str(holdings.wei)
            left |= {f"token {balance.token}": str(balance.amount) for balance in holdings.tokens}
            left |= {f"token {one.token}": f"not read: {one.reason}" for one in holdings.unreadable}
            if holdings.incomplete is not None:
                left["tokens not listed"] = holdings.incomplete
        cards = await services.platform.cards(account_id)
        left |= {f"card {card.id}": card.status for card in cards if card.ends_with_account}
        return account_report(account), left

    async def status(self, account_ids: Sequence[AccountId]) -> StatusReport:
        """Where these accounts stand (none named: all of the journal), and what of it needs a person. Of one that the
        journal does not know the platform is asked."""
        outlook = await self._outlook()
        if account_ids:
            states = {account_id: await self.state(account_id) for account_id in dict.fromkeys(account_ids)}
        else:
            states = await self.states()
        references = await self._references()
        reports: dict[AccountId, OperationReport] = {}
        for account_id, state in states.items():
            one = report(account_id, state, wait=outlook.wait(account_id, state))
            if state == AccountState():
                account = await (await self._connected()).platform.account(account_id)
                one = one.model_copy(update={"status": account.status})
            reports[account_id] = one.model_copy(update={"reference": references.get(account_id)})
        requests = [request for account_id, state in states.items() for request in outlook.requests(account_id, state)]
        return StatusReport(
            accounts=[reports[account_id] for account_id in account_ids or reports],
            decisions=[account_id for account_id, one in reports.items() if one.outcome is Outcome.OPERATOR],
            approvals=[request.id for request in (*outlook.changes(), *requests) if not request.is_granted],
            stops=[StopNote.of(stop) for stop in outlook.seen.stops],
        )

    async def report(self, account_id: AccountId, state: AccountState, wait: Wait | None = None) -> OperationReport:
        """By the journal alone; ``wait``: what the operation is known to wait for."""
        if wait is None:
            wait = (await self._outlook()).wait(account_id, state)
        found = report(account_id, state, wait=wait)
        return found.model_copy(update={"reference": await self.reference(account_id)})

    # --- names of accounts ---------------------------------------------------------------------------------------

    async def named(self, texts: Sequence[str], ask: Ask) -> list[str]:
        """The whole id in the place of each unique beginning of one; other texts as they are.

        Raises SettingsError ``account_unknown``, ``account_ambiguous``; what the platform's list raises.
        """
        named: list[str] = []
        listed: set[str] | None = None
        for text in texts:
            prefix = beginning(text)
            if prefix is None:
                named.append(text)
                continue
            found = await self._journal.accounts_beginning(prefix)
            if ask == "always" or (ask == "if_unknown" and not found):
                if listed is None:
                    listed = {account.id for account in await (await self._connected()).platform.accounts()}
                found |= {account_id for account_id in listed if account_id.startswith(prefix)}
            named.append(only(text, found, "the journal" if ask == "never" else "the journal and the platform"))
        return named

    async def referred(self, reference: str) -> AccountId:
        """The account that was created under this reference.

        Raises SettingsError ``reference_unknown``; JournalError ``creation_unsettled`` (retry) where that is not known.
        """
        recorded = await self._journal.read(e.creation_stream(reference))
        match recorded[-1].event if recorded else None:
            case e.CreationAnswered(account_id=account_id):
                return AccountId(account_id)
            case e.CreationIntended():
                raise JournalError(
                    f"whether the account of reference {reference!r} was created is not known yet: orchestrator resume "
                    "finds out",
                    code="creation_unsettled",
                    disposition=Disposition.RETRY,
                )
            case e.CreationRefused(code=code, message=message):
                why = f"the platform refused to create it ({code}: {message})"
            case _:
                why = "nothing was created here under it"
        raise SettingsError(f"no account has the reference {reference!r}: {why}", code="reference_unknown")

    async def reference(self, account_id: AccountId) -> str | None:
        """The caller's own name for the account, if it was created here under one."""
        return (await self._references(account_id)).get(account_id)

    async def _references(self, account_id: AccountId | None = None) -> dict[AccountId, str]:
        streams = (await self._journal.creation_streams(account_id)).items()
        names = {AccountId(account): stream.removeprefix(e.CREATIONS) for account, stream in streams}
        return {account: name for account, name in names.items() if _UNNAMED.fullmatch(name) is None}

    # --- the journal's states ------------------------------------------------------------------------------------

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


def only(text: str, found: set[str], where: str) -> str:
    """The one account that the text is the beginning of. Raises SettingsError ``account_unknown``,
    ``account_ambiguous``."""
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise SettingsError(f"{where}: no account's id begins with {text!r}", code="account_unknown")
    some = ", ".join(sorted(found)[:_MOST_NAMED]) + (" and more" if len(found) > _MOST_NAMED else "")
    raise SettingsError(
        f"{text!r} begins the ids of {len(found)} accounts: expected a longer beginning, of one of {some}",
        code="account_ambiguous",
    )
