"""What a network, a platform and a chain do on a bad day: the outcome is right, and nothing happens twice."""

from __future__ import annotations

import httpx
import pytest

from orchestrator.chain.node.canonical import verify_canonical
from orchestrator.closure.certificate.verifier import verify
from orchestrator.errors import OrchestratorError
from orchestrator.models import ChainAccount
from tests.profile import FULL

CREATE = ("POST", "/customers/[^/]+/accounts$")
SUBMIT = ("POST", "/challenge/sign$")
PATCH = ("PATCH", "/(de)?activate$")
DELETE = ("DELETE", "/accounts/[^/]+$")


def admin(devnet, path, **body):
    headers = {"Authorization": f"Bearer {devnet.programme.admin_token}"}
    answer = httpx.post(f"{devnet.programme.admin_url}{path}", headers=headers, json=body, timeout=60)
    assert answer.is_success, answer.text
    return answer.json()


def effects(devnet, method):
    requests = devnet.simulator.records()["requests"]
    return [r for r in requests if r["method"] == method and not r["replayed"] and 200 <= (r["status"] or 0) < 300]


async def state_of(devnet, wallet):
    return int(await devnet.anvil.rpc("eth_getStorageAt", wallet, "0x0", "latest"), 16)


async def created(orchestrator, devnet):
    return (await orchestrator.create_account(devnet.programme.customer_id, "EUR", reference="r")).account_id


@pytest.mark.parametrize("kind", ["drop_after", "malformed_json", *(("drop_before", "status") if FULL else ())])
async def test_an_uncertain_answer_is_read_back(orchestrator, devnet, kind):
    """Every modifying request of a whole life loses its answer once."""
    values = {"status": 503} if kind == "status" else {}
    for method, path in (CREATE, SUBMIT, PATCH, DELETE):
        devnet.simulator.fault(kind, method=method, path=path, **values)
    identifier = await _again(lambda: created(orchestrator, devnet))
    for operation in ("activate", "deactivate", "reactivate", "close"):
        told = await getattr(orchestrator, operation)(identifier, timeout=60)
        if told.outcome == "operator":  # malformed: a person looks, and looking again reads back
            assert told.error.code == "platform_malformed"
            told = await getattr(orchestrator, operation)(identifier, timeout=60)
        assert told.outcome == "done", told
    records = devnet.simulator.records()
    assert (len(records["accounts"]), len(records["signatures"])) == (1, 2)
    assert len(effects(devnet, "DELETE")) <= 1
    assert len(effects(devnet, "PATCH")) <= 2


async def _again(attempt):
    try:
        return await attempt()
    except OrchestratorError as error:
        assert error.code == "platform_malformed"  # noqa: PT017
        return await attempt()


async def test_a_refused_signature_gets_a_new_challenge(orchestrator, devnet):
    identifier = await created(orchestrator, devnet)
    devnet.simulator.fault("refuse_signature")
    assert (await orchestrator.activate(identifier, timeout=60)).outcome == "done"
    types = [item.event.type for item in await orchestrator.journal.read(identifier)]
    assert (types.count("submission_refused"), types.count("challenge_signed")) == (1, 2)


async def test_signatures_that_are_refused_for_ever_are_for_an_operator(orchestrator, devnet):
    identifier = await created(orchestrator, devnet)
    devnet.simulator.fault("refuse_signature", count=100)
    told = await orchestrator.activate(identifier, timeout=60)
    assert (told.outcome, told.error.code) == ("operator", "signature_refused")
    again = await orchestrator.activate(identifier, timeout=60)
    assert again.error.code == "signature_refused"
    types = [item.event.type for item in await orchestrator.journal.read(identifier)]
    assert types.count("challenge_signed") == 3
    devnet.simulator.clear_faults()
    await orchestrator.resolve(identifier, "retry", reason="the platform was mended", by="test")
    assert (await orchestrator.activate(identifier, timeout=60)).outcome == "done"


async def test_an_expired_challenge_is_fetched_anew(orchestrator, devnet):
    identifier = await created(orchestrator, devnet)
    devnet.simulator.fault("expire_challenges")
    assert (await orchestrator.activate(identifier, timeout=60)).outcome == "done"


async def test_a_failed_deployment_is_failed(orchestrator, devnet):
    identifier = await created(orchestrator, devnet)
    devnet.simulator.fault("fail_deployment")
    told = await orchestrator.activate(identifier, timeout=60)
    assert (told.outcome, told.status, told.error.code) == ("failed", "failed", "account_failed")


async def test_a_suspension_by_the_platform_alone_is_seen(orchestrator, devnet):
    identifier = await created(orchestrator, devnet)
    await orchestrator.activate(identifier, timeout=60)
    admin(devnet, f"/accounts/{identifier}/deactivate")
    told = await orchestrator.deactivate(identifier, timeout=60)
    assert (told.outcome, told.status) == ("done", "inactive")
    assert effects(devnet, "PATCH") == []


async def test_closed_by_the_platform_alone_with_a_challenge_on_offer(orchestrator, devnet):
    identifier = await created(orchestrator, devnet)
    await orchestrator.activate(identifier, timeout=60)
    admin(devnet, f"/accounts/{identifier}/close", offerChallenge=True)
    told = await orchestrator.close(identifier, timeout=60)
    assert (told.outcome, told.status) == ("done", "closed")
    assert effects(devnet, "DELETE") == []


async def test_an_account_closed_before_it_had_a_contract(orchestrator, devnet):
    identifier = await created(orchestrator, devnet)
    told = await orchestrator.close(identifier, timeout=60)
    assert (told.outcome, told.status, told.error.code) == ("operator", "closed", "closed_without_contract")


async def test_a_platform_that_claims_active_without_a_contract(orchestrator, devnet, mine):
    identifier = await created(orchestrator, devnet)
    devnet.simulator.fault("lie", accountId=identifier, fields={"status": "active"})
    told = await orchestrator.activate(identifier, timeout=1)
    assert (told.outcome, told.status) == ("waiting", "active")
    assert "deployed on the chain" in told.waiting_for


async def test_a_reorg_takes_the_deployment_back(orchestrator, devnet, reorg):
    identifier = await created(orchestrator, devnet)
    told = await orchestrator.activate(identifier, timeout=60)
    deployed = told.block.number
    with devnet.anvil.control.lock:  # no block comes while they are counted
        head = await devnet.anvil.block_number()
        reorg(head - deployed + 3, drop=True)
    again = await orchestrator.activate(identifier, timeout=60)
    assert (again.outcome, again.error.code) == ("operator", "finality_violation")
    withdrawn = [
        i.event for i in await orchestrator.journal.read(identifier) if i.event.type == "chain_facts_withdrawn"
    ]
    assert withdrawn[0].was_final
    admin(devnet, f"/accounts/{identifier}/resubmit")
    await orchestrator.resolve(identifier, "retry", reason="the chain was looked at", by="test")
    assert (await orchestrator.activate(identifier, timeout=60)).outcome == "done"


@pytest.mark.parametrize("drop", [False, True])
async def test_a_reorg_right_after_the_platform_said_active(orchestrator, devnet, reorg, resubmit, drop):
    """The deployment's block is not final: the other chain has it too, or gets it when it is sent again."""
    import asyncio

    identifier = await created(orchestrator, devnet)
    activation = asyncio.create_task(orchestrator.activate(identifier, timeout=120))
    while devnet.simulator.records()["accounts"][0]["status"] != "active":
        await asyncio.sleep(0.01)
    if drop:
        (last,) = (t for t in devnet.simulator.records()["transactions"] if t["step"] == "activate")
        with devnet.anvil.control.lock:
            head = await devnet.anvil.block_number()
            reorg(head - last["block_number"] + 1, drop=True)
        assert resubmit() == {"accounts": [identifier]}
        assert resubmit() == {"accounts": []}
    else:
        reorg(1)
    told = await activation
    assert told.outcome == "done", told.error


async def test_a_closure_that_left_the_canonical_chain(orchestrator, devnet, tmp_path):
    identifier = await created(orchestrator, devnet)
    active = await orchestrator.activate(identifier, timeout=60)
    closed = await orchestrator.close(identifier, certificate=tmp_path / "c.json", timeout=60)
    certificate = verify((tmp_path / "c.json").read_bytes())
    assert (await verify_canonical(certificate, [devnet.anvil.url])).canonical is True

    wallet = ChainAccount.parse(active.address).address
    while await state_of(devnet, wallet) == 3:  # blocks come while we count them
        head = await devnet.anvil.block_number()
        await devnet.anvil.reorg(head - closed.block.number + 1, drop=True)
    revoked = await verify_canonical(certificate, [devnet.anvil.url])
    assert (revoked.canonical, revoked.valid, revoked.reason) == (False, False, "not_canonical")
    told = await orchestrator.close(identifier, timeout=60)
    assert (told.outcome, told.error.code) == ("operator", "finality_violation")
    assert await state_of(devnet, wallet) == 1


async def test_many_accounts_at_once(orchestrator, devnet):
    import asyncio

    customer = devnet.programme.customer_id
    accounts = await asyncio.gather(*(orchestrator.create_account(customer, "EUR", reference=f"{i}") for i in range(6)))
    told = await asyncio.gather(*(orchestrator.activate(account.account_id, timeout=120) for account in accounts))
    assert [(report.account_id, report.error) for report in told if report.outcome != "done"] == []
    assert len({report.address for report in told}) == 6
    assert len(devnet.simulator.records()["signatures"]) == 6


async def test_two_operations_on_one_account(orchestrator, devnet):
    import asyncio

    identifier = await created(orchestrator, devnet)
    first, second = await asyncio.gather(
        orchestrator.activate(identifier, timeout=60), orchestrator.activate(identifier, timeout=60)
    )
    assert (first.outcome, second.outcome) == ("done", "done")
    devnet.simulator.fault("hold_deployments")
    assert len(devnet.simulator.records()["signatures"]) == 1


async def test_another_operation_waits_for_the_first_to_end(orchestrator, devnet):
    identifier = await created(orchestrator, devnet)
    devnet.simulator.fault("hold_deployments")
    assert (await orchestrator.activate(identifier, timeout=1)).outcome == "waiting"
    told = await orchestrator.close(identifier, timeout=1)
    assert (told.outcome, told.error.code) == ("failed", "operation_in_progress")
    devnet.simulator.clear_faults()
    assert [report.outcome for report in await orchestrator.resume(timeout=60)] == ["done"]
    assert (await orchestrator.close(identifier, timeout=60)).outcome == "done"
