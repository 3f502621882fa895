"""Amsterdam's instructions: as another EVM has them, undefined before that fork, and the rules they come under."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.closure.evm.amsterdam import pair, single
from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import AccountFacts, Analysis, Limits
from orchestrator.closure.evm.frame import run_frame
from orchestrator.closure.evm.machine import Exhausted, Inputs, Machine
from orchestrator.closure.evm.path import Storage
from tests.profile import FULL, full_only

from . import amsterdam
from .asm import code
from .world import SUBJECT

RECORDED = json.loads(amsterdam.RECORDED.read_text())
ACT = "1 0 SSTORE STOP"
UNDEFINED = "undefined_opcode"


def facts(program: bytes, *, later: bool = True) -> AccountFacts:
    return AccountFacts(SUBJECT, program, complete=True, amsterdam=later)


def judge(text: str, *, later: bool = True) -> Analysis:
    return analyse(facts(code(text), later=later))


def outcome(program: bytes, *, later: bool = True) -> str:
    """What the analysis says that a program without input gives: what it returns, ``halt``, or why it cannot say."""
    machine = Machine(facts(program, later=later), Inputs.anything(SUBJECT), Limits())
    parsed = machine.parsed(SUBJECT, program)
    with contextlib.suppress(Exhausted):
        run_frame(machine, parsed, machine.inputs.calldata, Storage(), 0)
    ends = machine.outermost
    if machine.undecided is not None:
        return machine.undecided[0]
    if not ends:
        return "halt"
    (end,) = ends
    values, known = end.returned.piece(0, 32) if end.returned.size else (b"", b"")
    if known != b"\xff" * len(values):
        return "unknown"
    return hex(int.from_bytes(values, "big")) if values else "0x"


@pytest.mark.parametrize("name", amsterdam.DEPTHS)
def test_every_immediate_is_as_in_another_evm(name: str) -> None:
    decode = pair if name == "EXCHANGE" else single
    tried = range(256) if FULL or name == "EXCHANGE" else [*range(0, 256, 7), 90, 91, 127, 128, 255]
    for immediate in tried:
        expected = RECORDED["amsterdam"][name][immediate]
        undefined = decode(immediate) is None
        assert undefined == (expected == "halt"), "in the other EVM an immediate without a meaning halts"
        assert outcome(amsterdam.folded(name, immediate)) == (UNDEFINED if undefined else expected), hex(immediate)


def test_the_depths_are_all_those_of_the_eip() -> None:
    singles = [single(n) for n in range(256) if single(n) is not None]
    assert sorted(singles) == list(range(17, 236))
    pairs = [pair(n) for n in range(256) if pair(n) is not None]
    assert sorted(pairs) == [(n, m) for n in range(1, 15) for m in range(n + 1, 31 - n)]


@pytest.mark.parametrize("name", amsterdam.SINGLE)
def test_a_program_is_as_in_another_evm(name: str) -> None:
    program = amsterdam.single(name)
    for fork, later in (("amsterdam", True), ("osaka", False)):
        expected = RECORDED[fork]["single"][name]
        found = outcome(program, later=later)
        if name == "SLOTNUM" and later:
            assert (expected, found) == (hex(amsterdam.SLOT), "unknown"), "another block has another slot"
        elif found == UNDEFINED:
            assert expected == "halt"
            assert not later or name == "a PUSH in an immediate hides what follows"
        else:
            assert found == expected, fork


def test_before_the_fork_they_are_undefined() -> None:
    for text in ('x"4b"', "1 " * 20 + 'x"e680"', "1 " * 20 + 'x"e780"', '1 2 3 x"e88e"'):
        assert judge(text).result == "inert"
        before = judge(text, later=False)
        assert (before.result, before.reason) == ("undecided", UNDEFINED)
        assert "the undefined opcode 0x" in before.detail


@pytest.mark.parametrize("opcode", ["e65b", "e660", "e67f", "e75b", "e852", "e85b", "e87f"])
def test_an_immediate_without_a_meaning_is_undefined(opcode: str) -> None:
    """It halts today, and for ever must not rest on it."""
    reached = judge("1 " * 40 + f'x"{opcode}" 1 0 SSTORE')
    assert (reached.result, reached.reason) == ("undecided", UNDEFINED)
    assert f"an undefined immediate, {opcode} at program counter 80" in reached.detail
    assert judge(f'STOP x"{opcode}"').result == "inert", "not reached"


DEEP = "0 " * 16
RULES = {
    "a slot number that opens later": (f'x"4b" 1000 LT @act JUMPI STOP act: {ACT}', "acting"),
    "a slot number is not the proven block's": (f'x"4b" {amsterdam.SLOT} EQ @stop JUMPI {ACT} stop: STOP', "acting"),
    "a guard that is copied is the same word": (
        f'0 CALLDATALOAD {DEEP} x"e680" @stop JUMPI x"e680" @act JUMPI STOP stop: STOP act: {ACT}', "inert"),
    "a guard that is copied may be true": (f'0 CALLDATALOAD {DEEP} x"e680" @act JUMPI STOP act: {ACT}', "acting"),
    "a guard that is brought up": (f'0 {DEEP} 7 x"e780" @act JUMPI STOP act: {ACT}', "inert"),
    "another word that is brought up": (f'0 CALLDATALOAD {DEEP} 7 x"e780" @act JUMPI STOP act: {ACT}', "acting"),
    "what was on top goes down": (
        f'0 CALLDATALOAD {DEEP} 0 x"e780" POP {"POP " * 16} @act JUMPI STOP act: {ACT}', "inert"),
    "two words are exchanged below the top": (
        f'0 CALLDATALOAD 0 9 x"e88e" POP POP @act JUMPI STOP act: {ACT}', "inert"),
    "two words are exchanged, and the top is not": (
        f'0 0 CALLDATALOAD 9 x"e88e" POP POP @act JUMPI STOP act: {ACT}', "acting"),
    "a failing DUPN undoes its frame": (f'1 0 SSTORE {DEEP} x"e680"', "inert"),
    "a failing SWAPN undoes its frame": (f'1 0 SSTORE {DEEP} 0 x"e780"', "inert"),
    "a failing EXCHANGE undoes its frame": ('1 0 SSTORE 0 0 x"e88e"', "inert"),
    "SELFDESTRUCT acts": ("0xbeef SELFDESTRUCT", "acting"),
    "the last bytes of 64 KiB": (f'0xfff9 JUMP x"{"00" * 65525}5b600160005500"', "acting"),
    "64 KiB that a guard keeps shut": (f'0 @deep JUMPI 0 0 REVERT x"{"5b" * 65520}" deep: {ACT}', "inert"),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_a_rule(name: str) -> None:
    text, result = RULES[name]
    assert judge(text).result == result


def test_64_kib_are_followed_in_one_analysis() -> None:
    """The greatest code that Amsterdam deploys (EIP-7954), each of its instructions executed."""
    found = judge("CALLVALUE POP " * 32767 + "STOP")
    assert (found.result, found.steps >= 65535) == ("inert", True)


def test_what_another_evm_says_of_sizes_and_of_code_that_stays() -> None:
    """EIP-7954's limit; and by EIP-6780 with EIP-8246 an account that was there before keeps its code."""
    assert RECORDED["amsterdam"]["deployed"] == {"65536 bytes": 65536, "65537 bytes": "halt"}
    assert RECORDED["amsterdam"]["all kept their code"]


@full_only("npm's packages, and 5 s")
def test_the_record_is_what_the_other_evm_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.closure.soundness.amsterdam", "--check"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
