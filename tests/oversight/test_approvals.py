"""Approvals against a real journal: asked for once, bound to the matter, signed, expiring, good for once."""

from __future__ import annotations

import asyncio
import multiprocessing
from datetime import timedelta

import pytest

from orchestrator import eip191
from orchestrator.authorization.gate import read_oversight
from orchestrator.errors import JournalError, OrchestratorError
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, request_approval
from orchestrator.lifecycle.person_signatures import approval_text
from orchestrator.oversight.approvals import Granted, Waiting, approve, authorise
from orchestrator.oversight.requests import find, pending
from orchestrator.people import ANONYMOUS, Signatory
from orchestrator.policy import Role
from tests.forked import CONTEXT
from tests.oversight.conftest import ALICE, BOB, CAROL, MALLORY, NOBODY, START, adopt, happened, ruleset, signatory
from tests.profile import FULL

RULES = ruleset()
MATTER = {"action": "created", "name": "k"}
ACCOUNT = "5df359f0-d299-40a1-8023-17c77a50144c"


async def ask(journal, clock, content=MATTER, *, needed=1, by="os:deploy", role=Role.ADMINISTRATOR, rules=RULES):
    return await authorise(
        journal,
        subject="keys",
        role=role,
        content=content,
        needed=needed,
        by=by,
        settings=rules,
        clock=clock,
    )


async def say(journal, clock, request, who=ALICE, rules=RULES):
    return await approve(journal, request, signatory(who), settings=rules, clock=clock)


async def test_nothing_is_asked_where_nobody_is_needed(journal, clock):
    assert await ask(journal, clock, needed=0) == Granted(None)
    assert await happened(journal) == []


async def test_it_is_asked_for_once_and_granted_once_approved(journal, clock):
    first = await ask(journal, clock)
    assert isinstance(first, Waiting)
    assert first.request.id[:12] in first.text
    clock.forward(60)
    again = await ask(journal, clock, by="os:other")
    assert isinstance(again, Waiting)
    assert again.request.id == first.request.id
    assert await happened(journal) == ["approval_requested"]
    done = await say(journal, clock, first.request)
    assert done.is_granted
    assert await ask(journal, clock) == Granted(first.request.id)
    asked = done.approval.asked
    assert (asked.content, asked.needed, asked.by, asked.role) == (
        '{"action":"created","name":"k"}',
        1,
        "os:deploy",
        "administrator",
    )
    assert asked.expires_at == START + timedelta(hours=1)


async def test_what_was_used_is_asked_for_anew(journal, clock):
    first = await ask(journal, clock)
    await say(journal, clock, first.request)
    length = (await read_oversight(journal)).length
    await journal.append(DECISIONS_STREAM, [o.ApprovalUsed(request=first.request.id)], after=length, at=clock())
    clock.forward(1)
    second = await ask(journal, clock)
    assert isinstance(second, Waiting)
    assert second.request.id != first.request.id
    for call in (say(journal, clock, first.request), find(journal, first.request.id, settings=RULES, clock=clock)):
        with pytest.raises(OrchestratorError) as caught:
            await call
        assert caught.value.code == "approval_used"


async def test_another_matter_another_number_or_role_is_another_request(journal, clock):
    first = await ask(journal, clock)
    await say(journal, clock, first.request)
    for changed in ({"content": {**MATTER, "name": "l"}}, {"needed": 2}, {"role": Role.APPROVER}):
        assert isinstance(await ask(journal, clock, **changed), Waiting)
    assert len(await pending(journal, settings=RULES, clock=clock)) == 4


async def test_it_expires(journal, clock):
    first = await ask(journal, clock)
    clock.forward(3599)
    assert isinstance(await ask(journal, clock), Waiting)
    clock.forward(1)
    for call in (say(journal, clock, first.request), find(journal, first.request.id, settings=RULES, clock=clock)):
        with pytest.raises(OrchestratorError) as caught:
            await call
        assert caught.value.code == "approval_expired"
        assert "expired at 2026-03-04T06:06:07Z" in caught.value.message
    assert await pending(journal, settings=RULES, clock=clock) == []
    second = await ask(journal, clock)
    assert isinstance(second, Waiting)
    assert second.request.id != first.request.id


async def test_an_approval_expires_with_its_request(journal, clock):
    first = await ask(journal, clock)
    await say(journal, clock, first.request)
    clock.forward(3600)
    assert isinstance(await ask(journal, clock), Waiting)


async def test_twice_by_one_person_is_once(journal, clock):
    asked = await ask(journal, clock, needed=2)
    assert isinstance(asked, Waiting)
    for _ in range(3):
        told = await say(journal, clock, asked.request)
        assert told.by == ("alice",)
        assert not told.is_granted
    assert await happened(journal) == ["approval_requested", "approval_given"]
    told = await say(journal, clock, asked.request, BOB)
    assert told.is_granted


async def test_whoever_asked_does_not_approve(journal, clock):
    asked = await ask(journal, clock, by="alice")
    assert isinstance(asked, Waiting)
    with pytest.raises(OrchestratorError) as caught:
        await say(journal, clock, asked.request)
    assert caught.value.code == "approval_by_requester"
    assert (await say(journal, clock, asked.request, BOB)).is_granted


async def test_a_person_who_proves_that_she_asks_is_named_and_does_not_approve(journal, clock):
    told = await authorise(
        journal,
        subject="keys",
        role=Role.ADMINISTRATOR,
        content=MATTER,
        needed=1,
        by="os:deploy",
        settings=RULES,
        clock=clock,
        signatory=signatory(ALICE),
    )
    assert isinstance(told, Waiting)
    asked = told.request.approval.asked
    assert (asked.by, asked.address) == ("alice", ALICE.address)
    text = approval_text(asked, await journal.identity())
    assert eip191.recover(text.encode(), bytes.fromhex(asked.signature[2:])) == ALICE.address
    with pytest.raises(OrchestratorError) as caught:
        await say(journal, clock, told.request)
    assert caught.value.code == "approval_by_requester"
    # Her signature as the asker, put in as an approval by whoever can write to the database, is none.
    forged = o.ApprovalGiven(request=told.request.id, person="alice", address=asked.address, signature=asked.signature)
    await journal.append(DECISIONS_STREAM, [forged], after=1, at=clock())
    assert isinstance(await ask(journal, clock), Waiting)
    assert (await say(journal, clock, told.request, BOB)).is_granted


async def test_a_granted_request_takes_no_further_refusal_and_no_stranger(journal, clock):
    asked = await ask(journal, clock)
    assert isinstance(asked, Waiting)
    for who, code in (
        (signatory(MALLORY), "person_unknown"),
        (ANONYMOUS, "person_needed"),
        (Signatory(person="bob", signature="0x" + ALICE.sign_message(b"another text").hex()), "signature_mismatch"),
    ):
        with pytest.raises(OrchestratorError) as caught:
            await approve(journal, asked.request, who, settings=RULES, clock=clock)
        assert caught.value.code == code
    assert await happened(journal) == ["approval_requested"]


async def test_a_signature_made_elsewhere(journal, clock):
    asked = await ask(journal, clock)
    assert isinstance(asked, Waiting)
    text = approval_text(asked.request.approval.asked, await journal.identity())
    elsewhere = Signatory(signature="0x" + BOB.sign_message(text.encode()).hex())
    assert (await approve(journal, asked.request, elsewhere, settings=RULES, clock=clock)).by == ("bob",)


async def test_a_signature_is_for_one_journal(journal, clock, tmp_path):
    asked = await ask(journal, clock)
    assert isinstance(asked, Waiting)
    async with await Journal.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
        copied = await ask(other, clock)
        assert isinstance(copied, Waiting)
        assert copied.request.id == asked.request.id, "the same matter at the same moment"
        text = approval_text(asked.request.approval.asked, await journal.identity())
        elsewhere = Signatory(person="bob", signature="0x" + BOB.sign_message(text.encode()).hex())
        with pytest.raises(OrchestratorError) as caught:
            await approve(other, copied.request, elsewhere, settings=RULES, clock=clock)
        assert caught.value.code == "signature_mismatch"


async def test_what_is_only_written_and_not_signed_grants_nothing(journal, clock):
    asked = await ask(journal, clock)
    assert isinstance(asked, Waiting)
    forged = [
        o.ApprovalGiven(request=asked.request.id, person="bob", address=BOB.address, signature="0x" + "33" * 65),
        o.ApprovalGiven(request=asked.request.id, person="carol", address=CAROL.address, signature="nonsense"),
        o.ApprovalGiven(request=asked.request.id, person="os:root"),
    ]
    await journal.append(DECISIONS_STREAM, forged, after=1, at=clock())
    assert isinstance(await ask(journal, clock), Waiting)
    assert (await say(journal, clock, asked.request, BOB)).by == ("bob",)
    assert isinstance(await ask(journal, clock), Granted)


async def test_an_approval_is_of_the_content_that_its_text_shows(journal, clock):
    """``content_hash`` finds the request, ``content`` is what the approver reads: they must belong together."""
    harmful = await ask(journal, clock)
    assert isinstance(harmful, Waiting)
    clock.forward(1)
    shown = request_approval(
        "keys",
        "administrator",
        {"a": "comma"},
        needed=1,
        by="os:m",
        now=clock(),
        expires_at=clock() + timedelta(hours=1),
    ).model_copy(update={"content_hash": harmful.request.approval.asked.content_hash})
    await journal.append(DECISIONS_STREAM, [shown], after=1, at=clock())
    await say(journal, clock, await find(journal, shown.request, settings=RULES, clock=clock))
    assert isinstance(await ask(journal, clock), Waiting)


async def test_whoever_has_left_counts_no_more(journal, clock):
    asked = await ask(journal, clock)
    assert isinstance(asked, Waiting)
    await say(journal, clock, asked.request, ALICE)
    without = ruleset(people={"bob": {"address": BOB.address, "roles": ["administrator", "approver"]}})
    await adopt(journal, without, clock)
    assert isinstance(await ask(journal, clock), Waiting)
    with pytest.raises(OrchestratorError) as caught:
        await say(journal, clock, asked.request, CAROL)
    assert caught.value.code == "person_unknown"


async def test_without_people_the_systems_user_is_taken_at_the_systems_word(journal, clock):
    asked = await ask(journal, clock, by="os:somebody-else", rules=NOBODY)
    assert isinstance(asked, Waiting)
    done = await approve(journal, asked.request, ANONYMOUS, settings=NOBODY, clock=clock)
    assert done.is_granted
    own = await ask(journal, clock, {"x": 1}, by=done.by[0], rules=NOBODY)
    assert isinstance(own, Waiting)
    with pytest.raises(OrchestratorError) as caught:
        await approve(journal, own.request, ANONYMOUS, settings=NOBODY, clock=clock)
    assert caught.value.code == "approval_by_requester"


# --- finding ---------------------------------------------------------------------------------------------------------


async def closure(journal, clock, account=ACCOUNT, **content):
    asked = request_approval(
        "closure",
        "approver",
        {"accountId": account, **content},
        needed=1,
        by="os:deploy",
        now=clock(),
        expires_at=clock() + timedelta(hours=1),
    )
    after = len(await journal.read(account))
    await journal.append(account, [asked], after=after, at=clock())
    return asked


async def test_requests_are_found_in_all_streams(journal, clock):
    keys = await ask(journal, clock)
    clock.forward(1)
    asked = await closure(journal, clock)
    assert isinstance(keys, Waiting)
    requests = await pending(journal, settings=RULES, clock=clock)
    assert [(r.id, r.account_id) for r in requests] == [(keys.request.id, None), (asked.request, ACCOUNT)]
    for what in (ACCOUNT, ACCOUNT.upper(), asked.request, asked.request[:8]):
        assert (await find(journal, what, settings=RULES, clock=clock)).id == asked.request
    given = await say(journal, clock, requests[1])
    assert given.is_granted
    assert await happened(journal, ACCOUNT) == ["approval_requested", "approval_given"]
    assert await happened(journal) == ["approval_requested"]


async def test_what_is_not_there_or_not_clear(journal, clock):
    await closure(journal, clock)
    clock.forward(1)
    newest = await closure(journal, clock, wallet="another")
    assert (await find(journal, ACCOUNT, settings=RULES, clock=clock)).id == newest.request
    for name in ("a", "b"):
        await authorise(
            journal,
            subject="ruleset",
            role=Role.ADMINISTRATOR,
            content={"to": name},
            needed=1,
            by="os:deploy",
            settings=RULES,
            clock=clock,
        )
    for what, code in (
        ("policy", "approval_ambiguous"),
        ("account", "approval_unknown"),
        ("abc", "approval_unknown"),
        ("", "approval_unknown"),
        ("f" * 64, "approval_unknown"),
    ):
        with pytest.raises(OrchestratorError) as caught:
            await find(journal, what, settings=RULES, clock=clock)
        assert caught.value.code == code


async def test_an_approval_waits_for_no_worker_of_the_account(journal, clock):
    """The account's stream grows while somebody approves: the approval is written after what came."""
    asked = await closure(journal, clock)
    request = await find(journal, asked.request, settings=RULES, clock=clock)

    async def work():
        written = 0
        while written < 5:
            after = len(await journal.read(ACCOUNT))
            try:
                await journal.append(ACCOUNT, [e.OperationContinued()], after=after, at=clock())
            except JournalError as error:
                if error.code != "journal_conflict":  # the approval came in between: a worker looks again
                    raise
            else:
                written += 1

    await asyncio.gather(work(), say(journal, clock, request))
    assert sorted(await happened(journal, ACCOUNT)) == [
        "approval_given",
        "approval_requested",
        *["operation_continued"] * 5,
    ]


# --- processes -------------------------------------------------------------------------------------------------------


ROUNDS = 200 if FULL else 5


def _ask_in_a_process(url, barrier, answers):
    """Asks for the same matters at the same moments as the others."""

    async def body():
        async with await Journal.open(url) as journal:
            found = []
            for number in range(ROUNDS):
                barrier.wait(60)
                asked = await ask(journal, lambda: START, {"n": number}, by=multiprocessing.current_process().name)
                found.append(asked.request.id)
            answers.put(found)

    asyncio.run(body())


async def test_processes_that_ask_at_once_make_one_request(shared, clock):
    url, journal = shared
    context = CONTEXT
    barrier, answers = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_ask_in_a_process, args=(url, barrier, answers)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=240) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    answers.close()
    answers.join_thread()
    assert found[0] == found[1] == found[2], "whoever was quicker, all wait for one request"
    assert await happened(journal) == ["approval_requested"] * ROUNDS
