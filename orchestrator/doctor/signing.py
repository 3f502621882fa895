"""Whether this machine can sign: the customers' keys, the key for requests, the policy, stops, a restored backup."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.authorization.restore_guard import foreign_keystore_finding, restore_finding
from orchestrator.connect import make_ruleset, password_source
from orchestrator.doctor.check import CheckFailed
from orchestrator.doctor.database import Database
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Oversight, fold_oversight
from orchestrator.policy import approvals_to_adopt
from orchestrator.settings import Settings
from orchestrator.signers.signing_log import FileSigningLog, known_id

if TYPE_CHECKING:
    from orchestrator.passwords import PasswordSource
    from orchestrator.ports.signers import KeyInfo

_MOST_UNLOCKED = 8
"""Keys of files that are opened as a trial: each takes most of a second."""


async def keys(settings: Settings) -> str:
    """The keystore can be read, has an enabled key, and opens with the password if one is given; every back end that a
    key lies in answers with the key that its file names. A key that could leave its token is noted."""
    from orchestrator.signers.keyring import Keyring
    from orchestrator.signers.loading import load

    with_password = _has_password(settings)
    keyring = Keyring(settings.keystore, _quiet_password(settings), timeout=min(10.0, settings.request_timeout))
    scan = keyring.scan()
    if scan.unreadable:
        raise scan.unreadable[0]
    enabled = [key for key in scan.keys if not key.disabled]
    if not enabled:
        disabled = f", {len(scan.keys)} disabled" if scan.keys else ""
        raise CheckFailed(
            f"keystore {settings.keystore}: no enabled key{disabled}",
            "Type orchestrator keys create NAME, or orchestrator keys import NAME, for the owner's key.",
        )
    named = settings.certificate_key
    if named is not None and named not in [key.name for key in enabled]:
        raise CheckFailed(
            f"keystore {settings.keystore}: no enabled key {named!r}, which is to sign certificates",
            f"Type orchestrator keys create {named}, or change ORCHESTRATOR_CERTIFICATE_KEY.",
        )

    def wanted(key: KeyInfo) -> bool:
        return with_password or key.uri is not None

    try:
        loaded = await asyncio.to_thread(load, keyring, most=_MOST_UNLOCKED, wanted=wanted)
        weak = [await asyncio.to_thread(keyring.weakness, name) for name in loaded.opened]
    finally:
        await asyncio.to_thread(keyring.close)
    # A token whose PIN a person is to type is not opened here, and is no trouble.
    asked = [name for name, error in loaded.failed if error.code == "password_missing" and not with_password]
    troubles = [error for name, error in loaded.failed if name not in asked]
    if troubles:
        raise troubles[0]
    found = f"{len(enabled)} of {len(scan.keys)} enabled in {settings.keystore}"
    elsewhere = [key for key in enabled if key.uri is not None]
    if not with_password and not elsewhere:
        return f"{found}; not opened, as no password is set (a terminal is asked)"
    answered = len(set(loaded.opened) & {key.name for key in elsewhere})
    parts = [f"{len(loaded.opened) - answered} opened with the password"] if with_password else []
    parts += [f"{answered} of {len(elsewhere)} answered by their back ends"] if elsewhere else []
    return "; ".join([found, ", ".join(parts), *(f"note: {sentence}" for sentence in weak if sentence)])


async def request_key(settings: Settings) -> str:
    """The key that signs requests exists and opens, and no change of it is unfinished."""
    from orchestrator.request_signing.key_folder import RequestKeyFolder

    files = RequestKeyFolder(settings.keystore, _quiet_password(settings))
    found = await asyncio.to_thread(files.list)
    pending = next((file for file in found if file.state in ("uploading", "revoking") or file.replaces), None)
    if pending is not None:
        word = "revoke" if pending.state == "revoking" else "upload"
        raise CheckFailed(
            f"request-signing key {pending.name!r}: its {word} was begun at {pending.changed_at} and is not settled",
            f"Type orchestrator keys request {word} {pending.name}, which completes it.",
        )
    current = next((file for file in found if file.state == "current"), None)
    if settings.signing_key is not None and settings.signing_key_id:
        if current is not None:
            raise CheckFailed(
                f"the settings name a request-signing key of their own, and {current.name!r}, uploaded at "
                f"{current.changed_at}, took its place",
                "Unset ORCHESTRATOR_SIGNING_KEY (or _FILE) and ORCHESTRATOR_SIGNING_KEY_ID.",
            )
        return "the settings have a key of their own; orchestrator keys request makes one that can be rotated"
    if current is None:
        raise CheckFailed(
            f"no request-signing key: the settings have none, and none in {files.path} was uploaded",
            "Type orchestrator keys request create NAME, then orchestrator keys request upload NAME.",
        )
    detail = f"{current.name!r}, the platform's since {current.changed_at}, id {current.key_id}"
    if not _has_password(settings):
        return f"{detail}; not opened, as no password is set (a terminal is asked)"
    await asyncio.to_thread(files.current)
    return f"{detail}; opened with the password"


def _has_password(settings: Settings) -> bool:
    return settings.keystore_password is not None or settings.keystore_password_file is not None


def _quiet_password(settings: Settings) -> PasswordSource:
    """Without a prompt: a check asks nobody."""
    from orchestrator.passwords import NoPassword

    return password_source(settings) if _has_password(settings) else NoPassword()


async def policy(settings: Settings, database: Database) -> str:
    """The policy's file can be read, and is the one in force; who has a say is known."""
    mine = make_ruleset(settings)
    where = settings.policy or "built in"
    seen = await _oversight(database)
    before = None if seen is None else seen.ruleset
    needed = 0 if seen is not None and seen.ruleset_hash == mine.hash else approvals_to_adopt(before, mine)
    if before is None and needed:
        raise CheckFailed(
            f"{where}: session keys are signed only once a person has approved this policy",
            f"{needed} to approve it: any operation asks for that, and orchestrator approve shows what waits.",
        )
    if seen is not None and seen.ruleset is not None and seen.ruleset_hash != mine.hash:
        changed = " and ".join(sorted(seen.ruleset.changes(mine)))
        if needed:
            raise CheckFailed(
                f"{where}: changes {changed} of the ruleset in force ({(seen.ruleset_hash or '')[:12]}), not approved",
                f"{needed} to approve it: any operation asks for that, and orchestrator approve shows what waits.",
            )
        return f"{where}: ruleset {mine.hash[:12]}, takes effect with the next operation (changes {changed})"
    people = mine.policy.people
    who = f"{len(people)} people" if people else "no people: closures and changes need no second person"
    return f"{where}: ruleset {mine.hash[:12]}, {who}"


async def signing(settings: Settings, database: Database) -> str:
    """No emergency stop holds, and neither the journal nor the keystore is older than what was signed. It is noted that
    the keystore has signed for another journal too: what holds here does not hold there."""
    seen, journal = await _oversight(database), await database.journal()
    log, keys = FileSigningLog(settings.keystore), make_ruleset(settings).policy.keys
    if seen is None or journal is None:
        _require_whole(await foreign_keystore_finding(log, None, keys))
        return "; ".join(("nothing has been signed yet", *_other_journals(log, None)))
    if seen.stops:
        stop = seen.stops[0]
        raise CheckFailed(
            f"stopped ({', '.join(stop.scope for stop in seen.stops)}) since {stop.since:%Y-%m-%dT%H:%M:%SZ} by "
            f"{stop.by}: {stop.reason}",
            "Two people end a stop, each with orchestrator resume-signing.",
        )
    _require_whole(await restore_finding(journal, log, known_id(settings.keystore) or "", keys))
    now = datetime.now(UTC)
    asker = (seen.ruleset or make_ruleset(settings)).policy.approvals.asker
    waiting = sum(approval.is_live(now) and not approval.is_granted(now, asker) for approval in seen.approvals.values())
    requests = "1 request waits" if waiting == 1 else f"{waiting} requests wait"
    asked = f"; {requests} for approval (orchestrator approve)" if waiting else ""
    finding = f"allowed; journal, keystore and log belong together{asked}"
    return "; ".join((finding, *_other_journals(log, await journal.identity())))


def _require_whole(finding: str | None) -> None:
    if finding is not None:
        raise CheckFailed(
            finding,
            "Put the newest database and keystore back; if there are none newer, start an operation and then type "
            "orchestrator resolve ACCOUNT_ID --retry --reason TEXT.",
        )


def _other_journals(log: FileSigningLog, identity: str | None) -> list[str]:
    """A note, if the keystore has signed for other journals than this one (``identity``; None: there is none yet)."""
    lasts = {other: log.last(other) for other in sorted(log.journals() - {identity})}
    others = [f"{other} (last at {last.at})" for other, last in lasts.items() if last is not None]
    if not others:
        return []
    note = f"note: this keystore has also signed for another journal: {', '.join(others)}"
    return [note, "if that is none of yours, somebody signs past the stops, approvals and limits of this one"]


async def _oversight(database: Database) -> Oversight | None:
    journal = await database.journal()
    return None if journal is None else fold_oversight(await journal.read(DECISIONS_STREAM))
