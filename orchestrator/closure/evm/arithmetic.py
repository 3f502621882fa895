"""What each arithmetic, comparison and bitwise instruction (``opcodes.CONCRETE``) gives on abstract words.

``apply`` has ONE law, which the tests try to break: for any members of the operands, the concrete result is a member of
the abstract result. Where no rule says more, the result is wholly unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from orchestrator.closure.evm.opcodes import CONCRETE, SIGN, signed
from orchestrator.closure.evm.words import (
    ONES,
    SIZE,
    UNKNOWN,
    AnyWord,
    Word,
    bits,
    contains,
    few,
    least,
    most,
    one_of,
    ones,
    truth,
)


def apply(name: str, *operands: AnyWord) -> AnyWord:
    """The result of an instruction of ``CONCRETE`` on abstract words."""
    unknown = [operand for operand in operands if isinstance(operand, Word)]
    if not unknown:
        return CONCRETE[name](*operands)
    expression = (name, *operands)
    if len(unknown) == 1 and (members := few(unknown[0], 6)):
        concrete = CONCRETE[name]
        results = (
            concrete(*(value if operand is unknown[0] else operand for operand in operands)) for value in members
        )
        return one_of(results, expression)
    rule = _RULES.get(name)
    result = rule(*operands) if rule is not None else UNKNOWN
    return result if isinstance(result, int) else result.anew(expression)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _known(word: AnyWord) -> int:
    return ONES if isinstance(word, int) else word.known


def _low_known(word: AnyWord) -> int:
    """How many of the lowest bits are known."""
    unknown = ONES & ~_known(word)
    return (unknown & -unknown).bit_length() - 1 if unknown else 256


def _low_zeros(word: AnyWord) -> int:
    """How many of the lowest bits are known to be zero."""
    other = (ONES & ~_known(word)) | ones(word)
    return (other & -other).bit_length() - 1 if other else 256


def _up_to(maximum: int, low: int = 0, low_known: int = 0) -> AnyWord:
    """A word of at most ``maximum`` whose lowest ``low_known`` bits are those of ``low``."""
    mask = (1 << low_known) - 1
    high = ONES & ~((1 << maximum.bit_length()) - 1)
    return bits(low & mask & ~high, mask | high)


def _but(word: AnyWord, excluded: list[int]) -> AnyWord:
    """The word without these values."""
    if isinstance(word, int) or not excluded:
        return word
    return Word(word.value, word.known, tuple(sorted(set(excluded))), word.values, word.low)


def _from(word: AnyWord, low: int) -> AnyWord:
    """The word with a lower bound."""
    if isinstance(word, int) or low <= word.low:
        return word
    return Word(word.value, word.known, word.excluded, word.values, low)


def _excluded(word: AnyWord) -> list[int]:
    """The excluded values that its known bits would allow."""
    if isinstance(word, int):
        return []
    return [value for value in word.excluded if value & word.known == word.value]


def _smallest(word: AnyWord) -> int:
    """A lower bound that leaves excluded values out."""
    bound = least(word)
    while isinstance(word, Word) and bound in word.excluded:
        bound += 1
    return bound


_BOOLEAN: Final = Word(0, ONES ^ 1)


# --- rules -----------------------------------------------------------------------------------------------------------


def _and(a: AnyWord, b: AnyWord) -> AnyWord:
    set_bits = ones(a) & ones(b)
    zeros = (_known(a) & ~ones(a)) | (_known(b) & ~ones(b))
    result = bits(set_bits, (set_bits | zeros) & ONES)
    for word, mask in ((a, b), (b, a)):
        if isinstance(mask, int) and not ONES & ~_known(word) & ~mask:  # every unknown bit is kept: one to one
            return _but(result, [value & mask for value in _excluded(word)])
    return result


def _or(a: AnyWord, b: AnyWord) -> AnyWord:
    set_bits = ones(a) | ones(b)
    zeros = (_known(a) & ~ones(a)) & (_known(b) & ~ones(b))
    result = bits(set_bits, set_bits | zeros)
    for word, mask in ((a, b), (b, a)):
        if isinstance(mask, int) and not ONES & ~_known(word) & mask:
            return _but(result, [value | mask for value in _excluded(word)])
    return result


def _xor(a: AnyWord, b: AnyWord) -> AnyWord:
    known = _known(a) & _known(b)
    result = bits((ones(a) ^ ones(b)) & known, known)
    if isinstance(b, int):
        return _but(result, [value ^ b for value in _excluded(a)])
    if isinstance(a, int):
        return _but(result, [value ^ a for value in _excluded(b)])
    return result


def _not(a: AnyWord) -> AnyWord:
    return _xor(a, ONES)


def _shl(shift: AnyWord, word: AnyWord) -> AnyWord:
    if not isinstance(shift, int):
        return UNKNOWN
    if shift >= 256:
        return 0
    result = bits((ones(word) << shift) & ONES, ((_known(word) << shift) | ((1 << shift) - 1)) & ONES)
    if (_known(word) >> (256 - shift)) == (1 << shift) - 1:  # what falls off is known: one to one
        return _but(result, [(value << shift) & ONES for value in _excluded(word)])
    return result


def _shr(shift: AnyWord, word: AnyWord) -> AnyWord:
    if not isinstance(shift, int):
        return UNKNOWN
    if shift >= 256:
        return 0
    result = bits(ones(word) >> shift, (_known(word) >> shift) | (ONES & ~(ONES >> shift)))
    if _low_known(word) >= shift:
        return _but(result, [value >> shift for value in _excluded(word)])
    return result


def _sar(shift: AnyWord, word: AnyWord) -> AnyWord:
    if not isinstance(shift, int):
        return UNKNOWN
    shift = min(shift, 255)
    known = (signed(_known(word)) >> shift) & ONES  # an unknown sign makes every bit that comes in unknown
    return bits((signed(ones(word)) >> shift) & known, known)


def _byte(index: AnyWord, word: AnyWord) -> AnyWord:
    if not isinstance(index, int):
        return _up_to(0xFF)
    if index >= 32:
        return 0
    shift = 248 - 8 * index
    return bits((ones(word) >> shift) & 0xFF, (ONES & ~0xFF) | ((_known(word) >> shift) & 0xFF))


def _signextend_rule(index: AnyWord, word: AnyWord) -> AnyWord:
    if not isinstance(index, int):
        return UNKNOWN
    if index >= 31:
        return word
    known = CONCRETE["SIGNEXTEND"](index, _known(word))  # an unknown sign bit makes every bit above it unknown
    return bits(CONCRETE["SIGNEXTEND"](index, ones(word)) & known, known)


def _clz(word: AnyWord) -> AnyWord:
    low, high = 256 - most(word).bit_length(), 256 - least(word).bit_length()
    return low if low == high else _up_to(high)


def _within(low: int, high: int, lowest: int, lowest_known: int) -> AnyWord:
    """A sum or difference of ``low`` to ``high``: bounds that wrap around together stay bounds, else none is known.

    ``lowest``: whose ``lowest_known`` lowest bits are the result's.
    """
    if low // SIZE != high // SIZE:
        return _up_to(ONES, lowest & ONES, lowest_known)
    return _from(_up_to(high % SIZE, lowest & ONES, lowest_known), low % SIZE)


def _add(a: AnyWord, b: AnyWord) -> AnyWord:
    low_known = min(_low_known(a), _low_known(b))
    result = _within(least(a) + least(b), most(a) + most(b), ones(a) + ones(b), low_known)
    if isinstance(b, int):
        return _but(result, [(value + b) & ONES for value in _excluded(a)])
    if isinstance(a, int):
        return _but(result, [(value + a) & ONES for value in _excluded(b)])
    return result


def _sub(a: AnyWord, b: AnyWord) -> AnyWord:
    low_known = min(_low_known(a), _low_known(b))
    result = _within(least(a) - most(b), most(a) - least(b), ones(a) - ones(b), low_known)
    if isinstance(b, int):
        return _but(result, [(value - b) & ONES for value in _excluded(a)])
    if isinstance(a, int):
        return _but(result, [(a - value) & ONES for value in _excluded(b)])
    return result


def _mul(a: AnyWord, b: AnyWord) -> AnyWord:
    low, zeros = min(_low_known(a), _low_known(b)), min(_low_zeros(a) + _low_zeros(b), 256)
    product = most(a) * most(b)
    maximum = min(product, ONES)
    return _up_to(maximum, 0, zeros) if zeros > low else _up_to(maximum, (ones(a) * ones(b)) & ONES, low)


def _div(a: AnyWord, b: AnyWord) -> AnyWord:
    if b == 0:
        return 0
    if isinstance(b, int) and b & (b - 1) == 0:
        return _shr(b.bit_length() - 1, a)
    return _up_to(most(a) // max(least(b), 1))  # a division by zero gives 0, which is within


def _mod(a: AnyWord, n: AnyWord) -> AnyWord:
    if n == 0:
        return 0
    if isinstance(n, int):
        if n & (n - 1) == 0:
            return _and(a, n - 1)
        if n <= 256:
            return one_of(range(min(n, most(a) + 1)))
        return _up_to(min(n - 1, most(a)))
    return _up_to(min(most(n) - 1, most(a)))


def _modular(_a: AnyWord, _b: AnyWord, n: AnyWord) -> AnyWord:
    return _up_to(max(most(n) - 1, 0))


def _lt(a: AnyWord, b: AnyWord) -> AnyWord:
    if most(a) < _smallest(b):
        return 1
    return 0 if _smallest(a) >= most(b) else _BOOLEAN


def _gt(a: AnyWord, b: AnyWord) -> AnyWord:
    return _lt(b, a)


def _signed_range(word: AnyWord) -> tuple[int, int]:
    if _known(word) & SIGN:
        return signed(least(word)), signed(most(word))
    return signed(ones(word) | SIGN), signed(most(word) & ~SIGN)


def _slt(a: AnyWord, b: AnyWord) -> AnyWord:
    (low_a, high_a), (low_b, high_b) = _signed_range(a), _signed_range(b)
    if high_a < low_b:
        return 1
    return 0 if low_a >= high_b else _BOOLEAN


def _sgt(a: AnyWord, b: AnyWord) -> AnyWord:
    return _slt(b, a)


def _eq(a: AnyWord, b: AnyWord) -> AnyWord:
    if (ones(a) ^ ones(b)) & _known(a) & _known(b):
        return 0
    if (isinstance(b, int) and not contains(a, b)) or (isinstance(a, int) and not contains(b, a)):
        return 0
    return _BOOLEAN


def _iszero(a: AnyWord) -> AnyWord:
    return 0 if truth(a) else _BOOLEAN


_RULES: Final[dict[str, Callable[..., Any]]] = {
    "ADD": _add,
    "MUL": _mul,
    "SUB": _sub,
    "DIV": _div,
    "MOD": _mod,
    "ADDMOD": _modular,
    "MULMOD": _modular,
    "SIGNEXTEND": _signextend_rule,
    "LT": _lt,
    "GT": _gt,
    "SLT": _slt,
    "SGT": _sgt,
    "EQ": _eq,
    "ISZERO": _iszero,
    "AND": _and,
    "OR": _or,
    "XOR": _xor,
    "NOT": _not,
    "BYTE": _byte,
    "SHL": _shl,
    "SHR": _shr,
    "SAR": _sar,
    "CLZ": _clz,
}
"""SDIV, SMOD and EXP have none: unknown unless all is known."""
