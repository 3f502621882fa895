"""A small EVM assembler with labels, for the cases that Solidity cannot say. It shares no code with what is tested.

``assemble("start: 0x2a 0 SSTORE @start JUMP #5bfe")``: words separated by white space.

    ADD, SSTORE …   the instruction of that name
    0x2a, 42, -1    PUSH of that number, as short as can be (PUSH0 for zero; a negative one in two's complement)
    PUSH3:0x2a      PUSH of exactly that many bytes
    name:           a JUMPDEST, and the label for it
    @name           PUSH2 of the label's place
    name=           a label for the next byte, without a JUMPDEST
    #5bfe           these bytes as they are
    ; …             a comment, to the end of the line
"""

from __future__ import annotations

NAMES: dict[str, int] = {
    name: first + index
    for first, names in {
        0x00: "STOP ADD MUL SUB DIV SDIV MOD SMOD ADDMOD MULMOD EXP SIGNEXTEND",
        0x10: "LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR CLZ",
        0x20: "KECCAK256",
        0x30: "ADDRESS BALANCE ORIGIN CALLER CALLVALUE CALLDATALOAD CALLDATASIZE CALLDATACOPY CODESIZE CODECOPY "
        "GASPRICE EXTCODESIZE EXTCODECOPY RETURNDATASIZE RETURNDATACOPY EXTCODEHASH",
        0x40: "BLOCKHASH COINBASE TIMESTAMP NUMBER PREVRANDAO GASLIMIT CHAINID SELFBALANCE BASEFEE BLOBHASH "
        "BLOBBASEFEE",
        0x50: "POP MLOAD MSTORE MSTORE8 SLOAD SSTORE JUMP JUMPI PC MSIZE GAS JUMPDEST TLOAD TSTORE MCOPY",
        0x80: " ".join(f"DUP{depth}" for depth in range(1, 17)),
        0x90: " ".join(f"SWAP{depth}" for depth in range(1, 17)),
        0xA0: "LOG0 LOG1 LOG2 LOG3 LOG4",
        0xF0: "CREATE CALL CALLCODE RETURN DELEGATECALL CREATE2",
        0xFA: "STATICCALL",
        0xFD: "REVERT INVALID SELFDESTRUCT",
    }.items()
    for index, name in enumerate(names.split())
}


class AssemblyError(ValueError):
    """Names the word that has no meaning, or the label that is not there."""


def assemble(text: str) -> bytes:
    """The bytes of a program. Raises ``AssemblyError``."""
    words = [word for line in text.splitlines() for word in line.partition(";")[0].split()]
    code = bytearray()
    labels: dict[str, int] = {}
    references: list[tuple[int, str]] = []
    for word in words:
        if word in NAMES:
            code.append(NAMES[word])
        elif word.startswith("#"):
            code += bytes.fromhex(word[1:])
        elif word.startswith("@"):
            references.append((len(code) + 1, word[1:]))
            code += b"\x61\x00\x00"
        elif word.endswith((":", "=")):
            labels[word[:-1]] = len(code)
            if word.endswith(":"):
                code.append(NAMES["JUMPDEST"])
        else:
            code += _push(word)
    for place, name in references:
        if name not in labels:
            raise AssemblyError(f"no label {name!r}, there are {', '.join(sorted(labels)) or 'none'}")
        code[place : place + 2] = labels[name].to_bytes(2)
    return bytes(code)


def _push(word: str) -> bytes:
    kind, _, number = word.rpartition(":")
    try:
        value = int(number, 0) % 2**256
        size = int(kind.removeprefix("PUSH")) if kind else (value.bit_length() + 7) // 8
    except ValueError:
        raise AssemblyError(f"{word!r} is no instruction, label or number") from None
    return bytes([0x5F + size]) + value.to_bytes(size)
