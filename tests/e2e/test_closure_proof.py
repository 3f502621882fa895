"""Closures on a real chain: proven for ever, audited, re-issued, revoked, and refused where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.app import Orchestrator
from orchestrator.blocking import BlockingOrchestrator
from orchestrator.certifier import revoked_path
from orchestrator.closure.certificate.verifier import verify
from orchestrator.lifecycle import events as e
from orchestrator.models import BlockHash, BlockNumber, BlockRef, ChainAccount
from tests.profile import FULL

FIRST_RELEASE = Path(__file__).parents[1] / "closure" / "certificates" / "v1-signed.json"


@pytest.fixture
async def closed(orchestrator, devnet) -> str:
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    assert (await orchestrator.activate(account.account_id, timeout=60)).outcome == "done"
    told = await orchestrator.close(account.account_id, timeout=60)
    assert told.outcome == "done", told.error
    return account.account_id


async def proof_of(orchestrator, account: str) -> e.ClosureProven:
    recorded = await orchestrator.journal.read(account)
    return [item.event for item in recorded if isinstance(item.event, e.ClosureProven)][-1]


@pytest.fixture
def reorg_to(devnet):
    """``reorg_to(number)``: replaces that block and all above it by empty ones, past finality."""
    control = devnet.anvil.control

    def reorg(number: int) -> None:
        with control.lock:
            control.reorg(control.heads()["block"]["number"] - number + 1, drop=True)
            while control.heads()["finalized"] <= number:
                control.mine()

    return reorg


async def as_of_the_first_release(orchestrator, account: str) -> e.ClosureProven:
    """What the first release journaled for this closure."""
    proof = await proof_of(orchestrator, account)
    sha256 = await orchestrator.journal.keep_certificate(account, FIRST_RELEASE.read_bytes())
    old = e.ClosureProven(
        claim="state_proven",
        block=proof.block,
        code_hash=proof.code_hash,
        certificate_sha256=sha256,
        certificate=proof.certificate,
    )
    recorded = await orchestrator.journal.read(account)
    await orchestrator.journal.append(account, [old], after=len(recorded), at=recorded[-1].at)
    return old


async def test_a_closure_holds_in_the_audit(orchestrator, closed):
    told = await orchestrator.audit()
    assert (told.holds, told.fails, told.unknown) == (1, 0, 0), told
    (closure,) = told.closures
    assert (closure.account_id, closure.result, closure.verdict, closure.reason) == (
        closed,
        "holds",
        "irreversible",
        "inert",
    )
    assert closure.canonical is True
    assert verify(Path(closure.certificate).read_bytes()).verdict == "irreversible"
    assert closure.block.number >= closure.certified_block.number


async def test_an_audit_of_nothing(orchestrator, devnet):
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    await orchestrator.activate(account.account_id, timeout=60)
    assert (await orchestrator.audit()).document() == {
        "closures": [],
        **dict.fromkeys(("holds", "fails", "unknown", "untold"), 0),
    }


@pytest.mark.parametrize("way", ["close", "resume", "audit"])
async def test_a_closure_of_the_first_release_is_reissued(orchestrator, closed, way):
    old = await as_of_the_first_release(orchestrator, closed)
    match way:
        case "close":
            assert (await orchestrator.close(closed, timeout=60)).outcome == "done"
        case "resume":
            assert [told.outcome for told in await orchestrator.resume(timeout=60)] == ["done"]
        case _:
            told = await orchestrator.audit()
            assert (told.holds, told.fails, told.unknown) == (1, 0, 0), told
    new = await proof_of(orchestrator, closed)
    assert (new.verdict, new.claim) == ("irreversible", "irreversible")
    assert verify(Path(new.certificate).read_bytes()).verdict == "irreversible"
    assert await orchestrator.journal.certificate(old.certificate_sha256) == FIRST_RELEASE.read_bytes()
    assert (await orchestrator.journal.verify()).valid
    assert await orchestrator.resume(timeout=60) == []


async def test_an_audit_notices_that_a_final_block_left_the_chain_and_revokes(orchestrator, reorg_to, closed):
    proof = await proof_of(orchestrator, closed)
    (seen,) = await orchestrator.status([closed])
    reorg_to(seen.block.number)
    told = await orchestrator.audit()
    assert (told.holds, told.fails) == (0, 1), told
    (closure,) = told.closures
    assert (closure.result, closure.canonical, closure.certificate) == ("fails", False, None)
    assert closure.reason in ("not_canonical", "acting")
    revoked = [i.event for i in await orchestrator.journal.read(closed) if isinstance(i.event, e.CertificateRevoked)]
    assert [event.certificate_sha256 for event in revoked] == [proof.certificate_sha256]
    file = Path(proof.certificate)
    assert not file.exists()
    assert verify(revoked_path(file, proof.certificate_sha256).read_bytes()).valid, "its bytes stay as they were issued"
    (status,) = await orchestrator.status([closed])
    assert (status.outcome, status.error.code, status.certificate) == ("operator", "certificate_revoked", None)
    again = await orchestrator.close(closed, timeout=60)
    assert (again.outcome, again.error.code) == ("operator", "finality_violation")
    if FULL:  # a search for a witness, once more
        assert (await orchestrator.audit()).fails == 1


async def test_the_service_notices_it_by_itself(orchestrator_settings, reorg_to, orchestrator, closed):
    """A reorg that happened while nothing ran: blocks of closures are looked at, not only the reorgs that are seen."""
    from orchestrator.service.worker import Worker

    proof = await proof_of(orchestrator, closed)
    (seen,) = await orchestrator.status([closed])
    reorg_to(seen.block.number)
    async with Orchestrator.open(orchestrator_settings) as opened, Worker(opened, orchestrator_settings) as worker:
        import asyncio

        async with asyncio.timeout(30):
            while not any(isinstance(i.event, e.CertificateRevoked) for i in await opened.journal.read(closed)):
                await asyncio.sleep(0.02)
        async with asyncio.timeout(30):
            while worker._backlog.closures:
                await asyncio.sleep(0.02)
    assert not Path(proof.certificate).exists()


async def test_the_service_looks_at_any_number_of_closures_in_one_round_trip(orchestrator_settings, devnet, closed):
    from orchestrator.chain.node.canonical import not_canonical
    from orchestrator.chain.node.rpc import Rpc
    from orchestrator.service.backlog import RECENT

    async with Rpc(devnet.anvil.url) as rpc:
        known = BlockRef(BlockNumber(1), BlockHash("0x" + "11" * 32))
        assert len(await not_canonical(rpc, [known] * RECENT)) == RECENT
        assert rpc.round_trips == 1


async def test_a_wallet_that_can_still_act_is_not_done(orchestrator, devnet, monkeypatch):
    """The platform and the chain say closed, and somebody has put other code in the wallet's place."""
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    active = await orchestrator.activate(account.account_id, timeout=60)
    wallet = ChainAccount.parse(active.address).address
    services = await orchestrator._connected()
    honest = services.prover.examine

    async def of_another_contract(_wallet):
        return await honest(devnet.contracts.token)

    monkeypatch.setattr(services.prover, "examine", of_another_contract)
    told = await orchestrator.close(account.account_id, timeout=60)
    assert (told.outcome, told.error.code, told.certificate) == ("operator", "closure_not_proven", None)
    assert f"{wallet}" in told.error.message
    assert "expected the verdict irreversible, got reversible (acting, acting)" in told.error.message
    assert "calldata 0x" in told.error.message
    monkeypatch.undo()
    (resumed,) = await orchestrator.resume(timeout=60)
    assert resumed.outcome == "done"


async def test_the_certificate_says_whose_contract_it_is(orchestrator, devnet, closed):
    document = json.loads(Path((await proof_of(orchestrator, closed)).certificate).read_bytes())
    account = document["account"]
    assert account["platform"]["accountId"] == closed
    assert account["platform"]["owner"] == f"eip155:31337:{devnet.programme.owner}"
    assert account["deployment"]["factory"] == devnet.contracts.factory
    assert account["deployment"]["owner"] == devnet.programme.owner


def test_the_audits_exit_codes(devnet, reorg_to, cli):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        account = orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id
        assert orchestrator.activate(account, timeout=60).outcome == "done"
        closed = orchestrator.close(account, timeout=60)
        assert closed.outcome == "done", closed.error
        assert [closure.result for closure in orchestrator.audit().closures] == ["holds"]
    assert cli.json("audit")["holds"] == 1
    dead = cli.json("audit", "--rpc-url", "http://127.0.0.1:1", expect=3)
    assert (dead["unknown"], dead["closures"][0]["reason"]) == (1, "chain_unreachable")
    assert cli.here("audit").stdout.startswith(f"holds {account}")
    Path(closed.certificate).write_bytes(b"somebody's")  # the journal's copy is what counts
    assert cli.json("audit")["holds"] == 1
    reorg_to(closed.block.number)
    told = cli.here("audit", "--json")
    assert (told.code, told.document["fails"]) == (1, 1)
    if FULL:  # a search for a witness, once more
        shown = cli.here("audit")
        assert (shown.code, shown.stdout.splitlines()[0].split()[0]) == (1, "FAILS")
    status = cli.here("status", account)
    assert "certificate_revoked" in status.stdout
    assert "resolve" not in status.stdout
