"""Approvals: who asks, who approves, and whether what was asked for may be done.

A request is bound to the hash of its exact content, expires, and is good for one use. Whoever approves signs a text
that shows the content; the signature is kept, and verified again when the approval is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from orchestrator import eip191
from orchestrator.authorization.gate import read_oversight
from orchestrator.errors import PolicyRefused
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Approval, Oversight, content_hash
from orchestrator.lifecycle.person_signatures import approval_text, is_asker
from orchestrator.lifecycle.recorded import Event
from orchestrator.oversight.records import Clock, in_force, record
from orchestrator.oversight.requests import ApprovalRequest, evaluated, fold_requests, require_live
from orchestrator.people import ANONYMOUS, Proof, Signatory, approval_request_by, identify
from orchestrator.policy import Person, Role, Ruleset
from orchestrator.ports.journal import Journal, retry_on_conflict

Subject = Literal["closure", "ruleset", "keys"]


@dataclass(frozen=True, slots=True)
class Granted:
    """It may be done now. ``request``: the approval to record as used, in one append with what was done; None where
    none is needed."""

    request: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """It waits for approvals. ``request`` is live, and was made now or before."""

    request: ApprovalRequest

    @property
    def text(self) -> str:
        asked = self.request.approval.asked
        left = self.request.needed - len(self.request.by)
        who = "another person" if left == 1 else f"{left} other people"
        return f"the approval of {who} with the role {asked.role}: orchestrator approve {asked.request[:12]}"


# --- asking ---------------------------------------------------------------------------------------------------------


async def authorise(
    journal: Journal,
    *,
    subject: Subject,
    role: Role,
    content: Mapping[str, Any],
    needed: int,
    by: str,
    settings: Ruleset,
    clock: Clock,
    signatory: Signatory = ANONYMOUS,
) -> Granted | Waiting:
    """Whether exactly this may be done now, by the stream ``signing``. If not, it is asked for, once: every process
    finds a live request of the same content.

    ``needed``: people besides the one who asks, by the ruleset in force. ``by``: who runs the process. ``signatory``:
    the person who asks, if she can prove it; then she cannot approve. Raises as ``people.identify``. SIDE EFFECTS:
    appends ApprovalRequested if there is no live request.
    """
    if needed <= 0:
        return Granted(None)
    journal_id = await journal.identity()
    digest = content_hash(dict(content))

    def live(oversight: Oversight, now: datetime) -> ApprovalRequest | None:
        policy = in_force(oversight, settings).policy
        found = [
            evaluated(DECISIONS_STREAM, approval, policy, journal_id)
            for approval in oversight.approvals.values()
            # One that asked for fewer people, or for others, was made under another ruleset.
            if approval.is_about(subject, digest, needed) and approval.asked.role == role and approval.is_live(now)
        ]
        return max(found, key=lambda request: (request.is_granted, request.approval.at), default=None)

    def decide(oversight: Oversight, now: datetime) -> Sequence[Event]:
        if live(oversight, now) is not None:
            return ()
        policy = in_force(oversight, settings).policy
        asked = approval_request_by(
            subject,
            role,
            dict(content),
            needed=needed,
            by=by,
            signatory=signatory,
            people=policy.people,
            journal_id=journal_id,
            now=now,
            expires_at=now + timedelta(seconds=policy.approvals.expires),
        )
        return (asked,)

    oversight, _ = await record(journal, decide, clock)
    request = live(oversight, clock())
    if request is None:
        raise PolicyRefused(
            "the request for an approval expired at the moment that it was read: run it again",
            code="approval_expired",
        )
    return Granted(request.id) if request.is_granted else Waiting(request)


# --- approving ------------------------------------------------------------------------------------------------------


async def approve(
    journal: Journal, request: ApprovalRequest, signatory: Signatory, *, settings: Ruleset, clock: Clock
) -> ApprovalRequest:
    """Records one person's approval of a request, signed by her. A second time by the same person changes nothing.

    Raises as ``people.identify``; PolicyRefused ``approval_by_requester``, ``approval_expired``, ``approval_used``.
    SIDE EFFECTS: appends ApprovalGiven to the request's stream.
    """
    journal_id = await journal.identity()
    oversight = await read_oversight(journal)
    asked = request.approval.asked
    require_live(request.approval, clock())
    people = in_force(oversight, settings).policy.people
    proof = identify(approval_text(asked, journal_id), people, Role(asked.role), signatory)

    async def attempt() -> ApprovalRequest:
        now = clock()
        recorded = await journal.read(request.stream)
        oversight = await read_oversight(journal)
        policy = in_force(oversight, settings).policy
        approval = fold_requests(recorded).get(request.id, request.approval)
        given = _given(approval, proof, policy.people, journal_id, now)
        done = evaluated(request.stream, approval, policy, journal_id)
        if proof.person in done.by:
            return done
        new = await journal.append(
            request.stream,
            (given,),
            after=len(recorded),
            at=now,
            # Whoever loses her role at this very moment has lost it.
            unchanged={} if request.stream == DECISIONS_STREAM else {DECISIONS_STREAM: oversight.length},
        )
        return evaluated(request.stream, fold_requests([*recorded, *new])[request.id], policy, journal_id)

    return await retry_on_conflict(attempt, request.stream, also=frozenset({"journal_moved"}))


def _given(
    approval: Approval, proof: Proof, people: Mapping[str, Person], journal_id: str, now: datetime
) -> o.ApprovalGiven:
    asked = approval.asked
    require_live(approval, now)
    if is_asker(proof.person, asked, people, journal_id, eip191.recover):
        raise PolicyRefused(
            f"request {asked.request[:12]}: expected another person than the one who asked, got {proof.person}",
            code="approval_by_requester",
        )
    person = people.get(proof.person)
    if people and (person is None or person.address != proof.address or asked.role not in person.roles):
        raise PolicyRefused(
            f"{proof.person} may not approve this under the ruleset that was adopted just now", code="person_role"
        )
    return o.ApprovalGiven(request=asked.request, person=proof.person, address=proof.address, signature=proof.signature)
