"""How a frame ends, and where it goes on: STOP, RETURN, failing, jumps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from orchestrator.closure.evm.buffer import Data
from orchestrator.closure.evm.path import Path
from orchestrator.closure.evm.words import Word, few, truth

if TYPE_CHECKING:
    from orchestrator.closure.evm.frame import Frame


def _stop(frame: Frame, path: Path, _pc: int) -> bool:
    return frame.end(path, Data(b"", b"", 0))


def _return(frame: Frame, path: Path, _pc: int) -> bool:
    start, length = path.stack.pop(), path.stack.pop()
    return frame.end(path, path.memory.data(start, length))


def _fail(_frame: Frame, _path: Path, _pc: int) -> bool:
    return False


def _jump(frame: Frame, path: Path, pc: int) -> bool:
    target = path.stack[-1]
    if not isinstance(target, int):
        return _scatter(frame, path, pc, target)
    path.stack.pop()
    path.pc = target
    return target in frame.code.destinations


def _scatter(frame: Frame, path: Path, pc: int, target: Word) -> bool:
    """A jump to one of several targets: a table in the code."""
    values = few(target)
    if values is None:
        where = f"program counter {pc} of 0x{frame.code.address:040x}"
        frame.machine.give_up("unknown_jump", f"the jump at {where} has a target that is not known")
        return False
    return frame.divide(path, pc, 0, values)


def _jumpi(frame: Frame, path: Path, pc: int) -> bool:
    target, condition = path.stack[-1], path.stack[-2]
    jumps = truth(condition)
    if jumps is None:
        other = path.copy()
        del other.stack[-2:]
        frame.decide(other, pc, False, condition)
        frame.later(other)
        frame.decide(path, pc, True, condition)
    elif not jumps:
        del path.stack[-2:]
        return True
    path.stack[-2] = 1  # decided, should the target have to be divided first
    if not isinstance(target, int):
        return _scatter(frame, path, pc, target)
    del path.stack[-2:]
    path.pc = target
    return target in frame.code.destinations


CONTROL: Final[dict[str, Callable[[Frame, Path, int], bool]]] = {
    "STOP": _stop,
    "RETURN": _return,
    "REVERT": _fail,
    "INVALID": _fail,
    "JUMP": _jump,
    "JUMPI": _jumpi,
}
"""By name: true if the path goes on at its program counter, false if it ended or divided."""
