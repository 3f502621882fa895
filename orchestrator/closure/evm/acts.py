"""What can change something: writes to storage, logs, calls, creations. What acts, and what a call leaves unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from orchestrator.closure.evm.arithmetic import apply
from orchestrator.closure.evm.buffer import SIZE_BOUND, Data, Memory, unknown_data
from orchestrator.closure.evm.machine import ADDRESS_BITS
from orchestrator.closure.evm.opcodes import NAME, TAKES
from orchestrator.closure.evm.path import Path, Site, Trail
from orchestrator.closure.evm.words import AnyWord, Word, contains, least

if TYPE_CHECKING:
    from orchestrator.closure.evm.frame import Frame


def _sstore(frame: Frame, path: Path, pc: int) -> bool:
    slot, word = path.stack.pop(), path.stack.pop()
    if isinstance(slot, int):
        site = Site(frame.code.address, pc, slot)
        frame.machine.count_step(len(path.storage.written) >> 3)  # it is copied
        path.storage = path.storage.write(slot, word, frame.machine.proven(slot), site)
    else:
        path.storage = path.storage.anything(Site(frame.code.address, pc), least(slot))
    return True


def _log(frame: Frame, path: Path, pc: int) -> bool:
    del path.stack[-TAKES[frame.code.code[pc]] :]
    path.logged = True
    return True


def _act(frame: Frame, path: Path, pc: int, *, writes: bool, target: AnyWord = 0) -> None:
    """The instruction acts. ``writes``: whether it may itself write the account's storage. ``target``: who is
    called; 0 stands for none, as creation and SELFDESTRUCT call nobody.

    Anyone may be called from there, and may call back: then the storage stays as it is, or all of it is unknown.
    """
    if path.acted is None:
        path.acted = Site(frame.code.address, pc)
    itself = contains(apply("AND", target, ADDRESS_BITS), frame.machine.facts.address)
    if writes or not frame.machine.stays(path.storage, may_be_itself=itself):
        path.storage = path.storage.anything(Site(frame.code.address, pc))


def _create(frame: Frame, path: Path, pc: int) -> bool:
    del path.stack[-TAKES[frame.code.code[pc]] :]
    _act(frame, path, pc, writes=False)
    path.stack.append(Word(expression=("CREATE",)))
    path.returned = unknown_data()
    return True


def _call(frame: Frame, path: Path, pc: int) -> bool:
    """CALL and CALLCODE act, whatever the target, value and answer. STATICCALL only brings an unknown answer."""
    name = NAME[frame.code.code[pc]]
    operands = [path.stack.pop() for _ in range(TAKES[frame.code.code[pc]])]
    if name == "CALLCODE":
        frame.machine.reached.add(name)
    if name != "STATICCALL":
        _act(frame, path, pc, writes=name == "CALLCODE", target=operands[1])
    _answered(path, path.memory.forget(operands[-2], operands[-1]), Word(expression=(name, operands[1])))
    return True


def _selfdestruct(frame: Frame, path: Path, pc: int) -> bool:
    path.stack.pop()
    frame.machine.reached.add("SELFDESTRUCT")
    _act(frame, path, pc, writes=False)
    return frame.end(path, Data(b"", b"", 0))


def _answered(path: Path, memory: Memory, success: AnyWord) -> None:
    path.memory = memory
    path.stack.append(success)
    path.returned = unknown_data()


def _delegatecall(frame: Frame, path: Path, pc: int) -> bool:
    """Continues in the code of a target that is known, on the account's storage; else it acts.

    The call may always fail, for want of gas at least: 0, nothing kept of it, unknown return data.
    """
    _, address, start, length, out, room = (path.stack.pop() for _ in range(6))
    target = apply("AND", address, ADDRESS_BITS)
    forgotten = path.memory.forget(out, room)
    code = frame.machine.target(target) if isinstance(target, int) else None
    if code is None:
        frame.machine.reached.add("DELEGATECALL")
        _act(frame, path, pc, writes=True)
        _answered(path, forgotten, Word(0, SIZE_BOUND, expression=("DELEGATECALL", address)))
        return True
    calldata = path.memory.data(start, length)
    for outcome, trail in frame.inner(code, calldata, path.storage).items():
        after = path.copy()
        after.storage = outcome.storage
        after.acted = path.acted or outcome.acted
        after.logged = path.logged or outcome.logged
        after.trail = Trail(path.trail, trail)
        after.fork = frame.machine.count_state()
        size = outcome.returned.size
        if isinstance(room, int) and isinstance(size, int):
            after.memory = path.memory.copy(out, outcome.returned, 0, min(room, size))
        else:
            after.memory = forgotten
        after.stack.append(1)
        after.returned = outcome.returned
        frame.later(after)
    path.fork = frame.machine.count_state()
    _answered(path, forgotten, 0)
    return True


ACTS: Final[dict[str, Callable[[Frame, Path, int], bool]]] = {
    "SSTORE": _sstore,
    **{f"LOG{n}": _log for n in range(5)},
    "CREATE": _create,
    "CREATE2": _create,
    "CALL": _call,
    "CALLCODE": _call,
    "STATICCALL": _call,
    "DELEGATECALL": _delegatecall,
    "SELFDESTRUCT": _selfdestruct,
}
"""By name: true if the path goes on at its program counter, false if it ended or divided."""
