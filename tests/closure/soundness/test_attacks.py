"""Attacks on the analysis that once succeeded, or cost far too much: each with the program that did it."""

from __future__ import annotations

import pytest

from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import AccountFacts, Analysis

from .asm import code

ACCOUNT = 0xACC0 << 128
TARGET, OTHER = 0x70000000000000000001, 0x70000000000000000002
DELEGATE = f"0 0 0 0 {TARGET} GAS DELEGATECALL STOP"


def judge(text: str, codes: dict[int, str] | None = None, **more) -> Analysis:
    targets = {address: code(other) for address, other in (codes or {}).items()}
    return analyse(AccountFacts(ACCOUNT, code(text), {}, targets, complete=True, **more))


def test_a_question_is_asked_to_the_end_even_where_it_seems_to_act() -> None:
    """With its selector fixed a question may find a false act early; the true yes lies behind a long loop."""
    analysis = judge(
        "CALLVALUE @sp JUMPI 0 l: "
        + "1 POP " * 60
        + "1 ADD DUP1 170 GT @l JUMPI POP 0 CALLDATALOAD 224 SHR 0x1626ba7e EQ @yes JUMPI STOP "
        "yes: 0x1626ba7e 224 SHL 0 MSTORE 32 0 RETURN "
        "sp: 32 0 CALLDATALOAD 216 SHR 0x1626ba7e 8 SHL XOR 0 CODECOPY 0 MLOAD 1 AND 4 SHL "
        "place: 16 LT @act JUMPI STOP act: 1 0 SSTORE STOP"
    )
    assert analysis.result != "inert" or [a.selector for a in analysis.authority] == [0x1626BA7E]


def test_a_call_to_itself_opens_what_only_itself_may() -> None:
    for locked in ("", "2 0 SSTORE "):
        analysis = judge(
            f"CALLER ADDRESS EQ @own JUMPI {locked}0 0 0 0 0 ADDRESS GAS CALL POP 0 SLOAD 3 EQ @on JUMPI 0 0 REVERT "
            "on: STOP own: 3 0 SSTORE STOP"
        )
        assert analysis.result == "acting"


TAKEN_AWAY = {
    "a target's lock is no lock of the account": (
        {
            TARGET: "0 CALLDATALOAD DUP1 1 EQ @three JUMPI 0 SLOAD 2 EQ @on JUMPI STOP three: 3 0 SSTORE STOP "
            "on: 2 0 SSTORE 0 0 0 0 0 32 CALLDATALOAD GAS CALL POP 0 SLOAD 2 EQ @same JUMPI CALLER SELFDESTRUCT "
            "same: STOP"
        }
    ),
    "a target's own target": (
        {
            TARGET: f"0 SLOAD @on JUMPI STOP on: 0 0 0 0 {OTHER} GAS DELEGATECALL STOP",
            OTHER: f"ADDRESS {OTHER} EQ @gone JUMPI STOP gone: CALLER SELFDESTRUCT",
        }
    ),
}


@pytest.mark.parametrize("attack", TAKEN_AWAY)
def test_code_that_may_be_taken_away(attack: str) -> None:
    analysis = judge(DELEGATE, TAKEN_AWAY[attack], permanent=False)
    assert (analysis.result, analysis.reason) == ("undecided", "impermanent_target")
    assert judge(DELEGATE, TAKEN_AWAY[attack], permanent=True).result in ("inert", "acting")


def test_a_write_that_a_frame_made_after_an_act_has_a_place() -> None:
    analysis = analyse(
        AccountFacts(
            ACCOUNT,
            bytes.fromhex(
                "346100245760015f35555f5f5f5f69700000000000000000015af4610022575f5ffd5b005b5f5f5f5f"
                "69700000000000000000025af4505f5f5f5f69700000000000000000015af4505f5ffd"
            ),
            {},
            {TARGET: bytes.fromhex("365000")},
            complete=True,
        )
    )
    assert analysis.result == "acting"


DEEP = bytes.fromhex(
    "366020146100225760205f535f5f5f5f3350505050505f5f525f5f60205f305af4005b5f358060f81c600a11156100aa5760f81c6001015f"
    "535f5f60205f305af4610048575f5ffd5b5f5f60205f305af4610058575f5ffd5b5f5f60205f305af4610068575f5ffd5b5f5f60205f305a"
    "f4610078575f5ffd5b5f5f60205f305af4610088575f5ffd5b5f5f60205f305af4610098575f5ffd5b5f5f60205f305af46100a8575f5ffd"
    "5b005b346100b157005b00"
)
COSTLY = {
    "trails that double at every frame": DEEP,
    "writes to many slots": code("0 k: " + "DUP1 DUP1 SSTORE 1 ADD " * 200 + "@k JUMP"),
    "memory of many unknowns": code("0 k: " + "CALLER DUP2 MSTORE CALLVALUE POP 1 MLOAD POP 32 ADD " * 200 + "@k JUMP"),
    "many negations": code("GAS ISZERO ISZERO @y JUMPI " * 3000 + "y: STOP"),
    "a stack that grows": code("0 k: GAS @k JUMPI GAS GAS @k JUMP"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("attack", COSTLY)
def test_it_ends(attack: str) -> None:
    """Each of these took half a minute or more, or all memory; now a second at most."""
    analysis = analyse(AccountFacts(ACCOUNT, COSTLY[attack], complete=True))
    assert analysis.reason in ("inert", "acting", "step_limit", "state_limit")
