"""Each instruction without effects: as the real EVM has it, and never less than that on abstract words and bytes."""

from __future__ import annotations

import functools
from typing import Any

import pyrevm
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.closure.evm.arithmetic import apply
from orchestrator.closure.evm.buffer import LIMIT, Data, Memory, unknown_size
from orchestrator.closure.evm.opcodes import CONCRETE, TABLE
from orchestrator.closure.evm.path import Path, Site, Storage
from orchestrator.closure.evm.words import (
    MAX_EXCLUDED,
    MAX_VALUES,
    ONES,
    SIZE,
    AnyWord,
    Word,
    bits,
    contains,
    few,
    join,
    least,
    most,
    one_of,
    truth,
    widen,
)  # fmt: skip

from .asm import OPS, assemble
from .programs import CORNERS
from .world import SENDERS, SPEC, SUBJECT, hexed

ARITY = {name: TABLE[OPS[name]][1] for name in CONCRETE}
OPERATIONS = st.sampled_from(sorted(CONCRETE))
ints = st.one_of(
    st.sampled_from(CORNERS),
    st.integers(0, ONES),
    st.integers(0, 300),
    st.integers(0, 255).map(lambda n: 1 << n),
    st.integers(0, 255).map(lambda n: (1 << n) - 1),
    st.integers(0, 255).map(lambda n: ONES ^ ((1 << n) - 1)),
    st.integers(1, 300).map(lambda n: (1 << 256) - n),
)
masks = st.one_of(
    st.sampled_from((0, 1, 0xFF, ONES ^ 0xFF, ONES ^ 1, 1 << 255, ONES >> 1, ONES ^ ((1 << 160) - 1))), ints
)


@functools.cache
def evm() -> Any:
    return pyrevm.EVM(spec_id=SPEC, gas_limit=2**62)


def really(name: str, *operands: int) -> int:
    """What the real EVM gives, the first operand being the stack's top."""
    code = assemble([*reversed(operands), name, 0, "MSTORE", 32, 0, "RETURN"])
    machine = evm()
    machine.insert_account_info(hexed(SUBJECT), pyrevm.AccountInfo(nonce=1, code=code))
    start = machine.snapshot()
    try:
        return int.from_bytes(machine.message_call(hexed(SENDERS[0]), hexed(SUBJECT), b"", gas=1_000_000), "big")
    finally:
        machine.revert(start)


@st.composite
def members(draw: st.DrawFn) -> tuple[AnyWord, int]:
    """An abstract word and one of its values."""
    value = draw(ints)
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return value, value
    if kind == 1:
        others = draw(st.lists(st.one_of(ints, st.integers(0, 40)), min_size=1, max_size=12))
        return one_of([value, *others]), value
    known = draw(masks)
    excluded = tuple(sorted({v for v in draw(st.lists(ints, max_size=MAX_EXCLUDED)) if v != value}))
    if kind == 5:
        near = {(value ^ (1 << draw(st.integers(0, 255)))) for _ in range(2)}
        excluded = tuple(sorted(near))
    if known == ONES:
        return value, value
    low = draw(st.sampled_from((0, 0, value, value // 2, value & ~0xFFFF, 1 << 64 if value >= 1 << 64 else 0)))
    return Word(value & known, known, excluded, None, low), value


@pytest.mark.parametrize("name", sorted(CONCRETE))
def test_the_corners_are_as_in_the_real_evm(name: str) -> None:
    if name == "CLZ":
        pytest.skip("this revm is of before Osaka: see test_clz_is_as_eip_7939_says, and the run on Anvil")
    corners = CORNERS if ARITY[name] < 3 else (0, 1, 2, 255, 256, 2**128, 2**255, ONES - 1, ONES)
    rows: list[tuple[int, ...]] = [()]
    for _ in range(ARITY[name]):
        rows = [(*row, corner) for row in rows for corner in corners]
    for row in rows:
        assert CONCRETE[name](*row) == really(name, *row), f"{name}{row}"


@given(OPERATIONS.filter(lambda name: name != "CLZ"), st.tuples(ints, ints, ints))
def test_any_operands_are_as_in_the_real_evm(name: str, operands: tuple[int, int, int]) -> None:
    row = operands[: ARITY[name]]
    assert CONCRETE[name](*row) == really(name, *row)


@given(ints)
@example(0)
@example(1)
@example(ONES)
@example(1 << 255)
def test_clz_is_as_eip_7939_says(value: int) -> None:
    assert CONCRETE["CLZ"](value) == f"{value:0256b}".find("1") % 257 if value else CONCRETE["CLZ"](value) == 256


def test_every_pure_instruction_is_here() -> None:
    """Those of which the EVM's table says that they take words and give one, and read nothing else."""
    pure = {name for name, at in OPS.items() if 0x01 <= at <= 0x1E}
    assert set(CONCRETE) == pure


@pytest.mark.parametrize("name", sorted(CONCRETE))
def test_no_result_is_missed(name: str) -> None:
    """The one law of ``apply``: for any members of the operands the concrete result is a member of the result."""

    @given(st.tuples(members(), members(), members()))
    @example((_whole(0), _whole(0), _whole(0)))
    @example((_whole(ONES), _whole(1), _whole(ONES)))
    def law(operands: tuple[tuple[AnyWord, int], ...]) -> None:
        row = operands[: ARITY[name]]
        abstract = apply(name, *(word for word, _ in row))
        concrete = CONCRETE[name](*(value for _, value in row))
        assert contains(abstract, concrete), f"{name}{row} is {concrete:#x}, which {abstract!r} leaves out"

    law()


@pytest.mark.parametrize("name", sorted(CONCRETE))
def test_no_result_is_missed_of_one_operand_twice(name: str) -> None:
    """``DUP1`` and its like: both operands are the very same word, and the same value."""

    @given(members(), ints)
    def law(member: tuple[AnyWord, int], other: int) -> None:
        word, value = member
        for words, values in (
            ((word, word, other), (value, value, other)),
            ((word, other, word), (value, other, value)),
            ((other, word, word), (other, value, value)),
        ):
            arity = ARITY[name]
            assert contains(apply(name, *words[:arity]), CONCRETE[name](*values[:arity]))

    law()


def _whole(value: int) -> tuple[AnyWord, int]:
    return Word(), value


def test_small_words_are_tried_in_full() -> None:
    """Words of a few unknown bits, low and high, with and without an exclusion: all pairs, and all their members."""
    words: list[AnyWord] = [0, 1, 3, 255, 256, ONES, 1 << 255]
    for unknown in (0b11, 0b110, 0b1 | 1 << 255, 1 << 255, 0b1000):
        for base in (0, ONES, 0b101):
            known = ONES ^ unknown
            words.append(bits(base & known, known))
            words.append(Word(base & known, known, (base & known,)))
    for name, arity in ARITY.items():
        if arity == 3:
            continue
        for a in words:
            for b in words if arity == 2 else words[:1]:
                row = (a, b)[:arity]
                abstract = apply(name, *row)
                for x in few(a) or ():
                    for y in (few(b) or ()) if arity == 2 else (0,):
                        assert contains(abstract, CONCRETE[name](*(x, y)[:arity])), f"{name} {row!r} of {x:#x} {y:#x}"


@given(members())
def test_what_is_said_of_a_word_holds_for_its_values(member: tuple[AnyWord, int]) -> None:
    word, value = member
    assert contains(word, value)
    assert least(word) <= value <= most(word)
    assert truth(word) in (None, value != 0)
    assert few(word) is None or value in few(word)  # type: ignore[operator]


@given(members(), members())
def test_a_join_and_a_widening_hold_the_values_of_both(a: tuple[AnyWord, int], b: tuple[AnyWord, int]) -> None:
    for put_together in (join, widen):
        assert contains(put_together(a[0], b[0]), a[1])
        assert contains(put_together(a[0], b[0]), b[1])


@given(st.lists(members(), min_size=1, max_size=400))
def test_a_series_of_widenings_ends(row: list[tuple[AnyWord, int]]) -> None:
    """Each changes at least one of 256 bits, or an exclusion: no loop can be followed for ever."""
    word, changes = row[0][0], 0
    for other, _ in row:
        wider = widen(word, other)
        changes += wider != word
        word = wider
    assert changes <= 256 + MAX_EXCLUDED + 2


# --- how much is known ---


def below(bits_: int) -> int:
    """The mask of what is known of a word of so many bits."""
    return ONES ^ ((1 << bits_) - 1)


SIGN = 1 << 255
ANY = Word()
SOME = Word(excluded=(0,))
SHORT = Word(0, below(16))
RANGE = Word(0, below(16), low=0x100)
LEAST = Word(low=16)
POSITIVE, NEGATIVE = Word(0, SIGN), Word(SIGN, SIGN)
THREE = Word(3, 0xF)
EVEN = Word(0, 0xFF, (0x500,))
LOWER = Word(0, 0xFF << 248, (3,))
PERSON = Word(0, below(160), (0, 5))
BOOLEAN = Word(0, below(1))
MASK = (1 << 160) - 1

EXACT: list[tuple[str, tuple[AnyWord, ...], AnyWord]] = [
    ("AND", (ANY, 255), Word(0, below(8))),
    ("AND", (255, ANY), Word(0, below(8))),
    ("AND", (PERSON, MASK), PERSON),
    ("AND", (MASK, PERSON), PERSON),
    ("AND", (PERSON, MASK - 1), Word(0, below(160) | 1)),
    ("AND", (THREE, EVEN), Word(0, 255)),
    ("OR", (ANY, 255), Word(255, 255)),
    ("OR", (EVEN, 15), Word(15, 255, (0x50F,))),
    ("OR", (15, EVEN), Word(15, 255, (0x50F,))),
    ("OR", (EVEN, 0x10F), Word(0x10F, 0x1FF)),
    ("OR", (THREE, NEGATIVE), Word(SIGN | 3, SIGN | 3)),
    ("XOR", (SOME, 5), Word(excluded=(5,))),
    ("XOR", (5, SOME), Word(excluded=(5,))),
    ("XOR", (THREE, EVEN), Word(3, 15)),
    ("NOT", (SOME,), Word(excluded=(ONES,))),
    ("NOT", (THREE,), Word(12, 15)),
    ("SHL", (8, LOWER), Word(0, 255, (0x300,))),
    ("SHL", (9, LOWER), Word(0, 511)),
    ("SHL", (8, THREE), Word(0x300, 0xFFF)),
    ("SHL", (256, ANY), 0),
    ("SHL", (255, ANY), Word(0, SIGN - 1)),
    ("SHR", (8, EVEN), Word(0, below(248), (5,))),
    ("SHR", (9, EVEN), Word(0, below(247))),
    ("SHR", (1, THREE), Word(1, 7 | SIGN)),
    ("SHR", (8, ANY), Word(0, below(248))),
    ("SHR", (255, ANY), BOOLEAN),
    ("SHR", (256, ANY), 0),
    ("SAR", (4, NEGATIVE), Word(below(251), below(251))),
    ("SAR", (4, POSITIVE), Word(0, below(251))),
    ("SAR", (4, ANY), ANY),
    ("SAR", (300, NEGATIVE), ONES),
    ("SAR", (300, POSITIVE), 0),
    ("SAR", (4, Word(0xF0, 0xF0)), Word(15, 15)),
    ("BYTE", (31, THREE), Word(3, below(8) | 15)),
    ("BYTE", (0, NEGATIVE), Word(128, below(7))),
    ("BYTE", (32, ANY), 0),
    ("BYTE", (ANY, THREE), Word(0, below(8))),
    ("SIGNEXTEND", (0, Word(0x80, 0x80)), Word(below(7), below(7))),
    ("SIGNEXTEND", (0, THREE), THREE),
    ("SIGNEXTEND", (1, Word(0, 1 << 15)), Word(0, below(15))),
    ("SIGNEXTEND", (31, THREE), THREE),
    ("SIGNEXTEND", (31, SOME), SOME),
    ("SIGNEXTEND", (30, ANY), ANY),
    ("CLZ", (NEGATIVE,), 0),
    ("CLZ", (ANY,), Word(0, below(9))),
    ("CLZ", (RANGE,), Word(0, below(8))),
    ("CLZ", (Word(1 << 16, below(16)),), 239),
    ("ADD", (SHORT, 1), Word(0, below(17), low=1)),
    ("ADD", (1, SHORT), Word(0, below(17), low=1)),
    ("ADD", (RANGE, RANGE), Word(0, below(17), low=0x200)),
    ("ADD", (THREE, EVEN), Word(3, 15)),
    ("ADD", (THREE, 1), Word(4, 15)),
    ("ADD", (SOME, 5), Word(excluded=(5,))),
    ("ADD", (5, SOME), Word(excluded=(5,))),
    ("ADD", (SHORT, SIZE - 0x10000), Word(low=SIZE - 0x10000)),
    ("ADD", (SHORT, SIZE - 0xFFFF), ANY),
    ("SUB", (0x10000, SHORT), Word(0, below(17), low=1)),
    ("SUB", (0xFFFF, SHORT), SHORT),
    ("SUB", (0xFFFE, SHORT), ANY),
    ("SUB", (SHORT, 1), ANY),
    ("SUB", (RANGE, 0x100), SHORT),
    ("SUB", (RANGE, 0x101), ANY),
    ("SUB", (SOME, 5), Word(excluded=(SIZE - 5,))),
    ("SUB", (5, SOME), Word(excluded=(5,))),
    ("SUB", (THREE, EVEN), Word(3, 15)),
    ("MUL", (SHORT, SHORT.anew()), Word(0, below(32))),
    ("MUL", (EVEN, Word(0, 15)), Word(0, 0xFFF)),
    ("MUL", (EVEN, THREE), Word(0, 255)),
    ("MUL", (THREE, Word(3, 255)), Word(9, 15)),
    ("MUL", (ANY, 2), Word(0, 1)),
    ("MUL", (SHORT, 3), Word(0, below(18))),
    ("DIV", (ANY, 256), Word(0, below(248))),
    ("DIV", (ANY, 3), Word(0, SIGN)),
    ("DIV", (SHORT, LEAST), Word(0, below(12))),
    ("DIV", (SHORT, SHORT.anew()), SHORT),
    ("DIV", (EVEN, 1), EVEN),
    ("DIV", (ANY, 0), 0),
    ("MOD", (ANY, 256), Word(0, below(8))),
    ("MOD", (ANY, 3), Word(0, below(2), values=(0, 1, 2))),
    ("MOD", (ANY, 255), Word(0, below(8), values=tuple(range(255)))),
    ("MOD", (RANGE, 257), Word(0, below(9))),
    ("MOD", (SHORT, 0x30000), SHORT),
    ("MOD", (SHORT, ANY), SHORT),
    ("MOD", (ANY, SHORT), SHORT),
    ("MOD", (ANY, 0), 0),
    ("ADDMOD", (ANY, ANY, 1000), Word(0, below(10))),
    ("ADDMOD", (ANY, ANY, 1024), Word(0, below(10))),
    ("MULMOD", (ANY, ANY, SHORT), SHORT),
    ("ADDMOD", (ANY, ANY, 0), 0),
    ("SDIV", (ANY, 3), ANY),
    ("EXP", (2, ANY), ANY),
    ("LT", (SHORT, 0x10000), 1),
    ("LT", (SHORT, 0xFFFF), BOOLEAN),
    ("LT", (0xFFFF, SHORT), 0),
    ("LT", (0xFFFE, SHORT), BOOLEAN),
    ("LT", (0, SOME), 1),
    ("LT", (SOME, 1), 0),
    ("LT", (SOME, 2), BOOLEAN),
    ("LT", (ANY, 0), 0),
    ("LT", (ANY, LEAST), BOOLEAN),
    ("GT", (0x10000, SHORT), 1),
    ("GT", (SHORT, 0xFFFF), 0),
    ("GT", (SOME, 0), 1),
    ("SLT", (SHORT, 0x10000), 1),
    ("SLT", (SHORT, 0xFFFF), BOOLEAN),
    ("SLT", (NEGATIVE, 0), 1),
    ("SLT", (0, NEGATIVE), 0),
    ("SLT", (NEGATIVE, POSITIVE), 1),
    ("SLT", (POSITIVE, NEGATIVE), 0),
    ("SLT", (ANY, SIGN), 0),
    ("SLT", (ANY, SIGN + 1), BOOLEAN),
    ("SLT", (SIGN - 1, ANY), 0),
    ("SLT", (SIGN - 2, ANY), BOOLEAN),
    ("SLT", (RANGE, 0x100), 0),
    ("SLT", (RANGE, 0x101), BOOLEAN),
    ("SLT", (0xFF, RANGE), 1),
    ("SGT", (0x10000, SHORT), 1),
    ("SGT", (0, NEGATIVE), 1),
    ("EQ", (THREE, 4), 0),
    ("EQ", (4, THREE), 0),
    ("EQ", (THREE, Word(4, 15)), 0),
    ("EQ", (SOME, 0), 0),
    ("EQ", (0, SOME), 0),
    ("EQ", (LEAST, 15), 0),
    ("EQ", (LEAST, 16), BOOLEAN),
    ("EQ", (one_of((1, 4, 9)), 5), 0),
    ("ISZERO", (SOME,), 0),
    ("ISZERO", (LEAST,), 0),
    ("ISZERO", (one_of((1, 4, 9)),), 0),
    ("ISZERO", (ANY,), BOOLEAN),
]
"""Of each rule what it can tell, and where it ends: less would be sound as well, and call closed accounts acting."""


@pytest.mark.parametrize("row", EXACT, ids=lambda row: f"{row[0]} {row[1]!r}"[:60])
def test_a_rule_knows_as_much_as_it_says(row: tuple[str, tuple[AnyWord, ...], AnyWord]) -> None:
    name, operands, result = row
    assert apply(name, *operands) == result


def test_what_is_said_of_a_word_is_all_that_is_known() -> None:
    assert one_of((7,)) == one_of((7, 7)) == 7
    assert one_of((4, 5)) == Word(4, below(1))
    assert one_of((4, 6, 7)) == Word(4, below(2), values=(4, 6, 7))
    assert one_of(range(1, MAX_VALUES + 1)).values == tuple(range(1, MAX_VALUES + 1))  # type: ignore[union-attr]
    assert one_of(range(1, MAX_VALUES + 2)).values is None  # type: ignore[union-attr]
    assert one_of(range(3, MAX_VALUES + 9)).low == 3  # type: ignore[union-attr]
    assert few(Word(0, below(8))) == tuple(range(256))
    assert few(Word(0, below(9))) is None
    assert few(Word(4, below(2), (5,))) == (4, 6, 7)
    assert few(Word(4, below(2), low=6)) == (6, 7)
    assert few(Word(0, below(2), (4,), (1, 4, 9))) == (1,)
    assert (truth(0), truth(1), truth(ANY), truth(SOME), truth(LEAST)) == (False, True, None, True, True)
    assert truth(one_of((0, 1, 4))) is None
    assert truth(one_of((1, 4, 6))) is True
    assert (least(RANGE), most(RANGE), least(9), most(9)) == (0x100, 0xFFFF, 9, 9)
    assert bits(3, ONES) == 3
    assert join(5, 5) == 5
    assert join(4, 5) == Word(4, below(1))
    assert join(4, 6) == Word(4, ONES ^ 2)
    assert join(THREE, 5) == Word(1, 9, low=3)
    assert join(SOME, 5) == SOME
    assert join(5, SOME) == SOME
    assert join(SOME, 0) == ANY
    assert join(LEAST, 20) == LEAST
    assert join(20, LEAST) == LEAST
    assert join(Word(excluded=(1, 2, 3, 4)), Word(excluded=(0, 2, 3, 5))) == Word(excluded=(2, 3))
    assert join(Word(0, below(8), (1, 2)), Word(512, below(8), (513, 514))) == Word(0, below(8) ^ 512, (1, 2, 513, 514))
    assert widen(4, 4) == 4
    assert widen(4, 5) == Word(low=4)
    assert widen(4, 6) == Word(0, 1, low=4)
    assert widen(Word(0, below(8)), 3) == Word(0, below(8))
    assert widen(Word(0, 0xFF), 0x10) == Word(0, 0xF)
    assert widen(LEAST, 20) == LEAST
    assert widen(LEAST, 15) == ANY
    assert widen(SOME, 5) == SOME


def test_a_word_is_equal_to_one_of_which_the_same_is_known() -> None:
    words = [
        Word(),
        Word(1, 1),
        Word(0, 1),
        Word(excluded=(1,)),
        Word(low=2),
        one_of((4, 6, 7)),
        Word(4, below(2), low=4),
    ]
    for n, word in enumerate(words):
        for m, other in enumerate(words):
            assert (word == other) == (n == m)
        assert word == word.anew()
        assert hash(word) == hash(word.anew())
        assert word.anew() is not word
    assert Word() != 0


# --- storage ---

SLOTS = (0, 1, 5, 8, 9, 1 << 64)
storage_steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(SLOTS), members()),
        st.tuples(st.just("same"), st.sampled_from(SLOTS), members()),
        st.tuples(st.just("many"), st.sampled_from((0, 1, 5, 8, 1 << 64)), st.sampled_from(SLOTS), ints),
    ),
    max_size=7,
)


def _proven(slot: int) -> int:
    return slot & 1


def _stored(row: list[tuple[Any, ...]]) -> tuple[Storage, dict[int, int]]:
    """A storage as the engine has it, and one that it stands for."""
    storage, real = Storage(), {slot: _proven(slot) for slot in SLOTS}
    for number, step in enumerate(row):
        site = Site(1, number, step[1])
        match step:
            case ("write", slot, (word, value)):
                storage = storage.write(slot, word, _proven(slot), site)
                real[slot] = value
            case ("same", slot, _):
                storage = storage.write(slot, _proven(slot), _proven(slot), site)
                real[slot] = _proven(slot)
            case ("many", low, slot, value):
                storage = storage.anything(site._replace(slot=None), low)
                real[max(low, slot)] = value
    return storage, real


def _holds(storage: Storage, real: dict[int, int]) -> None:
    for slot, value in real.items():
        if slot in storage.written:
            assert contains(storage.written[slot], value)
        elif not storage.is_unknown(slot):
            assert value == _proven(slot)
    assert not storage.proven or all(value == _proven(slot) for slot, value in real.items())


@given(storage_steps, storage_steps)
def test_storage_is_never_said_to_be_what_it_is_not(
    first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]
) -> None:
    proven = {slot: _proven(slot) for slot in SLOTS}
    (a, real_a), (b, real_b) = _stored(first), _stored(second)
    _holds(a, real_a)
    _holds(b, real_b)
    for joined in (a.widen(b, proven), a.widen(b, {}), b.widen(a, proven)):
        _holds(joined, real_a)
        _holds(joined, real_b)
        assert a.proven == b.proven or not joined.proven


def test_storage_keeps_what_is_known() -> None:
    site = Site(1, 2, 3)
    empty = Storage()
    one = empty.write(3, 7, 0, site)
    assert (empty.proven, one.proven, one.write(3, 0, 0, site).proven) == (True, False, True)
    assert one.write(3, 0, 0, site).sites == ()
    assert one.sites == (site,)
    assert one.write(3, 8, 0, site).written == {3: 8}
    many = one.anything(Site(1, 9), 4)
    assert (many.written, many.unknown, many.sites) == ({3: 7}, 4, (site, Site(1, 9)))
    assert many.write(4, 0, 0, site).written == {3: 7, 4: 0}
    assert many.anything(Site(1, 9), 8) == many
    assert many.anything(Site(1, 9), 1) == Storage({}, 1)
    assert one.anything(low=3) == Storage({}, 3)
    assert empty.write(3, Word(), Word(), site).written == {3: Word()}
    two = empty.write(3, 6, 0, site).write(5, 1, 0, site)
    assert one.widen(one, {}) is one
    assert one.widen(two, {3: 0, 5: 0}) == Storage({3: widen(7, 6), 5: widen(0, 1)})
    assert one.widen(two, {3: 0}) == Storage({3: widen(7, 6), 5: Word()})
    assert two.widen(many, {5: 0}) == Storage({3: widen(6, 7)}, 4)
    assert many.widen(two, {5: 0}).unknown == 4
    assert many.widen(empty.anything(low=2), {}) == Storage({}, 2)
    assert empty.anything(low=2).widen(many, {}) == Storage({}, 2)
    assert one.widen(two, {}).sites == (site, *(other for other in two.sites if other != site))


# --- paths taken together ---


def test_two_paths_taken_together_hold_for_both() -> None:
    def path(words: list[AnyWord], data: Data = Data(b"", b"", 0), written: int = 0) -> Path:  # noqa: B008
        made = Path(Storage({1: written} if written else {}))
        made.stack, made.returned = words, data
        made.memory = made.memory.store(0, written)
        return made

    word = Word()
    shared, apart = path([word, word, 1, 2]), path([Word(), Word(), 1, 6], Data.of(b"12345"), 3)
    for a, b in ((shared, apart), (apart, shared)):
        joined = a.widen(b, {1: 0})
        assert joined.stack[0] is not joined.stack[1], "on one of the paths they are two values"
        assert joined.stack[2:] == [1, widen(a.stack[3], b.stack[3])]
        assert joined.storage == a.storage.widen(b.storage, {1: 0})
        assert joined.memory == a.memory.widen(b.memory)
        assert joined.returned == Data(b"", b"", unknown_size(0))
    kept = shared.widen(path([word, word, 1, 2]), {})
    assert kept.stack[0] is kept.stack[1]
    assert kept.returned == Data(b"", b"", 0)
    assert apart.widen(path([1, 2, 1, 2], Data(b"", b"", unknown_size(3))), {}).returned.size == unknown_size(3)
    assert shared.key() != path([Word(), Word(), 1, 2]).key()
    assert shared.key() == path([(other := Word()), other, 1, 2]).key()
    assert path([word, word, other]).key() != path([word, other, other]).key()
    for change in (
        {"logged": True},
        {"acted": Site(1, 1)},
        {"returned": Data.of(b"1")},
        {"memory": Memory().store8(0, 1)},
        {"storage": Storage({}, 0)},
    ):
        other_path = path([word, word, 1, 2])
        for name, value in change.items():
            setattr(other_path, name, value)
        assert other_path.key() != shared.key(), change


# --- memory ---


class Modelled:
    """A memory as the engine keeps it, and one that it stands for, byte by byte."""

    SIZE = LIMIT + 400

    def __init__(self) -> None:
        self.abstract = Memory()
        self.real = bytearray(self.SIZE)
        self.checks = 0

    def agree(self, start: int, length: int) -> None:
        values, known = self.abstract.piece(start, length)
        real = bytes(self.real[start : start + length])
        assert len(values) == len(known) == length
        for at, (value, mask, byte) in enumerate(zip(values, known, real, strict=True)):
            assert value & ~mask == 0, "a bit that is not known has a value"
            assert byte & mask == value, f"byte {start + at} is {byte:#x}, not {value:#x} of {mask:#x}"


places = st.one_of(
    st.integers(0, 100),
    st.sampled_from((0, 1, 31, 32, 33, 63, 64, 65)),
    st.sampled_from((LIMIT - 33, LIMIT - 32, LIMIT - 31, LIMIT - 1, LIMIT, LIMIT + 1)),
)
lengths = st.one_of(st.integers(0, 70), st.sampled_from((0, 1, 2, 31, 32, 33, 64)))
hidden = st.sampled_from(("known", "known", "unknown", "at least", "at least about", "bits"))


def seen(value: int, how: str) -> AnyWord:
    """The operand as the engine has it: known, with a lower bound, with some bits, or not at all."""
    if how == "known":
        return value
    if how == "bits":
        return Word(value & ~0x3F, ONES ^ 0x3F)
    return Word(low={"unknown": 0, "at least": value, "at least about": value // 2}[how])


@st.composite
def datas(draw: st.DrawFn) -> tuple[Data, bytes, AnyWord]:
    """A call's data as the engine has it, as it is, and the word for its size."""
    content = draw(st.binary(max_size=80))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return Data.of(content), content, len(content)
    mask = bytes(draw(st.sampled_from((0, 0xFF, 0xFF, 0x0F))) for _ in content)
    values = bytes(v & m for v, m in zip(content, mask, strict=True))
    if kind == 1:
        return Data(values, mask, len(content)), content, len(content)
    kept = draw(st.integers(0, len(content)))
    size = unknown_size(draw(st.integers(kept, len(content))))
    return Data(values[:kept], mask[:kept], size), content, size


def padded(content: bytes, start: int, length: int) -> bytes:
    return content[start : start + length].ljust(length, b"\0")


steps = st.lists(
    st.one_of(
        st.tuples(st.just("store"), places, hidden, members()),
        st.tuples(st.just("store8"), places, hidden, members()),
        st.tuples(st.just("move"), places, hidden, places, hidden, lengths, hidden),
        st.tuples(st.just("copy"), places, hidden, places, hidden, lengths, hidden, datas(), st.booleans()),
        st.tuples(st.just("forget"), places, hidden, lengths, hidden, st.binary(min_size=70, max_size=70)),
        st.tuples(st.just("load"), places, hidden),
        st.tuples(st.just("through"), places, hidden, lengths, hidden, places, places, lengths),
    ),
    min_size=1,
    max_size=14,
)  # fmt: skip


@given(steps)
def test_memory_is_never_said_to_be_what_it_is_not(row: list[tuple[Any, ...]]) -> None:
    model = Modelled()
    for step in row:
        _step(model, step)
        model.agree(0, 200)
        model.agree(LIMIT - 70, 140)


def _step(model: Modelled, step: tuple[Any, ...]) -> None:
    abstract, real = model.abstract, model.real
    match step:
        case ("store", at, unseen, (word, value)):
            model.abstract = abstract.store(seen(at, unseen), word)
            real[at : at + 32] = value.to_bytes(32, "big")
        case ("store8", at, unseen, (word, value)):
            model.abstract = abstract.store8(seen(at, unseen), word)
            real[at] = value & 0xFF
        case ("move", to, to_unseen, source, source_unseen, length, length_unseen):
            model.abstract = abstract.move(
                seen(to, to_unseen), seen(source, source_unseen), seen(length, length_unseen)
            )
            real[to : to + length] = bytes(real[source : source + length])
        case ("copy", to, to_unseen, source, source_unseen, length, length_unseen, (data, content, size), whole):
            if whole:
                length, told = len(content), size
            else:
                told = seen(length, length_unseen)
            model.abstract = abstract.copy(seen(to, to_unseen), data, seen(source, source_unseen), told)
            real[to : to + length] = padded(content, source, length)
        case ("forget", at, unseen, length, length_unseen, noise):
            model.abstract = abstract.forget(seen(at, unseen), seen(length, length_unseen))
            real[at : at + length] = noise[:length]
        case ("load", at, unseen):
            word = abstract.word(seen(at, unseen))
            assert contains(word, int.from_bytes(real[at : at + 32], "big"))
        case ("through", start, unseen, length, length_unseen, to, source, part):  # into a call, and read there
            data = abstract.data(seen(start, unseen), seen(length, length_unseen))
            content = bytes(real[start : start + length])
            assert contains(data.size, length)
            assert len(data.values) <= length
            assert contains(data.word(source), int.from_bytes(padded(content, source, 32), "big"))
            model.abstract = abstract.copy(to, data, source, part)
            real[to : to + part] = padded(content, source, part)
    assert len(real) == Modelled.SIZE


@given(steps, steps)
def test_two_memories_taken_together_hold_for_both(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]) -> None:
    models = (Modelled(), Modelled())
    for model, row in zip(models, (first, second), strict=True):
        for step in row:
            _step(model, step)
    joined = models[0].abstract.widen(models[1].abstract)
    for model in models:
        model.abstract = joined
        model.agree(0, 200)
        model.agree(LIMIT - 70, 140)
        assert contains(joined.word(16), int.from_bytes(model.real[16:48], "big"))


@given(datas(), places, lengths)
def test_data_is_never_said_to_be_what_it_is_not(
    given_data: tuple[Data, bytes, AnyWord], start: int, length: int
) -> None:
    data, content, size = given_data
    assert contains(size, len(content))
    values, known = data.piece(start, length)
    for value, mask, byte in zip(values, known, padded(content, start, length), strict=True):
        assert byte & mask == value & mask
    assert contains(data.word(start), int.from_bytes(padded(content, start, 32), "big"))


def test_memory_keeps_what_is_known() -> None:
    """What is written, and nothing beside it, is lost where something unknown is written."""
    memory = Memory().store(0, ONES).store(64, 7)
    assert memory.word(0) == ONES
    assert memory.word(16) == ONES ^ ((1 << 128) - 1)
    assert memory.word(1000) == 0
    assert memory.word(ANY) == ANY
    assert memory.store(32, SHORT).word(32) == SHORT
    assert memory.store8(3, 0).word(0) == ONES ^ (0xFF << 224)
    assert memory.store8(31, Word(1, 3)).word(0) == Word(below(8) | 1, below(8) | 3)
    cut = memory.forget(32, 32)
    assert (cut.word(0), cut.word(32), cut.word(64), cut.word(96)) == (ONES, ANY, 7, 0)
    cut = memory.forget(64)
    assert (cut.word(0), cut.word(32), cut.word(64), cut.word(96), cut.fresh) == (ONES, 0, ANY, ANY, False)
    assert memory.forget(LEAST).word(0) == Word(below(128), below(128))
    assert memory.forget(200).word(168) == 0
    assert memory.forget(200).word(0) == ONES
    assert memory.forget(LIMIT - 32, 32).word(0) == ONES
    assert memory.forget(LIMIT - 32, 32).fresh
    assert memory.forget(LIMIT + 1) == memory
    assert memory.forget(5, 0) == memory.move(5, ANY, 0) == memory.copy(ANY, Data.of(b"1"), 0, 0) == memory
    assert memory.word(LIMIT - 32) == 0
    assert memory.word(LIMIT - 31) == Word(0, below(8))
    assert memory.word(LIMIT) == ANY
    assert memory.store(LIMIT - 32, 5).word(LIMIT - 32) == 5
    assert len(memory.store(LIMIT - 1, 5).values) == LIMIT
    assert memory.store(LIMIT, 5) == memory
    assert memory.move(32, 64, 32).word(32) == 7
    assert memory.move(32, ANY, 32).word(64) == 7
    assert memory.move(32, ANY, 32).word(32) == ANY
    assert memory.move(32, 0, LIMIT).word(0) == ONES
    assert memory.move(32, 0, LIMIT).fresh
    assert not memory.move(32, 0, LIMIT + 1).fresh
    assert memory.move(64, 0, ANY).word(32) == 0
    data = Data(b"\1" * 40, b"\xff" * 40, unknown_size(40))
    assert memory.copy(0, data, 0, 32).word(0) == int("01" * 32, 16)
    assert memory.copy(0, data, 0, data.size).word(8) == int("01" * 32, 16)
    assert memory.copy(0, data, 0, data.size).word(64) == ANY
    assert memory.copy(0, data, 40, 32).word(0) == ANY
    assert memory.copy(0, data, ANY, 32).word(64) == 7
    assert memory.copy(LEAST, data, 0, 32).word(0) == Word(below(128), below(128))
    assert Data.of(b"\1").word(0) == 1 << 248
    assert Data.of(b"\1").word(1) == 0
    assert data.word(20) == Word(int("01" * 20 + "00" * 12, 16), below(96))
    assert memory.data(0, 32) == Data(b"\xff" * 32, b"\xff" * 32, 32)
    assert memory.data(0, 0) == Data(b"", b"", 0)
    assert memory.data(ANY, 5) == Data(b"", b"", 5)
    assert memory.data(64, LEAST).values == bytes(16)
    assert memory.data(64, LEAST).size == unknown_size(16)
    assert len(memory.data(0, LIMIT).values) == len(memory.data(0, LIMIT + 1).values) == LIMIT
    assert unknown_size() == Word(0, below(64))
    joined = memory.widen(memory.store(0, ONES - 1))
    assert (joined.word(0), joined.word(64), joined.fresh) == (Word(ONES - 1, ONES - 1), 7, True)
    assert memory.widen(Memory().store(0, ONES)).word(64) == Word(0, ONES ^ 7)
    assert not memory.widen(cut).fresh
    assert not cut.widen(memory).fresh
    assert memory.widen(memory.store(64, 7)) == memory


def test_data_and_memory_are_equal_if_the_same_is_known() -> None:
    datas_ = [Data(b"1", b"\xff", 1), Data(b"1", b"\xff", 2), Data(b"1", b"\x3f", 1), Data(b"0", b"\xff", 1)]
    memories = [Memory(), Memory(b"1", b"\xff"), Memory(b"1", b"\x3f"), Memory(b"0", b"\xff"), Memory(fresh=False)]
    for row in (datas_, memories):
        for n, one in enumerate(row):
            assert [one == other for other in row] == [n == m for m in range(len(row))]
            assert one != 0
