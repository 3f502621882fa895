"""After a restored backup: platform and chain are read back for every account, and what was signed is taken over from
the log beside the keystore, so that the journal knows again what it had forgotten.

What people had decided is not in the log, only that they had decided something: an emergency stop, say, or that a key
is out of use. Where the journal has lost such a decision, signing stays stopped until two people have looked.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from orchestrator.authorization.restore_guard import restore_finding
from orchestrator.errors import Disposition, OrchestratorError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import Stop
from orchestrator.models import AccountId
from orchestrator.oversight.stops import EVERYTHING
from orchestrator.ports.journal import SignatureRow
from orchestrator.ports.signers import LogEntry
from orchestrator.session import Services


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was journaled. ``stopped``: the stop that two people are to end, where decisions of people were lost."""

    event: o.JournalReconciled
    stopped: Stop | None


async def reconcile(
    services: Services,
    accounts: Iterable[AccountId],
    read_back: Callable[[AccountId], Awaitable[object]],
    *,
    reason: str,
    by: str,
) -> Reconciliation | None:
    """Ends the restore guard's refusal. None if it has nothing against signing.

    ``accounts``: those of the journal; the platform's are added. ``read_back`` reads one back from both sides and
    journals what it finds. Raises OrchestratorError's subclasses: then nothing is settled, and signing stays off.
    SIDE EFFECTS: those, an event or two, and a line in the log, in that order.
    """
    finding = await restore_finding(
        services.journal, services.signing_log, services.keyring.id, services.ruleset.policy.keys
    )
    if finding is None:
        return None
    accounts = tuple(accounts)
    known = dict.fromkeys(accounts)
    known |= dict.fromkeys(account.id for account in await services.platform.accounts())
    ours, unread = frozenset(accounts), []
    for account in known:
        try:
            await read_back(account)
        except OrchestratorError as error:
            if account in ours or error.disposition is not Disposition.STOP:
                raise
            unread.append(str(account))  # none of this journal's: of another chain, say
    identity = await services.journal.identity()
    log = services.signing_log
    journals = sorted({*await asyncio.to_thread(log.journals), identity})
    rows = [
        row(entry) for journal in journals for entry in await asyncio.to_thread(log.entries, journal) if entry.digest
    ]
    now = services.clock()
    event = o.JournalReconciled(
        keystore=services.keyring.id,
        finding=finding,
        reason=reason,
        by=by,
        accounts=len(known),
        signatures=len(rows),
        unread=tuple(unread),
    )
    lost = await lost_decision(services)
    stops = () if lost is None else (_stop(lost, by),)
    recorded, *_ = await services.journal.import_signatures(rows, event, *stops, at=now)
    last = await asyncio.to_thread(log.last, identity)
    entry = LogEntry.of(recorded, last.epoch + 1 if last is not None else 1)
    await asyncio.to_thread(log.note, identity, entry)
    done = event.model_copy(update={"signatures": getattr(recorded.event, "signatures", event.signatures)})
    return Reconciliation(done, next((Stop(new.stop, new.scope, new.reason, new.by, now) for new in stops), None))


async def lost_decision(services: Services) -> LogEntry | None:
    """The newest decision of people of which the log beside the keystore knows and the journal does not, or None. Reads
    only.

    Lines before a reconciliation that the journal still has were judged by that one. A keystore that has no line for
    this journal has its decisions in other journals.
    """
    journal, log = services.journal, services.signing_log
    own = await asyncio.to_thread(log.entries, await journal.identity())
    found: list[LogEntry] = []
    if not own:
        for other in await asyncio.to_thread(log.journals):
            found += [entry for entry in await asyncio.to_thread(log.entries, other) if entry.purpose == "decision"]
    for entry in reversed(own):
        if entry.purpose not in ("decision", ""):
            continue
        kept = await journal.event_hash(entry.seq) == entry.hash
        if kept and not entry.purpose:
            break
        if not kept and entry.purpose:
            found.append(entry)
    return max(found, key=lambda entry: (entry.at[:19], entry.seq), default=None)  # of one second the later event


def _stop(lost: LogEntry, by: str) -> o.SigningStopped:
    reason = (
        f"decisions of people were lost with the database, up to event {lost.seq} of {lost.at}: look what they were, "
        "stop and disable again what was to stay so, and only then resume"
    )
    return o.SigningStopped(stop=str(uuid.uuid4()), scope=EVERYTHING, reason=reason, by=by)


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
