"""What people have decided, folded from the stream ``signing`` (and, for approvals of a closure, from an account's).

A ruleset is in force once it was adopted; an approval is bound to the hash of the exact matter, expires, and is good
for once; a stop is one person's word, its end is two people's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import rfc8785

from orchestrator.errors import SigningError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.policy import Person, Ruleset

STREAM: Final = "signing"
"""The stream of all that is not about one account."""
PEOPLE_TO_RESUME: Final = 2
SYSTEM_USER: Final = "os:"
"""What the name of a person begins with who is known as a user of the operating system only."""
Recover = Callable[[bytes, bytes], str]
"""``eip191.recover``: who signed a personal message. Raises SigningError."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A request and the approvals that it has had so far."""

    asked: o.ApprovalRequested
    at: datetime
    given: tuple[o.ApprovalGiven, ...] = ()
    used: bool = False

    def is_live(self, now: datetime) -> bool:
        """Whether it may still be approved or used."""
        return not self.used and now < self.asked.expires_at

    def is_granted(self, now: datetime) -> bool:
        """As the events say it; ``supporters`` also proves the signatures in them. The one who asked does not count."""
        people = {given.person for given in self.given} - {self.asked.by}
        return self.is_live(now) and len(people) >= self.asked.needed


@dataclass(frozen=True, slots=True)
class Stop:
    """An emergency stop that holds."""

    id: str
    scope: str
    reason: str
    by: str
    since: datetime
    agreed: tuple[o.ResumeAgreed, ...] = ()

    def covers(self, *, key: str | None, chain: str | None) -> bool:
        """Whether it forbids this key to sign for this chain (CAIP-2). ``key``: None where it is not known, and may be
        any; empty to ask of no key."""
        if key is None and self.scope.startswith("key:"):
            return True  # a signature of a release that did not write down whose it is
        return self.scope in ("all", f"key:{key}", f"chain:{chain}")


@dataclass(frozen=True, slots=True)
class Oversight:
    """All that the stream ``signing`` says. ``length`` is its number of events."""

    length: int = 0
    ruleset: Ruleset | None = None
    """The one in force; None before the first signature of a new journal."""
    ruleset_hash: str | None = None
    ruleset_at: datetime | None = None
    stops: tuple[Stop, ...] = ()
    approvals: dict[str, Approval] = field(default_factory=dict)
    """By request id."""
    keys: dict[str, o.KeyChanged] = field(default_factory=dict)
    """The last change of each key, by name."""
    out_of_use: frozenset[str] = frozenset()
    """Addresses of the keys that were disabled and not enabled since, under whatever name."""
    request_keys: dict[str, o.RequestKeyChanged] = field(default_factory=dict)
    reconciled: tuple[o.JournalReconciled, ...] = ()

    def stop_for(self, *, key: str | None, chain: str | None) -> Stop | None:
        """The stop that forbids this key to sign for this chain, the widest first."""
        found = [stop for stop in self.stops if stop.covers(key=key, chain=chain)]
        return min(found, key=lambda stop: stop.scope != "all", default=None)

    def request_for(self, subject: str, content_hash: str, needed: int, now: datetime) -> Approval | None:
        """The live request for exactly this matter, that asks for as many people."""
        return find_request(self.approvals.values(), subject, content_hash, needed, now)


def find_request(
    approvals: Iterable[Approval], subject: str, content_hash: str, needed: int, now: datetime
) -> Approval | None:
    """The newest live request for exactly this matter, as its text shows it, that asks for as many people."""
    found = [
        approval
        for approval in approvals
        if approval.asked.subject == subject
        and approval.asked.content_hash == content_hash == _sha256(approval.asked.content)
        and approval.asked.needed == needed
        and approval.is_live(now)
    ]
    return max(found, key=lambda approval: approval.at, default=None)


def fold_oversight(recorded: Iterable[Recorded], state: Oversight | None = None) -> Oversight:
    """The state after all these events of the stream ``signing``, in order. Total."""
    state = state or Oversight()
    for item in recorded:
        state = replace(_apply(state, item.event, item.at), length=state.length + 1)
    return state


def _apply(state: Oversight, event: Event, at: datetime) -> Oversight:
    match event:
        case o.RulesetAdopted():
            try:
                ruleset = Ruleset.model_validate_json(event.document)
            except ValueError:  # of a newer release: ``ruleset_hash`` without ``ruleset``
                ruleset = None
            return replace(state, ruleset=ruleset, ruleset_hash=event.ruleset, ruleset_at=at)
        case o.ApprovalRequested() | o.ApprovalGiven() | o.ApprovalUsed():
            return replace(state, approvals=fold_approval(state.approvals, event, at))
        case o.SigningStopped():
            stop = Stop(event.stop, event.scope, event.reason, event.by, at)
            return replace(state, stops=(*state.stops, stop))
        case o.ResumeAgreed():
            stops = tuple(
                replace(stop, agreed=(*stop.agreed, event)) if stop.id == event.stop else stop for stop in state.stops
            )
            return replace(state, stops=stops)
        case o.SigningResumed():
            return replace(state, stops=tuple(stop for stop in state.stops if stop.id != event.stop))
        case o.KeyChanged():
            out_of_use = state.out_of_use | {event.address} if event.disabled else state.out_of_use
            if event.action == "enabled":
                out_of_use = out_of_use - {event.address}
            return replace(state, keys={**state.keys, event.name: event}, out_of_use=out_of_use)
        case o.RequestKeyChanged():
            return replace(state, request_keys={**state.request_keys, event.name: event})
        case o.JournalReconciled():
            return replace(state, reconciled=(*state.reconciled, event))
        case _:
            return state


def fold_approval(
    approvals: dict[str, Approval], event: o.ApprovalRequested | o.ApprovalGiven | o.ApprovalUsed, at: datetime
) -> dict[str, Approval]:
    """The approvals after one more event. What names an unknown request, and what one person says a second time,
    changes nothing; her word under another key is kept beside the first."""
    known = approvals.get(event.request)
    if isinstance(event, o.ApprovalRequested):  # one of a known id would make a used approval good again
        return approvals if known is not None else {**approvals, event.request: Approval(event, at)}
    if known is None:
        return approvals
    if isinstance(event, o.ApprovalUsed):
        return {**approvals, event.request: replace(known, used=True)}
    if any((given.person, given.signature) == (event.person, event.signature) for given in known.given):
        return approvals
    return {**approvals, event.request: replace(known, given=(*known.given, event))}


def request_approval(
    subject: str, role: str, content: dict[str, Any], *, needed: int, by: str, now: datetime, expires_at: datetime
) -> o.ApprovalRequested:
    """The request for a matter. Its id is a hash over all of it, so an approval of one is none of any other."""
    body = rfc8785.dumps(content).decode()
    matter: dict[str, Any] = {
        "subject": subject,
        "role": role,
        "content": body,
        "needed": needed,
        "by": by,
        "askedAt": now.isoformat(),
        "expiresAt": expires_at.isoformat(),
    }
    return o.ApprovalRequested.model_validate(
        {
            "request": hashlib.sha256(rfc8785.dumps(matter)).hexdigest(),
            "subject": subject,
            "role": role,
            "content": body,
            "content_hash": content_hash(content),
            "needed": needed,
            "by": by,
            "expires_at": expires_at,
        }
    )


def content_hash(content: dict[str, Any]) -> str:
    """SHA-256, 64 hex digits, of the RFC 8785 form of a matter."""
    return _sha256(rfc8785.dumps(content).decode())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def approval_text(asked: o.ApprovalRequested, journal: str) -> str:
    """What an approver signs, as an EIP-191 personal message: readable in any wallet, and bound to one request of one
    journal (``journal`` is its id)."""
    return (
        "I approve, for the orchestrator of card-platform accounts:\n"
        f"{asked.subject}: {asked.content}\n"
        f"Content: sha256 {asked.content_hash}\n"
        f"Asked by: {asked.by}\n"
        f"Expires: {asked.expires_at:%Y-%m-%dT%H:%M:%SZ}\n"
        f"Request: {asked.request}\n"
        f"Journal: {journal}"
    )


def resume_text(stop: Stop, journal: str) -> str:
    """What a person signs who agrees to the end of a stop."""
    return (
        "I agree that signing resumes, for the orchestrator of card-platform accounts:\n"
        f"Scope: {stop.scope}\n"
        f"Stopped by: {stop.by} at {stop.since:%Y-%m-%dT%H:%M:%SZ}\n"
        f"Stop: {stop.id}\n"
        f"Journal: {journal}"
    )


def supporters(approval: Approval, people: Mapping[str, Person], journal: str, recover: Recover) -> tuple[str, ...]:
    """Who approves a request, each proven by a signature of the key that ``people`` (those of the ruleset in force)
    names, in the role that it asks for. Not the one who asked. What the journal says without a proof does not count."""
    asked = approval.asked
    text = approval_text(asked, journal)
    proven = dict.fromkeys(
        given.person for given in approval.given if is_proven(given, text, people, asked.role, recover)
    )
    return tuple(person for person in proven if not is_asker(person, asked, people, journal, recover))


def is_asker(
    person: str, asked: o.ApprovalRequested, people: Mapping[str, Person], journal: str, recover: Recover
) -> bool:
    """Whether that person has asked, so that her approval does not count: the request bears her name, whoever wrote it
    there, or her signature, whatever name she had then."""
    known = people.get(person)
    return person == asked.by or (known is not None and known.address == _asker_address(asked, journal, recover))


def is_asker_proven(asked: o.ApprovalRequested, people: Mapping[str, Person], journal: str, recover: Recover) -> bool:
    """Whether one of the people asks: the very one whom the request names has signed it. A name without her signature
    is the word of whoever wrote it to the database, as good as a user of the operating system."""
    known = people.get(asked.by)
    return known is not None and known.address == _asker_address(asked, journal, recover)


def _asker_address(asked: o.ApprovalRequested, journal: str, recover: Recover) -> str | None:
    return _signer(approval_text(asked, journal), asked.signature, recover)


def agreeing(stop: Stop, people: Mapping[str, Person], journal: str, recover: Recover) -> tuple[str, ...]:
    """Who agrees, proven, to the end of a stop: each person once."""
    text = resume_text(stop, journal)
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
