"""What ``status`` says an account waits for, by the journal alone, is what whoever works on it says."""

import pytest

from orchestrator.lifecycle.decide import End, Wait
from orchestrator.lifecycle.stages import Parameters
from orchestrator.models import OperationKind
from orchestrator.oversight.outlook import Outlook
from orchestrator.policy import Approvals, Policy
from tests.authorization.decisions import PEOPLE, oversight, resumed, stop, under
from tests.authorization.decisions import decide as decided

ACTIVATE, DEACTIVATE, CLOSE = OperationKind.ACTIVATE, OperationKind.DEACTIVATE, OperationKind.CLOSE
ASKING = Policy(limits=(), people=PEOPLE, approvals=Approvals(closure=1, policy=1, roles=1, keys=0, finality=1))


def outlook(here) -> Outlook:
    return Outlook(
        seen=oversight(here),
        mine=here.services.ruleset,
        parameters=here.services.parameters,
        journal_id=here.run(here.journal.identity()),
        now=here.now,
    )


def seen(here, account) -> Wait | None:
    return outlook(here).wait(account, here.state(account))


def waits(here, account, kind: OperationKind) -> list[str]:
    """What was waited for from the start of the operation to its end; the journal told the same at every moment."""
    here.begin(account, kind)
    told = []
    for _ in range(60):
        action = here.advance(account).action
        if not isinstance(action, Wait):
            assert isinstance(action, End)
            assert seen(here, account) is None
            return told
        assert seen(here, account) == action
        told.append(action.waits_for)
        if here.account(account).job is not None:
            here.platform.work(here.account(account))
        here.pass_time(minutes=7)
    raise AssertionError(f"no end after {told}")


def test_a_whole_life_waits_for_what_the_journal_tells(lab):
    here = lab()
    account = here.create().id
    assert {word for text in waits(here, account, ACTIVATE) for word in text.split()} >= {"verify", "final"}
    assert waits(here, account, DEACTIVATE)
    assert waits(here, account, CLOSE)
    assert here.state(account).closure is not None


def test_before_the_first_look_and_after_a_kill(lab):
    """Nothing has said what is waited for yet: it is told that somebody has to go on."""
    here = lab()
    account = here.create().id
    here.begin(account, ACTIVATE)
    assert seen(here, account).waits_for == "the platform to offer a creation challenge (orchestrator resume)"
    here.faults.queue.append(("submit", "killed_before"))
    with pytest.raises(lab.killed):
        here.advance(account)
    assert seen(here, account).waits_for == "its next step, submit (orchestrator resume)"


def test_a_stop_is_what_is_waited_for_and_its_end_no_more(lab):
    here = lab()
    account = here.create().id
    here.begin(account, ACTIVATE)
    decided(here, stop())
    assert seen(here, account).waits_for.startswith("all signing to resume: stopped by os:eve (leak)")
    assert here.advance(account).action == seen(here, account)
    decided(here, resumed())
    assert seen(here, account).waits_for == "its next step, sign (orchestrator resume)"


def test_a_stop_of_a_signature_that_is_made(lab):
    here = lab()
    account = here.create().id
    here.faults.queue.append(("submit", "unreachable"))
    here.start(account, ACTIVATE)
    decided(here, stop(f"key:{here.keys.name}", address=here.keys.address))
    assert here.advance(account).action == seen(here, account)
    assert f"key:{here.keys.name}" in seen(here, account).waits_for


def test_people_who_are_to_approve(lab):
    here = lab(policy=ASKING, parameters=Parameters(closure_approvals=1))
    account = here.create().id
    here.complete(account, ACTIVATE)
    asked = here.start(account, CLOSE).action
    assert isinstance(asked, Wait)
    assert asked == seen(here, account)
    view = outlook(here)
    assert [request.account_id for request in view.requests(account, here.state(account))] == [account]
    assert view.changes() == []
    under(here, confirmations=7)
    changed = here.advance(account).action
    assert "confirmations" in changed.waits_for or "finality" in changed.waits_for
    assert changed == seen(here, account)
    assert len(outlook(here).changes()) == 1


def test_what_is_overdue_is_told_before_anybody_has_looked(lab):
    here = lab()
    account = here.create().id
    here.start(account, ACTIVATE)
    here.pass_time(days=2)
    told = seen(here, account)
    assert "as it stands, that ends with an operator: waited since" in told.waits_for
    assert told.until < here.now
