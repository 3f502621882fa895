# ruff: noqa: E501  (a program is one line)
"""Each rule that the proof rests on, named, with the smallest program that shows it: what is said, and that it is so.

A rule that makes a program acting is shown to be needed: the real EVM does what the analysis says it may.
"""

from __future__ import annotations

import pytest

from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import Analysis, Facts, Limits

from .asm import code
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
    return analyse(Facts(SUBJECT, program, storage or {}, targets, **facts))


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
    "no origin is 0": (f"ORIGIN ISZERO @act JUMPI STOP act: {ACT}", {}),
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


@pytest.mark.parametrize("target", [0, 1, 4, 9, 0x100, 0x8006, 0xFFFF, NOBODY, A, B, C])
def test_a_target_that_runs_no_code_of_the_evm_is_not_continued_in(target: int) -> None:
    """Precompiles and system contracts, no code, a 7702 delegation, a reserved prefix, a lone INVALID."""
    codes = {A: bytes.fromhex("ef0100") + bytes(20), B: b"\xfe", C: b"\xef\x00"}
    analysis = judge(f"0 0 0 0 {target} GAS DELEGATECALL", codes=codes)  # type: ignore[arg-type]
    assert [finding.opcode for finding in analysis.findings] == ["DELEGATECALL"]


def test_a_target_of_which_nothing_is_known_acts() -> None:
    for target in ("0 CALLDATALOAD", "CALLER", "0 0 0 0 99 GAS STATICCALL"):
        assert judge(f"0 0 0 0 {target} GAS DELEGATECALL").findings[0].opcode == "DELEGATECALL"


def test_a_target_is_left_where_its_effects_are_undone() -> None:
    assert judge(f"0 0 0 0 {A} GAS DELEGATECALL", codes={A: "5 0 SSTORE 0 0 REVERT"}).result == "inert"
    assert judge(f"0 0 0 0 {A} GAS DELEGATECALL 0 0 REVERT", codes={A: ACT}).result == "inert"
    assert judge(f"0 0 0 0 {A} GAS DELEGATECALL @on JUMPI STOP on: 0 0 REVERT", codes={A: ACT}).result == "inert"


# --- calls that come back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["ADDRESS", str(SUBJECT), "0 CALLDATALOAD", "ADDRESS 0 CALLDATALOAD ADD"])
def test_an_account_that_calls_itself_may_do_what_only_itself_may(target: str) -> None:
    """The path that calls fails UNLESS the call has written: assuming that it has not would be assuming the claim."""
    text = f"ADDRESS CALLER EQ @own JUMPI 0 0 0 0 0 {target} GAS CALL POP 0 SLOAD @on JUMPI 0 0 REVERT on: STOP own: 1 0 SSTORE STOP"
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


def test_an_acting_path_is_told_even_if_others_cannot_be_followed() -> None:
    assert judge("0 CALLDATALOAD @a JUMPI 32 CALLDATALOAD JUMP a: 1 0 SSTORE").result == "acting"
    assert judge('0 CALLDATALOAD @a JUMPI x"0c" a: 1 0 SSTORE').result == "acting"


def test_the_limits_decide_nothing() -> None:
    loop = code("0 top: 1 ADD DUP1 1000000 GT @top JUMPI")
    assert analyse(Facts(SUBJECT, loop, complete=True), Limits(steps=1000)).reason == "step_limit"
    branches = code("0 CALLDATALOAD @a JUMPI a: 1 CALLDATALOAD @b JUMPI b: 2 CALLDATALOAD @c JUMPI c: STOP")
    assert analyse(Facts(SUBJECT, branches, complete=True), Limits(states=2)).reason == "state_limit"
    acting = code("0 CALLDATALOAD @a JUMPI 0 top: 1 ADD DUP1 1000000 GT @top JUMPI a: 1 0 SSTORE")
    assert analyse(Facts(SUBJECT, acting, complete=True), Limits(steps=2000)).result == "acting"


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
    assert judge(text).result == "undecided"


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
    assert judge("0 0 LOG0").logs
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
