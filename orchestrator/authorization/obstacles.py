"""What besides the policy's rules keeps a challenge from being signed now: asked as ``steps.sign`` asks it, and nothing
is done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.authorization.gate import count_limits, is_disabled
from orchestrator.authorization.restore_guard import foreign_keystore_finding, restore_finding
from orchestrator.errors import JournalError
from orchestrator.lifecycle.oversight_state import Oversight
from orchestrator.models import ChainAccount
from orchestrator.policy import Ruleset
from orchestrator.ports.journal import Journal
from orchestrator.ports.signers import KeyInfo, SigningLog


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something besides the policy's rules that keeps the challenge from being signed now."""

    code: str
    message: str


async def obstacles(
    journal: Journal | None,
    log: SigningLog,
    keystore: str,
    ruleset: Ruleset,
    seen: Oversight,
    key: KeyInfo | None,
    owner: ChainAccount,
    *,
    now: datetime,
    intended: bool,
) -> list[Obstacle]:
    """All that would keep ``key`` (None: there is none) from a signature for ``owner``. Reads only.

    ``journal``: None where there is none yet. ``keystore``: its id, empty where it has none yet. ``intended``: the
    signature is intended already, and counted. Raises KeyUnavailable and JournalError where something cannot be read.
    """
    found: list[Obstacle] = []
    if key is not None and is_disabled(key, seen):
        found.append(Obstacle("key_disabled", f"key {key.name} is disabled"))
    stop = seen.stop_for_key(None if key is None else key.name, address=owner.address, chain=str(owner.chain))
    if stop is not None:
        found.append(
            Obstacle("signing_stopped", f"signing is stopped ({stop.scope}) by {stop.by}: {stop.reason or 'no reason'}")
        )
    if seen.ruleset_hash is not None and seen.ruleset_hash != ruleset.hash:
        found.append(
            Obstacle(
                "ruleset_not_adopted",
                f"the ruleset in force is {seen.ruleset_hash}, and these settings and this policy are {ruleset.hash}: "
                "the change is to be adopted first",
            )
        )
    policy = ruleset.policy.keys
    older = (
        await foreign_keystore_finding(log, None, policy)
        if journal is None
        else await restore_finding(journal, log, keystore, policy)
    )
    if older is not None:
        found.append(Obstacle("journal_restored", older))
    if journal is not None and key is not None and not intended:
        for limit in count_limits(ruleset, key, now):
            try:
                await journal.require_room((limit,), now)
            except JournalError as error:
                if error.code != "signing_limit":
                    raise
                found.append(Obstacle(error.code, error.message))
    return found
