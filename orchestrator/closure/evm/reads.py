"""What a frame reads: the call's inputs, the chain's answers, its own code, memory, storage. Nothing here acts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from eth_hash.auto import keccak

from orchestrator.closure.evm.buffer import LIMIT, SIZE_BOUND, Data
from orchestrator.closure.evm.opcodes import NAME, TAKES
from orchestrator.closure.evm.path import Path
from orchestrator.closure.evm.words import AnyWord, Word, anew, few

if TYPE_CHECKING:
    from orchestrator.closure.evm.frame import Frame

HASHES: Final = 1 << 64
"""No hash is below, of whatever is hashed: to find one that is would take 2^192 tries. So an entry of a mapping is
never one of the first slots, in which a contract keeps its plain variables."""
ANSWERS: Final = (
    *("BALANCE", "GASPRICE", "EXTCODESIZE", "EXTCODEHASH", "BLOCKHASH", "COINBASE", "TIMESTAMP", "NUMBER"),
    *("PREVRANDAO", "GASLIMIT", "CHAINID", "SELFBALANCE", "BASEFEE", "BLOBHASH", "BLOBBASEFEE", "GAS", "TLOAD"),
)
"""Instructions whose answer may be anything. Transient storage is among them: another call may have set it."""


def _unknown(frame: Frame, path: Path, pc: int) -> bool:
    """An answer of the chain's: anything."""
    opcode = frame.code.code[pc]
    name = NAME[opcode]
    operands = [path.stack.pop() for _ in range(TAKES[opcode])]
    path.stack.append(Word(expression=(name, *operands)))
    return True


def _caller(frame: Frame, path: Path, _pc: int) -> bool:
    path.stack.append(anew(frame.machine.inputs.caller))
    return True


def _origin(frame: Frame, path: Path, _pc: int) -> bool:
    path.stack.append(anew(frame.machine.inputs.origin))
    return True


def _callvalue(frame: Frame, path: Path, _pc: int) -> bool:
    path.stack.append(anew(frame.machine.inputs.value))
    return True


def _address(frame: Frame, path: Path, _pc: int) -> bool:
    path.stack.append(frame.machine.facts.address)
    return True


def _size(_frame: Frame, path: Path, _pc: int) -> bool:
    """MSIZE: its growth is not followed."""
    path.stack.append(Word(0, SIZE_BOUND))
    return True


def _program_counter(_frame: Frame, path: Path, pc: int) -> bool:
    path.stack.append(pc)
    return True


def _codesize(frame: Frame, path: Path, _pc: int) -> bool:
    path.stack.append(len(frame.code.code))
    return True


def _calldatasize(frame: Frame, path: Path, _pc: int) -> bool:
    path.stack.append(anew(frame.calldata.size))
    return True


def _returndatasize(_frame: Frame, path: Path, _pc: int) -> bool:
    path.stack.append(anew(path.returned.size))
    return True


def _calldataload(frame: Frame, path: Path, _pc: int) -> bool:
    offset = path.stack.pop()
    word = frame.calldata.word(offset) if isinstance(offset, int) else Word(expression=("CALLDATALOAD", offset))
    path.stack.append(word)
    return True


def _calldatacopy(frame: Frame, path: Path, _pc: int) -> bool:
    target, source, length = (path.stack.pop() for _ in range(3))
    return frame.remember(path, path.memory.copy(target, frame.calldata, source, length))


def _codecopy(frame: Frame, path: Path, pc: int) -> bool:
    target, source, length = path.stack[-1], path.stack[-2], path.stack[-3]
    values = few(source)
    if isinstance(source, Word) and values is not None and isinstance(length, int):
        return frame.divide(path, pc, 1, values)  # a table in the code
    del path.stack[-3:]
    return frame.remember(path, path.memory.copy(target, Data.of(frame.code.code), source, length))


def _returndatacopy(frame: Frame, path: Path, _pc: int) -> bool:
    """Beyond the return data's end it fails (EIP-211), unlike the other copies."""
    target, source, length = (path.stack.pop() for _ in range(3))
    size = path.returned.size
    if isinstance(source, int) and isinstance(length, int) and isinstance(size, int) and source + length > size:
        return False
    return frame.remember(path, path.memory.copy(target, path.returned, source, length))


def _extcodecopy(frame: Frame, path: Path, _pc: int) -> bool:
    _, target, _, length = (path.stack.pop() for _ in range(4))
    return frame.remember(path, path.memory.forget(target, length))


def _pop(_frame: Frame, path: Path, _pc: int) -> bool:
    path.stack.pop()
    return True


def _mload(_frame: Frame, path: Path, _pc: int) -> bool:
    path.stack.append(path.memory.word(path.stack.pop()))
    return True


def _mstore(frame: Frame, path: Path, _pc: int) -> bool:
    return frame.remember(path, path.memory.store(path.stack.pop(), path.stack.pop()))


def _mstore8(frame: Frame, path: Path, _pc: int) -> bool:
    return frame.remember(path, path.memory.store8(path.stack.pop(), path.stack.pop()))


def _mcopy(frame: Frame, path: Path, _pc: int) -> bool:
    return frame.remember(path, path.memory.move(path.stack.pop(), path.stack.pop(), path.stack.pop()))


def _keccak(frame: Frame, path: Path, _pc: int) -> bool:
    start, length = path.stack.pop(), path.stack.pop()
    frame.machine.count_step(0 if isinstance(length, Word) else min(length, LIMIT) >> 8)
    word: AnyWord = Word(low=HASHES, expression=("KECCAK256", start, length))
    if length == 0:
        word = int.from_bytes(keccak(b""), "big")
    elif isinstance(start, int) and isinstance(length, int) and length <= LIMIT:
        values, known = path.memory.piece(start, length)
        if known == b"\xff" * length:
            word = int.from_bytes(keccak(values), "big")
    path.stack.append(word)
    return True


def _sload(frame: Frame, path: Path, _pc: int) -> bool:
    slot = path.stack.pop()
    if not isinstance(slot, int):
        word: AnyWord = Word(expression=("SLOAD", slot))
    elif slot in path.storage.written:
        word = anew(path.storage.written[slot])
    elif path.storage.is_unknown(slot):
        word = Word(expression=("SLOAD", slot))
    else:
        word = frame.machine.proven(slot)
    path.stack.append(word)
    return True


def _tstore(_frame: Frame, path: Path, _pc: int) -> bool:
    del path.stack[-2:]
    return True


READS: Final[dict[str, Callable[[Frame, Path, int], bool]]] = {
    "KECCAK256": _keccak,
    "ADDRESS": _address,
    "ORIGIN": _origin,
    "CALLER": _caller,
    "CALLVALUE": _callvalue,
    "CALLDATALOAD": _calldataload,
    "CALLDATASIZE": _calldatasize,
    "CALLDATACOPY": _calldatacopy,
    "CODESIZE": _codesize,
    "CODECOPY": _codecopy,
    "EXTCODECOPY": _extcodecopy,
    "RETURNDATASIZE": _returndatasize,
    "RETURNDATACOPY": _returndatacopy,
    "POP": _pop,
    "MLOAD": _mload,
    "MSTORE": _mstore,
    "MSTORE8": _mstore8,
    "MCOPY": _mcopy,
    "SLOAD": _sload,
    "TSTORE": _tstore,
    "PC": _program_counter,
    "MSIZE": _size,
    **dict.fromkeys(ANSWERS, _unknown),
}
"""By name: true if the path goes on at its program counter, false if it ended or divided."""
