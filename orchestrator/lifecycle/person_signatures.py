"""Whose word it is: the texts that people sign, and which of them the signatures in the journal prove to have spoken.

What the journal says without a proof does not count: who can write to the database is not thereby one of the people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.errors import SigningError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import Approval, Stop
from orchestrator.policy import Person, Policy

SYSTEM_USER: Final = "os:"
"""What the name of a person begins with who is known as a user of the operating system only."""
Recover = Callable[[bytes, bytes], str]
"""``eip191.recover``: who signed a personal message. Raises SigningError."""


def approval_text(asked: o.ApprovalRequested, journal_id: str) -> str:
    """What an approver signs, as an EIP-191 personal message: readable in any wallet, and bound to one request of one
    journal (``journal_id`` is its id)."""
    return (
        "I approve, for the orchestrator of card-platform accounts:\n"
        f"{asked.subject}: {asked.content}\n"
        f"Content: sha256 {asked.content_hash}\n"
        f"Asked by: {asked.by}\n"
        f"Expires: {asked.expires_at:%Y-%m-%dT%H:%M:%SZ}\n"
        f"Request: {asked.request}\n"
        f"Journal: {journal_id}"
    )


def resume_text(stop: Stop, journal_id: str) -> str:
    """What a person signs who agrees to the end of a stop."""
    return (
        "I agree that signing resumes, for the orchestrator of card-platform accounts:\n"
        f"Scope: {stop.scope}\n"
        f"Stopped by: {stop.by} at {stop.since:%Y-%m-%dT%H:%M:%SZ}\n"
        f"Stop: {stop.id}\n"
        f"Journal: {journal_id}"
    )


def supporters(approval: Approval, people: Mapping[str, Person], journal_id: str, recover: Recover) -> tuple[str, ...]:
    """Who approves a request, each proven by a signature of the key that ``people`` (those of the ruleset in force)
    names, in the role that it asks for. Not the one who asked. What the journal says without a proof does not count."""
    asked = approval.asked
    text = approval_text(asked, journal_id)
    proven = dict.fromkeys(
        given.person for given in approval.given if is_proven(given, text, people, asked.role, recover)
    )
    return tuple(person for person in proven if not is_asker(person, asked, people, journal_id, recover))


def is_asker(
    person: str, asked: o.ApprovalRequested, people: Mapping[str, Person], journal_id: str, recover: Recover
) -> bool:
    """Whether that person has asked, so that her approval does not count: the request bears her name, whoever wrote it
    there, or her signature, whatever name she had then."""
    known = people.get(person)
    return person == asked.by or (known is not None and known.address == _asker_address(asked, journal_id, recover))


def is_asker_proven(
    asked: o.ApprovalRequested, people: Mapping[str, Person], journal_id: str, recover: Recover
) -> bool:
    """Whether one of the people asks: the very one whom the request names has signed it. A name without her signature
    is the word of whoever wrote it to the database, as good as a user of the operating system."""
    known = people.get(asked.by)
    return known is not None and known.address == _asker_address(asked, journal_id, recover)


def _asker_address(asked: o.ApprovalRequested, journal_id: str, recover: Recover) -> str | None:
    return _signer(approval_text(asked, journal_id), asked.signature, recover)


def approvals_needed(asked: o.ApprovalRequested, policy: Policy, journal_id: str, recover: Recover) -> int:
    """How many people must approve a request, under the policy in force: as many as it says, and one more where that
    wants a person to ask and none is proven to."""
    proven = policy.approvals.asker == "any" or is_asker_proven(asked, policy.people, journal_id, recover)
    return asked.needed if proven else asked.needed + 1


def agreeing(stop: Stop, people: Mapping[str, Person], journal_id: str, recover: Recover) -> tuple[str, ...]:
    """Who agrees, proven, to the end of a stop: each person once."""
    text = resume_text(stop, journal_id)
    proven = (given.person for given in stop.agreed if is_proven(given, text, people, "operator", recover))
    return tuple(dict.fromkeys(proven))


def is_proven(
    given: o.ApprovalGiven | o.ResumeAgreed, text: str, people: Mapping[str, Person], role: str, recover: Recover
) -> bool:
    """Whether it is that person's word on exactly this text. Where the ruleset knows no people, a user of the operating
    system is taken at the word of the process that wrote it."""
    if not people:
        return given.person.startswith(SYSTEM_USER)
    person = people.get(given.person)
    if person is None or role not in person.roles:
        return False
    return _signer(text, given.signature, recover) == person.address


def _signer(text: str, signature: str | None, recover: Recover) -> str | None:
    """The address that signed a text; None where there is no signature, or none that can be read."""
    if signature is None:
        return None
    try:
        return recover(text.encode(), bytes.fromhex(signature.removeprefix("0x")))
    except (SigningError, ValueError):
        return None
