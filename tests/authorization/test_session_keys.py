"""A challenge that is a session key: refused by name, and signed under a policy that a person has approved."""

import pytest

from orchestrator.lifecycle.decide import End, Wait
from orchestrator.models import OperationKind
from orchestrator.policy import Approvals, ChallengePolicy, Policy
from tests.authorization.decisions import PEOPLE, approved, decide, oversight, under
from tests.challenge.vector_parts import SESSION_KEY_HEX, SESSION_KEY_PEM

ACTIVATE = OperationKind.ACTIVATE
NUMBERS = {"closure": 0, "roles": 0, "keys": 0, "finality": 0, "expires": 7200}
NOBODY = Policy(limits=(), people=PEOPLE, approvals=Approvals(policy=0, **NUMBERS))
FORMS = pytest.mark.parametrize("key", [SESSION_KEY_PEM, SESSION_KEY_HEX], ids=["pem", "hexadecimal"])


def allowing(key: str) -> Policy:
    challenge = ChallengePolicy(kinds=("uuid", "session_key"), session_key_bytes=len(key))
    return Policy(limits=(), people=PEOPLE, challenge=challenge, approvals=Approvals(policy=1, **NUMBERS))


def offered(here, key: str) -> str:
    """An account whose challenge is a session key."""
    here.platform.texts.append(key)
    return here.create().id


@FORMS
def test_it_is_refused_with_its_name_and_the_lines_that_would_allow_it(lab, key):
    here = lab(policy=NOBODY)
    halted = here.start(offered(here, key), ACTIVATE).action
    assert halted.code == "policy_refused"
    assert "rule kind" in halted.message
    assert "a session key (" in halted.message
    assert f'kinds with "session_key" and session_key_bytes = {len(key)} under [challenge]' in halted.message
    assert "a person's approval" in halted.message
    assert here.keys.signed == []


@FORMS
@pytest.mark.parametrize("first", [True, False], ids=["an empty journal", "a policy that asks nobody"])
def test_it_is_signed_once_a_person_has_approved_the_policy(lab, key, first):
    here = lab(policy=allowing(key) if first else NOBODY)
    if not first:
        other = here.create("another").id
        assert here.complete(other, ACTIVATE) == End("done")
        under(here, policy=allowing(key))
    account, before = offered(here, key), len(here.keys.signed)
    assert isinstance(here.start(account, ACTIVATE).action, Wait)
    for _ in range(3):
        waits = here.advance(account).action
        assert isinstance(waits, Wait)
        assert "one person to approve the change of policy (orchestrator approve " in waits.waits_for
    assert len(here.keys.signed) == before
    (request,) = oversight(here).approvals.values()
    assert (request.asked.subject, request.asked.role, request.asked.needed) == ("ruleset", "administrator", 1)
    decide(here, approved(here, request.asked, "alice"))
    assert here.settle(account) == End("done")
    assert oversight(here).approvals[request.asked.request].used
    assert here.keys.signed[before:] == [key.encode()], "the text itself, as a personal message"
