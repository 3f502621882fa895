"""The instructions that Amsterdam adds: SLOTNUM (EIP-7843), and DUPN, SWAPN and EXCHANGE (EIP-8024).

The encoding is the one of February 2026 (ethereum/EIPs, pull request 11306), which a certificate names.

They are defined where the block's header has Amsterdam's fields (``AccountFacts.amsterdam``). The last three have an
immediate, the byte behind them, which the search for JUMPDESTs does not know: values that would hide or make one are
none of theirs, and make the instruction an undefined one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from orchestrator.closure.evm.path import STACK, Path
from orchestrator.closure.evm.words import Word

if TYPE_CHECKING:
    from orchestrator.closure.evm.frame import Frame


def single(immediate: int) -> int | None:
    """The depth that the immediate of DUPN and SWAPN stands for, of 17 to 235; None where it stands for none."""
    return None if 90 < immediate < 128 else (immediate + 145) % 256


def pair(immediate: int) -> tuple[int, int] | None:
    """The depths that the immediate of EXCHANGE stands for, the lower one first; None where it stands for none."""
    if 81 < immediate < 128:
        return None
    row, column = divmod(immediate ^ 143, 16)
    return (row + 1, column + 1) if row < column else (column + 1, 29 - row)


def _slotnum(_frame: Frame, path: Path, pc: int) -> bool:
    """The number of the beacon chain's slot: an answer of the chain's, so anything."""
    if len(path.stack) == STACK:
        return False
    path.stack.append(Word(expression=("SLOTNUM",)))
    path.pc = pc + 1
    return True


def _dupn(frame: Frame, path: Path, pc: int) -> bool:
    depth = single(_immediate(frame, pc))
    if depth is None:
        return _undefined(frame, pc)
    if not depth <= len(path.stack) < STACK:
        return False
    path.stack.append(path.stack[-depth])
    path.pc = pc + 2
    return True


def _swapn(frame: Frame, path: Path, pc: int) -> bool:
    depth = single(_immediate(frame, pc))
    return _undefined(frame, pc) if depth is None else _exchanged(path, pc, 0, depth)


def _exchange(frame: Frame, path: Path, pc: int) -> bool:
    depths = pair(_immediate(frame, pc))
    return _undefined(frame, pc) if depths is None else _exchanged(path, pc, *depths)


def _exchanged(path: Path, pc: int, upper: int, lower: int) -> bool:
    """The words at these depths change places; the stack's top is at 0."""
    stack = path.stack
    if lower >= len(stack):
        return False
    stack[-1 - upper], stack[-1 - lower] = stack[-1 - lower], stack[-1 - upper]
    path.pc = pc + 2
    return True


def _immediate(frame: Frame, pc: int) -> int:
    """Behind the code's end there are zeros, as for a PUSH."""
    code = frame.code.code
    return code[pc + 1] if pc + 1 < len(code) else 0


def _undefined(frame: Frame, pc: int) -> bool:
    """It halts today. For ever must not rest on it: another fork may give the immediate a meaning."""
    where = f"{frame.code.code[pc : pc + 2].hex()} at program counter {pc} of 0x{frame.code.address:040x}"
    frame.machine.give_up("undefined_opcode", f"an instruction with an undefined immediate, {where}, can be reached")
    return False


AMSTERDAM: Final[dict[int, Callable[[Frame, Path, int], bool]]] = {
    0x4B: _slotnum,
    0xE6: _dupn,
    0xE7: _swapn,
    0xE8: _exchange,
}
"""By opcode: true if the path goes on at its program counter, false if it ended."""
