"""What people have decided about a key holds for the key, whatever its file is called and whatever stands in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import KeyUnavailable
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import End, Halt, Wait
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.models import ChainId, OperationKind, to_address
from orchestrator.policy import Approvals, KeyPolicy, Limit, Person, Policy, Role
from tests.authorization.decisions import changed, decide, stop

ACTIVATE, CLOSE = OperationKind.ACTIVATE, OperationKind.CLOSE
ELSEWHERE = to_address("0x" + "1" * 40)
"""Another key's address."""
ASKING = Policy(
    limits=(),
    people={"alice": Person(address=to_address("0x" + "a" * 40), roles=tuple(Role))},
    approvals=Approvals(closure=0, policy=0, roles=0, keys=1, finality=0),
)
FIRST_USE = ASKING.model_copy(update={"keys": KeyPolicy(binding="first_use")})


# --- stops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known_by", ["stop", "journal"])
def test_a_stopped_key_signs_under_no_other_name(lab, known_by):
    """Its file was copied under another name, or another host has attached the same key of a service as another."""
    here = lab()
    account = here.create().id
    if known_by == "stop":
        decide(here, stop("key:owner", address=here.keys.address))
    else:
        decide(here, changed(here, name="owner"), stop("key:owner"))
    waits = here.start(account, ACTIVATE).action
    assert isinstance(waits, Wait)
    assert "resume-signing" in waits.waits_for
    assert here.keys.signed == []
    decide(here, o.SigningResumed(stop="stop-1", people=("alice", "bob")))
    assert here.settle(account) == End("done")


def test_a_stop_of_another_key_stops_nothing(lab):
    here = lab()
    decide(here, stop("key:owner", address=ELSEWHERE))
    assert here.complete(here.create().id, ACTIVATE) == End("done")


def test_a_signature_of_a_stopped_key_under_another_name_is_not_sent(lab):
    here = lab()
    account = here.create().id
    here.faults.queue.append(("submit", "unreachable"))
    here.start(account, ACTIVATE)
    assert len(here.keys.signed) == 1
    decide(here, stop("key:owner", address=here.keys.address))
    here.pass_time(minutes=5)
    assert isinstance(here.advance(account).action, Wait)
    assert here.account(account).accepted == []


def close(here, account):
    """What a closure comes to in the end: the error, or what is to be done."""
    here.begin(account, CLOSE)
    for _ in range(20):
        try:
            action = here.advance(account).action
        except KeyUnavailable as error:
            return error
        if here.account(account).job is not None:
            here.platform.work(here.account(account))
        here.pass_time(minutes=1)
    return action


def test_no_certificate_is_signed_by_a_key_that_is_stopped_or_disabled_under_another_name(lab):
    here = lab()
    account = here.create().id
    assert here.complete(account, ACTIVATE) == End("done")
    here.certifier.key, here.certifier.key_address = "certificate", ELSEWHERE
    decide(here, stop("key:seal", address=ELSEWHERE))
    assert "resume-signing" in close(here, account).waits_for
    decide(here, o.SigningResumed(stop="stop-1", people=("alice", "bob")))
    decide(here, changed(here, "disabled", name="seal", address=ELSEWHERE, disabled=True))
    assert close(here, account).code == "key_disabled"
    assert here.events(account, e.ClosureProven) == []
    decide(here, changed(here, "enabled", name="seal", address=ELSEWHERE))
    assert here.settle(account) == End("done")


def test_a_limit_of_a_key_counts_under_another_name_too(lab):
    here = lab(policy=Policy(limits=(Limit(per="key", signatures=1, seconds=3600),)))
    first, second = here.create("one").id, here.create("two").id
    here.start(first, ACTIVATE)
    here.keys.name = "copy"
    assert here.start(second, ACTIVATE).trouble.code == "signing_limit"
    assert len(here.keys.signed) == 1


# --- bindings, where changes of keys take approval -------------------------------------------------------------------


def refused(here, account) -> str:
    halted = here.start(account, ACTIVATE).action
    assert isinstance(halted, Halt)
    assert halted.code == "policy_refused"
    assert here.keys.signed == []
    return halted.message


def bound_in_the_journal(here):
    return [
        item.event.wallets for item in here.run(here.journal.read(DECISIONS_STREAM)) if item.event.type == "key_changed"
    ]


def test_a_key_that_was_bound_by_hand_signs_nothing_until_the_journal_says_so(lab):
    here = lab(policy=ASKING)
    decide(here, changed(here, "rotated", wallets=()))
    account = here.create().id
    (wallet,) = here.keys.wallets
    message = refused(here, account)
    assert message.startswith(f"rule binding: expected a key bound to {wallet}, got one bound to no wallet; only the ")
    assert message.endswith(f"type orchestrator keys bind model --wallet {wallet}")
    decide(here, changed(here, "bound", wallets=(wallet,)))
    here.resolve(account, "retry")
    assert here.settle(account) == End("done")


@pytest.mark.parametrize("policy", [ASKING, FIRST_USE])
@pytest.mark.parametrize("bound", [True, False])
def test_a_key_file_that_the_journal_has_not_heard_of_signs_nothing(lab, policy, bound):
    """A copy of a key's file under another name, or one made elsewhere: nobody has approved that it is there."""
    here = lab(policy=policy)
    here.keys.name = "copy"
    if not bound:
        here.keys.wallets = ()
    assert "keys bind copy --wallet eip155:31337:" in refused(here, here.create().id)


def test_the_first_use_binds_a_key_that_the_journal_knows_and_takes_nothing_over_from_its_file(lab):
    here = lab(policy=FIRST_USE)
    decide(here, changed(here, "created", wallets=()))
    (wallet,) = here.keys.wallets
    here.keys.wallets = (replace(wallet, chain=ChainId(1)), wallet)
    assert here.complete(here.create().id, ACTIVATE) == End("done")
    assert bound_in_the_journal(here)[-1] == (str(wallet),)


def test_what_the_journal_says_is_bound_is_bound_whatever_became_of_the_file(lab):
    here = lab(policy=ASKING)
    here.keys.wallets = ()
    before = bound_in_the_journal(here)
    assert here.complete(here.create().id, ACTIVATE) == End("done")
    assert bound_in_the_journal(here) == before


def test_two_hosts_may_call_their_keys_the_same(lab):
    here = lab(policy=ASKING)
    decide(here, changed(here, "created", address=ELSEWHERE))
    assert here.complete(here.create().id, ACTIVATE) == End("done")
