"""What a challenge's bytes stand for besides themselves: bytes in hexadecimal or Base64, RLP strings, JSON documents.

Whoever wants a signature over something dangerous may wrap it. Each wrapping that some tool would take off is taken off
here, to a fixed depth and number, so that the rules read what is inside too: decodings up to three times, and what
only stands around (space, punctuation, other text, a JSON document) as often as it occurs. Never raises.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from orchestrator.foreign import too_deep

MAX_DEPTH: Final = 3
MAX_FORMS: Final = 256
"""Bytes with that many are not read to their end (``exhausted``)."""
_MAX_RLP_DEPTH: Final = 32
_MAX_JSON_DEPTH: Final = 900
"""More than any document has that fits into an opaque challenge; within what the parser takes."""

_HEX: Final = re.compile(rb"(?:0[xX])?((?:[0-9A-Fa-f]{2})+)")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS: Final = re.compile(rb"[\s:]+")
_LEAST_ITEMS: Final = 6
"""Of a transaction's RLP list, with those of lists in it. Where ordinary text, too, can be read as these bytes, shorter
lists are chance."""
PADDING: Final = b" \t\r\n\v\f\0"
_HEX_RUN: Final = re.compile(r"[0-9A-Fa-f]{56,}")
"""Of 28 bytes and more: no transaction that pays somebody is shorter, and no digest."""
_BASE64_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{38,}={0,2}")
_MIXED: Final = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))
"""What 38 characters of Base64 have, and a long word or a path has not."""
_BETWEEN_DIGITS: Final = re.compile(r"""0[xX]|\\x|[\s\0:,;._%|"'`()\[\]{}<>]""")
_HYPHENATED: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_FEW: Final = 4
"""Bytes of padding that are taken off one by one."""
_PIECE: Final = 256
_MOST_READ_AGAIN: Final = 8
"""How often, on the whole, text with JSON in it that breaks off is read again."""
_SHORT: Final = 1024
"""Bytes: no policy allows opaque ones that are longer."""


@dataclass(frozen=True)
class Form:
    """Bytes that a challenge may stand for. ``how`` ends a sentence: empty, or `` as hexadecimal text``."""

    data: bytes
    how: str
    by_chance: bool = False
    """Whether ordinary text, too, can be read in this way."""
    part: bool = False
    """Whether it is, as it stands, one part of text or of a document that has others."""

    @cached_property
    def json(self) -> _Documents:
        """The JSON documents in it."""
        return _documents(self.data)


@dataclass(frozen=True, slots=True)
class RlpList:
    """An RLP list that starts ``data``: its items' payloads, how many bytes come after it, and how many items it has
    that are no lists, with those of the lists in it."""

    items: tuple[bytes, ...]
    trailing: int
    leaves: int


def forms_of(data: bytes) -> tuple[Form, ...]:
    """The bytes themselves first, then what they stand for, at most MAX_FORMS. No form is empty."""
    found = [Form(data, "")] if data else []
    seen = {data}
    pending = [(form, 0) for form in found]
    for form, depth in pending:  # grows while it is read
        steps = [(_bared(form), depth)]
        if depth < MAX_DEPTH:
            steps.append((_decoded(form), depth + 1))
        for inner, inner_depth in ((inner, at) for step, at in steps for inner in step):
            if len(found) == MAX_FORMS:
                return tuple(found)
            if inner.data and inner.data not in seen:
                seen.add(inner.data)
                found.append(inner)
                pending.append((inner, inner_depth))
    return tuple(found)


def exhausted(forms: Sequence[Form]) -> bool:
    """Whether there may be more forms than these: what hides behind the last one was not read."""
    return len(forms) >= MAX_FORMS or any(form.json.cut for form in forms)


def _bared(form: Form) -> Iterator[Form]:
    """What is left without that which stands around it: always less, so that this ends by itself."""
    # What a transaction ends with may itself look like padding.
    before = len(form.data) - len(form.data.lstrip(PADDING)) if len(form.data) <= _SHORT else 0
    few = (form.data[cut:] for cut in range(1, min(before, _FEW + 1)))  # what it begins with may look like padding, too
    for bare in (*few, form.data.lstrip(PADDING), form.data.strip(PADDING)):
        yield Form(bare, f"{form.how} without the space around it", form.by_chance, form.part)
    for value in _values(form):
        if isinstance(value, str):
            text = value.encode("utf-8", "surrogatepass")
            yield Form(text, f"{form.how} inside of JSON", form.by_chance, part=True)
        elif isinstance(value, list) and value and all(type(byte) is int and 0 <= byte < 256 for byte in value):
            yield Form(bytes(value), f"{form.how} as a list of bytes inside of JSON", form.by_chance, form.part)
    if form.by_chance:
        return  # ordinary text that was decoded: what could be read out of it once more would be chance upon chance
    shown = plain(form.data)
    for run in _HEX_RUN.findall(shown):
        yield Form(run.encode("ascii"), f"{form.how} within text", part=True)
    for run in _BASE64_RUN.findall(shown):
        if all(kind.search(run) for kind in _MIXED):
            yield Form(run.encode("ascii"), f"{form.how} within text", part=True)
    digits = _BETWEEN_DIGITS.sub("", shown)
    if _HYPHENATED.search(shown) is None:  # UUIDs are no parts of one number
        digits = digits.replace("-", "")
    if _HEX_RUN.fullmatch(digits):
        yield Form(digits.encode("ascii"), f"{form.how} without punctuation", part=form.part)


def _decoded(form: Form) -> Iterator[Form]:
    if (match := _HEX.fullmatch(_SEPARATORS.sub(b"", form.data))) is not None:
        yield Form(bytes.fromhex(match[1].decode("ascii")), f"{form.how} as hexadecimal text", form.by_chance)
    packed = b"".join(form.data.split())
    if _BASE64.fullmatch(packed) is not None and (decoded := _unbase64(packed)) is not None:
        yield Form(decoded, f"{form.how} as Base64 text", True)
    if form.data[:1] >= b"\x80" and form.data[0] < 0xC0:
        span = _item(form.data, 0)
        if span is not None and span[1] == len(form.data):
            yield Form(form.data[span[0] :], f"{form.how} inside of an RLP string", form.by_chance, form.part)
    if form.data[:2] in _UTF16:
        text = form.data.decode("utf-16", "replace").encode("utf-8", "replace")
        yield Form(text, f"{form.how} as UTF-16 text", form.by_chance, form.part)


def plain(data: bytes) -> str:
    """The text in ``data``, with full-width and other compatible letters as the ordinary ones that they stand for.

    In pieces, because normalizing takes the square of how many combining marks follow each other.
    """
    text = data.decode("utf-8", "replace")
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    return "".join(unicodedata.normalize("NFKC", piece) for piece in pieces)


def _unbase64(packed: bytes) -> bytes | None:
    body = packed.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        return base64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def json_objects(form: Form) -> Iterator[dict[str, Any]]:
    """Every object of the JSON documents that a form is or has in its text, the outer ones before what is in them."""
    for value in _values(form):
        if isinstance(value, dict):
            yield value


def _values(form: Form) -> Iterator[Any]:
    """Every value of the JSON documents, and every member's name."""
    pending = list(form.json.found)
    for value in pending:  # grows while it is read
        if isinstance(value, _Pairs):
            pending += [inner for _, inner in value]
            yield from (name for name, _ in value)
            yield dict(value)
        else:
            if isinstance(value, list):
                pending += value
            yield value


@dataclass(frozen=True, slots=True)
class _Documents:
    found: tuple[Any, ...] = ()
    cut: bool = False
    """Whether there may be more."""


def _documents(data: bytes) -> _Documents:
    """The document that ``data`` is; else each object that its text has."""
    starts = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[", b'"')
    if not starts and b"{" not in data:
        return _Documents()
    if too_deep(data, _MAX_JSON_DEPTH):
        return _Documents(cut=True)
    if starts:
        try:
            return _Documents((json.loads(data.decode("utf-8-sig"), object_pairs_hook=_Pairs),))
        except (ValueError, RecursionError):
            pass
    found: list[Any] = []
    text, at = data.decode("utf-8", "replace"), 0
    left = _MOST_READ_AGAIN * len(text)
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = _DECODER.raw_decode(text, at)
            found.append(value)
        except (ValueError, RecursionError) as error:
            # What began here breaks off: the objects in it are searched from its next bracket, over the same text.
            left -= (error.pos if isinstance(error, json.JSONDecodeError) else len(text)) - at
            if left < 0:
                return _Documents(tuple(found), cut=True)
            at += 1
    return _Documents(tuple(found))


class _Pairs(list[tuple[str, Any]]):
    """An object's members, so that one which occurs twice hides nothing."""


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_Pairs)


def rlp_list(data: bytes) -> RlpList | None:
    """The RLP list that ``data`` starts with (Ethereum yellow paper, appendix B), or None if it starts with none."""
    if not data or data[0] < 0xC0:
        return None
    span = _item(data, 0)
    if span is None:
        return None
    at, end = span
    leaves = _leaves(data[:end], 0)
    if leaves is None:
        return None
    items: list[bytes] = []
    while at < end:
        inner = _item(data, at)
        if inner is None:
            return None
        items.append(data[inner[0] : inner[1]])
        at = inner[1]
    return RlpList(tuple(items), len(data) - end, leaves)


def whole_list(form: Form, data: bytes) -> int | None:
    """How many items the RLP list has that ``data`` is, to its last byte; None if it is none."""
    found = rlp_list(data)
    if found is None or found.trailing or (form.by_chance and found.leaves < _LEAST_ITEMS):
        return None
    return len(found.items)


def _leaves(data: bytes, depth: int) -> int | None:
    """How many items that are no lists the list ``data`` has at any depth; None if it is not whole."""
    span = _item(data, 0)
    if span is None or span[1] != len(data) or depth > _MAX_RLP_DEPTH:
        return None
    at, count = span[0], 0
    while at < len(data):
        inner = _item(data, at)
        if inner is None:
            return None
        found = _leaves(data[at : inner[1]], depth + 1) if data[at] >= 0xC0 else 1
        if found is None:
            return None
        count, at = count + found, inner[1]
    return count


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
