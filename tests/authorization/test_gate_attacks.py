"""Ways around the gate: what an attacker, a race, a kill or an old backup would try, each of which once got through."""

import asyncio
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import rfc8785

from orchestrator.errors import OrchestratorError, PlatformRefused, SettingsError
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import End, Halt, Wait
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Stop, request_approval
from orchestrator.lifecycle.stages import Parameters
from orchestrator.models import AccountStatus, OperationKind
from orchestrator.oversight.reconcile import reconcile
from orchestrator.policy import Approvals, KeyPolicy, Policy, Role
from orchestrator.session import AccountSession
from orchestrator.steps.observe import observe
from tests.authorization.decisions import PEOPLE, approved, backup, oversight, restore, say, stop, under

ACTIVATE, CLOSE = OperationKind.ACTIVATE, OperationKind.CLOSE
ASKING = Policy(
    limits=(), people=PEOPLE, approvals=Approvals(closure=1, policy=1, roles=1, keys=1, finality=1, expires=7200)
)


async def elsewhere(here, *events):
    """Appends to the stream ``signing`` by a connection of its own: another process."""
    async with await Journal.open(f"sqlite:///{here.folder.name}/journal.db") as journal:
        length = len(await journal.read(DECISIONS_STREAM))
        await journal.append(DECISIONS_STREAM, list(events), after=length, at=here.now)


def active(here):
    account = here.create().id
    assert here.complete(account, ACTIVATE) == End("done")
    return account


def test_a_stop_during_the_binding_of_first_use_holds(lab):
    here = lab(policy=Policy(limits=(), keys=KeyPolicy(binding="first_use")))
    here.keys.wallets = ()
    bind = here.keys.bind

    def slow(name, wallet):
        asyncio.run(elsewhere(here, stop()))
        return bind(name, wallet)

    here.keys.bind = slow
    account = here.create().id
    here.start(account, ACTIVATE)
    assert here.keys.signed == [], "no key signs after a stop was committed"


def test_a_ruleset_adopted_between_the_gate_and_the_signature_holds(lab):
    """The intent says which ruleset it is under: that must be the one in force when it is committed."""
    here = lab()
    account = here.create().id
    here.pass_time(hours=1)  # so that a challenge is asked for
    messages_only = Policy().challenge.model_copy(update={"kinds": ("eip4361",)})
    strict = here.services.ruleset.model_copy(update={"policy": Policy(limits=(), challenge=messages_only)})
    adopted = o.RulesetAdopted(ruleset=strict.hash, document=rfc8785.dumps(strict.document).decode(), by="os:eve")
    challenge, done = here.platform.challenge, []

    async def slow(account_id):
        if not done:
            done.append(1)
            await elsewhere(here, adopted)
        return await challenge(account_id)

    here.platform.challenge = slow
    here.start(account, ACTIVATE)
    assert here.keys.signed == [], "uuid challenges are not allowed any more"


def test_an_approval_of_a_closure_that_failed_is_not_good_for_the_next_one(lab):
    here = lab(policy=ASKING, parameters=Parameters(closure_approvals=1))
    account = active(here)
    here.start(account, CLOSE)
    (asked,) = here.events(account, o.ApprovalRequested)
    say(here, account, approved(here, asked, "bob"))
    close = here.platform.close

    async def refuses(account_id, *, key):
        raise PlatformRefused("not now", status=422, code="balance_not_zero")

    here.platform.close = refuses
    ended = here.advance(account).action
    assert ended.outcome == "failed"
    here.platform.close = close
    here.pass_time(days=90)
    action = here.start(account, CLOSE).action
    assert here.account(account).deletes == 0, "asked of the platform on an approval of 90 days ago that was used"
    assert isinstance(action, Wait)
    assert "approval" in action.waits_for


def test_a_platform_that_says_closed_gets_no_deletion_signature_without_approval(lab):
    here = lab(policy=ASKING, parameters=Parameters(closure_approvals=1))
    account = active(here)
    model = here.account(account)
    here.platform.set_status(model, AccountStatus.CLOSED)
    here.platform._issue(model, "deletion")
    before = len(here.keys.signed)
    here.start(account, CLOSE)
    assert len(here.keys.signed) == before, "the deletion challenge was signed, and nobody had approved the closure"


def test_more_approvals_asked_by_a_new_ruleset_are_more_approvals(lab):
    here = lab(policy=ASKING, parameters=Parameters(closure_approvals=1))
    account = active(here)
    here.start(account, CLOSE)
    (asked,) = here.events(account, o.ApprovalRequested)
    two = ASKING.model_copy(update={"approvals": ASKING.approvals.model_copy(update={"closure": 2})})
    under(here, policy=two, parameters=Parameters(closure_approvals=2))
    here.advance(account)
    (change,) = oversight(here).approvals.values()
    say(here, DECISIONS_STREAM, approved(here, change.asked, "alice"))
    here.advance(account)
    assert oversight(here).ruleset.policy.approvals.closure == 2
    say(here, account, approved(here, asked, "bob"))
    here.advance(account)
    assert here.account(account).deletes == 0, "one approval, and the ruleset in force asks for two"


def test_confirmations_take_effect_after_their_approval_only(lab):
    """A look (a webhook, `poll`, `audit`, an operation's start) journals finality by the settings' confirmations."""
    here = lab(policy=ASKING)
    under(here, confirmations=50)
    account = here.create().id
    here.start(account, ACTIVATE)
    here.platform.work(here.account(account))
    here.chain.mine(10)
    assert isinstance(here.advance(account).action, Wait)
    assert not here.state(account).wallet.final
    under(here, confirmations=1)

    async def look():
        await observe(await AccountSession.load(account, here.services))

    here.run(look())
    assert oversight(here).ruleset.confirmations == 50
    assert not here.state(account).wallet.final, "final by confirmations that nobody has approved"


@pytest.mark.parametrize(("confirmations", "over"), [(1, True), (50, False)])
def test_what_was_read_back_under_another_ruleset_is_read_back_again(lab, confirmations, over):
    """An operation's start reads the account back before a ruleset that asks for more is adopted."""
    here = lab()
    account = here.create().id
    here.start(account, ACTIVATE)
    here.platform.work(here.account(account))
    here.chain.mine(10)

    async def read_back():
        session = await AccountSession.load(account, here.services)
        await observe(session)
        return session

    observed = here.run(read_back())
    assert observed.state.wallet.final, "by one confirmation"
    under(here, confirmations=confirmations)
    reads, read = [], here.platform.account

    async def counted(account_id):
        reads.append(account_id)
        return await read(account_id)

    here.platform.account = counted
    advanced = here.run(here.runner.advance(account, observed=replace(observed, services=here.services)))
    assert oversight(here).ruleset.confirmations == confirmations
    assert (advanced.action == End("done"), here.state(account).wallet.final) == (over, over)
    assert len(reads) == (0 if over else 1), "once, where the judgement has changed"
    here.chain.mine(50)
    assert over or here.advance(account).action == End("done")


def test_one_failure_after_a_long_wait_for_people_is_not_trouble_of_a_day(lab):
    here = lab(policy=ASKING, parameters=Parameters(closure_approvals=1, approval_life=timedelta(days=7)))
    account = active(here)
    here.start(account, CLOSE)
    here.pass_time(hours=25)
    assert isinstance(here.advance(account).action, Wait)
    here.faults.queue.append(("account", "unreachable"))
    action = here.advance(account).action
    assert isinstance(action, Wait), f"unreachable once, and not 'for longer than 1 day': {action}"


def test_a_restored_journal_is_still_told_after_a_stop(lab):
    """A stop while the guard holds must not take away the halt that `resolve --retry` reconciles by."""
    here = lab()
    account = active(here)
    shutil.rmtree(here.keystore)
    here.services = replace(here.services, signing_log=type(here.services.signing_log)(here.keystore))
    here.runner = type(here.runner)(here.services)
    second = here.create("two").id
    assert here.start(second, ACTIVATE).action.code == "journal_restored"
    say(here, DECISIONS_STREAM, stop())
    here.advance(second)
    assert account
    assert here.state(second).operation.halted is not None, "resolve --retry would say nothing_to_resolve"


def test_one_account_that_cannot_be_read_does_not_keep_all_signing_off(lab):
    here = lab()
    account = active(here)
    second = here.create("two").id
    shutil.rmtree(here.keystore)
    here.services = replace(here.services, signing_log=type(here.services.signing_log)(here.keystore))
    here.runner = type(here.runner)(here.services)
    here.create("not ours, and its customer's wallet is on another chain")
    assert here.start(second, ACTIVATE).action.code == "journal_restored"

    async def look_back(account_id):
        if account_id not in (account, second):
            raise SettingsError("wrong chain: …", code="wrong_chain")  # as `observe` raises it
        await observe(await AccountSession.load(account_id, here.services))

    here.run(reconcile(here.services, [account, second], look_back, reason="x", by="os:e"))
    assert not isinstance(here.advance(second).action, Halt)


def test_a_certificate_is_not_signed_after_a_stop_during_its_proof(lab):
    here = lab()
    here.certifier.key = "model"
    account = active(here)
    examine, signed = here.prover.examine, []

    async def slow(wallet):
        await elsewhere(here, stop())
        return await examine(wallet)

    certify = here.certifier.certify

    def certifying(**values):
        signed.append(values)
        return certify(**values)

    here.prover.examine, here.certifier.certify = slow, certifying
    here.begin(account, CLOSE)
    for _ in range(40):
        action = here.advance(account).action
        if signed or "resume-signing" in getattr(action, "waits_for", ""):
            break
        if here.account(account).job is not None:
            here.platform.work(here.account(account))
        here.pass_time(minutes=7)
    assert signed == []


def test_two_processes_with_different_settings_do_not_adopt_in_turns_for_ever(lab):
    here = lab()
    account = here.create().id
    here.begin(account, ACTIVATE)
    say(here, DECISIONS_STREAM, stop())
    processes = []
    for number in (1, 2):
        under(here, confirmations=number)
        here.services = replace(here.services, adopted=set())
        processes.append(type(here.runner)(here.services))

    def adopted():
        return sum(isinstance(item.event, o.RulesetAdopted) for item in here.run(here.journal.read(DECISIONS_STREAM)))

    for turn in range(20):
        waits = here.run(processes[turn % 2].advance(account)).action
        assert isinstance(waits, Wait)
    assert adopted() == 2
    assert "same settings" in here.run(processes[0].advance(account)).action.waits_for
    here.pass_time(minutes=11)
    here.run(processes[0].advance(account))
    assert adopted() == 3


def test_a_binding_that_a_kill_left_in_the_journal_only_is_a_binding(lab):
    here = lab(policy=Policy(limits=(), keys=KeyPolicy(binding="first_use")))
    here.keys.wallets = ()

    def killed(name, wallet):
        raise lab.killed

    bind, here.keys.bind = here.keys.bind, killed
    account = here.create().id
    here.begin(account, ACTIVATE)
    with pytest.raises(lab.killed):
        here.advance(account)
    here.keys.bind = bind
    (bound,) = (
        item.event for item in here.run(here.journal.read(DECISIONS_STREAM)) if isinstance(item.event, o.KeyChanged)
    )
    # What the journal says is bound is bound: the decision is to be made on it and not on the file alone.
    seen = oversight(here)
    assert seen.keys["model"] == bound
    assert here.settle(account) == End("done")
    again = [item for item in here.run(here.journal.read(DECISIONS_STREAM)) if isinstance(item.event, o.KeyChanged)]
    assert len(again) == 1, "bound a second time: the journal's word was not asked"


def restored_database(here, change):
    """``change`` is made, and then lost with the database: an older backup is put back."""
    backup(here)
    change()
    restore(here)


def test_a_stop_that_processes_have_seen_is_not_lost_with_an_older_database(lab):
    """After a stop nothing is signed, so the guard, which knows signatures only, never misses it."""
    here = lab()
    active(here)
    second = here.create("two").id

    def change():
        say(here, DECISIONS_STREAM, stop())
        assert isinstance(here.start(second, ACTIVATE).action, Wait)

    restored_database(here, change)
    before = len(here.keys.signed)
    here.start(second, ACTIVATE)
    assert len(here.keys.signed) == before, "the emergency stop was lost, and nobody was told"


def test_a_certificate_is_not_signed_with_a_key_that_the_journal_disabled(lab):
    here = lab()
    here.certifier.key = "seal"
    account = active(here)
    disabled = o.KeyChanged(
        action="disabled", name="seal", address="0x" + "A" * 40, backend="keystore", wallets=(), disabled=True,
        keystore=here.keys.id, by="os:eve",
    )  # fmt: skip
    say(here, DECISIONS_STREAM, disabled)
    signed = []
    here.certifier.certify = lambda **values: signed.append(values) or b"signed"
    here.begin(account, CLOSE)
    for _ in range(40):
        try:
            action = here.advance(account).action
        except OrchestratorError:
            break
        if signed or isinstance(action, Halt | End):
            break
        if here.account(account).job is not None:
            here.platform.work(here.account(account))
        here.pass_time(minutes=7)
    assert signed == []


def test_an_approval_of_an_abandoned_closure_is_not_good_for_the_next_one(lab):
    """Whoever approved it could otherwise close the account alone, after the one who asked has thought better of it."""
    here = lab(policy=ASKING, parameters=Parameters(closure_approvals=1))
    account = active(here)
    here.start(account, CLOSE)
    (asked,) = here.events(account, o.ApprovalRequested)
    say(here, account, approved(here, asked, "bob"))
    here.resolve(account, "abandon")
    here.pass_time(minutes=5)
    here.start(account, CLOSE)
    assert here.account(account).deletes == 0


def test_an_approval_is_of_the_content_that_its_text_shows(lab):
    """``content_hash`` finds the request, ``content`` is what the approver reads: they must belong together."""
    here = lab(policy=ASKING)
    account = here.create().id
    here.start(account, ACTIVATE)
    under(here, domains=("evil.example",))
    here.advance(account)
    (harmful,) = oversight(here).approvals.values()
    here.pass_time(minutes=1)
    shown = request_approval(
        "ruleset", Role.ADMINISTRATOR, {"changes": ["a comma"]}, needed=1, by="os:m", now=here.now,
        expires_at=here.now + timedelta(hours=1),
    ).model_copy(update={"content_hash": harmful.asked.content_hash})  # fmt: skip
    say(here, DECISIONS_STREAM, shown)
    say(here, DECISIONS_STREAM, approved(here, shown, "alice"))
    here.advance(account)
    assert oversight(here).ruleset.domains == ("platform.example",)


def test_a_request_does_not_say_itself_how_many_people_it_takes(lab):
    here = lab(policy=ASKING, parameters=Parameters(closure_approvals=1))
    account = active(here)
    here.start(account, CLOSE)
    (asked,) = here.events(account, o.ApprovalRequested)
    here.pass_time(minutes=1)
    forged = asked.model_copy(update={"request": "f" * 64, "needed": 0})
    say(here, account, forged)
    here.advance(account)
    assert here.account(account).deletes == 0, "nobody has approved anything"


def test_a_stop_of_a_key_covers_signatures_of_which_the_key_is_not_known():
    """A first release journaled no key's name with its signatures: with a stop of any key they are not sent."""
    held = Stop("stop-1", "key:model", "leak", "os:eve", datetime(2026, 1, 1, tzinfo=UTC))
    assert held.covers(key=None, address=None, chain="eip155:1")


def test_a_ruleset_of_a_newer_release_is_an_error_with_a_code(lab):
    here = lab()
    account = here.create().id
    here.begin(account, ACTIVATE)
    document = {**here.services.ruleset.document, "newer": 1}
    say(
        here,
        DECISIONS_STREAM,
        o.RulesetAdopted(ruleset="0" * 64, document=rfc8785.dumps(document).decode(), by="os:eve"),
    )
    with pytest.raises(OrchestratorError):
        here.advance(account)


def test_an_approver_who_has_left_is_no_break_in(lab):
    """Her approval holds no longer under the ruleset in force: another is waited for, and no alarm is raised."""
    here = lab(policy=ASKING, parameters=Parameters(closure_approvals=1))
    account = active(here)
    here.start(account, CLOSE)
    (asked,) = here.events(account, o.ApprovalRequested)
    say(here, account, approved(here, asked, "bob"))
    without = {**PEOPLE, "bob": PEOPLE["bob"].model_copy(update={"address": "0x" + "C" * 40})}
    under(here, policy=ASKING.model_copy(update={"people": without}))
    here.advance(account)
    (change,) = oversight(here).approvals.values()
    say(here, DECISIONS_STREAM, approved(here, change.asked, "alice"))
    action = here.advance(account).action
    assert here.account(account).deletes == 0
    assert isinstance(action, Wait), f"one approval is missing: {action}"
