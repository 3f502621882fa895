"""Who asks for a closure or a changed ruleset: a person who proves it does not approve what she has asked for."""

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from coincurve import PrivateKey

from orchestrator import eip191
from orchestrator.errors import KeyUnavailable, PolicyRefused
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import End, Wait
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, fold_oversight, request_approval
from orchestrator.lifecycle.person_signatures import approval_text, is_asker_proven
from orchestrator.lifecycle.stages import Parameters
from orchestrator.models import OperationKind
from orchestrator.oversight.approvals import approve
from orchestrator.oversight.requests import find
from orchestrator.people import ANONYMOUS, Signatory
from orchestrator.policy import Approvals, Person, Policy, Role

ACTIVATE, CLOSE = OperationKind.ACTIVATE, OperationKind.CLOSE


@dataclass
class Key:
    """A person's key; it may not sign on the event loop, which scrypt would hold up."""

    secret: PrivateKey
    asked: list[bytes] = field(default_factory=list)

    @property
    def address(self):
        return eip191.address_of(self.secret.public_key)

    def sign_message(self, message: bytes) -> bytes:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        self.asked.append(message)
        return eip191.sign(self.secret, message)


NAMES = ("alice", "bob", "carol")
KEYS = {name: Key(PrivateKey(bytes((10 + place,)) * 32)) for place, name in enumerate(NAMES)}
PEOPLE = {name: Person(address=KEYS[name].address, roles=tuple(Role)) for name in NAMES}
MALLORY = Key(PrivateKey(b"\x66" * 32))


def asking(**changed) -> Policy:
    numbers = {"closure": 1, "policy": 1, "roles": 1, "keys": 1, "finality": 1, "expires": 7200, **changed}
    return Policy(limits=(), people=PEOPLE, approvals=Approvals(**numbers))


def services(lab, *, signatory=ANONYMOUS, **approvals):
    policy = asking(**approvals)
    here = lab(policy=policy, parameters=parameters_of(policy))
    run_by(here, signatory)
    return here


def parameters_of(policy: Policy) -> Parameters:
    return Parameters(closure_approvals=policy.approvals.closure, asker=policy.approvals.asker)


def run_by(here, signatory, **ruleset) -> None:
    """Another process: run by somebody else, or with other settings."""
    after = here.services.ruleset.model_copy(update=ruleset)
    here.services = replace(here.services, signatory=signatory, ruleset=after, parameters=parameters_of(after.policy))
    here.runner = type(here.runner)(here.services)


def identity(here) -> str:
    return here.run(here.journal.identity())


def write(here, stream, *events) -> None:
    """As whoever can write to the database does."""
    length = len(here.run(here.journal.read(stream)))
    here.run(here.journal.append(stream, list(events), after=length, at=here.now))


def say(here, what, person):
    """A person's approval, as the command gives it."""
    rules = {"settings": here.services.ruleset, "clock": here.services.clock}
    request = here.run(find(here.journal, what, **rules))
    signature = KEYS[person].sign_message(approval_text(request.approval.asked, identity(here)).encode())
    return here.run(approve(here.journal, request, Signatory(signature="0x" + signature.hex()), **rules))


def refused(here, what, person) -> str:
    with pytest.raises(PolicyRefused) as caught:
        say(here, what, person)
    return caught.value.code


def closing(here) -> str:
    account = here.create().id
    assert here.complete(account, ACTIVATE) == End("done")
    assert isinstance(here.start(account, CLOSE).action, Wait)
    return account


def asked_for(here, account) -> o.ApprovalRequested:
    return here.events(account, o.ApprovalRequested)[-1]


def changing(here) -> str:
    """The account that a changed ruleset keeps waiting."""
    account = here.create().id
    here.start(account, ACTIVATE)
    run_by(here, here.services.signatory, confirmations=2)
    assert isinstance(here.advance(account).action, Wait)
    return account


def change_of(here):
    (approval,) = fold_oversight(here.run(here.journal.read(DECISIONS_STREAM))).approvals.values()
    return approval.asked


def test_a_closure_is_asked_for_by_the_person_who_runs_the_process_and_she_does_not_approve_it(lab):
    here = services(lab, signatory=Signatory(key=KEYS["alice"]))
    account = closing(here)
    asked = asked_for(here, account)
    assert (asked.by, asked.address) == ("alice", PEOPLE["alice"].address)
    text = approval_text(asked, identity(here))
    assert "Asked by: alice\n" in text
    assert eip191.recover(text.encode(), bytes.fromhex(asked.signature[2:])) == PEOPLE["alice"].address
    assert refused(here, account, "alice") == "approval_by_requester"
    # Her signature as the asker is over the very text that an approver signs.
    write(here, account, o.ApprovalGiven(request=asked.request, person="alice", signature=asked.signature))
    here.advance(account)
    assert here.account(account).deletes == 0
    assert say(here, account, "bob").by == ("bob",)
    assert here.settle(account) == End("done")


def test_a_changed_ruleset_is_asked_for_by_the_person_who_runs_the_process_and_she_does_not_approve_it(lab):
    here = services(lab, signatory=Signatory(key=KEYS["bob"]))
    account = changing(here)
    asked = change_of(here)
    assert (asked.by, asked.address) == ("bob", PEOPLE["bob"].address)
    text = approval_text(asked, identity(here))
    assert eip191.recover(text.encode(), bytes.fromhex(asked.signature[2:])) == PEOPLE["bob"].address
    assert refused(here, "policy", "bob") == "approval_by_requester"
    write(here, DECISIONS_STREAM, o.ApprovalGiven(request=asked.request, person="bob", signature=asked.signature))
    here.advance(account)
    assert fold_oversight(here.run(here.journal.read(DECISIONS_STREAM))).ruleset.confirmations == 1
    assert say(here, "policy", "alice").by == ("alice",)
    assert here.settle(account) == End("done")
    assert fold_oversight(here.run(here.journal.read(DECISIONS_STREAM))).ruleset.confirmations == 2


def test_nobody_signs_for_what_was_asked_for_before(lab):
    here = services(lab)
    account = closing(here)
    run_by(here, Signatory(key=KEYS["carol"]))
    before = len(KEYS["carol"].asked)
    for _ in range(3):
        assert isinstance(here.advance(account).action, Wait)
    assert len(KEYS["carol"].asked) == before
    assert len(here.events(account, o.ApprovalRequested)) == 1
    assert asked_for(here, account).by == "os:model"


def test_without_a_voice_the_systems_user_asks_and_one_of_the_people_approves(lab):
    here = services(lab)
    account = closing(here)
    assert (asked_for(here, account).by, asked_for(here, account).signature) == ("os:model", None)
    say(here, account, "alice")
    assert here.settle(account) == End("done")


@pytest.mark.parametrize(
    ("key", "code"), [(MALLORY, "person_unknown"), (None, "wrong_password")], ids=["a stranger", "a locked key"]
)
def test_whoever_cannot_prove_who_she_is_asks_for_nothing_and_the_operation_stays_as_it_is(lab, key, code):
    class Locked:
        def sign_message(self, _message):
            raise KeyUnavailable("no", code="wrong_password")

    here = services(lab)
    account = here.create().id
    assert here.complete(account, ACTIVATE) == End("done")
    run_by(here, Signatory(key=key or Locked()))
    here.begin(account, CLOSE)
    with pytest.raises((PolicyRefused, KeyUnavailable)) as caught:
        here.advance(account)
    assert caught.value.code == code
    assert here.events(account, o.ApprovalRequested) == []
    assert here.state(account).operation.halted is None
    run_by(here, Signatory(key=KEYS["alice"]))
    here.advance(account)
    assert asked_for(here, account).by == "alice"


def forged(here, account, *, by, signer=None, text_by=None) -> o.ApprovalRequested:
    """The request of this closure, written again by somebody with a hand on the database."""
    real = asked_for(here, account)
    asked = real.model_copy(update={"request": "f" * 64, "by": by})
    if signer is not None:
        text = approval_text(asked.model_copy(update={"by": text_by or by}), identity(here))
        signature = "0x" + eip191.sign(signer.secret, text.encode()).hex()
        asked = asked.model_copy(update={"address": signer.address, "signature": signature})
    here.pass_time(minutes=1)
    write(here, account, asked)
    return asked


@pytest.mark.parametrize(
    ("signer", "text_by", "out"),
    [
        (None, None, {"bob"}),
        (MALLORY, None, {"bob"}),
        (KEYS["alice"], None, {"bob", "alice"}),
        (KEYS["bob"], "alice", {"bob"}),
    ],
    ids=["without a signature", "a stranger's", "another person's", "over another text"],
)
def test_a_name_that_no_signature_supports_keeps_that_person_out_and_whoever_signed(lab, signer, text_by, out):
    """Neither whom a request names nor who has signed it approves it."""
    here = services(lab)
    account = closing(here)
    asked = forged(here, account, by="bob", signer=signer, text_by=text_by)
    for name in NAMES:
        if name in out:
            assert refused(here, asked.request, name) == "approval_by_requester"
    written = [
        o.ApprovalGiven(
            request=asked.request,
            person=name,
            signature="0x" + eip191.sign(KEYS[name].secret, approval_text(asked, identity(here)).encode()).hex(),
        )
        for name in sorted(out)
    ]
    write(here, account, *written)
    here.advance(account)
    assert here.account(account).deletes == 0
    say(here, asked.request, "carol")
    assert here.settle(account) == End("done")


def test_a_person_who_bears_another_name_since_has_still_asked(lab):
    """The same key is the same person: her signature under the request is not another person's approval."""
    here = services(lab, signatory=Signatory(key=KEYS["alice"]))
    account = closing(here)
    asked = asked_for(here, account)
    renamed = {name.replace("alice", "alicia"): person for name, person in PEOPLE.items()}
    run_by(here, ANONYMOUS, policy=asking().model_copy(update={"people": renamed}))
    here.advance(account)
    say(here, "policy", "bob")
    assert isinstance(here.advance(account).action, Wait)
    assert refused(here, account, "alice") == "approval_by_requester"
    write(here, account, o.ApprovalGiven(request=asked.request, person="alicia", signature=asked.signature))
    here.advance(account)
    assert here.account(account).deletes == 0
    say(here, account, "bob")
    assert here.settle(account) == End("done")


def test_a_request_of_another_journal_does_not_bear_its_signature(lab):
    here = services(lab)
    asked = request_approval(
        "closure", "approver", {"a": 1}, needed=1, by="alice", now=here.now, expires_at=here.now + timedelta(hours=1)
    )
    signed = eip191.sign(KEYS["alice"].secret, approval_text(asked, "another journal").encode())
    copied = asked.model_copy(update={"signature": "0x" + signed.hex()})
    assert is_asker_proven(copied, PEOPLE, "another journal", eip191.recover)
    assert not is_asker_proven(copied, PEOPLE, identity(here), eip191.recover)
    assert not is_asker_proven(asked, PEOPLE, identity(here), eip191.recover)


# --- approvals.asker = "person" --------------------------------------------------------------------------------------


def in_force(here):
    return fold_oversight(here.run(here.journal.read(DECISIONS_STREAM))).ruleset


def test_a_closure_that_no_person_is_proven_to_ask_for_takes_one_more(lab):
    """Whoever of them asked, another one has approved it too."""
    here = services(lab, asker="person")
    account = closing(here)
    told = say(here, account, "alice")
    assert (told.by, told.needed, told.is_granted, told.by_proven) == (("alice",), 2, False, False)
    waits = here.advance(account).action
    assert isinstance(waits, Wait)
    assert "signatures" not in waits.waits_for, "one is missing, and none is wrong"
    assert here.account(account).deletes == 0
    assert say(here, account, "bob").is_granted
    assert here.settle(account) == End("done")


def test_a_closure_that_a_person_asks_for_takes_as_many_others_as_the_policy_says(lab):
    here = services(lab, signatory=Signatory(key=KEYS["alice"]), asker="person")
    account = closing(here)
    assert refused(here, account, "alice") == "approval_by_requester"
    told = say(here, account, "bob")
    assert (told.by, told.needed, told.is_granted, told.by_proven) == (("bob",), 1, True, True)
    assert here.settle(account) == End("done")


@pytest.mark.parametrize("signer", [None, MALLORY, KEYS["alice"]], ids=["no", "a stranger's", "another person's"])
def test_a_persons_name_with_no_signature_of_hers_takes_one_more(lab, signer):
    here = services(lab, asker="person")
    account = closing(here)
    asked = forged(here, account, by="bob", signer=signer)
    told = say(here, asked.request, "carol")
    assert (told.needed, told.is_granted, told.by_proven) == (2, False, False)
    for _ in range(2):
        waits = here.advance(account).action
        assert isinstance(waits, Wait)
    assert here.account(account).deletes == 0
    if signer is not None:  # the event says that a person asks; what the signature says is found when it is to be used
        assert "fewer than 2 hold by their signatures" in waits.waits_for
    if signer is not KEYS["alice"]:
        say(here, asked.request, "alice")
        assert here.settle(account) == End("done")


def test_a_changed_ruleset_that_no_person_is_proven_to_ask_for_takes_one_more(lab):
    here = services(lab, asker="person")
    account = changing(here)
    assert say(here, "policy", "alice").needed == 2
    waits = here.advance(account).action
    assert waits.waits_for.startswith("2 people to approve")
    assert in_force(here).confirmations == 1
    assert say(here, "policy", "bob").is_granted
    assert here.settle(account) == End("done")
    assert in_force(here).confirmations == 2


def test_a_changed_ruleset_that_a_person_asks_for_takes_as_many_others_as_the_policy_says(lab):
    here = services(lab, signatory=Signatory(key=KEYS["carol"]), asker="person")
    account = changing(here)
    assert here.advance(account).action.waits_for.startswith("one person to approve")
    assert say(here, "policy", "alice").is_granted
    assert here.settle(account) == End("done")


def test_the_ruleset_in_force_says_who_may_ask_for_its_own_change(lab):
    here = services(lab, asker="person")
    account = here.create().id
    here.start(account, ACTIVATE)
    run_by(here, ANONYMOUS, policy=asking())
    assert isinstance(here.advance(account).action, Wait)
    assert not say(here, "policy", "alice").is_granted
    here.advance(account)
    assert in_force(here).policy.approvals.asker == "person"
    say(here, "policy", "carol")
    here.advance(account)
    assert in_force(here).policy.approvals.asker == "any"


def test_what_was_asked_for_before_takes_what_the_ruleset_in_force_says_now(lab):
    here = services(lab)
    account = closing(here)
    assert say(here, account, "alice").is_granted
    run_by(here, ANONYMOUS, policy=asking(asker="person"))
    here.advance(account)
    say(here, "policy", "alice")
    assert isinstance(here.advance(account).action, Wait)
    assert in_force(here).policy.approvals.asker == "person"
    assert here.account(account).deletes == 0
    assert say(here, account, "bob").is_granted
    assert here.settle(account) == End("done")


BEFORE = (
    '{"confirmations":1,"domains":["platform.example"],"policy":{"approvals":{"closure":1,"expires":7200,"finality":1,'
    '"keys":1,"policy":1,"roles":1},"challenge":{"chains":[],"domains":[],"expiration":"optional","kinds":["eip4361",'
    '"uuid"],"max_age":3300,"opaque_max_bytes":0,"resources":"platform"},"keys":{"binding":"required","new_journal":'
    '"refuse"},"limits":[],"people":{"alice":{"address":"%s","roles":["approver","administrator","operator"]},"bob":'
    '{"address":"%s","roles":["approver","administrator","operator"]},"carol":{"address":"%s","roles":["approver",'
    '"administrator","operator"]}},"version":1}}'
)
"""A ruleset as it was adopted before there was ``approvals.asker``."""


def test_a_new_release_asks_nobody_to_approve_what_was_in_force(lab):
    here = services(lab)
    document = BEFORE % tuple(PEOPLE[name].address for name in NAMES)
    digest = hashlib.sha256(document.encode()).hexdigest()
    write(here, DECISIONS_STREAM, o.RulesetAdopted(ruleset=digest, document=document, by="os:model"))
    account = here.create().id
    assert here.complete(account, ACTIVATE) == End("done")
    kinds = [item.event.type for item in here.run(here.journal.read(DECISIONS_STREAM))]
    assert kinds == ["key_changed", "ruleset_adopted"]
