"""Programs that are hard to analyse, up to the size that a contract may have, as an attacker of the tool would deploy.

Each must end, as whatever result, within about a second; none may raise. Deterministic.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

LIMIT = 24_576
"""Bytes: EIP-170's limit of a contract's code."""
WORD = "0x" + "a7" * 32


def _assembler() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "cases" / "assembler.py"
    spec = importlib.util.spec_from_file_location("assembler_of_worst_cases", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


assemble = _assembler().assemble


def repeat(rung: str, end: str = "STOP", start: str = "") -> bytes:
    """As many rungs as a contract can hold; ``{n}`` is the rung's number, ``{next}`` a label of its own."""

    def program(count: int) -> bytes:
        rungs = " ".join(rung.replace("{n}", str(n)).replace("{next}", f"next{n}") for n in range(count))
        return bytes(assemble(f"{start} {rungs} {end}"))

    count = 64 * LIMIT // len(program(64))
    while len(code := program(count)) > LIMIT:  # later rungs have longer numbers
        count = count * LIMIT // len(code) - 1
    return code


def _ladders() -> dict[str, bytes]:
    return {
        "ladder: unknown conditions, nothing between": repeat("{n} CALLDATALOAD @{next} JUMPI {next}:"),
        "ladder: a different word on the stack by each path": repeat(
            "{n} CALLDATALOAD @{next} JUMPI PUSH2:{n} ADD {next}:", "POP STOP", "0"
        ),
        "ladder: an unknown word on the stack by each path": repeat(
            "{n} CALLDATALOAD @{next} JUMPI {n} CALLDATALOAD XOR {next}:", "POP STOP", "0"
        ),
        "ladder: a byte of memory by each path": repeat("{n} CALLDATALOAD @{next} JUMPI 1 {n} MSTORE8 {next}:"),
        "ladder: a word of memory at odd places by each path": repeat(
            "{n} CALLDATALOAD @{next} JUMPI CALLER PUSH3:{n} 37 MUL MSTORE {next}:"
        ),
        "ladder: transient storage by each path": repeat("{n} CALLDATALOAD @{next} JUMPI 1 {n} TSTORE {next}:"),
        "ladder: storage by each path, then a revert": repeat(
            "{n} CALLDATALOAD @{next} JUMPI CALLER {n} SSTORE {next}:", "0 0 REVERT"
        ),
        "ladder: a lock of storage by each path": repeat(
            "{n} CALLDATALOAD @{next} JUMPI 1 {n} SSTORE 0 {n} SSTORE {next}:"
        ),
        "ladder: static calls, their answers tested": repeat(
            "32 0 0 0 {n} CALLDATALOAD GAS STATICCALL @{next} JUMPI 0 MLOAD POP {next}:"
        ),
        "ladder: deeper by each path": repeat("{n} CALLDATALOAD @{next} JUMPI CALLER POP {next}: 0"),
        "switch: hundreds of selectors, each to a tail of its own": bytes(
            assemble(
                "0 CALLDATALOAD 224 SHR "
                + " ".join(f"DUP1 PUSH4:{0x10000000 + 7919 * n} EQ @case{n} JUMPI" for n in range(1000))
                + " 0 0 REVERT "
                + " ".join(f"case{n}: CALLER {n} MSTORE STOP" for n in range(1000))
            )
        ),
    }


def _loops() -> dict[str, bytes]:
    return {
        "loop: for ever": assemble("top: @top JUMP"),
        "loop: counts for ever": assemble("0 top: 1 ADD @top JUMP"),
        "loop: 2^32 times, counted": assemble("0 top: 1 ADD DUP1 0x100000000 GT @top JUMPI STOP"),
        "loop: until an unknown number": assemble("0 top: 1 ADD DUP1 0 CALLDATALOAD GT @top JUMPI STOP"),
        "loop: memory grows by a word, counted": assemble(
            "0 top: CALLER DUP2 MSTORE 32 ADD DUP1 0xffffff GT @top JUMPI STOP"
        ),
        "loop: memory grows until an unknown number": assemble(
            "0 top: DUP1 DUP1 MSTORE 32 ADD DUP1 0 CALLDATALOAD GT @top JUMPI STOP"
        ),
        "loop: three deep, all unknown, with memory": assemble(
            "0 a: 0 b: 0 c: 1 ADD DUP1 DUP3 MSTORE DUP1 0 CALLDATALOAD GT @c JUMPI POP 1 ADD DUP1 32 CALLDATALOAD GT "
            "@b JUMPI POP 1 ADD DUP1 64 CALLDATALOAD GT @a JUMPI STOP"
        ),
        "loop: the stack grows until it overflows": assemble("top: CALLER 0 CALLDATALOAD @top JUMPI STOP"),
        "loop: a hash of the last hash": assemble("top: 32 0 KECCAK256 0 MSTORE @top JUMP"),
        "loop: an expression that doubles": assemble("0 CALLDATALOAD top: DUP1 ADD @top JUMP"),
        "loop: storage, a slot a turn": assemble(
            "0 top: 1 ADD DUP1 SLOAD @top JUMPI DUP1 0 CALLDATALOAD GT @top JUMPI STOP"
        ),
        "loop: delegate calls to itself with other calldata": assemble(
            "0 MLOAD 1 ADD 0 MSTORE 32 0 CALLDATALOAD 1 ADD 0 MSTORE 0 0 32 0 ADDRESS GAS DELEGATECALL STOP"
        ),
        "loop: delegate calls to itself, twice": assemble(
            "CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 ADDRESS GAS DELEGATECALL 0 0 1 CALLDATASIZE ADD 0 "
            "ADDRESS GAS DELEGATECALL AND @yes JUMPI 0 0 REVERT yes: STOP"
        ),
        "loops: one after the other, each unknown": repeat(
            "0 {next}: 1 ADD DUP1 {n} CALLDATALOAD GT @{next} JUMPI POP"
        ),
    }


def _memory() -> dict[str, bytes]:
    return {
        "memory: a copy of 2^24 bytes of calldata": assemble("0x1000000 0 0 CALLDATACOPY 0xfffff MLOAD POP STOP"),
        "memory: a copy of 2^64 bytes of calldata": assemble("0x10000000000000000 0 0 CALLDATACOPY STOP"),
        "memory: a store at 2^255": assemble(f"CALLER 0x8{'0' * 63} MSTORE STOP"),
        "memory: sparse copies of calldata": repeat("PUSH2:7 {n} PUSH3:{n} PUSH2:1009 MUL CALLDATACOPY"),
        "memory: sparse copies of the code": repeat("PUSH2:97 {n} PUSH3:{n} PUSH2:61 MUL CODECOPY"),
        "memory: overlapping copies of itself": repeat("PUSH2:97 {n} PUSH3:{n} 31 ADD MCOPY", start="CALLER 0 MSTORE"),
        "memory: the whole of it copied by a byte, again and again": repeat(
            "PUSH3:0x5000 0 1 MCOPY", start="CODESIZE 0 0 CODECOPY CALLER 0 MSTORE"
        ),
        "memory: copies of unknown size": repeat("{n} CALLDATALOAD 0 {n} CALLDATACOPY"),
        "memory: copies to unknown places": repeat("PUSH2:97 0 {n} CALLDATALOAD CALLDATACOPY"),
        "memory: a hash of 2^20 bytes, again and again": repeat(
            "PUSH4:0x100000 {n} KECCAK256 POP", start="CALLER 0 MSTORE"
        ),
        "memory: a hash of all known bytes, again and again": repeat(
            "CODESIZE {n} KECCAK256 POP", start="CODESIZE 0 0 CODECOPY"
        ),
        "memory: a hash of half unknown bytes": repeat("PUSH2:0x800 {n} KECCAK256 {n} MSTORE"),
        "memory: answers of 2^16 bytes": repeat("PUSH3:0x10000 0 0 0 CALLER GAS STATICCALL POP"),
        "memory: logs of all of it": repeat("PUSH3:0x10000 0 LOG0", start="CALLER 0 MSTORE"),
    }


def _words() -> dict[str, bytes]:
    full = " ".join(f"{n} CALLDATALOAD" for n in range(1000))
    return {
        "words: an expression that doubles": repeat("DUP1 ADD", "POP STOP", "0 CALLDATALOAD"),
        "words: an expression that doubles, tested": repeat(
            "DUP1 ADD DUP1 @{next} JUMPI {next}:", "POP STOP", "0 CALLDATALOAD"
        ),
        "words: a long sum of unknowns": repeat("{n} CALLDATALOAD ADD", "POP STOP", "0"),
        "words: powers of powers": repeat(f"PUSH32:{WORD} EXP", "POP STOP", "CALLER"),
        "words: known powers of powers": repeat(f"PUSH32:{WORD} EXP", "POP STOP", WORD),
        "words: known products of 512 bits": repeat(f"PUSH32:{WORD} DUP2 MULMOD", "POP STOP", WORD),
        "words: bits of unknowns": repeat("DUP1 7 SHR XOR DUP1 3 SHL OR 1 SUB", "POP STOP", "0 CALLDATALOAD"),
        "stack: a thousand unknowns, and a ladder": bytes(
            assemble(
                full + " ".join(f" DUP{1 + n % 16} @s{n} JUMPI SWAP{1 + n % 16} s{n}:" for n in range(2000)) + " STOP"
            )
        ),
        "jumps: a sled, and an unknown jump": bytes(assemble("0 CALLDATALOAD JUMP")) + b"\x5b" * 20_000,
        "jumps: a table of two hundred, by a remainder": _table(200),
        "jumps: a table of a thousand, by a remainder": _table(1000),
        "code: all JUMPDEST": b"\x5b" * LIMIT,
        "code: all PUSH32": b"\x7f" * LIMIT,
        "code: all CALLER": b"\x33" * LIMIT,
        "code: all 0xfe": b"\xfe" * LIMIT,
    }


def _table(count: int) -> bytes:
    """A jump to one of `count` places, by a table of two bytes each, as Vyper's dispatch does."""

    def program(table: int) -> bytes:
        head = f"2 PUSH2:{count} 0 CALLDATALOAD MOD 2 MUL PUSH2:{table} ADD 30 CODECOPY 0 MLOAD JUMP"
        return bytes(assemble(head))

    start = len(program(0))
    places = " ".join(f"t{n}: PUSH2:{n} POP STOP" for n in range(count))
    code = program(start + 6 * count) + bytes(assemble(places))
    return code + b"".join((start + 6 * n).to_bytes(2, "big") for n in range(count))


@cache
def programs() -> dict[str, bytes]:
    """By name; assembling them takes 2 s."""
    return {**_ladders(), **_loops(), **_memory(), **_words()}
