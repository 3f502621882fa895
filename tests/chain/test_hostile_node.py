"""A node that answers valid JSON-RPC and lies: what is proven is caught by the proof, all else by types and sizes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest
from aiohttp import web

from orchestrator.chain.node.canonical import verify_canonical
from orchestrator.chain.node.reader import ChainReader
from orchestrator.chain.node.rpc import Rpc
from orchestrator.errors import (
    ChainNonsense,
    ChainUnreachable,
    Disagreement,
    OrchestratorError,
)
from orchestrator.models import WalletState
from tests.chain.lies import lie, refuse
from tests.chain.model_node import SMART_WALLET


@pytest.fixture
async def wallet(wallets, anvil, account_id):
    address, _ = await wallets.deploy(account_id)
    await wallets.close(address)
    await anvil.finalize()
    return address


@pytest.fixture
def hearsay(liar_rpc, wallets, journal):
    """A reader that asks the lying node."""
    return ChainReader(liar_rpc, wallets.factory, SMART_WALLET, journal.chain_index)


async def test_a_node_without_the_tags(liar, hearsay, wallet, account_id):
    liar.change = refuse(lambda request: request["params"][:1] in (["finalized"], ["safe"]), -32602)
    view = await hearsay.view(account_id)
    assert (view.safe, view.finalized) == (None, None)
    assert view.change is not None
    assert view.change.state is WalletState.CLOSED


async def test_a_node_without_block_hash_parameters_is_asked_by_number(liar, hearsay, wallet, account_id):
    liar.change = refuse(
        lambda request: any(isinstance(param, dict) and "blockHash" in param for param in request["params"]),
        -32602,
        "invalid argument 1: hex string expected",
    )
    view = await hearsay.view(account_id)
    assert view.change is not None
    assert view.change.state is WalletState.CLOSED


async def test_a_head_that_is_replaced_during_the_read_is_read_again(liar, hearsay, wallet, account_id):
    first = itertools.count()

    def once(block):
        return {**block, "hash": "0x" + "11" * 32} if next(first) == 0 else block

    by_number = {"when": lambda request: request["params"][0].startswith("0x")}
    liar.change = lie("eth_getBlockByNumber", once, **by_number)
    view = await hearsay.view(account_id)
    assert view.deployment is not None
    liar.change = lie("eth_getBlockByNumber", lambda block: {**block, "hash": "0x" + "11" * 32}, **by_number)
    with pytest.raises(ChainUnreachable) as caught:
        await hearsay.view(account_id)
    assert caught.value.code == "chain_moving"


async def test_finalized_above_latest(liar, hearsay, wallet, account_id):
    liar.change = lie(
        "eth_getBlockByNumber",
        lambda block: {**block, "number": "0x7fffffffffffffff"},
        when=lambda request: request["params"][0] == "finalized",
    )
    with pytest.raises(ChainUnreachable) as caught:
        await hearsay.view(account_id)
    assert caught.value.code == "chain_moving"


async def test_two_deployments_of_one_account(liar, hearsay, wallet, account_id):
    def twice(logs):
        return [*logs, *({**log, "logIndex": "0x77", "transactionHash": "0x" + "22" * 32} for log in logs)]

    liar.change = lie("eth_getLogs", twice)
    with pytest.raises(Disagreement, match="expected one wallet made") as caught:
        await hearsay.view(account_id)
    assert caught.value.code == "deployed_twice"


async def test_a_log_that_was_not_asked_for(liar, hearsay, wallet, account_id):
    liar.change = lie("eth_getLogs", lambda logs: [{**log, "address": "0x" + "33" * 20} for log in logs])
    with pytest.raises(ChainNonsense, match="got another log"):
        await hearsay.view(account_id)


async def test_state_logs_left_out(liar, hearsay, wallets, wallet, account_id):
    liar.change = lie(
        "eth_getLogs", lambda logs: [log for log in logs if log["address"].lower() == wallets.factory.lower()]
    )
    with pytest.raises(Disagreement, match=r"storage has the state 3.*says created"):
        await hearsay.view(account_id)


async def test_storage_of_the_next_block_is_read_again(liar, hearsay, wallet, account_id):
    first = itertools.count()

    def once(word):
        return "0x" + "00" * 31 + "01" if next(first) == 0 else word

    liar.change = lie("eth_getStorageAt", once)
    view = await hearsay.view(account_id)
    assert view.change is not None
    assert view.change.state is WalletState.CLOSED


def searches_of_at_most(blocks):
    """A node that answers eth_getLogs over so many blocks only."""

    def too_long(request):
        if request["method"] != "eth_getLogs":
            return False
        (query,) = request["params"]
        if not query["toBlock"].startswith("0x"):
            return True
        return int(query["toBlock"], 16) - int(query["fromBlock"], 16) >= blocks

    return refuse(too_long, -32602, f"range 1000000 exceeds limit of {blocks}")


async def test_a_wallet_is_read_from_a_node_that_limits_the_range_of_its_searches(
    liar, hearsay, reader, anvil, wallets, wallet, account_id
):
    token = await wallets.create("TestToken")
    await wallets.do(token, "mint(address,uint256)", wallet, 3)
    await anvil.finalize()
    liar.change = searches_of_at_most(5)
    assert await hearsay.view(account_id) == await reader.view(account_id)
    assert await hearsay.holdings(wallet) == await reader.holdings(wallet)
    assert await hearsay.view("00000000-0000-4000-8000-000000000000") is not None
    refused = len(liar.requests)
    await hearsay.view(account_id)
    assert len(liar.requests) - refused < 40, "the limit was remembered"


async def test_nobody_keeps_a_wallet_open_by_sending_it_more_transfers_than_a_node_lists(
    liar, hearsay, anvil, wallets, wallet
):
    """One block with 10,001 transfers cannot be searched in smaller parts."""
    token, named = [await wallets.create("TestToken") for _ in range(2)]
    for one in (token, named):
        await wallets.do(one, "mint(address,uint256)", wallet, 3)
    await anvil.rpc("anvil_setBalance", wallet, "0x5")
    await anvil.mine()

    def about_transfers(request):
        return request["method"] == "eth_getLogs" and "address" not in request["params"][0]

    for code, message in (
        (-32005, "query returned more than 10000 results"),
        (-32005, "limit exceeded"),
        (-32000, "query timeout of 10 seconds exceeded"),
        (-32701, "Please specify an address in your request"),
    ):
        liar.change = refuse(about_transfers, code, message)
        holdings = await hearsay.holdings(wallet, (named,))
        assert holdings.wei == 5
        assert [balance.token for balance in holdings.tokens] == [named]
        assert message in (holdings.incomplete or "")
    liar.change = refuse(about_transfers, -32016, "over rate limit")
    with pytest.raises(ChainUnreachable):  # which passes, and is waited out: tokens that can be seen are seen
        await hearsay.holdings(wallet, (named,))


async def test_tokens_whose_code_takes_too_long_do_not_keep_a_wallet_open(liar, anvil, wallets, wallet, journal):
    named, token = [await wallets.create("TestToken") for _ in range(2)]
    for one in (named, token):
        await wallets.do(one, "mint(address,uint256)", wallet, 3)
    never = asyncio.Event()

    async def slow(request):
        calls = await request.json()
        if any(call["method"] == "eth_call" and call["params"][0]["to"] == token for call in calls):
            await never.wait()
        async with liar._client.post(anvil.url, json=calls) as answer:
            return web.json_response(await answer.json(content_type=None))

    liar.raw = slow
    async with Rpc(liar.url, timeout=1, patience=0) as rpc:
        holdings = await ChainReader(rpc, wallets.factory, SMART_WALLET, journal.chain_index).holdings(wallet, (named,))
    never.set()
    assert [(one.token, one.amount) for one in holdings.tokens] == [(named, 3)], "which no other hides"
    assert [(one.token, "no answer within 1 s" in one.reason) for one in holdings.unreadable] == [(token, True)]


async def test_passing_trouble_with_a_named_token_is_waited_out_and_with_another_is_told(
    liar, hearsay, wallets, wallet
):
    named, found = [await wallets.create("TestToken") for _ in range(2)]
    for one in (named, found):
        await wallets.do(one, "mint(address,uint256)", wallet, 3)

    def asks(token):
        return lambda request: request["method"] == "eth_call" and request["params"][0]["to"] == token

    liar.change = refuse(asks(named), -32000, "header not found")
    with pytest.raises(ChainUnreachable):
        await hearsay.holdings(wallet, (named,))
    liar.change = refuse(asks(found), -32000, "header not found")
    assert [one.token for one in (await hearsay.holdings(wallet, (named,))).unreadable] == [found]


async def test_transfer_logs_that_cannot_be_read_do_not_hide_the_ether(liar, hearsay, wallet):
    liar.change = refuse(
        lambda request: request["method"] == "eth_getLogs", -32602, "query returned more than 10000 results"
    )
    holdings = await hearsay.holdings(wallet)
    assert holdings.wei == 0
    assert holdings.incomplete is not None
    assert "10000 results" in holdings.incomplete


VALUES = [
    None,
    True,
    5,
    2**4000,
    1.5,
    "",
    "0x",
    "0xzz",
    "0x0",
    "0x" + "f" * 64,
    "0x" + "f" * 65,
    "0x" + "f" * 100_000,
    [],
    {},
    [None],
    [{}],
    [[]],
    {"number": "0x1"},
    {"number": "0x" + "f" * 30, "hash": "0x" + "11" * 32, "parentHash": "0x" + "11" * 32, "timestamp": "0x0"},
    {"number": "0x1", "hash": "0x" + "11" * 32, "parentHash": "0x" + "11" * 32, "timestamp": "0x0"},
    "\ud800",
]
METHODS = [
    "eth_chainId",
    "eth_getBlockByNumber",
    "eth_getLogs",
    "eth_getCode",
    "eth_getStorageAt",
    "eth_getBalance",
    "eth_call",
]


@pytest.mark.parametrize("method", METHODS)
async def test_any_value_for_any_answer_is_a_named_error_or_no_harm(liar, hearsay, wallets, wallet, account_id, method):
    token = await wallets.create("TestToken")
    await wallets.do(token, "mint(address,uint256)", wallet, 1)
    for value in VALUES:
        liar.change = lie(method, lambda _, value=value: value)
        for read in (
            lambda: hearsay.view(account_id),
            lambda: hearsay.holdings(wallet),
            hearsay.follower.poll,
            hearsay.chain_id,
        ):
            with contextlib.suppress(OrchestratorError):  # whose messages are never empty
                await read()


def _paths(value, path=()):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, (*path, name))
    elif isinstance(value, list) and value:
        yield from _paths(value[0], (*path, 0))
    yield path


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getLogs"])
async def test_any_value_inside_of_any_answer(liar, hearsay, wallet, account_id, anvil, method):
    if method == "eth_getLogs":
        sample = await anvil.rpc(method, {"fromBlock": "0x0", "toBlock": "latest"})
    else:
        sample = dict.fromkeys(("number", "hash", "parentHash", "timestamp", "stateRoot", "nonce", "extraData"), "")
    for path in _paths(sample):
        for value in (None, 5, "0x", "0x" + "f" * 65, [], {}):

            def put(answer, path=path, value=value):
                if not path:
                    return value
                target = answer
                for part in path[:-1]:
                    if not target:
                        return answer
                    target = target[part]
                if target:
                    target[path[-1]] = value
                return answer

            liar.change = lie(method, put)
            with contextlib.suppress(OrchestratorError):
                await hearsay.view(account_id)


async def test_canonical_is_none_where_a_node_cannot_tell(liar, closed_report, account_id):
    report = closed_report
    assert (await verify_canonical(report, [liar.url])).canonical is True
    liar.change = lie("eth_getBlockByNumber", 5)
    assert (await verify_canonical(report, [liar.url])).canonical is None
    liar.change = lie("eth_chainId", "0x1")
    told = await verify_canonical(report, [liar.url])
    assert told.canonical is None
    assert "is of eip155:1" in told.checks[-1].detail
    liar.change = lie("eth_getBlockByNumber", None)
    assert (await verify_canonical(report, [liar.url])).canonical is None
    liar.change = lie("eth_getBlockByNumber", lambda block: {**block, "hash": "0x" + "11" * 32})
    told = await verify_canonical(report, [liar.url])
    assert told.canonical is False
    assert (told.valid, told.reason, told.claim) == (False, "not_canonical", None)
    two = await verify_canonical(report, [liar.target, liar.url])
    assert two.canonical is False


@pytest.fixture
async def closed_report(hearsay, wallet, account_id, certify):
    from orchestrator.closure.certificate.verifier import verify

    return verify(await certify(hearsay, wallet, account_id))
