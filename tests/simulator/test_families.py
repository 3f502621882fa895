"""Each family of wallets through its whole life on the simulator, and what a platform can do wrong with them."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from eth_abi.abi import decode

from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.contracts import deploy_contracts
from orchestrator.devnet.devnet import devnet
from orchestrator.devnet.simulator.answers import ApiError
from orchestrator.devnet.simulator.chain import account_bytes, address_of, encode_call, keccak
from orchestrator.devnet.simulator.families import FAMILIES, State
from orchestrator.errors import SettingsError
from orchestrator.settings import load_settings
from tests.profile import FULL
from tests.safe import SafeFamily, install
from tests.simulator.conftest import STRANGER

SENT = {
    "smart-wallet": ["deploySmartWallet", "activate", "deactivate", "reactivate", "commitChallenge", "close"],
    "offblocks": ["deploySmartWallet", "pause", "unpause", "lock"],
    "modular": ["deployModularWallet", "activate", "deactivate", "reactivate", "commitChallenge", "close"],
}
SENT |= dict.fromkeys(("smart-wallet-clone", "smart-wallet-proxy"), SENT["smart-wallet"])
IMPLEMENTATION = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"


@pytest.fixture(scope="module")
def node():
    """One chain with the factories of all families."""
    with Anvil() as anvil:
        yield anvil, {name: deploy_contracts(anvil, name) for name in FAMILIES}


@pytest.fixture
def start(make, node):
    """Starts a platform with wallets of a family: the world, and the family as its jobs have it."""
    anvil, deployed = node

    async def started(name):
        contracts = deployed[name]
        world = await make(chain=(anvil.url, contracts), family=contracts.family)
        return world, contracts.family(world.simulator.platform.chain, contracts.factory, contracts.escrow)

    return started


def wallet_of(account):
    return account["chainId"].rpartition(":")[2]


async def closed(world, account):
    await world.client.ok("DELETE", f"/accounts/{account['id']}")
    assert (await world.sign(account)).is_success
    return await world.reach(account["id"], "closed")


async def events(anvil, factory):
    """The topics of the events of a factory, oldest first."""
    logs = await anvil.rpc("eth_getLogs", {"address": factory, "fromBlock": "0x0", "toBlock": "latest"})
    return [log["topics"] for log in logs]


@pytest.mark.parametrize("name", FAMILIES if FULL else ["offblocks", "smart-wallet-clone"])
async def test_from_creation_to_closed(start, node, name):
    anvil, deployed = node
    world, family = await start(name)
    account = await world.active()
    wallet = wallet_of(account)
    assert await family.predict(world.programme.owner, account["id"]) == wallet
    assert await family.state(wallet) is State.ACTIVE
    for action, status in (("deactivate", State.INACTIVE), ("activate", State.ACTIVE)):
        assert (await world.client.ok("PATCH", f"/accounts/{account['id']}/{action}"))["status"] == status.value
        assert await family.state(wallet) is status
    token = {"from": STRANGER.address, "to": deployed[name].token}
    await anvil.rpc("eth_sendTransaction", token | {"data": encode_call("mint(address,uint256)", wallet, 7)})
    assert (await closed(world, account))["chainId"] == account["chainId"]
    assert await family.state(wallet) is State.CLOSED
    assert (
        int(await anvil.rpc("eth_call", token | {"data": encode_call("balanceOf(address)", wallet)}, "latest"), 16) == 0
    )
    transactions = world.simulator.records()["transactions"]
    assert [row["step"] for row in transactions] == SENT[name]
    assert {row["state"] for row in transactions} == {"mined"}


@pytest.mark.parametrize("name", ["offblocks", "modular"])
async def test_what_a_restart_finds_half_done_is_ended(start, name):
    world, family = await start(name)
    account = await world.create()
    world.simulator.fault("hold_deployments")
    assert (await world.sign(account)).is_success
    await world.restart(crash=True)
    wallet = wallet_of(await world.reach(account["id"], "active"))
    family.chain = world.simulator.platform.chain
    assert await family.state(wallet) is State.ACTIVE


async def test_of_the_documented_shape_a_signature_of_another_closes_nothing(start):
    world, family = await start("offblocks")
    account = await world.active()
    await world.client.ok("DELETE", f"/accounts/{account['id']}")
    challenge = (await world.client.ok("GET", f"/accounts/{account['id']}/challenge"))["challenge"]
    refused = await world.submit(account, challenge, STRANGER)
    assert not refused.is_success
    assert await family.state(wallet_of(account)) is State.ACTIVE
    assert base64.b64decode(challenge), "nothing of it is on the chain before it is signed"
    assert [row["step"] for row in world.simulator.records()["transactions"]] == ["deploySmartWallet"]


@pytest.mark.parametrize("name", ["offblocks", "modular"])
async def test_a_factory_that_deploys_twice_for_one_account(start, node, name):
    anvil, deployed = node
    world, family = await start(name)
    before = len(await events(anvil, deployed[name].factory))
    world.simulator.fault("deploy_twice")
    account = await world.active()
    first, second = [await family.predict(world.programme.owner, account["id"], number) for number in (0, 1)]
    assert wallet_of(account) == first != second
    named = [topics[1][-40:] for topics in (await events(anvil, deployed[name].factory))[before:]]
    assert named == [first[2:].lower(), second[2:].lower()]


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_wallet_of_another_factory(start, node, name):
    anvil, deployed = node
    world, family = await start(name)
    before = await events(anvil, deployed[name].factory)
    world.simulator.fault("deploy_by_another")
    account = await world.active()
    assert await family.state(wallet_of(account)) is State.ACTIVE
    assert await family.predict(world.programme.owner, account["id"]) != wallet_of(account)
    assert await events(anvil, deployed[name].factory) == before


@pytest.mark.parametrize("name", ["smart-wallet", "smart-wallet-clone", "smart-wallet-proxy"])
async def test_a_register_that_names_another_wallet_than_the_event(start, node, name):
    anvil, deployed = node
    world, family = await start(name)
    world.simulator.fault("confuse_register")
    account = await world.active()
    named = await family.chain.call(family.factory, "walletOf(bytes16)", account_bytes(account["id"]))
    assert address_of(named) == deployed[name].escrow
    assert (await events(anvil, deployed[name].factory))[-1][1][-40:] == wallet_of(account)[2:].lower()
    assert await family.state(wallet_of(account)) is State.ACTIVE


async def test_an_implementation_that_is_upgraded_before_the_closing(start, node):
    anvil, _ = node
    world, family = await start("smart-wallet-proxy")
    account = await world.active()
    wallet = wallet_of(account)
    before = await anvil.rpc("eth_getStorageAt", wallet, IMPLEMENTATION, "latest")
    world.simulator.fault("upgrade_implementation")
    await closed(world, account)
    after = await anvil.rpc("eth_getStorageAt", wallet, IMPLEMENTATION, "latest")
    assert after[-40:] == keccak(bytes.fromhex(before[-40:]))[-20:].hex()
    assert await family.state(wallet) is State.CLOSED


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("smart-wallet", "deploy_twice", "its factory refuses a second wallet"),
        ("modular", "confuse_register", "its factory has no register of accounts"),
        ("smart-wallet-clone", "upgrade_implementation", "no slot of its wallets names an implementation"),
    ],
)
async def test_what_a_family_makes_impossible_is_refused_when_it_is_ordered(make, name, kind, reason):
    world = await make(family=FAMILIES[name])
    with pytest.raises(ApiError, match=f"{kind}: not with wallets of the family {name}: {reason}"):
        world.simulator.fault(kind)


async def test_a_safe_is_deployed_and_never_closed_on_the_chain(make, node):
    """A family of a test's own, and one without any state."""
    anvil, deployed = node
    factory = install(anvil)
    world = await make(chain=(anvil.url, replace(deployed["smart-wallet"], factory=factory)), family=SafeFamily)
    account = await world.active()
    wallet = wallet_of(account)
    (owners,) = decode(
        ["address[]"],
        bytes.fromhex((await anvil.rpc("eth_call", {"to": wallet, "data": encode_call("getOwners()")}, "latest"))[2:]),
    )
    assert owners == (world.programme.owner.lower(),)
    for action in ("deactivate", "activate"):
        await world.client.ok("PATCH", f"/accounts/{account['id']}/{action}")
    await closed(world, account)
    assert [row["step"] for row in world.simulator.records()["transactions"]] == ["createProxyWithNonce"]


@pytest.mark.parametrize("name", ["smart-wallet", "offblocks"])
def test_a_devnet_of_the_family_names_its_factory_and_profile(node, tmp_path, name):
    anvil, deployed = node
    with devnet(anvil=anvil, contracts=deployed[name], folder=tmp_path / "devnet") as made:
        environment = made.environment
    assert environment["ORCHESTRATOR_FACTORY"] == deployed[name].factory
    assert environment.get("ORCHESTRATOR_WALLET_PROFILE") == (None if name == "smart-wallet" else name)
    load_settings(environment)


def test_a_family_that_there_is_not(node):
    anvil, _ = node
    with pytest.raises(SettingsError, match="no family of wallets is named 'safe'; there are smart-wallet, offblocks"):
        deploy_contracts(anvil, "safe")
    with pytest.raises(SettingsError, match="no family"), devnet(wallet="safe"):
        raise AssertionError("started")
