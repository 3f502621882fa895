"""What the closing step makes of a verdict, what a revocation does, and what an audit finds."""

from __future__ import annotations

import pytest

from orchestrator.dispatch.audit import CONCURRENT_PROOFS, Auditor
from orchestrator.errors import ChainUnreachable
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import End, Halt, Wait
from orchestrator.lifecycle.recorded import parse_event
from orchestrator.models import OperationKind
from orchestrator.report import report
from orchestrator.steps.audit import audit, closed

ACTIVATE, CLOSE = OperationKind.ACTIVATE, OperationKind.CLOSE


@pytest.fixture
def here(lab):
    return lab()


@pytest.fixture
def active(here):
    account = here.create().id
    assert here.complete(account, ACTIVATE) == End("done")
    return account


@pytest.fixture
def gone(here, active):
    """A closed account, whose final closing block has left the chain, and so its certificate."""
    assert here.complete(active, CLOSE) == End("done")
    here.chain.reorg(len(here.chain.blocks) - 1)
    assert here.start(active, CLOSE).action.code == "finality_violation"
    return active


def of_the_first_release(here, account: str) -> None:
    """Journals a closure as the first release did, instead of the one that was just made."""
    state = here.state(account)
    body = b"old certificate"

    async def rewrite():
        sha256 = await here.journal.keep_certificate(account, body)
        session = await here._session(account)
        await session.record(
            e.ClosureProven(
                claim="state_proven",
                block=state.closure.block,
                code_hash=state.closure.code_hash,
                certificate_sha256=sha256,
                certificate=state.closure.certificate,
            )
        )

    here.run(rewrite())


def audited(here, account: str):
    return here.run(audit(here.services, account, here.state(account)))


# --- the closing step --------------------------------------------------------------------------------------------


def test_the_proof_is_journaled_with_its_verdict(here, active):
    assert here.complete(active, CLOSE) == End("done")
    proof = here.state(active).closure
    assert (proof.claim, proof.verdict, proof.reason, proof.analysis) == (
        "irreversible",
        "irreversible",
        "inert",
        "inert",
    )
    assert (proof.states, proof.steps) == (7, 70)
    assert (proof.chain_id, proof.address) == ("eip155:31337", here.state(active).deployed.wallet)


@pytest.mark.parametrize(
    "verdict",
    [
        ("reversible", "acting", "acting"),
        ("reversible", "inert", "authority_answer"),
        ("inconclusive", "acting", "acting_unconfirmed"),
        ("inconclusive", "undecided", "step_limit"),
        ("inconclusive", "inert", "not_final"),
        ("inconclusive", "not_run", "state_pruned"),
    ],
    ids=lambda verdict: verdict[2],
)
def test_any_other_verdict_is_an_operators_matter(here, active, verdict):
    here.prover.verdict = verdict
    halted = here.complete(active, CLOSE)
    assert isinstance(halted, Halt)
    assert halted.code == "closure_not_proven"
    name, analysis, reason = verdict
    assert f"expected the verdict irreversible, got {name} ({analysis}, {reason})" in halted.message
    assert f"the sentence of {reason}" in halted.message
    assert here.state(active).closure is None
    assert here.run(here.journal.certificate("0" * 64)) is None
    told = report(active, here.state(active))
    assert (told.outcome, told.error.code, told.certificate) == ("operator", "closure_not_proven", None)


def test_it_goes_on_when_the_verdict_is_another(here, active):
    here.prover.verdict = ("inconclusive", "undecided", "step_limit")
    assert here.complete(active, CLOSE).code == "closure_not_proven"
    here.prover.verdict = None
    assert here.settle(active) == End("done")


@pytest.mark.parametrize("reason", ["chain_unreachable", "rpc_overload", "not_canonical"])
def test_trouble_with_the_node_is_waited_for(here, active, reason):
    here.begin(active, CLOSE)
    here.prover.verdict, here.prover.transient = ("inconclusive", "not_run", reason), True
    for _ in range(30):
        advanced = here.advance(active)
        if here.account(active).job is not None:
            here.platform.work(here.account(active))
        here.pass_time(minutes=7)
        if here.prover.asked:
            break
    assert isinstance(advanced.action, Wait)
    assert isinstance(advanced.trouble, ChainUnreachable)
    assert advanced.trouble.code == reason
    here.prover.verdict, here.prover.transient = None, False
    assert here.settle(active) == End("done")


@pytest.mark.parametrize("verdict", [None, ("reversible", "acting", "acting")])
def test_a_verdict_of_before_the_closing_is_no_verdict_on_it(here, active, monkeypatch, verdict):
    """A node behind a load balancer may call an older block finalized than the one before did."""
    with monkeypatch.context() as patch:
        patch.setattr(here.chain, "finalized", lambda: 1)
        here.prover.verdict = verdict
        here.begin(active, CLOSE)
        with pytest.raises(AssertionError, match="still Wait"):
            here.settle(active, rounds=20)
        assert here.prover.asked
        assert here.advance(active).trouble.code == "chain_behind"
    here.prover.verdict = None
    assert here.settle(active) == End("done")


# --- the first release's certificates ------------------------------------------------------------------------------


def test_a_closure_of_the_first_release_is_proven_again(here, active):
    assert here.complete(active, CLOSE) == End("done")
    of_the_first_release(here, active)
    old = here.state(active).closure
    assert (old.verdict, old.reason, old.analysis) == ("inconclusive", "analysis_not_run", "not_run")
    assert here.complete(active, CLOSE) == End("done")
    new = here.state(active).closure
    assert new.verdict == "irreversible"
    assert new.certificate_sha256 != old.certificate_sha256
    assert here.run(here.journal.certificate(old.certificate_sha256)) == b"old certificate"
    assert here.account(active).deletes == 1
    assert here.account(active).accepted.count("deletion") == 1


def test_an_event_of_the_first_release_can_be_read():
    event = parse_event(
        {
            "type": "closure_proven",
            "claim": "state_proven",
            "block": {"number": 1, "hash": "0x" + "11" * 32},
            "code_hash": "0x" + "22" * 32,
            "certificate_sha256": "33" * 32,
            "certificate": "/c.json",
        }
    )
    assert (event.verdict, event.address) == ("inconclusive", None)


# --- revocation --------------------------------------------------------------------------------------------------


def test_a_certificate_whose_block_leaves_the_chain_is_revoked(here, gone):
    (proof,) = here.events(gone, e.ClosureProven)
    (revoked,) = here.events(gone, e.CertificateRevoked)
    assert (revoked.certificate_sha256, revoked.block) == (proof.certificate_sha256, proof.block)
    assert (revoked.chain_id, revoked.address) == ("eip155:31337", proof.address)
    assert here.certifier.revoked == [(proof.certificate, proof.certificate_sha256)]
    state = here.state(gone)
    assert (state.closure, state.revoked) == (None, revoked)


def test_a_reorg_above_the_certificates_block_revokes_nothing(here, active):
    assert here.complete(active, CLOSE) == End("done")
    here.chain.reorg(1)
    here.begin(active, CLOSE)
    assert here.events(active, e.CertificateRevoked) == []
    assert here.certifier.revoked == []


def test_after_a_person_has_looked_a_new_certificate_can_be_made(here, gone):
    here.resolve(gone, "retry")
    assert here.settle(gone) == End("done")
    state = here.state(gone)
    assert state.revoked is None
    assert state.closure.verdict == "irreversible"


def test_status_says_that_the_certificate_of_a_closed_account_is_revoked(here, active):
    assert here.complete(active, CLOSE) == End("done")
    proof = here.state(active).closure

    async def revoke():
        session = await here._session(active)
        await session.record(
            e.ChainFactsWithdrawn(block=proof.block, was_final=True),
            e.CertificateRevoked(
                certificate_sha256=proof.certificate_sha256, certificate=proof.certificate, block=proof.block
            ),
        )

    here.run(revoke())
    told = report(active, here.state(active))
    assert (told.outcome, told.error.code, told.certificate) == ("operator", "certificate_revoked", None)
    assert proof.block.hash in told.error.message


# --- audit -------------------------------------------------------------------------------------------------------


def test_an_audit_is_of_closures(here, active):
    states = {active: here.state(active)}
    assert closed(states) == []
    assert here.complete(active, CLOSE) == End("done")
    assert closed({active: here.state(active)}) == [active]


def test_a_closure_that_holds(here, active):
    here.complete(active, CLOSE)
    found = audited(here, active)
    assert (found.result, found.verdict, found.reason, found.canonical) == ("holds", "irreversible", "inert", True)
    assert found.certificate == f"/certificates/{active}.json"
    assert not found.needs_certificate


@pytest.mark.parametrize(
    ("verdict", "result"),
    [
        (("reversible", "acting", "acting"), "fails"),
        (("inconclusive", "undecided", "step_limit"), "unknown"),
        (("inconclusive", "not_run", "chain_unreachable"), "unknown"),
    ],
    ids=str,
)
def test_a_closure_that_does_not_hold_or_cannot_be_told(here, active, verdict, result):
    here.complete(active, CLOSE)
    here.prover.verdict = verdict
    found = audited(here, active)
    assert (found.result, found.verdict, found.reason) == (result, verdict[0], verdict[2])


def test_a_closure_whose_certificate_has_lost_its_block(here, active):
    here.complete(active, CLOSE)
    here.chain.reorg(len(here.chain.blocks) - 1)
    found = audited(here, active)
    assert (found.result, found.reason, found.canonical, found.certificate) == ("fails", "not_canonical", False, None)


def test_a_revoked_closure_fails_until_it_is_proven_again(here, gone):
    found = audited(here, gone)
    assert (found.result, found.reason) == ("fails", "certificate_revoked")
    here.resolve(gone, "retry")
    here.settle(gone)
    assert audited(here, gone).result == "holds"


def test_a_node_that_lags_is_no_failure(here, active, monkeypatch):
    here.complete(active, CLOSE)
    monkeypatch.setattr(here.chain, "finalized", lambda: 1)
    for verdict in (None, ("reversible", "acting", "acting")):
        here.prover.verdict = verdict
        found = audited(here, active)
        assert (found.result, found.reason) == ("unknown", "chain_behind")


def test_a_node_that_cannot_say_what_is_canonical(here, active, monkeypatch):
    here.complete(active, CLOSE)

    async def away(_block):
        raise ChainUnreachable("no answer")

    monkeypatch.setattr(here.chain, "is_canonical", away)
    found = audited(here, active)
    assert (found.result, found.reason, found.canonical) == ("unknown", "canonical_unknown", None)


def test_closures_without_a_certificate_of_this_release_need_one(here, active):
    here.complete(active, CLOSE)
    of_the_first_release(here, active)
    found = audited(here, active)
    assert (found.result, found.reason, found.needs_certificate) == ("unknown", "analysis_not_run", True)
    here.prover.verdict = ("inconclusive", "undecided", "step_limit")
    assert not audited(here, active).needs_certificate


def test_a_closure_on_an_operators_word_is_audited_too(here, active):
    here.prover.verdict = ("inconclusive", "undecided", "step_limit")
    assert here.complete(active, CLOSE).code == "closure_not_proven"

    async def accept():
        session = await here._session(active)
        await session.record(
            e.OperatorResolved(decision="accept", reason="test", by="test"),
            e.OperationEnded(outcome="done", code="accepted_by_operator", message="test"),
        )

    here.run(accept())
    assert closed({active: here.state(active)}) == [active]
    assert audited(here, active).result == "unknown"
    here.prover.verdict = None
    found = audited(here, active)
    assert (found.reason, found.needs_certificate) == ("no_certificate", True)


def test_an_audit_of_many_is_bounded_and_one_that_cannot_be_mended_does_not_keep_the_others(here, active):
    import asyncio

    here.complete(active, CLOSE)
    state = here.state(active)
    of_the_first_release(here, active)
    old = here.state(active)
    running, most, asked = 0, 0, here.prover.examine

    async def slowly(wallet):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return await asked(wallet)

    here.prover.examine = slowly

    async def refuse(_account):
        raise ChainUnreachable("no answer")

    told: list[tuple[str, str]] = []
    services = here.services

    async def read(_account):
        return old

    auditor = Auditor(services, read, refuse, refuse, lambda who, what: told.append((who, what)))
    report = here.run(auditor.audit({str(n): old if n == 7 else state for n in range(50)}))
    assert (report.holds, report.fails, report.unknown) == (49, 0, 1)
    assert report.closures[7].reason == "analysis_not_run"
    assert 1 < most <= CONCURRENT_PROOFS
    assert ("7", "audit: chain_unreachable: no answer") in told
