"""Runtime code, taken apart once: instructions by program counter, and where a jump may land."""

from __future__ import annotations

from dataclasses import dataclass, field
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
