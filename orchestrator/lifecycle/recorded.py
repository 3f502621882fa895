"""An event in its place in the journal: any fact there is (``Event``), its JSON form, and the chain it is part of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o

Event = Annotated[
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
    | o.HistoryImported,
    Field(discriminator="type"),
]
"""Any fact of the journal."""

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(data: dict[str, Any]) -> Event:
    """An event from its JSON form. Raises pydantic's ValidationError (a ValueError)."""
    return _ADAPTER.validate_python(data)


class Recorded(BaseModel):
    """An event with its place in the journal: ``seq`` over all streams, time, hash and the previous event's hash."""

    model_config = ConfigDict(frozen=True)

    seq: int
    stream: str
    at: datetime
    event: Event
    hash: str
    previous: str
