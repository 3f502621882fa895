"""One frame: follows every path through a code, instruction by instruction.

Two rules hold everywhere. A path that fails undoes its own frame, so it is simply dropped; every call may fail, so the
frame that made it goes on as if it had. And where something is unknown, all that it may be is followed.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.closure.evm.acts import ACTS
from orchestrator.closure.evm.amsterdam import AMSTERDAM
from orchestrator.closure.evm.arithmetic import apply
from orchestrator.closure.evm.buffer import Data, Memory, unknown_data
from orchestrator.closure.evm.control import CONTROL
from orchestrator.closure.evm.facts import Branch
from orchestrator.closure.evm.machine import DEPTH, Machine, Missing, Outcome, Running
from orchestrator.closure.evm.opcodes import CODES, CONCRETE, GROWTH, NAME, TAKES, Code
from orchestrator.closure.evm.path import STACK, Path, Site, Storage, Trail
from orchestrator.closure.evm.reads import READS
from orchestrator.closure.evm.words import AnyWord, Word

LOOP_ROUNDS: Final = 512
"""Rounds of loops without a decision that are executed as they are, at one place."""
STORAGES: Final = 32
"""Different contents of storage that are kept apart at one place."""
NEGATED: Final = 16
"""Results of ISZERO that are remembered between two JUMPDESTs."""
OUTCOMES: Final = 64
"""Outcomes of a frame that are kept apart by their return data."""
RECURSION_ROUNDS: Final = 8
"""Runs of a frame that calls itself, until it gives no new outcome."""
KEPT_WAYS: Final = 3
"""Ways to one acting instruction of the outermost frame; more would say nothing new."""

_PURE: Final[list[Any]] = [CONCRETE.get(name) for name in NAME]
_ROOM: Final = [STACK - growth for growth in GROWTH]

_INSTRUCTIONS: Final = {CODES[name]: function for name, function in {**CONTROL, **READS, **ACTS}.items()}
_PUSH0, _PUSH32 = CODES["PUSH0"], CODES["PUSH32"]
_DUP1, _DUP16 = CODES["DUP1"], CODES["DUP16"]
_SWAP1, _SWAP16 = CODES["SWAP1"], CODES["SWAP16"]
_JUMPDEST, _ISZERO = CODES["JUMPDEST"], CODES["ISZERO"]


class _Place:
    """The states seen at one place."""

    __slots__ = ("last_fork", "rounds", "seen", "visits", "widened")

    def __init__(self) -> None:
        self.seen: set[tuple[object, ...]] = set()
        self.visits = 0
        self.rounds = 0
        self.last_fork = -1
        self.widened: Path | None = None


def run_frame(machine: Machine, code: Code, calldata: Data, storage: Storage, depth: int) -> dict[Outcome, Trail]:
    """All successful ends of a frame, each with one way to it. That it fails is always possible beside them.

    A frame that calls itself again, with the same code, calldata and storage, is run until its outcomes, put in for the
    inner call, give no others: then they are all. Raises Exhausted.
    """
    key = (code.address, calldata, storage)
    if key in machine.done:
        return machine.done[key]
    if key in machine.running:
        machine.running[key].recursive = True
        machine.outermost_use = min(machine.outermost_use, list(machine.running).index(key))
        return dict(machine.running[key].outcomes)
    if depth > DEPTH:
        machine.give_up("recursion", f"more than {DEPTH} frames within frames")
        return {}
    running = machine.running[key] = Running()
    if depth == 0:
        machine.outermost = running.outcomes
    position = len(machine.running) - 1
    try:
        for _ in range(RECURSION_ROUNDS):
            before = len(running.outcomes)
            Frame(machine, code, calldata, depth, running.outcomes).run(storage)
            if not running.recursive or len(running.outcomes) == before:
                break
        else:
            machine.give_up("recursion", f"a frame that calls itself has new outcomes after {RECURSION_ROUNDS} rounds")
    finally:
        del machine.running[key]
    if machine.outermost_use >= position:  # nothing that is still in progress was used: this is final
        machine.outermost_use = DEPTH + 1
        machine.done[key] = running.outcomes
    return running.outcomes


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
        self._ways: dict[Site | None, int] = {}

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
            if not TAKES[opcode] <= len(stack) <= _ROOM[opcode]:
                break
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
            elif _PURE[opcode] is not None:
                operands = stack[: -TAKES[opcode] - 1 : -1]  # the top first
                del stack[-TAKES[opcode] :]
                if all(type(operand) is int for operand in operands):
                    stack.append(_PURE[opcode](*operands))
                else:
                    result = apply(NAME[opcode], *operands)
                    stack.append(result)
                    if opcode == _ISZERO and isinstance(result, Word) and isinstance(operands[0], Word):
                        if len(path.negated) >= NEGATED:
                            path.negated = {}
                        path.negated[id(result)] = (result, operands[0])
                path.pc = pc + 1
            elif not NAME[opcode]:
                later = AMSTERDAM.get(opcode) if self.machine.facts.amsterdam else None
                if later is None:
                    where = f"0x{opcode:02x} at program counter {pc} of 0x{self.code.address:040x}"
                    self.machine.give_up("undefined_opcode", f"the undefined opcode {where} can be reached")
                if later is None or not later(self, path, pc):
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
        executed as it is, for long.
        """
        if self.depth == 0 and not self.machine.all_ends and self._ways.get(path.acted, 0) >= KEPT_WAYS:
            return None
        kept = len(path.stack) // 4 + len(path.memory.values) // 128 + 2 * len(path.storage.written)
        self.machine.count_step(4 + kept)  # comparing is work too
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
        again = place.last_fork == path.fork
        if (again and place.rounds < LOOP_ROUNDS) or (not again and place.visits < self.machine.limits.visits):
            place.rounds += again
            place.visits += not again
            place.last_fork = path.fork
            place.seen.add(key)
            return path
        joined = path if place.widened is None else place.widened.widen(path, self.machine.slots)
        if place.widened is not None and joined.key() == place.widened.key():
            return None
        place.widened = joined.copy()
        place.last_fork = path.fork
        return joined

    def divide(self, path: Path, pc: int, depth: int, values: tuple[int, ...]) -> bool:
        """Follows the instruction at ``pc`` again with each value for the word at ``depth`` of the stack."""
        for value in values:
            part = path.copy()
            part.pc = pc
            part.stack[-1 - depth] = value
            part.fork = self.machine.count_state()
            self._work.append(part)
        return False

    def remember(self, path: Path, memory: Memory) -> bool:
        """The path has written to memory, which copies it: work too."""
        path.memory = memory
        self.machine.count_step(len(memory.values) >> 10)
        return True

    def inner(self, code: Code, calldata: Data, storage: Storage) -> dict[Outcome, Trail]:
        """All successful ends of a frame that this one calls. Raises Exhausted."""
        return run_frame(self.machine, code, calldata, storage, self.depth + 1)

    def later(self, path: Path) -> None:
        """A part of a path, to be followed when this one has ended."""
        self._work.append(path)

    def end(self, path: Path, returned: Data) -> bool:
        """The frame succeeds."""
        outcome = Outcome(path.storage, path.acted, path.logged, returned)
        if outcome not in self.outcomes and len(self.outcomes) >= OUTCOMES:
            outcome = outcome._replace(returned=unknown_data())
        self.outcomes.setdefault(outcome, path.trail)
        if path.acted is not None:
            self._ways[path.acted] = self._ways.get(path.acted, 0) + 1
        if self.depth == 0 and (path.acted is not None or not path.storage.proven):
            self.machine.found()
        return False

    def decide(self, path: Path, pc: int, taken: bool, condition: AnyWord) -> None:
        """The JUMPI at ``pc`` did or did not jump: what that shows, and that it was so."""
        path.learn(condition, taken)
        path.trail = Trail(path.trail, Branch(self.code.address, pc, taken, condition))
        path.fork = self.machine.count_state()
