"""The calls that are tried blindly: bounded, and each with a place in what the account knows."""

from __future__ import annotations

from orchestrator.chain.examination.sweep import GAS_LIMITS, MOST, SWEEP_GAS, starved, sweep
from orchestrator.chain.examination.trace import GAS
from orchestrator.closure.evm.facts import AccountFacts, Authority, Finding
from orchestrator.closure.witness.call import CALLER
from tests.closure.cases.assembler import assemble

OWNER = 0xF39FD6E51AAD88F6F4CE6AB8827279CFFFB92266
ACCOUNT = 0x5FBDB2315678AFECB367F032D93F642F64180AA3
FINDING = Finding(ACCOUNT, 0, "SSTORE", ())
QUESTION = Authority("isValidSignature(bytes32,bytes)", 0x1626BA7E, ())
CODE = assemble("0 CALLDATALOAD 224 SHR PUSH4:0x11223344 EQ POP PUSH4:0x55667788 POP STOP #6355")


def test_selectors_and_senders_are_what_the_account_knows():
    attempts = sweep(AccountFacts(ACCOUNT, CODE, {0: OWNER << 8 | 3, 1: 7}), [FINDING])
    selectors = {attempt.call.calldata[:4].hex() for attempt in attempts}
    assert {"11223344", "55667788"} <= selectors
    assert {CALLER, OWNER} <= {attempt.call.sender for attempt in attempts}
    assert {attempt.gas for attempt in attempts} == {SWEEP_GAS}
    assert len(attempts) <= MOST


def test_whoever_the_account_knows_is_tried_as_an_executor_module():
    """ERC-7579's ``executeFromExecutor(bytes32,bytes)``: a mode, and a call that is packed into bytes."""
    attempts = sweep(AccountFacts(ACCOUNT, CODE, {0: OWNER << 8 | 3}), [FINDING])
    data = {attempt.call.calldata[4:] for attempt in attempts if attempt.call.sender == OWNER}
    packed = CALLER.to_bytes(20, "big") + bytes(32)
    assert any(one[:96] == bytes(63) + b"\x40" + bytes(31) + b"\x34" and one[96:148] == packed for one in data)


def test_code_that_calls_came_to_is_searched_too():
    attempts = sweep(AccountFacts(ACCOUNT, b"\0"), [FINDING], [assemble("PUSH4:0xaabbccdd STOP")])
    assert any(attempt.call.calldata[:4].hex() == "aabbccdd" for attempt in attempts)


def test_questions_come_first_and_keep_their_selector():
    attempts = sweep(AccountFacts(ACCOUNT, CODE), [FINDING, QUESTION])
    asked = [attempt for attempt in attempts if attempt.target is QUESTION]
    assert attempts[: len(asked)] == asked
    assert {attempt.call.calldata[:4].hex() for attempt in asked} == {"1626ba7e"}


def test_a_sweep_is_bounded():
    many = b"".join(b"\x63" + (0x11000000 + index).to_bytes(4, "big") for index in range(2000))
    assert len(sweep(AccountFacts(ACCOUNT, many), [FINDING, QUESTION])) == MOST


def test_starved_calls_try_each_limit_for_all_before_the_next():
    two = sweep(AccountFacts(ACCOUNT, CODE), [FINDING])[:2]
    poor = starved(two)
    assert [attempt.gas for attempt in poor[:2]] == [GAS_LIMITS[0]] * 2
    assert len(poor) == 2 * len(GAS_LIMITS)
    assert max(attempt.gas for attempt in poor) < GAS
