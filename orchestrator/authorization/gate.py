"""What people have decided, asked before anything is signed: the ruleset in force, approvals, stops, keys out of use.

Every check reads the journal's stream ``signing`` once, and what is then recorded is recorded only if that stream has
not grown meanwhile (``unchanged``): a stop or a new ruleset, whichever process it comes from, takes effect with the
next event and not with the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import rfc8785

from orchestrator import eip191
from orchestrator.errors import Disposition, JournalError, KeyUnavailable, SettingsError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import Wait
from orchestrator.lifecycle.oversight_state import (
    DECISIONS_STREAM,
    Approval,
    Oversight,
    Stop,
    content_hash,
    fold_oversight,
)
from orchestrator.lifecycle.person_signatures import approvals_needed, supporters
from orchestrator.lifecycle.recorded import Event
from orchestrator.people import approval_request_by
from orchestrator.policy import Change, Role, Ruleset, approvals_to_adopt
from orchestrator.ports.journal import CountLimit, Journal
from orchestrator.ports.signers import KeyInfo
from orchestrator.session import Services

_TURN = timedelta(minutes=10)
"""How long a process waits before it re-adopts its own ruleset after another process replaced it."""


async def read_oversight(journal: Journal) -> Oversight:
    """What people have decided so far: what the stream ``signing`` says now."""
    return fold_oversight(await journal.read(DECISIONS_STREAM))


async def reading_in_force(services: Services) -> tuple[int, bool]:
    """Confirmations by the ruleset in force (by the settings before any was adopted), and whether this process reads
    wallets by the profile of that ruleset. Reads only."""
    seen = await read_oversight(services.journal)
    ruleset = seen.ruleset or services.ruleset
    return ruleset.confirmations, ruleset.wallets == services.ruleset.wallets


async def adopt_ruleset_or_wait(services: Services) -> Wait | None:
    """None if the ruleset of this process' settings is the one in force; else what is waited for.

    SIDE EFFECTS: adopts the ruleset where nobody is asked about the change (``approvals_to_adopt``); else journals one
    request for its approval, or, once that is granted, the adoption. Raises JournalError, and as ``people.identify``
    where the person who runs this process cannot be proven to be one of the people in force.
    """
    seen, mine, now = await read_oversight(services.journal), services.ruleset, services.clock()
    if seen.ruleset_hash == mine.hash:
        services.adopted.add(mine.hash)
        return None
    if seen.ruleset_hash is not None and seen.ruleset is None:
        raise SettingsError(
            f"the ruleset in force ({seen.ruleset_hash[:12]}) is of a newer release: install that; nothing was done",
            code="ruleset_newer",
        )
    turn = (seen.ruleset_at or now) + _TURN
    if seen.ruleset_hash is not None and mine.hash in services.adopted and now < turn:
        return Wait(
            f"another process to end, or to be started with the same settings: it has put ruleset "
            f"{(seen.ruleset_hash or '')[:12]} in force, this one works under {mine.hash[:12]}",
            seen.ruleset_at or now,
            turn,
        )
    needed = approvals_to_adopt(seen.ruleset, mine)
    adopted = o.RulesetAdopted(ruleset=mine.hash, document=rfc8785.dumps(mine.document).decode(), by=services.actor)
    if needed == 0:
        await append_as_seen(services, seen, adopted)
        services.adopted.add(mine.hash)
        return None
    content, policy = change_of(seen.ruleset_hash, seen.ruleset, mine), (seen.ruleset or mine).policy
    found = seen.request_for("ruleset", content_hash(content), needed, now)
    if found is None:
        asked = await asyncio.to_thread(
            approval_request_by,
            "ruleset",
            Role.ADMINISTRATOR,
            content,
            needed=needed,
            by=services.actor,
            signatory=services.signatory,
            people=policy.people,
            journal_id=await services.journal.identity(),
            now=now,
            expires_at=now + timedelta(seconds=policy.approvals.expires),
        )
        await append_as_seen(services, seen, asked)
        found = Approval(asked, now)
    approved, takes = await count_approvals(services, seen, found)
    if approved >= takes and found.is_live(services.clock()):
        used = adopted.model_copy(update={"request": found.asked.request})
        await append_as_seen(services, seen, used, o.ApprovalUsed(request=found.asked.request))
        services.adopted.add(mine.hash)
        return None
    return change_wait(found, takes, content)


def change_of(before_hash: str | None, before: Ruleset | None, after: Ruleset) -> dict[str, Any]:
    """The content that people approve before another ruleset comes into force, or the first one."""
    changes = sorted(before.changes(after)) if before is not None else [Change.POLICY]
    return {"from": before_hash, "to": after.hash, "changes": changes, "document": after.document}


def change_wait(asked: Approval, takes: int, change: Mapping[str, Any]) -> Wait:
    """The wait for the people whom a change of the ruleset takes."""
    people = "one person" if takes == 1 else f"{takes} people"
    return Wait(
        f"{people} to approve the change of {' and '.join(change['changes'])} (orchestrator approve "
        f"{asked.asked.request[:12]}); until then nothing is done under it",
        asked.at,
        asked.asked.expires_at,
    )


def stop_wait(stop: Stop, now: datetime, patience: timedelta) -> Wait:
    """The wait that an emergency stop is."""
    scope = "all signing" if stop.scope == "all" else f"signing of {stop.scope}"
    return Wait(
        f"{scope} to resume: stopped by {stop.by} ({stop.reason}); two people end that (orchestrator resume-signing)",
        stop.since,
        now + patience,
    )


async def count_approvals(services: Services, seen: Oversight, approval: Approval) -> tuple[int, int]:
    """How many people have approved a request, and how many must: by signatures, and not by what the events say. Reads
    only."""
    policy, journal_id = (seen.ruleset or services.ruleset).policy, await services.journal.identity()
    said = supporters(approval, policy.people, journal_id, eip191.recover)
    return len(said), approvals_needed(approval.asked, policy, journal_id, eip191.recover)


async def certificate_wait(services: Services, chain: str) -> Wait | None:
    """None if the certificate's key may sign for this chain (CAIP-2) now; else the wait that a stop is. Reads only.

    Raises JournalError ``journal_damaged``, and KeyUnavailable: ``key_disabled`` where the journal's last word on the
    key is that it is out of use, and where the key is not there.
    """
    name = services.certifier.key
    if name is None:
        return None
    await services.journal.require_whole()
    seen = await read_oversight(services.journal)
    stop = seen.stop_for_key(name, address=None, chain=chain)  # before the key, so that a stop needs none to be there
    if stop is not None:
        return stop_wait(stop, services.clock(), services.parameters.patience)
    last = seen.keys.get(name)
    if last is not None and last.disabled:
        raise KeyUnavailable(
            f"key {name!r}, which is to sign certificates, was disabled by {last.by}: orchestrator keys enable {name}",
            code="key_disabled",
        )
    address = await asyncio.to_thread(services.certifier.address)
    stop = seen.stop_for_key(name, address=address, chain=chain)
    if stop is not None:
        return stop_wait(stop, services.clock(), services.parameters.patience)
    if address in seen.out_of_use:
        raise KeyUnavailable(
            f"key {name!r}, which is to sign certificates, has address {address}, and that is disabled",
            code="key_disabled",
        )
    return None


def is_disabled(key: KeyInfo, seen: Oversight) -> bool:
    """By its file or by the journal's last word on its address: neither a keystore from an older backup nor a copy of
    the file under another name puts a key back into use."""
    return key.disabled or key.address in seen.out_of_use


def count_limits(ruleset: Ruleset, key: KeyInfo, now: datetime) -> tuple[CountLimit, ...]:
    """The policy's limits at this moment, for a signature by this key."""
    whose = {"key": f"key {key.name}", "all": "all keys"}
    return tuple(
        CountLimit(
            key=key.name if limit.per == "key" else None,
            address=key.address if limit.per == "key" else None,
            since=now - timedelta(seconds=limit.seconds),
            most=limit.signatures,
            text=f"{limit.signatures} signatures in {limit.seconds} s by {whose[limit.per]}",
        )
        for limit in ruleset.policy.limits
    )


async def append_as_seen(services: Services, seen: Oversight, *new: Event) -> None:
    """SIDE EFFECTS: appends to the stream ``signing``, if it is still as it was seen.

    Raises JournalError ``journal_moved`` (retry) where it has grown meanwhile.
    """
    try:
        await services.journal.append(DECISIONS_STREAM, list(new), after=seen.length, at=services.clock())
    except JournalError as error:
        if error.code != "journal_conflict":
            raise
        raise JournalError(error.message, code="journal_moved", disposition=Disposition.RETRY) from error
