"""The certificate of a wallet that was closed on a real Anvil: what nodes say about it, and what a reorg does to it."""

from __future__ import annotations

import json

import pytest

from orchestrator.chain.examination.examiner import examine
from orchestrator.chain.node.canonical import not_canonical, verify_canonical
from orchestrator.closure.certificate.builder import build_certificate
from orchestrator.closure.certificate.verifier import verify
from orchestrator.models import BlockRef, to_address
from tests.closure.forging import forge, put

DEAD = "http://127.0.0.1:1"


def results(report, name: str) -> list[str]:
    return [check.result for check in report.checks if check.name == name]


@pytest.fixture
async def closed(reader, wallets, anvil, account_id, certify):
    """A closed, final wallet's certificate, and its closing transaction."""
    wallet, _ = await wallets.deploy(account_id)
    await wallets.activate(wallet)
    closing = await wallets.close(wallet)
    await anvil.finalize()
    return await certify(reader, wallet, account_id), closing


async def test_a_real_closure(reader, anvil, closed):
    data, closing = closed
    report = verify(data)
    assert report.valid, [check for check in report.checks if check.result == "fail"]
    assert (report.verdict, report.canonical) == ("irreversible", None)
    assert json.loads(data)["account"]["closing"]["transaction"] == closing
    checked = await verify_canonical(report, [anvil.url])
    assert (checked.valid, checked.verdict, checked.canonical) == (True, "irreversible", True)
    assert (results(checked, "canonical"), results(checked, "closing_transaction")) == (["pass"], ["pass"])


async def test_a_node_that_does_not_answer_says_nothing(anvil, closed):
    report = verify(closed[0])
    unknown = await verify_canonical(report, [DEAD])
    assert (unknown.valid, unknown.canonical) == (True, None)
    both = await verify_canonical(report, [DEAD, anvil.url])
    assert (both.valid, both.canonical) == (True, True)


async def test_a_block_that_leaves_the_chain_past_finality_revokes(reader, anvil, rpc, closed):
    report = verify(closed[0])
    assert report.block is not None
    assert await not_canonical(rpc, [report.block]) == []
    await anvil.reorg(await anvil.block_number() - 1, drop=True)
    gone = await verify_canonical(report, [anvil.url])
    assert (gone.valid, gone.canonical, gone.verdict, gone.claim) == (False, False, "inconclusive", None)
    assert gone.reason == "not_canonical"
    assert "revoked" in gone.detail
    assert not await reader.is_canonical(report.block)
    unknown = BlockRef(10**9, "0x" + "11" * 32)
    assert await not_canonical(rpc, [report.block, unknown]) == [report.block]


async def test_a_rolled_back_chain_cannot_tell_until_it_has_the_block_again(anvil, rpc, closed):
    report = verify(closed[0])
    await anvil.rpc("anvil_rollback", await anvil.block_number() - 1)
    lost = await verify_canonical(report, [anvil.url])
    assert (lost.valid, lost.canonical) == (True, None)
    assert await not_canonical(rpc, [report.block]) == []
    await anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(123_456_789))  # another block, whatever the clock says
    await anvil.finalize()
    while await anvil.block_number() < report.block.number:
        await anvil.mine()
    assert (await verify_canonical(report, [anvil.url])).canonical is False


async def test_another_closing_transaction_than_the_chains_is_noticed(anvil, wallets, closed):
    data, _ = closed
    failing = {"from": wallets.escrow, "to": json.loads(data)["address"], "gas": hex(100_000)}
    await anvil.rpc("anvil_impersonateAccount", wallets.escrow)
    await anvil.rpc("anvil_setBalance", wallets.escrow, hex(10**18))
    refused = await anvil.rpc("eth_sendTransaction", failing)
    await anvil.mine()
    deployment = json.loads(data)["account"]["deployment"]
    for transaction, words in (
        (deployment["transaction"], "the certificate says"),
        (refused, "the certificate says"),
    ):
        report = await verify_canonical(
            verify(forge(data, put("account", "closing", "transaction", transaction))), [anvil.url]
        )
        assert (report.valid, report.canonical, report.reason) == (False, True, "closing_not_found"), report.checks
        assert words in report.detail

    def change(document):
        document["account"]["closing"] = {"transaction": deployment["transaction"], "block": deployment["block"]}

    report = await verify_canonical(verify(forge(data, change)), [anvil.url])
    assert "no event Closed" in report.detail
    unheard = await verify_canonical(
        verify(forge(data, put("account", "closing", "transaction", "0x" + "11" * 32))), [anvil.url]
    )
    assert (unheard.valid, results(unheard, "closing_transaction")) == (True, ["skipped"])


async def test_a_node_that_lies_about_the_closing_transaction(liar, closed):
    data, _ = closed
    report = verify(data)
    for wrong in (
        {"status": "0x0"},
        {"logs": []},
        {"blockHash": "0x" + "22" * 32},
        {"transactionHash": "0x" + "3" * 64},
    ):

        def change(request, answer, wrong=wrong):
            if request["method"] == "eth_getTransactionReceipt":
                answer["result"] |= wrong
            return answer

        liar.change = change
        told = await verify_canonical(report, [liar.url])
        assert (told.valid, told.canonical) == (False, True), wrong
    for garbage in ({"status": 1}, {"logs": {}}, {"blockNumber": None}):
        liar.change = lambda request, answer, garbage=garbage: (
            answer | {"result": garbage} if request["method"] == "eth_getTransactionReceipt" else answer
        )
        told = await verify_canonical(report, [liar.url])
        assert (told.valid, results(told, "closing_transaction")) == (True, ["skipped"]), garbage


async def test_a_contract_without_an_account(wallets, anvil, rpc):
    """Any contract: one that only reverts."""
    code = "0x6003600c60003960036000f3" + "5f5ffd"
    receipt = await wallets.send(None, code)
    await anvil.finalize()
    examination = await examine(rpc, to_address(receipt["contractAddress"]))
    assert examination.verdict.verdict == "irreversible", examination.verdict.detail
    data = build_certificate(examination.evidence, examination.verdict)
    report = await verify_canonical(verify(data), [anvil.url])
    assert (report.valid, report.verdict, report.canonical) == (True, "irreversible", True)
    assert results(report, "closing_transaction") == []
