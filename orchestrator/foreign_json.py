"""Reads JSON that anybody may have written: the one place where the package does, but for ``challenge.forms``, which
looks for JSON inside of a challenge of 8 KiB at most.

``json.loads`` trusts its input in ways that this does not: it guesses UTF-16 and UTF-32 from bytes (RFC 8259 has UTF-8
only), takes NaN and a member that occurs twice, recurses as deep as the interpreter's limit lets it (a library of
web3's, py_ecc, raises that limit to 100,000, and 100 kB of ``[`` then end the process), and needs 0.2 s and 100 MB for
1 MB of ``[]``. So the text is looked at first, in one pass of bounded steps, for how deep it nests and how much is in
it. After that no step of the parser holds the interpreter for longer than some ten milliseconds, and 1 MiB can be read
within an event loop; greater limits (``max_values``) are for a thread.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final, NoReturn

MAX_JSON_DEPTH: Final = 64
MAX_JSON_VALUES: Final = 32 * 1024
"""Values of one document, and values that may follow each other without an object among them (at an object the parser
calls Python, where another thread gets its turn)."""
_MAX_ESCAPES: Final = 1024 * 1024
_LONGEST_NUMBER: Final = 100
"""Characters. 2^256 has 78 digits; reading a number takes the square of its length."""
_STEP: Final = 64 * 1024
_NOT_STRUCTURAL: Final = bytes(set(range(256)) - set(b'"[]{},'))
_LEVELS: Final = tuple(1 if byte in b"[{" else -1 for byte in range(256))
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE_PAIR: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


class MalformedJson(ValueError):
    """What is wrong with a document, as the rest of a sentence about it: ``nests deeper than 64 levels``."""


def read_json(
    data: bytes,
    *,
    max_bytes: int,
    max_values: int = MAX_JSON_VALUES,
    unique: bool = True,
    parse_int: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
) -> Any:
    """The value of one JSON document (RFC 8259) in strict UTF-8, nested at most 64 deep.

    Not taken: NaN and Infinity, numbers of more than 100 characters or beyond a double, lone surrogates (no text that
    can be written again), and, where ``unique``, an object that names a member twice. ``parse_int`` and ``parse_float``
    get a number's text, of any length, and may raise ValueError. Raises MalformedJson, and nothing else.
    """
    if len(data) > max_bytes:
        raise MalformedJson(f"has more than {max_bytes} bytes")
    _look(data, MAX_JSON_DEPTH, max_values)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJson(f"is not UTF-8 text (byte {error.start} of {len(data)})") from None
    if _SURROGATE.search(text) is not None and _SURROGATE.search(_SURROGATE_PAIR.sub("", text.replace("\\\\", ""))):
        raise MalformedJson("has a lone surrogate")

    try:
        return json.loads(
            text,
            object_pairs_hook=_unique if unique else _last,
            parse_int=parse_int or _integer,
            parse_float=parse_float or _double,
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as error:
        raise MalformedJson(f"is no JSON: {error.msg} at character {error.pos} of {len(text)}") from None
    except RecursionError:  # a caller that stands deep in the stack itself
        raise MalformedJson("nests too deep") from None
    except ValueError as error:
        raise MalformedJson(f"cannot be used: {error}") from None


def too_deep(text: bytes, limit: int = MAX_JSON_DEPTH) -> bool:
    """Whether JSON nests deeper than ``limit``, without parsing it; True also where it is too long to look at."""
    try:
        _look(text, limit, len(text))
    except MalformedJson:
        return True
    return False


def _look(data: bytes, max_depth: int, max_values: int) -> None:
    """Depth and number of values, as far as the document is well-formed (the parser goes no further).

    Linear: each step keeps the quotes, brackets and commas of its bytes, and of these what is outside of strings.
    """
    most = min(_MAX_ESCAPES, 4 * max_values)
    if data.count(b"\\") > most:
        raise MalformedJson(f"has more than {most} escaped characters")
    at = depth = values = quotes = run = 0
    inside = False
    while at < len(data):
        part = data[at : at + _STEP]
        if (len(part) - len(part.rstrip(b"\\"))) % 2:  # what a backslash escapes belongs to its step
            part = data[at : at + _STEP + 1]
        at += len(part)
        bare = part.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_STRUCTURAL)
        quotes += bare.count(b'"')
        if quotes > 4 * (max_values + 1):  # each value is at most two strings: a member's name, and text
            raise MalformedJson(f"has more than {max_values} values")
        pieces = bare.split(b'"')
        outside = b"".join(pieces[inside::2])
        inside ^= len(pieces) % 2 == 0
        brackets = outside.translate(None, b",")
        if brackets:
            levels = list(accumulate(map(_LEVELS.__getitem__, brackets), initial=depth))
            depth = levels[-1]
            if max(levels) > max_depth:
                raise MalformedJson(f"nests deeper than {max_depth} levels")
        begun = outside.translate(None, b"]}").split(b"{")  # a comma or an opening bracket for each value, at least
        values += sum(map(len, begun)) + len(begun) - 1
        run = run + len(begun[0]) if len(begun) == 1 else len(begun[-1])
        if values > max_values or run > MAX_JSON_VALUES:
            raise MalformedJson(f"has more than {min(max_values, MAX_JSON_VALUES)} values")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"member {twice[:60]!a} occurs twice in one object")
    return found


def _last(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a member that occurs twice the last one. In Python, where another thread gets its turn."""
    return dict(pairs)


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} characters")
    return int(digits)


def _double(digits: str) -> float:
    if len(digits) > _LONGEST_NUMBER or math.isinf(number := float(digits)):
        raise ValueError("a number beyond a double")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
