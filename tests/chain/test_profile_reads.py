"""The built-in wallet profiles against real contracts: from deployment to closing, every finding agrees."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pytest
from eth_abi import encode
from eth_hash.auto import keccak

from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.models import AccountId, WalletState, to_address
from orchestrator.wallet.findings import Read
from orchestrator.wallet.profile import load_profile
from tests.chain.conftest import ENTRY_POINT, Wallets, call_data, personal_sign

OPERATOR, OWNER, OTHER = (DEV_ACCOUNTS[index] for index in range(3))
ZERO = "0x" + "0" * 40
FACTORIES = {
    "smart-wallet": "SmartWalletFactory",
    "smart-wallet-clone": "CloneWalletFactory",
    "smart-wallet-proxy": "ProxyWalletFactory",
    "modular": "ModularWalletFactory",
}


@pytest.fixture(scope="module")
def node():
    with Anvil() as anvil:
        yield anvil


@pytest.fixture
async def wallets(node):
    return await Wallets(node).set_up()


@dataclass(frozen=True)
class Log:
    topics: tuple[bytes, ...]
    data: bytes


async def deploy(wallets, name, account):
    """The family's factory, and the receipt of a wallet's deployment."""
    if name == "offblocks":
        setup = bytes.fromhex(call_data("initialize(address)", OPERATOR.address)[2:])
        implementation = await wallets.create("OffBlocksSmartWalletFactory")
        factory = await wallets.create("ERC1967Proxy", encode(["address", "bytes"], [implementation, setup]))
        signature = "deploySmartWallet(address,address,address,uint256)"
        data = call_data(signature, OWNER.address, wallets.escrow, factory, 7)
    else:
        operators = encode(["address", "address"], [OPERATOR.address, ENTRY_POINT])
        factory = await wallets.create(FACTORIES[name], operators)
        signature, second, third = "deploySmartWallet(address,address,bytes16,bytes32)", wallets.escrow, account.bytes
        if name == "modular":
            signature, second, third = "deployModularWallet(address,bytes16,bytes32,bytes32)", account.bytes, b"7" * 32
        data = call_data(signature, OWNER.address, second, third, keccak(b"creation"))
    return factory, await wallets.send(factory, data)


async def answer(node, read):
    if read.kind == "code":
        found = await node.rpc("eth_getCode", read.address, "latest")
    elif read.kind == "slot":
        found = await node.rpc("eth_getStorageAt", read.address, "0x" + read.data.hex(), "latest")
    else:
        found = await node.rpc("eth_call", {"to": read.address, "data": "0x" + read.data.hex()}, "latest")
    return bytes.fromhex(found[2:])


async def find(node, profile, account_id, wallet, factory, created):
    answers: dict[Read, bytes | None] = {}
    reads = profile.first_reads(account_id, wallet, factory, created)
    while reads:
        answers |= {read: await answer(node, read) for read in reads}
        reads = profile.more_reads(wallet, answers)
    return profile.findings(account_id, wallet, factory, created, answers)


def agrees(finding, wallet, factory):
    expected = {"address": wallet, "owner": OWNER.address, "factory": factory, "admin": ZERO}
    return finding.value == expected.get(finding.check, finding.value) != ""


@pytest.mark.parametrize("name", [*FACTORIES, "offblocks"])
async def test_every_source_of_a_family_agrees_from_deployment_to_closing(node, wallets, name):
    account, profile = uuid.uuid4(), load_profile(name)
    account_id = AccountId(str(account))
    factory, receipt = await deploy(wallets, name, account)
    logs = [
        Log(tuple(bytes.fromhex(topic[2:]) for topic in log["topics"]), bytes.fromhex(log["data"][2:]))
        for log in receipt["logs"]
        if log["address"] == factory.lower() and log["topics"][0] == "0x" + profile.created_topic.hex()
    ]
    (created,) = (profile.created(log) for log in logs)
    wallet = created.wallet
    found = await find(node, profile, account_id, wallet, factory, created)
    assert [each for each in found.findings if not agrees(each, wallet, factory)] == []
    assert profile.state(found.stored) is profile.initial
    for part in ("create2", "factory", "owner", "state", "closed_slots"):
        assert part not in profile.unchecked
    assert profile.created_topics(account_id, wallet)[-1] in logs[0].topics

    if name == "offblocks":
        signature = personal_sign(OWNER.private_key, b"deletion")
        await wallets.do(wallet, "lock(bytes,bytes,address[])", b"deletion", signature, [])
    else:
        await wallets.activate(wallet)
        await wallets.close(wallet)
    found = await find(node, profile, account_id, wallet, factory, created)
    assert profile.state(found.stored) is WalletState.CLOSED
    assert [each for each in found.findings if not agrees(each, wallet, factory)] == []
    for slot, value, _ in profile.closed_slots:
        stored = await answer(node, Read("slot", wallet, slot.to_bytes(32, "big")))
        assert int.from_bytes(stored, "big") == value


async def test_a_wallet_of_another_factory_disagrees(node, wallets):
    """The same contract under the same account, of a factory that is somebody else's."""
    account, profile = uuid.uuid4(), load_profile("smart-wallet-clone")
    factory, _ = await deploy(wallets, "smart-wallet-clone", account)
    _, receipt = await deploy(wallets, "smart-wallet-clone", account)
    foreign = to_address("0x" + receipt["logs"][-1]["topics"][1][26:])
    with pytest.raises(Exception, match="expected the factory") as caught:
        await find(node, profile, AccountId(str(account)), foreign, factory, None)
    assert caught.value.code == "wrong_factory"
