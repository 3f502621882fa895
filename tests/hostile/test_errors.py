"""Whatever the text, a parser raises the project's own errors: anything else would be told as a defect."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.hostile.parsers import PARSERS
from tests.hostile.shapes import SHAPES
from tests.profile import FULL

PIECES = [
    piece.encode("utf-8", "surrogatepass")
    for piece in (
        *"\0\t\n\r \"'\\{}[]:,.;=#%&?/@-_+0",
        "\u061c", "\u2028", "\u200b", "\u202e", "\ufeff", "\ud800", "\U0010ffff", "\u0130",
        "\ufdfa", "\uff11", "\u0663",
        "NaN", "Infinity", "-1", "1e999", "1E-999", "0x", "0x0", "-0", "1_0", "null", "true", "9" * 5000, "\\ud800",
        "\\u0000", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00+24:00", "+240000", "9" * 20,
        "eip155:" + "9" * 32, "solana:abc:def", '"""', "'''", '"a":', "[" * 80, "{" * 80, "]" * 80, "a." * 40,
    )
] + [b"\xff", b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80"]  # fmt: skip

VALUES = st.sampled_from([
    None, True, -1, 0, 2**63, 2**256, 10**90, 1.5, 1e308, "", " ", "\0", "0x", "0x0",
        "0x" + "f" * 65, "\ud800", "\u0663",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "eip155:" + "9" * 32, [], {}, [[]], [None], {"": None},
    "a" * 5000, "\u202e", ["0x"] * 70, {"error": {"error": {}}},
])  # fmt: skip


def examples(*names: str):
    return st.sampled_from([data for parser in PARSERS if parser.name in names for data in parser.examples])


@st.composite
def mutated(draw, parser):
    """A valid text with some changes: cut, doubled, moved, or with a piece that means something elsewhere."""
    data = bytearray(draw(st.sampled_from(parser.examples)))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.integers(0, 40)))
        match draw(st.integers(0, 3)):
            case 0:
                data[begin:end] = draw(st.sampled_from(PIECES))
            case 1:
                data[begin:begin] = data[begin:end]
            case 2:
                del data[begin:end]
            case _:
                data[begin:end] = draw(st.binary(max_size=8))
    return bytes(data)


@st.composite
def regrown(draw, parser):
    """A valid document with other values in some places."""
    try:
        document = json.loads(draw(st.sampled_from(parser.examples)))
    except ValueError:
        return draw(mutated(parser))
    for _ in range(draw(st.integers(1, 3))):
        document = replaced(draw, document)
    return json.dumps(document).encode()


def replaced(draw, value):
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        name = draw(st.sampled_from(sorted(value)))
        return value | {name: replaced(draw, value[name])}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], replaced(draw, value[index]), *value[index + 1 :]]
    return draw(VALUES)


def texts(parser):
    return st.one_of(
        mutated(parser), regrown(parser), st.binary(max_size=200), st.text(max_size=100).map(str.encode),
        st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join),
        st.sampled_from(PIECES).map(lambda piece: piece[:4] * 300),
    )  # fmt: skip


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_a_valid_text_and_every_shape_raise_nothing_else(parser):
    for data in parser.examples:
        run(parser, data)
    for family in SHAPES.values():
        for shape in family.values():
            run(parser, shape(min(parser.limit, 1024)))
            run(parser, base64.b64encode(shape(300)))


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_no_text_raises_anything_else(parser):
    @settings(
        max_examples=500 if FULL else 15,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(texts(parser))
    @example(b"")
    def check(data: bytes) -> None:
        run(parser, data)

    check()


def run(parser, data: bytes) -> None:
    with contextlib.suppress(parser.raises):
        parser.run(data)
