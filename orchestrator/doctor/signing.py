"""Whether anything keeps this machine from signing: the policy, a stop, a restored backup."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestrator.authorization.restore_guard import foreign_keystore_finding, restore_finding
from orchestrator.connect import make_ruleset
from orchestrator.doctor.check import CheckFailed
from orchestrator.doctor.database import Database
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Oversight, fold_oversight
from orchestrator.settings import Settings
from orchestrator.signers.identity import known_id
from orchestrator.signers.signing_log import FileSigningLog


async def policy(settings: Settings, database: Database) -> str:
    """The policy's file can be read, and is the one in force; who has a say is known."""
    mine = make_ruleset(settings)
    where = settings.policy or "built in"
    seen = await _oversight(database)
    if seen is not None and seen.ruleset is not None and seen.ruleset_hash != mine.hash:
        needed = seen.ruleset.approvals_for(mine)
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
