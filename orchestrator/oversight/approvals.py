"""Approvals: who asks, who approves, and when what was asked for may be done.

A request is bound to the hash of the exact matter, expires, and is good for once. Whoever approves signs a text that
shows the matter; the signature is kept, and proven again when the approval is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from orchestrator import eip191
from orchestrator.errors import JournalError, PolicyRefused, SettingsError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight import STREAM, Approval, Oversight, content_hash, fold_approval
from orchestrator.lifecycle.proofs import approval_text, is_asker, supporters
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.oversight.records import Clock, Records, busy, has_grown, in_force, read_oversight, record
from orchestrator.policy import Person, Role, Ruleset
from orchestrator.steps.asking import signed_request
from orchestrator.steps.people import SILENT, Proof, Voice, prove

_TRIES = 50
_PAGE = 1000
_SHORTEST_PREFIX = 6
_ACCOUNT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_APPROVAL = (o.ApprovalRequested, o.ApprovalGiven, o.ApprovalUsed)
Subject = Literal["closure", "ruleset", "keys"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request where it is in the journal."""

    stream: str
    approval: Approval
    by: tuple[str, ...] = ()
    """Who has approved it, proven under the ruleset in force."""

    @property
    def id(self) -> str:
        return self.approval.asked.request

    @property
    def account_id(self) -> str | None:
        """The account whose closure it is about."""
        return None if self.stream == STREAM else self.stream

    @property
    def is_granted(self) -> bool:
        return len(self.by) >= self.approval.asked.needed


@dataclass(frozen=True, slots=True)
class Granted:
    """It may be done now. ``request``: the approval to record as used, in one append with what was done; None where
    none is needed."""

    request: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """It waits for people. ``request`` is live, and was made now or before."""

    request: Request

    @property
    def text(self) -> str:
        asked = self.request.approval.asked
        left = asked.needed - len(self.request.by)
        who = "another person" if left == 1 else f"{left} other people"
        return f"the approval of {who} with the role {asked.role}: orchestrator approve {asked.request[:12]}"


# --- asking ---------------------------------------------------------------------------------------------------------


async def authorise(
    records: Records,
    *,
    subject: Subject,
    role: Role,
    content: Mapping[str, Any],
    needed: int,
    by: str,
    settings: Ruleset,
    clock: Clock,
    voice: Voice = SILENT,
) -> Granted | Waiting:
    """Whether exactly this may be done now, by the stream ``signing``. If not, it is asked for, once: a live request of
    this content is found again, by every process. ``needed``: people besides the one who asks, as the ruleset in force
    says. ``by``: who runs the process; ``voice``: the person who asks, if she can prove it (she cannot approve then).
    Raises as ``people.prove``. SIDE EFFECTS: appends ApprovalRequested if there is no live request.
    """
    if needed <= 0:
        return Granted(None)
    journal = await records.identity()
    matter = dict(content)
    digest = content_hash(matter)

    def live(oversight: Oversight, now: datetime) -> Request | None:
        people = in_force(oversight, settings).policy.people
        found = [
            _request(STREAM, approval, people, journal)
            for approval in oversight.approvals.values()
            if approval.asked.subject == subject
            and approval.asked.content_hash == digest
            # One that asked for fewer people, or for others, was made under other rules.
            and (approval.asked.needed, approval.asked.role) == (needed, role)
            and approval.is_live(now)
        ]
        return max(found, key=lambda request: (request.is_granted, request.approval.at), default=None)

    def decide(oversight: Oversight, now: datetime) -> Sequence[Event]:
        if live(oversight, now) is not None:
            return ()
        rules = in_force(oversight, settings).policy
        asked = signed_request(
            subject,
            role,
            matter,
            needed=needed,
            by=by,
            voice=voice,
            people=rules.people,
            journal=journal,
            now=now,
            expires_at=now + timedelta(seconds=rules.approvals.expires),
        )
        return (asked,)

    oversight, _ = await record(records, decide, clock)
    request = live(oversight, clock())
    if request is None:
        raise PolicyRefused(
            "the request for an approval expired at the moment that it was looked at: run it again",
            code="approval_expired",
        )
    return Granted(request.id) if request.is_granted else Waiting(request)


# --- finding --------------------------------------------------------------------------------------------------------


async def pending(records: Records, *, settings: Ruleset, clock: Clock) -> list[Request]:
    """All live requests, of all streams, the oldest first. Reads the whole journal, a page at a time."""
    oversight = await read_oversight(records)
    now = clock()
    return [request for request in await _all(records, oversight, settings) if request.approval.is_live(now)]


async def find(records: Records, what: str, *, settings: Ruleset, clock: Clock) -> Request:
    """The one live request that ``what`` names: an account's id (its newest request: what stands on the account now),
    a request's id or its beginning (6 digits or more), or ``policy``.

    Raises SettingsError ``approval_unknown``, ``approval_ambiguous``; PolicyRefused ``approval_expired``,
    ``approval_used`` where there was one.
    """
    now = clock()
    named = [request for request in await _candidates(records, what, settings) if _is_named(request, what)]
    found = [request for request in named if request.approval.is_live(now)]
    if found and all(request.account_id is not None for request in found) and found[-1].account_id == what.lower():
        return found[-1]
    if len(found) > 1:
        raise SettingsError(
            f"{ascii(what)[:80]} names {len(found)} requests: say which of " + ", ".join(r.id[:12] for r in found),
            code="approval_ambiguous",
        )
    if found:
        return found[0]
    if named:
        _require_live(named[-1].approval, now)
    raise SettingsError(
        f"nothing that waits for an approval is named {ascii(what)[:80]}: orchestrator approve lists what does",
        code="approval_unknown",
    )


async def _candidates(records: Records, what: str, settings: Ruleset) -> list[Request]:
    """Where ``what`` can be, in as few reads as that takes: an account's own stream, the stream ``signing``, or all."""
    oversight = await read_oversight(records)
    if _ACCOUNT.fullmatch(what.lower()) is not None:
        return await _requests(records, oversight, settings, await records.read(what.lower()))
    found = await _requests(records, oversight, settings, await records.read(STREAM))
    if what == "policy" or any(_is_named(request, what) for request in found):
        return found
    return await _all(records, oversight, settings)


async def _all(records: Records, oversight: Oversight, settings: Ruleset) -> list[Request]:
    recorded: list[Recorded] = []
    after = 0
    while page := await records.read_all(after, _PAGE):
        after = page[-1].seq
        recorded += [item for item in page if isinstance(item.event, _APPROVAL)]
    return await _requests(records, oversight, settings, recorded)


async def _requests(
    records: Records, oversight: Oversight, settings: Ruleset, recorded: Sequence[Recorded]
) -> list[Request]:
    """The requests in these events, the oldest first."""
    people, journal = in_force(oversight, settings).policy.people, await records.identity()
    streams: dict[str, list[Recorded]] = {}
    for item in recorded:
        streams.setdefault(item.stream, []).append(item)
    found = [
        _request(stream, approval, people, journal)
        for stream, items in streams.items()
        for approval in _fold(items).values()
    ]
    return sorted(found, key=lambda request: request.approval.at)


def _is_named(request: Request, what: str) -> bool:
    if what == "policy":
        return request.approval.asked.subject == "ruleset"
    if request.account_id is not None and request.account_id == what.lower():
        return True
    return len(what) >= _SHORTEST_PREFIX and request.id.startswith(what.lower())


# --- approving ------------------------------------------------------------------------------------------------------


async def approve(records: Records, request: Request, voice: Voice, *, settings: Ruleset, clock: Clock) -> Request:
    """Records one person's approval of a request, signed by her. A second time by the same person changes nothing.

    Raises as ``people.prove``; PolicyRefused ``approval_by_requester``, ``approval_expired``, ``approval_used``.
    SIDE EFFECTS: appends ApprovalGiven to the request's stream.
    """
    journal = await records.identity()
    oversight = await read_oversight(records)
    asked = request.approval.asked
    _require_live(request.approval, clock())
    people = in_force(oversight, settings).policy.people
    proof = prove(approval_text(asked, journal), people, Role(asked.role), voice)
    for _ in range(_TRIES):
        now = clock()
        recorded = await records.read(request.stream)
        oversight = await read_oversight(records)
        people = in_force(oversight, settings).policy.people
        approval = _fold(recorded).get(request.id, request.approval)
        given = _given(approval, proof, people, journal, now)
        done = _request(request.stream, approval, people, journal)
        if proof.person in done.by:
            return done
        try:
            new = await records.append(
                request.stream,
                (given,),
                after=len(recorded),
                at=now,
                # Whoever loses her role at this very moment has lost it.
                unchanged={} if request.stream == STREAM else {STREAM: oversight.length},
            )
        except JournalError as error:
            if not has_grown(error):
                raise
            continue
        return _request(request.stream, _fold([*recorded, *new])[request.id], people, journal)
    raise busy(request.stream)


def _given(
    approval: Approval, proof: Proof, people: Mapping[str, Person], journal: str, now: datetime
) -> o.ApprovalGiven:
    asked = approval.asked
    _require_live(approval, now)
    if is_asker(proof.person, asked, people, journal, eip191.recover):
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


def _require_live(approval: Approval, now: datetime) -> None:
    asked = approval.asked
    if approval.used:
        raise PolicyRefused(f"request {asked.request[:12]} was approved and done already", code="approval_used")
    if not approval.is_live(now):
        raise PolicyRefused(
            f"request {asked.request[:12]} expired at {asked.expires_at:%Y-%m-%dT%H:%M:%SZ}, it is "
            f"{now:%Y-%m-%dT%H:%M:%SZ}: whoever asked must ask again",
            code="approval_expired",
        )


def _fold(recorded: Sequence[Recorded]) -> dict[str, Approval]:
    approvals: dict[str, Approval] = {}
    for item in recorded:
        if isinstance(item.event, _APPROVAL):
            approvals = fold_approval(approvals, item.event, item.at)
    return approvals


def _request(stream: str, approval: Approval, people: Mapping[str, Person], journal: str) -> Request:
    return replace(Request(stream, approval), by=supporters(approval, people, journal, eip191.recover))
