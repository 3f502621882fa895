"""The emergency stop: one person stops, two let it go on."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.authorization.gate import read_oversight
from orchestrator.errors import OrchestratorError, SettingsError
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.lifecycle.person_signatures import resume_text
from orchestrator.oversight.stops import resume, stop, to_scope
from orchestrator.people import ANONYMOUS, Signatory, system_user
from tests.oversight.conftest import ALICE, BOB, CAROL, MALLORY, NOBODY, adopt, happened, ruleset, signatory

RULES = ruleset()


def test_scopes():
    assert to_scope() == "all"
    assert to_scope(key="alice") == "key:alice"
    assert to_scope(chain="eip155:1") == "chain:eip155:1"
    for wrong in ({"key": "a", "chain": "eip155:1"}, {"key": "../a"}, {"key": ""}, {"chain": "solana:x"}):
        with pytest.raises(SettingsError):
            to_scope(**wrong)


async def test_one_person_stops_and_a_second_stop_of_the_scope_changes_nothing(journal, clock):
    seen = await stop(journal, "all", " a key\nleaked ", by="os:night", clock=clock)
    (held,) = seen.stops
    assert (held.scope, held.reason, held.by, held.since) == ("all", "a key leaked", "os:night", clock())
    assert await stop(journal, "all", "", by="os:day", clock=clock) == seen
    assert len((await stop(journal, "key:alice", "", by="os:day", clock=clock)).stops) == 2
    assert await happened(journal) == ["signing_stopped"] * 2
    stopped = (await read_oversight(journal)).stop_for_key("alice", address=None, chain="eip155:1")
    assert stopped is not None
    assert stopped.scope == "all"


async def test_a_stop_of_a_key_is_one_of_its_address(journal, clock):
    """By what the command knows, and by what the journal had heard: whichever host knows the key by whichever name."""

    def held_up(seen, key, address):
        return seen.stop_for_key(key, address=address, chain="eip155:1") is not None

    for name, key in (("owner", ALICE), ("owner", BOB), ("other", CAROL)):
        made = o.KeyChanged(
            action="created", name=name, address=key.address, backend="keystore", wallets=(), disabled=False,
            keystore="k", by="os:a",
        )  # fmt: skip
        await journal.append(DECISIONS_STREAM, [made], after=len(await journal.read(DECISIONS_STREAM)), at=clock())
    seen = await stop(journal, "key:owner", "r", by="os:night", clock=clock)
    assert [held_up(seen, "copy", key.address) for key in (ALICE, BOB, CAROL)] == [True, True, False]
    assert held_up(seen, "owner", MALLORY.address)
    assert not held_up(seen, "copy", MALLORY.address)
    for _ in range(2):
        seen = await stop(journal, "key:owner", "r", by="os:night", clock=clock, address=MALLORY.address)
        assert held_up(seen, "copy", MALLORY.address)
        assert len(seen.stops) == 2, "a stop that covers one address more is a stop of its own, and is written once"
    for key in (ALICE, BOB):
        ended = await resume(journal, "key:owner", signatory(key), settings=RULES, clock=clock)
    assert ended.oversight.stops == ()


async def test_two_different_people_end_it(journal, clock):
    await stop(journal, "all", "r", by="os:night", clock=clock)
    first = await resume(journal, "all", signatory(ALICE), settings=RULES, clock=clock)
    assert not first.done
    assert [agreed.person for agreed in first.waiting[0].agreed] == ["alice"]
    again = await resume(journal, "all", signatory(ALICE), settings=RULES, clock=clock)
    assert not again.done
    assert await happened(journal) == ["signing_stopped", "resume_agreed"]
    second = await resume(journal, "all", signatory(BOB), settings=RULES, clock=clock)
    assert second.done
    assert second.oversight.stops == ()
    last = (await journal.read(DECISIONS_STREAM))[-1].event
    assert isinstance(last, o.SigningResumed)
    assert last.people == ("alice", "bob")
    assert (await resume(journal, "all", signatory(CAROL), settings=RULES, clock=clock)).done, "nothing is stopped"
    assert len(await happened(journal)) == 4


async def test_only_the_named_scope_is_resumed(journal, clock):
    for scope in ("all", "key:a"):
        await stop(journal, scope, "r", by="os:night", clock=clock)
    for key in (ALICE, BOB):
        ended = await resume(journal, "key:a", signatory(key), settings=RULES, clock=clock)
    assert ended.done
    assert [held.scope for held in ended.oversight.stops] == ["all"]


async def test_a_stop_that_is_said_again_after_an_agreement_takes_two_people_again(journal, clock):
    await stop(journal, "all", "first", by="os:night", clock=clock)
    await resume(journal, "all", signatory(ALICE), settings=RULES, clock=clock)
    await stop(journal, "all", "still bad", by="os:night", clock=clock)
    after_bob = await resume(journal, "all", signatory(BOB), settings=RULES, clock=clock)
    assert [held.reason for held in after_bob.waiting] == ["still bad"]
    assert (await resume(journal, "all", signatory(ALICE), settings=RULES, clock=clock)).done


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (signatory(MALLORY), "person_unknown"),
        (ANONYMOUS, "person_needed"),
        (Signatory(key=ALICE, person="bob"), "signature_mismatch"),
        (Signatory(key=ALICE, person="eve"), "person_unknown"),
        (Signatory(person="alice", signature="0x12"), "person_signature"),
        (Signatory(person="alice", signature="0x" + "00" * 65), "signature_malformed"),
        (Signatory(key=ALICE, signature="0x" + "11" * 65), "usage"),
    ],
)
async def test_nobody_else_ends_it(journal, clock, who, code):
    await stop(journal, "all", "r", by="os:night", clock=clock)
    with pytest.raises(OrchestratorError) as caught:
        await resume(journal, "all", who, settings=RULES, clock=clock)
    assert caught.value.code == code
    assert await happened(journal) == ["signing_stopped"]


async def test_the_role_is_that_of_the_ruleset_in_force(journal, clock):
    without = ruleset(
        people={
            name: {"address": key.address, "roles": roles}
            for name, key, roles in (
                ("alice", ALICE, ["operator"]),
                ("bob", BOB, ["operator"]),
                ("carol", CAROL, ["administrator"]),
            )
        },
        approvals=dict.fromkeys(("closure", "policy", "roles", "keys", "finality"), 0),
    )
    await adopt(journal, without, clock)
    await stop(journal, "all", "r", by="os:night", clock=clock)
    with pytest.raises(OrchestratorError) as caught:  # whatever this process' own settings say
        await resume(journal, "all", signatory(CAROL), settings=RULES, clock=clock)
    assert (caught.value.code, caught.value.message) == (
        "person_role",
        "carol: expected the role operator, got the roles administrator",
    )
    await resume(journal, "all", signatory(ALICE), settings=RULES, clock=clock)
    await adopt(journal, ruleset(people={"bob": {"address": BOB.address, "roles": ["operator", "approver",
        "administrator"]}, "carol": {"address": CAROL.address, "roles": ["operator"]}}), clock)  # fmt: skip
    assert not (await resume(journal, "all", signatory(BOB), settings=RULES, clock=clock)).done, "alice has left"
    assert (await resume(journal, "all", signatory(CAROL), settings=RULES, clock=clock)).done


async def test_a_ruleset_with_one_operator_says_that_it_cannot_be_ended(journal, clock):
    alone = ruleset(people={"alice": {"address": ALICE.address, "roles": ["operator", "administrator", "approver"]}})
    await stop(journal, "all", "r", by="os:night", clock=clock)
    with pytest.raises(OrchestratorError, match="1 \\(alice\\)") as caught:
        await resume(journal, "all", signatory(ALICE), settings=alone, clock=clock)
    assert caught.value.code == "resume_impossible"


async def test_without_people_the_systems_users_are_asked_and_one_is_not_two(journal, clock):
    await stop(journal, "all", "r", by=system_user(), clock=clock)
    for _ in range(3):
        assert not (await resume(journal, "all", ANONYMOUS, settings=NOBODY, clock=clock)).done
    assert await happened(journal) == ["signing_stopped", "resume_agreed"]
    with pytest.raises(OrchestratorError) as caught:
        await resume(journal, "all", signatory(ALICE), settings=NOBODY, clock=clock)
    assert caught.value.code == "person_unknown"


async def test_a_signature_made_elsewhere_counts_and_one_over_another_stop_does_not(journal, clock):
    for scope in ("all", "key:a"):
        await stop(journal, scope, "r", by="os:night", clock=clock)
    seen, identity = await read_oversight(journal), await journal.identity()
    mine = next(held for held in seen.stops if held.scope == "all")
    signature = ALICE.sign_message(resume_text(mine, identity).encode())
    old_form = signature[:64] + bytes((signature[64] - 27,))
    elsewhere = Signatory(person="alice", signature="0x" + old_form.hex())
    with pytest.raises(OrchestratorError) as caught:
        await resume(journal, "key:a", elsewhere, settings=RULES, clock=clock)
    assert caught.value.code == "signature_mismatch"
    assert ALICE.address in caught.value.message
    assert [a.person for a in (await resume(journal, "all", elsewhere, settings=RULES, clock=clock)).waiting[0].agreed]
    text = resume_text(mine, "another journal")
    with pytest.raises(OrchestratorError):
        await resume(
            journal,
            "all",
            Signatory(person="bob", signature="0x" + BOB.sign_message(text.encode()).hex()),
            settings=RULES,
            clock=clock,
        )


async def test_what_is_only_written_and_not_signed_does_not_count(journal, clock):
    """Whoever can write to the database cannot speak for people."""
    await stop(journal, "all", "r", by="os:night", clock=clock)
    (held,) = (await read_oversight(journal)).stops
    forged = o.ResumeAgreed(stop=held.id, person="bob", address=BOB.address, signature="0x" + "22" * 65)
    await journal.append(DECISIONS_STREAM, [forged], after=1, at=clock())
    assert not (await resume(journal, "all", signatory(ALICE), settings=RULES, clock=clock)).done
    assert (await resume(journal, "all", signatory(BOB), settings=RULES, clock=clock)).done


async def test_many_at_once(shared, clock):
    """Stops and agreements of several connections: each is written once, whoever is quicker."""
    url, journal = shared
    async with await Journal.open(url) as other:
        both = (journal, other)
        await asyncio.gather(*(stop(j, "all", "r", by="os:night", clock=clock) for j in both for _ in range(4)))
        assert await happened(journal) == ["signing_stopped"]
        ended = await asyncio.gather(
            *(
                resume(j, "all", signatory(key), settings=RULES, clock=clock)
                for j in both
                for key in (ALICE, BOB)
                for _ in range(2)
            )
        )
    assert any(one.done for one in ended)
    assert sorted(await happened(journal)) == ["resume_agreed"] * 2 + ["signing_resumed", "signing_stopped"]
