"""The depth of JSON, told without parsing it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.closure.proof.merkle import decode, encode
from orchestrator.errors import ProofInvalid
from orchestrator.foreign import too_deep

JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a"\\[]{}é'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='"\\[{'), inner, max_size=3),
    max_leaves=30,
)


def depth(value) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(JSON, st.integers(0, 6), st.booleans())
def test_the_depth_of_any_json(value, limit, ascii_only):
    assert too_deep(json.dumps(value, ensure_ascii=ascii_only).encode(), limit) == (depth(value) > limit)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b'["\\"",' * 100_000, b"[1,[" * 50_000])
def test_what_would_end_the_process(text):
    assert too_deep(text)


@pytest.mark.parametrize("text", [b"", b'"' * 101, b'"[' * 100 + b'"', b"[]" * 1000, b'"' + b"\\" * 100_000])
def test_what_is_not_deep(text):
    assert not too_deep(text)


def test_rlp_of_a_list_and_back():
    assert decode(encode([b"a", [b"", b"b"]]), "test") == [b"a", [b"", b"b"]]
    for bad in (b"", b"\xc2\x01", b"\x81\x01", b"\xc0\x00"):
        with pytest.raises(ProofInvalid, match="test: malformed RLP"):
            decode(bad, "test")
