"""What people have decided, folded from the stream ``signing`` (and, for approvals of a closure, from an account's).

A ruleset is in force once it was adopted; an approval is bound to the hash of the exact content, expires, and is good
for once; a stop is one person's word, its end is two people's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import rfc8785

from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.policy import Asker, Ruleset

DECISIONS_STREAM: Final = "signing"
"""What people decide, and all else that is not about one account: its stream is called ``signing`` in the journal, and
``Oversight`` is what it folds to."""
PEOPLE_TO_RESUME: Final = 2


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

    def is_about(self, subject: str, content_hash: str, needed: int) -> bool:
        """Whether it is for exactly this content, as its text shows it, and asks for as many people."""
        asked, shown = self.asked, _sha256(self.asked.content)
        return (asked.subject, asked.needed) == (subject, needed) and asked.content_hash == shown == content_hash

    def is_granted(self, now: datetime, asker: Asker) -> bool:
        """As the events say it, proven or not (``person_signatures``). The one who asked does not count."""
        people = {given.person for given in self.given} - {self.asked.by}
        needed = self.asked.needed if asker == "any" or self.asked.signature is not None else self.asked.needed + 1
        return self.is_live(now) and len(people) >= needed


@dataclass(frozen=True, slots=True)
class Stop:
    """An emergency stop that holds."""

    id: str
    scope: str
    reason: str
    by: str
    since: datetime
    agreed: tuple[o.ResumeAgreed, ...] = ()
    addresses: frozenset[str] = frozenset()
    """Of the key that is stopped, under whatever name: what the stop says and what the journal had heard by then."""

    def covers(self, *, key: str | None, address: str | None, chain: str | None) -> bool:
        """Whether it forbids the key with this name or this address to sign for this chain (CAIP-2).

        ``key``: None where it is not known, and may be any; empty to ask of the address alone. ``address``: None where
        it is not known.
        """
        if key is None and self.scope.startswith("key:"):
            return True  # a signature of a release that did not write down whose it is
        return address in self.addresses or self.scope in ("all", f"key:{key}", f"chain:{chain}")


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
    key_changes: dict[tuple[str, str], o.KeyChanged] = field(default_factory=dict)
    """The same by name and address: two keystores of one journal may each have a key of that name."""
    out_of_use: frozenset[str] = frozenset()
    """Addresses of the keys that were disabled and not enabled since, under whatever name."""
    request_keys: dict[str, o.RequestKeyChanged] = field(default_factory=dict)
    reconciled: tuple[o.JournalReconciled, ...] = ()

    def stop_for_address(self, address: str, *, chain: str) -> Stop | None:
        """The stop that forbids whichever key has this address to sign for this chain, the widest first."""
        return self.stop_for_key("", address=address, chain=chain)

    def stop_for_key(self, key: str | None, *, address: str | None, chain: str | None) -> Stop | None:
        """The stop that forbids this key to sign for this chain, the widest first. None: as in ``covers``."""
        found = [stop for stop in self.stops if stop.covers(key=key, address=address, chain=chain)]
        return min(found, key=lambda stop: stop.scope != "all", default=None)

    def request_for(self, subject: str, content_hash: str, needed: int, now: datetime) -> Approval | None:
        """The live request for exactly this content, that asks for as many people."""
        return find_request(self.approvals.values(), subject, content_hash, needed, now)


def find_request(
    approvals: Iterable[Approval], subject: str, content_hash: str, needed: int, now: datetime
) -> Approval | None:
    """The newest live request that is about this content (``Approval.is_about``)."""
    found = [
        approval for approval in approvals if approval.is_about(subject, content_hash, needed) and approval.is_live(now)
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
            known = {address for name, address in state.key_changes if event.scope == f"key:{name}"}
            known |= {event.address} if event.address is not None else set()
            stop = Stop(event.stop, event.scope, event.reason, event.by, at, addresses=frozenset(known))
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
            return replace(
                state,
                keys={**state.keys, event.name: event},
                key_changes={**state.key_changes, (event.name, event.address): event},
                out_of_use=out_of_use,
            )
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
    """A request for approval. Its id is a hash over all of it, so an approval of one is none of any other."""
    body = rfc8785.dumps(content).decode()
    signed: dict[str, Any] = {
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
            "request": hashlib.sha256(rfc8785.dumps(signed)).hexdigest(),
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
    """SHA-256, 64 hex digits, of the RFC 8785 form of what request's content."""
    return _sha256(rfc8785.dumps(content).decode())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
