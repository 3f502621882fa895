"""Requests for approvals: where they are in the journal, and who has approved each of them so far."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator import eip191
from orchestrator.authorization.gate import read_oversight
from orchestrator.errors import PolicyRefused, SettingsError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Approval, Oversight, fold_approval
from orchestrator.lifecycle.person_signatures import approvals_needed, is_asker_proven, supporters
from orchestrator.lifecycle.recorded import Recorded
from orchestrator.oversight.records import Clock, in_force
from orchestrator.policy import Policy, Ruleset
from orchestrator.ports.journal import Journal

_PAGE = 1000
_SHORTEST_PREFIX = 6
_COMMON = 8
"""Characters in which an account's id and a request's may begin alike: then the account's has a hyphen."""
_ACCOUNT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_APPROVAL = (o.ApprovalRequested, o.ApprovalGiven, o.ApprovalUsed)


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A request where it is in the journal."""

    stream: str
    approval: Approval
    by: tuple[str, ...]
    """Who has approved it, proven under the ruleset in force."""
    needed: int
    """How many must, under that ruleset."""
    by_proven: bool
    """Whether the one who asks is proven to be one of its people."""

    @property
    def id(self) -> str:
        return self.approval.asked.request

    @property
    def account_id(self) -> str | None:
        """The account whose closure it is about."""
        return None if self.stream == DECISIONS_STREAM else self.stream

    @property
    def is_granted(self) -> bool:
        return len(self.by) >= self.needed


def evaluated(stream: str, approval: Approval, policy: Policy, journal_id: str) -> ApprovalRequest:
    """A request of the journal ``journal_id`` under a policy: who has approved it by a valid signature, and how many
    must."""
    return ApprovalRequest(
        stream,
        approval,
        by=supporters(approval, policy.people, journal_id, eip191.recover),
        needed=approvals_needed(approval.asked, policy, journal_id, eip191.recover),
        by_proven=is_asker_proven(approval.asked, policy.people, journal_id, eip191.recover),
    )


async def pending(journal: Journal, *, settings: Ruleset, clock: Clock) -> list[ApprovalRequest]:
    """All live requests, of all streams, the oldest first. Reads the whole journal, a page at a time."""
    oversight = await read_oversight(journal)
    now = clock()
    return [request for request in await _all(journal, oversight, settings) if request.approval.is_live(now)]


async def find(journal: Journal, what: str, *, settings: Ruleset, clock: Clock) -> ApprovalRequest:
    """The one live request that ``what`` names: an account's id (its newest request: what stands on the account now),
    a request's id, the beginning of one of these (6 characters or more), or ``policy``.

    Raises SettingsError ``approval_unknown``, ``approval_ambiguous``; PolicyRefused ``approval_expired``,
    ``approval_used`` where there was one.
    """
    now = clock()
    named = [request for request in await _candidates(journal, what, settings) if _is_named(request, what)]
    found = [request for request in named if request.approval.is_live(now)]
    if found and len({request.account_id if _names_account(request, what) else request.id for request in found}) == 1:
        return found[-1]
    if len(found) > 1:
        listed = ", ".join(f"{r.id[:12]} ({r.account_id or r.approval.asked.subject})" for r in found)
        raise SettingsError(
            f"{ascii(what)[:80]} names {len(found)} requests: say which of {listed}",
            code="approval_ambiguous",
        )
    if found:
        return found[0]
    if named:
        require_live(named[-1].approval, now)
    raise SettingsError(
        f"nothing that waits for an approval is named {ascii(what)[:80]}: orchestrator approve lists what does",
        code="approval_unknown",
    )


async def _candidates(journal: Journal, what: str, settings: Ruleset) -> list[ApprovalRequest]:
    """The requests that ``what`` may name, in as few reads as possible: of the account's own stream, of the stream
    ``signing``, or all."""
    oversight = await read_oversight(journal)
    if _ACCOUNT.fullmatch(what.lower()) is not None:
        return await _requests(journal, oversight, settings, await journal.read(what.lower()))
    found = await _requests(journal, oversight, settings, await journal.read(DECISIONS_STREAM))
    if what == "policy" or (len(what) > _COMMON and any(_is_named(request, what) for request in found)):
        return found
    return await _all(journal, oversight, settings)


async def _all(journal: Journal, oversight: Oversight, settings: Ruleset) -> list[ApprovalRequest]:
    recorded: list[Recorded] = []
    after = 0
    while page := await journal.read_all(after, _PAGE):
        after = page[-1].seq
        recorded += [item for item in page if isinstance(item.event, _APPROVAL)]
    return await _requests(journal, oversight, settings, recorded)


async def _requests(
    journal: Journal, oversight: Oversight, settings: Ruleset, recorded: Sequence[Recorded]
) -> list[ApprovalRequest]:
    """The requests in these events, the oldest first."""
    policy, journal_id = in_force(oversight, settings).policy, await journal.identity()
    streams: dict[str, list[Recorded]] = {}
    for item in recorded:
        streams.setdefault(item.stream, []).append(item)
    found = [
        evaluated(stream, approval, policy, journal_id)
        for stream, items in streams.items()
        for approval in fold_requests(items).values()
    ]
    return sorted(found, key=lambda request: request.approval.at)


def _is_named(request: ApprovalRequest, what: str) -> bool:
    if what == "policy":
        return request.approval.asked.subject == "ruleset"
    return _names_account(request, what) or (len(what) >= _SHORTEST_PREFIX and request.id.startswith(what.lower()))


def _names_account(request: ApprovalRequest, what: str) -> bool:
    return (
        request.account_id is not None and len(what) >= _SHORTEST_PREFIX and request.account_id.startswith(what.lower())
    )


def require_live(approval: Approval, now: datetime) -> None:
    """Raises PolicyRefused ``approval_used``, ``approval_expired``."""
    asked = approval.asked
    if approval.used:
        raise PolicyRefused(f"request {asked.request[:12]} was approved and done already", code="approval_used")
    if not approval.is_live(now):
        raise PolicyRefused(
            f"request {asked.request[:12]} expired at {asked.expires_at:%Y-%m-%dT%H:%M:%SZ}, it is "
            f"{now:%Y-%m-%dT%H:%M:%SZ}: whoever asked must ask again",
            code="approval_expired",
        )


def fold_requests(recorded: Sequence[Recorded]) -> dict[str, Approval]:
    """The requests in the events of one stream, by id."""
    approvals: dict[str, Approval] = {}
    for item in recorded:
        if isinstance(item.event, _APPROVAL):
            approvals = fold_approval(approvals, item.event, item.at)
    return approvals
