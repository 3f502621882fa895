"""No text within its limit blocks: what a parser takes grows with the text's length and not with its square, and stays
within a small multiple of reading harmless JSON, which is measured beside it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable

import pytest

from tests.hostile.parsers import PARSERS, Parser
from tests.hostile.shapes import SHAPES
from tests.profile import FULL

GROWTH = 64
"""At most, for 16 times the length. A parser that takes the square of it has 256."""
BUDGET = 6.0
"""Of reading 1 MiB of accounts, which takes some 8 ms: so 50 ms."""
SMALL = 16
MOST = 8 * 1024
"""Bytes that the default profile gives a parser; the full profile goes to its limit."""


def seconds(run: Callable[[], object], times: int = 2) -> float:
    """Of this thread's processor time: what else the machine does is not counted. The least of several."""
    found = []
    for _ in range(times):
        begun = time.thread_time()
        run()
        found.append(time.thread_time() - begun)
    return min(found)


def raising_nothing_else(parser: Parser, data: bytes) -> Callable[[], object]:
    def run() -> None:
        with contextlib.suppress(parser.raises):
            parser.run(data)

    return run


@pytest.fixture(scope="module")
def text() -> str:
    account = {"id": "5b0f1c2d-0000-4000-8000-000000000001", "status": "active", "currencies": ["EUR"], "x": "a" * 120}
    return json.dumps([account] * (1024 * 1024 // len(json.dumps(account))))


@pytest.fixture(scope="module")
def harmless(text: str) -> float:
    return seconds(lambda: json.loads(text), 5)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_every_parser_is_linear_and_quick_at_its_limit(parser, harmless, text):
    slow, size = {}, parser.limit if FULL else min(parser.limit, MOST)
    budget = BUDGET if parser.on_loop else float("inf")
    shapes = {name: shape for family in parser.shapes for name, shape in SHAPES[family].items()} | parser.own_shapes
    for name, shape in shapes.items():
        beside = harmless
        long, short = (raising_nothing_else(parser, shape(length)) for length in (size, size // SMALL))
        took = seconds(long, 1)
        if took <= harmless / 8:
            continue  # a millisecond: whatever it grows like
        for times in (2, 8):  # once more, with more tries: a measurement can be disturbed
            took = min(took, seconds(long, times))
            growth = took / max(seconds(short, times), beside / 8 / SMALL)
            if growth <= GROWTH and took <= budget * beside:
                break
            # What the machine does at this moment makes all slower, the harmless text too.
            beside = seconds(lambda: json.loads(text))
        else:
            slow[name] = f"{took / beside:.1f} times the harmless text, {growth:.0f} times its own sixteenth"
    assert not slow
