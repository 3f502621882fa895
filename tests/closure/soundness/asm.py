"""A tiny assembler with labels, of its own: it shares no table with the engine that it helps to test.

An item is a mnemonic (``"ADD"``), an integer (the shortest PUSH), raw ``bytes``, a ``Label`` (a JUMPDEST stands there),
a ``Here`` (a place without a JUMPDEST, as a data table has) or a ``Ref`` (PUSH2 of a label's place, plus ``add``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_ROWS: dict[int, str] = {
    0x00: "STOP ADD MUL SUB DIV SDIV MOD SMOD ADDMOD MULMOD EXP SIGNEXTEND",
    0x10: "LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR CLZ",
    0x20: "KECCAK256",
    0x30: "ADDRESS BALANCE ORIGIN CALLER CALLVALUE CALLDATALOAD CALLDATASIZE CALLDATACOPY CODESIZE CODECOPY GASPRICE "
    "EXTCODESIZE EXTCODECOPY RETURNDATASIZE RETURNDATACOPY EXTCODEHASH",
    0x40: "BLOCKHASH COINBASE TIMESTAMP NUMBER PREVRANDAO GASLIMIT CHAINID SELFBALANCE BASEFEE BLOBHASH BLOBBASEFEE",
    0x50: "POP MLOAD MSTORE MSTORE8 SLOAD SSTORE JUMP JUMPI PC MSIZE GAS JUMPDEST TLOAD TSTORE MCOPY PUSH0",
    0x60: " ".join(f"PUSH{n}" for n in range(1, 33)),
    0x80: " ".join(f"DUP{n}" for n in range(1, 17)),
    0x90: " ".join(f"SWAP{n}" for n in range(1, 17)),
    0xA0: "LOG0 LOG1 LOG2 LOG3 LOG4",
    0xF0: "CREATE CALL CALLCODE RETURN DELEGATECALL CREATE2",
    0xFA: "STATICCALL",
    0xFD: "REVERT INVALID SELFDESTRUCT",
}
OPS: dict[str, int] = {name: first + at for first, names in _ROWS.items() for at, name in enumerate(names.split())}


@dataclass(frozen=True, slots=True)
class Label:
    name: str


@dataclass(frozen=True, slots=True)
class Here:
    name: str


@dataclass(frozen=True, slots=True)
class Ref:
    name: str
    add: int = 0


Item = str | int | bytes | Label | Here | Ref


def push(value: int, width: int | None = None) -> bytes:
    """The PUSH of ``value``; of ``width`` bytes, or as short as can be (PUSH0 for 0)."""
    size = (value.bit_length() + 7) // 8 if width is None else width
    return bytes([0x5F + size]) + value.to_bytes(size, "big")


def assemble(items: Iterable[Item]) -> bytes:
    """The code. Labels that are missing, or named twice, are a KeyError or an AssertionError: a test's own mistake."""
    listed = list(items)
    places: dict[str, int] = {}
    at = 0
    for item in listed:
        match item:
            case Label(name) | Here(name):
                assert name not in places, f"the label {name} stands twice"
                places[name] = at
                at += isinstance(item, Label)
            case Ref():
                at += 3
            case bytes():
                at += len(item)
            case int():
                at += len(push(item))
            case _:
                at += 1
    out = bytearray()
    for item in listed:
        match item:
            case Label():
                out.append(OPS["JUMPDEST"])
            case Here():
                pass
            case Ref(name, add):
                out += push((places[name] + add) & 0xFFFF, 2)
            case bytes():
                out += item
            case int():
                out += push(item)
            case str():
                out.append(OPS[item])
    return bytes(out)


def code(text: str) -> bytes:
    """``"0 SLOAD @open JUMPI 0 0 REVERT open: 1 0 SSTORE"`` as code: numbers are pushed, ``name:`` is a JUMPDEST,
    ``@name`` pushes its place, ``name::`` a place without one, ``x"00ff"`` raw bytes."""
    items: list[Item] = []
    for word in text.split():
        if word.startswith("@"):
            items.append(Ref(word[1:]))
        elif word.endswith("::"):
            items.append(Here(word[:-2]))
        elif word.endswith(":"):
            items.append(Label(word[:-1]))
        elif word.startswith('x"'):
            items.append(bytes.fromhex(word[2:-1]))
        elif word[0].isdigit():
            items.append(int(word, 0))
        else:
            items.append(word)
    return assemble(items)
