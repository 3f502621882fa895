"""The one reader of foreign JSON: what it takes, what it refuses, and that no process ends by what it is given."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.foreign import MAX_JSON_VALUES, MalformedJson, read_json, too_deep
from orchestrator.process import lazy_py_ecc

SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)


@given(VALUES, st.booleans())
def test_what_json_dumps_writes_is_read_back(value, ascii_only):
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert read_json(data, max_bytes=len(data)) == value


@given(st.binary(max_size=60).map(lambda data: b'{"a":"' + data + b'",[{]}') | st.text('[]{}"\\,:1a ').map(str.encode))
def test_what_is_refused_json_loads_refuses_or_it_nests_too_deep(data):
    try:
        expected = json.loads(data.decode("utf-8"))
    except ValueError:
        with pytest.raises(MalformedJson):
            read_json(data, max_bytes=len(data))
    else:
        assert read_json(data, max_bytes=len(data), unique=False) == expected


@given(st.lists(st.sampled_from(['"', "\\", "[", "]", "{", "}", '\\"', "\\\\", "a"]), max_size=40).map("".join))
def test_depth_is_counted_outside_of_strings_only(text):
    value, deepest = json.dumps([[text], {text: text}]), 2
    assert not too_deep(value.encode(), deepest)
    assert too_deep(value.encode(), deepest - 1)


@pytest.mark.parametrize("place", range(64 * 1024 - 6, 64 * 1024 + 3))
@pytest.mark.parametrize("unit", ['\\"', "\\\\", "\\\\\\", '\\\\\\"', "[", "é"])
def test_a_string_over_the_end_of_a_step_is_one_string(place, unit):
    text = json.dumps("a" * (place - 2) + json.loads(f'"{unit}"' if unit != "\\\\\\" else '"\\\\"') + "[[[")
    assert not too_deep(f"[{text}]".encode(), 1)
    assert too_deep(f"[{text},[]]".encode(), 1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[" * 65 + b"]" * 65, "nests deeper than 64"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nests deeper than 64"),
        (("[" * 70 + "]" * 70).encode("utf-16"), "UTF-8|nests deeper"),
        ('"a"'.encode("utf-16"), "UTF-8"),
        ('"a"'.encode("utf-16-le"), "no JSON"),
        ('"a"'.encode("utf-32"), "UTF-8|no JSON"),
        (b'\xef\xbb\xbf"a"', "no JSON"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        (rb'"\ud800"', "lone surrogate"),
        (rb'"\udc00\ud800"', "lone surrogate"),
        (rb'{"\\\ud800":1}', "lone surrogate"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"1e999", "double"),
        (b"9" * 101, "101 characters"),
        (b"1." + b"1" * 5000, "double"),
        (b'{"a":1,"a":2}', "'a' occurs twice"),
        (b"", "no JSON"),
        (b"[" + b"1," * MAX_JSON_VALUES + b"1]", "values"),
        (b"[" + b"{}," * MAX_JSON_VALUES + b"1]", "values"),
        (b'"' + b"a" * 200, "more than 200 bytes"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_refused_and_why(data, why):
    with pytest.raises(MalformedJson, match=why):
        read_json(data, max_bytes=200 if data.startswith(b'"aaa') else 10**6)


@pytest.mark.parametrize("text", [r'"\ud83d\ude00"', r'"\\ud800"', r'"\\\\ud800"', '"é"', '"\\u00e9"', "1e308", "-0"])
def test_what_looks_like_these_and_is_none_is_read(text):
    assert read_json(text.encode(), max_bytes=100) == json.loads(text)


def test_of_a_greater_document_objects_let_other_threads_run():
    def run(data):
        return read_json(data, max_bytes=len(data), max_values=10**6)

    assert len(run(b"[" + b'{"a":1},' * 200_000 + b"{}]")) == 200_001
    with pytest.raises(MalformedJson, match="values"):
        run(b"[" + b"[]," * MAX_JSON_VALUES + b"{}]")


def test_a_recursion_that_the_caller_stands_in_is_a_malformed_document():
    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        else:
            read_json(b"[" * 60 + b"]" * 60, max_bytes=200)

    limit = sys.getrecursionlimit()
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    with pytest.raises(MalformedJson, match="nests too deep"):
        deeper(limit - depth - 12)


CRASH = """
import sys, web3                                 # py_ecc: a recursion limit of 100,000
from orchestrator.errors import MalformedAnswer
from orchestrator.platform.answers import parse_json, refusal_of
from orchestrator.platform.transport import Answer, Call
call = Call("POST", "host", "/path", modifying=True)
# U+2241 has the byte of a quote: to whoever counts bytes, the brackets are in a string.
hidden = '["\u2241",' + "[" * 99_000 + '"'
for body in hidden.encode("utf-16-le"), hidden.encode("utf-32-le"), b"[" * 396_000:
    answer = Answer(422, {"content-type": "application/json"}, body, 0.0)
    print(refusal_of(answer, call, str).code)
    try:
        parse_json(answer, call)
    except MalformedAnswer as error:
        print(error.code)
"""


def test_no_body_ends_a_process_whose_recursion_limit_somebody_raised():
    done = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["idempotency_mismatch", "platform_malformed"] * 3), (
        done.stderr
    )


def test_the_recursion_limit_is_put_back_by_each_of_several_threads():
    before = sys.getrecursionlimit()

    def imports(_: int) -> None:
        with lazy_py_ecc():
            sys.setrecursionlimit(100_000)

    threads = [threading.Thread(target=imports, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.getrecursionlimit() == before
    with pytest.raises(ImportError), lazy_py_ecc():
        exec("import sys; sys.setrecursionlimit(100_000); import no_such_module")
    assert sys.getrecursionlimit() == before
