"""A block as following the chain reads it: its numbers in any spelling that stands for one number, and no other."""

from __future__ import annotations

import pytest

from orchestrator.chain.node import parse
from orchestrator.errors import ChainNonsense

HASH, PARENT = "0x" + "11" * 32, "0x" + "22" * 32
BLOCK = {"number": "0x12", "hash": HASH, "parentHash": PARENT, "timestamp": "0x65"}


@pytest.mark.parametrize("number", ["0x12", "0x012", "0x" + "0" * 62 + "12", 18])
@pytest.mark.parametrize("timestamp", ["0x65", "0x0065", 101])
def test_numbers_in_any_spelling(number, timestamp):
    header = parse.header({**BLOCK, "number": number, "timestamp": timestamp}, "a block")
    assert (header.block.number, header.timestamp) == (18, 101)


@pytest.mark.parametrize("number", [None, "12", 18.0, True, -1, "", "0x" + "f" * 17, "0xzz", 2**64, [], {}])
@pytest.mark.parametrize("name", ["number", "timestamp"])
def test_what_is_no_number_is_nonsense(name, number):
    """Null among it: a block that is not mined yet has no number, which is not zero."""
    with pytest.raises(ChainNonsense, match=f"a block.{name}: expected"):
        parse.header({**BLOCK, name: number}, "a block")
