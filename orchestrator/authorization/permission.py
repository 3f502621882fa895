"""Decides whether a finished signature may be sent: once before the request's intent is journaled, and again, by the
decisions then in force, before every send.

    in flight (a stop that is written from here on waits) → ruleset → stop → key enabled → policy → the request's bytes

``obstacles`` asks the same and does nothing: it lists all that stands in the way besides the policy's rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from orchestrator.authorization.gate import count_limits, is_disabled, read_oversight, stop_wait
from orchestrator.authorization.restore_guard import foreign_keystore_finding, restore_finding
from orchestrator.challenge.account_mentions import named_accounts
from orchestrator.challenge.decode import Challenge
from orchestrator.challenge.policy import Decision, Expectation, SigningOperation, decide
from orchestrator.errors import Disposition, JournalError, KeyUnavailable
from orchestrator.lifecycle.decide import Halt, Wait
from orchestrator.lifecycle.fold import PURPOSE, Signed
from orchestrator.lifecycle.oversight_state import Oversight
from orchestrator.models import ChainAccount
from orchestrator.policy import KeyPolicy, Ruleset
from orchestrator.ports.journal import Journal
from orchestrator.ports.signers import KeyInfo, SigningLog
from orchestrator.session import AccountSession, Services


@asynccontextmanager
async def holding_permission_to_send(session: AccountSession) -> AsyncIterator[None]:
    """Hold this while the live signature is sent once: ``stop-signing`` called meanwhile returns only after this block
    ends.

    Raises JournalError ``journal_moved`` where it may not be sent any more, and as ``reason_not_to_send``: nothing is
    sent then.
    """
    async with session.services.journal.in_flight():
        found = await reason_not_to_send(session, await read_oversight(session.services.journal))
        if found is not None:
            reason = found.waits_for if isinstance(found, Wait) else found.message
            raise JournalError(
                f"decided meanwhile, so the signature is not sent: {reason}",
                code="journal_moved",
                disposition=Disposition.RETRY,
            )
        yield


async def reason_not_to_send(session: AccountSession, seen: Oversight) -> Wait | Halt | None:
    """What keeps the live signature from being sent, or None. Reads only.

    The policy's times are those of when it was signed: a signature does not become forbidden by waiting.

    Raises JournalError ``journal_moved`` where another ruleset came into force, and KeyUnavailable: ``key_disabled``,
    and where the keystore cannot be read (a key that is not in it may be another machine's).
    """
    op, services = session.op, session.services
    if op.signed is None or op.challenge is None or op.challenge_at is None:
        raise AssertionError("a signature is made before it is submitted")
    require_in_force(services, seen)
    signer = ChainAccount.parse(op.signed.signer)
    # Before keys, so that a stop needs none to be there.
    stop = seen.stop_for_key(op.signed.key_name, address=signer.address, chain=str(signer.chain))
    if stop is not None:
        return stop_wait(stop, session.now(), services.parameters.patience)
    key = await asyncio.to_thread(_signed_by, services, op.signed, signer)
    require_enabled(key, seen)
    decision = await decision_on(
        session,
        Challenge.parse(op.challenge.challenge),
        signer,
        bound_wallets(key, seen, services.ruleset),
        key_policy_for(key, seen, services.ruleset),
        now=op.signed.at,
        fetched_at=min(op.challenge_at, op.signed.at),
        intended=True,
    )
    if not decision.allowed:
        return Halt("policy_refused", f"signed before, and not to be sent under the policy of now: {decision}")
    return None


def require_in_force(services: Services, seen: Oversight) -> None:
    """Raises JournalError ``journal_moved`` (retry) unless the ruleset of this process is in force."""
    if seen.ruleset_hash != services.ruleset.hash:
        raise JournalError(
            "another ruleset came into force meanwhile: it is read first",
            code="journal_moved",
            disposition=Disposition.RETRY,
        )


def require_enabled(key: KeyInfo, seen: Oversight) -> None:
    """Raises KeyUnavailable ``key_disabled``."""
    if is_disabled(key, seen):
        raise KeyUnavailable(
            f"key {key.name!r} with address {key.address} is disabled: "
            f"type orchestrator keys enable {key.name} if it may sign again",
            code="key_disabled",
        )


def bound_wallets(key: KeyInfo, seen: Oversight, ruleset: Ruleset | None) -> tuple[ChainAccount, ...]:
    """The wallets that the key may sign for under the ruleset in force (None: none is).

    If key changes need approval, only the journal's bindings count: editing the key's file binds nothing. Otherwise
    both count.
    """
    last = seen.key_changes.get((key.name, key.address))
    journaled = () if last is None else tuple(map(ChainAccount.parse, last.wallets))
    if ruleset is not None and ruleset.policy.approvals.keys > 0:
        return journaled
    return tuple(dict.fromkeys((*key.wallets, *journaled)))  # a kill between the two leaves the journal's


def key_policy_for(key: KeyInfo, seen: Oversight, ruleset: Ruleset) -> KeyPolicy:
    """The ruleset's ``keys`` as they hold for this key: where changes of keys take approval, the first use binds no key
    that the journal has not heard of, since nobody has approved that it is there."""
    policy = ruleset.policy.keys
    if ruleset.policy.approvals.keys == 0 or (key.name, key.address) in seen.key_changes:
        return policy
    return policy.model_copy(update={"binding": "required"})


async def decision_on(
    session: AccountSession,
    challenge: Challenge,
    owner: ChainAccount,
    wallets: tuple[ChainAccount, ...],
    key_policy: KeyPolicy,
    *,
    now: datetime,
    fetched_at: datetime,
    intended: bool,
) -> Decision:
    """What the policy says of the operation's challenge. ``intended``: whether its signature is in the journal already,
    as an intent or made. Reads only."""
    op, services = session.op, session.services
    return decide(
        challenge,
        Expectation(
            account_id=session.account_id,
            operation=SigningOperation(PURPOSE[op.kind]),
            signer=owner,
            wallets=wallets,
            policy=services.ruleset.policy.challenge,
            key_policy=key_policy,
            allowed_domains=frozenset(services.ruleset.domains),
            now=now,
            fetched_at=fetched_at,
            clock_skew=services.parameters.clock_skew,
            history=await services.journal.challenge_history(challenge.digest),
            known_accounts=await services.journal.known_accounts(named_accounts(challenge)),
            intended=intended,
        ),
    )


def _signed_by(services: Services, signed: Signed, signer: ChainAccount) -> KeyInfo:
    """The key that made the signature, under the name that it had then. Blocks."""
    try:
        key = services.keyring.key_for(signer.address)
    except KeyUnavailable as error:
        if error.code != "key_not_found":
            raise
        key = KeyInfo(name="", address=signer.address, backend="", disabled=False)
    return replace(key, name=signed.key_name or key.name)


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
