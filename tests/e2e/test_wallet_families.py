"""The whole life of each family's wallets through the library: created, suspended, resumed, closed, proven."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from orchestrator.app import Orchestrator
from orchestrator.artifacts import load
from orchestrator.cli.operations import show
from orchestrator.closure.certificate.verifier import verify
from orchestrator.devnet.contracts import OPERATOR, OWNER
from orchestrator.devnet.simulator.chain import encode_call
from orchestrator.devnet.simulator.families import FAMILIES
from orchestrator.models import to_address
from orchestrator.wallet.findings import NOT_CHECKED
from orchestrator.wallet.profile import load_profile
from tests.e2e.wallets import LIVES, activated, events, of, sent
from tests.profile import FULL
from tests.safe import SafeFamily

EXECUTOR = 2
"""ERC-7579's number of that type of module."""
CHECKED = {"profile", "wallet_code", "wallet_address", "wallet_factory", "owner", "closed_state", "account_record"}
NODE = {"finality", "closing_transaction"}
"""What only a node can say, which is not asked here."""


@pytest.fixture(scope="module")
def anvil(wallets):
    return wallets[0]


@pytest.fixture
def contracts(request, wallets, monkeypatch):
    """Those of the family that the test is for."""
    monkeypatch.setitem(FAMILIES, "safe", SafeFamily)
    return wallets[1][request.param]


async def polled(orchestrator, account, state):
    """The wallet in this state, as soon as it is seen: a head that was just read is not read again."""
    for _ in range(500):
        await orchestrator.poll(account)
        seen = (await events(orchestrator, account, "wallet_state_seen"))[-1]
        if seen.state == state:
            return seen
    raise AssertionError(f"not seen to be {state}: {seen}")


@of(*(LIVES if FULL else ["offblocks", "smart-wallet-proxy"]))
async def test_from_creation_to_a_proven_end(orchestrator, devnet, contracts, tmp_path):
    profile = load_profile(contracts.wallet)
    account, wallet = await activated(orchestrator, devnet)
    for operation, status in (("deactivate", "inactive"), ("reactivate", "active")):
        report = await getattr(orchestrator, operation)(account, timeout=60)
        assert (report.outcome, report.status, report.error) == ("done", status, None)
        assert report.not_checked == list(profile.unchecked)
    closed = await orchestrator.close(account, certificate=tmp_path / "closed.json", timeout=60)
    assert (closed.outcome, closed.status, closed.error) == ("done", "closed", None)

    body = (tmp_path / "closed.json").read_bytes()
    told = verify(body)
    assert (told.valid, told.verdict, told.address) == (True, "irreversible", wallet), told.detail
    results = {check.name: check.result for check in told.checks}
    unchecked = {f"not_checked_{name}" for name in profile.unchecked}
    assert {name for name in results if name.startswith("not_checked_")} == unchecked
    beyond = {check.name for check in told.checks if check.result == "skipped" and "(as reported)" not in check.detail}
    assert beyond == unchecked | NODE, "but for what no proof reaches, all is judged again"
    assert "fail" not in results.values()
    assert results.keys() >= CHECKED
    assert told.version == 3
    shown = (await events(orchestrator, account, "wallet_deployed"))[-1]
    assert (shown.profile, list(shown.unchecked)) == (profile.id, list(profile.unchecked))
    assert (await orchestrator.journal.verify()).valid
    console = Console(file=StringIO(), width=80)
    show(console, closed)
    for name in profile.unchecked:
        assert f"  NOT checked  {name}: {NOT_CHECKED[name]}\n" in console.file.getvalue()


@of("safe")
async def test_a_closed_safe_is_reversible_because_its_owner_can_still_sign(orchestrator, devnet, contracts, tmp_path):
    account, _ = await activated(orchestrator, devnet)
    report = await orchestrator.close(account, certificate=tmp_path / "closed.json", timeout=60)
    assert (report.outcome, report.status, report.error.code) == ("operator", "closed", "closure_not_proven")
    assert "got reversible (acting" in report.error.message
    assert f"only who can send from {devnet.programme.owner}" in report.error.message
    assert report.not_checked == list(load_profile("safe").unchecked)
    assert "state" in report.not_checked
    assert not (tmp_path / "closed.json").exists()
    (halted,) = await events(orchestrator, account, "operation_halted")
    assert (halted.code, halted.message) == ("closure_not_proven", report.error.message)


@of("modular")
@pytest.mark.parametrize("installed", [True, False])
async def test_an_executor_that_is_still_installed_can_act_for_a_closed_account(
    orchestrator, devnet, contracts, installed
):
    account, wallet = await activated(orchestrator, devnet)
    module = (await sent(devnet, OWNER, None, "0x" + load("TestExecutor").bytecode.hex()))["contractAddress"]
    for action in ("install",) if installed else ("install", "uninstall"):
        data = encode_call(f"{action}Module(uint256,address,bytes)", EXECUTOR, module, b"")
        await sent(devnet, OWNER, wallet, data)
    report = await orchestrator.close(account, timeout=60)
    if installed:
        assert (report.outcome, report.status, report.error.code) == ("operator", "closed", "closure_not_proven")
        assert "got reversible (acting" in report.error.message
        assert f"only who can send from {to_address(module)}" in report.error.message
    else:
        assert (report.outcome, report.status, report.error) == ("done", "closed", None)


@of("offblocks")
async def test_a_closing_goes_on_in_another_process(orchestrator_settings, devnet, contracts):
    """Where nothing but the platform's word says which wallet it is."""
    async with Orchestrator.open(orchestrator_settings) as first:
        account, wallet = await activated(first, devnet)
        devnet.simulator.fault("drop_after", method="POST", path="/challenge/sign$")
        report = await first.close(account, timeout=0)
        assert report.outcome == "waiting"
    async with Orchestrator.open(orchestrator_settings) as second:
        (report,) = await second.resume(timeout=60)
        assert (report.outcome, report.status, report.error) == ("done", "closed", None)
        assert report.address.endswith(wallet)
        assert len(await events(second, account, "challenge_signed")) == 2
    assert len(devnet.simulator.records()["signatures"]) == 2


@of("offblocks")
async def test_a_reorg_takes_a_suspension_back_of_which_no_event_tells(orchestrator, devnet, contracts, reorg):
    account, wallet = await activated(orchestrator, devnet)
    with devnet.anvil.control.lock:  # no block comes meanwhile, so none becomes final
        await sent(devnet, OPERATOR, wallet, encode_call("pause()"))
        seen = await polled(orchestrator, account, "inactive")
        assert not seen.final
        reorg(1, drop=True)
        assert await polled(orchestrator, account, "active")
    (withdrawn,) = await events(orchestrator, account, "chain_facts_withdrawn")
    assert (withdrawn.block, withdrawn.was_final) == (seen.block, False)
    assert (await orchestrator.close(account, timeout=60)).outcome == "done"


@of("offblocks")
async def test_two_accounts_of_one_owner_have_their_own_wallets(orchestrator, devnet, contracts):
    first, one = await activated(orchestrator, devnet)
    second, other = await activated(orchestrator, devnet)
    assert one != other
    assert (await orchestrator.close(first, timeout=60)).outcome == "done"
    report = await orchestrator.deactivate(second, timeout=60)
    assert (report.outcome, report.status, report.address.endswith(other)) == ("done", "inactive", True)
    for account, wallet in ((first, one), (second, other)):
        assert {event.wallet for event in await events(orchestrator, account, "wallet_deployed")} == {wallet}
