"""Proposes calls that may follow a path: the search for a witness. Nothing rests on it.

The analysis names an acting instruction and the decisions on a way to it. Here each decision's condition is turned
around, step by step (``calldata >> 224 == 0x…`` gives four bytes of calldata), until one call meets them all, as far as
a caller can choose. Whether such a call really acts is then seen by executing it; a search that finds nothing only
leaves a verdict ``inconclusive``. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.closure.evm.arithmetic import CONCRETE, SIGN, signed
from orchestrator.closure.evm.facts import Authority, Branch, Facts, Finding
from orchestrator.closure.evm.machine import LOWEST_TARGET
from orchestrator.closure.evm.words import ONES, SIZE, AnyWord, Word, contains

CALLER: Final = 0xCA11E4CA11E4CA11E4CA11E4CA11E4CA11E40001
"""An account like any other, for calls that need no particular sender."""
HELPER: Final = 0x4E19E44E19E44E19E44E19E44E19E44E19E40002
"""A fresh address at which a call may find code of the caller's making."""
HELPER_CODE: Final = bytes.fromhex("600160005260206000f3")
"""Answers every call with the word 1."""
DEFAULT_SIZE: Final = 4 + 32 * 9
MAX_SIZE: Final = 1 << 17
"""Bytes of calldata. More does not fit into a transaction."""
ROUNDS: Final = 80
SYSTEM: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the account. ``value`` is in wei; None for ``timestamp`` (seconds) and ``number`` leaves the block's.

    ``codes`` is code to be put at fresh addresses; the sender may be given any balance.
    """

    sender: int
    calldata: bytes
    value: int = 0
    timestamp: int | None = None
    number: int | None = None
    codes: Mapping[int, bytes] = field(default_factory=dict)


def propose(facts: Facts, target: Finding | Authority, *, timestamp: int, number: int) -> list[Call]:
    """Calls that may follow the target's path, the most promising first; at most a handful, none twice.

    ``timestamp`` (seconds) and ``number`` are the pinned block's: a call comes later, not earlier.
    """
    fillings = [0, 1, HELPER]
    if isinstance(target, Authority):
        fillings = [0, target.selector << 224, 1]
    calls: list[Call] = []
    for filling in fillings:
        search = _Search(facts, target, filling, timestamp, number)
        if search.solve() and (call := search.call()) not in calls:
            calls.append(call)
    return calls


class _Search:
    """One attempt: inputs that are changed until they meet every decision, each as far as those before it allow."""

    def __init__(self, facts: Facts, target: Finding | Authority, filling: int, timestamp: int, number: int) -> None:
        self.facts = facts
        self.path: tuple[Branch, ...] = target.path
        self.filling = filling.to_bytes(32, "big")
        self.bytes: dict[int, tuple[int, int, int]] = {}
        """Byte of calldata, to its value, the mask of its bits that were chosen, and of those that are settled."""
        self.chosen: dict[str, int] = {}
        """The size of the calldata, the sender, the value and the time, where they were chosen, by the instruction."""
        self.settled: dict[str, int] = {}
        """The bits of them that an equation has decided: another condition may not change them any more."""
        self.settling = True
        """Whether an equation is being met; else what is chosen may be chosen again."""
        self.now = {"TIMESTAMP": timestamp, "NUMBER": number}
        self.wishes: dict[int, int] = {}
        """Values of what no caller chooses, by the word's identity: executed, the call will show them."""
        self.helper = filling == HELPER
        if isinstance(target, Authority):
            for index, byte in enumerate(target.selector.to_bytes(4, "big")):
                self.bytes[index] = (byte, 0xFF, 0xFF)

    def solve(self) -> bool:
        """Chooses the inputs: equations first, as they leave no choice. Whether any decision is met in the end.

        A decision that cannot be met is left out: paths that met were followed as one, so the way to here that is
        known need not be the way that can be gone. What the call really does is seen when it is executed.
        """
        path = [part for branch in self.path for part in _parts(branch)]
        kept: list[Branch] = []
        for _ in range(ROUNDS):
            unmet = [b for b in path if bool(self.evaluate(b.condition)) != b.taken]
            if not unmet:
                break
            equations = [branch for branch in unmet if _is_equation(branch.condition, branch.taken)]
            self.settling = bool(equations)
            branch = (equations or unmet)[-1]
            before = (self.bytes.copy(), self.chosen.copy(), self.settled.copy())
            done = self._satisfy(branch.condition, branch.taken)
            broken = [b for b in kept if bool(self.evaluate(b.condition)) != b.taken]
            if not done or (broken and kept.count(branch)):
                self.bytes, self.chosen, self.settled = before
                path.remove(branch)
            kept.append(branch)
        return bool(path) or not self.path

    def call(self) -> Call:
        self._shorten()
        calldata = bytes(self._byte(index) for index in range(self._size()))
        return Call(
            self._sender(),
            calldata,
            self.chosen.get("CALLVALUE", 0),
            self.chosen.get("TIMESTAMP"),
            self.chosen.get("NUMBER"),
            {HELPER: HELPER_CODE} if self.helper else {},
        )

    def _met(self) -> list[bool]:
        return [bool(self.evaluate(branch.condition)) == branch.taken for branch in self.path]

    def _shorten(self) -> None:
        """Leaves out arguments that nothing asks for: a person reads the call."""
        if "CALLDATASIZE" in self.chosen or any(self.filling):
            return
        met, used = self._met(), max(self.bytes, default=-1) + 1
        for size in (0, *range(4, self._size(), 32)):
            self.chosen["CALLDATASIZE"] = size
            if size >= used and self._met() == met:
                return
        del self.chosen["CALLDATASIZE"]

    # --- the inputs as they are -----------------------------------------------------------------------------------

    def _size(self) -> int:
        used = max(self.bytes, default=-1) + 1
        return self.chosen.get("CALLDATASIZE", max(DEFAULT_SIZE, used))

    def _byte(self, index: int) -> int:
        filler = self.filling[(index - 4) % 32] if index >= 4 else 0
        value, mask, _ = self.bytes.get(index, (0, 0, 0))
        return (value & mask) | (filler & ~mask)

    def _sender(self) -> int:
        return self.chosen.get("CALLER", CALLER)

    def _load(self, offset: int) -> int:
        size = self._size()
        if offset >= size:
            return 0
        return int.from_bytes(bytes(self._byte(i) if i < size else 0 for i in range(offset, offset + 32)), "big")

    def evaluate(self, word: AnyWord, depth: int = 0) -> int:
        """The value that a word has with these inputs; a wish, or nothing special, where they do not decide it."""
        if isinstance(word, int):
            return word
        wished = self.wishes.get(id(word))
        if wished is not None:
            return wished
        if word.expression is None or depth > 80:
            return word.value
        name, *operands = word.expression
        if name in CONCRETE:
            return CONCRETE[name](*(self.evaluate(operand, depth + 1) for operand in operands))
        if name in ("CALLDATA", "CALLDATALOAD"):
            return self._load(self.evaluate(operands[0], depth + 1))
        if name == "CALLDATASIZE":
            return self._size()
        if name in ("CALLER", "ORIGIN"):
            return self._sender()
        if name == "CALLVALUE":
            return self.chosen.get(name, int(0 in word.excluded))
        if name in self.now:
            return self.chosen.get(name, self.now[name])
        return self._answer(name, word)

    def _answer(self, name: str, word: Word) -> int:
        """What the rest of the chain most likely says."""
        if name in ("CALL", "STATICCALL", "DELEGATECALL", "CALLCODE"):
            return 1
        likely = {"GAS": 1_000_000, "GASPRICE": 0, "CHAINID": 1, "BASEFEE": 0}.get(name, word.value)
        return likely if contains(word, likely) else word.value

    # --- turning a condition around -------------------------------------------------------------------------------

    def _satisfy(self, word: AnyWord, wanted: bool) -> bool:
        """Changes the inputs so that ``word`` is nonzero (or zero, where that is wanted)."""
        if bool(self.evaluate(word)) == wanted:
            return True
        if isinstance(word, int):
            return False
        name, operands = (word.expression[0], word.expression[1:]) if word.expression else ("", ())
        if name == "ISZERO":
            return self._satisfy(operands[0], not wanted)
        if name in ("EQ", "SUB", "XOR"):
            return self._compare(operands[0], operands[1], equal=wanted == (name == "EQ"))
        if name in ("LT", "GT", "SLT", "SGT"):
            return self._order(name, operands[0], operands[1], wanted)
        if name in ("AND", "OR") and not any(isinstance(operand, int) for operand in operands):
            if wanted == (name == "AND"):
                return all(self._satisfy(operand, wanted) for operand in operands)
            return any(self._satisfy(operand, wanted) for operand in operands)
        if not wanted:
            return self._make(word, 0, ONES)
        return any(self._make(word, value, ONES) for value in (1, ONES, SIGN, word.value | 1, 1 << 128) if value)

    def _compare(self, a: AnyWord, b: AnyWord, *, equal: bool) -> bool:
        for word, other in ((a, b), (b, a)):
            value = self.evaluate(other)
            for wanted in (value,) if equal else ((value + 1) & ONES, value ^ ONES, value ^ 1):
                if self._make(word, wanted, ONES):
                    return True
        return False

    def _order(self, name: str, a: AnyWord, b: AnyWord, wanted: bool) -> bool:
        less, more = (b, a) if name in ("GT", "SGT") else (a, b)
        if not wanted:  # not less: at least as much
            less, more = more, less
        step = 1 if wanted else 0
        as_number = signed if name[0] == "S" else int
        smallest, largest = (SIGN, SIGN - 1) if name[0] == "S" else (0, ONES)
        low, high = as_number(self.evaluate(less)), as_number(self.evaluate(more))
        for word, value in ((less, high - step), (more, low + step), (less, smallest), (more, largest)):
            if self._make(word, value & ONES, ONES) and bool(
                as_number(self.evaluate(less)) + step <= as_number(self.evaluate(more))
            ):
                return True
        return False

    def _make(self, word: AnyWord, value: int, mask: int) -> bool:
        """Changes the inputs so that the masked bits of ``word`` are those of ``value``."""
        value &= mask
        if (self.evaluate(word) ^ value) & mask == 0:
            return True
        if isinstance(word, int) or (word.value ^ value) & word.known & mask:
            return False
        if word.expression is None:
            return self._wish(word, value, mask)
        name, *operands = word.expression
        if name in ("CALLDATA", "CALLDATALOAD"):
            return self._make_calldata(self.evaluate(operands[0]), value, mask)
        if name == "CALLDATASIZE":
            return value <= MAX_SIZE and self._choose(name, value, mask)
        if name in ("CALLER", "ORIGIN"):
            value |= self._sender() & ~mask
            possible = LOWEST_TARGET < value < 1 << 160 and value not in (self.facts.address, SYSTEM)
            return possible and self._choose("CALLER", value, mask)
        if name == "CALLVALUE":
            return value < 1 << 96 and self._choose(name, value, mask)
        if name in self.now:
            if mask != ONES:
                value |= self.chosen.get(name, self.now[name]) & ~mask
            while value < self.now[name] and mask != ONES:
                value += mask + 1
            return self.now[name] <= value < 1 << 63 and self._choose(name, value, mask)
        if name == "SELFBALANCE" and value < 1 << 96 and self._choose("CALLVALUE", value, ONES):
            return self._wish(word, value, mask)  # the value is part of it
        if name == "EXTCODESIZE" and value and self._make(operands[0], HELPER, (1 << 160) - 1):
            self.helper = True
            return self._wish(word, len(HELPER_CODE), ONES)
        if name in CONCRETE:
            return self._invert(name, operands, value, mask)
        return self._wish(word, value, mask)

    def _invert(self, name: str, operands: list[AnyWord], value: int, mask: int) -> bool:
        if name in ("EQ", "ISZERO", "LT", "GT", "SLT", "SGT"):
            return value <= 1 and self._satisfy(Word(expression=(name, *operands)), bool(value))
        below = (1 << mask.bit_length()) - 1  # sums and products need all bits below the highest
        if name == "NOT":
            return self._make(operands[0], ~value & mask, mask)
        if name in ("SHL", "SHR", "SAR", "BYTE", "SIGNEXTEND"):
            return isinstance(operands[0], int) and self._shifted(name, operands[0], operands[1], value, mask)
        for known, word in ((operands[1], operands[0]), (operands[0], operands[1])):
            if isinstance(word, int):
                continue
            constant = self.evaluate(known)
            left = word is operands[0]
            if name == "AND":
                if value & ~constant & mask == 0 and self._make(word, value, mask & constant):
                    return True
            elif name == "OR":
                if constant & ~value & mask == 0 and self._make(word, value, mask & ~constant):
                    return True
            elif name == "XOR":
                if self._make(word, value ^ (constant & mask), mask):
                    return True
            elif name == "ADD":
                if self._make(word, (value - constant) & below, below):
                    return True
            elif name == "SUB":
                if self._make(word, (value + constant if left else constant - value) & below, below):
                    return True
            elif name == "MUL" and constant % 2:
                if self._make(word, value * pow(constant, -1, SIZE) & ONES, ONES):
                    return True
            elif name == "MUL" and constant and value % constant == 0:
                if self._make(word, value // constant, ONES):
                    return True
            elif name == "DIV" and left and constant and value * constant <= ONES:
                if self._make(word, value * constant, ONES):
                    return True
            elif name == "MOD" and left and value < constant and self._make(word, value, ONES):
                return True
        return False

    def _shifted(self, name: str, amount: int, word: AnyWord, value: int, mask: int) -> bool:
        if name == "BYTE":
            return (
                amount < 32
                and value <= 0xFF
                and self._make(word, value << (248 - 8 * amount), 0xFF << (248 - 8 * amount))
            )
        if name == "SIGNEXTEND":
            low = (1 << min(8 * amount + 8, 256)) - 1
            return self._make(word, value & low, mask & low)
        if amount >= 256:
            return False
        if name == "SHL":
            return value & ((1 << amount) - 1) == 0 and self._make(word, value >> amount, mask >> amount)
        return value << amount <= ONES and self._make(word, (value << amount) & ONES, (mask << amount) & ONES)

    # --- changing the inputs --------------------------------------------------------------------------------------

    def _wish(self, word: Word, value: int, mask: int) -> bool:
        self.wishes[id(word)] = (word.value & ~mask) | value
        return True

    def _choose(self, name: str, value: int, mask: int) -> bool:
        settled, old = self.settled.get(name, 0), self.chosen.get(name, 0)
        if (old ^ value) & settled:
            if self.settling or settled == ONES:
                return False
            value = (value & ~settled) | (old & settled)  # at least as much, with the bits that are settled
            value += settled + 1
        self.chosen[name] = value
        if self.settling:
            self.settled[name] = settled | mask
        return True

    def _make_calldata(self, offset: int, value: int, mask: int) -> bool:
        if offset + 32 > MAX_SIZE or offset >= self.chosen.get("CALLDATASIZE", MAX_SIZE):
            return False
        changes: dict[int, tuple[int, int, int]] = {}
        for index in range(32):
            shift = 248 - 8 * index
            byte, part = (value >> shift) & 0xFF, (mask >> shift) & 0xFF
            if part:
                old, chosen, settled = self.bytes.get(offset + index, (0, 0, 0))
                if (old ^ byte) & settled & part:
                    return False
                settled |= part if self.settling else 0
                changes[offset + index] = ((old & ~part) | (byte & part), chosen | part, settled)
        self.bytes.update(changes)
        return True


def _parts(branch: Branch) -> list[Branch]:
    """Both parts of an AND that must hold, and of an OR that must not: each can be met by itself."""
    word, wanted = branch.condition, branch.taken
    while isinstance(word, Word) and word.expression is not None and word.expression[0] == "ISZERO":
        word, wanted = word.expression[1], not wanted
    if isinstance(word, Word) and word.expression is not None and word.expression[0] == ("AND" if wanted else "OR"):
        operands = word.expression[1:]
        if all(isinstance(operand, Word) and operand.known | 1 == ONES for operand in operands):
            return [p for o in operands for p in _parts(Branch(branch.address, branch.pc, wanted, o))]
    return [branch]


def _is_equation(word: AnyWord, wanted: bool) -> bool:
    """Whether the condition leaves one value only, or nearly."""
    while isinstance(word, Word) and word.expression is not None and word.expression[0] == "ISZERO":
        word, wanted = word.expression[1], not wanted
    if isinstance(word, int) or word.expression is None:
        return False
    name = word.expression[0]
    return wanted if name == "EQ" else not wanted and name not in ("LT", "GT", "SLT", "SGT")
