"""Requests for an approval: in the name of who asks, and signed by her where she can prove who she is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import request_approval
from orchestrator.lifecycle.person_signatures import approval_text
from orchestrator.people import Voice, prove
from orchestrator.policy import Person, Role
from orchestrator.session import Services

_WHO = "I ask for something that takes an approval, for the orchestrator of card-platform accounts."
"""Signed and thrown away, to learn which of the people somebody is before the request that names her is made."""


def signed_request(
    subject: str,
    role: Role,
    content: dict[str, Any],
    *,
    needed: int,
    by: str,
    voice: Voice,
    people: Mapping[str, Person],
    journal: str,
    now: datetime,
    expires_at: datetime,
) -> o.ApprovalRequested:
    """The request for a matter. ``by`` asks, unless ``voice`` proves that one of ``people`` (those of the ruleset in
    force) does: then it bears her name, address and signature, and she is not the one who approves it.

    ``journal``: its id. Raises as ``people.prove``, and blocks as the voice's key does.
    """
    if voice.is_silent or not people:
        return request_approval(subject, role, content, needed=needed, by=by, now=now, expires_at=expires_at)
    person = prove(_WHO, people, None, voice).person
    asked = request_approval(subject, role, content, needed=needed, by=person, now=now, expires_at=expires_at)
    proof = prove(approval_text(asked, journal), people, None, voice)
    return asked.model_copy(update={"address": proof.address, "signature": proof.signature})


async def request(
    services: Services,
    subject: str,
    role: Role,
    content: dict[str, Any],
    *,
    needed: int,
    by: str,
    people: Mapping[str, Person],
    now: datetime,
    expires_at: datetime,
) -> o.ApprovalRequested:
    """``signed_request`` with the voice of this process; other accounts go on while its key is opened. Reads only."""
    return await asyncio.to_thread(
        signed_request,
        subject,
        role,
        content,
        needed=needed,
        by=by,
        voice=services.voice,
        people=people,
        journal=await services.journal.identity(),
        now=now,
        expires_at=expires_at,
    )
