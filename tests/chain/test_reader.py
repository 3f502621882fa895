"""One account's wallet read off a real Anvil, through its whole life, reorgs and disagreements."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from eth_hash.auto import keccak

from orchestrator.artifacts import load
from orchestrator.chain.node import together
from orchestrator.chain.node.reader import ChainReader
from orchestrator.errors import ChainUnreachable, Disagreement
from orchestrator.journal.store import Journal
from orchestrator.models import BlockHash, BlockNumber, BlockRef, Finality, WalletState
from orchestrator.ports.chain import Chain, Known
from tests.chain.lies import lie
from tests.chain.model_node import SMART_WALLET

OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
OPERATOR = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def test_reader_is_the_port(reader):
    port: Chain = reader
    assert port is reader


NOTHING = Known()


async def test_no_wallet_is_an_empty_view_and_no_news_cost_nothing(reader, rpc, account_id, anvil):
    view = await reader.view(account_id)
    assert view.deployment is None
    assert view.change is None
    assert view.head.number == await anvil.block_number()
    reader.follower.interval = 3600
    before = rpc.round_trips
    for _ in range(10):
        assert await reader.news(account_id, NOTHING, 1) is None
    assert rpc.round_trips == before


async def test_news_are_read_back_when_something_happened_and_when_it_is_final(reader, wallets, anvil, account_id):
    reader.follower.interval = 0
    known = NOTHING

    async def news():
        nonlocal known
        view = await reader.news(account_id, known, 1)
        if view is None:
            return None
        final = view.is_final(view.change.block, 1)
        known = Known(None, view.deployment.profile, view.deployment.block, view.change, final)
        return view.change.state, known.final

    wallet, _ = await wallets.deploy(account_id)
    assert await news() == (WalletState.CREATED, False)
    assert await news() is None
    await wallets.activate(wallet)
    assert await news() == (WalletState.ACTIVE, False)
    await wallets.deploy(str(uuid.uuid4()))
    assert await news() is None, "another account's wallet"
    await anvil.finalize()
    assert await news() == (WalletState.ACTIVE, True)
    await anvil.mine(3)
    assert await news() is None
    await wallets.close(wallet)
    assert await news() == (WalletState.CLOSED, False)


async def test_accounts_that_are_read_at_the_same_time_share_their_requests(rpc, wallets, tmp_path, monkeypatch):
    monkeypatch.setattr(together, "_SECONDS", 1.0)  # on a busy machine "at the same time" takes longer
    async with await Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
        await shared(ChainReader(rpc, wallets.factory, SMART_WALLET, journal.chain_index), rpc, wallets)


async def shared(reader, rpc, wallets):
    names = [str(uuid.uuid4()) for _ in range(12)]
    for name in names:
        await wallets.deploy(name)
    await reader.chain_id()
    before = rpc.round_trips
    views = await asyncio.gather(*(reader.view(name) for name in names))
    assert rpc.round_trips - before <= 4
    assert {view.deployment.wallet for view in views if view.deployment} == {
        view.deployment.said("address", "CREATE2") for view in views if view.deployment
    }
    assert len({view.deployment.wallet for view in views if view.deployment}) == 12


async def test_a_node_that_hides_logs_delays_and_the_accounts_own_logs_are_asked_for(
    liar, liar_rpc, wallets, journal, account_id
):
    reader = ChainReader(liar_rpc, wallets.factory, SMART_WALLET, journal.chain_index)
    liar.change = lie("eth_getLogs", [], when=lambda request: "address" not in request["params"][0])
    wallet, _ = await wallets.deploy(account_id)
    await wallets.activate(wallet)
    assert await reader.news(account_id, NOTHING, 1) is None, "as if there was no wallet"
    assert (await reader.view(account_id)).change.state is WalletState.ACTIVE
    await wallets.do(wallet, "deactivate()")
    view = await reader.view(account_id)
    assert view.change is not None
    assert view.change.state is WalletState.INACTIVE, "storage and the index differ: its own logs are asked for"


async def test_the_whole_life_of_a_wallet(reader, rpc, wallets, anvil, account_id):
    other_id = str(uuid.uuid4())
    await wallets.deploy(other_id)
    wallet, created = await wallets.deploy(account_id, b"the creation challenge")

    await reader.chain_id()
    before = rpc.round_trips
    view = await reader.view(account_id)
    assert rpc.round_trips - before == 2
    assert view.deployment is not None
    found = {(one.check, one.source): one.value for one in view.deployment.findings}
    assert view.deployment.wallet == found["address", "CREATE2"] == found["address", "the factory's event"] == wallet
    assert found["owner", "the code"] == found["owner", "the factory's event"] == OWNER
    assert found["factory", "the factory's event"] == wallets.factory
    assert found["code", "the code"].startswith("SmartWallet")
    assert view.deployment.unchecked == ()
    assert view.deployment.tx_hash == created
    assert found["challenge", "the factory's event"] == "0x" + keccak(b"the creation challenge").hex()
    code = await anvil.rpc("eth_getCode", wallet, "latest")
    assert view.deployment.code_hash == "0x" + keccak(bytes.fromhex(code[2:])).hex()
    assert view.deployment.block == view.head
    assert view.change is not None
    assert (view.change.state, view.change.tx_hash) == (WalletState.CREATED, created)
    assert view.finality(view.deployment.block) is Finality.LATEST
    deployment = view.deployment

    steps = [
        (wallets.activate(wallet, b"the creation challenge"), WalletState.ACTIVE),
        (wallets.do(wallet, "deactivate()"), WalletState.INACTIVE),
        (wallets.do(wallet, "reactivate()"), WalletState.ACTIVE),
        (wallets.close(wallet), WalletState.CLOSED),
    ]
    for step, state in steps:
        tx_hash = await step
        view = await reader.view(account_id)
        assert view.deployment == deployment
        assert view.change is not None
        assert (view.change.state, view.change.tx_hash, view.change.block) == (state, tx_hash, view.head)

    closed_in = view.head
    await anvil.finalize()
    view = await reader.view(account_id)
    assert view.finality(closed_in) is Finality.FINALIZED
    assert view.is_final(closed_in, 1)
    assert await reader.is_canonical(closed_in)
    other = await reader.view(other_id)
    assert other.change is not None
    assert other.change.state is WalletState.CREATED


async def test_a_session_key_in_the_same_slot_does_not_hide_the_state(reader, wallets, account_id):
    wallet, _ = await wallets.deploy(account_id)
    await wallets.activate(wallet)
    await wallets.do(wallet, "setSessionKey(address)", OPERATOR, sender=OWNER)
    view = await reader.view(account_id)
    assert view.change is not None
    assert view.change.state is WalletState.ACTIVE


async def test_a_reorg_takes_the_deployment_back(reader, wallets, anvil, account_id):
    await wallets.deploy(account_id)
    deployed = (await reader.view(account_id)).deployment
    assert deployed is not None
    assert await reader.is_canonical(deployed.block)
    await anvil.reorg(1, drop=True)
    assert (await reader.view(account_id)).deployment is None
    assert not await reader.is_canonical(deployed.block)


async def test_a_block_that_is_not_there_yet_is_not_canonical(reader):
    with pytest.raises(ChainUnreachable) as caught:
        await reader.is_canonical(BlockRef(BlockNumber(1_000_000), BlockHash("0x" + "11" * 32)))
    assert caught.value.code == "chain_behind"


async def test_storage_and_logs_must_agree_and_both_are_shown(reader, wallets, anvil, account_id):
    wallet, _ = await wallets.deploy(account_id)
    await wallets.activate(wallet)
    await anvil.rpc("anvil_setStorageAt", wallet, "0x" + "00" * 32, "0x" + "00" * 31 + "03")
    await anvil.mine()
    with pytest.raises(Disagreement, match=r"storage has the state 3.*says active"):
        await reader.view(account_id)


async def test_other_code_at_the_wallets_address_is_told_and_its_storage_not_read(reader, wallets, anvil, account_id):
    wallet, _ = await wallets.deploy(account_id)
    code = bytearray(bytes.fromhex((await anvil.rpc("eth_getCode", wallet, "latest"))[2:]))
    code[100] ^= 1
    for changed in (bytes(code), b"", bytes(code[:-1])):
        await anvil.rpc("anvil_setCode", wallet, "0x" + changed.hex())
        await anvil.mine()
        view = await reader.view(account_id)
        assert view.deployment is not None
        assert not view.deployment.code_accepted
        assert view.change is None


async def test_one_changed_copy_of_an_immutable_is_not_the_wallets_code(reader, wallets, anvil, account_id):
    wallet, _ = await wallets.deploy(account_id)
    code = bytearray(bytes.fromhex((await anvil.rpc("eth_getCode", wallet, "latest"))[2:]))
    start, length = load("SmartWallet").immutable_references["owner"][1]
    code[start : start + length] = bytes(12) + b"\xbb" * 20
    await anvil.rpc("anvil_setCode", wallet, "0x" + code.hex())
    await anvil.mine()
    view = await reader.view(account_id)
    assert view.deployment is not None
    assert not view.deployment.code_accepted


async def test_holdings_find_tokens_by_their_logs_and_name_those_that_cannot_be_read(
    reader, wallets, anvil, account_id
):
    wallet, _ = await wallets.deploy(account_id)
    token, empty, broken, silent = [await wallets.create("TestToken") for _ in range(4)]
    for some in (token, broken, silent):
        await wallets.do(some, "mint(address,uint256)", wallet, 7)
    await anvil.rpc("anvil_setCode", broken, "0x5f5ffd")  # reverts
    await anvil.rpc("anvil_setCode", silent, "0x00")  # answers nothing
    await wallets.send(wallet, value=5)
    holdings = await reader.holdings(wallet, (empty,))
    assert holdings.wei == 5
    assert [(balance.token, balance.amount) for balance in holdings.tokens] == [(token, 7)]
    assert {one.token for one in holdings.unreadable} == {broken, silent}
    assert all(one.reason for one in holdings.unreadable)
    assert holdings.incomplete is None


async def test_holdings_of_a_closed_wallet_are_what_the_operator_left_out(reader, wallets, account_id):
    wallet, _ = await wallets.deploy(account_id)
    token, left = [await wallets.create("TestToken") for _ in range(2)]
    for some in (token, left):
        await wallets.do(some, "mint(address,uint256)", wallet, 9)
    await wallets.close(wallet, (token,))
    holdings = await reader.holdings(wallet)
    assert [balance.token for balance in holdings.tokens] == [left]
    assert holdings.wei == 0
