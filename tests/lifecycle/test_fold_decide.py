"""Fold and decision: a row for each stage and each code, and what holds for any events at all."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import Act, End, Halt, Wait, next_action
from orchestrator.lifecycle.fold import AccountState, fold
from orchestrator.lifecycle.oversight_state import request_approval
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.lifecycle.stages import STAGES, Parameters, Step, closure_content
from orchestrator.models import AccountStatus as S
from orchestrator.models import OperationKind, WalletState, to_address
from orchestrator.wallet.findings import Finding

ACTIVATE, DEACTIVATE = OperationKind.ACTIVATE, OperationKind.DEACTIVATE
REACTIVATE, CLOSE = OperationKind.REACTIVATE, OperationKind.CLOSE
START = datetime(2026, 1, 1, tzinfo=UTC)
OWNER, WALLET, OTHER = (to_address("0x" + digit * 40) for digit in "123")
CHAIN = "eip155:31337"
ACCOUNT = "a0000000-0000-4000-8000-000000000001"
RULES = Parameters()


def digest(number: int) -> str:
    return f"0x{number:064x}"


def block(number: int) -> e.BlockFact:
    return e.BlockFact(number=number, hash=digest(number))


def platform(status: S, wallet: str | None = None, owner: str = OWNER) -> e.PlatformObserved:
    return e.PlatformObserved(customer_id="c", status=status, wallet=wallet, owner=f"{CHAIN}:{owner}", updated_at=START)


def deployed(**changes) -> e.WalletDeployed:
    values = {
        "chain_id": CHAIN, "wallet": WALLET, "owner": OWNER, "event_owner": OWNER, "create2": WALLET,
        "code_matches": True, "code_hash": digest(9), "challenge_hash": digest(1), "block": block(5),
        "tx_hash": digest(7),
    }  # fmt: skip
    return e.WalletDeployed(**(values | changes))


def said(**findings: str) -> e.WalletDeployed:
    """A deployment by a profile; one source for each check."""
    right = {"address": WALLET, "code": "SmartWallet", "owner": OWNER, "challenge": digest(1)} | findings
    return deployed(profile="p:1", findings=tuple(Finding(check, "a source", one) for check, one in right.items()))


MOVED = said(address="0x" + "aa" * 20).model_copy(update={"wallet": "0x" + "aa" * 20})


def wallet(state: WalletState, *, final: bool = True, number: int = 6) -> e.WalletStateSeen:
    finality = "finalized" if final else "latest"
    return e.WalletStateSeen(state=state, block=block(number), tx_hash=digest(8), finality=finality, final=final)


def fetched(number: int = 1, purpose: str = "creation") -> e.ChallengeFetched:
    return e.ChallengeFetched(purpose=purpose, challenge="dXVpZA==", kind="uuid", digest=digest(number))


def signed(number: int = 1, purpose: str = "creation") -> e.ChallengeSigned:
    return e.ChallengeSigned(purpose=purpose, digest=digest(number), signer=f"{CHAIN}:{OWNER}", signature="0x00")


def intended(number: int = 1, purpose: str = "creation") -> e.SigningIntended:
    return e.SigningIntended(
        purpose=purpose, digest=digest(number), signer=f"{CHAIN}:{OWNER}", key="owner", backend="keystore",
        keystore="k", policy="p", rule="uuid", by="os:model",
    )  # fmt: skip


def refusal(number: int = 1) -> e.SubmissionRefused:
    return e.SubmissionRefused(digest=digest(number), code="signature_refused", message="no")


def proof(number: int = 8) -> e.ClosureProven:
    return e.ClosureProven(
        claim="irreversible",
        verdict="irreversible",
        reason="inert",
        analysis="inert",
        block=block(number),
        code_hash=digest(9),
        certificate_sha256="0",
        certificate="/c",
    )


OLD_PROOF = e.ClosureProven(
    claim="state_proven", block=block(8), code_hash=digest(9), certificate_sha256="0", certificate="/c"
)
REVOKED = e.CertificateRevoked(certificate_sha256="0", certificate="/c", block=block(8))
STARTED = {kind: e.OperationStarted(operation=kind) for kind in OperationKind}
INTENDED = e.SubmissionIntended(digest=digest(1), key="k")
ACCEPTED = e.SubmissionAccepted(digest=digest(1))
PREFLIGHT = e.PreflightTaken(wei="0", tokens={}, cards={})
_W = WalletState


def asked(kind: OperationKind) -> list[Event]:
    return [e.RequestIntended(operation=kind, key="k"), e.RequestAccepted(operation=kind)]


def recorded(events, *, every: timedelta = timedelta(0), start: datetime = START) -> list[Recorded]:
    return [
        Recorded(seq=i + 1, stream="a", at=start + every * i, event=event, hash="", previous="")
        for i, event in enumerate(events)
    ]


def state_of(*events, every: timedelta = timedelta(0)) -> AccountState:
    return fold(recorded(events, every=every))


def action(*events, after: timedelta = timedelta(minutes=1), parameters: Parameters = RULES):
    return next_action(ACCOUNT, state_of(*events), START + after, parameters)


# --- a row for each stage -------------------------------------------------

A, D, R, C = STARTED[ACTIVATE], STARTED[DEACTIVATE], STARTED[REACTIVATE], STARTED[CLOSE]
ON_CHAIN = [deployed(), wallet(_W.ACTIVE)]
DELETION = [fetched(2, "deletion"), signed(2, "deletion")]

STAGE_ROWS = [
    (ACTIVATE, "challenge fetched", [platform(S.INITIATING), A], Step.FETCH_CHALLENGE),
    (ACTIVATE, "signed", [platform(S.INITIATING), A, fetched()], Step.SIGN),
    (ACTIVATE, "submitted", [platform(S.INITIATING), A, fetched(), signed()], Step.SUBMIT),
    (ACTIVATE, "pending", [platform(S.INITIATING), A, fetched(), signed(), INTENDED, ACCEPTED], "verify the signature"),
    (ACTIVATE, "deployed", [platform(S.PENDING), A], "to be deployed"),
    (ACTIVATE, "active on the chain", [platform(S.PENDING), A, deployed(), wallet(_W.CREATED)], "active on the chain"),
    (ACTIVATE, "final", [platform(S.ACTIVE), A, deployed(), wallet(_W.ACTIVE, final=False)], "to be final"),
    (ACTIVATE, "active", [platform(S.PENDING), A, *ON_CHAIN], "platform to say active"),
    (ACTIVATE, None, [platform(S.ACTIVE), A, *ON_CHAIN], None),
    (DEACTIVATE, "requested", [platform(S.ACTIVE), D, *ON_CHAIN], Step.REQUEST),
    (DEACTIVATE, "inactive on the platform", [platform(S.ACTIVE), D, *ON_CHAIN, *asked(DEACTIVATE)], "say inactive"),
    (DEACTIVATE, "inactive on the chain", [platform(S.INACTIVE), D, *ON_CHAIN], "inactive on the chain"),
    (DEACTIVATE, "final", [platform(S.INACTIVE), D, deployed(), wallet(_W.INACTIVE, final=False)], "to be final"),
    (DEACTIVATE, None, [platform(S.INACTIVE), D, deployed(), wallet(_W.INACTIVE)], None),
    (REACTIVATE, "requested", [platform(S.INACTIVE), R, deployed(), wallet(_W.INACTIVE)], Step.REQUEST),
    (REACTIVATE, "active on the platform", [platform(S.INACTIVE), R, *asked(REACTIVATE)], "platform to say active"),
    (REACTIVATE, "active on the chain", [platform(S.ACTIVE), R, deployed(), wallet(_W.INACTIVE)], "to become active"),
    (REACTIVATE, "final", [platform(S.ACTIVE), R, deployed(), wallet(_W.ACTIVE, final=False)], "to be final"),
    (REACTIVATE, None, [platform(S.ACTIVE), R, *ON_CHAIN], None),
    (CLOSE, "settled", [platform(S.PENDING), C], "finish the deployment"),
    (CLOSE, "preflight", [platform(S.ACTIVE), C, *ON_CHAIN], Step.PREFLIGHT),
    (CLOSE, "requested", [platform(S.ACTIVE), C, *ON_CHAIN, PREFLIGHT], Step.REQUEST),
    (CLOSE, "challenge fetched", [platform(S.ACTIVE), C, *ON_CHAIN, PREFLIGHT, *asked(CLOSE)], Step.FETCH_CHALLENGE),
    (CLOSE, "challenge fetched", [platform(S.CLOSED), C, *ON_CHAIN], Step.FETCH_CHALLENGE),
    (CLOSE, "signed", [platform(S.ACTIVE), C, *ON_CHAIN, PREFLIGHT, *asked(CLOSE), DELETION[0]], Step.SIGN),
    (CLOSE, "submitted", [platform(S.ACTIVE), C, *ON_CHAIN, PREFLIGHT, *asked(CLOSE), *DELETION], Step.SUBMIT),
    (CLOSE, "closed on the platform",
     [platform(S.ACTIVE), C, *ON_CHAIN, PREFLIGHT, *asked(CLOSE), *DELETION, ACCEPTED], "platform to say closed"),
    (CLOSE, "closed on the chain", [platform(S.CLOSED), C, *ON_CHAIN, *DELETION, ACCEPTED], "close on the chain"),
    (CLOSE, "final", [platform(S.CLOSED), C, deployed(), wallet(_W.CLOSED, final=False)], "to be final"),
    (CLOSE, "proven", [platform(S.CLOSED), C, deployed(), wallet(_W.CLOSED)], Step.PROVE),
    (CLOSE, "proven", [platform(S.CLOSED), C, deployed(), wallet(_W.CLOSED), OLD_PROOF], Step.PROVE),
    (CLOSE, "proven", [platform(S.CLOSED), C, deployed(), wallet(_W.CLOSED), proof(), REVOKED], Step.PROVE),
    (CLOSE, None, [platform(S.CLOSED), C, deployed(), wallet(_W.CLOSED), proof()], None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "stage", "events", "expected"), STAGE_ROWS, ids=[f"{row[0]}-{row[1] or 'done'}" for row in STAGE_ROWS]
)  # fmt: skip
def test_each_stage_decides(kind, stage, events, expected):
    found = action(*events)
    match expected:
        case None:
            assert found == End("done")
        case Step():
            assert found == Act(expected)
        case str():
            assert isinstance(found, Wait)
            assert expected in found.waits_for
            assert found.since == START
            assert found.until == START + RULES.patience
            late = action(*events, after=RULES.patience)
            assert isinstance(late, Halt)
            assert late.code == "overdue"
            assert found.waits_for in late.message
            assert action(*events, after=-RULES.clock_skew) == found
            set_back = action(*events, after=-RULES.clock_skew - timedelta(seconds=1))
            assert isinstance(set_back, Halt), "how long it has been is unknown"
            assert set_back.code == "overdue"


def test_the_table_has_a_row_for_every_stage():
    rows = {(kind, stage) for kind, stage, *_ in STAGE_ROWS if stage}
    rows |= {(CLOSE, name) for name in ("approval asked for", "approved", "approval taken")}  # below
    assert rows == {(kind, stage.name) for kind, stages in STAGES.items() for stage in stages}


# --- approvals ------------------------------------------------------------

ASKING = Parameters(closure_approvals=2, approval_life=timedelta(hours=3))
TO_APPROVE = [platform(S.ACTIVE), C, *ON_CHAIN, PREFLIGHT]


def approval(events, *people: str, needed: int = 2, life: timedelta = timedelta(hours=3)) -> list[Event]:
    state = state_of(*events)
    content = closure_content(ACCOUNT, state, state.operation)
    asked = request_approval(
        "closure", "approver", content, needed=needed, by="os:eve", now=START, expires_at=START + life
    )
    return [asked, *(o.ApprovalGiven(request=asked.request, person=person) for person in people)]


def test_a_closure_is_asked_for_once_waits_and_goes_on_when_enough_people_approved():
    assert action(*TO_APPROVE, parameters=ASKING) == Act(Step.ASK_APPROVAL)
    for people in ([], ["alice"], ["alice", "alice"]):
        waits = action(*TO_APPROVE, *approval(TO_APPROVE, *people), parameters=ASKING)
        assert isinstance(waits, Wait)
        assert "approval" in waits.waits_for
        assert waits.until == START + ASKING.approval_life
    granted = [*TO_APPROVE, *approval(TO_APPROVE, "alice", "bob")]
    assert action(*granted, parameters=ASKING) == Act(Step.TAKE_APPROVAL)
    assert action(*granted, o.ApprovalUsed(request=granted[-1].request), parameters=ASKING) == Act(Step.REQUEST)


def test_an_approval_is_bound_to_what_preflight_found_and_to_the_wallet():
    granted = approval(TO_APPROVE, "alice", "bob")
    more = e.PreflightTaken(wei="1", tokens={}, cards={})
    assert action(*TO_APPROVE, *granted, more, parameters=ASKING) == Act(Step.ASK_APPROVAL)
    other = [platform(S.ACTIVE), C, deployed(chain_id="eip155:1"), wallet(_W.ACTIVE), PREFLIGHT]
    assert action(*other, *granted, parameters=ASKING) == Act(Step.ASK_APPROVAL)


def test_an_approval_expires_and_is_asked_for_again_only_by_a_person():
    asked = [*TO_APPROVE, *approval(TO_APPROVE, "alice", "bob")]
    halted = action(*asked, after=timedelta(hours=3), parameters=ASKING)
    assert isinstance(halted, Halt)
    assert halted.code == "approval_expired"
    assert "os:eve" in halted.message
    retried = [*asked, e.OperatorResolved(decision="retry", reason="r", by="b")]
    assert action(*retried, after=timedelta(hours=3), parameters=ASKING) == Act(Step.ASK_APPROVAL)


def test_an_approval_is_good_for_one_closure():
    granted = [*TO_APPROVE, *approval(TO_APPROVE, "alice", "bob")]
    used = [*granted, o.ApprovalUsed(request=granted[-1].request), *asked(CLOSE)]
    assert action(*used, parameters=ASKING) == Act(Step.FETCH_CHALLENGE), "once it is asked for, it goes on"
    for outcome in ("done", "failed"):
        again = [*used, e.OperationEnded(outcome=outcome), C, PREFLIGHT]
        assert action(*again, parameters=ASKING) == Act(Step.ASK_APPROVAL), outcome


def test_a_request_written_again_makes_no_used_approval_good_again():
    granted = approval(TO_APPROVE, "alice", "bob")
    used = [*TO_APPROVE, *granted, o.ApprovalUsed(request=granted[0].request)]
    state = state_of(*used, *granted)
    assert state.approvals[granted[0].request].used


def test_a_request_that_asks_for_fewer_people_or_shows_another_matter_is_none():
    asked, *given = approval(TO_APPROVE, "alice", "bob")
    for forged in ({"needed": 0}, {"needed": 1}, {"content": "{}"}):
        events = [*TO_APPROVE, asked.model_copy(update=forged), *given]
        assert action(*events, parameters=ASKING) == Act(Step.ASK_APPROVAL), forged


def test_a_deletion_that_the_platform_began_alone_takes_an_approval_too():
    assert action(platform(S.CLOSED), C, *ON_CHAIN, parameters=ASKING) == Act(Step.ASK_APPROVAL)


def test_nobody_is_asked_where_nothing_is_left_to_approve():
    assert action(platform(S.CLOSED), C, deployed(), wallet(_W.CLOSED), parameters=ASKING) == Act(Step.PROVE)


TRIED = (fetched, signed, refusal)
GONE = e.ChainFactsWithdrawn(block=block(5), was_final=True)
DECISIONS = st.sampled_from(["retry", "accept", "abandon"])

CODE_ROWS = [
    ("account_failed", End, [platform(S.FAILED), A]),
    ("account_failed", End, [platform(S.FAILED), C]),
    ("account_closed", End, [platform(S.CLOSED), A]),
    ("account_closed", End, [platform(S.CLOSED), R]),
    ("suspended_use_reactivate", End, [platform(S.INACTIVE), A]),
    ("not_active_yet", End, [platform(S.INITIATING), D]),
    ("not_active_yet", End, [platform(S.PENDING), R]),
    ("closed_without_contract", Halt, [platform(S.CLOSED), C]),
    ("finality_violation", Halt, [platform(S.ACTIVE), A, *ON_CHAIN, GONE]),
    ("finality_violation", Halt, [platform(S.CLOSED), C, *ON_CHAIN, GONE]),
    ("address_disagreement", Halt, [platform(S.ACTIVE, f"{CHAIN}:{OTHER}"), A, *ON_CHAIN]),
    ("address_disagreement", Halt, [platform(S.ACTIVE, f"eip155:1:{WALLET}"), A, *ON_CHAIN]),
    ("create2_mismatch", Halt, [platform(S.ACTIVE), A, deployed(create2=OTHER)]),
    ("code_mismatch", Halt, [platform(S.ACTIVE), A, deployed(code_matches=False)]),
    ("owner_changed", Halt, [platform(S.INITIATING), A, platform(S.INITIATING, owner=OTHER)]),
    ("owner_disagreement", Halt, [platform(S.ACTIVE), A, deployed(owner=OTHER)]),
    ("owner_disagreement", Halt, [platform(S.ACTIVE), A, deployed(event_owner=OTHER)]),
    ("challenge_disagreement", Halt, [platform(S.ACTIVE), A, fetched(2), signed(2), *ON_CHAIN]),
    ("status_disagreement", Halt, [platform(S.INITIATING), A, *ON_CHAIN]),
    ("address_disagreement", Halt, [platform(S.ACTIVE), A, said(address=OTHER)]),
    ("address_disagreement", Halt, [platform(S.ACTIVE), A, said(), MOVED]),
    ("wrong_factory_wallet", Halt, [platform(S.ACTIVE), A, said(factory="")]),
    ("code_mismatch", Halt, [platform(S.ACTIVE), A, said(proxy_code="")]),
    ("owner_disagreement", Halt, [platform(S.ACTIVE), A, said(owner="")]),
    ("owner_disagreement", Halt, [platform(S.ACTIVE), A, said(owner=f"{OTHER},{WALLET}")]),
    ("implementation_changed", Halt, [platform(S.ACTIVE), A, said(implementation=OWNER), said(implementation=OTHER)]),
    ("proxy_admin_remains", Halt, [platform(S.ACTIVE), C, said(admin=OTHER), wallet(WalletState.ACTIVE)]),
    ("wallet_reopened", Halt, [platform(S.CLOSED), C, said(), wallet(WalletState.CLOSED), wallet(WalletState.ACTIVE)]),
    ("signature_refused", Halt, [platform(S.INITIATING), A, *[f(i) for i in (1, 2, 3) for f in TRIED]]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "kind", "events"), CODE_ROWS)
def test_each_code(code, kind, events):
    found = action(*events)
    assert isinstance(found, kind)
    assert found.code == code
    assert found.message
    if isinstance(found, End):
        assert found.outcome == "failed"


def test_a_wallet_of_several_owners_is_the_customers_if_she_is_one_of_them():
    found = action(platform(S.ACTIVE), A, said(owner=f"{OTHER},{OWNER}"), wallet(_W.ACTIVE))
    assert found == End("done")


def test_an_administrator_that_cannot_be_read_may_be_one():
    found = action(platform(S.ACTIVE), C, said(admin=""), wallet(_W.ACTIVE))
    assert isinstance(found, Halt)
    assert found.code == "proxy_admin_remains"


def test_what_another_profile_has_read_is_forgotten():
    other = deployed(profile="q:2", findings=said(implementation=OTHER).findings)
    before = (said(implementation=OWNER), wallet(_W.CLOSED))
    assert action(platform(S.ACTIVE), A, *before, other, wallet(_W.ACTIVE)) == End("done")


def test_a_claim_that_is_put_right_is_followed():
    wrong = said(code="", address=OTHER).model_copy(update={"wallet": OTHER, "code_matches": False})
    foreign = said(address=OTHER).model_copy(update={"wallet": OTHER})
    right = [platform(S.ACTIVE, f"{CHAIN}:{WALLET}"), said(), wallet(_W.ACTIVE)]
    assert action(platform(S.ACTIVE, f"{CHAIN}:{OTHER}"), A, wrong, *right) == End("done")
    assert action(platform(S.ACTIVE, f"eip155:1:{OTHER}"), A, foreign, *right) == End("done")


def test_a_reorg_of_the_reopening_does_not_undo_the_closing():
    gone = e.ChainFactsWithdrawn(block=block(9), was_final=False)
    events = (said(), wallet(_W.CLOSED, number=8), wallet(_W.ACTIVE, number=9), gone, wallet(_W.ACTIVE, number=10))
    found = action(platform(S.CLOSED), C, *events)
    assert isinstance(found, Halt)
    assert found.code == "wallet_reopened"


def test_an_administrator_is_of_no_interest_before_the_closing():
    assert action(platform(S.ACTIVE), A, said(admin=OTHER), wallet(_W.ACTIVE)) == End("done")


def test_a_reorg_takes_back_whose_code_a_proxy_ran_and_that_it_was_closed():
    back = e.ChainFactsWithdrawn(block=block(5), was_final=False)
    changed = (said(implementation=OWNER), wallet(_W.CLOSED), back, said(implementation=OTHER), wallet(_W.ACTIVE))
    assert action(platform(S.ACTIVE), A, *changed) == End("done")


UNTOLD = wallet(_W.UNKNOWN)


def test_where_the_chain_tells_no_state_the_platforms_word_decides_up_to_the_proof():
    assert action(platform(S.ACTIVE), A, said(), UNTOLD) == End("done")
    assert action(platform(S.INITIATING), A, said(), UNTOLD) == Act(Step.FETCH_CHALLENGE)
    assert action(platform(S.ACTIVE), C, said(), UNTOLD, PREFLIGHT) == Act(Step.REQUEST)
    assert action(platform(S.ACTIVE), C, said(), UNTOLD, PREFLIGHT, *asked(CLOSE)) == Act(Step.FETCH_CHALLENGE)
    assert action(platform(S.CLOSED), C, said(), UNTOLD) == Act(Step.PROVE)
    waits = action(platform(S.CLOSED), C, said(), wallet(_W.UNKNOWN, final=False))
    assert isinstance(waits, Wait), "the platform closed it in a block that is not final yet"


def test_no_decision_without_an_unfinished_operation_and_a_fresh_look():
    for events in ([], [A], [platform(S.ACTIVE)], [platform(S.ACTIVE), A, e.OperationEnded(outcome="done")]):
        with pytest.raises(AssertionError, match="unfinished operation"):
            action(*events)


# --- what is left to the next operation ----------------------------------------------------------------------------

ABANDONED = e.OperationEnded(outcome="failed", code="abandoned", message="m")
BEGUN = [platform(S.INITIATING), A, fetched(), signed(), INTENDED, ACCEPTED]


def test_an_operation_inherits_from_one_that_did_not_end_well():
    op = state_of(*BEGUN, ABANDONED, A).operation
    assert (op.signed.digest, op.signed.accepted_at, op.challenge.digest) == (digest(1), START, digest(1))
    assert (op.ended, op.refusals, op.halted) == (None, 0, None)


def test_operations_of_other_kinds_in_between_change_nothing_about_it():
    between = state_of(*BEGUN, ABANDONED, D, ABANDONED, C, ABANDONED, A)
    assert between.operation == state_of(*BEGUN, ABANDONED, A).operation
    assert {op.kind for op in between.earlier} == {DEACTIVATE, CLOSE}


def test_a_done_operation_leaves_its_live_signature_with_the_challenge_and_not_its_acceptance():
    op = state_of(*BEGUN, e.OperationEnded(outcome="done"), A).operation
    assert (op.signed.digest, op.signed.accepted_at, op.signed.idempotency_key, op.challenge.digest) == (
        digest(1),
        None,
        None,
        digest(1),
    )


@pytest.mark.parametrize(
    ("kind", "accepted", "between", "left"),
    [
        (DEACTIVATE, False, False, True),
        (DEACTIVATE, True, False, False),
        (DEACTIVATE, False, True, False),
        (CLOSE, False, False, True),
        (CLOSE, True, False, True),
        (CLOSE, True, True, True),
    ],
)
def test_which_requests_are_left(kind, accepted, between, left):
    events = [platform(S.ACTIVE), STARTED[kind], *asked(kind)[: 1 + accepted], ABANDONED]
    events += [STARTED[ACTIVATE], ABANDONED] if between else []
    assert (state_of(*events, STARTED[kind]).operation.request is not None) == left


def test_halting_is_no_move_and_retry_is():
    minute = timedelta(minutes=1)
    halted = e.OperationHalted(code="overdue", message="m")
    retry = e.OperatorResolved(decision="retry", reason="r", by="b")
    assert state_of(platform(S.PENDING), A, halted, every=minute).operation.touched_at == START + minute
    assert state_of(platform(S.PENDING), A, halted, retry, every=minute).operation.touched_at == START + 3 * minute


def test_retry_of_a_fruitless_request_asks_again():
    halted = e.OperationHalted(code="overdue", message="m")
    retry = e.OperatorResolved(decision="retry", reason="r", by="b")
    begun = [platform(S.ACTIVE), C, *ON_CHAIN, PREFLIGHT, *asked(CLOSE)]
    assert action(*begun, halted, retry) == Act(Step.REQUEST)
    assert action(*begun, *DELETION, halted, retry) == Act(Step.SUBMIT)


def test_what_has_ended_stays_as_it_ended():
    ended = state_of(*BEGUN, ABANDONED)
    later = state_of(*BEGUN, ABANDONED, refusal(), platform(S.PENDING), every=timedelta(0))
    assert later.operation == ended.operation


# --- for any events at all -------------------------------------------------

NUMBERS = st.integers(1, 3)
PURPOSES = st.sampled_from(["creation", "deletion"])
OF_THE_STREAM_SIGNING = [
    o.RulesetAdopted(ruleset="r", document="{}", by="b"),
    o.SigningStopped(stop="s", scope="all", reason="r", by="b"),
    o.ResumeAgreed(stop="s", person="alice"),
    o.SigningResumed(stop="s", people=("alice", "bob")),
    o.KeyChanged(
        action="created", name="k", address=OWNER, backend="keystore", wallets=(), disabled=False, keystore="k", by="b"
    ),
    o.RequestKeyChanged(action="created", name="k", fingerprint="f", key_id=None, by="b"),
    o.JournalReconciled(keystore="k", finding="f", reason="r", by="b", accounts=1, signatures=1),
    o.HistoryImported(source="s", sha256="0", signatures=1, by="b"),
]
"""Never in an account's stream: there they change nothing."""
ANY_EVENT = st.one_of(
    st.builds(platform, st.sampled_from(S), st.sampled_from([None, f"{CHAIN}:{WALLET}"])),
    st.builds(lambda n: deployed(challenge_hash=digest(n)), NUMBERS),
    st.builds(lambda s, f, n: wallet(s, final=f, number=n), st.sampled_from(_W), st.booleans(), st.integers(1, 9)),
    st.builds(lambda n, f: e.ChainFactsWithdrawn(block=block(n), was_final=f), st.integers(1, 9), st.booleans()),
    st.sampled_from(list(STARTED.values())),
    st.builds(fetched, NUMBERS, PURPOSES),
    st.builds(signed, NUMBERS, PURPOSES),
    st.builds(intended, NUMBERS, PURPOSES),
    st.builds(lambda n: e.SubmissionIntended(digest=digest(n), key="k"), NUMBERS),
    st.builds(lambda n: e.SubmissionAccepted(digest=digest(n)), NUMBERS),
    st.builds(lambda n: e.SubmissionIneffective(digest=digest(n)), NUMBERS),
    st.builds(refusal, NUMBERS),
    st.builds(lambda n: e.ChallengeLapsed(digest=digest(n)), NUMBERS),
    st.builds(lambda k: e.RequestIntended(operation=k, key="k"), st.sampled_from(OperationKind)),
    st.builds(lambda k: e.RequestAccepted(operation=k), st.sampled_from(OperationKind)),
    st.builds(proof, st.integers(1, 9)),
    st.just(OLD_PROOF),
    st.just(REVOKED),
    st.builds(lambda d: e.OperatorResolved(decision=d, reason="r", by="b"), DECISIONS),
    st.builds(lambda o: e.OperationEnded(outcome=o), st.sampled_from(["done", "failed"])),
    st.just(PREFLIGHT),
    st.just(e.OperationHalted(code="overdue", message="m")),
    st.just(e.OperationContinued()),
    st.just(e.CreationIntended(reference="r", customer_id="c", currency="EUR", key="k")),
    st.just(e.CreationAnswered(account_id="a")),
    st.just(e.CreationRefused(code="c", message="m")),
    st.sampled_from(approval(TO_APPROVE, "alice", "bob")),
    st.builds(lambda event: o.ApprovalUsed(request=event.request), st.sampled_from(approval(TO_APPROVE))),
    *(st.just(event) for event in OF_THE_STREAM_SIGNING),
)  # fmt: skip
HISTORIES = st.lists(ANY_EVENT, max_size=30)
GAPS = st.sampled_from([timedelta(0), timedelta(minutes=7), timedelta(hours=2), timedelta(minutes=-7)])


def test_every_event_is_in_the_strategy():
    generate_only = settings(max_examples=5000, phases=[Phase.generate])  # the smallest example is of no interest
    kinds = [kind for kind in e.Fact.__subclasses__() if "type" in kind.model_fields]
    for kind in kinds:
        find(ANY_EVENT, lambda event, kind=kind: isinstance(event, kind), settings=generate_only)


@given(HISTORIES, st.integers(0, 30), GAPS)
def test_folding_in_two_parts_equals_folding_at_once(events, cut, every):
    items = recorded(events, every=every)
    assert fold(items[cut:], fold(items[:cut])) == fold(items)


@given(HISTORIES, GAPS, st.timedeltas(timedelta(days=-2), timedelta(days=9)))
def test_a_decision_is_total_and_asks_for_nothing_twice(events, every, after):
    state = fold(recorded(events, every=every))
    if state.platform is None or not state.unfinished:
        return
    now = START + after
    found = next_action(ACCOUNT, state, now, RULES)
    assert isinstance(found, Act | Wait | Halt | End)
    op = state.operation
    match found:
        case Act(Step.SIGN | Step.FETCH_CHALLENGE | Step.SUBMIT):
            assert op.signed is None or op.signed.accepted_at is None, "nothing is signed after an acceptance"
            assert op.kind in (ACTIVATE, CLOSE)
            if found.step is Step.SIGN:
                assert op.signed is None
                assert op.challenge is not None
                assert now - op.challenge_at < RULES.challenge_life
            if found.step is Step.SUBMIT:
                assert op.signed is not None
                assert op.challenge is not None
        case Act(Step.REQUEST):
            assert op.request is None or op.request.accepted_at is None, "an accepted request is not repeated"
            assert op.kind is not ACTIVATE
        case Act(Step.PROVE):
            assert state.wallet.state is WalletState.CLOSED
            assert state.wallet.final
        case Wait():
            assert found.since < found.until
            assert now < found.until
        case End("done"):
            assert state.wallet.final
            assert state.finality_violated is None
        case Halt() | End():
            assert found.code
            assert found.message


@given(HISTORIES)
def test_at_most_one_signature_is_live_for_each_purpose_however_operations_follow(events):
    """What the fold forgets, the journal would go on refusing: a live signature is dropped by its own end only."""
    live: dict[str, str] = {}
    state = AccountState()
    purpose = {ACTIVATE: "creation", CLOSE: "deletion"}
    for item in recorded(events):
        event, op = item.event, state.operation
        running = op is not None and op.ended is None
        signing = isinstance(event, e.ChallengeSigned | e.SigningIntended)
        if signing and (not running or purpose.get(op.kind) != event.purpose):
            continue  # a step signs for its running operation only
        if isinstance(event, e.SigningIntended) and (op.signed is not None or op.intended is not None):
            continue  # the database refuses a second one
        if isinstance(event, e.ChallengeSigned) and op.intended is not None and op.intended.digest != event.digest:
            continue  # and a signature of another challenge than the intended one
        if signing:
            live[event.purpose] = event.digest
        if isinstance(event, e.SubmissionRefused | e.ChallengeLapsed):
            own = (op.signed or op.intended) if running else None
            if own is None or own.digest != event.digest:
                continue  # and speaks of its own signature only
            live.pop(purpose[op.kind])
        state = fold([item], state)
        operations = (*state.earlier, *([state.operation] if state.operation else []))
        held = {op.kind: op.signed or op.intended for op in operations}
        assert {purpose[kind]: signed.digest for kind, signed in held.items() if signed is not None} == live
