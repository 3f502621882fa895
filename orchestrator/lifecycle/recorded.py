"""An event in its place in the journal: any fact there is (``Event``), its JSON form, and the chain it is part of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast, get_args

from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o

Event = (
    e.CreationIntended
    | e.CreationAnswered
    | e.CreationRefused
    | e.PlatformObserved
    | e.WalletDeployed
    | e.WalletStateSeen
    | e.ChainFactsWithdrawn
    | e.OperationStarted
    | e.ChallengeFetched
    | e.SigningIntended
    | e.ChallengeSigned
    | e.SubmissionIntended
    | e.SubmissionAccepted
    | e.SubmissionIneffective
    | e.SubmissionRefused
    | e.ChallengeLapsed
    | e.RequestIntended
    | e.RequestAccepted
    | e.PreflightTaken
    | e.ClosureProven
    | e.CertificateRevoked
    | e.OperationHalted
    | e.OperationContinued
    | e.OperatorResolved
    | e.OperationEnded
    | o.ApprovalRequested
    | o.ApprovalGiven
    | o.ApprovalUsed
    | o.RulesetAdopted
    | o.SigningStopped
    | o.ResumeAgreed
    | o.SigningResumed
    | o.KeyChanged
    | o.RequestKeyChanged
    | o.JournalReconciled
    | o.HistoryImported
)
"""Any fact of the journal."""

_TYPES: Final[dict[str, Any]] = {kind.model_fields["type"].default: kind for kind in get_args(Event)}


def parse_event(data: dict[str, Any]) -> Event:
    """An event from its JSON form. Raises ValueError; pydantic's ValidationError is one."""
    kind = _TYPES.get(data.get("type", ""))  # and not a validator of the union: it is built of every type there is
    if kind is None:
        raise ValueError(f"no event has the type {data.get('type')!a}")
    return cast("Event", kind.model_validate(data))


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its place in the journal: ``seq`` over all streams, time, hash and the previous event's hash."""

    seq: int
    stream: str
    at: datetime
    event: Event
    hash: str
    previous: str
