"""A second person's approval of a closure: asked for, and taken."""

from __future__ import annotations

import asyncio

from orchestrator.authorization.gate import count_approvals, read_oversight
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import Action, Wait
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.lifecycle.stages import closure_approval, closure_content
from orchestrator.people import approval_request_by
from orchestrator.policy.document import ROLE_FOR
from orchestrator.session import AccountSession


async def ask_approval(session: AccountSession) -> Action | None:
    """SIDE EFFECTS: journals the request, bound to the hash of what preflight found. Asked once: it is a wait then.

    Raises as ``people.identify`` where the person who runs this process cannot be proven to be one of the policy's.
    """
    op, services, now = session.op, session.services, session.now()
    asked = await asyncio.to_thread(
        approval_request_by,
        "closure",
        ROLE_FOR["closure"],
        closure_content(session.account_id, session.state, op),
        needed=services.parameters.closure_approvals,
        by=op.by or services.actor,
        signatory=services.signatory,
        people=services.ruleset.policy.people,
        journal_id=await services.journal.identity(),
        now=now,
        expires_at=now + services.parameters.approval_life,
    )
    await session.record(asked)
    return None


async def take_approval(session: AccountSession) -> Action | None:
    """SIDE EFFECTS: journals the approval as used, for this operation and no other, if the signatures show it."""
    needed = session.services.parameters.closure_approvals
    approval = closure_approval(session.account_id, session.state, session.op, needed, session.now())
    if approval is None:
        raise AssertionError("an approval is granted before it is taken")
    seen = await read_oversight(session.services.journal)
    approved, takes = await count_approvals(session.services, seen, approval)
    if approved < takes or not approval.is_live(session.now()):
        # A person who has left since, or somebody who wrote to the database: either way it is no approval.
        return Wait(
            f"a second person's approval (orchestrator approve {session.account_id}): of {len(approval.given)} in the "
            f"journal, fewer than {takes} hold by their signatures under the ruleset in force",
            approval.at,
            approval.asked.expires_at,
        )
    await session.record(o.ApprovalUsed(request=approval.asked.request), unchanged={DECISIONS_STREAM: seen.length})
    return None
