"""Searches for logs against a node that limits them: each way in which providers do, in front of a real chain."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace

import pytest
from aiohttp import web

from orchestrator.chain.node import logs as logs_module
from orchestrator.chain.node import rpc as rpc_module
from orchestrator.chain.node.logs import LogSearch
from orchestrator.chain.node.rpc import Rpc
from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.errors import ChainNonsense, ChainUnreachable
from orchestrator.models import Address
from tests.chain.conftest import LyingNode

EMITTER = Address("0x" + "EE" * 20)
TOPIC = bytes.fromhex("ab" * 32)
LAST = 200
DENSE = 150
"""The block that has most of the logs."""


@pytest.fixture(scope="module")
def chain():
    """Blocks 1 to 200; a log in each tenth, and 30 in one block."""
    with Anvil() as node:
        node.rpc_sync("anvil_setCode", EMITTER, f"0x7f{TOPIC.hex()}5f5fa100")
        node.rpc_sync("evm_setAutomine", False)
        transaction = {"from": DEV_ACCOUNTS[0].address, "to": EMITTER, "gas": hex(100_000)}
        for number in range(1, LAST + 1):
            for _ in range(30 if number == DENSE else number % 10 == 0):
                node.rpc_sync("eth_sendTransaction", transaction)
            node.rpc_sync("evm_mine")
        yield node


@pytest.fixture
async def node(chain):
    node = await LyingNode(chain.url).start()
    yield node
    await node.stop()


@pytest.fixture
async def rpc(node):
    async with Rpc(node.url, timeout=20, patience=0) as rpc:
        yield rpc


def blocks_asked(call):
    (query,) = call["params"]
    return int(query["toBlock"], 16) - int(query["fromBlock"], 16) + 1


def limited(most, code, message, status=200):
    """A node that takes at most so many blocks in a search."""

    def gate(calls):
        if any(call["method"] == "eth_getLogs" and blocks_asked(call) > most for call in calls):
            error = {"code": code, "message": message}
            answers = [{"jsonrpc": "2.0", "id": call["id"], "error": error} for call in calls]
            return web.json_response(answers if status == 200 else answers[0], status=status)
        return None

    return gate


NAMED = [
    (-32602, "range 200 exceeds limit of 50", 200),
    (-32614, "eth_getLogs is limited to a 50 range", 413),
    (-32600, "eth_getLogs is limited to a 50 block range", 400),
    (-32600, "You can make eth_getLogs requests with up to a 50 block range. This range should work: [0x0, 0x31]", 400),
    (-32000, "query block range exceeds server limit, narrow your filter: 50", 200),
    (-32602, "query exceeds max block range 50", 200),
    (-32000, "requested too many blocks from 0 to 200, maximum is set to 50", 200),
    (-32000, "exceed maximum block range: 50", 200),
    (-32000, "maximum [from, to] blocks distance: 50", 200),
    (35, "ranges over 50 blocks are not supported on freetier", 400),
    (-32000, "exceeds the range allowed for your plan (200 > 50)", 200),
]  # fmt: skip
UNNAMED = [
    (-32005, "Requested range exceeds maximum RPC range limit", 200),
    (-32600, "block range too high", 200),
    (-32000, "block range is bigger than maxBlockRange", 200),
    (-32005, "limit exceeded", 200),
    (-32602, "computer says no", 200),
    (-32000, "query timeout of 10 seconds exceeded", 200),
]


@pytest.mark.parametrize(("code", "message", "status"), NAMED)
async def test_a_limit_that_is_named_is_kept_to_from_the_second_request_on(node, rpc, code, message, status):
    node.gate = limited(50, code, message, status)
    logs = await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)
    assert len(logs) == LAST // 10 + 29
    assert [blocks_asked(call) for call in node.requests] == [201, 50, 50, 50, 50, 1]
    assert rpc.limits.span == 50


@pytest.mark.parametrize(("code", "message", "status"), UNNAMED)
async def test_a_limit_that_is_not_named_is_found_by_halves_and_remembered(node, rpc, code, message, status):
    node.gate = limited(30, code, message, status)
    search = LogSearch(rpc)
    assert len(await search.logs(EMITTER, [TOPIC], 0, LAST)) == LAST // 10 + 29
    first = len(node.requests)
    assert first <= 20
    assert len(await search.logs(EMITTER, [TOPIC], 0, LAST)) == LAST // 10 + 29
    assert len(node.requests) - first <= 16


async def test_a_limit_that_went_is_forgotten_after_an_hour(node, rpc, monkeypatch):
    now = SimpleNamespace(seconds=time.monotonic())
    for module in (logs_module, rpc_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    node.gate = limited(50, -32602, "range 200 exceeds limit of 50")
    await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)
    node.gate = lambda calls: None
    for hours, span in ((0.9, 50), (0.2, None)):
        now.seconds += 3600 * hours
        node.requests.clear()
        await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)
        assert blocks_asked(node.requests[0]) == (span or LAST + 1)
        assert (rpc.limits.most_span, "logs" in rpc.limits.notes) == (span, span is not None)


async def test_a_limit_of_results_shortens_where_the_logs_are_and_grows_back(node, rpc, chain):
    def change(request, answer):
        if len(answer["result"]) > 31:
            error = {"code": -32005, "message": "query returned more than 31 results"}
            return {"jsonrpc": "2.0", "id": request["id"], "error": error}
        return answer

    node.change = change
    logs = await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)
    assert [log.block.number for log in logs if log.block.number != DENSE] == [
        number for number in range(10, LAST + 1, 10) if number != DENSE
    ]
    assert len(logs) == LAST // 10 + 29
    assert rpc.limits.most_span is None


async def test_one_block_with_too_many_logs_cannot_be_listed(node, rpc):
    def change(request, answer):
        if len(answer["result"]) > 29:
            error = {"code": -32005, "message": "query returned more than 29 results"}
            return {"jsonrpc": "2.0", "id": request["id"], "error": error}
        return answer

    node.change = change
    with pytest.raises(ChainNonsense, match="more than 29 results") as caught:
        await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)
    assert caught.value.code == "logs_limited"


async def test_a_search_that_would_take_too_many_requests_is_not_begun(node, rpc):
    node.gate = limited(5, -32602, "range 201 exceeds limit of 5")
    with pytest.raises(ChainNonsense, match="would take some") as caught:
        await LogSearch(rpc, most_requests=20).logs(EMITTER, [TOPIC], 0, LAST)
    assert caught.value.code == "logs_limited"
    assert len(node.requests) == 1


async def test_what_is_no_limit_is_not_searched_in_pieces(node, rpc):
    node.gate = limited(0, -32601, "the method eth_getLogs does not exist/is not available")
    with pytest.raises(ChainNonsense, match="does not exist") as caught:
        await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)
    assert (caught.value.code, len(node.requests)) == ("rpc_refused", 1)
    node.gate = limited(0, -32005, "daily request count exceeded, request rate limited")
    with pytest.raises(ChainUnreachable) as overload:
        await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)
    assert (overload.value.code, len(node.requests)) == ("rpc_overload", 2)


async def test_a_search_that_takes_too_long_is_shortened(node, chain):
    never = asyncio.Event()

    async def slow(request):
        calls = json.loads(await request.read())
        if any(blocks_asked(call) > 100 for call in calls):
            await never.wait()
        async with node._client.post(chain.url, json=calls) as answer:
            return web.json_response(await answer.json(content_type=None))

    node.raw = slow
    async with Rpc(node.url, timeout=1, patience=0) as rpc:
        assert len(await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)) == LAST // 10 + 29
        assert rpc.limits.span == 100
    never.set()


@pytest.mark.parametrize("how", [502, 504, "half an answer", "a closed connection", "words"])
async def test_a_search_that_a_gateway_breaks_off_is_shortened(node, rpc, chain, how):
    async def gateway(request):
        calls = json.loads(await request.read())
        if any(blocks_asked(call) > 100 for call in calls):
            if how == "a closed connection":
                request.transport.abort()
            if how == "words":
                error = {"code": -32000, "message": "upstream connect error"}
                return web.json_response([{"jsonrpc": "2.0", "id": 1, "error": error}])
            body = '[{"jsonrpc":"2.0","id":1,"re' if how == "half an answer" else "<html>"
            return web.Response(text=body, status=how if isinstance(how, int) else 200)
        async with node._client.post(chain.url, json=calls) as answer:
            return web.json_response(await answer.json(content_type=None))

    node.raw = gateway
    assert len(await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)) == LAST // 10 + 29
    assert (rpc.limits.span, rpc.limits.most_span, rpc.limits.batch) == (100, None, 100)


async def test_a_node_that_is_not_there_or_unwell_all_the_time_is_told(node, rpc):
    node.gate = lambda calls: web.Response(status=503)
    with pytest.raises(ChainUnreachable, match="503"):
        await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)
    async with Rpc("http://127.0.0.1:9", patience=0) as dead:
        with pytest.raises(ChainUnreachable, match="no connection"):
            await LogSearch(dead).logs(EMITTER, [TOPIC], 0, LAST)
        assert (dead.round_trips, dead.limits.span) == (1, None), "which says nothing about searches"


async def test_null_is_no_log_and_is_noted(node, rpc):
    node.change = lambda request, answer: {**answer, "result": None}
    assert await LogSearch(rpc).logs(None, [TOPIC], 0, LAST) == []
    assert "null" in rpc.limits.notes["null_logs"]


async def test_logs_that_were_not_asked_for_are_nonsense(node, rpc):
    node.change = lambda request, answer: {
        **answer, "result": [{**log, "blockNumber": "0x1000"} for log in answer["result"][:1]]
    }  # fmt: skip
    with pytest.raises(ChainNonsense, match="got one of 4096"):
        await LogSearch(rpc).logs(EMITTER, [TOPIC], 0, LAST)


async def test_nothing_is_asked_of_an_empty_range(node, rpc):
    assert await LogSearch(rpc).logs(EMITTER, [TOPIC], 5, 4) == []
    assert node.requests == []


async def test_several_addresses_and_topics(rpc):
    other = Address("0x" + "DD" * 20)
    search = LogSearch(rpc)
    assert len(await search.logs([other, EMITTER], [[b"\x01" * 32, TOPIC]], 0, LAST)) == LAST // 10 + 29
    assert await search.logs([other], [TOPIC], 0, LAST) == []
