# ruff: noqa: E501  (a program is one line)
"""Each rule that the proof rests on, named, with the smallest program that shows it: what is said, and that it is so.

A rule that makes a program acting is shown to be needed: the real EVM does what the analysis says it may.
"""

from __future__ import annotations

import pytest
from eth_hash.auto import keccak
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.buffer import LIMIT, Data
from orchestrator.closure.evm.facts import AccountFacts, Analysis, Limits
from orchestrator.closure.evm.machine import DEPTH, STUBS
from orchestrator.closure.evm.questions import QUESTIONS, Question
from orchestrator.closure.evm.words import ONES

from .asm import code
from .harness import opens
from .programs import EMPTY_TARGET, TARGETS
from .world import ATTACKERS, SENDERS, SUBJECT, RealCall, Seen, World, entry

A, B, C = TARGETS
NOBODY = EMPTY_TARGET
MAGIC = "0x1626ba7e 224 SHL"
ACT = "1 0 SSTORE STOP"
ECHO = "CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 RETURN"


def judge(
    text: str | bytes, storage: dict[int, int] | None = None, codes: dict[int, str] | None = None, **more
) -> Analysis:
    program = code(text) if isinstance(text, str) else text
    targets = {address: code(other) if isinstance(other, str) else other for address, other in (codes or {}).items()}
    facts = {"complete": True} | more
    return analyse(AccountFacts(SUBJECT, program, storage or {}, targets, **facts))


def really(
    text: str, storage: dict[int, int] | None = None, codes: dict[int, str] | None = None, data: bytes = b"", **more
) -> Seen:
    """The real EVM, called by somebody (or by an attacker, with ``to``)."""
    world = World(code(text), storage or {}, {address: code(other) for address, other in (codes or {}).items()})
    return world.call(RealCall(SENDERS[0], more.pop("to", SUBJECT), data, **more))


def questions(analysis: Analysis) -> set[int]:
    return {authority.selector for authority in analysis.authority}


# --- what is known -----------------------------------------------------------------------------------------------------

INERT = {
    "a proven slot is known": ("0 SLOAD @act JUMPI STOP act: 1 0 SSTORE", {}),
    "a proven slot's bits are known": ("0 SLOAD 8 SHR 255 AND @act JUMPI STOP act: 1 0 SSTORE STOP", {0: 0xFF00FF}),
    "the address is known": (f"ADDRESS {SUBJECT} XOR @act JUMPI STOP act: {ACT}", {}),
    "the code's size is known": (f"CODESIZE 200 LT @act JUMPI STOP act: {ACT}", {}),
    "the program counter is known": (f"PC @act JUMPI STOP act: {ACT}", {}),
    "the code is known": (f"1 0 0 CODECOPY 0 MLOAD 248 SHR 0x60 XOR @act JUMPI STOP act: {ACT}", {}),
    "the code ends in zeros": (f"32 4000 0 CODECOPY 0 MLOAD @act JUMPI STOP act: {ACT}", {}),
    "the hash of known bytes is known": (
        f"1 0 MSTORE 32 0 KECCAK256 0xb10e2d527612073b26eecdfd717e6a320cf44b4afac2b0732d9fcbe2b7fa0cf6 XOR @act JUMPI STOP act: {ACT}", {}),
    "the hash of nothing is known": (
        f"0 CALLDATALOAD 0 MSTORE 0 0 KECCAK256 0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470 XOR @act JUMPI STOP act: {ACT}", {}),
    "no caller is 0": (f"CALLER ISZERO @act JUMPI STOP act: {ACT}", {}),
    "nobody is owner 0": (f"0 SLOAD CALLER EQ @act JUMPI STOP act: {ACT}", {}),
    "only itself, and it calls nobody": (f"ADDRESS CALLER EQ @act JUMPI STOP act: {ACT}", {}),
    "fresh memory is zero": (f"7 MLOAD @act JUMPI STOP act: {ACT}", {}),
    "memory is kept by bytes": (f"1 0 MSTORE8 0 CALLDATALOAD 1 MSTORE 0 MLOAD 248 SHR 1 XOR @act JUMPI STOP act: {ACT}", {}),
    "known bits stay": (f"0 CALLDATALOAD 255 AND 256 EQ @act JUMPI STOP act: {ACT}", {}),
    "a frame that fails does nothing": ("1 0 SSTORE 0 0 0 0 0 CALLER GAS CALL 0 0 REVERT", {}),
    "INVALID fails": ("1 0 SSTORE INVALID", {}),
    "an empty stack fails": ("1 0 SSTORE POP", {}),
    "a full stack fails": ("1 0 SSTORE" + 1025 * " 1", {}),
    "an empty stack fails for a DUP and a SWAP": ("1 0 SSTORE @dup JUMP swap: 1 SWAP1 STOP dup: CALLVALUE @swap JUMPI DUP1", {}),
    "a jump into a PUSH fails": ('1 0 SSTORE 6 JUMP x"605b" STOP', {}),
    "a jump behind the code fails": ("1 0 SSTORE 4000 JUMP", {}),
    "a jump to no JUMPDEST fails": ("1 0 SSTORE 0 JUMP", {}),
    "what is known to be beyond the return data fails": ("1 0 SSTORE 1 0 0 RETURNDATACOPY", {}),
    "the same value changes nothing": ("0 SLOAD 0 SSTORE 7 3 SSTORE", {3: 7}),
    "a lock that is opened again changes nothing": ("2 0 SSTORE 0 0 0 0 CALLER GAS STATICCALL POP 1 0 SSTORE", {0: 1}),
    "a log changes nothing": ("0 0 LOG0", {}),
    "transient storage changes nothing": ("1 0 TSTORE", {}),
    "a static call changes nothing": ("0 0 0 0 CALLER GAS STATICCALL POP", {}),
    "the code's end is a STOP": ("1", {}),
    "a PUSH that the end cuts short is filled with zeros": ('x"61"', {}),
    "a loop that calldata bounds ends": ("0 top: 1 ADD DUP1 36 CALLDATALOAD GT @top JUMPI", {}),
    "x mod n is one of n": (
        f"3 0 CALLDATALOAD MOD DUP1 2 LT @act JUMPI DUP1 3 EQ @act JUMPI STOP act: {ACT}", {}),
    "the hash of one known byte is known": (
        "1 0 KECCAK256 0xbc36789e7a1e281436464229828f817d6612f7b477d66591ff96a9e064bcc98a XOR @act JUMPI STOP act: 1 0 SSTORE", {}),
    "the hash of nothing is known, wherever it is": (
        f"0 0 CALLDATALOAD KECCAK256 0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470 XOR @act JUMPI STOP act: {ACT}", {}),
    "the hash of much is known": (f"{LIMIT} 0 KECCAK256 {int.from_bytes(keccak(bytes(LIMIT)))} XOR @act JUMPI STOP act: {ACT}", {}),
    "a hash is none of the first slots": (
        "1 CALLER 0 MSTORE 32 0 KECCAK256 SSTORE 0xffffffffffffffff SLOAD @on JUMPI 0 0 REVERT on: STOP", {}),
    "a static call writes its output and nothing else": (
        f"5 64 MSTORE 6 0 MSTORE 32 32 32 0 99 GAS STATICCALL POP 64 MLOAD 5 XOR @act JUMPI 0 MLOAD 6 XOR @act JUMPI STOP act: {ACT}", {}),
    "a creation, then a guard": ("0 0 0 CREATE POP 0 SLOAD @on JUMPI 0 0 REVERT on: STOP", {}),
    "a DUP of an ISZERO's ISZERO": (
        f"0 CALLDATALOAD DUP1 ISZERO ISZERO @end JUMPI @act JUMPI STOP end: POP STOP act: {ACT}", {}),
    "nothing was returned yet": (f"RETURNDATASIZE @act JUMPI STOP act: {ACT}", {}),
    "a known loop is executed as it is": (f"0 top: 1 ADD DUP1 300 GT @top JUMPI 300 XOR @act JUMPI STOP act: {ACT}", {}),
    "a loop without an end has none": ("0 top: 1 ADD @top JUMP", {}),
    "what few ways bring is kept apart": (
        f"0 CALLDATALOAD @a JUMPI 5 @j JUMP a: 6 @j JUMP j: DUP1 5 EQ @end JUMPI 6 XOR @act JUMPI end: STOP act: {ACT}", {}),
    "a loop's many writes, and the last one back": (
        "0 top: 1 ADD DUP1 0 SSTORE DUP1 0 CALLDATALOAD GT @top JUMPI 0 0 SSTORE STOP", {}),
    "return addresses are told apart": (
        "".join(f"{n} CALLDATALOAD @x{n} JUMPI x{n}: @r{n} @f JUMP r{n}: " for n in range(40)) + "STOP f: JUMP", {}),
    "a jump to one of a few": (
        '0 CALLDATALOAD 1 AND 4 MUL @a ADD JUMP 1 0 SSTORE STOP a: STOP x"0000" b: STOP', {}),
    "a jump to one of a few, if": (
        '0 CALLDATALOAD DUP1 1 AND 4 MUL @a ADD JUMPI STOP x"00" act: 1 0 SSTORE a: STOP x"0000" b: STOP', {}),
    "what was shown to be no 0 is none": (
        f"0 CALLDATALOAD DUP1 @on JUMPI STOP on: 5 XOR 5 EQ @act JUMPI STOP act: {ACT}", {}),
    "a call under a lock, then a guard": (
        "0 SLOAD @locked JUMPI 1 0 SSTORE 0 0 0 0 0 CALLER GAS CALL POP 1 SLOAD @on JUMPI 0 0 REVERT on: STOP locked: 0 0 REVERT", {}),
    "a call, then a guard": ("0 0 0 0 0 99 GAS CALL POP 0 SLOAD @closed JUMPI STOP closed: 0 0 REVERT", {0: 1}),
}  # fmt: skip


@pytest.mark.parametrize("rule", INERT)
def test_it_is_inert_since(rule: str) -> None:
    text, storage = INERT[rule]
    analysis = judge(text, storage)
    assert (analysis.result, analysis.findings) == ("inert", ()), analysis.detail
    for data in (b"", bytes(64), b"\xff" * 64):
        assert really(text, storage, data=data).effects == ()


# --- what acts, and who shows it -----------------------------------------------------------------------------------------

WORD = (1).to_bytes(32, "big")
WORK = "0 work: 1 ADD" + " PC POP" * 20 + " DUP1 500 GT @work JUMPI POP"
"""More instructions than are still executed once an acting one is found."""
ACTING: dict[str, tuple] = {
    "a write": (ACT, {}, {}, b"", "SSTORE"),
    "what a branch has shown to be true is 1": (
        f"0 CALLDATALOAD ISZERO DUP1 @on JUMPI STOP on: 1 EQ @act JUMPI STOP act: {ACT}", {}, {}, b"", "SSTORE"),
    "of a loop's return data the least size is known": (
        "40 top: 1 SWAP1 SUB 0 0 DUP3 32 MUL 0 A GAS DELEGATECALL POP RETURNDATASIZE 500 GT @act JUMPI "
        f"DUP1 CALLDATALOAD @top JUMPI STOP act: {ACT}".replace(" A ", f" {A} "), {}, {A: ECHO}, b"\xff" * 100, "SSTORE"),
    "a loop's writes of two slots": (
        "0 top: 1 ADD DUP1 9 LT @far JUMPI DUP1 0 SSTORE @on JUMP far: 1 1 SSTORE 0 0 SSTORE on: DUP1 CALLDATALOAD @top JUMPI 0 0 SSTORE STOP", {}, {}, b"\xff" * 14, "SSTORE"),
    "a write of what calldata says": ("0 CALLDATALOAD 0 SSTORE", {}, {}, WORD, "SSTORE"),
    "a write where calldata says": ("1 0 CALLDATALOAD SSTORE", {}, {}, WORD, "SSTORE"),
    "a write of another value": ("8 3 SSTORE", {3: 7}, {}, b"", "SSTORE"),
    "a lock that stays": ("2 0 SSTORE", {0: 1}, {}, b"", "SSTORE"),
    "a second slot": ("2 0 SSTORE 5 1 SSTORE 1 0 SSTORE", {0: 1}, {}, b"", "SSTORE"),
    "a creation": ("0 0 0 CREATE", {}, {}, b"", "CREATE"),
    "a creation by salt": ("0 0 0 0 CREATE2", {}, {}, b"", "CREATE2"),
    "a creation that fails": ("0xfe 0 MSTORE8 1 0 0 CREATE", {}, {}, b"", ""),
    "long calldata only": (f"10000 CALLDATASIZE GT @act JUMPI STOP act: {ACT}", {}, {}, bytes(10001), "SSTORE"),
    "no calldata only": (f"CALLDATASIZE @end JUMPI {ACT} end: STOP", {}, {}, b"", "SSTORE"),
    "behind a loop": ("0 top: 1 ADD DUP1 0 CALLDATALOAD GT @top JUMPI 3 EQ @act JUMPI STOP act: 1 0 SSTORE", {}, {}, (3).to_bytes(32, "big"), "SSTORE"),
    "a table at x & m": (
        "2 1 0 CALLDATALOAD AND 3 MUL @table ADD 1 ADD 30 CODECOPY 0 MLOAD JUMP a: STOP b: 1 0 SSTORE STOP table:: @a @b", {}, {}, WORD, "SSTORE"),
    "a computed jump": ("@act 5 ADD 5 SWAP1 SUB JUMP act: 1 0 SSTORE", {}, {}, b"", "SSTORE"),
    "a delegate target that is known": (f"0 0 0 0 {A} GAS DELEGATECALL", {}, {A: ACT}, b"", "SSTORE"),
    "a delegate target in a slot": ("0 0 0 0 5 SLOAD GAS DELEGATECALL", {5: A}, {A: ACT}, b"", "SSTORE"),
    "the address bits of a slot": ("0 0 0 0 5 SLOAD GAS DELEGATECALL", {5: A | 1 << 160}, {A: ACT}, b"", "SSTORE"),
    "two targets deep": (f"0 0 0 0 {A} GAS DELEGATECALL", {}, {A: f"0 0 0 0 {B} GAS DELEGATECALL", B: ACT}, b"", "SSTORE"),
    "a target in the account's own code": (f"CALLDATASIZE @act JUMPI 0 0 32 0 ADDRESS GAS DELEGATECALL STOP act: {ACT}", {}, {}, b"", "SSTORE"),
    "known calldata through a delegate call": (
        f"7 0 MSTORE 0 0 32 0 {A} GAS DELEGATECALL", {}, {A: f"0 CALLDATALOAD 7 EQ @act JUMPI STOP act: {ACT}"}, b"", "SSTORE"),
    "return data of a delegate call": (
        f"32 0 0 0 {A} GAS DELEGATECALL POP 0 MLOAD 7 EQ @act JUMPI STOP act: {ACT}", {}, {A: "7 0 MSTORE 32 0 RETURN"}, b"", "SSTORE"),
    "a delegate call that fails": (
        f"0 0 0 0 {A} 9 GAS DIV DELEGATECALL @end JUMPI {ACT} end: STOP", {}, {A: "9 40000 MSTORE STOP"}, b"", "SSTORE"),
    "past a target that fails": (f"0 0 0 0 {A} GAS DELEGATECALL ISZERO @act JUMPI STOP act: {ACT}", {}, {A: "5 0 SSTORE 0 0 REVERT"}, b"", "SSTORE"),
    "a delegate call's output, where it succeeds": (
        f"32 0 0 0 {A} GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: 0 MLOAD 7 EQ @act JUMPI STOP act: {ACT}", {}, {A: "7 0 MSTORE 32 0 RETURN"}, b"", "SSTORE"),
    "what lies behind a short output": (
        f"5 32 MSTORE 64 0 0 0 {A} GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: 32 MLOAD 5 EQ @act JUMPI STOP act: {ACT}", {}, {A: "32 0 RETURN"}, b"", "SSTORE"),
    "what lies behind the room for a long output": (
        f"5 32 MSTORE 32 0 0 0 {A} GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: 32 MLOAD 5 EQ @act JUMPI STOP act: {ACT}", {}, {A: "64 0 RETURN"}, b"", "SSTORE"),
    "an output of unknown room": (
        f"CALLDATASIZE 0 0 0 {A} GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: 0 MLOAD 7 EQ @act JUMPI STOP act: {ACT}", {}, {A: "7 0 MSTORE 32 0 RETURN"}, bytes(40), "SSTORE"),
    "an output of unknown size": (
        f"32 0 0 0 {A} GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: 0 MLOAD 7 EQ @act JUMPI STOP act: {ACT}", {}, {A: "7 0 MSTORE GAS 1023 AND 0 RETURN"}, b"", "SSTORE"),
    "a success is 1": (f"0 0 0 0 {A} GAS DELEGATECALL 1 EQ @on JUMPI 0 0 REVERT on: STOP", {}, {A: ACT}, b"", "SSTORE"),
    "the success of an unknown target may be 1": (
        "0 0 0 0 0 CALLDATALOAD GAS DELEGATECALL 1 EQ @on JUMPI 0 0 REVERT on: STOP", {}, {A: ACT}, A.to_bytes(32, "big"), "DELEGATECALL"),
    "the success of an unknown target may be 0": (
        f"0 0 0 0 0 CALLDATALOAD GAS DELEGATECALL @no JUMPI {ACT} no: 0 0 REVERT", {}, {A: "0 0 REVERT"}, A.to_bytes(32, "big"), "DELEGATECALL"),
    "an unknown target writes": (
        "0 0 0 0 0 CALLDATALOAD GAS DELEGATECALL POP 0 SLOAD @on JUMPI 0 0 REVERT on: STOP", {}, {A: ACT}, A.to_bytes(32, "big"), "DELEGATECALL"),
    "a STOP returns nothing": (
        f"0 0 0 0 {A} GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: RETURNDATASIZE @no JUMPI {ACT} no: 0 0 REVERT", {}, {A: "PC POP STOP"}, b"", "SSTORE"),
    "a SELFDESTRUCT returns nothing": (
        f"0 0 0 0 {A} GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: RETURNDATASIZE @no JUMPI STOP no: 0 0 REVERT", {}, {A: "CALLER SELFDESTRUCT"}, b"", "SELFDESTRUCT"),
    "all of the return data can be copied": (
        f"0 0 0 0 {A} GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: 32 0 0 RETURNDATACOPY {ACT}", {}, {A: "32 0 RETURN"}, b"", "SSTORE"),
    "the return data of a creation that fails": (
        "0x60205ffd 0 MSTORE 4 28 0 CREATE POP RETURNDATASIZE 32 EQ @on JUMPI 0 0 REVERT on: STOP", {}, {}, b"", "CREATE"),
    "a hash of bytes from an unknown place": (
        f"32 0 CALLDATALOAD 31 AND KECCAK256 0x290decd9548b62a8d60345a988386fc84ba6bc95484008f6362f93160ef3e563 EQ @act JUMPI STOP act: {ACT}", {}, {}, b"", "SSTORE"),
    "a hash of unknown length": (
        f"0 CALLDATALOAD 63 AND 0 KECCAK256 0x290decd9548b62a8d60345a988386fc84ba6bc95484008f6362f93160ef3e563 EQ @act JUMPI STOP act: {ACT}", {}, {}, (32).to_bytes(32, "big"), "SSTORE"),
    "what a branch shows of a word is not shown of what it is made of": (
        f"2 0 CALLDATALOAD DUP1 SWAP2 SWAP1 AND @set JUMPI STOP set: @act JUMPI STOP act: {ACT}", {}, {}, b"\xff" * 32, "SSTORE"),
    "behind a longer loop": (
        f"0 top: 1 ADD DUP1 0 CALLDATALOAD GT @top JUMPI 60 EQ @act JUMPI STOP act: {ACT}", {}, {}, (60).to_bytes(32, "big"), "SSTORE"),
    "a slot that a longer loop writes": (
        "0 top: 1 ADD DUP1 0 SSTORE DUP1 0 CALLDATALOAD GT @top JUMPI 0 SLOAD 60 EQ @act JUMPI 0 0 REVERT act: STOP",
        {}, {}, (60).to_bytes(32, "big"), "SSTORE"),
    "a jump to x & m": (
        '0 CALLDATALOAD 1 AND 4 MUL @a ADD JUMP a: STOP x"0000" b: 1 0 SSTORE STOP', {}, {}, WORD, "SSTORE"),
    "a jump to x & m, if": (
        '0 CALLDATALOAD DUP1 1 AND 4 MUL @a ADD JUMPI STOP a: STOP x"0000" b: 1 0 SSTORE STOP', {}, {}, WORD, "SSTORE"),
    "a jump to x & m, if a boolean": (
        '0 CALLDATALOAD DUP1 ISZERO ISZERO SWAP1 1 AND 4 MUL @a ADD JUMPI STOP a: STOP x"0000" b: 1 0 SSTORE STOP', {}, {}, WORD, "SSTORE"),
    "what was shown to be no 0 may be 1": (
        f"0 CALLDATALOAD DUP1 @on JUMPI STOP on: 1 EQ @act JUMPI STOP act: {ACT}", {}, {}, WORD, "SSTORE"),
    "what was shown to be no 0 may be 5": (
        f"0 CALLDATALOAD DUP1 @on JUMPI STOP on: 5 EQ @act JUMPI STOP act: {ACT}", {}, {}, (5).to_bytes(32, "big"), "SSTORE"),
    "a bit that was shown to be set is itself": (
        f"0 CALLDATALOAD 2 AND DUP1 @on JUMPI STOP on: 2 EQ @act JUMPI STOP act: {ACT}", {}, {}, (2).to_bytes(32, "big"), "SSTORE"),
    "a write to the lowest of many slots": (
        "5 8 SSTORE 7 0 CALLDATALOAD 8 OR SSTORE 8 SLOAD 7 EQ @on JUMPI 0 0 REVERT on: STOP", {}, {}, bytes(32), "SSTORE"),
    "a write anywhere, and one to many slots": (
        "7 0 CALLDATALOAD SSTORE 1 32 CALLDATALOAD 8 OR SSTORE 0 SLOAD 7 EQ @on JUMPI 0 0 REVERT on: STOP", {}, {}, bytes(64), "SSTORE"),
    "a write to many slots, and one anywhere": (
        "1 32 CALLDATALOAD 8 OR SSTORE 7 0 CALLDATALOAD SSTORE 0 SLOAD 7 EQ @on JUMPI 0 0 REVERT on: STOP", {}, {}, bytes(64), "SSTORE"),
    "behind many ends that do not act": (
        "".join(f"{n} {n} CALLDATALOAD 248 SHR @e JUMPI POP " for n in range(6)) + "@w JUMP e: STOP w: 5 1 SSTORE STOP", {}, {}, b"", "SSTORE"),
    "behind much work": (f"0 CALLDATALOAD @e JUMPI {WORK} {ACT} e: STOP", {}, {}, b"", "SSTORE"),
    "behind a target that writes, and much work": (
        f"0 0 0 0 {A} GAS DELEGATECALL POP {WORK} 0 0 SSTORE 1 1 SSTORE STOP", {}, {A: ACT}, b"", "SSTORE"),
    "a proxy's target": (f"CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 {A} GAS DELEGATECALL", {}, {A: f"0 CALLDATALOAD 1 EQ @act JUMPI STOP act: {ACT}"}, WORD, "SSTORE"),
    "a guard that unknown bytes lie over": (
        f"1 0 MSTORE 33 0 0 CALLDATACOPY 0 MLOAD 1 XOR @act JUMPI STOP act: {ACT}", {}, {}, b"\xff" * 40, "SSTORE"),
    "a guard that a move lies over": (
        f"1 0 MSTORE 32 0 40 CALLDATACOPY 8 40 28 MCOPY 0 MLOAD 1 XOR @act JUMPI STOP act: {ACT}", {}, {}, b"\xff" * 40, "SSTORE"),
    "a guard that an overlapping move lies over": (
        f"1 0 MSTORE 31 0 1 MCOPY 0 MLOAD 1 XOR @act JUMPI STOP act: {ACT}", {}, {}, b"", "SSTORE"),
    "a copy of unknown size": (f"1 0 MSTORE CALLDATASIZE 0 0 CALLDATACOPY 0 MLOAD 1 XOR @act JUMPI STOP act: {ACT}", {}, {}, b"\xff" * 40, "SSTORE"),
    "a copy to an unknown place": (f"1 0 MSTORE 1 32 0 CALLDATALOAD CALLDATACOPY 0 MLOAD 1 XOR @act JUMPI STOP act: {ACT}", {}, {}, bytes(32) + b"\xff", "SSTORE"),
    "a copy from an unknown place": (f"1 0 MSTORE 32 0 CALLDATALOAD 0 CODECOPY 0 MLOAD 1 XOR @act JUMPI STOP act: {ACT}", {}, {}, b"", "SSTORE"),
    "a byte at an unknown place": (f"1 0 MSTORE 255 0 CALLDATALOAD MSTORE8 0 MLOAD 1 XOR @act JUMPI STOP act: {ACT}", {}, {}, b"", "SSTORE"),
    "the answer of a static call": (
        f"1 0 MSTORE 32 0 32 0 4 GAS STATICCALL POP 64 32 0 0 4 GAS STATICCALL POP 0 0 MSTORE 32 0 32 96 4 GAS STATICCALL @act JUMPI STOP act: {ACT}",
        {}, {}, b"", "SSTORE"),
    "the output of a static call": (
        f"5 0 MSTORE 32 32 32 0 4 GAS STATICCALL POP 32 MLOAD 5 EQ @act JUMPI STOP act: {ACT}", {}, {}, b"", "SSTORE"),
    "return data of a static call": (
        f"5 0 MSTORE 0 0 32 0 4 GAS STATICCALL POP 32 0 64 RETURNDATACOPY 64 MLOAD 5 EQ @act JUMPI STOP act: {ACT}", {}, {}, b"", "SSTORE"),
    "the size of return data": (f"0 0 32 0 4 GAS STATICCALL POP RETURNDATASIZE 32 EQ @act JUMPI STOP act: {ACT}", {}, {}, b"", "SSTORE"),
    "a signed order": (f"0 CALLDATALOAD 0 SGT @act JUMPI STOP act: {ACT}", {}, {}, b"\xff" * 32, "SSTORE"),
    "an end by SELFDESTRUCT": ("CALLER SELFDESTRUCT", {}, {}, b"", "SELFDESTRUCT"),
    "the account's code run by CALLCODE": (f"0 0 0 0 0 {A} GAS CALLCODE", {}, {A: ACT}, b"", "CALLCODE"),
    "a slot below which nothing is known": ("7 0 CALLDATALOAD SSTORE 0 SLOAD 7 EQ @act JUMPI 0 0 REVERT act: STOP", {}, {}, bytes(32), "SSTORE"),
    "two hashes": ("7 CALLER 0 MSTORE 32 0 KECCAK256 SSTORE", {}, {}, b"", "SSTORE"),
}  # fmt: skip


@pytest.mark.parametrize("rule", ACTING)
def test_it_acts_by(rule: str) -> None:
    text, storage, codes, data, opcode = ACTING[rule]
    analysis = judge(text, storage, codes)
    assert analysis.result == "acting", analysis.detail
    if opcode:
        assert opcode in {finding.opcode for finding in analysis.findings}
    seen = [really(text, storage, codes, data, gas=gas, balance=5) for gas in (3_000_000, *range(22_000, 60_000, 150))]
    assert any(each.effects for each in seen), "the real EVM does not show it: the program is no example"


@pytest.mark.parametrize("what", ["CALLER", "ORIGIN", "TIMESTAMP", "NUMBER", "GAS", "GASPRICE", "COINBASE", "PREVRANDAO", "GASLIMIT", "CHAINID",
    "SELFBALANCE", "BASEFEE", "BLOBBASEFEE", "CALLVALUE", "CALLDATASIZE", "MSIZE", "0 BLOBHASH", "0 TLOAD", "0 CALLDATALOAD",
    "CALLER BALANCE", "CALLER EXTCODESIZE", "CALLER EXTCODEHASH", "1 NUMBER SUB BLOCKHASH", "99 EXTCODESIZE", "ADDRESS EXTCODEHASH"])  # fmt: skip
def test_nothing_is_known_of(what: str) -> None:
    """A guard on it is no guard."""
    for wanted in (0x1234, 1, 2**63):
        assert judge(f"{what} {wanted} EQ @act JUMPI STOP act: {ACT}").result == "acting"
    assert judge(f"{what} {what} EQ @act JUMPI STOP act: {ACT}").result == "acting"


@pytest.mark.parametrize("opcode", ["CALL", "CALLCODE"])
@pytest.mark.parametrize(
    "target", ["0", "1", "4", "99", "CALLER", "ORIGIN", "ADDRESS", "0 CALLDATALOAD", str(A), str(NOBODY)]
)
def test_a_call_acts_whatever_its_target(opcode: str, target: str) -> None:
    assert judge(f"0 0 0 0 0 {target} GAS {opcode} POP", codes={A: "STOP"}).findings[0].opcode == opcode


@pytest.mark.parametrize("target", [1, 0x100, 0xFFFF])
def test_what_lies_at_a_low_address_is_not_continued_in(target: int) -> None:
    """Whatever the code there: it is not what runs."""
    analysis = judge(f"0 0 0 0 {target} GAS DELEGATECALL", codes={target: "STOP"})
    assert [finding.opcode for finding in analysis.findings] == ["DELEGATECALL"]
    assert judge(f"0 0 0 0 {0x10000} GAS DELEGATECALL", codes={0x10000: "PC POP STOP"}).result == "inert"


def test_an_address_has_160_bits() -> None:
    """Of a caller, and of a target: the highest is one of them."""
    high = ATTACKERS[0] + 1
    assert high >> 159
    text = f"0 0 0 0 {high} GAS DELEGATECALL"
    assert really(text, codes={high: ACT}).effects
    assert [finding.opcode for finding in judge(text, codes={high: ACT}).findings] == ["SSTORE"]
    for who in ("CALLER", "ORIGIN"):
        text = f"{who} 159 SHR @act JUMPI STOP act: {ACT}"
        assert World(code(text), {}).call(RealCall(high, SUBJECT, b"")).effects
        assert judge(text).result == "acting"
        assert judge(text.replace("159", "160")).result == "inert"


@pytest.mark.parametrize("target", [0, 1, 4, 9, 0x100, 0x8006, 0xFFFF, NOBODY, A, B, C])
def test_a_target_that_runs_no_code_of_the_evm_is_not_continued_in(target: int) -> None:
    """Precompiles and system contracts, no code, a 7702 delegation, a reserved prefix, a lone INVALID."""
    codes = {A: bytes.fromhex("ef0100") + bytes(20), B: b"\xfe", C: b"\xef\x00"}
    analysis = judge(f"0 0 0 0 {target} GAS DELEGATECALL", codes=codes)  # type: ignore[arg-type]
    assert [finding.opcode for finding in analysis.findings] == ["DELEGATECALL"]


@pytest.mark.parametrize("stub", STUBS)
def test_a_stub_where_a_chain_has_a_precompile_is_not_continued_in(stub: bytes) -> None:
    """Fantom and Sonic have their EvmWriter at 0xd100ec…, Avalanche's subnets theirs at 0x02…: above all that is low."""
    target = 0xD100EC << 136
    analysis = judge(f"0 0 0 0 {target} GAS DELEGATECALL", codes={target: stub})  # type: ignore[dict-item]
    assert [finding.opcode for finding in analysis.findings] == ["DELEGATECALL"]


def test_a_target_of_which_nothing_is_known_acts() -> None:
    for target in ("0 CALLDATALOAD", "CALLER", "0 0 0 0 99 GAS STATICCALL"):
        assert judge(f"0 0 0 0 {target} GAS DELEGATECALL").findings[0].opcode == "DELEGATECALL"


def test_what_a_target_returned_is_known() -> None:
    text = f"32 0 0 0 {A} GAS DELEGATECALL @ok JUMPI STOP ok: 0 MLOAD 7 XOR @act JUMPI STOP act: {ACT}"
    codes = {A: "7 0 MSTORE 32 0 RETURN"}
    assert judge(text, codes=codes).result == "inert"
    assert not really(text, codes=codes).effects


def test_a_target_is_left_where_its_effects_are_undone() -> None:
    guarded = f"0 0 0 0 {A} GAS DELEGATECALL POP 0 SLOAD @on JUMPI 0 0 REVERT on: STOP"
    assert judge(guarded, codes={A: "CALLER SELFDESTRUCT"}).result == "inert", "an end writes nothing"
    assert not really(guarded, codes={A: "CALLER SELFDESTRUCT"}).effects
    assert judge(f"0 0 0 0 {A} GAS DELEGATECALL", codes={A: "5 0 SSTORE 0 0 REVERT"}).result == "inert"
    assert judge(f"0 0 0 0 {A} GAS DELEGATECALL 0 0 REVERT", codes={A: ACT}).result == "inert"
    assert judge(f"0 0 0 0 {A} GAS DELEGATECALL @on JUMPI STOP on: 0 0 REVERT", codes={A: ACT}).result == "inert"


# --- calls that come back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["ADDRESS", str(SUBJECT), "0 CALLDATALOAD", "ADDRESS 0 CALLDATALOAD ADD", "ADDRESS 60000"]
)
def test_an_account_that_calls_itself_may_do_what_only_itself_may(target: str) -> None:
    """The path that calls fails UNLESS the call has written: assuming that it has not would be assuming the claim."""
    gas = "" if "60000" in target else "GAS"
    text = f"ADDRESS CALLER EQ @own JUMPI 0 0 0 0 0 {target} {gas} CALL POP 0 SLOAD @on JUMPI 0 0 REVERT on: STOP own: 1 0 SSTORE STOP"
    data = SUBJECT.to_bytes(32, "big") if target == "0 CALLDATALOAD" else bytes(32)
    assert really(text, data=data).effects
    assert judge(text).result == "acting"


def test_an_account_that_calls_itself_from_a_target_may_do_what_only_itself_may() -> None:
    own = (
        f"ADDRESS CALLER EQ @own JUMPI 0 0 0 0 {A} GAS DELEGATECALL @on JUMPI 0 0 REVERT on: STOP own: 1 0 SSTORE STOP"
    )
    target = {A: "0 0 0 0 0 ADDRESS GAS CALL POP 0 SLOAD @on JUMPI 0 0 REVERT on: STOP"}
    assert really(own, codes=target).effects
    assert judge(own, codes=target).result == "acting"


def test_what_only_itself_may_do_can_be_asked_for_in_the_call_that_undoes_it() -> None:
    """Not even the call's success may be taken from it: the inner frame acts, the outer one goes on as it likes."""
    text = f"ADDRESS CALLER EQ @own JUMPI 0 0 0 0 0 ADDRESS GAS CALL @on JUMPI 0 0 REVERT on: 0 SLOAD 1 EQ @fine JUMPI 0 0 REVERT fine: STOP own: {ACT}"
    assert really(text).effects
    assert judge(text).result == "acting"


def test_a_call_back_that_finds_the_proven_storage_leaves_it() -> None:
    assert judge("0 0 0 0 0 99 GAS CALL POP 0 SLOAD @fail JUMPI STOP fail: 0 0 REVERT", {0: 1}).result == "inert"


def test_a_call_back_that_finds_a_modified_storage_may_do_anything() -> None:
    """Locked, the account lets anybody write slot 1; the path fails unless somebody did."""
    text = (
        "0 SLOAD @locked JUMPI 1 0 SSTORE 0 0 0 0 0 CALLER GAS CALL POP 0 0 SSTORE 1 SLOAD @on JUMPI 0 0 REVERT on: STOP "
        "locked: 5 1 SSTORE STOP"
    )
    script = entry(2, (5).to_bytes(32, "big"), 0) + entry(0, b"")
    assert really(text, to=ATTACKERS[0], data=script).effects
    assert judge(text).result == "acting"


def test_a_call_back_that_only_others_may_make_is_followed() -> None:
    text = (
        "0 SLOAD @locked JUMPI 1 0 SSTORE 0 0 0 0 0 CALLER GAS CALL POP 0 0 SSTORE 1 SLOAD @on JUMPI 0 0 REVERT on: STOP "
        "locked: ADDRESS CALLER EQ @no JUMPI 5 1 SSTORE STOP no: 0 0 REVERT"
    )
    assert really(text, to=ATTACKERS[0], data=entry(2, (5).to_bytes(32, "big"), 0) + entry(0, b"")).effects
    assert judge(text).result == "acting"


def test_a_call_back_is_followed_to_its_end_even_if_it_acts() -> None:
    """One of its ends acts; another, which takes much longer, writes."""
    text = (
        "0 SLOAD @locked JUMPI 1 0 SSTORE 0 0 0 0 0 CALLER GAS CALL POP 0 0 SSTORE 1 SLOAD @on JUMPI 0 0 REVERT on: STOP "
        f"locked: 0 0 0 0 0 99 GAS CALL POP 0 CALLDATALOAD @e JUMPI {WORK} 5 1 SSTORE STOP e: STOP"
    )
    script = entry(2, (5).to_bytes(32, "big"), 0) + entry(0, b"")
    assert really(text, to=ATTACKERS[0], data=script).effects
    assert judge(text).result == "acting"


NESTED = (
    "GAS {bits} AND @base JUMPI 0 0 0 0 {via} GAS DELEGATECALL @ok JUMPI 0 0 REVERT "
    "ok: RETURNDATASIZE DUP1 {n} EQ @act JUMPI 1 ADD 0 RETURN base: STOP act: 1 0 SSTORE STOP"
)
"""With some gas it ends, with other gas it calls itself and returns a byte more; where ``n`` are returned, it writes."""


@pytest.mark.parametrize("via", [SUBJECT, A])
def test_a_frame_that_calls_itself_is_run_until_nothing_is_new(via: int) -> None:
    """By itself, or through a target that hands on what it is given."""
    codes = {A: f"0 0 0 0 {SUBJECT} GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: RETURNDATASIZE 0 RETURN"}
    text = NESTED.format(bits=3 if via == A else 1, via=via, n=3)
    assert any(really(text, codes=codes, gas=gas).effects for gas in range(200_000, 201_500))
    assert judge(text, codes=codes).result == "acting"
    assert judge(NESTED.format(bits=1, via=via, n=40), codes=codes).reason == "recursion"


def test_a_static_call_back_leaves_a_modified_storage() -> None:
    assert (
        judge(
            "1 0 SSTORE 0 0 0 0 CALLER GAS STATICCALL POP 0 SLOAD 1 XOR @act JUMPI 0 0 SSTORE STOP act: 1 5 SSTORE STOP"
        ).result
        == "inert"
    )


def test_a_frame_that_continues_in_itself_is_followed_to_its_end() -> None:
    """A multicall: each round may do what the one before has left; the last one writes."""
    text = f"0 SLOAD @go JUMPI 0 0 0 0 {A} GAS DELEGATECALL STOP go: STOP"
    assert judge(text, codes={A: f"0 SLOAD 1 EQ @act JUMPI STOP act: {ACT}"}).result == "inert"
    inner = f"CALLDATASIZE @act JUMPI 0 0 32 0 {SUBJECT} GAS DELEGATECALL @act JUMPI 0 0 REVERT act: STOP"
    assert judge(inner).result == "inert"
    assert judge(f"CALLDATASIZE @act JUMPI 0 0 32 0 {SUBJECT} GAS DELEGATECALL STOP act: {ACT}").result == "acting"


def test_a_frame_that_continues_in_itself_for_ever_ends() -> None:
    assert judge("CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 ADDRESS GAS DELEGATECALL STOP").result == "inert"
    growing = "0 SLOAD 1 ADD 0 SSTORE 0 0 0 0 ADDRESS GAS DELEGATECALL 0 0 REVERT"
    assert judge(growing).result in ("inert", "undecided")


# --- what cannot be told ---------------------------------------------------------------------------------------------------


def test_an_undefined_opcode_that_is_reached_decides_nothing() -> None:
    assert judge(b"\x0c").reason == "undefined_opcode"
    assert judge('0 SLOAD @end JUMPI x"0c" end: STOP', {0: 1}).result == "inert"
    assert judge('0 CALLDATALOAD @end JUMPI x"0c" end: STOP').reason == "undefined_opcode"


@pytest.mark.parametrize("opcode", sorted({*range(256)} - {*range(0x0C)} - {*range(0x10, 0x1F)} - {0x20} - {*range(0x30, 0x4B)} - {*range(0x50, 0xA5)}
    - {0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xFA, 0xFD, 0xFE, 0xFF}))  # fmt: skip
def test_every_opcode_without_a_meaning_is_undefined(opcode: int) -> None:
    assert judge(b"\x5f" * 8 + bytes([opcode])).reason == "undefined_opcode"


def test_an_unknown_jump_decides_nothing() -> None:
    assert judge("0 CALLDATALOAD JUMP on: STOP").reason == "unknown_jump"
    assert judge("1 0 CALLDATALOAD JUMPI STOP on: STOP").reason == "unknown_jump"
    assert judge("0 CALLDATALOAD JUMP 1 0 SSTORE STOP").reason == "unknown_jump"


def test_an_acting_path_is_told_even_if_others_cannot_be_followed() -> None:
    assert judge("0 CALLDATALOAD @a JUMPI 32 CALLDATALOAD JUMP a: 1 0 SSTORE").result == "acting"
    assert judge('0 CALLDATALOAD @a JUMPI x"0c" a: 1 0 SSTORE').result == "acting"


def test_the_limits_decide_nothing() -> None:
    loop = code("0 top: 1 ADD DUP1 1000000 GT @top JUMPI")
    assert analyse(AccountFacts(SUBJECT, loop, complete=True), Limits(steps=1000)).reason == "step_limit"
    branches = code("0 CALLDATALOAD @a JUMPI a: 1 CALLDATALOAD @b JUMPI b: 2 CALLDATALOAD @c JUMPI c: STOP")
    assert analyse(AccountFacts(SUBJECT, branches, complete=True), Limits(states=2)).reason == "state_limit"
    acting = code("0 CALLDATALOAD @a JUMPI 0 top: 1 ADD DUP1 1000000 GT @top JUMPI a: 1 0 SSTORE")
    assert analyse(AccountFacts(SUBJECT, acting, complete=True), Limits(steps=2000)).result == "acting"


def test_a_hash_may_be_any_slot_from_2_to_the_64_on() -> None:
    """No call shows it: somebody would have to find the preimage."""
    text = "1 CALLER 0 MSTORE 32 0 KECCAK256 SSTORE {slot} SLOAD @on JUMPI 0 0 REVERT on: STOP"
    assert judge(text.format(slot=2**64)).result == "acting"
    assert judge(text.format(slot=2**64 - 1)).result == "inert"


def test_a_fact_that_is_missing_is_asked_for() -> None:
    analysis = judge("5 SLOAD @on JUMPI 6 SLOAD @on JUMPI STOP on: STOP", complete=False)
    assert (analysis.reason, analysis.needs.slots) == ("missing_fact", (5,))
    analysis = judge(f"0 0 0 0 {A} GAS DELEGATECALL", complete=False)
    assert (analysis.reason, analysis.needs.codes) == ("missing_fact", (A,))
    analysis = judge("7 5 SSTORE", complete=False)
    assert (analysis.reason, analysis.needs.slots) == ("missing_fact", (5,))
    assert judge("7 5 SSTORE", {5: 7}, complete=False).result == "inert"
    assert judge("7 5 SSTORE", {5: 7}, complete=False).slots == (5,)


@pytest.mark.parametrize("text", [b"", b"\xef\x01\x00" + bytes(20), b"\xef\x00\x01", b"\xef"])
def test_what_is_no_code_of_the_evm_is_never_inert(text: bytes) -> None:
    assert (judge(text).result, judge(text).reason) == ("undecided", "no_code")


def test_only_the_prefix_of_eip_3541_is_reserved() -> None:
    assert judge(b"\xf0").result == "inert"
    assert judge(b"\xee").reason == "undefined_opcode"


@pytest.mark.parametrize(("ways", "reason"), [(7, "inert"), (28, "inert"), (36, "unknown_jump")])
def test_a_jump_to_one_of_many_is_looked_at_again(ways: int, reason: str) -> None:
    """So many states of one place are told apart, and at the second attempt four times as many."""
    rows = "".join(f"{n} CALLDATALOAD @x{n} JUMPI @r{n} 1 ADD @f JUMP x{n}: " for n in range(ways))
    text = f"{rows} STOP f: 1 SWAP1 SUB JUMP " + "".join(f"r{n}: STOP " for n in range(ways))
    assert judge(text).reason == reason


# --- code that can be taken away -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "opcode", ["CALLER SELFDESTRUCT", "0 0 0 0 0 99 GAS CALLCODE", "0 0 0 0 0 CALLDATALOAD GAS DELEGATECALL"]
)
def test_before_eip_6780_a_target_must_not_be_able_to_lose_its_code(opcode: str) -> None:
    """The target guards it by ITS storage, of which nothing is proven; here it runs on the account's, where it is shut."""
    target = {A: f"0 SLOAD @closed JUMPI {opcode} STOP closed: STOP"}
    text = f"0 0 0 0 {A} GAS DELEGATECALL"
    assert judge(text, {0: 1}, target).result == "inert"
    assert judge(text, {0: 1}, target, permanent=False).reason == "impermanent_target"
    assert judge(text, {0: 1}, {A: "0 SLOAD @closed JUMPI STOP closed: STOP"}, permanent=False).result == "inert"


def test_before_eip_6780_a_target_is_followed_to_its_end_even_if_it_acts() -> None:
    target = {
        A: f"0 SLOAD @closed JUMPI CALLDATASIZE @e JUMPI {WORK} CALLER SELFDESTRUCT e: 1 1 SSTORE STOP closed: STOP"
    }
    assert judge(f"0 0 0 0 {A} GAS DELEGATECALL", {0: 1}, target, permanent=False).reason == "impermanent_target"


@pytest.mark.parametrize("target", [b"", b"\x00", bytes.fromhex("ef0100") + bytes(20)])
def test_before_eip_6780_a_target_without_code_loses_none(target: bytes) -> None:
    analysis = judge(f"0 0 0 0 {A} GAS DELEGATECALL 0 0 REVERT", codes={A: target}, permanent=False)  # type: ignore[dict-item]
    assert (analysis.result, analysis.targets) == ("inert", (A,))


def test_before_eip_6780_nobody_with_the_address_0_calls_a_target() -> None:
    target = {A: "0 SLOAD @closed JUMPI CALLER @closed JUMPI CALLER SELFDESTRUCT closed: STOP"}
    assert judge(f"0 0 0 0 {A} GAS DELEGATECALL", {0: 1}, target, permanent=False).result == "inert"


def test_before_eip_6780_a_target_of_a_target_must_not_lose_its_code_either() -> None:
    codes = {A: f"0 0 0 0 {B} GAS DELEGATECALL", B: "0 SLOAD @closed JUMPI CALLER SELFDESTRUCT closed: STOP"}
    assert judge(f"0 0 0 0 {A} GAS DELEGATECALL", {0: 1}, codes, permanent=False).reason == "impermanent_target"


# --- answers with authority ------------------------------------------------------------------------------------------------

ANSWERING = {
    "directly": f"0 CALLDATALOAD 224 SHR 0x1626ba7e EQ @yes JUMPI 0 0 REVERT yes: {MAGIC} 0 MSTORE 32 0 RETURN",
    "to every question": f"{MAGIC} 0 MSTORE 32 0 RETURN",
    "from storage": "5 SLOAD 0 MSTORE 32 0 RETURN",
    "byte by byte": "0x16 0 MSTORE8 0x26 1 MSTORE8 0xba 2 MSTORE8 0x7e 3 MSTORE8 32 0 RETURN",
    "by an echo": ECHO,
    "by an echo of four": "4 0 0 CALLDATACOPY 32 0 RETURN",
    "by what a static call says": "32 0 0 0 99 GAS STATICCALL POP 32 0 RETURN",
    "from transient storage": "0 TLOAD 0 MSTORE 32 0 RETURN",
    "behind a proxy": f"CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 {A} GAS DELEGATECALL RETURNDATASIZE 0 0 RETURNDATACOPY RETURNDATASIZE 0 RETURN",
    "with unknown length": f"{MAGIC} 0 MSTORE CALLDATASIZE 0 RETURN",
}


@pytest.mark.parametrize("how", ANSWERING)
def test_a_yes_is_found_that_is_given(how: str) -> None:
    magic = 0x1626BA7E << 224
    codes = {A: f"0 CALLDATALOAD 224 SHR 0x1626ba7e EQ @yes JUMPI 0 0 REVERT yes: {MAGIC} 0 MSTORE 32 0 RETURN"}
    analysis = judge(ANSWERING[how], {5: magic}, codes)
    assert analysis.result == "inert"
    assert 0x1626BA7E in questions(analysis)


def test_no_answer_is_a_yes() -> None:
    assert judge("0 0 REVERT").authority == ()
    assert judge("STOP").authority == ()
    assert 0x1626BA7E not in questions(judge("1 0 MSTORE 32 0 RETURN"))
    assert 0x1626BA7E not in questions(
        judge(f"0 CALLDATALOAD 224 SHR 0x1626ba7e EQ @no JUMPI {MAGIC} 0 MSTORE 32 0 RETURN no: 0 0 REVERT")
    )
    assert 0x1626BA7E not in questions(judge("0xffffffff 224 SHL 0 MSTORE 32 0 RETURN"))


def test_a_user_operation_is_validated_by_a_zero() -> None:
    zero, one = judge("32 0 RETURN"), judge("1 0 MSTORE 32 0 RETURN")
    assert {0x3A871CDD, 0x19822F7C} <= questions(zero)
    assert not {0x3A871CDD, 0x19822F7C} & questions(one)
    assert {0x3A871CDD, 0x19822F7C} <= questions(judge(f"{2**200} 0 MSTORE 32 0 RETURN")), (
        "a time range, and no aggregator"
    )


def test_a_flash_loan_is_taken_by_its_magic() -> None:
    magic = 0x439148F0BBC682CA079E46D6E2C2F0C1E3B820F1A291B069D8882ABF8CF18DD9
    assert questions(judge(f"{magic} 0 MSTORE 32 0 RETURN")) >= {0x23E30C8B}
    assert 0x23E30C8B not in questions(judge(f"{magic ^ 1} 0 MSTORE 32 0 RETURN"))
    assert 0x20C13B0B in questions(judge("0x20c13b0b 224 SHL 0 MSTORE 32 0 RETURN"))


FIRST = 0x1626BA7E << 224
OLDER = 0x20C13B0B << 224
ZERO_X = 0xB0671381 << 224
LOAN = 0x439148F0BBC682CA079E46D6E2C2F0C1E3B820F1A291B069D8882ABF8CF18DD9


@pytest.mark.parametrize(("selector", "answer", "size", "yes"), [
    (0x1626BA7E, FIRST, 4, True),
    (0x1626BA7E, FIRST, 3, False),
    (0x1626BA7E, FIRST | (1 << 224) - 1, 32, True),
    (0x1626BA7E, FIRST ^ 1 << 224, 32, False),
    (0x1626BA7E, FIRST ^ 1 << 255, 32, False),
    (0x20C13B0B, OLDER, 4, True),
    (0x20C13B0B, OLDER | (1 << 224) - 1, 32, True),
    (0x20C13B0B, OLDER ^ 1 << 224, 32, False),
    (0x20C13B0B, OLDER ^ 1 << 255, 32, False),
    *((selector, answer, size, yes) for selector in (0x3A871CDD, 0x19822F7C) for answer, size, yes in (
        (0, 32, True), (0, 64, True), (0, 31, False), (1, 32, False), (1 << 160, 32, True), (1 << 160 | 1, 32, False),
        (1 << 159 | 1, 32, True), (2, 32, True), (3, 32, True), (ONES << 160 & ONES, 32, False), (1 << 255 | 1, 32, False))),
    (0x23E30C8B, LOAN, 32, True),
    (0x23E30C8B, LOAN, 64, True),
    (0x23E30C8B, LOAN & ~0xFF, 31, False),
    (0x23E30C8B, LOAN ^ 1, 32, False),
    (0x23E30C8B, LOAN ^ 2, 32, False),
    (0x23E30C8B, LOAN ^ 1 << 255, 32, False),
    (0x1626BA7E, ZERO_X, 4, True),
    (0x1626BA7E, ZERO_X ^ 1 << 224, 32, False),
    *((selector, answer, size, yes) for selector in (0x920F5C84, 0x1B11D0FF) for answer, size, yes in (
        (1, 32, True), (1, 64, True), (1 << 8, 31, False), (0, 32, False), (3, 32, False), (1 << 255 | 1, 32, False))),
    (0xF4DD92CE, 0xF4DD92CE << 224, 32, True),
    (0xF4DD92CE, 0xF4DD92CE << 224, 31, False),
    (0xF4DD92CE, 0xF4DD92CF << 224, 32, False),
])  # fmt: skip
def test_a_yes_is_told_from_a_no_by_all_of_its_bits(selector: int, answer: int, size: int, yes: bool) -> None:
    text = f"{answer} 0 MSTORE {size} 0 RETURN"
    assert really(text, data=selector.to_bytes(4, "big")).output == (answer.to_bytes(32, "big") + bytes(32))[:size]
    assert (selector in questions(judge(text))) == yes


def test_an_answer_of_which_a_bit_is_wrong_is_no_yes_whatever_the_others() -> None:
    """And where only some bits are unknown, it may be one."""
    assert 0x1626BA7E not in questions(judge(f"0 CALLDATALOAD 0 MSTORE {0x17} 0 MSTORE8 32 0 RETURN"))
    assert 0x1626BA7E in questions(judge(f"32 CALLDATALOAD 0 MSTORE {0x16} 0 MSTORE8 32 0 RETURN"))
    assert 0x3A871CDD in questions(judge("32 CALLDATALOAD 0 MSTORE 1 31 MSTORE8 32 0 RETURN"))
    assert 0x23E30C8B not in questions(judge("32 CALLDATALOAD 0 MSTORE 1 31 MSTORE8 32 0 RETURN"))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_question_is_a_function_with_a_source(question: Question) -> None:
    assert question.selector == int.from_bytes(keccak(question.signature.encode())[:4])
    assert question.source
    assert question.answer & question.mask == question.answer
    assert question.offset + 4 <= question.size or question.size == 4


def test_the_magic_values_are_hashes() -> None:
    known = {question.answer for question in QUESTIONS}
    assert int.from_bytes(keccak(b"isValidWalletSignature(bytes32,address,bytes)")[:4]) << 224 in known
    assert int.from_bytes(keccak(b"ERC3156FlashBorrower.onFlashLoan")) in known


def window(after: int, until: int) -> int:
    return after << 208 | until << 160


BLOCKS = 2**47


@pytest.mark.parametrize(("after", "until", "ever"), [
    (0, 0, True),
    (2**46 - 1, 0, True),
    (2**46, 0, False),  # beyond any block's time
    (7, 7, True),
    (8, 7, False),
    (2**46 - 1, 2**46 - 2, False),
    (7, 2**48 - 1, True),
    (BLOCKS - 1, BLOCKS, False),
    (BLOCKS, 0, True),  # EntryPoint 0.9: from the first block on, without an end
    (BLOCKS | 8, BLOCKS | 8, True),
    (BLOCKS | 8, BLOCKS | 7, False),
    (BLOCKS | 8, BLOCKS - 1, False),  # a time's end: then it is a time's beginning, too
    (BLOCKS | 2**46 - 1, 0, True),
    (BLOCKS | 2**46, 0, False),  # beyond any block
    (2**48 - 1, 2**48 - 1, False),
])  # fmt: skip
def test_a_validation_whose_time_never_comes_is_no_yes(after: int, until: int, ever: bool) -> None:
    """ERC-4337's window, for accounts and for paymasters; an aggregator (2) may decide within it only, too."""
    word = window(after, until)
    accounts, paymasters = {0x3A871CDD, 0x19822F7C}, {0xF465C77E, 0x52B7512C}
    for authorizer in (0, 2):
        assert (accounts <= questions(judge(f"{word | authorizer} 0 MSTORE 32 0 RETURN"))) == ever
    assert not accounts & questions(judge(f"{word | 1} 0 MSTORE 32 0 RETURN"))
    assert (paymasters <= questions(judge(f"{word} 32 MSTORE 96 0 RETURN"))) == ever
    assert opens(word) == ever


def test_a_window_of_which_not_all_is_known_may_be_open() -> None:
    late = "0 CALLDATALOAD 0 MSTORE {first} 0 MSTORE8 0 1 MSTORE8 32 0 RETURN"
    assert 0x3A871CDD not in questions(judge(late.format(first=0x40)))
    assert 0x3A871CDD in questions(judge(late.format(first=0x3F)))
    assert 0x3A871CDD in questions(judge(late.format(first=0x80)))


WORDS = st.integers(0, ONES)


@given(WORDS, WORDS, WORDS, st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1), st.booleans())
@example(window(BLOCKS, 0), ONES, 0, 0, 0, False)
def test_a_window_that_may_be_open_is_never_overlooked(
    value: int, known: int, rest: int, after: int, until: int, near: bool
) -> None:
    if near:  # bounds that are not just far apart
        value = window(after, after ^ (until & 3))
    (question,) = (one for one in QUESTIONS if one.selector == 0x3A871CDD)
    word = (value & known | rest & ~known) & ~(2**160 - 1)
    answer = Data((word & known).to_bytes(32, "big"), known.to_bytes(32, "big"), 32)
    assert question.may_say_yes(answer) or not opens(word)
    assert question.may_open(word.to_bytes(32, "big"), 0, 0) == opens(word)


def test_a_paymasters_yes_is_in_the_second_word() -> None:
    for selector in (0xF465C77E, 0x52B7512C):
        for text, yes in (
            ("96 0 RETURN", True),
            ("64 0 MSTORE 96 0 RETURN", True),
            ("64 0 RETURN", True),  # an empty context that lies where the validation's data is
            ("63 0 RETURN", False),
            ("32 0 RETURN", False),
            ("1 32 MSTORE 96 0 RETURN", False),
            ("2 32 MSTORE 96 0 RETURN", False),  # no paymaster has an aggregator
            (f"{2**160 | 1} 32 MSTORE 96 0 RETURN", False),
            (f"{2**200} 32 MSTORE 96 0 RETURN", True),  # valid for a while
            ("4 CALLDATALOAD 32 MSTORE 96 0 RETURN", True),
        ):
            assert (selector in questions(judge(text))) == yes, text


def test_only_what_may_be_a_yes_is_asked() -> None:
    """All ends of all calls are known: no answer to a question can be another."""
    runs = {end: judge(f"32 CALLDATALOAD 0 MSTORE {end}").steps // 7 for end in ("64 0 RETURN", "3 0 RETURN")}
    assert runs == {"64 0 RETURN": 2 + len({question.selector for question in QUESTIONS}), "3 0 RETURN": 2}


# --- who calls ---------------------------------------------------------------------------------------------------------


def nobody(who: str) -> str:
    return f"{who} ISZERO @act JUMPI STOP act: {ACT}"


RENOUNCED = f"0 SLOAD CALLER EQ @act JUMPI STOP act: {ACT}"
THROUGH = f"0 0 0 0 0 {SUBJECT} GAS CALL"


def test_an_origin_may_be_0_on_any_chain() -> None:
    """Polygon's state syncs have none. The real EVM, by a sender 0 that reaches the account through another contract."""
    world = World(code(nobody("ORIGIN")), {}, {A: code(THROUGH)})
    assert world.call(RealCall(0, A, b"")).effects
    assert not world.call(RealCall(SENDERS[0], A, b"")).effects
    for zero_caller in (False, True):
        analysis = judge(nobody("ORIGIN"), zero_caller=zero_caller)
        assert [finding.opcode for finding in analysis.findings] == ["SSTORE"]


@pytest.mark.parametrize(
    "text", [nobody("CALLER"), RENOUNCED, f"CALLER @no JUMPI {MAGIC} 0 MSTORE 32 0 RETURN no: STOP"]
)
def test_where_a_call_may_come_from_0_that_decides_nothing(text: str) -> None:
    """The owner that was renounced: closed by an assumption, and so said. And the same of an answer."""
    seen = World(code(text), {}).call(RealCall(0, SUBJECT, b""))
    assert seen.effects or int.from_bytes(seen.output) == 0x1626BA7E << 224
    assert judge(text).result == "inert"
    assert not judge(text).authority
    analysis = judge(text, zero_caller=True)
    assert (analysis.result, analysis.reason, analysis.findings) == ("undecided", "caller_zero", ())
    assert "unless a call comes from the address 0" in analysis.detail


def test_an_answer_to_others_is_found_where_a_call_from_0_acts() -> None:
    text = f"CALLER ISZERO @act JUMPI {MAGIC} 0 MSTORE 32 0 RETURN act: {ACT}"
    analysis = judge(text, zero_caller=True)
    assert (analysis.reason, 0x1626BA7E in questions(analysis)) == ("caller_zero", True)
    both = judge(f"CALLER @no JUMPI 64 0 RETURN no: {MAGIC} 0 MSTORE 32 0 RETURN", zero_caller=True)
    assert (both.result, 0x1626BA7E in questions(both), 0xF465C77E in questions(both)) == ("inert", True, False)


def test_what_is_closed_to_0_too_is_inert_outright() -> None:
    closed = f"0 SLOAD @closed JUMPI {RENOUNCED} closed: 0 0 REVERT"
    assert judge(closed, {0: 3}, zero_caller=True).result == "inert"


def test_what_others_than_0_can_do_is_found_as_ever() -> None:
    both = f"CALLER ISZERO @act JUMPI 0 CALLDATALOAD 7 EQ @act JUMPI STOP act: {ACT}"
    for zero_caller in (False, True):
        analysis = judge(both, zero_caller=zero_caller)
        assert (analysis.result, analysis.findings[0].opcode) == ("acting", "SSTORE")
    assert judge("0 CALLDATALOAD JUMP a: STOP b: STOP", zero_caller=True).reason == "unknown_jump"


def test_what_a_call_from_0_reads_is_asked_for() -> None:
    """Else a proof would lack a slot that decides."""
    text = f"CALLER @no JUMPI 5 SLOAD @act JUMPI no: STOP act: {ACT}"
    assert not judge(text, complete=False).needs
    assert judge(text, complete=False, zero_caller=True).needs.slots == (5,)
    assert judge(text, {5: 0}, complete=False, zero_caller=True).result == "inert"


def test_a_question_has_a_selector_at_least() -> None:
    short = f"CALLDATASIZE {{n}} EQ @yes JUMPI 0 0 REVERT yes: {MAGIC} 0 MSTORE 32 0 RETURN"
    assert really(short.format(n=4), data=bytes.fromhex("1626ba7e")).success
    assert 0x1626BA7E in questions(judge(short.format(n=4)))
    assert 0x1626BA7E not in questions(judge(short.format(n=3)))


def test_a_question_is_told_once() -> None:
    analysis = judge("32 CALLDATALOAD @b JUMPI 32 0 RETURN b: 64 0 RETURN")
    assert [authority.selector for authority in analysis.authority] == [0x3A871CDD, 0x19822F7C, 0xF465C77E, 0x52B7512C]


def test_a_question_is_asked_to_its_end() -> None:
    """With its size known to be no 0, less is learnt from testing it: the question seems to act, where any call did not."""
    text = f"CALLDATASIZE DUP1 @on JUMPI STOP on: 5 XOR 5 EQ @act JUMPI {WORK} {MAGIC} 0 MSTORE 32 0 RETURN act: {ACT}"
    assert really(text, data=bytes.fromhex("1626ba7e") + bytes(2)).output[:4].hex() == "1626ba7e"
    analysis = judge(text)
    assert analysis.result == "inert"
    assert 0x1626BA7E in questions(analysis)


def test_an_acting_account_is_asked_too_and_an_undecided_one_is_not() -> None:
    acting = judge("0 CALLDATALOAD @a JUMPI 32 CALLDATALOAD JUMP a: 1 0 SSTORE 32 32 RETURN")
    assert (acting.result, 0x3A871CDD in questions(acting)) == ("acting", True)
    undecided = judge("0 CALLDATALOAD @a JUMPI 32 CALLDATALOAD JUMP a: 32 32 RETURN")
    assert (undecided.result, questions(undecided)) == ("undecided", set())


def test_a_size_that_was_stored_is_not_another_datas_size() -> None:
    """The size of the FIRST return data is kept in a slot and used as a length after the second call: nothing is copied."""
    text = (
        f"0 0 0 0 4 GAS STATICCALL POP RETURNDATASIZE 0 SSTORE CALLDATASIZE 0 64 CALLDATACOPY 0 0 CALLDATASIZE 64 {A} GAS DELEGATECALL "
        f"@on JUMPI 0 0 REVERT on: {MAGIC} 0 MSTORE 0 SLOAD 0 0 RETURNDATACOPY 0 0 SSTORE 32 0 RETURN"
    )
    target = {A: "CALLDATASIZE 0 0 CALLDATACOPY 0xaa 0 MSTORE8 CALLDATASIZE 0 RETURN"}
    seen = really(text, codes=target, data=bytes.fromhex("1626ba7e") + bytes(96))
    assert seen.output[:4].hex() == "1626ba7e"
    assert 0x1626BA7E in questions(judge(text, codes=target))


# --- residue ---------------------------------------------------------------------------------------------------------------


def test_what_stays_possible_is_told() -> None:
    assert judge("STOP").takes_ether
    assert not judge("CALLVALUE @no JUMPI STOP no: 0 0 REVERT").takes_ether
    assert judge("CALLVALUE @yes JUMPI 0 0 REVERT yes: STOP").takes_ether
    assert not judge(ACT).takes_ether, "asked of an inert account only"
    assert judge("0 0 LOG0").logs
    assert not judge("STOP").logs
    assert not judge("0 0 LOG0 0 0 REVERT").logs
    assert judge(f"0 0 0 0 {A} GAS DELEGATECALL", codes={A: "0 0 LOG0"}).logs


# --- what a branch shows ---------------------------------------------------------------------------------------------------

SHOWN: dict[str, tuple[str, dict[int, str]]] = {
    "the value sent, or a word of calldata": (
        "0 CALLDATALOAD @b JUMPI {a} @j JUMP b: {b} j: CALLVALUE SWAP1 @fail JUMPI @act JUMPI STOP act: 1 0 SSTORE STOP fail: 0 0 REVERT", {}),
    "the calldata's size, or a word of that size": (
        "0 CALLDATALOAD @b JUMPI {a} @j JUMP b: {b} j: CALLDATASIZE SWAP1 @fail JUMPI @act JUMPI STOP act: 1 0 SSTORE STOP fail: 0 0 REVERT", {}),
    "the return data's size, or a word of that size": (
        "0 0 CALLDATASIZE 0 4 GAS STATICCALL POP 0 CALLDATALOAD @b JUMPI {a} @j JUMP b: {b} j: RETURNDATASIZE SWAP1 @fail JUMPI @act JUMPI STOP act: 1 0 SSTORE STOP fail: 0 0 REVERT", {}),
    "what is in a slot, or a word like it": (
        "0 CALLDATALOAD @b JUMPI {a} @j JUMP b: {b} j: 0 SLOAD 0 0 SSTORE SWAP1 @fail JUMPI @act JUMPI STOP act: 1 0 SSTORE STOP fail: 0 0 REVERT", {}),
}  # fmt: skip
SHARED = {
    "the value sent, or a word of calldata": ("CALLVALUE", "32 CALLDATALOAD"),
    "the calldata's size, or a word of that size": ("CALLDATASIZE", f"32 CALLDATALOAD {2**64 - 1} AND"),
    "the return data's size, or a word of that size": ("RETURNDATASIZE", f"32 CALLDATALOAD {2**64 - 1} AND"),
    "what is in a slot, or a word like it": (
        "32 CALLDATALOAD DUP1 0 SSTORE", "32 CALLDATALOAD 64 CALLDATALOAD 0 SSTORE"),
}  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("what", SHOWN)
def test_two_words_that_are_one_on_one_path_only_are_two(what: str, turned: bool) -> None:
    """Two ways meet; on one of them the tested word IS the other word, on the other way it is only like it."""
    text, codes = SHOWN[what]
    a, b = SHARED[what][:: -1 if turned else 1]
    text = text.format(a=a, b=b)
    datas = [word.to_bytes(32, "big") + bytes(32) + (1).to_bytes(32, "big") for word in (0, 1)]
    assert any(really(text, data=data, value=1).effects for data in datas)
    assert judge(text, codes=codes).result == "acting"


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_negated_on_one_path_only_shows_nothing_on_the_other(turned: bool) -> None:
    """Two ways meet; on one of them the tested word is the other's ISZERO, on the other way a bit of calldata."""
    a, b = ("32 CALLDATALOAD DUP1 ISZERO", "32 CALLDATALOAD 64 CALLDATALOAD 1 AND")[:: -1 if turned else 1]
    text = f"0 CALLDATALOAD @b JUMPI {a} @j JUMP b: {b} j: @fail JUMPI @end JUMPI {ACT} end: STOP fail: 0 0 REVERT"
    assert any(really(text, data=bytes([first]) + bytes(95)).effects for first in (0, 1))
    assert judge(text).result == "acting"


@pytest.mark.parametrize("turned", [False, True])
def test_two_words_that_are_one_by_a_dup_on_one_path_only_are_two(turned: bool) -> None:
    """On the other path they are two, or another two are one."""
    for first, second in (
        ("32 CALLDATALOAD DUP1 0", "32 CALLDATALOAD 64 CALLDATALOAD 0"),
        ("32 CALLDATALOAD DUP1 64 CALLDATALOAD", "32 CALLDATALOAD 64 CALLDATALOAD DUP1"),
    ):
        a, b = (second, first) if turned else (first, second)
        text = (
            f"0 CALLDATALOAD @b JUMPI {a} @j JUMP b: {b} j: POP @fail JUMPI @act JUMPI STOP act: {ACT} fail: 0 0 REVERT"
        )
        assert any(really(text, data=bytes([way]) + bytes(62) + b"\1" + bytes(32)).effects for way in (0, 1))
        assert judge(text).result == "acting"


@pytest.mark.parametrize("calls", [2, 3, 4])
def test_two_outcomes_of_one_frame_are_two_values(calls: int) -> None:
    """Each call of the target writes (and returns) what is left of the gas, by one bit: never known to be the same."""
    once = f"0 0 0 0 {A} GAS DELEGATECALL @ok%d JUMPI 0 0 REVERT ok%d: "
    rows = "".join(once % (n, n) + "0 SLOAD " for n in range(calls))
    text = f"{rows} 0 0 SSTORE @fail JUMPI @act JUMPI STOP act: 1 0 SSTORE STOP fail: 0 0 REVERT"
    target = {A: "GAS 1 AND 0 SSTORE STOP"}
    assert judge(text, codes=target).result == "acting"
    sizes = "".join(once % (n, n) + "RETURNDATASIZE " for n in range(calls))
    text = f"{sizes} @fail JUMPI @act JUMPI STOP act: 1 0 SSTORE STOP fail: 0 0 REVERT"
    assert judge(text, codes={A: "GAS 31 AND 0 RETURN"}).result == "acting"
    assert any(really(text, codes={A: "GAS 31 AND 0 RETURN"}, gas=gas).effects for gas in range(300_000, 300_700))


def test_what_a_branch_shows_holds_for_the_word_it_tested() -> None:
    assert judge(f"0 CALLDATALOAD DUP1 @set JUMPI @act JUMPI STOP set: POP STOP act: {ACT}").result == "inert"
    assert judge(f"0 CALLDATALOAD DUP1 ISZERO @zero JUMPI POP STOP zero: @act JUMPI STOP act: {ACT}").result == "inert"
    assert judge(f"0 CALLDATALOAD DUP1 @set JUMPI @act JUMPI STOP set: @act JUMPI STOP act: {ACT}").result == "acting"


# --- the edges of the rules -------------------------------------------------------------------------------------------------


def test_the_stack_holds_1024_words() -> None:
    assert judge("1 " * 1022 + "1 0 SSTORE").result == "acting"
    assert judge("1 " * 1023 + "1 0 SSTORE").result == "inert"
    assert really("1 " * 1022 + "1 0 SSTORE").effects
    assert not really("1 " * 1023 + "1 0 SSTORE").effects


def test_frames_within_frames_are_followed_or_nothing_is_decided() -> None:
    """Each frame counts in a slot and continues in itself; the fifteenth acts, and the outermost puts the slot back."""
    text = f"0 SLOAD 15 EQ @act JUMPI 0 SLOAD 1 ADD 0 SSTORE 0 0 0 0 ADDRESS GAS DELEGATECALL POP 0 0 SSTORE STOP act: {ACT.replace('0 SSTORE', '1 SSTORE')}"
    assert really(text, gas=3_000_000).effects
    assert judge(text).result != "inert"


# --- what an instruction takes and gives ------------------------------------------------------------------------------------

TAKES = {
    0: "ADDRESS ORIGIN CALLER CALLVALUE CALLDATASIZE CODESIZE GASPRICE RETURNDATASIZE COINBASE TIMESTAMP NUMBER PREVRANDAO "
    "GASLIMIT CHAINID SELFBALANCE BASEFEE BLOBBASEFEE PC MSIZE GAS PUSH0",
    1: "ISZERO NOT BALANCE CALLDATALOAD EXTCODESIZE EXTCODEHASH BLOCKHASH BLOBHASH MLOAD SLOAD TLOAD -POP",
    2: "ADD MUL SUB DIV SDIV MOD SMOD EXP SIGNEXTEND LT GT SLT SGT EQ AND OR XOR BYTE SHL SHR SAR KECCAK256 "
    "-MSTORE -MSTORE8 -TSTORE -LOG0",
    3: "ADDMOD MULMOD CREATE -CALLDATACOPY -CODECOPY -RETURNDATACOPY -MCOPY -LOG1",
    4: "-EXTCODECOPY -LOG2 CREATE2",
    5: "-LOG3",
    6: "-LOG4 DELEGATECALL STATICCALL",
    7: "CALL CALLCODE",
}  # fmt: skip


@pytest.mark.parametrize(("name", "takes"), [(name, takes) for takes, names in TAKES.items() for name in names.split()])
def test_an_instruction_takes_and_gives_what_the_evm_says(name: str, takes: int) -> None:
    """What lies below is where it was: it names the slot that is written. One word less on the stack fails."""
    given = "" if name.startswith("-") else "POP"
    for last in ("0", "0 CALLDATALOAD"):
        operands = " ".join([*["0"] * (takes - 1), last] if takes else [])
        text = f"0xabc 1 0x5afe {operands} {name.removeprefix('-')} {given} SSTORE 0xabc EQ @end JUMPI 0 0 REVERT end: STOP"
        assert any("0x5afe" in effect for effect in really(text).effects)
        assert (0x5AFE, "SSTORE") in {(found.slot, found.opcode) for found in judge(text).findings} or name in (
            "CREATE", "CREATE2", "CALL", "CALLCODE", "DELEGATECALL",
        )  # fmt: skip
        assert judge(text).result == "acting"
    short = f"{'0 ' * (takes - 1)} {name.removeprefix('-')} STOP"
    if takes:
        assert not judge(short).takes_ether
        assert not really(short).success


@pytest.mark.parametrize("number", range(1, 17))
def test_a_dup_and_a_swap_reach_their_word(number: int) -> None:
    row = " ".join(str(0x500 + n) for n in range(17, 0, -1))
    for text, slot in (
        (f"{row} DUP{number} 1 SWAP1 SSTORE", 0x500 + number),
        (f"{row} SWAP{number} 1 SWAP1 SSTORE", 0x501 + number),
        (f"{row} SWAP{number} {'POP ' * number} 1 SWAP1 SSTORE", 0x501),
    ):
        assert [finding.slot for finding in judge(text).findings] == [slot]
        assert f"slot {slot:#x} " in str(really(text).effects)


# --- frames, and what is left out where much was found ----------------------------------------------------------------------

CHAIN = "0 SLOAD {n} EQ @act JUMPI 0 SLOAD 1 ADD 0 SSTORE 0 0 0 0 ADDRESS GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: 0 0 SSTORE STOP act: 1 1 SSTORE STOP"


def test_frames_are_followed_to_a_depth() -> None:
    assert really(CHAIN.format(n=DEPTH)).effects
    assert judge(CHAIN.format(n=DEPTH)).result == "acting"
    assert really(CHAIN.format(n=DEPTH + 1)).effects
    assert judge(CHAIN.format(n=DEPTH + 1)).reason == "recursion"


@pytest.mark.parametrize("wanted", range(6))
def test_every_outcome_of_an_acting_target_is_kept(wanted: int) -> None:
    """The account fails unless its target, which has acted, gives one certain answer."""
    calls = "0 0 0 0 0 99 GAS CALL POP"
    ways = "".join(f"{n} {n} CALLDATALOAD 248 SHR @e JUMPI POP " for n in range(5))
    target = {A: f"{calls} {ways} 5 @e JUMP e: 0 MSTORE 32 0 RETURN"}
    text = (
        "CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 "
        f"{A} GAS DELEGATECALL @ok JUMPI 0 0 REVERT ok: 32 0 0 RETURNDATACOPY 0 MLOAD {wanted} EQ @on JUMPI 0 0 REVERT on: 1 0 SSTORE STOP"
    )
    assert really(text, codes=target, data=bytes(wanted) + b"\1" * (wanted < 5) + bytes(5)).effects
    assert judge(text, codes=target).result == "acting"


def test_a_call_back_is_followed_behind_many_ways_that_act() -> None:
    """Locked, the account calls out, in five ways; and in one that comes last it writes slot 1."""
    ways = "".join(f"{n} {n} CALLDATALOAD 248 SHR @e JUMPI POP " for n in range(5))
    text = (
        "0 SLOAD @locked JUMPI 1 0 SSTORE 0 0 0 0 0 CALLER GAS CALL POP 0 0 SSTORE 1 SLOAD @on JUMPI 0 0 REVERT on: STOP "
        f"locked: 0 0 0 0 0 99 GAS CALL POP {ways} @w JUMP e: STOP w: 5 1 SSTORE STOP"
    )
    script = entry(2, (5).to_bytes(32, "big"), 0) + entry(2, (32).to_bytes(32, "big"), 2) + entry(0, b"")
    assert really(text, to=ATTACKERS[0], data=script).effects
    assert judge(text).result == "acting"


# --- the limits -------------------------------------------------------------------------------------------------------------


def test_an_instruction_is_a_step() -> None:
    """In each of the runs of which an analysis is made: any call, the questions, and a call with ether."""
    runs = judge("STOP").steps
    for count in (1, 100, 200, 1000):
        assert judge("PC POP " * count).steps == runs * (2 * count + 1)


def test_the_runs_of_an_analysis_share_its_limits() -> None:
    program = code("PC POP " * 500 + "32 CALLDATALOAD 0 MSTORE 64 0 RETURN")
    assert analyse(AccountFacts(SUBJECT, program, complete=True), Limits(steps=5000)).reason == "step_limit"
    assert analyse(AccountFacts(SUBJECT, program, complete=True), Limits(steps=15_000)).result == "inert"
    branches = "".join(f"{n} CALLDATALOAD @x{n} JUMPI x{n}: " for n in range(40))
    assert analyse(AccountFacts(SUBJECT, code(branches), complete=True), Limits(states=100)).reason == "state_limit"
    assert judge(branches).result == "inert"
    answer = "32 CALLDATALOAD 0 MSTORE 64 0 RETURN"
    assert judge(branches + answer).states > judge(answer).states + 6 * 40
    endless = "0 top: 1 ADD DUP1 1000000 GT @top JUMPI"
    assert analyse(AccountFacts(SUBJECT, code(endless), complete=True), Limits(steps=1000)).steps < 1300


def test_what_takes_long_counts_as_more_steps() -> None:
    runs = judge("STOP").steps
    hashing = judge(f"{LIMIT} 0 KECCAK256 POP STOP").steps // runs
    assert 4 + LIMIT // 512 < hashing < 4 + LIMIT // 128
    assert judge(f"{LIMIT * 4} 0 KECCAK256 POP STOP").steps // runs == hashing
    assert judge("0 CALLDATALOAD 0 KECCAK256 POP STOP").steps // runs < 10
    far = judge(f"1 {LIMIT - 32} MSTORE STOP").steps // runs
    assert far > 4 + LIMIT // 2048
    assert judge(f"1 {LIMIT - 32} MSTORE @j JUMP j: STOP").steps // runs > far + LIMIT // 256
    deep = judge("0 " * 1000 + "@j JUMP j: STOP").steps // runs
    assert deep > 1200
    many = "".join(f"1 {n} SSTORE " for n in range(200))
    back = "".join(f"0 {n} SSTORE " for n in range(200))
    assert judge(f"{many} @j JUMP j: {back} STOP").steps // runs > 1200 + 400 + 2 * 200 // 8 * 50
