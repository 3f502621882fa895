"""The emergency stop: one person stops signing at once, two people resume it.

A stop is an event of the stream ``signing``. An intent to sign is committed only if this stream has not grown since it
was read, so a stop is in force in every process as soon as it is written. Stops are read again right before each try to
send a signature, and ``stop`` waits for tries under way: once it has returned, none goes out. What had left this
machine by then cannot be called back; the platform may still take it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from orchestrator import eip191
from orchestrator.authorization.gate import read_oversight
from orchestrator.errors import OrchestratorError, PolicyRefused, SettingsError, SigningError
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import PEOPLE_TO_RESUME, Oversight, Stop
from orchestrator.lifecycle.person_signatures import agreeing, resume_text
from orchestrator.lifecycle.recorded import Event
from orchestrator.models import Address, ChainId
from orchestrator.oversight.records import DRAIN, Clock, Drain, in_force, record
from orchestrator.people import Proof, Signatory, identify
from orchestrator.policy import Person, Role, Ruleset
from orchestrator.ports.journal import Journal

EVERYTHING = "all"
_KEY = re.compile(r"key:[a-z0-9][a-z0-9._-]{0,63}")
_MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Resumption:
    """The result of one person's agreement to resume. ``waiting``: stops of the scope that need one more person."""

    oversight: Oversight
    waiting: tuple[Stop, ...]

    @property
    def done(self) -> bool:
        return not self.waiting


def to_scope(*, key: str | None = None, chain: str | None = None) -> str:
    """``all``, ``key:NAME`` or ``chain:CAIP-2``. Raises SettingsError, UnsupportedChain."""
    if key is not None and chain is not None:
        raise SettingsError("expected one of --key and --chain, got both: two stops are two commands", code="usage")
    if chain is not None:
        return f"chain:{ChainId.parse(chain)}"
    if key is None:
        return EVERYTHING
    if _KEY.fullmatch(f"key:{key}") is None:
        raise SettingsError(f"expected the name of a key, got {ascii(key)[:80]}", code="key_name")
    return f"key:{key}"


async def stop(
    journal: Journal,
    scope: str,
    reason: str,
    *,
    by: str,
    clock: Clock,
    address: Address | None = None,
    drain: Drain = DRAIN,
) -> Oversight:
    """Stops signing in this scope. A second stop of the same scope changes nothing.

    ``address``: of the key in ``scope``, where it is known; the stop covers that key under any name. A second stop is
    a new one if the first does not cover this address, or if somebody has agreed to end the first: that agreement does
    not count for the new one. Returns what holds now, once no signature is on its way any more; raises as
    ``Drain.wait``. SIDE EFFECTS: appends SigningStopped.
    """
    text = " ".join(reason.split())[:_MAX_REASON] or "no reason given"

    def decide(oversight: Oversight, _now: datetime) -> Sequence[Event]:
        same = [held for held in oversight.stops if held.scope == scope and not held.agreed]
        if any(address is None or address in held.addresses for held in same):
            return ()
        return (o.SigningStopped(stop=str(uuid.uuid4()), scope=scope, reason=text, by=by, address=address),)

    oversight, _ = await record(journal, decide, clock)
    await drain.wait(journal, f"signing is stopped ({scope})")
    return oversight


async def resume(journal: Journal, scope: str, signatory: Signatory, *, settings: Ruleset, clock: Clock) -> Resumption:
    """Records one person's agreement. When a second, different person agrees, the stop of exactly this scope ends.

    Writes nothing if there is no such stop, or this person already agreed. ``settings``: the ruleset that holds while
    none was adopted. Raises as ``people.identify``; PolicyRefused ``resume_impossible`` if the ruleset in force does
    not have two people for it. SIDE EFFECTS: appends ResumeAgreed, and SigningResumed with the second one.
    """
    journal_id = await journal.identity()
    before = await read_oversight(journal)
    people = in_force(before, settings).policy.people
    able = sorted(name for name, person in people.items() if Role.OPERATOR in person.roles)
    stops = [held for held in before.stops if held.scope == scope]
    if stops and people and len(able) < PEOPLE_TO_RESUME:
        raise PolicyRefused(
            f"it takes {PEOPLE_TO_RESUME} people with the role {Role.OPERATOR} to end a stop, and the ruleset in force "
            f"has {len(able)} ({', '.join(able) or 'nobody'}): adopt a policy that names more",
            code="resume_impossible",
        )
    # A signature does not depend on what else happens meanwhile, so nobody is asked for a password twice.
    for held, proof in _proofs(stops, people, journal_id, signatory):
        decide = partial(_agree, stop=held, proof=proof, journal_id=journal_id, settings=settings)
        before, _ = await record(journal, decide, clock)
    if not stops:
        before = await read_oversight(journal)
    return Resumption(before, tuple(held for held in before.stops if held.scope == scope))


def _proofs(
    stops: Sequence[Stop], people: Mapping[str, Person], journal_id: str, signatory: Signatory
) -> list[tuple[Stop, Proof]]:
    """A key signs for each stop; a given signature is for one of them. Raises as ``identify``."""
    if signatory.signature is None:
        return [(held, identify(resume_text(held, journal_id), people, Role.OPERATOR, signatory)) for held in stops]
    refusal: OrchestratorError | None = None
    for held in stops:
        try:
            return [(held, identify(resume_text(held, journal_id), people, Role.OPERATOR, signatory))]
        except (PolicyRefused, SigningError) as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return []


def _agree(
    oversight: Oversight, _now: datetime, *, stop: Stop, proof: Proof, journal_id: str, settings: Ruleset
) -> Sequence[Event]:
    held = next((held for held in oversight.stops if held.id == stop.id), None)
    if held is None:
        return ()
    people = in_force(oversight, settings).policy.people
    agreed = o.ResumeAgreed(stop=held.id, person=proof.person, address=proof.address, signature=proof.signature)
    before = agreeing(held, people, journal_id, eip191.recover)
    after = agreeing(_with(held, agreed), people, journal_id, eip191.recover)
    if proof.person not in after:
        raise PolicyRefused(
            f"{proof.person} may not end a stop under the ruleset that was adopted just now", code="person_role"
        )
    new: list[Event] = [] if proof.person in before else [agreed]
    # Also without a new agreement: a ruleset adopted since may have made an earlier one count.
    if len(after) >= PEOPLE_TO_RESUME:
        new.append(o.SigningResumed(stop=held.id, people=after))
    return new


def _with(stop: Stop, agreed: o.ResumeAgreed) -> Stop:
    return replace(stop, agreed=(*stop.agreed, agreed))
