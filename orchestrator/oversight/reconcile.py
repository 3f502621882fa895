"""After a restored backup: platform and chain are read back for every account, and what was signed is taken over from
the log beside the keystore, so that the journal knows again what it had forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from orchestrator.errors import Disposition, OrchestratorError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.recorded import Recorded
from orchestrator.models import AccountId
from orchestrator.ports.journal import SignatureRow
from orchestrator.ports.signers import LogEntry
from orchestrator.steps.gate import restored
from orchestrator.steps.world import World


class Import(Protocol):
    """The journal's import: rows that it does not know, with the event, in one transaction."""

    async def __call__(
        self, rows: Sequence[SignatureRow], event: o.JournalReconciled, *, at: datetime
    ) -> list[Recorded]: ...


async def reconcile(
    world: World,
    accounts: Iterable[AccountId],
    look_back: Callable[[AccountId], Awaitable[object]],
    take_over: Import,
    *,
    reason: str,
    by: str,
) -> o.JournalReconciled | None:
    """Ends the restore guard's refusal. None if it has nothing against signing.

    ``accounts``: those of the journal; the platform's are added. ``look_back`` reads one back from both sides and
    journals what it finds; ``take_over`` is the journal's import. Raises OrchestratorError's subclasses: then nothing
    is settled, and signing stays off. SIDE EFFECTS: those, an event, and a line in the log, in that order.
    """
    finding = await restored(world.journal, world.signing_log, world.keyring.id, world.ruleset.policy.keys)
    if finding is None:
        return None
    accounts = tuple(accounts)
    known = dict.fromkeys(accounts)
    known |= dict.fromkeys(account.id for account in await world.platform.accounts())
    ours, unread = frozenset(accounts), []
    for account in known:
        try:
            await look_back(account)
        except OrchestratorError as error:
            if account in ours or error.disposition is not Disposition.STOP:
                raise
            unread.append(str(account))  # none of this journal's: of another chain, say
    identity = await world.journal.identity()
    log = world.signing_log
    journals = sorted({*await asyncio.to_thread(log.journals), identity})
    rows = [
        row(entry) for journal in journals for entry in await asyncio.to_thread(log.entries, journal) if entry.digest
    ]
    now = world.clock()
    event = o.JournalReconciled(
        keystore=world.keyring.id,
        finding=finding,
        reason=reason,
        by=by,
        accounts=len(known),
        signatures=len(rows),
        unread=tuple(unread),
    )
    (recorded,) = await take_over(rows, event, at=now)
    last = await asyncio.to_thread(log.last, identity)
    await asyncio.to_thread(
        log.note,
        identity,
        LogEntry(
            epoch=last.epoch + 1 if last is not None else 1,
            seq=recorded.seq,
            hash=recorded.hash,
            account_id="",
            purpose="",
            digest="",
            signer="",
            key="",
            at=now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        ),
    )
    return event.model_copy(update={"signatures": getattr(recorded.event, "signatures", event.signatures)})


def row(entry: LogEntry) -> SignatureRow:
    """A line of the log as a line of the signing history: perhaps made, and surely not to be made again."""
    return SignatureRow(
        account_id=entry.account_id,
        purpose=entry.purpose,
        digest=entry.digest,
        signer=entry.signer,
        key=entry.key,
        at=entry.at,
        made=True,
        live=False,
    )
