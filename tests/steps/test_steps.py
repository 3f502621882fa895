"""Single scenarios of the steps: what a lost answer, a refusal, a kill, a clock or a lagging node leads to."""

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.errors import ChainUnreachable, MalformedAnswer, PlatformRefused, UncertainAnswer
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import End, Halt, Wait
from orchestrator.lifecycle.fold import Operation
from orchestrator.lifecycle.stages import Step, closure_content
from orchestrator.models import AccountStatus, CardStatus, OperationKind, WalletState, to_address
from orchestrator.policy import ChallengePolicy
from orchestrator.ports.chain import UnreadableToken
from orchestrator.ports.platform import PlatformCard
from orchestrator.runner import STEPS
from orchestrator.steps.observe import observe
from tests.lab import POLICY

ACTIVATE, DEACTIVATE = OperationKind.ACTIVATE, OperationKind.DEACTIVATE
REACTIVATE, CLOSE = OperationKind.REACTIVATE, OperationKind.CLOSE
CUSTOMER = "c0000000-0000-4000-8000-000000000001"


@pytest.fixture
def here(lab):
    return lab()


@pytest.fixture
def account(here):
    return here.create().id


@pytest.fixture
def active(here, account):
    assert here.complete(account, ACTIVATE) == End("done")
    return account


def signatures(here, account):
    return here.events(account, e.ChallengeSigned)


# --- the straight way ---------------------------------------------------


def test_a_whole_life(here, account):
    for kind in (ACTIVATE, DEACTIVATE, REACTIVATE, CLOSE):
        assert here.complete(account, kind) == End("done"), kind
    made = here.account(account)
    assert made.accepted == ["creation", "deletion"]
    assert made.deletes == 1
    assert here.chain.state(account) is WalletState.CLOSED
    proof = here.state(account).closure
    assert proof.claim == "irreversible"
    assert here.run(here.journal.certificate(proof.certificate_sha256)) is not None


@pytest.mark.parametrize("kind", [ACTIVATE, CLOSE])
def test_done_again_does_nothing(here, active, kind):
    here.complete(active, kind)
    before = here.account(active).accepted.copy()
    here.begin(active, kind)
    assert here.settle(active) == End("done")
    assert here.account(active).accepted == before


# --- refusals that say nothing about the account -----------------------------------------------------------------


@pytest.mark.parametrize("kind", [DEACTIVATE, CLOSE])
def test_a_rate_limit_does_not_end_a_request(here, active, kind):
    here.faults.queue.append(("request", "limited"))
    advanced = here.start(active, kind)
    assert isinstance(advanced.action, Wait)
    assert advanced.trouble.code == "platform_rate_limited"
    assert here.settle(active) == End("done")


def test_a_rate_limit_does_not_ask_for_an_operator(here, account):
    here.faults.queue.append(("submit", "limited"))
    assert isinstance(here.start(account, ACTIVATE).action, Wait)
    assert here.settle(account) == End("done")
    assert len(signatures(here, account)) == 1


def test_another_job_in_progress_does_not_fail_the_closure(here, active):
    here.account(active).job = "deactivate"
    assert isinstance(here.start(active, CLOSE).action, Wait)
    assert here.settle(active) == End("done")


@pytest.mark.parametrize("call", ["submit", "request"])
def test_refused_credentials_leave_the_operation_as_it_is(here, active, monkeypatch, call):
    kind = DEACTIVATE if call == "request" else CLOSE
    unauthorized = PlatformRefused("expected a valid token", status=401, code="platform_unauthorized")

    async def refuse(*_args, **_options):
        raise unauthorized

    with monkeypatch.context() as patch:
        patch.setattr(here.platform, {"request": "deactivate", "submit": "submit"}[call], refuse)
        with pytest.raises(PlatformRefused, match="valid token"):
            here.start(active, kind)
    assert here.state(active).unfinished
    assert here.settle(active) == End("done")


# --- the platform's word ---------------------------------------------------


def answers(here, account, monkeypatch, *statuses_and_times):
    """The next reads of the account say these, one after the other; then it is as it is."""
    read, queue = here.platform.account, list(statuses_and_times)

    async def told(account_id):
        found = await read(account_id)
        if not queue:
            return found
        status, updated = queue.pop(0)
        return replace(found, status=status, updated_at=updated)

    monkeypatch.setattr(here.platform, "account", told)


def observed(here, account):
    async def observing():
        session = await here._session(account)
        await observe(session)
        return session.state.status

    return here.run(observing())


def test_a_time_far_ahead_does_not_freeze_an_account(here, active, monkeypatch):
    answers(here, active, monkeypatch, (AccountStatus.ACTIVE, here.now + timedelta(days=4000)))
    observed(here, active)
    assert here.state(active).platform.updated_at > here.now + timedelta(days=3999)
    answers(here, active, monkeypatch)
    here.platform.set_status(here.account(active), AccountStatus.INACTIVE)
    assert observed(here, active) is AccountStatus.INACTIVE


def test_a_replica_that_lags_once_is_ignored(here, active, monkeypatch):
    known = here.state(active).platform
    before = known.updated_at - timedelta(minutes=1)
    answers(here, active, monkeypatch, (AccountStatus.PENDING, before))
    assert observed(here, active) is AccountStatus.ACTIVE
    assert here.state(active).platform == known


def test_an_older_answer_that_is_given_twice_is_believed(here, active, monkeypatch):
    before = here.state(active).platform.updated_at - timedelta(minutes=1)
    answers(here, active, monkeypatch, *[(AccountStatus.INACTIVE, before)] * 2)
    assert observed(here, active) is AccountStatus.INACTIVE


# --- challenges and signatures --------------------------------------------


def killed_at(here, lab, account, call, kind, operation=ACTIVATE):
    here.faults.queue.append((call, kind))
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        here.start(account, operation)
    assert raised.type is lab.killed


def test_a_challenge_that_expires_under_the_signature_is_fetched_anew(here, lab, account):
    here.pass_time(minutes=30)  # issued at the creation, fetched half an hour later
    killed_at(here, lab, account, "submit", "killed_before")
    here.pass_time(minutes=40)  # ours is 40 minutes old, the platform's is dead
    assert here.settle(account) == End("done")
    assert len(signatures(here, account)) == 2
    assert here.account(account).accepted == ["creation"]


def test_an_uncertain_submission_is_repeated_under_its_key(here, active):
    here.faults.queue.append(("submit", "lost"))
    assert here.start(active, CLOSE).trouble.code == "platform_uncertain"
    assert here.settle(active) == End("done")
    keys = [event.key for event in here.events(active, e.SubmissionIntended)]
    assert len(keys) == 2, "one for each signature"
    assert here.account(active).accepted == ["creation", "deletion"]


# --- one challenge for each signature ---------------------------------------------------------------------------------


def test_the_challenge_of_the_creation_is_signed_and_none_is_asked_for(here, account):
    assert here.complete(account, ACTIVATE) == End("done")
    assert here.account(account).asked == 0
    (fetched,) = here.events(account, e.ChallengeFetched)
    assert fetched.issued_at is not None
    assert here.complete(account, CLOSE) == End("done")
    assert here.account(account).asked == 1
    assert len(signatures(here, account)) == 2


@pytest.mark.parametrize(
    ("max_age", "seconds", "asked"),
    [
        (3300, 53 * 60 - 1, 0),
        (3300, 53 * 60, 1),  # two minutes are left: too few to sign and submit it
        (3300, 300 * 60, 1),
        (600, 8 * 60 - 1, 0),
        (600, 8 * 60, 1),
        (60, 29, 0),
        (60, 30, 1),  # half of it: the next one has more
    ],
)
def test_the_challenge_of_the_creation_is_used_while_it_can_be_signed_and_submitted(lab, max_age, seconds, asked):
    here = lab(policy=POLICY.model_copy(update={"challenge": ChallengePolicy(max_age=max_age)}))
    account = here.create().id
    here.pass_time(seconds=seconds)
    here.start(account, ACTIVATE)
    assert here.account(account).asked == asked
    assert len(signatures(here, account)) == 1
    assert here.account(account).accepted == ["creation"]


def test_a_stored_answer_is_as_old_as_the_first_request_under_its_key(here):
    here.faults.queue.append(("create_account", "lost"))
    with contextlib.suppress(UncertainAnswer):
        here.create()
    made = next(iter(here.platform.accounts_.values()))
    here.pass_time(minutes=40)
    read, here.platform.customer_accounts = here.platform.customer_accounts, lambda _: no_accounts()
    account = here.create().id  # answered from the store: the key is an hour's
    here.platform.customer_accounts = read
    assert account == made.id
    here.pass_time(minutes=12)
    assert here.start(account, ACTIVATE).session.op.challenge_at == here.now - timedelta(minutes=52)
    assert here.account(account).asked == 0


async def no_accounts():
    return []


def test_a_kill_after_the_creation_loses_no_challenge(here, lab):
    for moment in ("killed_before", "killed_after"):
        here.faults.queue.append(("create_account", "lost" if moment == "killed_before" else "killed_after"))
        with pytest.raises(BaseException) as raised:  # noqa: PT011
            here.create(moment)
        assert raised.type in (UncertainAnswer, lab.killed)
    here.pass_time(seconds=3)
    (account, other) = [here.create(moment).id for moment in ("killed_before", "killed_after")]
    for one in (account, other):
        assert here.complete(one, ACTIVATE) == End("done")
        assert here.account(one).asked <= 1
        assert len(signatures(here, one)) == 1


def test_an_answer_that_is_journaled_before_a_kill_has_its_challenge(here, lab):
    here.faults.queue.append(("append", "killed_after"))
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        here.create()  # after the intent
    assert raised.type is lab.killed
    here.pass_time(seconds=3)
    account = here.create().id
    assert here.events("reference:order-1", e.CreationAnswered)[0].challenge == here.account(account).offer.base64
    here.begin(account, ACTIVATE)
    here.faults.queue.append(("append", "killed_after"))  # after the challenge is journaled
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        here.advance(account)
    assert raised.type is lab.killed
    assert here.settle(account) == End("done")
    assert here.account(account).asked == 0


@pytest.mark.parametrize("keeps", [False, True], ids=["published", "older pages"])
@pytest.mark.parametrize("kind", [ACTIVATE, CLOSE])
def test_a_challenge_that_somebody_else_has_asked_for_is_replaced_by_one_more_where_it_ended(here, active, kind, keeps):
    """By the published file that ended it: the platform would answer another challenge than the one that is signed, so
    nobody asks, and it says so. By its older pages it stays the same for its hour: then its one signature is taken."""
    here.platform.keeps_challenges = keeps
    account = active if kind is CLOSE else here.create("order-2").id
    before, asked = len(signatures(here, account)), here.account(account).asked
    submit = here.platform.submit

    async def looked_at_first(*arguments, **options):
        here.platform.submit = submit
        await here.platform.challenge(account)  # a look at the platform's console
        return await submit(*arguments, **options)

    here.platform.submit = looked_at_first
    assert here.complete(account, kind) == End("done")
    made = signatures(here, account)[before:]
    refused = [one.code for one in here.events(account, e.SubmissionRefused)]
    assert refused == ([] if keeps else ["signature_refused"])
    assert len({event.digest for event in made}) == len(made) == (1 if keeps else 2)
    by_us = here.account(account).asked - asked - 1
    assert by_us == (kind is CLOSE) + (not keeps), "one for each signature but the creation's first"
    assert here.account(account).accepted[-1] == ("deletion" if kind is CLOSE else "creation")


# --- 409, 422 ---------------------------------------------------------------------------------------------------------


def conflicting(here, call, *answers):
    """The next so many of these requests are answered like this, and have no effect; then they have. Their keys."""
    original, keys, queue = getattr(here.platform, call), [], list(answers)

    async def answer(*arguments, key, **options):
        keys.append(key)
        if queue:
            status, code, *disposition = queue.pop(0)
            raise PlatformRefused(
                f"refused: {code}", status=status, code=code, disposition=next(iter(disposition), None)
            )
        return await original(*arguments, key=key, **options)

    setattr(here.platform, call, answer)
    return keys


def test_a_signature_that_is_signed_already_is_waited_for(here, lab, account):
    """Its answer was lost, and the key is forgotten: the repeat is refused, and that is no refusal of the signature."""
    here.faults.queue.append(("submit", "killed_after"))
    work, here.platform.set_status = here.platform.set_status, lambda *_: None  # taken, and not yet seen
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        here.start(account, ACTIVATE)
    assert raised.type is lab.killed
    here.platform.set_status = work
    here.pass_time(minutes=61)
    waiting = here.advance(account).action
    assert isinstance(waiting, Wait)
    assert "verify the signature" in waiting.waits_for
    assert [event.found for event in here.events(account, e.SubmissionAccepted)] == ["already_signed"]
    assert here.events(account, e.SubmissionRefused) == []
    here.platform.set_status(here.account(account), AccountStatus.PENDING)
    assert here.settle(account) == End("done")
    assert (here.account(account).asked, here.account(account).accepted) == (0, ["creation"])
    assert len(signatures(here, account)) == 1


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_repeat_that_is_signed_already_asks_for_nobody_whatever_its_status(here, lab, account, status):
    work, here.platform.set_status = here.platform.set_status, lambda *_: None  # taken, and not yet seen
    killed_at(here, lab, account, "submit", "killed_after")
    keys = conflicting(here, "submit", *[(status, "challenge_already_signed")] * 2)
    assert isinstance(here.advance(account).action, Wait)
    assert len(set(keys)) == 2
    assert [event.found for event in here.events(account, e.SubmissionAccepted)] == ["already_signed"]
    here.platform.set_status = work
    here.platform.set_status(here.account(account), AccountStatus.PENDING)
    assert here.settle(account) == End("done")
    assert len(signatures(here, account)) == 1


@pytest.mark.parametrize("code", ["signature_refused", "challenge_expired"])
@pytest.mark.parametrize("kind", [ACTIVATE, CLOSE])
def test_the_refusal_of_a_repeat_is_none_while_the_first_try_may_have_been_taken(here, lab, active, kind, code):
    """A bare 400 is what some platforms say to a challenge that was signed: the account's status decides."""
    account = active if kind is CLOSE else here.create("order-2").id
    before, asked = len(signatures(here, account)), here.account(account).asked
    status, here.platform.set_status = here.platform.set_status, lambda *_: None  # taken, and not seen for a while
    killed_at(here, lab, account, "submit", "killed_after", kind)
    conflicting(here, "submit", *[(400, code)] * 3)
    for _ in range(3):
        here.pass_time(minutes=6)
        assert isinstance(here.advance(account).action, Wait)
    (found,) = [event.found for event in here.events(account, e.SubmissionAccepted)][-1:]
    assert (found, here.events(account, e.SubmissionRefused)) == ("unclear", [])
    here.platform.set_status = status
    if kind is ACTIVATE:
        here.platform.set_status(here.account(account), AccountStatus.PENDING)
    assert here.settle(account) == End("done")
    assert len(signatures(here, account)) - before == 1, "one, whatever was answered"
    assert here.account(account).asked - asked == (kind is CLOSE)


@pytest.mark.parametrize("kind", [ACTIVATE, CLOSE])
def test_the_refusal_of_a_repeat_is_one_once_the_first_try_had_no_effect(here, lab, active, kind):
    account = active if kind is CLOSE else here.create("order-2").id
    before = len(signatures(here, account))
    killed_at(here, lab, account, "submit", "killed_before", kind)
    keys = conflicting(here, "submit", *[(400, "signature_refused")] * 2)
    begun = here.now
    assert here.settle(account) == End("done")
    assert [one.code for one in here.events(account, e.SubmissionRefused)] == ["signature_refused"]
    assert here.now - begun >= here.services.parameters.effect
    assert len(signatures(here, account)) - before == 2
    assert len(set(keys)) == 3, "the repeat, one when nothing had come of it, the second signature's"


@pytest.mark.parametrize(
    "answers", [[(400, "signature_refused")], [(409, "challenge_already_signed"), (400, "challenge_expired")]]
)
def test_the_time_for_an_effect_is_counted_from_the_last_try_under_a_key_and_not_from_its_first(
    here, lab, account, answers
):
    killed_at(here, lab, account, "submit", "killed_before")
    here.pass_time(minutes=21)
    status, here.platform.set_status = here.platform.set_status, lambda *_: None  # taken, and not seen for a while
    here.faults.queue.append(("submit", "lost"))
    assert here.advance(account).trouble.code == "platform_uncertain"
    here.pass_time(seconds=10)
    conflicting(here, "submit", *answers)
    assert isinstance(here.advance(account).action, Wait)
    here.platform.set_status = status
    here.platform.set_status(here.account(account), AccountStatus.PENDING)
    assert here.settle(account) == End("done")
    assert here.events(account, e.SubmissionRefused) == []
    assert (len(signatures(here, account)), here.account(account).asked) == (1, 0)


def test_a_clock_that_was_set_back_makes_no_try_one_without_an_effect(here, lab, account):
    status, here.platform.set_status = here.platform.set_status, lambda *_: None  # taken, and not seen for a while
    killed_at(here, lab, account, "submit", "killed_after")
    here.skew = -timedelta(minutes=2)
    conflicting(here, "submit", (400, "signature_refused"))
    assert isinstance(here.advance(account).action, Wait)
    here.platform.set_status = status
    here.platform.set_status(here.account(account), AccountStatus.PENDING)
    assert here.settle(account) == End("done")
    assert here.events(account, e.SubmissionRefused) == []
    assert (len(signatures(here, account)), here.account(account).asked) == (1, 0)


def test_the_refusal_of_a_repeat_is_one_where_no_try_is_younger_than_an_effect(here, lab, account):
    killed_at(here, lab, account, "submit", "killed_before")
    here.pass_time(minutes=75)  # the key's life, and the time for an effect
    conflicting(here, "submit", (400, "signature_refused"))
    here.advance(account)
    assert len(here.events(account, e.SubmissionRefused)) == 1
    assert len(signatures(here, account)) == 2


@pytest.mark.parametrize("moment", ["killed_before", "killed_after"])
def test_a_kill_between_a_conflict_and_the_look_at_the_account(here, lab, active, moment):
    """The conflict is met again, and decided by the account."""
    here.begin(active, DEACTIVATE)
    here.run(here.platform.deactivate(active, key="console"))
    here.platform.work(here.account(active))  # somebody else has done it, since the account was read
    account, reads = here.platform.account, []

    async def dies(account_id):
        reads.append(account_id)
        if len(reads) == 2:  # the first is of the advance; it still said active
            raise lab.killed
        found = await account(account_id)
        return replace(found, status=AccountStatus.ACTIVE) if len(reads) == 1 else found

    here.platform.account = dies
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        here.advance(active)
    assert raised.type is lab.killed
    here.platform.account = account
    if moment == "killed_after":
        here.pass_time(minutes=61)
    assert here.settle(active) == End("done")
    assert here.account(active).status is AccountStatus.INACTIVE


@pytest.mark.parametrize("kind", [DEACTIVATE, CLOSE])
def test_a_transition_that_is_impossible_is_refused_with_the_account_as_it_was(here, active, kind):
    call = {DEACTIVATE: "deactivate", CLOSE: "close"}[kind]
    keys = conflicting(here, call, (409, "invalid_transition"))
    begun = here.account(active).status
    assert here.start(active, kind).action == End("failed", "invalid_transition", "refused: invalid_transition")
    assert (len(keys), here.account(active).status) == (1, begun)
    assert here.complete(active, kind) == End("done"), "nothing is left in the way"


@pytest.mark.parametrize("status", [409, 422])
@pytest.mark.parametrize("kind", [DEACTIVATE, CLOSE])
def test_a_conflict_of_a_repeat_that_had_no_effect_is_asked_under_a_new_key(here, lab, active, kind, status):
    killed_at(here, lab, active, "request", "killed_before", kind)
    here.pass_time(minutes=2)
    call = {DEACTIVATE: "deactivate", CLOSE: "close"}[kind]
    keys = conflicting(here, call, (status, "idempotency_mismatch" if status == 422 else "invalid_transition"))
    assert here.settle(active) == End("done")
    intended = [event.key for event in here.events(active, e.RequestIntended)]
    assert len(set(keys)) == 2
    assert intended == keys, "each was journaled first"
    assert here.account(active).deletes == (1 if kind is CLOSE else 0)


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_conflict_of_a_submission_that_had_no_effect_is_sent_under_a_new_key(here, lab, account, status):
    killed_at(here, lab, account, "submit", "killed_before")
    code = "idempotency_mismatch" if status == 422 else "challenge_already_signed"
    keys = conflicting(here, "submit", (status, code))
    assert here.settle(account) == End("done")
    assert [event.key for event in here.events(account, e.SubmissionIntended)] == keys
    assert len(set(keys)) == 2
    assert len(signatures(here, account)) == 1


def test_a_first_request_that_is_answered_422_is_for_a_person(here, account):
    conflicting(here, "submit", (422, "idempotency_mismatch"))
    assert here.start(account, ACTIVATE).action.code == "idempotency_mismatch"


def test_a_closure_that_was_asked_for_elsewhere_is_signed(here, active):
    here.run(here.platform.close(active, key="console"))
    assert here.complete(active, CLOSE) == End("done")
    assert (here.account(active).deletes, here.account(active).asked) == (1, 1)


def test_what_an_accepted_end_has_left_is_submitted_with_its_challenge(here, account):
    """Nothing came of the signature; a person ended the operation, and asked for it again."""
    taken_without_effect(here, 2)
    here.start(account, ACTIVATE)
    assert here.settle(account).code == "signature_without_effect"
    here.resolve(account, "accept")
    assert here.complete(account, ACTIVATE) == End("done")
    assert len(signatures(here, account)) == 1, "the very same"


def test_a_signature_that_no_refusal_names_dead_is_dead_with_its_challenge(here, lab, account):
    """Its answer was lost; later than any effect the platform knows nothing of such a challenge."""
    killed_at(here, lab, account, "submit", "killed_before")
    here.pass_time(minutes=75)
    conflicting(here, "submit", (404, "account_not_found"))
    assert here.settle(account) == End("done")
    assert [one.code for one in here.events(account, e.SubmissionRefused)] == ["account_not_found"]
    assert len(signatures(here, account)) == 2


def test_while_the_first_request_may_be_under_way_no_other_is_made(here, lab, active):
    killed_at(here, lab, active, "request", "killed_before", DEACTIVATE)
    keys = conflicting(here, "deactivate", (409, "busy"), (409, "busy"))
    for _ in range(2):
        assert here.advance(active).trouble.code == "busy"
    assert len(set(keys)) == 1
    here.pass_time(seconds=61)
    assert here.settle(active) == End("done")


def test_a_request_before_the_clock_was_set_back_may_be_under_way(here, lab, active):
    """Its key is as good as forgotten, since its age is unknown; a conflict under a fresh one is no refusal yet."""
    killed_at(here, lab, active, "request", "killed_before", DEACTIVATE)
    here.skew = -timedelta(minutes=2)
    conflicting(here, "deactivate", (409, "busy"), (409, "busy"))
    for _ in range(2):
        assert here.advance(active).trouble.code == "busy"
    here.pass_time(seconds=61)
    assert here.settle(active) == End("done")
    assert len({event.key for event in here.events(active, e.RequestIntended)}) == 2


def test_a_closure_that_is_asked_for_again_ends_no_signature_that_was_sent(here, lab, active):
    taken_without_effect(here, 2)
    here.start(active, CLOSE)
    assert here.settle(active).code == "signature_without_effect"
    here.resolve(active, "accept")
    asked = here.account(active).asked
    assert here.complete(active, CLOSE) == End("done")
    assert here.account(active).asked == asked


def test_a_signature_that_the_platform_has_and_does_nothing_with_is_given_up(here, active):
    here.start(active, CLOSE)
    here.account(active).job = None
    here.platform._issue(here.account(active), "deletion")  # its transaction failed, and nobody says so
    begun = here.now
    assert here.settle(active) == End("done")
    assert [one.code for one in here.events(active, e.SubmissionRefused)] == ["signature_without_effect"]
    assert timedelta(hours=2) < here.now - begun < timedelta(hours=4)
    assert here.account(active).accepted == ["creation", "deletion", "deletion"]


def test_an_account_without_a_contract_gets_no_deletion_signed(here, account):
    """What is offered to it may be what deploys it."""
    close, made = here.platform.close, here.account(account)

    async def slow(account_id, *, key):
        answer = await close(account_id, key=key)
        here.platform.set_status(made, AccountStatus.INITIATING)
        here.platform._issue(made, "creation")
        return answer

    here.platform.close = slow
    waiting = here.start(account, CLOSE).action
    assert isinstance(waiting, Wait)
    assert "no contract" in waiting.waits_for
    assert (made.asked, signatures(here, account)) == (0, [])


# --- accounts and cards that are strange -----------------------------------------------------------------------------


def test_an_account_that_is_odd_is_not_acted_on(here, active, monkeypatch):
    read = here.platform.account

    async def told(account_id):
        return replace(await read(account_id), status="frozen", odd=("field status: got 'frozen'",))

    with monkeypatch.context() as patch:
        patch.setattr(here.platform, "account", told)
        for kind in (DEACTIVATE, CLOSE):
            with pytest.raises(MalformedAnswer, match=r"frozen.*nothing is done with it"):
                here.begin(active, kind)
    assert here.complete(active, CLOSE) == End("done")


def test_preflight_names_the_cards_that_closing_ends(here, active, monkeypatch):
    async def cards(_account_id):
        return [PlatformCard(status, status) for status in (*CardStatus, "melted")]

    monkeypatch.setattr(here.platform, "cards", cards)
    assert here.complete(active, CLOSE) == End("done")
    (taken,) = here.events(active, e.PreflightTaken)
    assert set(taken.cards) == {"issuing", "active", "inactive", "blocked", "suspended", "melted"}
    left = {card.status for card in here.run(cards(active)) if card.is_left}
    assert left == {"issuing", "active", "blocked", "suspended", "melted"}


def test_transfers_that_no_node_lists_do_not_keep_a_wallet_open_and_are_told(here, active, monkeypatch):
    holdings = here.chain.holdings

    async def unlisted(wallet, named=()):
        token = UnreadableToken(to_address("0x" + "7e" * 20), "balanceOf failed: out of gas")
        told = "query returned more than 10000 results"
        return replace(await holdings(wallet, named), incomplete=told, unreadable=(token,))

    monkeypatch.setattr(here.chain, "holdings", unlisted)
    assert here.complete(active, CLOSE) == End("done")
    (taken,) = here.events(active, e.PreflightTaken)
    assert taken.unlisted == "query returned more than 10000 results"
    assert list(taken.unreadable.values()) == ["balanceOf failed: out of gas"]
    op = Operation(OperationKind.CLOSE, started_at=here.now, preflight=taken)
    left = closure_content(active, here.state(active), op)["left"]
    assert (left["unlisted"], left["unreadable"]) == (True, list(taken.unreadable)), "whoever approves it sees so"


def test_a_live_signature_outlives_operations_of_other_kinds(here, lab, account):
    killed_at(here, lab, account, "submit", "killed_before")
    here.resolve(account, "abandon")
    assert here.start(account, DEACTIVATE).action.code == "not_active_yet"
    here.pass_time(minutes=61)  # the platform offers another challenge by now
    assert here.complete(account, ACTIVATE) == End("done")
    assert here.account(account).accepted == ["creation"]


def test_a_refused_challenge_that_is_still_on_offer_is_not_signed_again(here, account):
    offered = here.account(account).offer
    here.faults.queue.append(("submit", "refuse"))
    issue = here.platform._issue
    here.platform._issue = lambda *_: None  # issues late
    action = here.start(account, ACTIVATE).action
    assert isinstance(action, Wait)
    assert "another challenge" in action.waits_for
    assert here.account(account).offer is offered
    here.platform._issue = issue
    here.platform._issue(here.account(account), "creation")
    assert here.settle(account) == End("done")


def test_refusals_ask_for_an_operator_only_while_a_signature_is_needed(here, account):
    here.faults.queue += [("submit", "refuse")] * 3
    halt = here.start(account, ACTIVATE).action
    assert halt.code == "signature_refused"
    assert here.advance(account).action == halt
    made = here.account(account)  # somebody had the platform take it by hand
    made.offer, made.job = None, "deploy"
    made.creation_hash = signatures(here, account)[-1].digest
    here.platform.set_status(made, AccountStatus.PENDING)
    assert here.settle(account) == End("done")


def taken_without_effect(here, times):
    """The platform answers so many signatures as if it had taken them, and goes on as before. Returns their keys."""
    submit, keys = here.platform.submit, []

    async def forgets(account_id, submission, *, key, permit):
        async with permit():
            keys.append(key)
            if len(keys) > times:
                return await submit(account_id, submission, key=key, permit=contextlib.nullcontext)
            return None

    here.platform.submit = forgets
    return keys


@pytest.mark.parametrize("kind", [ACTIVATE, CLOSE])
def test_a_signature_without_effect_is_submitted_once_more_under_a_new_key(here, active, kind):
    account = here.create("another").id if kind is ACTIVATE else active
    keys = taken_without_effect(here, 1)
    waiting = here.start(account, kind).action
    assert isinstance(waiting, Wait)
    here.pass_time(minutes=19)
    here.advance(account)
    assert len(keys) == 1, "it may only be slow"
    here.pass_time(minutes=1)
    assert here.settle(account) == End("done")
    assert len(keys) == len(set(keys)) == 2
    assert len(signatures(here, account)) == (1 if kind is ACTIVATE else 2), "the very same signature"


def test_the_time_for_an_effect_begins_again_where_the_clock_was_set_back(here, account):
    keys = taken_without_effect(here, 1)
    here.skew = timedelta(minutes=30)
    here.start(account, ACTIVATE)
    here.skew = timedelta(0)
    for minutes in (0, 19):
        here.pass_time(minutes=minutes)
        assert isinstance(here.advance(account).action, Wait)
        assert len(keys) == 1, "it may only be slow"
    here.pass_time(minutes=1)
    here.advance(account)
    assert len(keys) == 2
    assert here.settle(account) == End("done")
    assert len(signatures(here, account)) == 1


def test_a_signature_that_the_platform_has_is_not_given_up_where_the_clock_was_set_back(here, active):
    here.start(active, CLOSE)
    here.account(active).job = None
    here.skew = timedelta(minutes=30)
    here.advance(active)  # submitted again: the platform has it
    here.skew = timedelta(0)
    for minutes, refused in ((0, []), (119, []), (1, ["signature_without_effect"])):
        here.pass_time(minutes=minutes)
        assert isinstance(here.advance(active).action, Wait)
        assert [one.code for one in here.events(active, e.SubmissionRefused)] == refused
    assert {one.found for one in here.events(active, e.SubmissionAccepted)} == {"answer", "already_signed"}


def test_a_second_one_without_effect_asks_for_an_operator_within_the_hour(here, account, monkeypatch):
    keys = taken_without_effect(here, 2)
    begun = here.now
    here.start(account, ACTIVATE)
    halted = here.settle(account)
    assert isinstance(halted, Halt)
    assert halted.code == "signature_without_effect"
    assert here.now - begun < timedelta(hours=1)
    assert len(set(keys)) == 2
    asked = []
    monkeypatch.setattr(here.platform, "challenge", asked.append)
    here.pass_time(minutes=300)
    assert here.advance(account).action == halted
    assert asked == [], "nobody asks for challenges meanwhile"
    monkeypatch.undo()
    here.resolve(account, "retry")
    assert here.settle(account) == End("done")


def test_a_signature_without_effect_that_has_one_after_all_goes_on_by_itself(here, account):
    taken_without_effect(here, 2)
    here.start(account, ACTIVATE)
    assert isinstance(here.settle(account), Halt)
    here.platform.set_status(here.account(account), AccountStatus.PENDING)
    here.account(account).offer, here.account(account).job = None, "deploy"
    here.account(account).creation_hash = here.events(account, e.ChallengeSigned)[0].digest
    assert here.settle(account) == End("done")


def test_retry_after_refusals_asks_for_a_new_challenge(here, account):
    here.faults.queue += [("submit", "refuse")] * 3
    assert here.start(account, ACTIVATE).action.code == "signature_refused"
    here.resolve(account, "retry")
    assert here.settle(account) == End("done")


def test_a_signature_that_is_taken_and_later_refused_is_made_anew(here, active):
    here.start(active, CLOSE)
    here.platform.work(here.account(active), fail=True)
    assert here.settle(active) == End("done")
    assert len([s for s in signatures(here, active) if s.purpose == "deletion"]) == 2


def test_an_overdue_wait_stays_overdue_until_somebody_decides(here, account):
    here.start(account, ACTIVATE)
    here.advance(account)
    here.account(account).job = None  # the platform has lost its work
    here.pass_time(hours=25)
    halt = here.advance(account).action
    assert isinstance(halt, Halt)
    assert halt.code == "overdue"
    here.pass_time(minutes=1)
    assert here.advance(account).action == halt
    assert len(here.events(account, e.OperationHalted)) == 1
    assert here.events(account, e.OperationContinued) == []
    here.resolve(account, "retry")
    assert isinstance(here.advance(account).action, Wait)


# --- requests -------------------------------------------------------------


def test_an_uncertain_delete_is_not_sent_again_where_its_challenge_is_on_offer(here, active):
    here.faults.queue.append(("request", "lost"))
    assert isinstance(here.start(active, CLOSE).action, Wait)
    here.pass_time(minutes=61)  # the key is forgotten
    assert here.settle(active) == End("done")
    assert here.account(active).deletes == 1


def test_a_repeat_that_is_refused_because_the_first_worked_is_no_failure(here, active, monkeypatch):
    here.faults.queue.append(("request", "lost"))
    here.start(active, DEACTIVATE)
    here.pass_time(minutes=61)
    deactivate = here.platform.deactivate

    async def in_the_meantime(account_id, *, key):
        here.platform.work(here.account(account_id))
        return await deactivate(account_id, key=key)

    monkeypatch.setattr(here.platform, "deactivate", in_the_meantime)
    assert here.settle(active) == End("done")


def test_a_request_of_an_older_operation_is_not_repeated_under_its_key(here, active):
    """The old key would bring the old answer, and no effect."""
    here.faults.queue.append(("request", "lost"))
    here.start(active, DEACTIVATE)
    here.platform.work(here.account(active))
    here.resolve(active, "abandon")
    assert here.complete(active, REACTIVATE) == End("done")
    assert here.complete(active, DEACTIVATE) == End("done")


def test_closed_by_the_platform_alone_asks_for_an_operator(here, active):
    here.platform.close_alone(here.account(active))
    assert here.complete(active, CLOSE).code == "closed_without_chain"
    assert here.complete(active, CLOSE).code == "closed_without_chain"


def test_closing_what_was_never_deployed(here, account):
    assert here.complete(account, CLOSE).code == "closed_without_contract"
    assert signatures(here, account) == []


def test_a_look_that_leads_nowhere_asks_for_an_operator(here, account, monkeypatch):
    """As when a side takes back, at each look, what a step has just done."""
    taken = []

    async def in_vain(session):
        taken.append(session.account_id)

    monkeypatch.setitem(STEPS, Step.FETCH_CHALLENGE, in_vain)
    advanced = here.start(account, ACTIVATE)
    assert isinstance(advanced.action, Halt)
    assert advanced.action.code == "no_progress"
    assert "fetch_challenge" in advanced.action.message
    assert len(taken) == 50
    monkeypatch.undo()
    here.resolve(account, "retry")
    assert here.settle(account) == End("done")


# --- the chain --------------------------------------------------------------


def test_a_reorg_takes_facts_back_and_they_come_again(here, account):
    here.start(account, ACTIVATE)
    here.platform.work(here.account(account))
    here.advance(account)
    assert here.state(account).wallet.state is WalletState.ACTIVE
    here.chain.reorg(1)
    assert here.settle(account) == End("done")
    withdrawn = here.events(account, e.ChainFactsWithdrawn)
    assert [fact.was_final for fact in withdrawn] == [False]


def test_a_final_block_that_leaves_the_chain_asks_for_an_operator(here, active):
    here.chain.reorg(len(here.chain.blocks) - 1)
    assert here.complete(active, CLOSE).code == "finality_violation"
    here.resolve(active, "retry")
    assert here.settle(active) == End("done")


def test_a_closed_account_does_not_hide_a_final_block_that_left_the_chain(here, active):
    assert here.complete(active, CLOSE) == End("done")
    here.chain.reorg(len(here.chain.blocks) - 1)
    here.chain.mempool.clear()  # and its transactions do not come again
    here.chain.blocks = [(digest, []) for digest, _ in here.chain.blocks]
    assert here.start(active, CLOSE).action.code == "finality_violation"


def test_a_node_that_lags_behind_a_final_block_is_no_finality_violation(here, active):
    here.chain.behind = len(here.chain.blocks) - 1
    with pytest.raises(ChainUnreachable, match="behind"):
        here.begin(active, CLOSE)
    here.chain.behind = 0
    assert here.complete(active, CLOSE) == End("done")
    assert here.events(active, e.ChainFactsWithdrawn) == []


def test_an_index_that_hides_a_change_decides_nothing(here, active, monkeypatch):
    """The chain has suspended the wallet, the platform says active: before an end the chain itself is read."""

    async def nothing(_account_id, known, _confirmations):
        return None if known.deployed else await here.chain.view(active)

    monkeypatch.setattr(here.chain, "news", nothing)
    here.chain.send(active, "inactive")
    here.chain.mine(10)
    assert here.start(active, ACTIVATE).action != End("done")
    assert here.state(active).wallet.state is WalletState.INACTIVE


def test_an_index_that_hides_a_closure_delays_it(here, active, monkeypatch):
    async def nothing(_account_id, _known, _confirmations):
        return None

    monkeypatch.setattr(here.chain, "news", nothing)
    here.start(active, CLOSE)
    assert here.settle(active, rounds=300) == End("done"), "read before an operator is asked for"


def test_a_wallet_that_no_source_names_any_more_is_not_taken_for_the_one_that_was_there(here, active, monkeypatch):
    """The platform took its claim back, or a registry answers nothing: no fact is new, and none holds any more."""
    read = here.chain._read
    monkeypatch.setattr(here.chain, "_read", lambda account: replace(read(account), deployment=None, change=None))
    for kind in (DEACTIVATE, CLOSE):
        with pytest.raises(ChainUnreachable, match="no source names a wallet") as caught:
            here.begin(active, kind)
        assert caught.value.code == "wallet_vanished"


def test_chain_facts_are_read_by_the_profile_in_force_alone(here, active):
    """A process whose profile nobody has adopted notes what the platform says, and nothing of the chain."""
    here.chain.send(active, "inactive")
    here.chain.mine(10)
    here.services = replace(here.services, ruleset=here.services.ruleset.model_copy(update={"wallets": "other:1"}))

    async def observing():
        session = await here._session(active)
        await observe(session)
        return session

    session = here.run(observing())
    assert session.state.wallet.state is WalletState.ACTIVE
    assert session.confirmations is None, "so that it is read back before anything is decided"
