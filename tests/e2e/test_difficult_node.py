"""An account's whole life through a node that is difficult in every way at once."""

from __future__ import annotations

from itertools import count

from aiohttp import web

from orchestrator.app import Orchestrator
from orchestrator.devnet.devnet import Devnet
from orchestrator.models import Outcome
from orchestrator.settings import Settings
from tests.chain.conftest import LyingNode

BLOCKS, CALLS = 4, 3


def difficult(numbers):
    """Few calls and few blocks in a request, and every seventh is refused for its rate."""

    def gate(calls):
        if next(numbers) % 7 == 0:
            return web.Response(status=429, headers={"Retry-After": "0"})
        if len(calls) > CALLS:
            error = {"code": -32014, "message": "too many RPC calls in batch request"}
            return web.json_response({"jsonrpc": "2.0", "id": None, "error": error}, status=400)
        return None

    return gate


def change(request, answer):
    """Ids as text, no block by its hash, null for an empty list, and no search over many blocks."""
    answer = {**answer, "id": str(answer["id"])}
    if any(isinstance(param, dict) and "blockHash" in param for param in request["params"]):
        return {"id": answer["id"], "error": {"code": -32602, "message": "invalid argument 1: hex string expected"}}
    if request["method"] != "eth_getLogs":
        return answer
    (query,) = request["params"]
    first, last = query["fromBlock"], query["toBlock"]
    if not last.startswith("0x") or int(last, 16) - int(first, 16) >= BLOCKS:
        return {"id": answer["id"], "error": {"code": -32600, "message": f"limited to a {BLOCKS} block range"}}
    return {**answer, "result": answer["result"] or None}


async def test_an_account_lives_and_is_proven_closed(devnet: Devnet, orchestrator_settings: Settings) -> None:
    node = await LyingNode(devnet.anvil.url).start()
    node.gate, node.change = difficult(count(1)), change
    settings = Settings.model_validate({**orchestrator_settings.__dict__, "rpc_url": node.url})
    try:
        async with Orchestrator.open(settings) as opened:
            account = await opened.create_account(devnet.programme.customer_id, "EUR")
            assert (await opened.activate(account.account_id, timeout=120)).outcome is Outcome.DONE
            report = await opened.close(account.account_id, timeout=120)
    finally:
        await node.stop()
    assert report.outcome is Outcome.DONE
    assert report.certificate
