"""On which line of a TOML file a key stands, which the parser does not tell. For messages only. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Final

Path = tuple[str | int, ...]
_LONGEST: Final = 400
"""Characters of a line that are looked at."""


def line_of(text: str, path: Path) -> int:
    """The line of the key, or of the nearest table around it; 1 where neither is found.

    Tables of an array are counted from 0 in ``path``. Keys of inline tables are not told apart from theirs.
    """
    found, deep = 1, 0
    table: Path = ()
    times: Counter[Path] = Counter()
    for number, line in enumerate(text.split("\n"), start=1):
        before = line[:_LONGEST].strip()
        if before.startswith("["):
            table = _counted(_names(before.strip("[] ").partition("]")[0]), times, another=before.startswith("[["))
            here = table
        elif "=" in before and not before.startswith("#"):
            here = table + _names(before.partition("=")[0])
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
