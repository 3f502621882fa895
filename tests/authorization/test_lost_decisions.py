"""A backup that is put back forgets what people have decided since: nobody ends a stop that way, or enables a key."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from orchestrator.authorization.restore_guard import is_decision
from orchestrator.errors import KeyUnavailable
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import End, Halt, Wait
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.models import OperationKind
from orchestrator.policy import Approvals, Person, Policy, Role, Ruleset
from tests.authorization.decisions import backup, decide, oversight, reconciled, restart, restore, stop

ACTIVATE = OperationKind.ACTIVATE
PEOPLE = {"alice": Person(address="0x2c7536E3605D9C16a7a3D7b1898e529396a65c23", roles=tuple(Role))}


def end_stops(here):
    decide(here, *(o.SigningResumed(stop=stop.id, people=("alice", "bob")) for stop in oversight(here).stops))


def disabled(here):
    return o.KeyChanged(
        action="disabled", name="model", address=here.keys.address, backend="keystore", wallets=(), disabled=True,
        keystore=here.keys.id, by="os:eve",
    )  # fmt: skip


@pytest.fixture
def here(lab):
    """One account is active, and the backup is of that moment."""
    here = lab()
    assert here.complete(here.create().id, ACTIVATE) == End("done")
    here.second = here.create("two").id
    backup(here)
    return here


@pytest.mark.parametrize("what", ["stop", "disabled key"])
def test_a_lost_decision_leaves_signing_stopped_until_two_people_have_looked(here, what):
    decide(here, stop() if what == "stop" else disabled(here))
    lost = here.run(here.journal.read(DECISIONS_STREAM))[-1]
    with nullcontext() if what == "stop" else pytest.raises(KeyUnavailable, match="is disabled"):
        here.start(here.second, ACTIVATE)
    before = len(here.keys.signed)
    restore(here)
    assert here.start(here.second, ACTIVATE).action.code == "journal_restored"
    done = reconciled(here)
    assert f"decisions of people were lost with the database, up to event {lost.seq} of 2026-" in done.stopped.reason
    assert oversight(here).stops == (done.stopped,)
    types = [item.event.type for item in here.run(here.journal.read(DECISIONS_STREAM))]
    assert types[-2:] == ["journal_reconciled", "signing_stopped"], "in one append: no kill comes between them"
    assert reconciled(here) is None, "once is enough"
    here.resolve(here.second, "retry")
    waits = here.advance(here.second).action
    assert isinstance(waits, Wait)
    assert "two people end that" in waits.waits_for
    assert len(here.keys.signed) == before
    assert here.run(here.journal.verify()).valid
    end_stops(here)
    assert here.settle(here.second) == End("done")


def test_the_same_backup_put_back_again_stops_again(here):
    decide(here, stop())
    here.start(here.second, ACTIVATE)
    for _ in range(2):
        restore(here)
        assert here.start(here.second, ACTIVATE).action.code == "journal_restored"
        assert reconciled(here).stopped is not None
    end_stops(here)
    here.resolve(here.second, "retry")
    assert here.settle(here.second) == End("done")


def test_what_people_have_looked_at_is_not_told_to_them_again(here):
    decide(here, stop())
    here.start(here.second, ACTIVATE)
    restore(here)
    here.start(here.second, ACTIVATE)
    assert reconciled(here).stopped is not None
    end_stops(here)
    here.resolve(here.second, "retry")
    here.advance(here.second)
    third = here.create("three").id
    backup(here)
    here.faults.queue.append(("submit", "unreachable"))
    here.start(third, ACTIVATE)
    restore(here)
    assert here.start(third, ACTIVATE).action.code == "journal_restored"
    assert reconciled(here).stopped is None, "a signature was lost, and no decision"


def test_a_lost_decision_is_told_where_signatures_were_lost_behind_it(here):
    """The log's last line is that of a signature then, and of a change that nobody was asked about."""
    decide(here, stop(), o.SigningResumed(stop=stop().stop, people=("alice", "bob")))
    here.services = replace(
        here.services, ruleset=here.services.ruleset.model_copy(update={"domains": ("platform.example", "x")})
    )
    here.runner = type(here.runner)(here.services)
    assert here.complete(here.second, ACTIVATE) == End("done")
    restore(here)
    assert isinstance(here.start(here.create("three").id, ACTIVATE).action, Halt)
    assert reconciled(here).stopped is not None


def test_a_first_ruleset_that_asks_nobody_is_no_lost_decision(lab):
    here = lab()
    account, second = here.create().id, here.create("two").id
    backup(here)
    assert here.complete(account, ACTIVATE) == End("done")
    restore(here)
    assert here.start(second, ACTIVATE).action.code == "journal_restored"
    assert reconciled(here).stopped is None
    here.resolve(second, "retry")
    assert here.settle(second) == End("done")


def test_a_new_journal_for_a_used_keystore_does_not_end_a_stop_either(here, tmp_path):
    decide(here, stop())
    here.start(here.second, ACTIVATE)
    here.run(here.journal.close())
    restart(here, f"sqlite:///{tmp_path}/new.db")
    account = here.create("in the new journal").id
    assert "another journal" in here.start(account, ACTIVATE).action.message
    assert reconciled(here).stopped is not None
    here.resolve(account, "retry")
    assert isinstance(here.advance(account).action, Wait)


RULES = Ruleset(policy=Policy(), domains=(), confirmations=1)
ASKING = Policy(people=PEOPLE, approvals=Approvals(closure=0, policy=1, roles=0, keys=0, finality=0))


def adopted(ruleset, **more):
    return o.RulesetAdopted(ruleset="h", document=ruleset.model_dump_json(), by="os:eve", **more)


def key(action, **more):
    return o.KeyChanged(
        **{"action": action, "name": "k", "address": "0x", "backend": "keystore", "wallets": (), "disabled": False,
           "keystore": "id", "by": "os:eve", **more}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "decided"),
    [
        (stop(), True),
        (o.HistoryImported(source="j", sha256="0", signatures=1, by="os:eve"), True),
        (adopted(RULES), False),
        (adopted(RULES, request="r"), True),
        (adopted(RULES.model_copy(update={"policy": ASKING})), True),
        (adopted(RULES).model_copy(update={"document": '{"of": "a newer release"}'}), True),
        (key("created"), False),
        (key("bound"), False),
        (key("bound", request="r"), True),
        (key("disabled", disabled=True), True),
    ],
)
def test_what_is_a_decision_of_people(event, decided):
    assert is_decision(event) is decided
