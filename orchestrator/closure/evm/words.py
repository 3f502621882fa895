"""Abstract words: what is known of a 256-bit value that depends on something unknown.

A word that is known is a plain ``int``; everything else is a ``Word``, which stands for a SET of values. Every rule in
``arithmetic`` must give a word that contains each result that members of its operands can have; then no real execution
is missed. ``contains`` says what the set is; the tests compare every rule with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

BITS: Final = 256
SIZE: Final = 1 << BITS
ONES: Final = SIZE - 1
MAX_EXPRESSION: Final = 64
"""Depth of the expressions that are kept for witnesses. A deeper one is dropped: no rule reads it."""
MAX_VALUES: Final = 512
"""Largest set of values that is kept one by one (jump tables)."""
MAX_EXCLUDED: Final = 4


class Word:
    """An unknown word of which something may be known. Immutable.

    ``known`` is the mask of the bits that are known, ``value`` holds them (its other bits are zero). ``low`` is a lower
    bound. ``excluded`` are values that it is known not to have. ``values``, where given, are all the values that it can
    have, sorted. ``expression`` says where it came from, for the search of a witness; it takes no part in equality, so
    that no rule may depend on it.

    Each is made anew where a value comes into being, so one object at two places of a stack is one value (DUP).
    """

    __slots__ = ("depth", "excluded", "expression", "known", "low", "value", "values")

    def __init__(
        self,
        value: int = 0,
        known: int = 0,
        excluded: tuple[int, ...] = (),
        values: tuple[int, ...] | None = None,
        low: int = 0,
        expression: tuple[Any, ...] | None = None,
    ) -> None:
        self.value = value
        self.known = known
        self.excluded = excluded
        self.values = values
        self.low = max(value, low)
        self.depth = 0
        if expression is not None:
            for operand in expression:
                if isinstance(operand, Word) and operand.depth >= self.depth:
                    self.depth = operand.depth + 1
            if self.depth > MAX_EXPRESSION:
                expression, self.depth = None, 0
        self.expression = expression

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Word)
            and self.value == other.value
            and self.known == other.known
            and self.excluded == other.excluded
            and self.values == other.values
            and self.low == other.low
        )

    def __hash__(self) -> int:
        return hash((self.value, self.known, self.excluded, self.low))

    def anew(self, expression: tuple[Any, ...] | None = None) -> Word:
        """Another value of which the same is known."""
        return Word(self.value, self.known, self.excluded, self.values, self.low, expression or self.expression)

    def __repr__(self) -> str:
        facts = [f"value={self.value:#x}, known={self.known:#x}"]
        facts += [f"low={self.low:#x}"] if self.low > self.value else []
        facts += [f"{name}={fact!r}" for name in ("excluded", "values") if (fact := getattr(self, name))]
        return f"Word({', '.join(facts)})"


AnyWord: TypeAlias = int | Word
"""A known word (int) or an abstract one."""

UNKNOWN: Final = Word()


def anew(word: AnyWord) -> AnyWord:
    """Another value of which the same is known: what a rule puts on a stack is its own object."""
    return word if isinstance(word, int) else word.anew()


def contains(word: AnyWord, value: int) -> bool:
    """Whether ``value`` is one of the values that ``word`` stands for."""
    if isinstance(word, int):
        return word == value
    return (
        value & word.known == word.value
        and value >= word.low
        and value not in word.excluded
        and (word.values is None or value in word.values)
    )


def bits(value: int, known: int, expression: tuple[Any, ...] | None = None) -> AnyWord:
    """The word with these known bits; an ``int`` where all are."""
    if known == ONES:
        return value
    return Word(value, known, expression=expression)


def one_of(values: Iterable[int], expression: tuple[Any, ...] | None = None) -> AnyWord:
    """The word that has one of these values (at least one)."""
    found = tuple(sorted(set(values)))
    if len(found) == 1:
        return found[0]
    first, differ = found[0], 0
    for value in found:
        differ |= first ^ value
    known = ONES & ~differ
    all_or_many = len(found) == 1 << differ.bit_count() or len(found) > MAX_VALUES
    return Word(first & known, known, (), None if all_or_many else found, first, expression)


def least(word: AnyWord) -> int:
    """A lower bound of its values."""
    return word if isinstance(word, int) else word.low


def ones(word: AnyWord) -> int:
    """The bits that are known to be set."""
    return word if isinstance(word, int) else word.value


def most(word: AnyWord) -> int:
    """An upper bound of its values."""
    return word if isinstance(word, int) else word.value | (ONES & ~word.known)


def truth(word: AnyWord) -> bool | None:
    """Whether it is nonzero; None where it may be either."""
    if isinstance(word, int):
        return word != 0
    if word.low or 0 in word.excluded or (word.values is not None and 0 not in word.values):
        return True
    return None


def few(word: AnyWord, most_unknown_bits: int = 8) -> tuple[int, ...] | None:
    """All its values, where they are few enough to take one by one; else None."""
    if isinstance(word, int):
        return (word,)
    if word.values is not None:
        return tuple(value for value in word.values if contains(word, value))
    unknown = ONES & ~word.known
    if unknown.bit_count() > most_unknown_bits:
        return None
    found, part = [], unknown
    while True:  # every subset of the unknown bits
        if contains(word, word.value | part):
            found.append(word.value | part)
        if part == 0:
            return tuple(sorted(found))
        part = (part - 1) & unknown


def join(a: AnyWord, b: AnyWord) -> AnyWord:
    """A word that stands for the values of both."""
    if a is b or a == b:
        return a
    known = ONES & ~(ones(a) ^ ones(b))
    known &= a.known if isinstance(a, Word) else ONES
    known &= b.known if isinstance(b, Word) else ONES
    excluded = {v for v in _excluded(a) + _excluded(b) if not contains(a, v) and not contains(b, v)}
    low = min(least(a), least(b))
    return Word(ones(a) & known, known, tuple(sorted(excluded))[:MAX_EXCLUDED], None, low)


def widen(a: AnyWord, b: AnyWord) -> AnyWord:
    """A word that stands for the values of both, and that ends an endless series of joins.

    All bits from the lowest one that ``b`` adds become unknown, so a counter is let go of at once.
    """
    joined = join(a, b)
    if isinstance(joined, int) or joined == a:
        return a
    before = a.known if isinstance(a, Word) else ONES
    lost = before & ~joined.known
    keep = joined.known & ((lost & -lost) - 1) if lost else joined.known
    low = joined.low if joined.low == least(a) else 0
    return Word(joined.value & keep, keep, joined.excluded, None, low)


def _excluded(word: AnyWord) -> tuple[int, ...]:
    return word.excluded if isinstance(word, Word) else ()
