"""The restore guard: recognises, by the log beside the keystore, a journal or a keystore older than what was signed.

A line of that log is on disk before a key is touched. A restored database lacks the event of its last line, a restored
keystore lacks the line of an event. A backup that has lost a decision of people leaves signing stopped until two people
have seen to it; what a process does by itself again, and what nobody was asked about, is no reason for that.
"""

from __future__ import annotations

import asyncio

from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.lifecycle.recorded import Event
from orchestrator.policy import KeyPolicy, Ruleset
from orchestrator.policy.document import ROLE_FOR
from orchestrator.ports.journal import Journal
from orchestrator.ports.signers import LogEntry, SigningLog


async def restore_finding(journal: Journal, log: SigningLog, keystore: str, policy: KeyPolicy) -> str | None:
    """Why nothing may be signed before a reconciliation, or None: either the journal or the keystore is older than what
    was signed, or they do not belong together. ``keystore``: its id. Reads only. Raises JournalError
    ``journal_damaged``.
    """
    await journal.require_whole()
    identity = await journal.identity()
    # In this order: another process writes its line after its intent and before its signature.
    signed, mine = await journal.last_signed_seq(None), await journal.last_signed_seq(keystore)
    last = await asyncio.to_thread(log.last, identity)
    if last is None:
        if signed is not None:
            return (
                f"the journal has a signature at event {signed}, and the log beside the keystore has none for this "
                "journal: the keystore was restored from an older copy, or is another one"
            )
        return await foreign_keystore_finding(log, identity, policy)
    found = await journal.event_hash(last.seq)
    if found != last.hash:
        actual = "no such event" if found is None else "another event there"
        return (
            f"the log beside the keystore ends with event {last.seq} of the journal (signed at {last.at}), and the "
            f"journal has {actual}: the database was restored from an older backup"
        )
    if mine is not None and mine > last.seq:
        return (
            f"the journal has a signature of this keystore at event {mine}, and the log beside the keystore ends with "
            f"event {last.seq}: the keystore was restored from an older copy"
        )
    return None


async def foreign_keystore_finding(log: SigningLog, identity: str | None, policy: KeyPolicy) -> str | None:
    """Why keys that have signed for another journal may not sign for one that has no signature, or None. ``identity``:
    that journal's; None where it is not there yet. Reads only."""
    # Without this one: another process may just be writing its first line, or was killed before that.
    others = await asyncio.to_thread(log.journals) - {identity}
    if not others or policy.new_journal != "refuse":
        return None
    this = "this one" if identity is None else f"this one ({identity})"
    return (
        f"the keystore has signed for another journal ({', '.join(sorted(others)[:3])}), and {this} has no signature: "
        "expected the journal that belongs to the keystore (policy keys.new_journal)"
    )


async def note_decisions(journal: Journal, log: SigningLog) -> None:
    """SIDE EFFECTS: a line in the log beside the keystore for the last decision of people that this process has seen (a
    stop, say), and one for the last change if that came later: an older database that lacks one is recognised, and
    whether people's word was lost with it. Call behind ``restore_finding`` only."""
    journaled, identity = await journal.read(DECISIONS_STREAM), await journal.identity()
    last = await asyncio.to_thread(log.last, identity)
    epoch = last.epoch if last is not None else 0
    fresh = [item for item in journaled if last is None or item.seq > last.seq]
    decided = [item for item in fresh if is_decision(item.event)]
    for item in (*decided[-1:], *fresh[-1:]):  # one that is both has one line: what is there already is not noted again
        purpose = "decision" if is_decision(item.event) else "change"
        await asyncio.to_thread(log.note, identity, LogEntry.of(item, epoch, purpose=purpose))


def is_decision(event: Event) -> bool:
    """False for a ruleset that took and asks for no approval, which any process may replace, and for a change of a key
    that took none and takes no key out of use. True for all else."""
    match event:
        case o.RulesetAdopted():
            return event.request is not None or _asks(event.document)
        case o.KeyChanged():
            return event.request is not None or event.disabled
        case _:
            return True


def _asks(document: str) -> bool:
    try:
        approvals = Ruleset.model_validate_json(document).policy.approvals
    except ValueError:  # of a newer release
        return True
    return any(getattr(approvals, subject) for subject in ROLE_FOR)
