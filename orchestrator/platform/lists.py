"""Reads a whole list: a bare JSON array, as the platform documents each of them, without pages.

It is read item by item as it arrives: its size is bounded by what a programme can have, and the memory that it takes by
what is made of the items.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from orchestrator.errors import MalformedAnswer
from orchestrator.platform.answers import expect_json, parse_json
from orchestrator.platform.session import Session
from orchestrator.platform.settings import PlatformSettings
from orchestrator.platform.transport import Answer, Call
from orchestrator.platform.wire import Model, items_of

__all__ = ["ArrayReader", "read_all"]

Made = TypeVar("Made")


async def read_all(
    session: Session,
    settings: PlatformSettings,
    segments: Sequence[str],
    model: type[Model],
    make: Callable[[Model], Made],
) -> list[Made]:
    """What ``make`` makes of each element of a list, read as ``model``. Raises MalformedAnswer for anything but an
    array of objects, for what is no ``model``, and for an id that repeats."""
    call = session.describe("GET", segments)

    def reader(head: Answer) -> ArrayReader:
        one = items_of(model, str(call))  # anew for each try: it remembers the ids
        return ArrayReader(head, call, lambda value: make(one(value)), settings.max_item_bytes)

    return (await session.call("GET", segments, items=reader)).items


_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_TO_BRACKET: Final = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
"""Whole strings, and what is neither string nor bracket: ends before a bracket, or a string that is not complete."""


class ArrayReader:
    """A JSON array of objects, taken apart as its bytes arrive; each object is then parsed as strictly as a whole
    answer. Linear in the bytes, however they are cut into pieces: what is not complete is parsed again only once
    there is twice as much of it."""

    def __init__(self, head: Answer, call: Call, take: Callable[[object], Any], max_item_bytes: int) -> None:
        expect_json(head, call)
        self._head = head
        self._call = call
        self._take = take
        self._max_item_bytes = max_item_bytes
        self._waiting = bytearray()
        self._enough = 1
        """Bytes in ``_waiting`` that are worth parsing."""
        self._next = b"["
        """What may come next, one of these bytes; empty after the end."""
        self._made: list[Any] = []

    def feed(self, data: bytes) -> None:
        """Takes the items that are complete. Raises MalformedAnswer, and what ``take`` raises."""
        self._waiting += data
        if len(self._waiting) >= self._enough:
            self._look()

    def end(self) -> list[Any]:
        """What was made of all items. Raises MalformedAnswer where the array is not complete, and as ``feed``."""
        self._look()
        if self._next or self._waiting:
            raise self._malformed("is no JSON: it ends within the list")
        return self._made

    def _look(self) -> None:
        text = bytes(self._waiting)
        at = _space(text, 0)
        while at < len(text):
            if text[at] not in self._next:
                raise self._unexpected(text[at])
            if text[at] == ord("{"):
                end = _object_end(text, at)
                if end is None:
                    break
                self._made.append(self._take(self._parsed(text[at:end])))
                at, self._next = end, b",]"
            else:
                self._next = {b"[": b"{]", b",": b"{", b"]": b""}[text[at : at + 1]]
                at += 1
            at = _space(text, at)
        self._waiting = bytearray(text[at:])
        self._enough = 2 * len(self._waiting) + 1
        if len(self._waiting) > self._max_item_bytes:
            raise self._malformed(f"has an item [{len(self._made)}] of more than {self._max_item_bytes} bytes")

    def _parsed(self, item: bytes) -> Any:
        if len(item) > self._max_item_bytes:
            raise self._malformed(f"has an item [{len(self._made)}] of more than {self._max_item_bytes} bytes")
        try:
            return parse_json(replace(self._head, body=item), self._call)
        except MalformedAnswer as error:
            raise MalformedAnswer(f"{error.message}, in item [{len(self._made)}] of the list") from None

    def _unexpected(self, byte: int) -> MalformedAnswer:
        if self._next == b"[":
            kind = "an object" if byte == ord("{") else "another value"
            return MalformedAnswer(f"{self._call}: expected a JSON array, got {kind}")
        expected = " or ".join(chr(one) for one in self._next) or "the end"
        got = ascii(chr(byte))
        return self._malformed(
            f"is no list of JSON objects: after item {len(self._made)} expected {expected}, got {got}"
        )

    def _malformed(self, words: str) -> MalformedAnswer:
        return MalformedAnswer(f"{self._call}: the answer {words} (HTTP {self._head.status})")


def _space(text: bytes, at: int) -> int:
    """The first byte from ``at`` that is no white space of JSON."""
    found = _SPACE.match(text, at)
    return len(text) if found is None else found.end()


def _object_end(text: bytes, at: int) -> int | None:
    """Where the object that begins at ``at`` ends; None where it is not complete."""
    depth = 0
    while (found := _TO_BRACKET.match(text, at)) is not None:
        at = found.end()
        if at == len(text) or text[at] == ord('"'):
            break
        depth += 1 if text[at] in b"[{" else -1
        at += 1
        if depth == 0:
            return at
    return None
