"""Runtime code, taken apart once: instructions by program counter, and where a jump may land."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.closure.evm.opcodes import CODES

_PUSH0: Final = CODES["PUSH0"]
_PUSH32: Final = CODES["PUSH32"]
_JUMPDEST: Final = CODES["JUMPDEST"]


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """The code of ``address``."""

    address: int
    code: bytes
    pushed: dict[int, int]
    """The constant of each PUSH, by its program counter."""
    destinations: frozenset[int]
    """Every JUMPDEST that is an instruction: one inside of a PUSH's constant is none."""

    @classmethod
    def parse(cls, address: int, code: bytes) -> Code:
        """Takes any bytes apart. A constant that the code's end cuts short is filled with zeros on the right."""
        pushed: dict[int, int] = {}
        destinations: set[int] = set()
        pc, end = 0, len(code)
        while pc < end:
            opcode = code[pc]
            if _PUSH0 <= opcode <= _PUSH32:
                width = opcode - _PUSH0
                pushed[pc] = int.from_bytes(code[pc + 1 : pc + 1 + width].ljust(width, b"\0"), "big")
                pc += width
            elif opcode == _JUMPDEST:
                destinations.add(pc)
            pc += 1
        return cls(address, code, pushed, frozenset(destinations))
