"""What closing comes to in each family of wallets: the closure proof of contracts that it has never seen."""

from __future__ import annotations

import uuid

import pytest
from eth_abi import encode
from eth_hash.auto import keccak

from orchestrator.artifacts import load
from orchestrator.chain.examination.examiner import examine
from orchestrator.chain.node.rpc import Rpc
from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.devnet.simulator.chain import Chain
from orchestrator.models import to_address
from tests.chain.conftest import ENTRY_POINT, Wallets, call_data, personal_sign
from tests.safe import SafeFamily, install

OPERATOR, OWNER, OTHER = (DEV_ACCOUNTS[index] for index in range(3))
EXECUTOR = 2
"""ERC-7579's type of an executor module."""


@pytest.fixture(scope="module")
def node():
    """One for all: each test deploys what it needs."""
    with Anvil() as anvil:
        yield anvil


@pytest.fixture
async def wallets(node):
    return await Wallets(node).set_up()


@pytest.fixture
async def verdict_on(node):
    async with Rpc(node.url) as rpc:

        async def examined(wallet):
            await node.finalize()
            return (await examine(rpc, wallet)).verdict

        yield examined


def created(receipt, factory):
    """The wallet that the factory's event names first."""
    logs = [log for log in receipt["logs"] if log["address"] == factory.lower() and len(log["topics"]) > 2]
    return to_address("0x" + logs[-1]["topics"][1][26:])


async def offblocks(wallets):
    implementation = await wallets.create("OffBlocksSmartWalletFactory")
    setup = bytes.fromhex(call_data("initialize(address)", OPERATOR.address)[2:])
    factory = await wallets.create("ERC1967Proxy", encode(["address", "bytes"], [implementation, setup]))
    signature = "deploySmartWallet(address,address,address,uint256)"
    receipt = await wallets.send(factory, call_data(signature, OWNER.address, wallets.escrow, factory, 7))
    return created(receipt, factory)


async def proxied(wallets, name):
    wallets.factory = await wallets.create(name, encode(["address", "address"], [OPERATOR.address, ENTRY_POINT]))
    data = call_data(
        "deploySmartWallet(address,address,bytes16,bytes32)",
        OWNER.address,
        wallets.escrow,
        uuid.uuid4().bytes,
        keccak(b"creation"),
    )
    wallet = created(await wallets.send(wallets.factory, data), wallets.factory)
    await wallets.activate(wallet)
    return wallet


async def modular(wallets):
    factory = await wallets.create(
        "ModularWalletFactory", encode(["address", "address"], [OPERATOR.address, ENTRY_POINT])
    )
    data = call_data(
        "deployModularWallet(address,bytes16,bytes32,bytes32)",
        OWNER.address,
        uuid.uuid4().bytes,
        uuid.uuid4().bytes * 2,
        keccak(b"creation"),
    )
    wallet = created(await wallets.send(factory, data), factory)
    await wallets.activate(wallet)
    return wallet


async def lock(wallets, wallet):
    signature = personal_sign(OWNER.private_key, b"deletion")
    await wallets.do(wallet, "lock(bytes,bytes,address[])", b"deletion", signature, [])


async def test_a_locked_wallet_of_the_documented_shape(wallets, verdict_on):
    wallet = await offblocks(wallets)
    open_ = await verdict_on(wallet)
    assert (open_.verdict, open_.reason, open_.witness.confirmed) == ("reversible", "acting", True)
    await lock(wallets, wallet)
    closed = await verdict_on(wallet)
    assert (closed.verdict, closed.reason) == ("irreversible", "inert")
    assert dict(closed.slots)[0] == 2 << 160, "locked, and the owner is nobody"


@pytest.mark.parametrize("factory", ["CloneWalletFactory", "ProxyWalletFactory"])
async def test_a_closed_wallet_behind_a_proxy(wallets, verdict_on, factory):
    wallet = await proxied(wallets, factory)
    assert (await verdict_on(wallet)).verdict == "reversible"
    await wallets.close(wallet)
    closed = await verdict_on(wallet)
    assert (closed.verdict, closed.reason) == ("irreversible", "inert")
    assert dict(closed.slots)[0] == 3


@pytest.mark.parametrize("installed", [False, True], ids=["uninstalled", "installed"])
async def test_a_closed_modular_account_is_open_to_its_executor(wallets, verdict_on, installed):
    wallet = await modular(wallets)
    executor = await wallets.create("TestExecutor")
    await wallets.do(wallet, "installModule(uint256,address,bytes)", EXECUTOR, executor, b"", sender=OWNER.address)
    if not installed:
        uninstall = "uninstallModule(uint256,address,bytes)"
        await wallets.do(wallet, uninstall, EXECUTOR, executor, b"", sender=OWNER.address)
    await wallets.close(wallet)
    closed = await verdict_on(wallet)
    if installed:
        assert (closed.verdict, closed.reason) == ("reversible", "acting")
        assert (closed.witness.sender, closed.witness.confirmed) == (executor, True)
    else:
        assert (closed.verdict, closed.reason) == ("irreversible", "inert")
        assert dict(closed.slots)[0] == 3


async def test_a_safe_is_open_to_its_owners(node, wallets, verdict_on):
    """Whatever the platform says of the account: closing a Safe would mean that nobody can sign for it any more."""
    family = SafeFamily(Chain(node.url, OPERATOR.private_key), install(node), wallets.escrow)
    account_id = str(uuid.uuid4())
    sent = family.deploy(OWNER.address, account_id, b"creation")
    await wallets.send(sent.to, sent.data)
    wallet = await family.predict(OWNER.address, account_id)
    await family.chain.stop()
    verdict = await verdict_on(wallet)
    assert (verdict.verdict, verdict.reason) == ("reversible", "acting")
    assert (verdict.witness.sender, verdict.witness.confirmed) == (OWNER.address, True)


def test_the_code_of_a_clone_is_the_published_one():
    """What the factory's code holds of it."""
    assert bytes.fromhex("5af43d82803e903d91602b57fd5bf3") in load("CloneWalletFactory").deployed_bytecode
