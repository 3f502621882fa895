"""Every contract case on a real Anvil, through the whole examination: verdict, reason, and the witness executed.

``tests/closure/test_cases.py`` asks the analysis alone. Here proofs are made and verified, targets are found and
proven, witnesses are searched and tried. Every twentieth case of some configurations by default; all of these, and
every third of the others, in the full profile.
"""

from __future__ import annotations

import logging

import pytest

from orchestrator.chain.examination.examiner import examine
from orchestrator.chain.node.rpc import Rpc
from orchestrator.closure.certificate.rerun import rerun
from orchestrator.closure.verdict import Examination
from orchestrator.devnet.anvil import Anvil
from orchestrator.models import checksum
from tests.closure.cases import adversaries, honest
from tests.closure.cases.case import CONFIGURATIONS, NUMBER, TIMESTAMP, Built, load
from tests.profile import FULL

SOME = ("solc-0.8.37-optimized", "vyper-gas", "raw")
CASES = {case.name: case for case in (*honest.CASES, *honest.LIMITS, *adversaries.CASES)}


@pytest.fixture(autouse=True)
def no_defects(caplog):
    """A defect ends as a verdict, and must be seen here all the same."""
    with caplog.at_level(logging.DEBUG, "orchestrator.chain.examination.examiner"):
        yield
    assert [record for record in caplog.records if record.name == "orchestrator.chain.examination.examiner"] == []


@pytest.fixture(scope="module")
def node():
    """One node, at the time and number that the cases were built at, taken back to that after each case."""
    with Anvil(chain_id=1, states=1_000_000) as anvil:
        anvil.rpc_sync("anvil_mine", hex(NUMBER))
        anvil.rpc_sync("evm_setNextBlockTimestamp", hex(TIMESTAMP + 60))
        anvil.rpc_sync("anvil_mine", "0x1")
        yield anvil


async def placed(rpc: Rpc, built: Built) -> None:
    """The case's accounts on the node, in the finalized block."""
    calls = []
    for number, account in built.accounts.items():
        address = checksum(f"{number:040x}")
        calls.append(("anvil_setCode", [address, "0x" + account.code.hex()]))
        calls.append(("anvil_setBalance", [address, hex(account.balance)]))
        calls.append(("anvil_setNonce", [address, hex(max(account.nonce, 1))]))
        calls += [
            ("anvil_setStorageAt", [address, f"0x{slot:064x}", f"0x{value:064x}"])
            for slot, value in account.storage.items()
        ]
    for result in await rpc.batch([*calls, ("anvil_mine", ["0x3"])]):
        rpc.demand(result)


UNSHOWN = {
    "adversary_coinbase_caller",  # the block's proposer is not overridden
    "adversary_precompile",  # needs the number 42 in what a precompile answers
    "adversary_diamond",  # its facets' selectors are in nobody's code that a failing call comes to
    "adversary_self_call",  # the call to itself must carry the right call of its own
    "adversary_return_bomb",  # needs a helper with an answer of 100 kB
    "adversary_raw_calldatacopy_unknown_place",
    "adversary_raw_caller_ends_in_zero",
    "adversary_raw_caller_is_like_the_account",
    "adversary_raw_hash_of_overwritten",
    "adversary_raw_loop_clears_memory",
    "adversary_raw_loop_doubles_pointer",
    "adversary_raw_loop_in_loop",
    "adversary_raw_mstore8_unknown_place",
}
"""Adversaries that act, and whose witness the search does not find: ``inconclusive``, where ``reversible`` is true."""
IDLE = {"adversary_beacon_proxy", "adversary_empty_target"}
"""Adversaries that act once others put code there, and of which nothing comes before that."""
LIMITS = {case.name for case in honest.LIMITS}


@pytest.mark.parametrize(
    ("name", "configuration"),
    [
        pytest.param(name, configuration, id=f"{name}-{configuration}")
        for configuration in (CONFIGURATIONS if FULL else SOME)
        for name in sorted(load(configuration))[:: (1 if configuration in SOME else 3) if FULL else 20]
    ],
)
async def test_a_case_on_a_node(node, name, configuration):
    case, built = CASES[name], load(configuration)[name]
    snapshot = await node.snapshot()
    try:
        async with Rpc(node.url, timeout=60) as rpc:
            await placed(rpc, built)
            found = await examine(rpc, checksum(f"{built.address:040x}"))
    finally:
        await node.revert(snapshot)
    verdict = found.verdict
    assert verdict.analysis == case.analysis, (verdict.reason, verdict.detail)
    shown = verdict.witness is not None and verdict.witness.confirmed
    if name in UNSHOWN or name in LIMITS:
        assert verdict.verdict == ("reversible" if shown else "inconclusive")
        return
    if name in IDLE:
        assert (verdict.verdict, verdict.reason, shown) == ("inconclusive", "delegate_idle", False)
        return
    assert verdict.verdict == case.verdict, (verdict.reason, verdict.detail)
    if case.confirmed is not None:
        assert shown is case.confirmed, verdict.witness
    if case.verdict == "irreversible":
        assert found.evidence is not None
        assert judged_again(found) == "irreversible"


def judged_again(found: Examination) -> str:
    """The verdict that follows from the evidence alone, as a verifier of a certificate has it."""
    assert found.evidence is not None
    assert found.verdict.block is not None
    return rerun(found.evidence, found.verdict.block).verdict.verdict
