"""Bytes that must never be signed as a challenge, because some protocol gives a signature over them another meaning.

Each function answers what the bytes look like, or None. They look at the bytes as they are and, where the bytes are
text in hexadecimal, at the bytes that the text stands for. Deliberately generous: a false alarm costs a refusal of
something that is no known challenge anyway.
"""

from __future__ import annotations

import json
import re
import unicodedata

_HEX_TEXT = re.compile(rb"\s*(?:0[xX])?((?:[0-9A-Fa-f]{2})+)\s*")
_PERSONAL_PREFIX = b"\x19Ethereum Signed Message:\n"
_TYPED_TRANSACTIONS = {1: "EIP-2930", 2: "EIP-1559", 3: "EIP-4844", 4: "EIP-7702"}
_TYPED_DATA_KEYS = {"types", "primaryType", "domain", "message"}
_MAX_DEPTH = 32


def transaction(data: bytes) -> str | None:
    """A legacy transaction (an RLP list) or a typed one (EIP-2718: 0x01 to 0x04 and an RLP list)."""
    for candidate, form in _forms(data):
        items = _rlp_list_items(candidate)
        if items is not None:
            return f"an RLP list of {items} items{form}, like a legacy transaction"
        name = _TYPED_TRANSACTIONS.get(candidate[0]) if candidate else None
        if name is not None and _rlp_list_items(candidate[1:]) is not None:
            return f"0x{candidate[0]:02x} and an RLP list{form}, like an {name} transaction"
    return None


def authorization(data: bytes) -> str | None:
    """An EIP-7702 authorization (0x05 and an RLP list), which would hand the account to other code."""
    for candidate, form in _forms(data):
        if candidate[:1] == b"\x05" and _rlp_list_items(candidate[1:]) is not None:
            return f"0x05 and an RLP list{form}, like an EIP-7702 authorization"
    return None


def prefixed(data: bytes) -> str | None:
    """Anything that carries EIP-191's 0x19 already: typed data (EIP-712, version 0x01), a validator's, a message."""
    for candidate, form in _forms(data):
        if candidate[:2] == b"\x19\x01":
            return f"0x1901{form}, like the hash input of EIP-712 typed data"
        if candidate.startswith(_PERSONAL_PREFIX):
            return f"the prefix 0x19 'Ethereum Signed Message:'{form}, like an EIP-191 message prefixed already"
        if candidate[:1] == b"\x19":
            return f"0x{candidate[:2].hex()}{form}, like EIP-191 signed data"
    return None


def typed_data(data: bytes) -> str | None:
    """A JSON document with the members of EIP-712 typed data."""
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if isinstance(document, dict) and len(_TYPED_DATA_KEYS & document.keys()) >= 2:
        return f"a JSON document with {', '.join(sorted(_TYPED_DATA_KEYS & document.keys()))}, like EIP-712 typed data"
    return None


def digest(data: bytes) -> str | None:
    """32 bytes, raw or as hexadecimal text: what they are the hash of cannot be seen."""
    for candidate, form in _forms(data):
        if len(candidate) == 32:
            return f"32 bytes{form}, like a digest"
    return None


def hidden_characters(data: bytes) -> str | None:
    """Text with control characters (but LF), bidirectional controls or invisible format characters.

    What a person sees of such text is not what is signed. Bytes that are no UTF-8 are no text, and not judged here.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    for position, character in enumerate(text):
        if character != "\n" and unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp", "Co", "Cn"}:
            name = unicodedata.name(character, "a control character")
            return f"U+{ord(character):04X} ({name}) at character {position}"
    return None


def _forms(data: bytes) -> list[tuple[bytes, str]]:
    forms = [(data, "")]
    match = _HEX_TEXT.fullmatch(data)
    if match is not None:
        forms.append((bytes.fromhex(match[1].decode("ascii")), " as hexadecimal text"))
    return forms


def _rlp_list_items(data: bytes) -> int | None:
    """How many items the RLP list has that ``data`` is, exactly and to its last byte; None if it is none."""
    return _count(data, 0) if data and data[0] >= 0xC0 else None


def _count(data: bytes, depth: int) -> int | None:
    span = _item(data, 0)
    if span is None or span[1] != len(data) or depth > _MAX_DEPTH:
        return None
    at, items = span[0], 0
    while at < len(data):
        inner = _item(data, at)
        if inner is None or (data[at] >= 0xC0 and _count(data[at : inner[1]], depth + 1) is None):
            return None
        at, items = inner[1], items + 1
    return items


def _item(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the RLP item at ``at`` starts and ends (Ethereum yellow paper, appendix B)."""
    first = data[at]
    if first < 0x80:
        start, size = at, 1
    elif first < 0xB8 or 0xC0 <= first < 0xF8:
        start, size = at + 1, first - (0x80 if first < 0xC0 else 0xC0)
    else:
        width = first - (0xB7 if first < 0xC0 else 0xF7)
        start, size = at + 1 + width, int.from_bytes(data[at + 1 : at + 1 + width], "big")
    end = start + size
    return (start, end) if end <= len(data) else None
