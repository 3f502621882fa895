"""Nodes as people really use them: a small server answers as the node does, in front of one Anvil."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
from aiohttp import web

from orchestrator.chain.node import rpc as rpc_module
from orchestrator.chain.node.head import HEAD_CALLS, HeadReads
from orchestrator.chain.node.refusals import Kind
from orchestrator.chain.node.rpc import Rpc, RpcFailure
from orchestrator.chain.node.survey import disagreements, survey, traffic
from orchestrator.devnet.anvil import Anvil
from orchestrator.errors import ChainNonsense, ChainUnreachable, Disposition
from tests.chain.conftest import LyingNode

ZERO = "0x" + "0" * 40
CALLS = [("eth_chainId", []), *HEAD_CALLS, *(("eth_getBalance", [ZERO, "latest"]),) * 6]
"""Ten calls."""


@pytest.fixture(scope="module")
def shared():
    with Anvil() as node:
        yield node


@pytest.fixture
async def node(shared):
    node = await LyingNode(shared.url).start()
    yield node
    await node.stop()


@pytest.fixture
async def rpc(node):
    """With patience, and time that passes by itself: what was waited is in ``rpc.naps``."""
    async with Rpc(node.url, timeout=20, patience=20) as rpc:
        yield timed(rpc)


def timed(rpc):
    now = SimpleNamespace(seconds=0.0)
    rpc.naps = []

    async def sleep(seconds):
        now.seconds += seconds
        rpc.naps.append(seconds)

    for endpoint in rpc.endpoints:
        endpoint._sleep, endpoint._clock = sleep, lambda: now.seconds
    return rpc


def error(code, message, number=None):
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def text(body, status=200, **headers):
    return web.Response(body=body if isinstance(body, bytes) else body.encode(), status=status, headers=headers)


def times(count, response):
    """The response to the first requests; the node's own from then on."""
    left = [count]

    def gate(calls):
        left[0] -= 1
        return response(calls) if left[0] >= 0 else None

    return gate


def each(code, message):
    """Every call refused, in a batch as it should be."""
    return lambda calls: web.json_response([error(code, message, call["id"]) for call in calls])


# --- passing trouble ------------------------------------------------------------------------------------------------

PASSING = [
    each(-32007, "15/second request limit reached"),
    each(-32016, "over rate limit"),
    each(-32029, "Too Many Requests"),
    each(-32090, "Too many requests, reason: call rate limit exhausted, retry in 10s"),
    each(-32011, "no backend is currently healthy to serve traffic"),
    each(-32005, "project ID request rate exceeded"),
    each(-32000, "header not found"),
    each(-39001, "Unknown block"),
    lambda _: text('{"error": "rate limit exceeded"}'),
    lambda _: text("<html><body>Just a moment...</body></html>"),
    lambda _: text("Too Many Requests"),
    lambda _: text(""),
    lambda _: text("<html>bad gateway</html>", 502),
    lambda _: text("", 503),
    lambda _: text("slow down", 429),
    lambda _: web.json_response(error(-32005, "rate limited"), status=429),
    lambda _: web.json_response(error(-32010, "backend offline"), status=503),
    lambda _: web.json_response([error(-32016, "over rate limit")], status=429),
]


@pytest.mark.parametrize("response", PASSING)
async def test_trouble_that_passes_is_waited_out(node, rpc, response):
    node.gate = times(1, response)
    results = await rpc.batch(CALLS)
    assert not any(isinstance(result, RpcFailure) for result in results)
    assert len(rpc.naps) == 1
    assert len(node.requests) == 2 * len(CALLS)


@pytest.mark.parametrize("response", PASSING)
async def test_trouble_that_lasts_is_for_whoever_waits_longer(node, rpc, response):
    """The same call may succeed later: what waits for days tries again, and only then asks an operator."""
    node.gate = times(10_000, response)
    with pytest.raises(ChainUnreachable) as caught:
        await rpc.call("eth_chainId", [])
    assert caught.value.disposition is Disposition.RETRY
    assert sum(rpc.naps) <= 20


async def test_an_internal_error_has_one_more_try(node, rpc):
    node.gate = times(1, each(-32603, "Internal error"))
    assert await rpc.call("eth_chainId", []) == "0x7a69"
    node.requests.clear()
    node.gate = times(10_000, each(-32603, "Internal error"))
    (result,) = await rpc.batch([("eth_getBalance", [ZERO, "latest"])])
    assert result.code == -32603
    assert len(node.requests) == 2


@pytest.mark.parametrize("absent", [1, 2])
async def test_a_latest_block_that_is_null_once_or_twice(node, rpc, absent):
    left = [absent]

    def change(request, answer):
        if request["params"][:1] == ["latest"] and left[0]:
            left[0] -= 1
            return {**answer, "result": None}
        return answer

    node.change = change
    heads = HeadReads(rpc).heads(await rpc.batch(HEAD_CALLS))
    assert heads.head.number >= 0
    assert len(rpc.naps) == absent


async def test_a_chain_without_finality_is_not_waited_for(node, rpc):
    node.change = lambda request, answer: (
        error(-39001, "Unknown block", request["id"]) if request["params"][:1] in (["finalized"], ["safe"]) else answer
    )
    heads = HeadReads(rpc).heads(await rpc.batch(HEAD_CALLS))
    assert (heads.safe, heads.finalized, rpc.naps) == (None, None, [])


@pytest.mark.parametrize("tag", ["finalized", "safe"])
async def test_a_rate_limit_is_no_chain_without_finality(node, rpc, tag):
    node.change = lambda request, answer: (
        error(-32016, "over rate limit", request["id"]) if request["params"][:1] == [tag] else answer
    )
    with pytest.raises(ChainUnreachable) as caught:
        HeadReads(rpc).heads(await rpc.batch(HEAD_CALLS))
    assert caught.value.code == "rpc_overload"


async def test_a_latest_block_that_stays_null_is_a_node_that_is_not_ready(node, rpc):
    node.change = lambda request, answer: {**answer, "result": None}
    with pytest.raises(ChainUnreachable) as caught:
        HeadReads(rpc).heads(await rpc.batch(HEAD_CALLS))
    assert caught.value.code == "chain_behind"


async def test_retry_after_is_kept_to(node, rpc):
    node.gate = times(1, lambda _: text("", 429, **{"Retry-After": "7"}))
    await rpc.call("eth_chainId", [])
    assert rpc.naps == [7]
    node.gate = times(1, lambda _: text("", 503, **{"Retry-After": "3600"}))
    for _ in range(2):  # and the second one is not even sent
        with pytest.raises(ChainUnreachable) as caught:
            await rpc.call("eth_chainId", [])
    assert len(node.requests) == 3
    assert caught.value.code == "rpc_overload"
    assert "asked for a pause" in caught.value.message


@pytest.mark.parametrize(
    "response",
    [lambda _: text("", 429, **{"Retry-After": "0"}), each(-32090, "Too many requests, retry in 0s")],
)
async def test_a_pause_of_no_seconds_is_no_busy_loop(node, rpc, response):
    node.gate = times(10_000, response)
    with pytest.raises(ChainUnreachable):
        await rpc.call("eth_chainId", [])
    assert rpc.naps == [0.25, 0.5, 1, 2, 4, 8]


async def test_a_pause_that_the_sentence_names_is_kept_to(node, rpc):
    node.gate = times(1, each(-32090, "Too many requests, reason: call rate limit exhausted, retry in 3s"))
    await rpc.call("eth_chainId", [])
    assert rpc.naps == [3]


async def test_a_pause_of_a_sentence_is_bounded_and_a_contracts_is_none(node, rpc):
    words = "rate limit, retry in 1h"
    node.gate = times(1, each(-32000, words))
    await rpc.batch([("eth_call", [{"to": ZERO}, "latest"]), ("eth_chainId", [])])
    assert rpc.naps == [0.25]
    node.gate = times(1, each(-32000, words))
    with pytest.raises(ChainUnreachable):
        await rpc.call("eth_chainId", [])
    with pytest.raises(ChainUnreachable, match="over in 60 s"):
        await rpc.call("eth_chainId", [])


async def test_a_contracts_words_in_the_place_of_a_batchs_answers_are_its_calls_alone(node, rpc):
    def gate(calls):
        called = any(call["method"] == "eth_call" for call in calls)
        return (
            web.json_response(error(3, "execution reverted: rate limit, retry in 1h"), status=500) if called else None
        )

    node.gate = gate
    results = await rpc.batch([*CALLS[:5], ("eth_call", [{"to": ZERO}, "latest"]), *CALLS[5:]])
    assert results[5].kind is Kind.REVERTED
    assert sum(isinstance(result, RpcFailure) for result in results) == 1
    assert rpc.naps == []


# --- one call of a batch --------------------------------------------------------------------------------------------

ALONE = [
    (-32005, "query returned more than 10000 results"),
    (-32005, "daily request count exceeded, request rate limited"),
    (-32601, "the method eth_getBalance does not exist/is not available"),
    (-32000, "missing trie node"),
    (-32600, "eth_getBalance is not available on the Free tier"),
]


@pytest.mark.parametrize(("code", "message"), ALONE)
async def test_an_error_of_one_call_is_that_calls_alone(node, rpc, code, message):
    def change(request, answer):
        return error(code, message, request["id"]) if request["params"][:1] == [ZERO] else answer

    node.change = change
    chain, refused, latest = await rpc.batch(
        [("eth_chainId", []), ("eth_getBalance", [ZERO, "latest"]), ("eth_getBlockByNumber", ["latest", False])]
    )
    assert chain == "0x7a69"
    assert (refused.code, refused.message) == (code, message)
    assert "hash" in latest


async def test_an_error_that_is_text_is_its_calls_alone(node, rpc):
    left = [1]

    def change(request, answer):
        if request["method"] == "eth_getBalance":
            left[0] -= 1
            return {**answer, "result": None, "error": "rate limit exceeded" if left[0] >= 0 else "no"}
        return answer

    node.change = change
    chain, refused = await rpc.batch([("eth_chainId", []), ("eth_getBalance", [ZERO, "latest"])])
    assert (chain, refused.message, rpc.naps) == ("0x7a69", "no", [0.25])


async def test_an_error_without_an_id_among_answers_is_found_in_parts(node, rpc):
    node.change = lambda request, answer: error(-32000, "no", None) if request["method"] == "eth_getBalance" else answer
    chain, refused = await rpc.batch([("eth_chainId", []), ("eth_getBalance", [ZERO, "latest"])])
    assert (chain, refused.message) == ("0x7a69", "no")
    assert rpc.limits.batch == 100, "which is no limit on calls"


async def test_what_is_asked_again_keeps_its_order_in_time(node, rpc):
    """A block's hash that is compared after the others is asked after them, also where one of them was refused."""
    left = [1]

    def change(request, answer):
        if request["method"] == "eth_getBalance" and left[0]:
            left[0] -= 1
            return error(-32016, "over rate limit", request["id"])
        return answer

    node.change = change
    await rpc.batch([("eth_chainId", []), ("eth_getBalance", [ZERO, "latest"]), ("eth_blockNumber", [])])
    assert [call["method"] for call in node.requests] == [
        "eth_chainId", "eth_getBalance", "eth_blockNumber", "eth_getBalance", "eth_blockNumber"
    ]  # fmt: skip


# --- batches --------------------------------------------------------------------------------------------------------


def limited(most, response):
    return lambda calls: response(calls) if len(calls) > most else None


async def test_a_batch_that_is_itself_above_the_rate_is_sent_in_parts(node, rpc):
    node.gate = limited(3, lambda calls: web.json_response(error(-32007, "3/second request limit reached"), status=429))
    results = await rpc.batch(CALLS)
    assert results[0] == "0x7a69"
    assert len(results) == len(CALLS)
    assert rpc.naps == [0.25, 0.5, 1]
    assert rpc.limits.batch == 100, "another batch may be below it"


REFUSED_BATCHES = [
    lambda calls: web.json_response(error(-32600, "batch too large")),
    lambda calls: web.json_response([error(-32010, "The batch request was too large")]),
    lambda calls: web.json_response([error(-32005, "Number of requests exceeds max batch size", calls[0]["id"])]),
    lambda calls: web.json_response(error(-32014, "too many RPC calls in batch request"), status=400),
    lambda calls: web.json_response(error(31, "Batch of more than 3 requests are not allowed"), status=500),
    lambda calls: text("Bad Request", 400),
    lambda calls: text("<html>Request Entity Too Large</html>", 413),
    lambda calls: web.json_response(error(-32000, "nope")),
]  # fmt: skip


@pytest.mark.parametrize("most", [3, 4])
@pytest.mark.parametrize("response", REFUSED_BATCHES)
async def test_a_batch_shrinks_to_what_the_node_takes_and_stays_so(node, rpc, most, response):
    node.gate = limited(most, response)
    for _ in range(2):
        results = await rpc.batch(CALLS)
        assert results[0] == "0x7a69"
        assert results[4:] == results[4:5] * 6
    assert rpc.limits.batch in (2, 3)
    before = rpc.round_trips
    await rpc.batch(CALLS)
    assert rpc.round_trips - before == -(-len(CALLS) // rpc.limits.batch)
    assert "calls in a request" in rpc.limits.notes["batch"]
    assert rpc.naps == []


@pytest.mark.parametrize(
    "response",
    [
        lambda: web.json_response(error(-32600, "Batches are not supported")),
        lambda: text("Batches are not supported"),
        lambda: text("batch requests are disabled", 400),
        lambda: web.json_response(
            error(-32600, "cannot unmarshal array into Go value of type rpc.Request"), status=400
        ),
        lambda: web.json_response(error(-32700, "Parse error")),
    ],
)
async def test_without_batches_single_calls_are_sent_as_objects(node, rpc, response, shared):
    async def raw(request):
        calls = json.loads(await request.read())
        if isinstance(calls, list):
            return response()
        async with node._client.post(node.target, json=calls) as answer:
            return web.json_response(await answer.json(content_type=None))

    node.raw = raw
    for _ in range(2):
        assert (await rpc.batch(CALLS))[0] == "0x7a69"
    assert rpc.limits.batch == 1


async def test_a_connection_that_is_closed_on_large_batches(node, rpc):
    async def raw(request):
        calls = json.loads(await request.read())
        if len(calls) > 4:
            request.transport.abort()
            return web.Response()
        async with node._client.post(node.target, json=calls) as answer:
            return web.json_response(await answer.json(content_type=None))

    node.raw = raw
    assert (await rpc.batch(CALLS))[0] == "0x7a69"
    assert rpc.limits.batch == 2


async def test_one_call_that_makes_the_whole_batch_an_error_is_found(node, rpc):
    """Infura answers one error object to a batch of which one call is refused."""

    def gate(calls):
        bad = any(call["method"] == "eth_getProof" for call in calls)
        return web.json_response(error(-32601, "the method eth_getProof does not exist")) if bad else None

    node.gate = gate
    results = await rpc.batch([*CALLS[:5], ("eth_getProof", [ZERO, [], "latest"]), *CALLS[5:]])
    assert [isinstance(result, RpcFailure) for result in results].index(True) == 5
    assert sum(isinstance(result, RpcFailure) for result in results) == 1
    assert rpc.limits.batch == 100  # it was no limit


async def test_an_answer_that_is_full_is_asked_for_in_two(node, rpc):
    """Geth answers the calls of a batch until its response is too large, and refuses the rest one by one."""

    def change(request, answer):
        return error(-32003, "response too large", request["id"]) if request["id"] > 4 else answer

    node.change = change
    results = await rpc.batch(CALLS)
    assert not any(isinstance(result, RpcFailure) for result in results)
    assert rpc.round_trips == 3


async def test_answers_that_are_too_large_together_are_asked_for_one_by_one(node):
    blocks = [("eth_getBlockByNumber", ["latest", False])] * 6
    async with Rpc(node.url, max_answer_bytes=4000) as rpc:
        results = await rpc.batch(blocks)
        assert not any(isinstance(result, RpcFailure) for result in results)
        assert rpc.limits.batch == 100, "which is no limit on calls"
    async with Rpc(node.url, max_answer_bytes=400) as rpc:
        chain, block = await rpc.batch([("eth_chainId", []), blocks[0]])
        assert (chain, block.kind) == ("0x7a69", Kind.RESULTS)


async def test_the_setting_is_where_it_begins(node):
    async with Rpc(node.url, batch_size=4) as rpc:
        await rpc.batch(CALLS)
        assert rpc.round_trips == 3


# --- ids, redirects, methods ----------------------------------------------------------------------------------------


async def test_ids_that_come_back_as_text_are_taken_and_noted(node, rpc):
    node.change = lambda request, answer: {**answer, "id": str(answer["id"])}
    assert (await rpc.batch(CALLS))[0] == "0x7a69"
    assert "text" in rpc.limits.notes["ids"]


@pytest.mark.parametrize("change", [lambda number: None, lambda number: number + 7, lambda number: "x", lambda _: True])
async def test_other_ids_name_the_gateways_fault(node, rpc, change):
    node.change = lambda request, answer: {**answer, "id": change(answer["id"])}
    with pytest.raises(ChainNonsense, match="gateway"):
        await rpc.batch(CALLS)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_named_with_the_host_it_leads_to(node, rpc, status):
    node.gate = lambda calls: text("", status, Location="https://node.example/v3/secret-key")
    with pytest.raises(ChainNonsense, match=r"redirects to https://node\.example") as caught:
        await rpc.batch(CALLS)
    assert caught.value.code == "rpc_http"
    assert "ORCHESTRATOR_RPC_URL" in (caught.value.fix or "")
    assert "secret-key" not in f"{caught.value.message} {caught.value.fix}"


@pytest.mark.parametrize("whole", [True, False])
async def test_an_error_that_repeats_the_urls_key_does_not_show_it(node, whole):
    def gate(calls):
        given = {"error": "Cannot POST /v2/SECRET%20KEY?token=s3cr3t-t0ken for user-name: secret key \x1b[2J\u202e"}
        return web.json_response(given if whole else [{**given, "id": call["id"]} for call in calls], status=404)

    node.gate = gate
    url = node.url.replace("//", "//user-name:pass@") + "/v2/SECRET%20KEY?token=s3cr3t-t0ken"
    async with Rpc(url, patience=0) as rpc:
        with pytest.raises(
            ChainNonsense, match=r"Cannot POST /v2/…\?token=… for …: … \N{REPLACEMENT CHARACTER}\[2J"
        ) as caught:
            await rpc.call("eth_chainId", [])
    assert caught.value.message.isprintable()


# --- EIP-1898 -------------------------------------------------------------------------------------------------------


def by_hash(request):
    return any(isinstance(param, dict) and "blockHash" in param for param in request["params"])


async def pinned_balance(rpc):
    reads = HeadReads(rpc)
    head = reads.heads(await rpc.batch(HEAD_CALLS)).head
    (balance,) = await reads.pinned(head, lambda at: [("eth_getBalance", [ZERO, at])])
    return balance


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32602, "invalid argument 1: hex string expected"),
        (-32000, "cannot unmarshal object into Go value of type string"),
        (-32603, "Internal error"),
        (-32602, "Invalid block number"),
    ],
)
async def test_a_node_without_block_hashes_is_found_by_a_probe(node, rpc, code, message):
    node.change = lambda request, answer: error(code, message, request["id"]) if by_hash(request) else answer
    assert await pinned_balance(rpc) == "0x0"
    assert "EIP-1898" in rpc.limits.notes["by_hash"]
    before = len([call for call in node.requests if by_hash(call)])
    assert await pinned_balance(rpc) == "0x0"
    assert len([call for call in node.requests if by_hash(call)]) == before


async def test_one_refusal_by_hash_does_not_switch_it_off(node, rpc):
    left = [1]

    def change(request, answer):
        if by_hash(request) and left[0]:
            left[0] -= 1
            return error(-32602, "invalid params", request["id"])
        return answer

    node.change = change
    assert await pinned_balance(rpc) == "0x0"
    assert "by_hash" not in rpc.limits.notes
    before = len(node.requests)
    assert await pinned_balance(rpc) == "0x0"
    assert any(by_hash(call) for call in node.requests[before:])


async def test_a_call_that_is_wrong_by_number_too_says_nothing_about_hashes(node, rpc):
    node.change = lambda request, answer: (
        error(-32602, "invalid params", request["id"]) if request["method"] == "eth_getBalance" else answer
    )
    assert (await pinned_balance(rpc)).code == -32602
    assert "by_hash" not in rpc.limits.notes


# --- several nodes --------------------------------------------------------------------------------------------------


@pytest.fixture
async def second(shared):
    node = await LyingNode(shared.url).start()
    yield node
    await node.stop()


@pytest.fixture
async def both(node, second, monkeypatch):
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(rpc_module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    async with Rpc([node.url, second.url], timeout=20, patience=20) as rpc:
        rpc.now = now
        yield timed(rpc)


@pytest.mark.parametrize("response", PASSING[:3] + PASSING[10:])
async def test_the_next_node_is_asked_while_one_is_unwell_and_then_the_first_again(both, node, second, response):
    await both.batch(CALLS)
    assert second.requests == []
    node.gate = times(1, response)
    assert (await both.batch(CALLS))[0] == "0x7a69"
    assert both.endpoint == second.url
    asked = len(node.requests)
    await both.batch(CALLS)
    assert len(node.requests) == asked
    both.now.seconds += 60
    await both.batch(CALLS)
    assert both.endpoint == node.url
    assert both.naps == []


async def test_a_node_with_a_wrong_key_is_as_unwell(both, node):
    node.gate = lambda calls: text("", 401)
    assert (await both.batch(CALLS))[0] == "0x7a69"


async def test_where_all_are_unwell_the_first_ones_trouble_is_told(both, node, second):
    node.gate = lambda calls: text("", 401)
    second.gate = lambda calls: text("", 404)
    with pytest.raises(ChainNonsense, match=f"{node.url}.*401"):
        await both.batch(CALLS)


async def test_what_passes_at_one_is_told_rather_than_what_lasts_at_another(both, node, second):
    node.gate = lambda calls: text("", 401)
    second.gate = lambda calls: text("", 503)
    with pytest.raises(ChainUnreachable, match=f"{second.url}.*503"):
        await both.batch(CALLS)


@pytest.mark.parametrize("first", [lambda calls: text("", 429), each(-32016, "over rate limit")])
async def test_a_dead_second_node_takes_no_patience_from_the_first(both, node, second, first):
    node.gate = times(3, first)
    second.gate = lambda calls: text("", 404)
    assert (await both.batch(CALLS))[0] == "0x7a69"
    assert both.endpoint == node.url
    assert both.naps == [0.25, 0.5]


async def test_two_nodes_that_disagree_on_a_final_block_are_shown(both, node, second):
    await both.batch(CALLS)
    other = "0x" + "11" * 32
    second.change = lambda request, answer: (
        {**answer, "result": {**answer["result"], "hash": other}}
        if request["method"] == "eth_getBlockByNumber"
        else answer
    )
    node.gate = lambda calls: text("", 503)
    with pytest.raises(ChainNonsense, match=f"{node.url}.*{other} at {second.url}") as caught:
        await both.batch(CALLS)
    assert caught.value.code == "nodes_disagree"


async def test_a_second_node_of_another_chain_is_named(both, node, second):
    await both.batch(CALLS)
    second.change = lambda request, answer: (
        {**answer, "result": "0x1"} if request["method"] == "eth_chainId" else answer
    )
    node.gate = lambda calls: text("", 503)
    with pytest.raises(ChainNonsense, match="expected a node of chain 31337") as caught:
        await both.batch(CALLS)
    assert caught.value.code == "wrong_chain"


async def test_traffic_is_counted_for_each_endpoint(both, node):
    await both.batch(CALLS)
    await both.batch(CALLS[:1])
    first, second = (one.transport.traffic for one in both.endpoints)
    assert (first.requests, first.calls, second.requests) == (2, 11, 0)
    assert first.sent > 500
    assert first.received > 1000
    assert 0 < first.last <= first.seconds


async def test_a_survey_shows_each_node_and_where_two_differ(both, node, second):
    states = await survey(both)
    assert [state.head for state in states] == [states[0].head] * 2
    assert all(str(state).startswith(f"{state.endpoint.name} answers in ") for state in states)
    assert await disagreements(states) == []
    other = "0x" + "11" * 32
    second.change = lambda request, answer: {**answer, "result": {**answer["result"], "hash": other}}
    (latest, final) = await disagreements(await survey(both))
    assert f"{other} at {second.url}" in latest
    assert "final block" in final
    second.gate = lambda calls: text("", 404)
    states = await survey(both)
    assert "404" in str(states[1])
    assert await disagreements(states) == []
    assert f"{node.url}: " in traffic(both.endpoints[0])


async def test_two_urls_of_one_host_are_told_apart(node):
    other = "0x" + "11" * 32

    async def raw(request):
        async with node._client.post(node.target, data=await request.read(), headers=request.headers) as response:
            answers = await response.json(content_type=None)
        if request.path == "/b":
            answers = [{**answer, "result": {**answer["result"], "hash": other}} for answer in answers]
        return web.json_response(answers)

    node.raw = raw
    async with Rpc([f"{node.url}/a", f"{node.url}/b", "http://127.0.0.1:9"]) as rpc:
        assert rpc.endpoints[2].name == "http://127.0.0.1:9"
        latest, _ = await disagreements((await survey(rpc))[:2])
    assert f" at {node.url} (URL 1), {other} at {node.url} (URL 2)" in latest


async def test_calls_at_the_same_time_share_what_is_learnt(node, rpc):
    node.gate = limited(3, lambda calls: web.json_response(error(-32600, "batch too large")))
    answers = await asyncio.gather(*(rpc.batch(CALLS) for _ in range(5)))
    assert all(one[0] == "0x7a69" for one in answers)
