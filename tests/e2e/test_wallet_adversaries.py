"""What a wallet, its factory and its profile may not be: a person is asked, shown both sides, and nothing is signed.

Each is done to an account on the way, through the library, on a real chain and a real platform.
"""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import pytest

from orchestrator.app import Orchestrator
from orchestrator.artifacts import load
from orchestrator.devnet.contracts import OWNER
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.errors import SettingsError
from orchestrator.models import ChainAccount
from orchestrator.wallet.profile import load_profile
from tests.e2e.wallets import activated, events, of

STRANGER = DEV_ACCOUNTS[7].address
ADMIN = 0xB53127684A568B3173AE13B9F8A6016E243E63B6E8EE1178D6A717850B5D6103
"""ERC-1967's slot of the proxy's administrator."""
SIGNING = {"signing_intended", "challenge_signed", "submission_intended"}


@pytest.fixture(scope="module")
def anvil(wallets):
    return wallets[0]


@pytest.fixture
def contracts(request, wallets):
    """Those of the family that the test is for."""
    return wallets[1][request.param]


async def stored(devnet, wallet, slot, value):
    await devnet.anvil.rpc("anvil_setStorageAt", wallet, f"0x{slot:064x}", f"0x{value:064x}")
    await devnet.anvil.mine()  # what was put is in the state of the next block


def submissions(devnet):
    requests = devnet.simulator.records()["requests"]
    return sum(row["method"] == "POST" and row["path"].endswith("/challenge/sign") for row in requests)


async def nothing_signed(orchestrator, devnet, account, code, signed):
    """Neither here since the halt, nor at the platform since ``signed`` submissions; nor if it is gone on with."""
    (report,) = await orchestrator.resume(timeout=60)
    assert (report.outcome, report.error.code) == ("operator", code)
    kinds = [one.event.type for one in await orchestrator.journal.read(account)]
    assert not SIGNING & set(kinds[kinds.index("operation_halted") :])
    assert submissions(devnet) == signed


def halted(report, code, *said):
    assert (report.outcome, report.error and report.error.code) == ("operator", code), report
    for text in said:
        assert text in report.error.message, (text, report.error.message)


# --- what the platform or its factory does ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contracts", "fault", "code", "said"),
    [
        (
            "offblocks",
            "deploy_by_another",
            "wrong_factory",
            "wallet {wallet}: expected the factory {factory}, its code has 0x",
        ),
        (
            "modular",
            "deploy_twice",
            "deployed_twice",
            "expected one wallet made for account {account}, the chain has 2",
        ),
        (
            "smart-wallet-clone",
            "confuse_register",
            "address_disagreement",
            "the wallet followed is {wallet}, the registry gives {escrow} for this account",
        ),
    ],
    indirect=["contracts"],
)
async def test_a_factory_that_does_wrong(orchestrator, devnet, contracts, fault, code, said):
    account = (await orchestrator.create_account(devnet.programme.customer_id, "EUR")).account_id
    devnet.simulator.fault(fault)
    report = await orchestrator.activate(account, timeout=60)
    wallet = (await orchestrator.account(account)).address
    wallet = wallet and ChainAccount.parse(wallet).address
    halted(
        report, code, said.format(wallet=wallet, account=account, escrow=contracts.escrow, factory=contracts.factory)
    )
    await nothing_signed(orchestrator, devnet, account, code, 1)


@of("smart-wallet-proxy")
async def test_an_implementation_that_is_upgraded_after_the_activation(orchestrator, devnet, contracts):
    account, _ = await activated(orchestrator, devnet)
    devnet.simulator.fault("upgrade_implementation")
    report = await orchestrator.deactivate(account, timeout=60)
    first, *_, last = await events(orchestrator, account, "wallet_deployed")
    assert first.implementation() != last.implementation()
    halted(report, "implementation_changed", f"of {first.implementation()} when", f"of {last.implementation()} now")
    await nothing_signed(orchestrator, devnet, account, "implementation_changed", 1)


# --- what is done to a wallet that is active -------------------------------------------------------------------------


async def other_code(devnet, wallet):
    await devnet.anvil.rpc("anvil_setCode", wallet, "0x" + load("TestEscrow").deployed_bytecode.hex())
    await devnet.anvil.mine()


async def other_owner(devnet, wallet):
    await stored(devnet, wallet, 0, int(STRANGER, 16))


async def an_admin(devnet, wallet):
    await stored(devnet, wallet, ADMIN, int(STRANGER, 16))


@pytest.mark.parametrize(
    ("contracts", "do", "code", "said"),
    [
        ("offblocks", other_code, "code_mismatch", ("the code at {wallet} (hash 0x", "the profile offblocks:")),
        ("modular", other_code, "code_mismatch", ("the code at {wallet} (hash 0x", "the profile modular:")),
        ("offblocks", other_owner, "owner_disagreement", ("has the wallet {owner}, ", f"names the owner {STRANGER}")),
        ("smart-wallet-proxy", an_admin, "proxy_admin_remains", (STRANGER, "replace the code of {wallet}")),
    ],
    indirect=["contracts"],
)
async def test_a_wallet_that_is_another_when_it_is_to_be_closed(orchestrator, devnet, contracts, do, code, said):
    account, wallet = await activated(orchestrator, devnet)
    await do(devnet, wallet)
    report = await orchestrator.close(account, timeout=60)
    halted(report, code, *(text.format(wallet=wallet, owner=OWNER.address) for text in said))
    await nothing_signed(orchestrator, devnet, account, code, 1)


@of("offblocks")
async def test_a_wallet_that_is_open_again_after_it_was_closed(orchestrator, devnet, contracts):
    account, wallet = await activated(orchestrator, devnet)
    assert (await orchestrator.close(account, timeout=60)).outcome == "done"
    await stored(devnet, wallet, 0, int(OWNER.address, 16))
    report = await orchestrator.close(account, timeout=60)
    halted(report, "wallet_reopened", f"the wallet {wallet} was closed on the chain", "is active now")
    await nothing_signed(orchestrator, devnet, account, "wallet_reopened", 2)


# --- profiles --------------------------------------------------------------------------------------------------------


@pytest.fixture
def profile_file(tmp_path):
    """``profile_file(old, new)``: the profile offblocks as a file of one's own, with that put for this."""

    def made(*changes: tuple[str, str]) -> Path:
        package = resources.files("orchestrator")
        shutil.copy(str(package / "artifacts/OffBlocksSmartWallet.json"), tmp_path)
        text = (package / "wallet/profiles/offblocks.toml").read_text()
        own = ('name = "offblocks"', 'name = "own"'), ('"OffBlocksSmartWallet"', '"OffBlocksSmartWallet.json"')
        for old, new in (*own, *changes):
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "own.toml"
        path.write_text(text)
        return path

    return made


def under(settings, profile, **more):
    return settings.model_copy(update={"wallet_profile": str(profile), **more})


@of("offblocks")
async def test_a_getter_that_lies_against_the_slot(orchestrator_settings, devnet, contracts, profile_file):
    lying = profile_file(("status() returns (uint8)", "nonce() returns (uint256)"))
    async with Orchestrator.open(under(orchestrator_settings, lying)) as orchestrator:
        account, wallet = await activated(orchestrator, devnet)  # both are 0
        report = await orchestrator.deactivate(account, timeout=60)
        halted(report, "state_disagreement", wallet, "1", "nonce()")
        await nothing_signed(orchestrator, devnet, account, "state_disagreement", 1)


@of("offblocks")
async def test_a_wallet_that_the_factory_has_not_made(orchestrator_settings, devnet, contracts, profile_file):
    """Of a family whose code does not name its factory."""
    profile = profile_file(('factory = "smartWalletFactory"\n', ""))
    async with Orchestrator.open(under(orchestrator_settings, profile)) as orchestrator:
        account = (await orchestrator.create_account(devnet.programme.customer_id, "EUR")).account_id
        devnet.simulator.fault("deploy_by_another")
        report = await orchestrator.activate(account, timeout=60)
        wallet = ChainAccount.parse((await orchestrator.account(account)).address).address
        halted(report, "wrong_factory_wallet", f"knows no wallet {wallet}")
        await nothing_signed(orchestrator, devnet, account, "wrong_factory_wallet", 1)


@of("offblocks")
@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('artifact = "OffBlocksSmartWallet.json"\n\n[acc', 'hash = "any"\n\n[acc', 13),
        ('[[code.accepts]]\nname = "OffBlocksSmartWallet.json"\nartifact = "OffBlocksSmartWallet.json"\n', "", 7),
    ],
)
async def test_a_profile_that_accepts_every_code(
    orchestrator_settings, devnet, contracts, profile_file, old, new, line
):
    profile = profile_file((old, new))
    async with Orchestrator.open(under(orchestrator_settings, profile)) as orchestrator:
        with pytest.raises(SettingsError) as refused:
            await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    assert refused.value.code == "profile_invalid"
    assert f"{profile}, line {line}, code.accepts" in refused.value.message
    assert devnet.simulator.records()["requests"] == []


@of("offblocks")
@pytest.mark.parametrize("needed", [0, 1])
async def test_a_profile_that_is_changed_while_an_account_is_under_way(
    orchestrator_settings, devnet, contracts, profile_file, needed
):
    devnet.policy_file.write_text(devnet.policy_file.read_text().replace("\npolicy = 0", f"\npolicy = {needed}"))
    profile = profile_file()
    settings = under(orchestrator_settings, profile)
    async with Orchestrator.open(settings) as orchestrator:
        account, _ = await activated(orchestrator, devnet)
    before = load_profile(str(profile)).id
    profile_file(('title = "A wallet', 'title = "Another wallet'), ("[[owner]]\nslot = 0\nrenounced = true\n\n", ""))
    after = load_profile(str(profile)).id
    async with Orchestrator.open(settings) as orchestrator:
        report = await orchestrator.close(account, timeout=1 if needed else 60)
        (first, *adopted) = await events(orchestrator, "signing", "ruleset_adopted")
        assert before in first.document
        if needed:
            assert (report.outcome, adopted) == ("waiting", [])
            assert "one person to approve the change of policy" in report.waiting_for
            (asked,) = await events(orchestrator, "signing", "approval_requested")
            assert after in asked.content
            assert submissions(devnet) == 1
            assert not [row for row in devnet.simulator.records()["requests"] if row["method"] == "DELETE"]
        else:
            assert (report.outcome, report.error) == ("done", None)
            assert after in adopted[0].document
            signed = await events(orchestrator, account, "challenge_signed")
            assert [one.policy for one in signed] == [first.ruleset, adopted[0].ruleset]
            shown = await events(orchestrator, account, "wallet_deployed")
            assert {one.profile for one in shown} == {before, after}


@of("offblocks")
async def test_a_changed_profile_that_does_not_accept_the_wallet_any_more(
    orchestrator_settings, devnet, contracts, profile_file
):
    profile = profile_file()
    settings = under(orchestrator_settings, profile)
    async with Orchestrator.open(settings) as orchestrator:
        account, wallet = await activated(orchestrator, devnet)
    other = ('artifact = "OffBlocksSmartWallet.json"', f'hash = "0x{1:064x}"')
    profile_file(other, ('factory = "smartWalletFactory"\n', ""), ('"smartWalletFactory"]', '"factory"]'))
    async with Orchestrator.open(settings) as orchestrator:
        report = await orchestrator.close(account, timeout=60)
        halted(report, "code_mismatch", f"at {wallet} (hash 0x", f"the profile {load_profile(str(profile)).id}")
        await nothing_signed(orchestrator, devnet, account, "code_mismatch", 1)
