"""Which slots a contract compares before it does anything: guesses, from any code."""

from __future__ import annotations

import pytest

from orchestrator.closure.guards import guards
from tests.closure.cases.assembler import assemble

ALL = (1 << 256) - 1


@pytest.mark.parametrize(
    ("condition", "mask", "numbers"),
    [
        ("3 0 SLOAD EQ", ALL, (3,)),
        ("0 SLOAD ISZERO", ALL, (0,)),
        ("7 255 0 SLOAD AND EQ", 0xFF, (7,)),
        ("7 255 0 SLOAD 160 SHR AND EQ", 0xFF << 160, (7,)),
        ("7 255 65536 0 SLOAD DIV AND EQ", 0xFF << 16, (7,)),
    ],
)
def test_the_bits_that_are_compared(condition, mask, numbers):
    code = assemble(f"{condition} @closed JUMPI 9 1 SSTORE STOP closed: 0 0 REVERT")
    (guard,) = guards(0xA, code)
    assert (guard.slot, guard.mask, guard.numbers, guard.ways, guard.of) == (0, mask, numbers, 1, 1)


@pytest.mark.parametrize("code", [b"", b"\xef\x01", b"\x56", b"\x5b" * 9, bytes(range(256)), b"\x54\x57\x55"])
def test_any_code_ends(code):
    assert guards(0xA, code) == ()
