"""Which storage slots a contract compares before it changes anything: candidates for where its state is kept. Pure.

A guess for people, not a proof: storage may be anything here, and what the limits of the analysis cut off is left out.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from orchestrator.closure.evm.facts import AccountFacts, Limits
from orchestrator.closure.evm.frame import run_frame
from orchestrator.closure.evm.machine import Inputs, Machine
from orchestrator.closure.evm.path import Storage
from orchestrator.closure.evm.words import ONES, AnyWord, Word

_COMPARES: Final = frozenset({"EQ", "SUB", "LT", "GT", "XOR"})
_MOST_NUMBERS: Final = 16
Bits = tuple[int, int]
"""A slot, and which of its bits."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Bits of one slot that decide whether a call goes on."""

    slot: int
    mask: int
    numbers: tuple[int, ...]
    """Below 256, that the code compares the bits with (shifted down to the lowest of them)."""
    ways: int
    """On how many of the ways that change or do something it is compared."""
    of: int
    """How many such ways were found, one for each end."""


def guards(address: int, code: bytes, limits: Limits | None = None) -> tuple[Guard, ...]:
    """Of runtime code that an account at ``address`` runs (of a proxy: its implementation's); the most used first."""
    if code == b"" or code[0] == 0xEF:
        return ()
    facts = AccountFacts(address, code)
    inputs = Inputs.anything(address)
    machine = Machine(facts, inputs, limits or Limits(), any_storage=True, all_ends=True)
    with contextlib.suppress(Exception):  # whatever ends it, what was found until then may help a person
        run_frame(machine, machine.parsed(address, code), inputs.calldata, Storage(), depth=0)
    trails = [trail for end, trail in machine.outermost.items() if end.acted is not None or not end.storage.proven]
    times: Counter[Bits] = Counter()
    numbers: dict[Bits, set[int]] = defaultdict(set)
    for trail in trails:
        found = [pair for branch in trail.listed() for pair in _compared(branch.condition)]
        times.update({bits for bits, _ in found})
        for bits, number in found:
            if number is not None and number < 256:
                numbers[bits].add(number)
    return tuple(
        Guard(slot, mask, tuple(sorted(numbers[slot, mask])[:_MOST_NUMBERS]), count, len(trails))
        for (slot, mask), count in sorted(times.items(), key=lambda each: (-each[1], each[0]))
    )


def _compared(word: AnyWord) -> Iterator[tuple[Bits, int | None]]:
    """The bits in a condition, each with the number that it is compared with."""
    expression = word.expression if isinstance(word, Word) else None
    if expression is None:
        return
    bits = _bits(word)
    if bits is not None:
        yield bits[0], 0 if expression[0] == "ISZERO" else None
        return
    name, *operands = expression
    if name in _COMPARES and len(operands) == 2:
        for one, other in (operands, operands[::-1]):
            bits = _bits(one)
            if bits is not None:
                yield bits[0], other if isinstance(other, int) else None
        return
    for operand in operands:
        if name == "ISZERO" and (bits := _bits(operand)) is not None:
            yield bits[0], 0
        elif isinstance(operand, Word):
            yield from _compared(operand)


def _bits(word: object) -> tuple[Bits, int] | None:
    """Which bits of a slot a word is, and by how many it was shifted down."""
    expression = word.expression if isinstance(word, Word) else None
    if expression is None:
        return None
    name, *operands = expression
    if name == "SLOAD":
        return ((operands[0], ONES), 0) if isinstance(operands[0], int) else None
    if name not in ("AND", "SHR", "DIV") or len(operands) != 2:
        return None
    for one, other in (operands, operands[::-1]):
        inner = _bits(one) if isinstance(other, int) else None
        if inner is None or not isinstance(other, int):
            continue
        (slot, mask), shift = inner
        if name == "AND":
            return ((slot, mask & (other << shift) & ONES), shift)
        more = other if name == "SHR" else other.bit_length() - 1
        if more < 256 and (name == "SHR" or other == 1 << more):
            return ((slot, mask & (ONES << shift + more) & ONES), shift + more)
    return None
