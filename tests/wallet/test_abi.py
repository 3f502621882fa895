"""Signatures, events and calls of the contract ABI, beside ``eth_abi`` as a second reader."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import eth_abi
import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.models import checksum
from orchestrator.wallet import abi

WORDS = ["address", "bool", "uint8", "uint128", "uint256", "int8", "int256", "bytes1", "bytes16", "bytes32"]
TYPES = [*WORDS, "bytes", "string", *(f"{kind}[]" for kind in WORDS)]


def values(kind: str) -> st.SearchStrategy[Any]:
    if kind.endswith("[]"):
        return st.lists(values(kind[:-2]), max_size=4)
    if kind == "address":
        return st.binary(min_size=20, max_size=20).map(lambda raw: checksum(raw.hex()))
    if kind == "bool":
        return st.booleans()
    if kind == "string":
        return st.text(max_size=40)
    if kind.startswith("bytes"):
        size = int(kind[5:] or 0)
        return st.binary(min_size=size, max_size=size or 70)
    bits = int(re.sub(r"\D", "", kind))
    return st.integers(0, 2**bits - 1) if kind[0] == "u" else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@st.composite
def typed(draw: st.DrawFn) -> tuple[list[str], list[Any]]:
    types = draw(st.lists(st.sampled_from(TYPES), max_size=5))
    return types, [draw(values(kind)) for kind in types]


@given(typed())
def test_what_is_encoded_is_what_eth_abi_encodes_and_is_read_back(pair: tuple[list[str], list[Any]]) -> None:
    types, given_values = pair
    encoded = abi.encode(types, given_values)
    assert encoded == eth_abi.encode(types, given_values)
    assert abi.decode(types, encoded) == given_values


@given(typed(), st.data())
def test_another_encoding_raises_value_error_or_is_what_eth_abi_reads(
    pair: tuple[list[str], list[Any]], data: st.DataObject
) -> None:
    types, given_values = pair
    encoded = bytearray(abi.encode(types, given_values))
    if encoded:
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        encoded += data.draw(st.binary(max_size=40))
    try:
        found = abi.decode(types, bytes(encoded))
    except ValueError:
        return
    assert abi.encode(types, found) == bytes(encoded), "one value, two encodings"
    theirs = [tuple(each) if isinstance(each, list) else each for each in found]
    read = eth_abi.decode(types, bytes(encoded))
    assert repr(read).lower() == repr(tuple(theirs)).lower(), "they write addresses in lower case"


@given(st.lists(st.sampled_from(TYPES), max_size=5), st.binary(max_size=300))
def test_nothing_but_value_error_is_raised(types: list[str], data: bytes) -> None:
    with contextlib.suppress(ValueError):
        abi.decode(types, data)


@given(st.text(max_size=80) | st.from_regex(r"[a-z]{1,4}\([a-z0-9\[\] ,]{0,20}\)( returns \([a-z0-9 ]{0,9}\))?"))
def test_no_text_of_a_signature_raises_anything_else(text: str) -> None:
    with contextlib.suppress(ValueError):
        abi.Signature.parse(text)


def test_a_signature_as_people_write_it() -> None:
    event = abi.Signature.parse("event Changed(uint8 indexed from, uint to, address)")
    assert event.topic == keccak(b"Changed(uint8,uint256,address)")
    assert event.arguments[0] == abi.Argument("from", "uint8", indexed=True)
    assert event.arguments[2] == abi.Argument("", "address")
    call = abi.Signature.parse(" function walletOf(bytes16 account) external view returns (address wallet); ")
    assert call.returns == (abi.Argument("wallet", "address"),)
    assert call.call({"account": b"\1" * 16}) == keccak(b"walletOf(bytes16)")[:4] + b"\1" * 16 + bytes(16)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("owner", "expected a signature"),
        ("owner() returns (address", "expected a signature"),
        ("a" * 2000 + "()", "expected a signature"),
        ("f(uint7)", "no type"),
        ("f(uint0)", "no type"),
        ("f(uint08)", "no type"),
        ("f(bytes33)", "no type"),
        ("f(bytes0)", "no type"),
        ("f(uint264)", "no type"),
        ("f(string[])", "no type"),
        ("f(Safe proxy)", "expected a type"),
        ("f(enum state)", "no type"),
        ("f(uint8[][] a)", "expected a type"),
        ("f(uint8[2] a)", "expected a type"),
        ("f((uint8,uint8) a)", "expected a signature"),
        ("f(address a, address a)", "two arguments are named a"),
        ("f(address a,)", "expected a type"),
        ("function f() returns (address)", "not view"),
        ("f() external returns (address)", "not view"),
        ("f() payable returns (address)", "payable cannot be here"),
        ("event f() view", "view cannot be here"),
        ("f(uint8 indexed a, uint8 indexed b, uint8 indexed c, uint8 indexed d)", "at most 3"),
        ("f() returns (uint8 indexed a)", "are indexed"),
    ],
)
def test_a_wrong_signature_is_refused_with_the_reason(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        abi.Signature.parse(text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", True),
        ("int8", 128),
        ("bool", 1),
        ("address", "0x12"),
        ("bytes16", b"short"),
        ("bytes", "text"),
        ("string", b"bytes"),
        ("uint8[]", 1),
        ("uint8[]", b"ab"),
    ],
)
def test_a_value_of_another_type_is_refused(kind: str, value: object) -> None:
    with pytest.raises(ValueError, match="is no"):
        abi.encode([kind], [value])


WORD = 32


@pytest.mark.parametrize(
    ("types", "encoded", "wrong"),
    [
        (["bytes"], [WORD, 1, b"a".ljust(31, b"\0") + b"\1"], "padded"),
        (["string"], [WORD, 1, b"a\1"], "padded"),
        (["bytes", "bytes"], [2 * WORD, 2 * WORD, 1, b"a"], "not behind"),
        (["bytes", "bytes"], [4 * WORD, 2 * WORD, 1, b"a", 1, b"b"], "not behind"),
        (["bytes"], [WORD, 33, b"a"], "33 long"),
        (["uint8[]"], [WORD, 2, 1], "2 long"),
        (["uint8[]"], [WORD, 1 << 255, 1], "long"),
        (["uint8"], [1, 0], "32 bytes behind"),
        (["uint8"], [], "expected the encoding"),
    ],
)
def test_an_encoding_that_no_compiler_writes_is_refused(types: list[str], encoded: list[Any], wrong: str) -> None:
    words = [part.to_bytes(32, "big") if isinstance(part, int) else part.ljust(32, b"\0") for part in encoded]
    with pytest.raises(ValueError, match=wrong):
        abi.decode(types, b"".join(words))


def test_packed_words() -> None:
    types, given_values = ["address", "bytes16", "uint64", "bool"], ["0x" + "ab" * 20, b"\1" * 16, 5, True]
    assert abi.packed(types, given_values) == b"\xab" * 20 + b"\1" * 16 + (5).to_bytes(8, "big") + b"\1"
