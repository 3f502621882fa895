"""What stands between a challenge and a key: rulesets, stops, limits, bindings, the guard against old backups."""

import asyncio
import shutil
from dataclasses import replace

import pytest
from coincurve import PrivateKey

from orchestrator import eip191
from orchestrator.errors import Disposition, KeyUnavailable
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import End, Halt, Wait
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.lifecycle.stages import Parameters
from orchestrator.models import OperationKind, to_address
from orchestrator.policy import Approvals, ChallengePolicy, KeyPolicy, Limit, Person, Policy, Role, Ruleset
from tests.authorization.decisions import (
    PEOPLE,
    approved,
    backup,
    changed,
    decide,
    oversight,
    reconciled,
    restart,
    restore,
    resumed,
    stop,
    under,
)

ACTIVATE, CLOSE = OperationKind.ACTIVATE, OperationKind.CLOSE
NO_LIMITS = Policy(limits=())


@pytest.fixture
def here(lab):
    return lab()


@pytest.fixture
def account(here):
    return here.create().id


def signatures(here, account):
    return here.events(account, e.ChallengeSigned)


def log(here):
    """The lines of signatures; those of decisions have no digest."""
    lines = here.services.signing_log.entries(here.run(here.journal.identity()))
    return [line for line in lines if line.digest]


# --- the signing journal --------------------------------------------------------------------------------------------


def test_a_signature_says_who_which_key_which_policy_and_is_noted_beside_the_keystore(here, account):
    assert here.complete(account, ACTIVATE) == End("done")
    recorded = here.run(here.journal.read(account))
    intent = next(item for item in recorded if isinstance(item.event, e.SigningIntended))
    signed = next(item for item in recorded if isinstance(item.event, e.ChallengeSigned))
    assert intent.seq < signed.seq
    assert (intent.event.key, intent.event.by, intent.event.rule) == ("model", "os:model", "uuid")
    assert intent.event.policy == signed.event.policy == here.services.ruleset.hash == oversight(here).ruleset_hash
    assert intent.event.keystore == here.keys.id
    (line,) = log(here)
    assert (line.seq, line.hash, line.digest) == (intent.seq, intent.hash, signed.event.digest)
    assert here.run(here.journal.verify()).valid


# --- the emergency stop ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["all", "key:model", "chain:eip155:31337"])
def test_a_stop_is_a_wait_and_no_key_is_touched(here, account, scope):
    decide(here, stop(scope))
    for _ in range(3):
        waits = here.start(account, ACTIVATE).action
        assert isinstance(waits, Wait)
        assert "resume-signing" in waits.waits_for
        assert "leak" in waits.waits_for
    assert here.keys.signed == []
    assert here.events(account, e.SigningIntended) == []
    decide(here, resumed())
    assert here.settle(account) == End("done")
    assert len(signatures(here, account)) == 1


@pytest.mark.parametrize("scope", ["key:other", "chain:eip155:1"])
def test_a_stop_of_something_else_stops_nothing(here, account, scope):
    decide(here, stop(scope))
    assert here.complete(account, ACTIVATE) == End("done")


def test_a_stop_between_the_look_and_the_intent_keeps_the_intent_out(here, account):
    look = here.keys.key_for

    def slow(address):
        asyncio.run(stopped_elsewhere(here))
        return look(address)

    here.keys.key_for = slow
    assert here.start(account, ACTIVATE).trouble.code == "journal_moved"
    assert here.events(account, e.SigningIntended) == []
    assert here.keys.signed == []


async def stopped_elsewhere(here) -> None:
    """By a connection of its own, as another process."""
    async with await Journal.open(f"sqlite:///{here.folder.name}/journal.db") as journal:
        length = len(await journal.read(DECISIONS_STREAM))
        await journal.append(DECISIONS_STREAM, [stop("all")], after=length, at=here.now)


def test_only_the_rulesets_domains_are_signed_for(lab):
    """A sign-in message of another domain, offered by the platform itself."""
    here = lab()
    here.services = replace(
        here.services, ruleset=here.services.ruleset.model_copy(update={"domains": ("elsewhere.example",)})
    )
    here.runner = type(here.runner)(here.services)
    text = (
        f"platform.example wants you to sign in with your Ethereum account:\n{here.keys.address}\n\n\n"
        "URI: https://platform.example\nVersion: 1\nChain ID: 31337\nNonce: abcdefgh12345678\n"
        f"Issued At: {here.now.isoformat().replace('+00:00', 'Z')}"
    )
    here.platform.texts.append(text)
    account = here.create().id
    halted = here.start(account, ACTIVATE).action
    assert isinstance(halted, Halt), halted
    assert "rule eip4361.domain" in halted.message
    under(here, domains=("platform.example",))
    here.advance(account)
    assert here.keys.signed == [text.encode()]


def test_a_stop_while_the_key_signs_drops_the_signature(here, account):
    sign = here.keys.answers

    def slow(message):
        # The key signs in a thread of its own, so the other process can be a loop of its own.
        asyncio.run(stopped_elsewhere(here))
        return sign(message)

    here.keys.answers = slow
    advanced = here.start(account, ACTIVATE)
    assert advanced.trouble.code == "journal_moved"
    assert signatures(here, account) == []
    here.keys.answers = sign
    assert isinstance(here.advance(account).action, Wait)
    assert len(here.keys.signed) == 1, "not signed again while it holds"
    decide(here, resumed())
    assert here.settle(account) == End("done")
    assert len(here.events(account, e.SigningIntended)) == len(signatures(here, account)) == len(log(here)) == 1


def test_a_signature_that_was_made_is_not_sent_while_a_stop_holds(here, account):
    here.faults.queue.append(("submit", "unreachable"))
    here.start(account, ACTIVATE)
    assert len(signatures(here, account)) == 1
    decide(here, stop("key:model"))
    assert "resume-signing" in here.advance(account).action.waits_for
    assert here.account(account).accepted == []
    decide(here, resumed())
    assert here.settle(account) == End("done")


@pytest.mark.parametrize("where", ["keystore", "journal"])
def test_a_signature_of_a_key_that_was_disabled_since_is_not_sent(here, account, where):
    here.faults.queue.append(("submit", "unreachable"))
    here.start(account, ACTIVATE)
    assert len(signatures(here, account)) == 1
    if where == "keystore":
        here.keys.disabled = True
    else:
        decide(here, changed(here, disabled=True, action="disabled"))
    with pytest.raises(KeyUnavailable) as caught:
        here.advance(account)
    assert caught.value.code == "key_disabled"
    assert here.account(account).accepted == []
    if where == "keystore":
        here.keys.disabled = False
    else:
        decide(here, changed(here, action="enabled"))
    assert here.settle(account) == End("done")
    assert len(signatures(here, account)) == 1, "the same signature, later"


def test_a_signature_that_the_policy_of_now_forbids_is_not_sent(here, account):
    here.faults.queue.append(("submit", "unreachable"))
    here.start(account, ACTIVATE)
    before = here.services.ruleset.policy
    under(here, policy=before.model_copy(update={"challenge": ChallengePolicy(kinds=("eip4361",))}))
    halted = here.advance(account).action
    assert isinstance(halted, Halt)
    assert halted.code == "policy_refused"
    assert "not to be sent" in halted.message
    assert here.account(account).accepted == []
    under(here, policy=before)
    assert here.settle(account) == End("done")
    assert len(signatures(here, account)) == 1


def test_waiting_alone_does_not_forbid_a_signature(here, account):
    """A challenge too old to be signed now may have been signed in time; what the platform says of it counts."""
    here.faults.queue.append(("submit", "unreachable"))
    under(here, policy=here.services.ruleset.policy.model_copy(update={"challenge": ChallengePolicy(max_age=60)}))
    here.start(account, ACTIVATE)
    here.pass_time(minutes=20)
    here.advance(account)
    assert here.account(account).accepted == ["creation"]


def test_no_certificate_is_signed_while_its_key_is_stopped(here, account):
    assert here.complete(account, ACTIVATE) == End("done")
    here.certifier.key = "certificate"
    decide(here, stop("key:certificate"))
    here.begin(account, CLOSE)
    for _ in range(20):
        action = here.advance(account).action
        if here.account(account).job is not None:
            here.platform.work(here.account(account))
        here.pass_time(minutes=1)
    assert "resume-signing" in action.waits_for
    assert here.events(account, e.ClosureProven) == []
    decide(here, resumed())
    assert here.settle(account) == End("done")
    assert here.state(account).closure.signed_by == "certificate"


# --- kills and keys that fail ----------------------------------------------------------------------------------------


def test_a_kill_while_the_key_signs_leads_to_one_signature_of_the_same_challenge(here, lab, account):
    sign = here.keys.answers

    def killed(_message):
        raise lab.killed

    here.keys.answers = killed
    here.begin(account, ACTIVATE)
    with pytest.raises(lab.killed):
        here.advance(account)
    assert here.state(account).operation.intended is not None
    here.keys.answers = sign
    assert here.settle(account) == End("done")
    (intent,) = here.events(account, e.SigningIntended)
    (signed,) = signatures(here, account)
    assert intent.digest == signed.digest
    assert len(log(here)) == 1


def test_an_intent_whose_challenge_has_expired_lapses_and_never_comes_back(here, lab, account):
    sign = here.keys.answers

    def unavailable(_message):
        raise KeyUnavailable("the token is gone", code="key_backend_unreachable", disposition=Disposition.RETRY)

    here.keys.answers = unavailable
    assert here.start(account, ACTIVATE).trouble.code == "key_backend_unreachable"
    here.pass_time(hours=2)
    here.keys.answers = sign
    assert here.settle(account) == End("done")
    first, second = here.events(account, e.SigningIntended)
    assert [lapsed.digest for lapsed in here.events(account, e.ChallengeLapsed)] == [first.digest]
    assert [signed.digest for signed in signatures(here, account)] == [second.digest]
    assert [line.digest for line in log(here)] == [first.digest, second.digest]


def test_a_signature_of_another_key_never_leaves(here, account):
    def other(message):
        raw = PrivateKey(b"\x05" * 32).sign_recoverable(eip191.personal_hash(message), hasher=None)
        return raw[:64] + bytes((27 + raw[64],))

    sign, here.keys.answers = here.keys.answers, other
    halted = here.start(account, ACTIVATE).action
    assert isinstance(halted, Halt)
    assert halted.code == "signature_mismatch"
    assert signatures(here, account) == []
    assert here.account(account).accepted == []
    here.keys.answers = sign
    assert here.settle(account) == End("done")


def test_a_key_that_the_journal_disabled_stays_so_whatever_its_file_says(here, account):
    change = o.KeyChanged(
        action="disabled", name="model", address=here.keys.address, backend="keystore", wallets=(), disabled=True,
        keystore=here.keys.id, by="os:eve",
    )  # fmt: skip
    decide(here, change)
    here.begin(account, ACTIVATE)
    with pytest.raises(KeyUnavailable) as refused:
        here.advance(account)
    assert refused.value.code == "key_disabled"
    assert here.keys.signed == []
    decide(here, change.model_copy(update={"action": "enabled", "disabled": False}))
    assert here.settle(account) == End("done")


# --- bindings, limits, other accounts' challenges -------------------------------------------------------------------


def test_a_key_without_a_wallet_is_refused(here, account):
    here.keys.wallets = ()
    halted = here.start(account, ACTIVATE).action
    assert halted.code == "policy_refused"
    assert "rule binding" in halted.message
    assert here.keys.signed == []


def test_a_key_of_the_same_address_on_another_chain_is_refused(here, account):
    here.keys.wallets = (replace(here.keys.wallets[0], chain=type(here.keys.wallets[0].chain)(1)),)
    assert "rule binding" in here.start(account, ACTIVATE).action.message


def test_first_use_binds_once_and_for_good(lab):
    here = lab(policy=Policy(limits=(), keys=KeyPolicy(binding="first_use")))
    here.keys.wallets = ()
    account = here.create().id
    assert here.complete(account, ACTIVATE) == End("done")
    (bound,) = (change for change in oversight(here).keys.values() if change.action == "bound")
    assert bound.wallets == tuple(str(wallet) for wallet in here.keys.wallets)
    assert len(bound.wallets) == 1


def test_a_limit_makes_the_next_one_wait_until_it_is_free_again(lab):
    here = lab(policy=Policy(limits=(Limit(per="key", signatures=1, seconds=3600),)))
    first, second = here.create("one").id, here.create("two").id
    assert isinstance(here.start(first, ACTIVATE).action, Wait)
    advanced = here.start(second, ACTIVATE)
    assert advanced.trouble.code == "signing_limit"
    assert "1 signatures in 3600 s by key model" in advanced.trouble.message
    assert len(here.keys.signed) == 1
    here.pass_time(hours=1, seconds=1)
    assert here.settle(second) == End("done")


def test_a_challenge_that_another_account_was_given_is_not_signed(here):
    first = here.create("one").id
    here.faults.queue.append(("submit", "unreachable"))
    here.start(first, ACTIVATE)
    here.platform.texts.append(here.account(first).offer.text)
    second = here.create("two").id
    halted = here.start(second, ACTIVATE).action
    assert halted.code == "policy_refused"
    assert "rule foreign" in halted.message
    assert len(here.keys.signed) == 1


def test_a_challenge_that_names_an_account_of_the_journal_is_not_signed(here):
    """A bare UUID that is another account's id: nothing but the journal can tell."""
    first = here.create("one").id
    assert here.complete(first, ACTIVATE) == End("done")
    here.platform.texts.append(first)
    second = here.create("two").id
    halted = here.start(second, ACTIVATE).action
    assert halted.code == "policy_refused"
    assert f"rule account: expected a challenge that names no account but {second}" in halted.message
    assert first in halted.message
    assert len(here.keys.signed) == 1


# --- rulesets --------------------------------------------------------------------------------------------------------

ASKING = Policy(
    limits=(), people=PEOPLE, approvals=Approvals(closure=0, policy=1, roles=2, keys=1, finality=1, expires=7200)
)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"confirmations": 3}, "finality"),
        ({"domains": ("evil.example",)}, "policy"),
        ({"policy": ASKING.model_copy(update={"limits": (Limit(per="all", signatures=1, seconds=1),)})}, "policy"),
        ({"policy": ASKING.model_copy(update={"approvals": Policy().approvals})}, "policy"),
    ],
)
def test_a_changed_ruleset_waits_for_approval_by_the_one_in_force_and_is_asked_for_once(lab, changes, named):
    here = lab(policy=ASKING)
    account = here.create().id
    assert isinstance(here.start(account, ACTIVATE).action, Wait)
    before = len(here.run(here.journal.read(account)))
    old = here.services.ruleset
    under(here, **changes)
    for _ in range(3):
        waits = here.advance(account).action
        assert isinstance(waits, Wait)
        assert named in waits.waits_for
        assert "orchestrator approve" in waits.waits_for
    assert len(here.run(here.journal.read(account))) == before, "nothing is done under it"
    (request,) = oversight(here).approvals.values()
    assert (request.asked.subject, request.asked.needed) == ("ruleset", 1)
    decide(here, approved(here, request.asked, "alice"))
    assert here.settle(account) == End("done")
    seen = oversight(here)
    assert seen.ruleset_hash == here.services.ruleset.hash != old.hash
    assert seen.approvals[request.asked.request].used


def test_an_approval_that_only_the_database_says_is_none(lab):
    """Who can write to the database is not thereby one of the people."""
    here = lab(policy=ASKING)
    account = here.create().id
    here.start(account, ACTIVATE)
    under(here, confirmations=2)
    here.advance(account)
    (request,) = oversight(here).approvals.values()
    decide(here, o.ApprovalGiven(request=request.asked.request, person="alice"))
    decide(here, approved(here, request.asked, "bob", PrivateKey(b"\x0c" * 32)))
    assert "finality" in here.advance(account).action.waits_for
    assert oversight(here).ruleset.confirmations == 1


def test_a_closure_goes_by_signed_approvals_only(lab):
    here = lab(
        policy=ASKING.model_copy(update={"approvals": ASKING.approvals.model_copy(update={"closure": 1})}),
        parameters=Parameters(closure_approvals=1),
    )
    account = here.create().id
    assert here.complete(account, ACTIVATE) == End("done")
    assert "approval" in here.start(account, CLOSE).action.waits_for
    (asked,) = here.events(account, o.ApprovalRequested)

    def say(event) -> None:
        length = len(here.run(here.journal.read(account)))
        here.run(here.journal.append(account, [event], after=length, at=here.now))

    say(o.ApprovalGiven(request=asked.request, person="bob"))
    waits = here.advance(account).action
    assert "fewer than 1 hold by their signatures" in waits.waits_for
    assert here.account(account).deletes == 0
    say(approved(here, asked, "alice"))
    assert here.settle(account) == End("done")
    assert here.account(account).deletes == 1


def test_new_roles_take_the_approvals_that_roles_take(lab):
    here = lab(policy=ASKING)
    account = here.create().id
    here.start(account, ACTIVATE)
    mallory = {**PEOPLE, "mallory": Person(address=to_address("0x" + "c" * 40), roles=tuple(Role))}
    under(here, policy=ASKING.model_copy(update={"people": mallory}))
    here.advance(account)
    (request,) = oversight(here).approvals.values()
    assert request.asked.needed == 2
    decide(here, approved(here, request.asked, "alice"))
    assert "roles" in here.advance(account).action.waits_for
    decide(here, approved(here, request.asked, "bob"))
    assert here.settle(account) == End("done")


def test_an_expired_approval_of_a_ruleset_counts_for_nothing(lab):
    here = lab(policy=ASKING)
    account = here.create().id
    here.start(account, ACTIVATE)
    under(here, confirmations=2)
    here.advance(account)
    (request,) = oversight(here).approvals.values()
    decide(here, approved(here, request.asked, "alice"))
    here.pass_time(hours=2)
    assert isinstance(here.advance(account).action, Wait)
    assert len(oversight(here).approvals) == 2, "asked anew"
    assert oversight(here).ruleset.confirmations == 1


def test_a_journal_without_rules_adopts_the_first_ones_and_says_so(here, account):
    here.start(account, ACTIVATE)
    assert oversight(here).ruleset == here.services.ruleset
    assert oversight(here).ruleset == Ruleset.model_validate(here.services.ruleset.document)


# --- restored backups ------------------------------------------------------------------------------------------------


def test_a_log_whose_first_line_is_still_to_come_is_no_other_journals(here, account):
    """What a process leaves that was killed there, and what one sees while another makes the first signature."""
    folder = here.keystore / ".signing"
    for each in (here.keystore, folder):
        each.mkdir(mode=0o700, exist_ok=True)
    (folder / f"{here.run(here.journal.identity())}.jsonl").touch(mode=0o600)
    assert here.complete(account, ACTIVATE) == End("done")


def test_an_older_database_signs_nothing_until_it_is_reconciled(here, lab, account):
    second = here.create("two").id
    assert here.complete(account, ACTIVATE) == End("done")
    backup(here, "journal.db")
    here.faults.queue.append(("submit", "unreachable"))
    here.start(second, ACTIVATE)  # signed after the backup, and not sent
    (lost,) = signatures(here, second)
    restore(here, "journal.db")
    touched = len(here.keys.signed)
    for who in (second, here.create("three").id):
        halted = here.start(who, ACTIVATE).action
        assert isinstance(halted, Halt)
        assert halted.code == "journal_restored"
        assert "older backup" in halted.message
    assert len(here.keys.signed) == touched
    done = reconciled(here)
    assert done.event.accounts == 3
    assert done.event.signatures == 1
    assert done.stopped is None, "no decision of people was lost"
    assert reconciled(here) is None, "once is enough"
    halted = here.advance(second).action
    assert halted.code == "policy_refused"
    assert "signed_before" in halted.message, "what was signed before the restore is not signed again"
    assert len(here.keys.signed) == touched
    here.pass_time(hours=2)
    here.resolve(second, "retry")
    assert here.settle(second) == End("done")
    assert lost.digest not in {signed.digest for signed in signatures(here, second)}
    assert here.run(here.journal.verify()).valid


def test_an_older_keystore_signs_nothing_until_it_is_reconciled(here, lab, account):
    second, third = here.create("two").id, here.create("three").id
    assert here.complete(account, ACTIVATE) == End("done")
    backup(here, "keystore")
    assert here.complete(second, ACTIVATE) == End("done")
    restore(here, "keystore")
    halted = here.start(third, ACTIVATE).action
    assert halted.code == "journal_restored"
    assert "keystore was restored" in halted.message
    reconciled(here)
    assert here.settle(third) == End("done")


def test_a_keystore_without_its_log_signs_nothing_for_a_journal_that_has_signatures(here, lab, account):
    second = here.create("two").id
    assert here.complete(account, ACTIVATE) == End("done")
    shutil.rmtree(here.keystore)
    restart(here)
    assert here.start(second, ACTIVATE).action.code == "journal_restored"
    reconciled(here)
    assert here.settle(second) == End("done")


def test_two_histories_of_one_journal_cannot_both_sign(here, lab, account):
    """The older backup has grown past the place of the last signature: its length says nothing, its hash does."""
    second = here.create("two").id
    backup(here, "journal.db")
    assert here.complete(account, ACTIVATE) == End("done")
    restore(here, "journal.db")
    for number in range(40):
        here.create(f"more-{number}")
    assert here.run(here.journal.event_hash(log(here)[-1].seq)) is not None
    halted = here.start(second, ACTIVATE).action
    assert halted.code == "journal_restored"
    assert "another event there" in halted.message


@pytest.mark.parametrize(("rule", "signs"), [("refuse", False), ("allow", True)])
def test_a_used_keystore_and_another_journal(lab, migrated, tmp_path, rule, signs):
    policy = Policy(limits=(), keys=KeyPolicy(new_journal=rule))
    first = lab(policy=policy)
    assert first.complete(first.create().id, ACTIVATE) == End("done")
    second = lab(policy=policy)
    fresh = second.run(Journal.open(f"sqlite:///{tmp_path}/fresh.db"))
    second.run(second.journal.close())
    second.journal = fresh
    second.services = replace(
        second.services, journal=fresh, signing_log=type(first.services.signing_log)(first.keystore)
    )
    second.runner = type(second.runner)(second.services)
    account = second.create().id
    ended = second.complete(account, ACTIVATE)
    assert (ended == End("done")) is signs
    if not signs:
        assert ended.code == "journal_restored"
        assert "another journal" in ended.message


def test_trouble_with_the_log_keeps_the_key_untouched(here, account):
    here.keystore.mkdir(mode=0o700)
    (here.keystore / ".signing").write_text("a file where a folder belongs")
    halted = here.start(account, ACTIVATE).action
    assert isinstance(halted, Halt)
    assert halted.code == "signing_log_unreadable"
    assert here.keys.signed == []
    (here.keystore / ".signing").unlink()
    assert here.settle(account) == End("done")
