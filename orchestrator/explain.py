"""What the signing policy says of a challenge, without signing: ``orchestrator policy explain``. Reads only.

It calls the function that decides before a signature (``orchestrator.challenge.decide_all``), with what the journal,
the keystore's folder and the policy's file say now. No key is unlocked, nothing is journaled, and no journal
is made where there is none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from orchestrator.authorization.gate import is_disabled, read_oversight
from orchestrator.authorization.permission import Obstacle, bound_wallets, key_policy_for, obstacles
from orchestrator.challenge import (
    Challenge,
    ChallengeHistory,
    Decision,
    Expectation,
    RuleResult,
    SigningOperation,
    decide,
    decide_all,
    named_accounts,
)
from orchestrator.connect import has_journal, make_keystore, make_platform, make_ruleset, open_journal
from orchestrator.errors import KeyUnavailable, PlatformRefused
from orchestrator.lifecycle.fold import PURPOSE, AccountState, Operation, fold
from orchestrator.lifecycle.oversight_state import Oversight
from orchestrator.lifecycle.stages import Parameters
from orchestrator.models import AccountId, AccountStatus, ChainAccount, to_uuid
from orchestrator.ports.signers import KeyInfo
from orchestrator.runbook import advice_for
from orchestrator.settings import Settings
from orchestrator.signers.signing_log import FileSigningLog, known_id
from orchestrator.steps.challenge import unsigned_of_creation

if TYPE_CHECKING:
    from orchestrator.journal.store import Journal

Purpose = Literal["creation", "deletion"]

UNKNOWN: Final = AccountId("00000000-0000-0000-0000-000000000000")
"""The account of a challenge from elsewhere that nobody named an account for."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision on one challenge, with each rule's part in it."""

    account_id: AccountId | None
    operation: str
    signer: ChainAccount
    challenge: Challenge
    decision: Decision
    rules: tuple[RuleResult, ...]
    policy: str
    """The ruleset's hash."""
    policy_file: str | None
    """None: the built-in policy."""
    in_force: bool | None
    """Whether it is the ruleset that was adopted; None where none was yet."""
    key: KeyInfo | None
    """The key that would sign."""
    bound: bool | None
    """Whether that key is bound to the signer's wallet."""
    obstacles: tuple[Obstacle, ...]

    def document(self) -> dict[str, Any]:
        """The ``--json`` document."""
        decision, key = self.decision, self.key
        return {
            "allowed": decision.allowed,
            "rule": decision.rule,
            "expected": decision.expected,
            "actual": decision.actual,
            "kind": self.challenge.kind.value,
            "digest": self.challenge.digest,
            "policy": self.policy,
            "policyFile": self.policy_file,
            "inForce": self.in_force,
            "operation": self.operation,
            "accountId": self.account_id,
            "signer": str(self.signer),
            "key": None
            if key is None
            else {
                "name": key.name,
                "address": key.address,
                "backend": key.backend,
                "disabled": key.disabled,
                "wallets": [str(wallet) for wallet in key.wallets],
                "bound": self.bound,
            },
            "obstacles": [
                {"code": one.code, "message": one.message, "fix": advice_for(one.code)} for one in self.obstacles
            ],
            "rules": [
                {"name": rule.name, "result": rule.result, "expected": rule.expected, "actual": rule.actual}
                for rule in self.rules
            ],
        }


@dataclass(frozen=True, slots=True)
class _Known:
    """What the journal knows."""

    state: AccountState
    oversight: Oversight
    history: ChallengeHistory
    accounts: frozenset[str]
    """Of those that the challenge names."""


async def explain_offered(settings: Settings, account_id: str, operation: Purpose | None = None) -> Explanation:
    """The challenge of the account that would be signed next, as the journal has it: fetched for an operation that has
    not ended, or in the answer of the account's creation. The platform is not asked for one: that would invalidate it.

    ``operation``: what it is for; None: what is under way or, by the account's status, could come next. Raises
    PlatformRefused (``account_not_found``, ``no_challenge``), and other OrchestratorErrors.
    """
    identifier = AccountId(to_uuid(account_id, "an account's id"))
    async with make_platform(settings) as platform:
        account = await platform.account(identifier)
        owner = (await platform.customer(account.customer_id)).wallet
    status = account.known_status()
    async with _journal(settings) as journal:
        found = None if journal is None else await _unsigned(journal, identifier)
        if found is None:
            raise PlatformRefused(
                f"the journal has no challenge for account {identifier}, which is {status}, that could be signed now; "
                "the platform is not asked for one, because that would invalidate those it has issued: activate and "
                "close ask for theirs",
                status=404,
                code="no_challenge",
            )
        challenge, fetched_at = found
        known = await _known(journal, challenge, identifier)
        purpose = SigningOperation(operation or _purpose(known.state, status))
        return await _explain(settings, challenge, owner, purpose, identifier, known, fetched_at, journal)


async def _unsigned(journal: Journal, account_id: AccountId) -> tuple[Challenge, datetime] | None:
    """The challenge that would be signed next, and since when it is there; None where one would be asked for first."""
    state = fold(await journal.read(account_id))
    op = state.operation
    if op is not None and op.ended is None and op.challenge is not None and op.challenge_at is not None:
        taken = op.signed is not None and op.signed.accepted_at is not None
        return None if taken else (Challenge.parse(op.challenge.challenge), op.challenge_at)
    if state.digests:
        return None
    parameters = Parameters()
    return await unsigned_of_creation(journal, account_id, _now(), parameters.challenge_life, parameters.clock_skew)


async def explain_given(
    settings: Settings, challenge: Challenge, wallet: ChainAccount, operation: Purpose, account_id: str | None = None
) -> Explanation:
    """A challenge from elsewhere, as if it had just been fetched. Asks no platform.

    ``account_id``: the account that it is for; None: the one that the journal knows it of, or any.
    """
    identifier = None if account_id is None else AccountId(to_uuid(account_id, "an account's id"))
    async with _journal(settings) as journal:
        known = await _known(journal, challenge, identifier)
        if identifier is None and known.history.fetched_for is not None:
            identifier = AccountId(known.history.fetched_for[0])
        purpose = SigningOperation(operation)
        return await _explain(settings, challenge, wallet, purpose, identifier, known, _now(), journal)


async def _explain(
    settings: Settings,
    challenge: Challenge,
    owner: ChainAccount,
    operation: SigningOperation,
    account_id: AccountId | None,
    known: _Known,
    fetched_at: datetime,
    journal: Journal | None,
) -> Explanation:
    ruleset, seen = make_ruleset(settings), known.oversight
    key, missing = _key(settings, owner)
    key_policy = ruleset.policy.keys
    if key is not None:
        key_policy = key_policy_for(key, seen, ruleset)
        key = replace(key, disabled=is_disabled(key, seen), wallets=bound_wallets(key, seen, ruleset))
    purpose = (account_id or UNKNOWN, operation.value)
    op = _pending(known.state, operation)
    if op is not None and op.challenge is not None and op.challenge.digest == challenge.digest and op.challenge_at:
        fetched_at = op.challenge_at
    history = known.history
    if history.fetched_for is None:  # it would be journaled as fetched for this, before anything is decided
        history = replace(history, fetched_for=purpose)
    expectation = Expectation(
        account_id=account_id or UNKNOWN,
        operation=operation,
        signer=owner,
        # Without a key there is no binding to judge; that the key is missing is an obstacle.
        wallets=(owner,) if key is None else key.wallets,
        policy=ruleset.policy.challenge,
        key_policy=key_policy,
        allowed_domains=frozenset(ruleset.domains),
        now=max(_now(), fetched_at),
        fetched_at=fetched_at,
        clock_skew=timedelta(seconds=settings.clock_tolerance),
        history=history,
        known_accounts=known.accounts,
        intended=op is not None and op.intended is not None and op.intended.digest == challenge.digest,
    )
    found = await obstacles(
        journal,
        FileSigningLog(settings.keystore),
        known_id(settings.keystore) or "",
        ruleset,
        seen,
        key,
        owner,
        now=expectation.now,
        intended=expectation.intended,
    )
    return Explanation(
        account_id=account_id,
        operation=operation.value,
        signer=owner,
        challenge=challenge,
        decision=decide(challenge, expectation),
        rules=decide_all(challenge, expectation),
        policy=ruleset.hash,
        policy_file=None if settings.policy is None else str(settings.policy),
        in_force=None if seen.ruleset_hash is None else seen.ruleset_hash == ruleset.hash,
        key=key,
        bound=None if key is None else owner in key.wallets,
        obstacles=(*missing, *found),
    )


def _key(settings: Settings, owner: ChainAccount) -> tuple[KeyInfo | None, list[Obstacle]]:
    try:
        return make_keystore(settings).key_for(owner.address), []
    except KeyUnavailable as error:
        return None, [Obstacle(error.code, error.message)]


def _pending(state: AccountState, operation: SigningOperation) -> Operation | None:
    """The operation under way, if it is the one that is asked about."""
    op = state.operation
    if op is None or op.ended is not None or PURPOSE.get(op.kind) != operation.value:
        return None
    return op


def _purpose(state: AccountState, status: AccountStatus) -> Purpose:
    op = state.operation
    if op is not None and op.ended is None and op.kind in PURPOSE:
        return PURPOSE[op.kind]
    return "creation" if status is AccountStatus.INITIATING else "deletion"


async def _known(journal: Journal | None, challenge: Challenge, account_id: AccountId | None) -> _Known:
    if journal is None:
        return _Known(AccountState(), Oversight(), ChallengeHistory(fetched_for=None, signed_for=None), frozenset())
    return _Known(
        AccountState() if account_id is None else fold(await journal.read(account_id)),
        await read_oversight(journal),
        await journal.challenge_history(challenge.digest),
        await journal.known_accounts(named_accounts(challenge)),
    )


@asynccontextmanager
async def _journal(settings: Settings) -> AsyncIterator[Journal | None]:
    """The journal that the settings name, or None where there is none: a read makes none."""
    if not has_journal(settings):
        yield None
        return
    async with await open_journal(settings, create=False) as journal:
        yield journal


async def adopted(settings: Settings) -> str | None:
    """The hash of the ruleset in force, or None where there is no journal or none was adopted yet."""
    async with _journal(settings) as journal:
        return None if journal is None else (await read_oversight(journal)).ruleset_hash


def _now() -> datetime:
    return datetime.now(UTC)
