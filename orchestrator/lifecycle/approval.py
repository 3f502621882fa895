"""What a second person approves of a closure: the exact matter, folded from the account's own events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrator.lifecycle.fold import AccountState, Operation
from orchestrator.lifecycle.oversight import Approval, content_hash, find_request


def closure_content(account_id: str, state: AccountState, op: Operation) -> dict[str, Any]:
    """Which account and wallet end, whose they are, and what preflight found left: all that closing would end.

    Another wallet, owner or preflight is another matter, and so is another closure of the same account, after one that
    failed or was abandoned: each takes its own approval. ``left`` is None where the platform has closed already.
    """
    platform, deployed, preflight = state.platform, state.deployed, op.preflight
    if platform is None:
        raise AssertionError("the platform is read before a closure's approval is asked for")
    left = {"wei": preflight.wei, "tokens": preflight.tokens, "cards": preflight.cards} if preflight else None
    return {
        "operation": op.kind.value,
        "accountId": account_id,
        "customerId": platform.customer_id,
        "owner": platform.owner,
        "wallet": f"{deployed.chain_id}:{deployed.wallet}" if deployed is not None else None,
        "left": left,
        "startedAt": op.started_at.isoformat(),
    }


def closure_approval(
    account_id: str, state: AccountState, op: Operation, needed: int, now: datetime
) -> Approval | None:
    """The live request for exactly this closure, granted or not; None before it is asked for."""
    if state.platform is None:
        return None
    matter = content_hash(closure_content(account_id, state, op))
    return find_request(state.approvals.values(), "closure", matter, needed, now)
