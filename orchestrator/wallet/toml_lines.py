"""On which line of a TOML file a key stands, which the parser does not tell. For messages only. Pure."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

Path = tuple[str | int, ...]
_HEADER: Final = re.compile(r"\s*(\[\[?)([^\[\]]{1,200})\]")
_KEY: Final = re.compile(r"\s*([\w.\"' -]{1,200}?)\s*=")


def line_of(text: str, path: Path) -> int:
    """The line of the key, or of the nearest table around it; 1 where neither is found.

    Tables of an array are counted from 0 in ``path``. Keys of inline tables are not told apart from theirs.
    """
    found, deep = 1, 0
    table: Path = ()
    times: Counter[Path] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            names = _names(header[2])
            table = _counted(names, times, another=header[1] == "[[")
            here = table
        elif key := _KEY.match(line):
            here = table + _names(key[1])
        else:
            continue
        for wanted in (path, tuple(part for part in path if isinstance(part, str))):
            if len(here) > deep and here == wanted[: len(here)]:
                found, deep = number, len(here)
    return found


def _names(dotted: str) -> Path:
    return tuple(part.strip(" \t\"'") for part in dotted.split("."))


def _counted(names: Path, times: Counter[Path], *, another: bool) -> Path:
    """A table's path, with the number of each table of an array in it."""
    times[names] += another
    path: Path = ()
    for end in range(1, len(names) + 1):
        path += (names[end - 1],)
        if times[names[:end]]:
            path += (times[names[:end]] - 1,)
    return path
