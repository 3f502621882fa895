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
"""Depth of the expressions that are kept for witnesses. A deeper one is dropped: no rule looks at it."""
MAX_VALUES: Final = 512
"""Largest set of values that is kept one by one (jump tables)."""
MAX_EXCLUDED: Final = 4


class Word:
    """An unknown word of which something may be known. Immutable.

    ``known`` is the mask of the bits that are known, ``value`` holds them (its other bits are zero). ``excluded`` are
    values that it is known not to have. ``values``, where given, are all the values that it can have, sorted.
    ``name`` says that it is the very size of the frame's calldata or return data, and not just equal to nothing known.
    ``expression`` tells where it came from, for the search of a witness; it takes no part in equality, so that no rule
    may depend on it.
    """

    __slots__ = ("depth", "excluded", "expression", "known", "name", "value", "values")

    def __init__(
        self,
        value: int = 0,
        known: int = 0,
        excluded: tuple[int, ...] = (),
        values: tuple[int, ...] | None = None,
        name: str | None = None,
        expression: tuple[Any, ...] | None = None,
    ) -> None:
        self.value = value
        self.known = known
        self.excluded = excluded
        self.values = values
        self.name = name
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
            and self.name == other.name
        )

    def __hash__(self) -> int:
        return hash((self.value, self.known, self.excluded, self.name))

    def __repr__(self) -> str:
        facts = [f"value={self.value:#x}, known={self.known:#x}"]
        facts += [f"{name}={fact!r}" for name in ("excluded", "values", "name") if (fact := getattr(self, name))]
        return f"Word({', '.join(facts)})"


AnyWord: TypeAlias = int | Word
"""A known word (int) or an abstract one."""

UNKNOWN: Final = Word()


def contains(word: AnyWord, value: int) -> bool:
    """Whether ``value`` is one of the values that ``word`` stands for."""
    if isinstance(word, int):
        return word == value
    return (
        value & word.known == word.value
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
    return Word(first & known, known, values=found if len(found) <= MAX_VALUES else None, expression=expression)


def least(word: AnyWord) -> int:
    """A lower bound of its values."""
    return word if isinstance(word, int) else word.value


def most(word: AnyWord) -> int:
    """An upper bound of its values."""
    return word if isinstance(word, int) else word.value | (ONES & ~word.known)


def truth(word: AnyWord) -> bool | None:
    """Whether it is nonzero; None where it may be either."""
    if isinstance(word, int):
        return word != 0
    if word.value or 0 in word.excluded or (word.values is not None and 0 not in word.values):
        return True
    return None


def few(word: AnyWord) -> tuple[int, ...] | None:
    """All its values, where they are few enough to branch over; else None."""
    if isinstance(word, int):
        return (word,)
    if word.values is not None:
        return tuple(value for value in word.values if contains(word, value))
    unknown = ONES & ~word.known
    if unknown.bit_count() > 8:
        return None
    found, part = [], unknown
    while True:  # every subset of the unknown bits
        if word.value | part not in word.excluded:
            found.append(word.value | part)
        if part == 0:
            return tuple(sorted(found))
        part = (part - 1) & unknown


def join(a: AnyWord, b: AnyWord) -> AnyWord:
    """A word that stands for the values of both."""
    if a is b or a == b:
        return a
    known = ONES & ~(least(a) ^ least(b))
    known &= a.known if isinstance(a, Word) else ONES
    known &= b.known if isinstance(b, Word) else ONES
    excluded = tuple(v for v in _excluded(a) + _excluded(b) if not contains(a, v) and not contains(b, v))
    return Word(least(a) & known, known, tuple(sorted(set(excluded)))[:MAX_EXCLUDED])


def widen(a: AnyWord, b: AnyWord) -> AnyWord:
    """A word that stands for the values of both, and that ends an endless series of joins.

    All bits from the lowest one that ``b`` adds become unknown, so a counter is let go of at once.
    """
    joined = join(a, b)
    if isinstance(joined, int) or joined == a:
        return a
    before = a.known if isinstance(a, Word) else ONES
    lost = before & ~joined.known
    if lost == 0:
        return joined
    keep = joined.known & ((lost & -lost) - 1)
    return Word(joined.value & keep, keep, joined.excluded)


def _excluded(word: AnyWord) -> tuple[int, ...]:
    return word.excluded if isinstance(word, Word) else ()
