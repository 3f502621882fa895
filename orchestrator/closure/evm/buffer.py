"""Byte strings of which only some bits may be known: memory, calldata and return data. Immutable, compared by content.

Bytes are kept as two strings of the same length: the values, and the masks of what is known of each byte (0xff: all).
``Memory`` begins as zeros. ``Data`` is a call's input or output: a prefix, and a size that may be unknown.
"""

from __future__ import annotations

from typing import Final

from orchestrator.closure.evm.words import ONES, AnyWord, Word, bits, least

LIMIT: Final = 1 << 15
"""Bytes of a memory that are followed. Beyond, every read is unknown, so no write needs to be kept."""

NOTES: Final = 64
"""How much is remembered of what was stored, for witnesses."""


class Data:
    """What a call was given or gave back.

    ``values`` and ``known`` are the prefix, which lies within the size; what lies behind it and below ``size`` is
    unknown, and behind ``size`` a read gives zeros. ``origin`` says, for witnesses, that byte i is byte
    ``origin + i`` of the outermost calldata; no rule reads it.
    """

    __slots__ = ("known", "origin", "size", "values")

    def __init__(self, values: bytes, known: bytes, size: AnyWord, origin: int | None = None) -> None:
        self.values = values
        self.known = known
        self.size = size
        self.origin = origin

    @classmethod
    def of(cls, content: bytes) -> Data:
        """Wholly known bytes."""
        return cls(content, b"\xff" * len(content), len(content))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Data)
            and self.values == other.values
            and self.known == other.known
            and self.size == other.size
        )

    def __hash__(self) -> int:
        return hash((self.values, self.known, self.size))

    def piece(self, start: int, length: int) -> tuple[bytes, bytes]:
        """``length`` bytes from ``start`` as (values, known): zeros where it surely is at an end, else unknown."""
        values = self.values[start : start + length]
        known = self.known[start : start + length]
        missing = length - len(values)
        if missing:
            unknown = missing
            if isinstance(self.size, int):
                unknown = min(missing, max(0, self.size - start - len(values)))
            values += bytes(missing)
            known += bytes(unknown) + b"\xff" * (missing - unknown)
        return values, known

    def word(self, offset: int) -> AnyWord:
        """The 32 bytes from ``offset``."""
        values, known = self.piece(offset, 32)
        expression = ("CALLDATA", self.origin + offset) if self.origin is not None else None
        return bits(int.from_bytes(values, "big"), int.from_bytes(known, "big"), expression)


class Memory:
    """A frame's memory. ``fresh``: whether what lies behind the kept bytes is still zero; else it is unknown.

    ``notes`` help witnesses, and no rule reads them: the words that were stored (by offset), and which ranges are
    copies of the outermost calldata.
    """

    __slots__ = ("fresh", "known", "notes", "values")

    def __init__(
        self,
        values: bytes = b"",
        known: bytes = b"",
        fresh: bool = True,
        notes: dict[int, Word | int] | None = None,
    ) -> None:
        self.values = values
        self.known = known
        self.fresh = fresh
        self.notes = notes if notes is not None else {}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Memory)
            and self.values == other.values
            and self.known == other.known
            and self.fresh == other.fresh
        )

    def __hash__(self) -> int:
        return hash((self.values, self.known, self.fresh))

    # --- reading --------------------------------------------------------------------------------------------------

    def piece(self, start: int, length: int) -> tuple[bytes, bytes]:
        """``length`` bytes (at most LIMIT) from ``start`` as (values, known)."""
        if start + length > LIMIT:
            inside = max(0, LIMIT - start)
            values, known = self.piece(start, inside) if inside else (b"", b"")
            return values + bytes(length - inside), known + bytes(length - inside)
        values = self.values[start : start + length]
        known = self.known[start : start + length]
        missing = length - len(values)
        if missing:
            values += bytes(missing)
            known += (b"\xff" if self.fresh else b"\0") * missing
        return values, known

    def word(self, offset: AnyWord) -> AnyWord:
        """MLOAD."""
        if not isinstance(offset, int):
            return Word(expression=("MEMORY",))
        values, known = self.piece(offset, 32)
        mask = int.from_bytes(known, "big")
        if mask == ONES:
            return int.from_bytes(values, "big")
        return Word(int.from_bytes(values, "big"), mask, expression=self._note(offset))

    def _note(self, offset: int) -> tuple[object, ...] | None:
        stored = self.notes.get(offset)
        if isinstance(stored, Word):
            return stored.expression
        for start in sorted(self.notes, reverse=True):
            origin = self.notes[start]
            if start < 0 and ~start <= offset and isinstance(origin, int):  # a copy of calldata, from ~start on
                return ("CALLDATA", origin + offset - ~start)
        return None

    # --- writing --------------------------------------------------------------------------------------------------

    def put(self, start: int, values: bytes, known: bytes) -> Memory:
        """These bytes at ``start``; what would lie behind LIMIT is left out, because no read believes it."""
        if start >= LIMIT or not values:
            return self
        values, known = values[: LIMIT - start], known[: LIMIT - start]
        old, old_known = self.values, self.known
        if len(old) < start:
            gap = start - len(old)
            old += bytes(gap)
            old_known += (b"\xff" if self.fresh else b"\0") * gap
        end = start + len(values)
        return Memory(
            old[:start] + values + old[end:], old_known[:start] + known + old_known[end:], self.fresh, self.notes
        )

    def forget(self, start: AnyWord, length: AnyWord | None = None) -> Memory:
        """Bytes that something unknown may have been written to; all to the end where the length is unknown."""
        if not isinstance(start, int):
            start, length = least(start), None
        if isinstance(length, int):
            if length == 0:
                return self
            if start + length <= LIMIT:
                return self.put(start, bytes(length), bytes(length))
        if start > LIMIT:
            return self
        values, known = self.piece(0, start) if len(self.values) < start else (self.values[:start], self.known[:start])
        return Memory(values, known, False, self.notes)

    def store(self, offset: AnyWord, word: AnyWord) -> Memory:
        """MSTORE."""
        if not isinstance(offset, int):
            return self.forget(offset)
        if isinstance(word, int):
            return self.put(offset, word.to_bytes(32, "big"), b"\xff" * 32)
        changed = self.put(offset, word.value.to_bytes(32, "big"), word.known.to_bytes(32, "big"))
        return changed._noted(offset, word) if word.expression is not None else changed

    def _noted(self, key: int, note: Word | int) -> Memory:
        if len(self.notes) >= NOTES:
            return self
        return Memory(self.values, self.known, self.fresh, {**self.notes, key: note})

    def store8(self, offset: AnyWord, word: AnyWord) -> Memory:
        """MSTORE8: the lowest byte."""
        if not isinstance(offset, int):
            return self.forget(offset)
        value, known = (word, ONES) if isinstance(word, int) else (word.value, word.known)
        return self.put(offset, bytes([value & 0xFF]), bytes([known & 0xFF]))

    def copy(self, target: AnyWord, data: Data, source: AnyWord, length: AnyWord) -> Memory:
        """CALLDATACOPY and its like. Of an unknown length at least the least is copied."""
        if length == 0:
            return self
        if not isinstance(target, int):
            return self.forget(target)
        changed = self.forget(target, length)
        if isinstance(source, int):
            changed = changed.put(target, *data.piece(source, min(least(length), LIMIT)))
            if data.origin is not None:
                changed = changed._noted(~target, data.origin + source)
        return changed

    def move(self, target: AnyWord, source: AnyWord, length: AnyWord) -> Memory:
        """MCOPY (EIP-5656): the ranges may overlap."""
        if length == 0:
            return self
        if not isinstance(target, int):
            return self.forget(target)
        if not isinstance(length, int) or length > LIMIT:
            return self.forget(target)
        if not isinstance(source, int):
            return self.forget(target, length)
        return self.put(target, *self.piece(source, length))

    def data(self, start: AnyWord, length: AnyWord) -> Data:
        """The range as a call's input or output."""
        if length == 0:
            return Data(b"", b"", 0)
        size = length if isinstance(length, int) else unknown_size(least(length), like=length)
        if not isinstance(start, int):
            return Data(b"", b"", size)
        note = self._note(start)
        origin = note[1] if note is not None and note[0] == "CALLDATA" and isinstance(note[1], int) else None
        return Data(*self.piece(start, min(least(length), LIMIT)), size, origin)

    def widen(self, other: Memory) -> Memory:
        """What both agree on."""
        if self == other:
            return self
        length = max(len(self.values), len(other.values))
        (a, a_known), (b, b_known) = self.piece(0, length), other.piece(0, length)
        values, first, second = (int.from_bytes(part, "big") for part in (a, a_known, b_known))
        known = first & second & ~(values ^ int.from_bytes(b, "big"))
        return Memory(
            (values & known).to_bytes(length, "big"),
            known.to_bytes(length, "big"),
            self.fresh and other.fresh,
            self.notes,
        )


SIZE_BOUND: Final = ONES & ~((1 << 64) - 1)
"""The known (zero) bits of a size: no calldata or return data has 2^64 bytes."""


def unknown_size(low: int = 0, name: str | None = None, like: Word | None = None) -> Word:
    """The size of data: at least ``low`` bytes. For witnesses: the instruction that asks for it, or a word like it."""
    expression = like.expression if like is not None else None
    return Word(0, SIZE_BOUND, low=low, expression=expression if name is None else (name,))


def unknown_data() -> Data:
    """Return data of which nothing is known."""
    return Data(b"", b"", unknown_size())
