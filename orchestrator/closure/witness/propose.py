"""Proposes calls that may follow a path: the search for a witness. Nothing rests on it.

The analysis names an acting instruction and the decisions on a way to it. Here each decision's condition is turned
around, step by step (``calldata >> 224 == 0x…`` gives four bytes of calldata), until one call meets them all, as far as
a caller can choose. Whether such a call really acts is then seen by executing it; a search that finds nothing only
leaves a verdict ``inconclusive``. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.closure.evm.facts import AccountFacts, Authority, Branch, Finding
from orchestrator.closure.evm.words import ONES, AnyWord, Word
from orchestrator.closure.verdict import DELEGATING
from orchestrator.closure.witness.call import HELPER, HELPER_SHIFTED, Call, CallInputs
from orchestrator.closure.witness.inversion import satisfy

_ROUNDS: Final = 80
"""Conditions that are turned around for one call, again and again where one breaks another."""


def propose(facts: AccountFacts, target: Finding | Authority, *, timestamp: int, number: int) -> list[Call]:
    """Calls that may follow the target's path, the most promising first; at most a handful, none twice.

    ``timestamp`` (seconds) and ``number`` are the pinned block's: a call comes later, not earlier.
    """
    fillings = [0, 1, HELPER]
    if isinstance(target, Authority):
        fillings = [0, target.selector << 224, 1]
    elif target.opcode in DELEGATING:
        fillings += [HELPER_SHIFTED]
    calls: list[Call] = []
    for filling in fillings:
        inputs = CallInputs(facts.address, target, filling, timestamp=timestamp, number=number)
        if _solve(inputs, target.path):
            _shorten(inputs, target.path)
            call = inputs.call()
            if call not in calls:
                calls.append(call)
    return calls


def _solve(inputs: CallInputs, path: Sequence[Branch]) -> bool:
    """Chooses the inputs: equations first, as they leave no choice. Whether any decision is met in the end.

    A decision that cannot be met is left out: paths that met were followed as one, so the way to here that is known
    need not be the way that can be gone. What the call really does is seen when it is executed.
    """
    pending = [part for branch in path for part in _parts(branch, set())]
    kept: list[Branch] = []
    for _ in range(_ROUNDS):
        if inputs.exhausted():
            break
        unmet = [branch for branch in pending if not _met(inputs, branch)]
        if not unmet:
            break
        equations = [branch for branch in unmet if _is_equation(branch.condition, branch.taken)]
        inputs.settling = bool(equations)
        branch = (equations or unmet)[-1]
        before = inputs.saved()
        done = satisfy(inputs, branch.condition, branch.taken)
        broken = [earlier for earlier in kept if not _met(inputs, earlier)]
        if not done or (broken and kept.count(branch)):
            inputs.restore(before)
            pending.remove(branch)
        kept.append(branch)
    return bool(pending) or not path


def _shorten(inputs: CallInputs, path: Sequence[Branch]) -> None:
    """Leaves out arguments that nothing asks for: a person reads the call."""
    if "CALLDATASIZE" in inputs.chosen or any(inputs.filling):
        return
    met, used = [_met(inputs, branch) for branch in path], inputs.used()
    for size in (0, *range(4, inputs.size(), 32)):
        inputs.chosen["CALLDATASIZE"] = size
        if size >= used and [_met(inputs, branch) for branch in path] == met:
            return
    del inputs.chosen["CALLDATASIZE"]


def _met(inputs: CallInputs, branch: Branch) -> bool:
    return bool(inputs.evaluate(branch.condition)) == branch.taken


def _parts(branch: Branch, seen: set[int]) -> list[Branch]:
    """Both parts of an AND that must hold, and of an OR that must not: each can be met by itself.

    ``seen``: what was parted already, by identity. Code that joins a word with itself n times names it 2^n times.
    """
    word, wanted = branch.condition, branch.taken
    while isinstance(word, Word) and word.expression is not None and word.expression[0] == "ISZERO":
        word, wanted = word.expression[1], not wanted
    if isinstance(word, Word) and word.expression is not None and word.expression[0] == ("AND" if wanted else "OR"):
        operands = word.expression[1:]
        if all(isinstance(operand, Word) and operand.known | 1 == ONES for operand in operands):
            if id(word) in seen:
                return []
            seen.add(id(word))
            return [p for o in operands for p in _parts(Branch(branch.address, branch.pc, wanted, o), seen)]
    return [branch]


def _is_equation(word: AnyWord, wanted: bool) -> bool:
    """Whether the condition leaves one value only, or nearly."""
    while isinstance(word, Word) and word.expression is not None and word.expression[0] == "ISZERO":
        word, wanted = word.expression[1], not wanted
    if isinstance(word, int) or word.expression is None:
        return False
    name = word.expression[0]
    return wanted if name == "EQ" else not wanted and name not in ("LT", "GT", "SLT", "SGT")
