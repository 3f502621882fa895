"""Signs the fetched challenge with the customer's key, if everything allows it.

    ruleset → restore guard → stop → policy → limits and the one live signature (the intent, one transaction) → log
    beside the keystore → key → the signature recovers to the key's address → journal

No key is touched before the intent is committed and logged. What a kill leaves is an intent without a signature: the
same challenge is then signed again, or lapses. A signature that is made after a stop was called is dropped unseen.
"""

from __future__ import annotations

import asyncio

from orchestrator import eip191
from orchestrator.authorization.gate import append_as_seen, count_limits, read_oversight, stop_wait
from orchestrator.authorization.permission import (
    bound_wallets,
    decision_on,
    key_policy_for,
    require_enabled,
    require_in_force,
)
from orchestrator.authorization.restore_guard import note_decisions, restore_finding
from orchestrator.challenge.decode import Challenge
from orchestrator.challenge.policy import Decision
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import Action, Halt
from orchestrator.lifecycle.fold import PURPOSE
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Oversight
from orchestrator.models import ChainAccount
from orchestrator.policy import Ruleset
from orchestrator.ports.signers import KeyInfo, LogEntry
from orchestrator.session import AccountSession
from orchestrator.steps.observe import owner_of


async def sign(session: AccountSession) -> Action | None:
    """SIDE EFFECTS: journals the intent, notes it beside the keystore, journals the signature before it goes anywhere.

    Raises KeyUnavailable, SigningError and JournalError (``journal_moved``, ``signing_limit``: passing;
    ``signature_conflict``: another process signs for this account).
    """
    op, services = session.op, session.services
    if op.challenge is None or op.challenge_at is None:
        raise AssertionError("a challenge is fetched before it is signed")
    challenge = Challenge.parse(op.challenge.challenge)
    owner = owner_of(session)
    seen = await read_oversight(services.journal)
    require_in_force(services, seen)
    finding = await restore_finding(
        services.journal, services.signing_log, services.keyring.id, services.ruleset.policy.keys
    )
    if finding is not None:
        return Halt(
            "journal_restored",
            f"{finding}. Nothing is signed before a reconciliation: orchestrator resolve {session.account_id} --retry "
            "reads every account back and takes over what the log knows",
        )
    await note_decisions(services.journal, services.signing_log)
    # Before keys, so that a stop needs none to be there.
    stop = seen.stop_for_address(owner.address, chain=str(owner.chain))
    if stop is not None:
        return stop_wait(stop, session.now(), services.parameters.patience)
    key = await asyncio.to_thread(services.keyring.key_for, owner.address)
    require_enabled(key, seen)
    stop = seen.stop_for_key(key.name, address=key.address, chain=str(owner.chain))
    if stop is not None:
        return stop_wait(stop, session.now(), services.parameters.patience)
    bound = bound_wallets(key, seen, services.ruleset)
    decision = await decision_on(
        session,
        challenge,
        owner,
        bound,
        key_policy_for(key, seen, services.ruleset),
        now=session.now(),
        fetched_at=op.challenge_at,
        intended=op.intended is not None and op.intended.digest == challenge.digest,
    )
    if not decision.allowed:
        return Halt("policy_refused", f"{decision}{_hint(decision, key, owner, services.ruleset)}")
    if owner not in bound or owner not in key.wallets:
        await _bind(session, seen, key, owner, bound)
        return await sign(session)  # what was decided meanwhile counts
    unchanged = {DECISIONS_STREAM: seen.length}
    if op.intended is None or op.intended.digest != challenge.digest:
        intent = e.SigningIntended(
            purpose=PURPOSE[op.kind],
            digest=challenge.digest,
            signer=str(owner),
            key=key.name,
            backend=key.backend,
            keystore=services.keyring.id,
            policy=services.ruleset.hash,
            rule=decision.rule,
            by=services.actor,
        )
        await session.record(intent, unchanged=unchanged, limits=count_limits(services.ruleset, key, services.clock()))
    signature = await asyncio.to_thread(_signature, session, await _entry(session, owner, key), challenge, owner)
    await session.record(
        e.ChallengeSigned(
            purpose=PURPOSE[op.kind],
            digest=challenge.digest,
            signer=str(owner),
            signature="0x" + signature.hex(),
            key=key.name,
            policy=services.ruleset.hash,
        ),
        unchanged=unchanged,
    )
    return None


def _hint(decision: Decision, key: KeyInfo, owner: ChainAccount, ruleset: Ruleset) -> str:
    if decision.rule != "binding":
        return ""
    why = "; only the journal's word on a key counts, and not its file's" if ruleset.policy.approvals.keys > 0 else ""
    return f"{why}. If it may sign for that wallet, type orchestrator keys bind {key.name} --wallet {owner}"


async def _bind(
    session: AccountSession, seen: Oversight, key: KeyInfo, owner: ChainAccount, before: tuple[ChainAccount, ...]
) -> None:
    """The binding of first use. SIDE EFFECTS: journals it unless it is, then writes it to the key's file."""
    services = session.services
    if owner not in before:
        bound = o.KeyChanged(
            action="bound",
            name=key.name,
            address=key.address,
            backend=key.backend,
            wallets=tuple(str(wallet) for wallet in (*before, owner)),
            disabled=False,
            keystore=services.keyring.id,
            by=services.actor,
        )
        await append_as_seen(services, seen, bound)
    await asyncio.to_thread(services.keyring.bind, key.name, owner)


async def _entry(session: AccountSession, owner: ChainAccount, key: KeyInfo) -> tuple[str, LogEntry]:
    """The journal's id and the line for the intent that is journaled."""
    op, journal = session.op, session.services.journal
    if op.intended is None:
        raise AssertionError("an intent is journaled before it is noted")
    recorded = await journal.read(session.account_id)
    intent = next(item for item in reversed(recorded) if item.event == op.intended)
    identity = await journal.identity()
    last = await asyncio.to_thread(session.services.signing_log.last, identity)
    return identity, LogEntry.of(
        intent,
        last.epoch if last is not None else 0,
        purpose=op.intended.purpose,
        account_id=session.account_id,
        digest=op.intended.digest,
        signer=str(owner),
        key=key.name,
    )


def _signature(
    session: AccountSession, entry: tuple[str, LogEntry], challenge: Challenge, owner: ChainAccount
) -> bytes:
    """Blocks: a write to disk, perhaps a key derivation, perhaps a call to another machine."""
    services = session.services
    services.signing_log.note(*entry)
    signature = services.keyring.signer_for(owner.address).sign_message(challenge.decoded)
    eip191.require(challenge.decoded, signature, owner.address)
    return signature
