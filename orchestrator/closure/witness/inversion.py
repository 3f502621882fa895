"""Turns a condition around: changes the inputs of a call until a word of its path has the value that is wanted. Pure.

Instruction by instruction, from the condition down to what a caller chooses: ``x + 5 == 12`` asks for 7 in ``x``. Where
there are several ways, the first one that the inputs allow is taken; what it comes to is seen by executing the call.
"""

from __future__ import annotations

from orchestrator.closure.evm.opcodes import CONCRETE, SIGN, signed
from orchestrator.closure.evm.words import ONES, SIZE, AnyWord, Word, contains
from orchestrator.closure.witness.call import HELPER, HELPER_CODE, CallInputs


def satisfy(inputs: CallInputs, word: AnyWord, wanted: bool) -> bool:
    """Changes the inputs so that ``word`` is nonzero (or zero, where that is wanted). Whether it then is: if not, they
    may have been changed all the same."""
    if bool(inputs.evaluate(word)) == wanted:
        return True
    if isinstance(word, int) or inputs.exhausted():
        return False
    name, operands = (word.expression[0], word.expression[1:]) if word.expression else ("", ())
    if name == "ISZERO":
        return satisfy(inputs, operands[0], not wanted)
    if name in ("EQ", "SUB", "XOR"):
        return _compare(inputs, operands[0], operands[1], equal=wanted == (name == "EQ"))
    if name in ("LT", "GT", "SLT", "SGT"):
        return _order(inputs, name, operands[0], operands[1], wanted)
    parts = operands if name in ("AND", "OR") and not any(isinstance(operand, int) for operand in operands) else ()
    if any(satisfy(inputs, part, wanted) and bool(inputs.evaluate(word)) == wanted for part in parts):
        return True
    for value in (1, ONES, SIGN, word.value | 1, 1 << 128) if wanted else (0,):
        if _make(inputs, word, value, ONES) and bool(inputs.evaluate(word)) == wanted:
            return True
    return False


def _compare(inputs: CallInputs, a: AnyWord, b: AnyWord, *, equal: bool) -> bool:
    for word, other in ((a, b), (b, a)):
        value = inputs.evaluate(other)
        for wanted in (value,) if equal else ((value + 1) & ONES, value ^ ONES, value ^ 1):
            if _make(inputs, word, wanted, ONES) and (inputs.evaluate(a) == inputs.evaluate(b)) == equal:
                return True
    return False


def _order(inputs: CallInputs, name: str, a: AnyWord, b: AnyWord, wanted: bool) -> bool:
    less, more = (b, a) if name in ("GT", "SGT") else (a, b)
    if not wanted:  # not less: at least as much
        less, more = more, less
    step = 1 if wanted else 0
    as_number = signed if name[0] == "S" else int
    smallest, largest = (SIGN, SIGN - 1) if name[0] == "S" else (0, ONES)
    low, high = as_number(inputs.evaluate(less)), as_number(inputs.evaluate(more))
    for word, value in ((less, high - step), (more, low + step), (less, smallest), (more, largest)):
        if _make(inputs, word, value & ONES, ONES) and bool(
            as_number(inputs.evaluate(less)) + step <= as_number(inputs.evaluate(more))
        ):
            return True
    return False


def _make(inputs: CallInputs, word: AnyWord, value: int, mask: int) -> bool:
    """Changes the inputs so that the masked bits of ``word`` are those of ``value``."""
    value &= mask
    if (inputs.evaluate(word) ^ value) & mask == 0:
        return True
    if isinstance(word, int) or (word.value ^ value) & word.known & mask or inputs.exhausted():
        return False
    if mask == ONES and not contains(word, value):
        return False
    if word.expression is None:
        return inputs.wish(word, value, mask)
    name, *operands = word.expression
    if name in ("CALLDATA", "CALLDATALOAD"):
        return inputs.choose_calldata(inputs.evaluate(operands[0]), value, mask)
    if name in ("CALLDATASIZE", "CALLVALUE"):
        return inputs.choose(name, value, mask)
    if name in ("CALLER", "ORIGIN"):
        return inputs.choose("CALLER", value | (inputs.sender() & ~mask), mask)
    if name in inputs.now:
        if mask != ONES:
            value |= inputs.chosen.get(name, inputs.now[name]) & ~mask
        while value < inputs.now[name] and mask != ONES:
            value += mask + 1
        return inputs.choose(name, value, mask)
    if name == "SELFBALANCE" and inputs.choose("CALLVALUE", value, ONES):
        return inputs.wish(word, value, mask)  # the value is part of it
    if name == "EXTCODESIZE" and value and _make(inputs, operands[0], HELPER, (1 << 160) - 1):
        inputs.helper = True
        return inputs.wish(word, len(HELPER_CODE), ONES)
    if name in CONCRETE:
        return _invert(inputs, name, operands, value, mask)
    return inputs.wish(word, value, mask)


def _invert(inputs: CallInputs, name: str, operands: list[AnyWord], value: int, mask: int) -> bool:
    if name in ("EQ", "ISZERO", "LT", "GT", "SLT", "SGT"):
        return value <= 1 and satisfy(inputs, Word(expression=(name, *operands)), bool(value))
    below = (1 << mask.bit_length()) - 1  # sums and products need all bits below the highest
    if name == "NOT":
        return _make(inputs, operands[0], ~value & mask, mask)
    if name == "CLZ":  # the first one, and no other above it
        return value <= 256 and _make(inputs, operands[0], SIGN >> value, ONES ^ (ONES >> (value + 1)))
    if name in ("SHL", "SHR", "SAR", "BYTE", "SIGNEXTEND"):
        return isinstance(operands[0], int) and _shifted(inputs, name, operands[0], operands[1], value, mask)
    for known, word in ((operands[1], operands[0]), (operands[0], operands[1])):
        if isinstance(word, int):
            continue
        constant = inputs.evaluate(known)
        left = word is operands[0]
        if name == "AND":
            if value & ~constant & mask == 0 and _make(inputs, word, value, mask & constant):
                return True
        elif name == "OR":
            if constant & ~value & mask == 0 and _make(inputs, word, value, mask & ~constant):
                return True
        elif name == "XOR":
            if _make(inputs, word, value ^ (constant & mask), mask):
                return True
        elif name == "ADD":
            if _make(inputs, word, (value - constant) & below, below):
                return True
        elif name == "SUB":
            if _make(inputs, word, (value + constant if left else constant - value) & below, below):
                return True
        elif name == "MUL" and constant % 2:
            if _make(inputs, word, value * pow(constant, -1, SIZE) & below, below):
                return True
        elif name == "MUL" and constant and value % constant == 0:
            if _make(inputs, word, value // constant, ONES):
                return True
        elif name == "DIV" and left and constant and value * constant <= ONES:
            if _make(inputs, word, value * constant, ONES):
                return True
        elif name == "MOD" and left and value < constant and _make(inputs, word, value, ONES):
            return True
    return False


def _shifted(inputs: CallInputs, name: str, amount: int, word: AnyWord, value: int, mask: int) -> bool:
    if name == "BYTE":
        return (
            amount < 32
            and value <= 0xFF
            and _make(inputs, word, value << (248 - 8 * amount), (mask & 0xFF) << (248 - 8 * amount))
        )
    if name == "SIGNEXTEND":
        low = (1 << min(8 * amount + 8, 256)) - 1
        return _sign_filled(inputs, name, amount, word, (value, value & low), (mask, mask & low), (low + 1) >> 1)
    if amount >= 256:
        return False
    if name == "SHL":
        return value & ((1 << amount) - 1) == 0 and _make(inputs, word, value >> amount, mask >> amount)
    before, seen = (value << amount) & ONES, (mask << amount) & ONES
    if name == "SAR":
        return _sign_filled(inputs, name, amount, word, (value, before), (mask, seen), SIGN)
    return value << amount <= ONES and _make(inputs, word, before, seen)


def _sign_filled(
    inputs: CallInputs,
    name: str,
    amount: int,
    word: AnyWord,
    values: tuple[int, int],
    masks: tuple[int, int],
    sign: int,
) -> bool:
    """SAR and SIGNEXTEND: bits of the result that are none of the word's are its ``sign``.

    ``values`` and ``masks`` are the result's and, without the sign, the word's.
    """
    (value, before), (mask, seen) = values, masks
    own = CONCRETE[name](amount, sign) ^ CONCRETE[name](amount, 0)  # the sign, and the bits that it fills
    if mask & own:
        seen |= sign
        before |= sign if value & own else 0
    return (CONCRETE[name](amount, before) ^ value) & mask == 0 and _make(inputs, word, before, seen)
