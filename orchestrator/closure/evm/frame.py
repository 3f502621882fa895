"""One frame: follows every path through a code, instruction by instruction.

Two rules hold everywhere. A path that fails undoes its own frame, so it is simply dropped; every call may fail, so the
frame that made it goes on as if it had. And where something is unknown, all that it may be is followed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from eth_hash.auto import keccak

from orchestrator.closure.evm.arithmetic import CONCRETE, apply
from orchestrator.closure.evm.buffer import LIMIT, SIZE_BOUND, Data, Memory, unknown_data
from orchestrator.closure.evm.code import Code
from orchestrator.closure.evm.facts import Branch
from orchestrator.closure.evm.machine import ADDRESS_BITS, OUTCOMES, Machine, Missing, Outcome
from orchestrator.closure.evm.opcodes import CODES, TABLE
from orchestrator.closure.evm.path import Path, Site, Storage, Trail
from orchestrator.closure.evm.words import AnyWord, Word, anew, few, least, truth

STACK: Final = 1024
HASHES: Final = 1 << 64
"""No hash is below, of whatever is hashed: to find one that is would take 2^192 tries. So an entry of a mapping is
never one of the first slots, in which a contract keeps its plain variables."""
VISITS: Final = 8
"""Different states that are followed through one place before they are taken together."""
STORAGES: Final = 32
"""Different contents of storage that are told apart at one place."""
KEPT_WAYS: Final = 3
"""Ways to one acting instruction of the outermost frame; more would say nothing new."""

_NAMES: Final = [TABLE[code][0] if code in TABLE else "" for code in range(256)]
_TAKES: Final = [TABLE[code][1] if code in TABLE else 0 for code in range(256)]
_GROWTH: Final = [TABLE[code][2] - TABLE[code][1] if code in TABLE else 0 for code in range(256)]
_PURE: Final = [CONCRETE.get(name) for name in _NAMES]
_ANSWERS: Final = (
    *("BALANCE", "GASPRICE", "EXTCODESIZE", "EXTCODEHASH", "BLOCKHASH", "COINBASE", "TIMESTAMP", "NUMBER"),
    *("PREVRANDAO", "GASLIMIT", "CHAINID", "SELFBALANCE", "BASEFEE", "BLOBHASH", "BLOBBASEFEE", "GAS", "TLOAD"),
)
"""Instructions whose answer may be anything. Transient storage is among them: another call may have set it."""
_PUSH0, _PUSH32 = CODES["PUSH0"], CODES["PUSH32"]
_DUP1, _DUP16 = CODES["DUP1"], CODES["DUP16"]
_ISZERO = CODES["ISZERO"]
_SWAP1, _SWAP16 = CODES["SWAP1"], CODES["SWAP16"]


class _Place:
    """The states seen at one place."""

    __slots__ = ("last_fork", "seen", "visits", "widened")

    def __init__(self) -> None:
        self.seen: set[tuple[object, ...]] = set()
        self.visits = 0
        self.last_fork = -1
        self.widened: Path | None = None


class Frame:
    """The execution of ``code`` on ``calldata`` by the account. Adds its outcomes to ``outcomes``."""

    def __init__(
        self, machine: Machine, code: Code, calldata: Data, depth: int, outcomes: dict[Outcome, Trail]
    ) -> None:
        self.machine = machine
        self.code = code
        self.calldata = calldata
        self.depth = depth
        self.outcomes = outcomes
        self._work: list[Path] = []
        self._places: dict[tuple[object, ...], _Place] = {}
        self._storages: dict[tuple[int, int], set[Storage]] = {}
        self._ways: dict[Site, int] = {}

    def run(self, storage: Storage) -> None:
        """Follows all paths from the beginning. Raises Exhausted."""
        self._work.append(Path(storage))
        while self._work:
            try:
                self._follow(self._work.pop())
            except Missing:
                continue

    def _follow(self, path: Path) -> None:
        """One path, until it ends or divides; its parts are then in ``_work``."""
        code, constant, end = self.code.code, self.code.constant, len(self.code.code)
        steps = 0
        while True:
            pc, stack = path.pc, path.stack
            opcode = code[pc] if pc < end else 0  # past the end there is STOP
            steps += 1
            if steps >= 256:
                self.machine.count_step(steps)
                steps = 0
            if len(stack) < _TAKES[opcode] or len(stack) + _GROWTH[opcode] > STACK:
                break
            pure = _PURE[opcode]
            if _PUSH0 <= opcode <= _PUSH32:
                stack.append(constant(pc))
                path.pc = pc + 1 + opcode - _PUSH0
            elif _DUP1 <= opcode <= _DUP16:
                stack.append(stack[_DUP1 - 1 - opcode])
                path.pc = pc + 1
            elif _SWAP1 <= opcode <= _SWAP16:
                other = _SWAP1 - 2 - opcode
                stack[-1], stack[other] = stack[other], stack[-1]
                path.pc = pc + 1
            elif pure is not None:
                operands = [stack.pop() for _ in range(_TAKES[opcode])]
                if all(type(operand) is int for operand in operands):
                    stack.append(pure(*operands))
                else:
                    result = apply(_NAMES[opcode], *operands)
                    stack.append(result)
                    if opcode == _ISZERO and isinstance(result, Word) and isinstance(operands[0], Word):
                        path.negated[id(result)] = (result, operands[0])
                path.pc = pc + 1
            elif not _NAMES[opcode]:
                where = f"0x{opcode:02x} at program counter {pc} of 0x{self.code.address:040x}"
                self.machine.give_up("undefined_opcode", f"the undefined opcode {where} can be reached")
                break
            elif opcode == _JUMPDEST:
                merged = self._merge(path)
                if merged is None:
                    break
                path = merged
                path.negated = {}
                path.pc = pc + 1
            else:
                path.pc = pc + 1
                if not _INSTRUCTIONS[opcode](self, path, pc):
                    break
        self.machine.count_step(steps)

    # --- where paths meet ---------------------------------------------------------------------------------------

    def _merge(self, path: Path) -> Path | None:
        """At a JUMPDEST: None if all that the path can do has been followed from here before.

        A place is a program counter with the return addresses on the stack. Beyond some visits the states of a place
        are taken together: the widened state stands for each of them, so following it alone misses nothing, and as
        it can only lose knowledge, a loop that runs an unknown number of times ends. A loop without a decision is
        executed as it is.
        """
        if self.depth == 0 and path.acted is not None and self._ways.get(path.acted, 0) >= KEPT_WAYS:
            return None
        targets = self.code.destinations
        spot = (path.pc, len(path.stack))
        storages = self._storages.setdefault(spot, set())
        storages.add(path.storage)
        where = (
            *spot,
            path.acted,
            path.logged,
            path.storage if len(storages) <= STORAGES else path.storage.proven,
            tuple([word for word in path.stack if type(word) is int and word in targets]),
        )
        place = self._places.get(where)
        if place is None:
            place = self._places[where] = _Place()
        key = path.key()
        if key in place.seen:
            return None
        if place.visits < VISITS or place.last_fork == path.fork:
            place.visits += place.last_fork != path.fork
            place.last_fork = path.fork
            place.seen.add(key)
            return path
        joined = path if place.widened is None else place.widened.widen(path, self.machine.slots)
        if place.widened is not None and joined.key() == place.widened.key():
            return None
        place.widened = joined.copy()
        place.last_fork = path.fork
        return joined

    def _divide(self, path: Path, pc: int, depth: int, values: tuple[int, ...]) -> bool:
        """Follows the instruction at ``pc`` again with each value for the word at ``depth`` of the stack."""
        for value in values:
            part = path.copy()
            part.pc = pc
            part.stack[-1 - depth] = value
            part.fork = self.machine.count_state()
            self._work.append(part)
        return False

    def _end(self, path: Path, returned: Data) -> bool:
        """The frame succeeds."""
        outcome = Outcome(path.storage, path.acted, path.logged, returned)
        if outcome not in self.outcomes and len(self.outcomes) >= OUTCOMES:
            outcome = outcome._replace(returned=unknown_data())
        self.outcomes.setdefault(outcome, path.trail)
        if path.acted is not None:
            self._ways[path.acted] = self._ways.get(path.acted, 0) + 1
        return False

    # --- ends and jumps -----------------------------------------------------------------------------------------

    def _stop(self, path: Path, _pc: int) -> bool:
        return self._end(path, Data(b"", b"", 0))

    def _return(self, path: Path, _pc: int) -> bool:
        start, length = path.stack.pop(), path.stack.pop()
        return self._end(path, path.memory.data(start, length))

    def _fail(self, _path: Path, _pc: int) -> bool:
        return False

    def _jump(self, path: Path, pc: int) -> bool:
        target = path.stack[-1]
        if not isinstance(target, int):
            return self._scatter(path, pc, target)
        path.stack.pop()
        path.pc = target
        return target in self.code.destinations

    def _scatter(self, path: Path, pc: int, target: Word) -> bool:
        """A jump to one of several targets: a table in the code."""
        values = few(target)
        if values is None:
            where = f"program counter {pc} of 0x{self.code.address:040x}"
            self.machine.give_up("unknown_jump", f"the jump at {where} has a target that is not known")
            return False
        return self._divide(path, pc, 0, values)

    def _jumpi(self, path: Path, pc: int) -> bool:
        target, condition = path.stack[-1], path.stack[-2]
        jumps = truth(condition)
        if jumps is None:
            other = path.copy()
            del other.stack[-2:]
            self._decide(other, pc, False, condition)
            self._work.append(other)
            self._decide(path, pc, True, condition)
        elif not jumps:
            del path.stack[-2:]
            return True
        path.stack[-2] = 1  # decided, should the target have to be divided first
        if not isinstance(target, int):
            return self._scatter(path, pc, target)
        del path.stack[-2:]
        path.pc = target
        return target in self.code.destinations

    def _decide(self, path: Path, pc: int, taken: bool, condition: AnyWord) -> None:
        path.learn(condition, taken)
        path.trail = Trail(path.trail, (Branch(self.code.address, pc, taken, condition),))
        path.fork = self.machine.count_state()

    # --- what the call and the chain bring ----------------------------------------------------------------------

    def _unknown(self, path: Path, pc: int) -> bool:
        """An answer of the chain's: anything."""
        opcode = self.code.code[pc]
        name = _NAMES[opcode]
        operands = [path.stack.pop() for _ in range(_TAKES[opcode])]
        answer = self.machine.inputs.others.get(name)
        path.stack.append(anew(answer) if answer is not None else Word(expression=(name, *operands)))
        return True

    def _caller(self, path: Path, _pc: int) -> bool:
        path.stack.append(anew(self.machine.inputs.caller))
        return True

    def _origin(self, path: Path, _pc: int) -> bool:
        path.stack.append(anew(self.machine.inputs.origin))
        return True

    def _callvalue(self, path: Path, _pc: int) -> bool:
        path.stack.append(anew(self.machine.inputs.value))
        return True

    def _address(self, path: Path, _pc: int) -> bool:
        path.stack.append(self.machine.facts.address)
        return True

    def _size(self, path: Path, _pc: int) -> bool:
        """MSIZE: its growth is not followed."""
        path.stack.append(Word(0, SIZE_BOUND))
        return True

    def _program_counter(self, path: Path, pc: int) -> bool:
        path.stack.append(pc)
        return True

    def _codesize(self, path: Path, _pc: int) -> bool:
        path.stack.append(len(self.code.code))
        return True

    def _calldatasize(self, path: Path, _pc: int) -> bool:
        path.stack.append(anew(self.calldata.size))
        return True

    def _returndatasize(self, path: Path, _pc: int) -> bool:
        path.stack.append(anew(path.returned.size))
        return True

    def _calldataload(self, path: Path, _pc: int) -> bool:
        offset = path.stack.pop()
        word = self.calldata.word(offset) if isinstance(offset, int) else Word(expression=("CALLDATALOAD", offset))
        path.stack.append(word)
        return True

    def _calldatacopy(self, path: Path, _pc: int) -> bool:
        target, source, length = (path.stack.pop() for _ in range(3))
        path.memory = path.memory.copy(target, self.calldata, source, length)
        return True

    def _codecopy(self, path: Path, pc: int) -> bool:
        target, source, length = path.stack[-1], path.stack[-2], path.stack[-3]
        values = few(source)
        if isinstance(source, Word) and values is not None and isinstance(length, int):
            return self._divide(path, pc, 1, values)  # a table in the code
        del path.stack[-3:]
        path.memory = path.memory.copy(target, Data.of(self.code.code), source, length)
        return True

    def _returndatacopy(self, path: Path, _pc: int) -> bool:
        """Beyond the return data's end it fails (EIP-211), unlike the other copies."""
        target, source, length = (path.stack.pop() for _ in range(3))
        size = path.returned.size
        if isinstance(source, int) and isinstance(length, int) and isinstance(size, int) and source + length > size:
            return False
        path.memory = path.memory.copy(target, path.returned, source, length)
        return True

    def _extcodecopy(self, path: Path, _pc: int) -> bool:
        _, target, _, length = (path.stack.pop() for _ in range(4))
        path.memory = path.memory.forget(target, length)
        return True

    # --- memory -------------------------------------------------------------------------------------------------

    def _pop(self, path: Path, _pc: int) -> bool:
        path.stack.pop()
        return True

    def _mload(self, path: Path, _pc: int) -> bool:
        path.stack.append(path.memory.word(path.stack.pop()))
        return True

    def _mstore(self, path: Path, _pc: int) -> bool:
        path.memory = path.memory.store(path.stack.pop(), path.stack.pop())
        return True

    def _mstore8(self, path: Path, _pc: int) -> bool:
        path.memory = path.memory.store8(path.stack.pop(), path.stack.pop())
        return True

    def _mcopy(self, path: Path, _pc: int) -> bool:
        path.memory = path.memory.move(path.stack.pop(), path.stack.pop(), path.stack.pop())
        return True

    def _keccak(self, path: Path, _pc: int) -> bool:
        start, length = path.stack.pop(), path.stack.pop()
        word: AnyWord = Word(low=HASHES, expression=("KECCAK256", start, length))
        if length == 0:
            word = int.from_bytes(keccak(b""), "big")
        elif isinstance(start, int) and isinstance(length, int) and length <= LIMIT:
            values, known = path.memory.piece(start, length)
            if known == b"\xff" * length:
                word = int.from_bytes(keccak(values), "big")
        path.stack.append(word)
        return True

    # --- storage, logs ------------------------------------------------------------------------------------------

    def _sload(self, path: Path, _pc: int) -> bool:
        slot = path.stack.pop()
        if not isinstance(slot, int):
            word: AnyWord = Word(expression=("SLOAD", slot))
        elif slot in path.storage.written:
            word = anew(path.storage.written[slot])
        elif path.storage.is_unknown(slot):
            word = Word(expression=("SLOAD", slot))
        else:
            word = self.machine.proven(slot)
        path.stack.append(word)
        return True

    def _sstore(self, path: Path, pc: int) -> bool:
        slot, word = path.stack.pop(), path.stack.pop()
        if isinstance(slot, int):
            site = Site(self.code.address, pc, slot)
            path.storage = path.storage.write(slot, word, self.machine.proven(slot), site)
        else:
            path.storage = path.storage.anything(Site(self.code.address, pc), least(slot))
        return True

    def _tstore(self, path: Path, _pc: int) -> bool:
        del path.stack[-2:]
        return True

    def _log(self, path: Path, pc: int) -> bool:
        del path.stack[-_TAKES[self.code.code[pc]] :]
        path.logged = True
        return True

    # --- acts ---------------------------------------------------------------------------------------------------

    def _act(self, path: Path, pc: int, *, writes: bool) -> None:
        """The instruction acts. ``writes``: whether it may itself write the account's storage.

        Anyone may be called back from there. A call back finds the storage as it is now: if that is the proven one it
        leaves it so, which is just what is being shown for every call (induction over the nesting); else it is unknown.
        """
        if path.acted is None:
            path.acted = Site(self.code.address, pc)
        if writes or not path.storage.proven:
            path.storage = path.storage.anything()

    def _create(self, path: Path, pc: int) -> bool:
        del path.stack[-_TAKES[self.code.code[pc]] :]
        self._act(path, pc, writes=False)
        path.stack.append(Word(expression=("CREATE",)))
        path.returned = unknown_data()
        return True

    def _call(self, path: Path, pc: int) -> bool:
        """CALL and CALLCODE act, whatever the target, value and answer. STATICCALL only brings an unknown answer."""
        name = _NAMES[self.code.code[pc]]
        operands = [path.stack.pop() for _ in range(_TAKES[self.code.code[pc]])]
        if name == "CALLCODE":
            self.machine.reached.add(name)
        if name != "STATICCALL":
            self._act(path, pc, writes=name == "CALLCODE")
        self._answered(path, path.memory.forget(operands[-2], operands[-1]), Word(expression=(name, operands[1])))
        return True

    def _selfdestruct(self, path: Path, pc: int) -> bool:
        path.stack.pop()
        self.machine.reached.add("SELFDESTRUCT")
        self._act(path, pc, writes=False)
        return self._end(path, Data(b"", b"", 0))

    def _answered(self, path: Path, memory: Memory, success: AnyWord) -> None:
        path.memory = memory
        path.stack.append(success)
        path.returned = unknown_data()

    def _delegatecall(self, path: Path, pc: int) -> bool:
        """Continues in the code of a target that is known, on the account's storage; else it acts.

        The call may always fail, for want of gas at least: 0, nothing kept of it, unknown return data.
        """
        _, address, start, length, out, room = (path.stack.pop() for _ in range(6))
        target = apply("AND", address, ADDRESS_BITS)
        forgotten = path.memory.forget(out, room)
        code = self.machine.target(target) if isinstance(target, int) else None
        if code is None:
            self.machine.reached.add("DELEGATECALL")
            self._act(path, pc, writes=True)
            self._answered(path, forgotten, Word(0, SIZE_BOUND, expression=("DELEGATECALL", address)))
            return True
        calldata = path.memory.data(start, length)
        for outcome, trail in self.machine.frame(code, calldata, path.storage, self.depth + 1).items():
            after = path.copy()
            after.storage = outcome.storage
            after.acted = path.acted or outcome.acted
            after.logged = path.logged or outcome.logged
            after.trail = Trail(path.trail, trail.listed())
            after.fork = self.machine.count_state()
            size = outcome.returned.size
            if isinstance(room, int) and isinstance(size, int):
                after.memory = path.memory.copy(out, outcome.returned, 0, min(room, size))
            else:
                after.memory = forgotten
            after.stack.append(1)
            after.returned = outcome.returned
            self._work.append(after)
        path.fork = self.machine.count_state()
        self._answered(path, forgotten, 0)
        return True


_JUMPDEST: Final = CODES["JUMPDEST"]

_BY_NAME: Final[dict[str, Callable[[Frame, Path, int], bool]]] = {
    "STOP": Frame._stop,
    "KECCAK256": Frame._keccak,
    "ADDRESS": Frame._address,
    "ORIGIN": Frame._origin,
    "CALLER": Frame._caller,
    "CALLVALUE": Frame._callvalue,
    "CALLDATALOAD": Frame._calldataload,
    "CALLDATASIZE": Frame._calldatasize,
    "CALLDATACOPY": Frame._calldatacopy,
    "CODESIZE": Frame._codesize,
    "CODECOPY": Frame._codecopy,
    "EXTCODECOPY": Frame._extcodecopy,
    "RETURNDATASIZE": Frame._returndatasize,
    "RETURNDATACOPY": Frame._returndatacopy,
    "POP": Frame._pop,
    "MLOAD": Frame._mload,
    "MSTORE": Frame._mstore,
    "MSTORE8": Frame._mstore8,
    "SLOAD": Frame._sload,
    "SSTORE": Frame._sstore,
    "JUMP": Frame._jump,
    "JUMPI": Frame._jumpi,
    "PC": Frame._program_counter,
    "MSIZE": Frame._size,
    "TSTORE": Frame._tstore,
    "MCOPY": Frame._mcopy,
    **{f"LOG{n}": Frame._log for n in range(5)},
    "CREATE": Frame._create,
    "CREATE2": Frame._create,
    "CALL": Frame._call,
    "CALLCODE": Frame._call,
    "STATICCALL": Frame._call,
    "DELEGATECALL": Frame._delegatecall,
    "RETURN": Frame._return,
    "REVERT": Frame._fail,
    "INVALID": Frame._fail,
    "SELFDESTRUCT": Frame._selfdestruct,
    **dict.fromkeys(_ANSWERS, Frame._unknown),
}

_INSTRUCTIONS: Final = {CODES[name]: function for name, function in _BY_NAME.items()}
