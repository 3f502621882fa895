"""What a node (or whatever answers at its URL) can do wrong below JSON-RPC: each has its error, with a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import traceback

import pytest
from aiohttp import web

from orchestrator.chain.node.rpc import Rpc, RpcFailure
from orchestrator.errors import ChainNonsense, ChainUnreachable, SettingsError
from orchestrator.models import ChainId

CALLS = [("eth_chainId", []), ("eth_blockNumber", [])]


def answering(body, status=200, content_type="application/json", headers=None):
    async def raw(request):
        data = body(await request.json()) if callable(body) else body
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        return web.Response(body=data, status=status, content_type=content_type, headers=headers)

    return raw


def answers(change):
    """Good answers to a batch, changed."""
    return lambda calls: change([{"jsonrpc": "2.0", "id": call["id"], "result": "0x1"} for call in calls])


async def test_results_in_the_order_of_the_calls_whatever_order_they_come_in(liar, liar_rpc):
    assert await liar_rpc.chain_id() == ChainId(31337)
    liar.raw = answering(
        lambda calls: [{"jsonrpc": "2.0", "id": call["id"], "result": call["method"]} for call in reversed(calls)]
    )
    assert await liar_rpc.batch(CALLS) == ["eth_chainId", "eth_blockNumber"]


async def test_a_refused_call_is_a_value_among_results(rpc):
    good, bad = await rpc.batch([("eth_chainId", []), ("eth_nothing", [])])
    assert good == "0x7a69"
    assert isinstance(bad, RpcFailure)
    assert bad.code == -32601
    with pytest.raises(ChainNonsense, match="eth_nothing was refused with -32601") as caught:
        await rpc.call("eth_nothing", [])
    assert caught.value.code == "rpc_refused"


async def test_a_long_batch_is_split(anvil):
    async with Rpc(anvil.url, batch_size=3) as rpc:
        assert await rpc.batch([("eth_chainId", [])] * 7) == ["0x7a69"] * 7
        assert rpc.round_trips == 3


async def test_connections_are_kept_and_a_dead_one_is_replaced(liar, liar_rpc):
    peers = []
    good = answering(answers(lambda a: a))

    async def raw(request):
        peers.append(request.transport.get_extra_info("peername"))
        return await good(request)

    liar.raw = raw
    for _ in range(3):
        await liar_rpc.batch(CALLS)
    assert len(set(peers)) == 1
    dropped = []

    async def drop_first(request):
        if not dropped:
            dropped.append(request)
            request.transport.abort()
            return web.Response()
        return await good(request)

    liar.raw = drop_first
    assert await liar_rpc.batch(CALLS) == ["0x1", "0x1"]


HTTP = [
    (500, ChainUnreachable, "expected HTTP 200, got 500"),
    (503, ChainUnreachable, "got 503"),
    (429, ChainUnreachable, "got 429"),
    (401, ChainNonsense, "API key"),
    (404, ChainNonsense, "got 404"),
    (413, ChainNonsense, "got 413"),
]


@pytest.mark.parametrize(("status", "error", "message"), HTTP)
async def test_http_statuses(liar, liar_rpc, status, error, message):
    liar.raw = answering(b"<html>secret</html>", status, "text/html")
    with pytest.raises(error, match=message) as caught:
        await liar_rpc.batch(CALLS)
    assert "secret" not in caught.value.message


async def test_a_redirect_is_not_followed(liar, liar_rpc):
    liar.raw = answering(b"", 307, headers={"Location": "http://127.0.0.1:1/"})
    with pytest.raises(ChainNonsense):
        await liar_rpc.batch(CALLS)


UNREADABLE = [b"<html>hello</html>", b"", b"\xff\xfe\x00", b"[" * 100_000, b'[{"id": ' + b"9" * 10_000 + b"}]"]


@pytest.mark.parametrize("body", UNREADABLE)
async def test_a_body_that_is_no_json_is_trouble_that_may_pass(liar, liar_rpc, body):
    liar.raw = answering(body)
    with pytest.raises(ChainUnreachable) as caught:
        await liar_rpc.batch(CALLS)
    assert caught.value.code == "answer_unreadable"
    assert caught.value.message.startswith(liar.url)


BODIES = [
    b"null",
    b"5",
    b'"text"',
    b"[]",
    b"{}",
    b"[1, 2]",
    b"[[], []]",
    b"[null, null]",
    answers(lambda a: a[:1]),
    answers(lambda a: [*a, a[0]]),
    answers(lambda a: [a[0], a[0]]),
    answers(lambda a: [{**a[0], "id": "x"}, {**a[1], "id": 2}]),
    answers(lambda a: [{**one, "id": True} for one in a]),
    answers(lambda a: [{**one, "id": [1]} for one in a]),
    answers(lambda a: [{"id": one["id"]} for one in a]),
    answers(lambda a: [{"id": one["id"], "error": 5} for one in a]),
    answers(lambda a: {"jsonrpc": "2.0", "id": None, "error": 5}),
]


@pytest.mark.parametrize("body", BODIES)
async def test_bodies_that_are_no_answer(liar, liar_rpc, body):
    liar.raw = answering(body)
    with pytest.raises(ChainNonsense) as caught:
        await liar_rpc.batch(CALLS)
    assert caught.value.message.startswith(liar.url)


async def test_a_batch_answered_without_ids_is_nonsense(liar, liar_rpc):
    liar.raw = answering(answers(lambda a: [{"result": "0x1"} for _ in a]))
    with pytest.raises(ChainNonsense, match="id"):
        await liar_rpc.batch(CALLS)


@pytest.mark.parametrize("code", [-32005, 429])
async def test_an_overloaded_node_may_be_asked_again(liar, liar_rpc, code):
    error = {"code": code, "message": "too many requests"}
    liar.raw = answering(lambda calls: [{"jsonrpc": "2.0", "id": call["id"], "error": error} for call in calls])
    for answer in await liar_rpc.batch(CALLS):
        with pytest.raises(ChainUnreachable, match="too many requests"):
            liar_rpc.demand(answer)


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(liar):
    liar.raw = answering(b"[" + b" " * 200_000 + b"]")
    async with Rpc(liar.url, max_answer_bytes=100_000) as rpc:
        with pytest.raises(ChainNonsense, match="more than 100000 bytes") as caught:
            await rpc.call(*CALLS[0])
    assert caught.value.code == "answer_too_large"


async def test_dropped_connections(liar, liar_rpc):
    async def drop(request):
        request.transport.abort()
        return web.Response()

    liar.raw = drop
    with pytest.raises(ChainUnreachable, match="broke off"):
        await liar_rpc.batch(CALLS)

    async def half(request):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"[{")
        request.transport.abort()
        return response

    liar.raw = half
    with pytest.raises(ChainUnreachable, match="broke off"):
        await liar_rpc.batch(CALLS)


async def test_no_answer_in_time(liar):
    never = asyncio.Event()

    async def wait(request):
        await never.wait()
        return web.Response()

    liar.raw = wait
    async with Rpc(liar.url, timeout=0.05) as rpc:
        with pytest.raises(ChainUnreachable, match=r"no answer within 0\.05 s"):
            await rpc.batch(CALLS)
    never.set()


async def test_an_answer_that_drips_is_cut_by_the_timeout(liar):
    async def drip(request):
        response = web.StreamResponse(headers={"Content-Length": "100000"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.01)  # slow is what is tried here
        return response

    liar.raw = drip
    async with Rpc(liar.url, timeout=0.2) as rpc:
        with pytest.raises(ChainUnreachable, match=r"no answer within 0\.2 s"):
            await rpc.batch(CALLS)


async def test_nobody_there_and_the_urls_key_is_shown_nowhere(caplog):
    caplog.set_level("DEBUG")
    with socket.socket() as held:  # bound and not listening: refuses, and nobody else gets the port
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        async with Rpc(f"http://user:password@127.0.0.1:{port}/v3/api-key?token=api-key") as rpc:
            with pytest.raises(ChainUnreachable, match=f"http://127.0.0.1:{port}: no connection") as caught:
                await rpc.batch(CALLS)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "api-key" not in shown
    assert "password" not in shown


async def test_the_urls_key_is_not_in_an_http_error(liar):
    liar.raw = answering(b"no", 401)
    async with Rpc(f"{liar.url}/v3/api-key") as rpc:
        with pytest.raises(ChainNonsense) as caught:
            await rpc.batch(CALLS)
    assert "api-key" not in "".join(traceback.format_exception(caught.value))


async def test_web3_does_not_raise_the_recursion_limit_and_py_ecc_is_not_imported_until_it_is_used(anvil):
    """In a process of its own: here, another test may have imported web3 already."""
    code = (
        "import asyncio, sys; from orchestrator.chain.node.rpc import Rpc\n"
        "async def main():\n async with Rpc(sys.argv[1]) as rpc: await rpc.chain_id()\n"
        "before = sys.getrecursionlimit(); asyncio.run(main()); assert sys.getrecursionlimit() == before\n"
        "assert not any('py_ecc' in name for name in sys.modules)\n"
        "from eth_keyfile import keyfile\n"
        "assert keyfile.bls.SkToPk(5).hex().startswith('b0e7791f') and 'py_ecc.bls' in sys.modules\n"
        "from py_ecc import bls12_381, secp256k1\n"
        "assert keyfile.MAX_V3_PRIVATE_KEY == secp256k1.N - 1\n"
        "assert keyfile.MAX_V4_PRIVATE_KEY == bls12_381.curve_order - 1"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, anvil.url)
    assert await process.wait() == 0


@pytest.mark.parametrize("url", ["", "localhost:8545", "ws://localhost", "http://", "http://h:99999", "file:///etc"])
def test_urls_that_are_none(url):
    with pytest.raises(SettingsError):
        Rpc(url)


def test_one_rpc_serves_another_event_loop_after_it_was_closed(anvil_url):
    rpc = Rpc(anvil_url)

    async def use():
        assert await rpc.chain_id() == ChainId(31337)
        await rpc.close()

    for _ in range(2):
        asyncio.run(use())


@pytest.fixture
def anvil_url():
    from orchestrator.devnet.anvil import Anvil

    with Anvil() as node:
        yield node.url


async def test_a_call_waits_for_no_lock_of_web3_s(anvil_url):
    """That lock is one for the process, and a request that was cancelled while it waited for it kept it for ever."""
    from web3._utils.http_session_manager import HTTPSessionManager

    with HTTPSessionManager._lock:
        async with Rpc(anvil_url) as rpc, asyncio.timeout(20):
            assert await rpc.chain_id() == ChainId(31337)
