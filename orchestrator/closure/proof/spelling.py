"""Numbers and bytes as nodes write them: many spellings of one value. Pure.

Where a hash decides whether a value is right, its spelling decides nothing: leading zeros or none, ``0x`` or null for
zero, a JSON number. What can be no value of its size is a ProofInvalid that names the field.
"""

from __future__ import annotations

import re
from typing import Any, Final

from orchestrator.errors import ProofInvalid

_HEX: Final = re.compile(r"0x[0-9a-fA-F]*")
_WORD_DIGITS: Final = 64
"""A number of any size may be written as a word of 32 bytes."""


def number(value: Any, what: str, bits: int) -> int:
    """A number of at most ``bits`` bits."""
    if value is None:
        return 0
    read = value if isinstance(value, int) and not isinstance(value, bool) else -1
    if isinstance(value, str) and len(value) <= 2 + max(_WORD_DIGITS, bits // 4) and _HEX.fullmatch(value):
        read = int(value[2:] or "0", 16)
    if not 0 <= read < 1 << bits:
        raise ProofInvalid(f"{what}: expected a hex number of at most {bits} bits, got {show(value)}")
    return read


def fixed(value: Any, what: str, length: int) -> bytes:
    """``length`` bytes, a hash or an address; what is missing at their left is zeros."""
    return number(value, what, 8 * length).to_bytes(length, "big")


def data(value: Any, what: str, limit: int) -> bytes:
    """Hex data of at most ``limit`` bytes; null is none."""
    if value is None:
        return b""
    if not isinstance(value, str) or len(value) > 2 + 2 * limit or not _HEX.fullmatch(value) or len(value) % 2:
        raise ProofInvalid(f"{what}: expected 0x and hex of at most {limit} bytes, got {show(value)}")
    return bytes.fromhex(value[2:])


def show(value: Any) -> str:
    """A hostile value for a message: its type and a short beginning, never its whole."""
    if value is None or isinstance(value, bool | int):
        return repr(value)[:60] if not isinstance(value, int) or abs(value) < 2**256 else "a huge number"
    if isinstance(value, str):
        return repr(value[:60]) + ("…" if len(value) > 60 else "")
    return f"a {type(value).__name__}"
