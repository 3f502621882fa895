"""Laws of approvals and stops, over sequences of what people and forgers do, against a model of a few lines."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from orchestrator import eip191
from orchestrator.authorization.gate import read_oversight
from orchestrator.errors import JournalError, PolicyRefused
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, fold_oversight, request_approval
from orchestrator.lifecycle.person_signatures import approval_text, supporters
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.oversight.approvals import Granted, approve, authorise
from orchestrator.oversight.requests import pending
from orchestrator.oversight.stops import resume, stop
from orchestrator.people import ANONYMOUS
from orchestrator.policy import Role
from tests.oversight.conftest import KEYS, START, Clock, ruleset, signatory

RULES = ruleset()
PEOPLE = st.sampled_from(sorted(KEYS))
JOURNAL = "0b0c1c7a-27b7-4d5b-a8a5-0d8a3f5c9e11"


class Memory:
    """A journal of one stream in memory, for thousands of sequences; the other tests use the real one."""

    def __init__(self):
        self.events: list[Recorded] = []

    async def identity(self):
        return JOURNAL

    async def read(self, stream):
        return [item for item in self.events if item.stream == stream]

    async def read_all(self, after=0, limit=1000):
        return self.events[after : after + limit]

    async def landed(self, _patience):
        return True

    async def append(self, stream, new, *, after, at, unchanged=None):
        if len(await self.read(stream)) != after:
            raise JournalError("grown", code="journal_conflict")
        made = [
            Recorded(seq=len(self.events) + place, stream=stream, at=at, event=event, hash="0" * 64, previous="0" * 64)
            for place, event in enumerate(new, start=1)
        ]
        self.events += made
        return made

    async def forge(self, event):
        await self.append(DECISIONS_STREAM, [event], after=len(self.events), at=START)


SCOPES = st.sampled_from(["all", "key:a"])
STEPS = st.one_of(
    st.tuples(st.just("stop"), SCOPES),
    st.tuples(st.just("resume"), SCOPES, PEOPLE),
    st.tuples(st.just("forge"), PEOPLE, PEOPLE),
)


@given(st.lists(STEPS, max_size=12))
def test_a_stop_ends_with_the_word_of_two_different_people_given_after_it(steps):
    async def run():
        memory, clock = Memory(), Clock()
        said: dict[str, set[str]] = {}
        for step in steps:
            before = await read_oversight(memory)
            match step:
                case ("stop", scope):
                    await stop(memory, scope, "r", by="os:a", clock=clock)
                case ("resume", scope, name):
                    for held in before.stops:
                        if held.scope == scope:
                            said.setdefault(held.id, set()).add(name)
                    await resume(memory, scope, signatory(KEYS[name]), settings=RULES, clock=clock)
                case ("forge", name, signer):
                    for held in before.stops:
                        # Another text, or another's signature: what a writer of the database can make.
                        made = "0x" + KEYS[signer].sign_message(b"something else").hex()
                        await memory.forge(o.ResumeAgreed(stop=held.id, person=name, signature=made))
            after = await read_oversight(memory)
            for held in before.stops:
                ended = held.id not in {one.id for one in after.stops}
                assert ended == (len(said.get(held.id, ())) >= 2)

    asyncio.run(run())


@given(SCOPES, PEOPLE, st.integers(min_value=1, max_value=6))
def test_no_number_of_words_of_one_person_ends_a_stop(scope, name, times):
    async def run():
        memory, clock = Memory(), Clock()
        await stop(memory, scope, "r", by="os:a", clock=clock)
        for _ in range(times):
            assert not (await resume(memory, scope, signatory(KEYS[name]), settings=RULES, clock=clock)).done
        assert [item.event.type for item in memory.events] == ["signing_stopped", "resume_agreed"]

    asyncio.run(run())


CONTENTS = st.sampled_from([{"action": "created", "name": "a"}, {"action": "created", "name": "b"}, {"name": "a"}])
ASKERS = st.one_of(PEOPLE, st.just("os:deploy"))
ASK = st.tuples(st.just("ask"), CONTENTS, st.integers(1, 2), ASKERS, st.booleans())
"""The last: whether one of the people proves that she asks, or is only named."""
APPROVE = st.tuples(st.just("approve"), st.integers(0, 3), PEOPLE)
ACTS = st.one_of(
    ASK,
    APPROVE,
    st.tuples(st.just("wait"), st.sampled_from([1, 1, 1, 1800, 3600])),
    st.tuples(st.just("use"), st.integers(0, 3)),
    st.tuples(st.just("forge"), st.integers(0, 3), PEOPLE),
)


@given(st.sampled_from(["any", "person"]), ASK, st.lists(APPROVE, max_size=2), st.lists(ACTS, max_size=12))
def test_something_is_granted_only_by_enough_others_for_exactly_it_in_time_and_once(rule, first, words_first, then):
    acts = [first, *words_first, *then]
    rules = ruleset(approvals={"keys": 1, "expires": 3600, "asker": rule})

    def takes(asked):
        return asked.needed if rule == "any" or asked.signature is not None else asked.needed + 1

    async def run():
        memory, clock = Memory(), Clock()
        words: dict[str, set[str]] = {}
        used: set[str] = set()
        for act in acts:
            asked = [item for item in memory.events if isinstance(item.event, o.ApprovalRequested)]
            live = await pending(memory, settings=rules, clock=clock)
            match act:
                case ("wait", seconds):
                    clock.forward(seconds)
                case ("approve", place, name) if live:
                    place %= len(live)
                    call = approve(memory, live[place], signatory(KEYS[name]), settings=rules, clock=clock)
                    if live[place].approval.asked.by == name:
                        with pytest.raises(PolicyRefused):
                            await call
                    else:
                        await call
                        words.setdefault(live[place].id, set()).add(name)
                case ("use", place) if live and live[place % len(live)].is_granted:
                    place %= len(live)
                    await memory.forge(o.ApprovalUsed(request=live[place].id))
                    used.add(live[place].id)
                    clock.forward(1)  # asked again in the same microsecond it would be the same request, and used
                case ("forge", place, name) if asked:
                    place %= len(asked)
                    stolen = "0x" + KEYS[name].sign_message(b"another text").hex()
                    await memory.forge(
                        o.ApprovalGiven(request=asked[place].event.request, person=name, signature=stolen)
                    )
                case ("ask", content, needed, by, proves):
                    told = await authorise(
                        memory,
                        subject="keys",
                        role=Role.ADMINISTRATOR,
                        content=content,
                        needed=needed,
                        by=by,
                        settings=rules,
                        clock=clock,
                        signatory=signatory(KEYS[by]) if proves and by in KEYS else ANONYMOUS,
                    )
                    event(type(told).__name__)
                    if isinstance(told, Granted):
                        (request,) = [
                            item for item in memory.events
                            if isinstance(item.event, o.ApprovalRequested) and item.event.request == told.request
                        ]  # fmt: skip
                        matter = request_approval(
                            "keys", "administrator", content, needed=1, by="x", now=START, expires_at=START
                        )
                        assert request.event.content == matter.content
                        assert request.event.needed == needed
                        assert len(words[told.request] - {request.event.by}) >= takes(request.event)
                        assert clock() < request.event.expires_at == request.at + timedelta(hours=1)
                        assert told.request not in used
            for request in await pending(memory, settings=rules, clock=clock):
                asked = request.approval.asked
                enough = len(words.get(request.id, set()) - {asked.by}) >= takes(asked)
                event(f"granted: {request.is_granted}")
                assert request.is_granted == enough
                assert request.id not in used
                assert clock() < asked.expires_at

    asyncio.run(run())


@given(st.lists(st.tuples(PEOPLE, PEOPLE, st.booleans()), max_size=8))
def test_only_the_named_persons_own_signature_over_this_request_counts(given_words):
    asked = request_approval(
        "keys", "administrator", {"a": 1}, needed=1, by="bob", now=START, expires_at=START + timedelta(hours=1)
    )
    text = approval_text(asked, JOURNAL)
    events: list[Event] = [asked]
    expected = []
    for name, signer, right in given_words:
        message = text if right else approval_text(asked, "another journal")
        signature = "0x" + KEYS[signer].sign_message(message.encode()).hex()
        events.append(o.ApprovalGiven(request=asked.request, person=name, signature=signature))
        if right and name == signer and name != "bob" and name not in expected:
            expected.append(name)
    recorded = [
        Recorded(seq=seq, stream=DECISIONS_STREAM, at=START, event=event, hash="0" * 64, previous="0" * 64)
        for seq, event in enumerate(events, start=1)
    ]
    (approval,) = fold_oversight(recorded).approvals.values()
    assert list(supporters(approval, RULES.policy.people, JOURNAL, eip191.recover)) == expected
