"""How deep hostile JSON nests, before a parser looks at it."""

from __future__ import annotations

import re
from typing import Final

MAX_JSON_DEPTH: Final = 64
_JSON_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def too_deep(text: bytes, limit: int = MAX_JSON_DEPTH) -> bool:
    """Whether JSON nests deeper than ``limit``, without parsing it.

    Python's parser would say so with a RecursionError; but a library of web3's (py_ecc) raises the interpreter's
    recursion limit to 100,000 when it is imported, and 100 kB of ``[`` then ends the whole process.
    """
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    depth = 0
    for bracket in _JSON_STRING.sub(b"", text).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > limit:
            return True
    return False
