"""What comes next for an account: one pure function over the folded state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.fold import AccountState
from orchestrator.lifecycle.stages import FOR_A_SIGNATURE, STAGES, Parameters, StageContext, Step
from orchestrator.models import AccountStatus, ChainAccount, OperationKind, WalletState


@dataclass(frozen=True, slots=True)
class Act:
    """Carry out this step now."""

    step: Step


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now: what is waited for, since when, and until when before an operator is asked."""

    waits_for: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Halt:
    """A person must decide; the message shows both sides."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class End:
    """The operation is over."""

    outcome: Literal["done", "failed"]
    code: str | None = None
    message: str | None = None


Action = Act | Wait | Halt | End


def next_action(account_id: str, state: AccountState, now: datetime, parameters: Parameters) -> Action:
    """The next action of the account's current operation.

    ``state`` must hold a fresh observation of platform and chain (the runner reads both back first) and an operation
    that has not ended.
    """
    op = state.operation
    if op is None or op.ended is not None or state.platform is None:
        raise AssertionError("next_action needs an unfinished operation and the platform's word on the account")
    violation = _violation(state)  # first: what the chain no longer shows explains nothing
    if violation is not None:
        return violation
    refused = _refusal(state, op.kind)
    if refused is not None:
        return refused
    disagreement = _disagreement(state)
    if disagreement is not None:
        return disagreement
    context = StageContext(account_id, state, op, now, parameters)
    expired = _expired_approval(context)
    if expired is not None:
        return expired
    for stage in STAGES[op.kind]:
        if stage.holds(context):
            continue
        if stage.step in FOR_A_SIGNATURE and op.refusals >= parameters.refusals:
            return Halt(
                "signature_refused",
                f"the platform refused {op.refusals} signatures in a row (limit {parameters.refusals}); "
                f"the last one: {op.last_refusal}",
            )
        if stage.step in FOR_A_SIGNATURE and op.signed is not None and op.signed.ineffective >= parameters.submissions:
            return Halt(
                "signature_without_effect",
                f"the platform took the signature {op.signed.ineffective} times and said that all was well; each time "
                f"the account was {state.status} as before {parameters.effect.total_seconds() / 60:.0f} minutes later",
            )
        if stage.step is not None:
            return Act(stage.step)
        since = op.touched_at or op.started_at
        until = stage.until(context) if stage.until is not None else _patience_ends(since, now, parameters)
        return _wait(stage.waits_for.replace("ACCOUNT_ID", account_id), since, until, now, state)
    return End("done")


def _patience_ends(since: datetime, now: datetime, parameters: Parameters) -> datetime:
    """A time yet to come means that the clock was set back: how long it has been is unknown, so a person looks."""
    return since + parameters.patience if since <= now + parameters.clock_skew else now


def _wait(waits_for: str, since: datetime, until: datetime, now: datetime, state: AccountState) -> Wait | Halt:
    if now < until:
        return Wait(waits_for, since, until)
    platform = state.status.value if state.status else "unknown"
    chain = state.wallet.state.value if state.wallet else "no wallet"
    return Halt(
        "overdue",
        f"waited since {since:%Y-%m-%dT%H:%M:%SZ} for {waits_for}: "
        f"the platform says {platform}, the chain says {chain}",
    )


def _refusal(state: AccountState, kind: OperationKind) -> Action | None:
    """Operations that the platform's status rules out from the start."""
    status = state.status
    match kind, status:
        case _, AccountStatus.FAILED:
            return End("failed", "account_failed", "the platform failed the account's creation request, finally")
        case OperationKind.CLOSE, AccountStatus.CLOSED if state.deployed is None:
            return Halt(
                "closed_without_contract",
                "the platform says closed, and the chain shows no wallet for this account: there is no contract whose "
                "end could be proven",
            )
        case OperationKind.CLOSE, _:
            return None
        case _, AccountStatus.CLOSED:
            return End("failed", "account_closed", f"cannot {kind} a closed account: closing is final")
        case OperationKind.ACTIVATE, AccountStatus.INACTIVE:
            return End(
                "failed",
                "suspended_use_reactivate",
                "the account was deployed and is suspended: use reactivate, not activate",
            )
        case (
            (OperationKind.DEACTIVATE | OperationKind.REACTIVATE),
            (AccountStatus.INITIATING | AccountStatus.PENDING),
        ):
            return End("failed", "not_active_yet", f"cannot {kind} an account that is {status}: activate it first")
        case _:
            return None


def _expired_approval(context: StageContext) -> Halt | None:
    """A request that nobody granted in its time is not asked again by itself: a person may have meant no."""
    asked = context.state.approvals.get(context.op.approval or "")
    if asked is None or not context.needs_approval or asked.used or context.approval is not None:
        return None
    if context.now < asked.asked.expires_at:
        return None  # its content has changed since: another request is made
    given = len(asked.given)
    return Halt(
        "approval_expired",
        f"the closure was asked for by {asked.asked.by} and had {given} of {asked.asked.needed} approvals when the "
        f"request expired at {asked.asked.expires_at:%Y-%m-%dT%H:%M:%SZ}: resolve --retry asks again, --abandon ends",
    )


def _violation(state: AccountState) -> Halt | None:
    """A final block that has left the canonical chain."""
    block = state.finality_violated
    if block is None:
        return None
    return Halt(
        "finality_violation",
        f"block {block.number} ({block.hash}) was final and has left the canonical chain: what rested on it is "
        "taken back; the node or the chain cannot be trusted until a person has checked them",
    )


def _disagreement(state: AccountState) -> Halt | None:
    """Two sides that must agree and do not."""
    deployed, platform = state.deployed, state.platform
    if platform is not None and platform.owner != state.owner:
        return Halt(
            "owner_changed",
            f"the platform's customer had the wallet {state.owner} when the account was first seen, and has "
            f"{platform.owner} now: nothing is signed with another key",
        )
    if deployed is None or platform is None:
        return None
    if platform.wallet is not None:
        claimed = ChainAccount.parse(platform.wallet)
        if claimed.address != deployed.wallet or str(claimed.chain) != deployed.chain_id:
            return Halt(
                "address_disagreement",
                f"the platform says the wallet is {platform.wallet}, the factory's event on the chain says "
                f"{deployed.chain_id}:{deployed.wallet}",
            )
    halt = _disagreeing_source(state, deployed, ChainAccount.parse(platform.owner).address)
    if halt is not None:
        return halt
    seen = state.wallet.state if state.wallet else None
    if state.closed and seen not in (None, WalletState.CLOSED, WalletState.UNKNOWN):
        return Halt(
            "wallet_reopened",
            f"the wallet {deployed.wallet} was closed on the chain, in a block that was final, and is {seen} now",
        )
    if platform.status is AccountStatus.INITIATING and seen not in (None, WalletState.CREATED, WalletState.UNKNOWN):
        return Halt(
            "status_disagreement",
            f"the platform says {platform.status}, the chain says {seen}",
        )
    return None


_ORDER: Final = ("factory", "implementation", "code", "proxy_code", "address", "owner", "challenge", "admin")
"""Which disagreement is named, where there are several: causes before effects. Another implementation is
other code, and CREATE2 gives another address for other code."""


def _disagreeing_source(state: AccountState, deployed: e.WalletDeployed, owner: str) -> Halt | None:
    """One of the wallet's sources that says something else than the others. ``owner``: the customer's address."""
    wallet, first = deployed.wallet, state.first
    if first is not None and first.wallet != wallet:
        return Halt(
            "address_disagreement", f"the account's wallet was {first.wallet} when first seen, and is {wallet} now"
        )
    closing = state.operation is not None and state.operation.kind is OperationKind.CLOSE
    for said in sorted(deployed.sources, key=lambda said: _ORDER.index(said.check)):
        match said.check:
            case "factory" if not said.value:
                return Halt("wrong_factory_wallet", f"{said.source} knows no wallet {wallet}: it is of another factory")
            case "address" if said.value != wallet:
                message = (
                    f"the wallet followed is {wallet}, {said.source} gives {said.value or 'none'} for this account"
                )
                if said.source == "CREATE2":
                    return Halt("create2_mismatch", message)
                return Halt("address_disagreement", message)
            case "code" | "proxy_code" if not said.value:
                return Halt(
                    "code_mismatch",
                    f"{said.source} at {wallet} (hash {deployed.code_hash}) is none that the profile "
                    f"{deployed.profile} accepts",
                )
            case "owner" if owner not in said.value.split(","):
                return Halt(
                    "owner_disagreement",
                    f"the platform's customer has the wallet {owner}, {said.source} at {wallet} names the owner "
                    f"{said.value or 'nobody'}",
                )
            case "challenge" if state.signed_digests and said.value not in state.signed_digests:
                return Halt(
                    "challenge_disagreement",
                    f"the challenge signed here hashes to {' or '.join(sorted(state.signed_digests))}, "
                    f"{said.source} has {said.value}",
                )
            case "admin" if closing and int(said.value or "0", 16):
                return Halt(
                    "proxy_admin_remains",
                    f"{said.value} may still replace the code of {wallet} ({said.source}): a wallet that is closed "
                    "while somebody can do that can be opened again",
                )
            case "implementation" if first is not None and said.value != first.implementation():
                return Halt(
                    "implementation_changed",
                    f"the wallet {wallet} ran the code of {first.implementation()} when it was first seen, and runs "
                    f"that of {said.value or 'nobody'} now",
                )
    return None
