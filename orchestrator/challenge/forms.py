"""What a challenge's bytes stand for besides themselves: bytes in hexadecimal or Base64, RLP strings, JSON documents.

Whoever wants a signature over something dangerous may wrap it. Each wrapping that some tool would take off is taken off
here, to a fixed depth and number, so that the rules look at what is inside too. Never raises.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.json_depth import too_deep

MAX_DEPTH: Final = 3
MAX_FORMS: Final = 64
_MAX_RLP_DEPTH: Final = 32
_MAX_JSON_DEPTH: Final = 900
"""More than any document has that fits into an opaque challenge; within what the parser takes."""

_HEX: Final = re.compile(rb"(?:0[xX])?((?:[0-9A-Fa-f]{2})+)")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS: Final = re.compile(rb"[\s:]+")
_LEAST_ITEMS: Final = 6
"""Of a transaction's RLP list. Where ordinary text, too, can be read as these bytes, shorter lists are chance."""


@dataclass(frozen=True, slots=True)
class Form:
    """Bytes that a challenge may stand for. ``how`` ends a sentence: empty, or `` as hexadecimal text``."""

    data: bytes
    how: str
    by_chance: bool = False
    """Whether ordinary text, too, can be read in this way."""


@dataclass(frozen=True, slots=True)
class RlpList:
    """An RLP list that starts ``data``: its items' payloads, and how many bytes come after it."""

    items: tuple[bytes, ...]
    trailing: int


def forms_of(data: bytes) -> tuple[Form, ...]:
    """The bytes themselves first, then what they stand for. No form is empty."""
    found = [Form(data, "")] if data else []
    seen = {data}
    start = 0
    for _ in range(MAX_DEPTH):
        end = len(found)
        for form in found[start:end]:
            for inner in _inside(form):
                if inner.data and inner.data not in seen and len(found) < MAX_FORMS:
                    seen.add(inner.data)
                    found.append(inner)
        start = end
    return tuple(found)


def _inside(form: Form) -> Iterator[Form]:
    if (match := _HEX.fullmatch(_SEPARATORS.sub(b"", form.data))) is not None:
        yield Form(bytes.fromhex(match[1].decode("ascii")), f"{form.how} as hexadecimal text", form.by_chance)
    packed = b"".join(form.data.split())
    if _BASE64.fullmatch(packed) is not None and (decoded := _unbase64(packed)) is not None:
        yield Form(decoded, f"{form.how} as Base64 text", by_chance=True)
    if form.data[:1] >= b"\x80" and form.data[0] < 0xC0:
        span = _item(form.data, 0)
        if span is not None and span[1] == len(form.data):
            yield Form(form.data[span[0] :], f"{form.how} inside of an RLP string", form.by_chance)
    if form.data[:2] in _UTF16:
        yield Form(form.data.decode("utf-16", "replace").encode("utf-8", "replace"), f"{form.how} as UTF-16 text")
    for value in _values(form.data):
        if isinstance(value, str):
            text = _SEPARATORS.sub(b"", value.encode("utf-8", "surrogatepass"))
            if (match := _HEX.fullmatch(text)) is not None:
                yield Form(bytes.fromhex(match[1].decode("ascii")), f"{form.how} as hexadecimal text inside of JSON")
        elif isinstance(value, list) and value and all(type(byte) is int and 0 <= byte < 256 for byte in value):
            yield Form(bytes(value), f"{form.how} as a list of bytes inside of JSON")


def _unbase64(packed: bytes) -> bytes | None:
    body = packed.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        return base64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def json_objects(data: bytes) -> Iterator[dict[str, Any]]:
    """Every object of the JSON document that ``data`` is, the outer ones first; none if it is no JSON."""
    for value in _values(data):
        if isinstance(value, dict):
            yield value


def _values(data: bytes) -> Iterator[Any]:
    """Every value of a JSON document, the outer ones first."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"[", b'"'):
        return
    if too_deep(data, _MAX_JSON_DEPTH):
        return
    try:
        pending = [json.loads(data.decode("utf-8-sig"), object_pairs_hook=_Pairs)]
    except (ValueError, RecursionError):
        return
    while pending:
        value = pending.pop(0)
        if isinstance(value, _Pairs):
            pending += [inner for _, inner in value]
            yield dict(value)
        else:
            if isinstance(value, list):
                pending += value
            yield value


class _Pairs(list[tuple[str, Any]]):
    """An object's members, so that one which occurs twice hides nothing."""


def rlp_list(data: bytes) -> RlpList | None:
    """The RLP list that ``data`` starts with (Ethereum yellow paper, appendix B), or None if it starts with none."""
    if not data or data[0] < 0xC0:
        return None
    span = _item(data, 0)
    if span is None:
        return None
    at, end = span
    if not _is_whole(data[:end], 0):
        return None
    items: list[bytes] = []
    while at < end:
        inner = _item(data, at)
        if inner is None:
            return None
        items.append(data[inner[0] : inner[1]])
        at = inner[1]
    return RlpList(tuple(items), len(data) - end)


def whole_list(form: Form, data: bytes) -> int | None:
    """How many items the RLP list has that ``data`` is, to its last byte; None if it is none."""
    found = rlp_list(data)
    if found is None or found.trailing or (form.by_chance and len(found.items) < _LEAST_ITEMS):
        return None
    return len(found.items)


def _is_whole(data: bytes, depth: int) -> bool:
    span = _item(data, 0)
    if span is None or span[1] != len(data) or depth > _MAX_RLP_DEPTH:
        return False
    at = span[0]
    while at < len(data):
        inner = _item(data, at)
        if inner is None or (data[at] >= 0xC0 and not _is_whole(data[at : inner[1]], depth + 1)):
            return False
        at = inner[1]
    return True


def _item(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the RLP item at ``at`` starts and ends."""
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
