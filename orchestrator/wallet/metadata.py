"""What a compiler leaves at the end of a contract's code (CBOR; Solidity's and Vyper's documentation). Pure."""

from __future__ import annotations

import re
from typing import Final

_SOLC: Final = re.compile(rb"\x64solc\x43(...)", re.DOTALL)
_VYPER: Final = re.compile(rb"\x65vyper\x83(...)", re.DOTALL)


def compiler(code: bytes) -> str | None:
    """By the metadata at the end of the code (CBOR); None where there is none."""
    end = code[-2 - int.from_bytes(code[-2:], "big") :] if len(code) > 2 else b""
    for name, pattern in (("solc", _SOLC), ("vyper", _VYPER)):
        match = pattern.search(end)
        if match is not None:
            return f"{name} {'.'.join(map(str, match[1]))}"
    return None
