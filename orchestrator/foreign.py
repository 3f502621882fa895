"""Text of others: JSON and TOML that may be anything, read within bounds; and text made fit to be shown.

``json.loads`` trusts its input in ways that ``read_json`` does not: it guesses UTF-16 and UTF-32 from bytes (RFC 8259
has UTF-8 only), takes NaN and a member that occurs twice, recurses as deep as the interpreter's limit lets it (web3's
library py_ecc raises that limit to 100,000, and 100 kB of ``[`` then end the process), and needs 0.2 s and 100 MB for
1 MB of ``[]``. So the text is measured first, in one pass of bounded steps: how deep it nests and how much is in
it. After that no step of the parser holds the interpreter for longer than some ten milliseconds, and 1 MiB can be read
within an event loop; greater limits (``max_values``) are for a thread. Only ``challenge.forms`` reads JSON by itself,
inside of a challenge of 8 KiB at most.

``tomllib`` recurses for each bracket, and takes the square of the length of a dotted key (1.6 GB for 40 kB) and of a
string with many escapes. What a settings or policy file can be is a small and flat part of TOML, so it is measured
first, too, in one linear pass.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
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

_MAX_TOML_DEPTH: Final = 16
"""Of brackets in each other, and of dots in a line: in a key, they are depth as well."""
_MAX_TOML_PARTS: Final = 8192
"""Of assignments, members, tables, parts of keys, escaped characters."""
_NOT_STRUCTURE: Final = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5}|\\?\Z)'
    r"|'''(?:[^']++|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]++|\\[^\n])*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
"""Strings and comments. One that does not end stands for all that it hides: the parser stops there, too."""
_OTHER: Final = re.compile(r"[^\[\]{}]++")

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that show nothing, whatever their category says."""
_SPACE: Final = "Zs"


# --- headers ----------------------------------------------------------------------------------------------------------


def retry_after(header: str, *, most: float, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` asks to wait, as a number or as a date (RFC 9110, 10.2.3), ``most`` at most; None
    for one that says nothing."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), most)
    try:
        until = parsedate_to_datetime(text)
        seconds = (until - now).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date of no zone
        return None
    return max(0.0, min(seconds, most))


# --- JSON -------------------------------------------------------------------------------------------------------------


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
    _measure(data, MAX_JSON_DEPTH, max_values)
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
    """Whether JSON nests deeper than ``limit``, without parsing it; True also where it is too long to be measured."""
    try:
        _measure(text, limit, len(text))
    except MalformedJson:
        return True
    return False


def _measure(data: bytes, max_depth: int, max_values: int) -> None:
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


# --- TOML -------------------------------------------------------------------------------------------------------------


class MalformedToml(ValueError):
    """What is wrong with a document, as the rest of a sentence about it."""


def read_toml(text: str) -> dict[str, Any]:
    """The document's table, with brackets and dotted keys at most 16 deep. Raises MalformedToml, and nothing else."""
    bare = _NOT_STRUCTURE.sub("", text)
    if sum(map(bare.count, "=,[{.\n")) + text.count("\\") > _MAX_TOML_PARTS:
        raise MalformedToml(f"has more than {_MAX_TOML_PARTS} lines and values")
    brackets = _OTHER.sub("", bare)
    levels = accumulate((1 if bracket in "[{" else -1 for bracket in brackets), initial=0)
    if max(levels) > _MAX_TOML_DEPTH or any(line.count(".") > _MAX_TOML_DEPTH for line in bare.splitlines()):
        raise MalformedToml(f"nests deeper than {_MAX_TOML_DEPTH} levels")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for a number of too many digits
        raise MalformedToml(f"is not TOML: {error}") from None


# --- to be shown ------------------------------------------------------------------------------------------------------


def is_hidden(character: str) -> bool:
    """Whether a character shows nothing or changes how others are shown.

    By Unicode's categories: controls, format characters (bidirectional ones such as U+061C and U+202E, zero-width ones
    such as U+200B), line and paragraph separators (U+2028, U+2029), surrogates, private and unassigned ones; beside
    them variation selectors and fillers. Spaces of any width are not hidden.
    """
    return (
        (not character.isprintable() and unicodedata.category(character) != _SPACE)
        or character in _INVISIBLE
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
    )


def shown(text: str, *, keep: str = "") -> str:
    """``text`` with each hidden character but those of ``keep`` as U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(REPLACEMENT if is_hidden(one) and one not in keep else one for one in text)
