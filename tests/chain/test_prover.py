"""What the closing step is told about a contract: the verdict in its own words, and whether to ask again."""

from __future__ import annotations

import pytest

from orchestrator.chain.examination.prover import NodeProver
from orchestrator.chain.node.rpc import Rpc


@pytest.fixture
async def wallet(wallets, account_id):
    made, _ = await wallets.deploy(account_id)
    await wallets.activate(made)
    return made


@pytest.fixture
async def closed(wallets, anvil, wallet):
    await wallets.close(wallet)
    await anvil.finalize()
    return wallet


async def test_a_closed_wallet(rpc, closed):
    examined = await NodeProver(rpc).examine(closed)
    assert (examined.verdict, examined.analysis, examined.reason) == ("irreversible", "inert", "inert")
    assert (str(examined.chain), examined.transient) == ("eip155:31337", False)
    assert examined.states > 0
    assert examined.steps > examined.states
    assert examined.examination.evidence.address == closed


async def test_an_open_wallet_comes_with_its_witness(rpc, anvil, wallet):
    await anvil.finalize()
    examined = await NodeProver(rpc).examine(wallet)
    assert (examined.verdict, examined.transient) == ("reversible", False)
    assert "witness (shown by executing it): from 0x" in examined.detail
    assert f"to {wallet}, value " in examined.detail
    assert "calldata 0x" in examined.detail


async def test_a_node_that_is_away_is_asked_again(closed):
    async with Rpc("http://127.0.0.1:1") as away:
        examined = await NodeProver(away).examine(closed)
    assert (examined.verdict, examined.reason, examined.transient) == ("inconclusive", "chain_unreachable", True)
    assert (examined.chain, examined.block) == (None, None)


async def test_a_node_that_knows_no_finality_is_no_transient_trouble(liar, liar_rpc, closed):
    def change(request, answer):
        if request["method"] == "eth_getBlockByNumber" and request["params"][0] == "finalized":
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32602, "message": "unknown block"}}
        return answer

    liar.change = change
    examined = await NodeProver(liar_rpc).examine(closed)
    assert (examined.verdict, examined.reason, examined.transient) == ("inconclusive", "not_final", False)


async def test_a_node_whose_finality_lags_is_asked_again(liar, liar_rpc, anvil, closed):
    """Behind a load balancer the second node may call an older block finalized than the first."""
    older = await anvil.rpc("eth_getBlockByNumber", "0x1", False)
    asked = 0

    def change(request, answer):
        nonlocal asked
        if request["method"] == "eth_getBlockByNumber" and request["params"][0] == "finalized":
            asked += 1
            return answer if asked == 1 else answer | {"result": older}
        return answer

    liar.change = change
    examined = await NodeProver(liar_rpc).examine(closed)
    assert (examined.verdict, examined.reason, examined.transient) == ("inconclusive", "not_final", True)


async def test_a_node_that_changes_a_proof_is_an_operators_matter(liar, liar_rpc, closed):
    def change(request, answer):
        if request["method"] == "eth_getCode" and request["params"][0] == closed:
            answer["result"] = "0x5f5ffd"
        return answer

    liar.change = change
    examined = await NodeProver(liar_rpc).examine(closed)
    assert (examined.verdict, examined.reason, examined.transient) == ("inconclusive", "proof_invalid", False)
