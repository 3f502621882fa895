"""Text of others, made fit to be shown: on a terminal, on a page, in a document that is signed."""

from __future__ import annotations

import unicodedata
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that show nothing, whatever their category says."""
_SPACE: Final = "Zs"


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
