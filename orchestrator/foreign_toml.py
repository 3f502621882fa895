"""Reads TOML that may be anything: what a settings or policy file can be is a small and flat part of TOML.

``tomllib`` recurses for each bracket, and takes the square of the length of a dotted key (1.6 GB for 40 kB) and of a
string with many escapes. So the text is looked at first, in one linear pass.
"""

from __future__ import annotations

import re
import tomllib
from itertools import accumulate
from typing import Any, Final

_MAX_DEPTH: Final = 16
"""Of brackets in each other, and of dots in a line: in a key, they are depth as well."""
_MAX_PARTS: Final = 8192
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


class MalformedToml(ValueError):
    """What is wrong with a document, as the rest of a sentence about it."""


def read_toml(text: str) -> dict[str, Any]:
    """The document's table, with brackets and dotted keys at most 16 deep. Raises MalformedToml, and nothing else."""
    bare = _NOT_STRUCTURE.sub("", text)
    if sum(map(bare.count, "=,[{.\n")) + text.count("\\") > _MAX_PARTS:
        raise MalformedToml(f"has more than {_MAX_PARTS} lines and values")
    brackets = _OTHER.sub("", bare)
    levels = accumulate((1 if bracket in "[{" else -1 for bracket in brackets), initial=0)
    if max(levels) > _MAX_DEPTH or any(line.count(".") > _MAX_DEPTH for line in bare.splitlines()):
        raise MalformedToml(f"nests deeper than {_MAX_DEPTH} levels")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for a number of too many digits
        raise MalformedToml(f"is not TOML: {error}") from None
