"""The instructions of the EVM up to Osaka: name, words taken from the stack, words put on it. Tables, no rules.

``CONCRETE`` is what those that compute give; ``Code`` is a contract's code, taken apart into instructions. Those of
Amsterdam are in ``amsterdam``.

Sources: the Ethereum execution specifications; EIP-3855 (PUSH0), EIP-1153 (TLOAD, TSTORE), EIP-5656 (MCOPY),
EIP-4844 and EIP-7516 (BLOBHASH, BLOBBASEFEE), EIP-7939 (CLZ). An opcode that is not here is undefined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from orchestrator.closure.evm.words import ONES, SIZE

TABLE: Final[dict[int, tuple[str, int, int]]] = {
    0x00: ("STOP", 0, 0),
    0x01: ("ADD", 2, 1),
    0x02: ("MUL", 2, 1),
    0x03: ("SUB", 2, 1),
    0x04: ("DIV", 2, 1),
    0x05: ("SDIV", 2, 1),
    0x06: ("MOD", 2, 1),
    0x07: ("SMOD", 2, 1),
    0x08: ("ADDMOD", 3, 1),
    0x09: ("MULMOD", 3, 1),
    0x0A: ("EXP", 2, 1),
    0x0B: ("SIGNEXTEND", 2, 1),
    0x10: ("LT", 2, 1),
    0x11: ("GT", 2, 1),
    0x12: ("SLT", 2, 1),
    0x13: ("SGT", 2, 1),
    0x14: ("EQ", 2, 1),
    0x15: ("ISZERO", 1, 1),
    0x16: ("AND", 2, 1),
    0x17: ("OR", 2, 1),
    0x18: ("XOR", 2, 1),
    0x19: ("NOT", 1, 1),
    0x1A: ("BYTE", 2, 1),
    0x1B: ("SHL", 2, 1),
    0x1C: ("SHR", 2, 1),
    0x1D: ("SAR", 2, 1),
    0x1E: ("CLZ", 1, 1),
    0x20: ("KECCAK256", 2, 1),
    0x30: ("ADDRESS", 0, 1),
    0x31: ("BALANCE", 1, 1),
    0x32: ("ORIGIN", 0, 1),
    0x33: ("CALLER", 0, 1),
    0x34: ("CALLVALUE", 0, 1),
    0x35: ("CALLDATALOAD", 1, 1),
    0x36: ("CALLDATASIZE", 0, 1),
    0x37: ("CALLDATACOPY", 3, 0),
    0x38: ("CODESIZE", 0, 1),
    0x39: ("CODECOPY", 3, 0),
    0x3A: ("GASPRICE", 0, 1),
    0x3B: ("EXTCODESIZE", 1, 1),
    0x3C: ("EXTCODECOPY", 4, 0),
    0x3D: ("RETURNDATASIZE", 0, 1),
    0x3E: ("RETURNDATACOPY", 3, 0),
    0x3F: ("EXTCODEHASH", 1, 1),
    0x40: ("BLOCKHASH", 1, 1),
    0x41: ("COINBASE", 0, 1),
    0x42: ("TIMESTAMP", 0, 1),
    0x43: ("NUMBER", 0, 1),
    0x44: ("PREVRANDAO", 0, 1),
    0x45: ("GASLIMIT", 0, 1),
    0x46: ("CHAINID", 0, 1),
    0x47: ("SELFBALANCE", 0, 1),
    0x48: ("BASEFEE", 0, 1),
    0x49: ("BLOBHASH", 1, 1),
    0x4A: ("BLOBBASEFEE", 0, 1),
    0x50: ("POP", 1, 0),
    0x51: ("MLOAD", 1, 1),
    0x52: ("MSTORE", 2, 0),
    0x53: ("MSTORE8", 2, 0),
    0x54: ("SLOAD", 1, 1),
    0x55: ("SSTORE", 2, 0),
    0x56: ("JUMP", 1, 0),
    0x57: ("JUMPI", 2, 0),
    0x58: ("PC", 0, 1),
    0x59: ("MSIZE", 0, 1),
    0x5A: ("GAS", 0, 1),
    0x5B: ("JUMPDEST", 0, 0),
    0x5C: ("TLOAD", 1, 1),
    0x5D: ("TSTORE", 2, 0),
    0x5E: ("MCOPY", 3, 0),
    **{0x5F + n: (f"PUSH{n}", 0, 1) for n in range(33)},
    **{0x7F + n: (f"DUP{n}", n, n + 1) for n in range(1, 17)},
    **{0x8F + n: (f"SWAP{n}", n + 1, n + 1) for n in range(1, 17)},
    **{0xA0 + n: (f"LOG{n}", n + 2, 0) for n in range(5)},
    0xF0: ("CREATE", 3, 1),
    0xF1: ("CALL", 7, 1),
    0xF2: ("CALLCODE", 7, 1),
    0xF3: ("RETURN", 2, 0),
    0xF4: ("DELEGATECALL", 6, 1),
    0xF5: ("CREATE2", 4, 1),
    0xFA: ("STATICCALL", 6, 1),
    0xFD: ("REVERT", 2, 0),
    0xFE: ("INVALID", 0, 0),
    0xFF: ("SELFDESTRUCT", 1, 0),
}

NAMES: Final[dict[int, str]] = {code: name for code, (name, _, _) in TABLE.items()}
CODES: Final[dict[str, int]] = {name: code for code, name in NAMES.items()}

NAME: Final[list[str]] = [NAMES.get(code, "") for code in range(256)]
"""By opcode; empty where it is undefined."""
TAKES: Final[list[int]] = [TABLE[code][1] if code in TABLE else 0 for code in range(256)]
GROWTH: Final[list[int]] = [TABLE[code][2] - TABLE[code][1] if code in TABLE else 0 for code in range(256)]
"""By how much the stack grows."""

SIGN: Final = 1 << 255
_PUSH0: Final = CODES["PUSH0"]
_PUSH32: Final = CODES["PUSH32"]
_JUMPDEST: Final = CODES["JUMPDEST"]


def signed(word: int) -> int:
    """Two's complement."""
    return word - SIZE if word & SIGN else word


def _sdiv(a: int, b: int) -> int:
    if b == 0:
        return 0
    a, b = signed(a), signed(b)
    quotient = abs(a) // abs(b)
    return (-quotient if (a < 0) != (b < 0) else quotient) & ONES


def _smod(a: int, b: int) -> int:
    if b == 0:
        return 0
    a, b = signed(a), signed(b)
    rest = abs(a) % abs(b)
    return (-rest if a < 0 else rest) & ONES


def _signextend(index: int, word: int) -> int:
    if index >= 31:
        return word
    width = 8 * index + 8
    low = word & ((1 << width) - 1)
    return low | (ONES ^ ((1 << width) - 1)) if low >> (width - 1) else low


CONCRETE: Final[dict[str, Callable[..., int]]] = {
    "ADD": lambda a, b: (a + b) & ONES,
    "MUL": lambda a, b: (a * b) & ONES,
    "SUB": lambda a, b: (a - b) & ONES,
    "DIV": lambda a, b: a // b if b else 0,
    "SDIV": _sdiv,
    "MOD": lambda a, b: a % b if b else 0,
    "SMOD": _smod,
    "ADDMOD": lambda a, b, n: (a + b) % n if n else 0,
    "MULMOD": lambda a, b, n: (a * b) % n if n else 0,
    "EXP": lambda a, b: pow(a, b, SIZE),
    "SIGNEXTEND": _signextend,
    "LT": lambda a, b: int(a < b),
    "GT": lambda a, b: int(a > b),
    "SLT": lambda a, b: int(signed(a) < signed(b)),
    "SGT": lambda a, b: int(signed(a) > signed(b)),
    "EQ": lambda a, b: int(a == b),
    "ISZERO": lambda a: int(a == 0),
    "AND": lambda a, b: a & b,
    "OR": lambda a, b: a | b,
    "XOR": lambda a, b: a ^ b,
    "NOT": lambda a: a ^ ONES,
    "BYTE": lambda i, x: (x >> (248 - 8 * i)) & 0xFF if i < 32 else 0,
    "SHL": lambda s, x: (x << s) & ONES if s < 256 else 0,
    "SHR": lambda s, x: x >> s if s < 256 else 0,
    "SAR": lambda s, x: (signed(x) >> min(s, 255)) & ONES,
    "CLZ": lambda x: 256 - x.bit_length(),
}
"""What an instruction gives (Yellow Paper, appendix H; EIP-145 for shifts, EIP-7939 for CLZ). Operands in the order of
the stack, its top first. All are words, and so is the result."""


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """The code of ``address``, taken apart once: constants by program counter, and where a jump may land."""

    address: int
    code: bytes
    destinations: frozenset[int]
    """Every JUMPDEST that is an instruction: one inside of a PUSH's constant is none."""
    _constants: dict[int, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, address: int, code: bytes) -> Code:
        """Takes any bytes apart."""
        destinations: set[int] = set()
        pc, end = 0, len(code)
        while pc < end:
            opcode = code[pc]
            if opcode == _JUMPDEST:
                destinations.add(pc)
            elif _PUSH0 < opcode <= _PUSH32:
                pc += opcode - _PUSH0
            pc += 1
        return cls(address, code, frozenset(destinations))

    def constant(self, pc: int) -> int:
        """The constant of the PUSH at ``pc``; what the code's end cuts off is filled with zeros on the right."""
        constant = self._constants.get(pc)
        if constant is None:
            width = self.code[pc] - _PUSH0
            constant = int.from_bytes(self.code[pc + 1 : pc + 1 + width].ljust(width, b"\0"), "big")
            self._constants[pc] = constant
        return constant
