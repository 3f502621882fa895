"""Each instruction without effects: as the real EVM has it, and never less than that on abstract words and bytes."""

from __future__ import annotations

import functools
from typing import Any

import pyrevm
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.closure.evm.arithmetic import CONCRETE, apply
from orchestrator.closure.evm.buffer import LIMIT, Data, Memory, unknown_size
from orchestrator.closure.evm.opcodes import TABLE
from orchestrator.closure.evm.words import (
    MAX_EXCLUDED,
    ONES,
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
