"""The contract ABI, by signatures as people write them: events, getters, words.

Strict: what is not encoded exactly as Solidity and Vyper encode it is refused, so that one text has one meaning. What
others write raises ValueError only, in time linear in its length. By hand, and not by ``eth_abi``, which takes other
encodings too and most of a second to import; the tests compare both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from eth_hash.auto import keccak

from orchestrator.models import checksum

_SIGNATURE: Final = re.compile(
    r"(?:(event|function)\s+)?([A-Za-z_$][\w$]{0,99})\s*\(([^()]*)\)([\sa-z]*?)(?:\breturns\s*\(([^()]*)\))?\s*;?",
    re.ASCII,
)
_ARGUMENT: Final = re.compile(r"([a-z]+[0-9]*(?:\[\])?)(\s+indexed)?(?:\s+([A-Za-z_$][\w$]{0,99}))?", re.ASCII)
_TYPE: Final = re.compile(r"(?:(u?int)(\d{0,3})|(bytes)(\d{0,2})|address|bool|string)(\[\])?")
_MODIFIERS: Final = frozenset({"external", "public", "view", "pure"})
_READS: Final = frozenset({"view", "pure"})
_LONGEST: Final = 1000
_MOST_INDEXED: Final = 3


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an event or function. ``type`` is canonical (``uint`` is ``uint256``)."""

    name: str
    type: str
    indexed: bool = False


@dataclass(frozen=True)
class Signature:
    """``walletOf(bytes16 account) returns (address)``, ``Changed(uint8 indexed from, uint8 to)``."""

    name: str
    arguments: tuple[Argument, ...]
    returns: tuple[Argument, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Also with ``event`` or ``function`` before it and ``external``, ``public``, ``view``, ``pure`` behind it.

        Types are words, ``bytes``, ``string`` and arrays of words. Raises ValueError that says what is wrong.
        """
        match = _SIGNATURE.fullmatch(text.strip()) if len(text) <= _LONGEST else None
        if match is None:
            raise ValueError(f"expected a signature such as owner() returns (address), got {text[:80]!a}")
        kind, name, arguments, modifiers, returns = match.groups()
        words = modifiers.split()
        wrong = next((word for word in words if word not in _MODIFIERS or kind == "event"), None)
        if wrong is not None:
            raise ValueError(f"{name}: {wrong} cannot be here")
        if (words or kind == "function") and not _READS & {*words}:
            raise ValueError(f"{name}: a function that is not view or pure changes what it is asked")
        result = cls(name, _arguments(name, arguments), _arguments(name, returns or ""))
        indexed = sum(argument.indexed for argument in result.arguments)
        if indexed > _MOST_INDEXED or any(argument.indexed for argument in result.returns):
            raise ValueError(f"{name}: at most {_MOST_INDEXED} arguments of an event are indexed")
        return result

    def argument(self, name: str) -> Argument | None:
        """The argument of that name."""
        return next((each for each in self.arguments if each.name == name), None)

    @cached_property
    def topic(self) -> bytes:
        """An event's first topic: keccak256 of name and types."""
        return keccak(f"{self.name}({','.join(argument.type for argument in self.arguments)})".encode())

    def decode(self, topics: Sequence[bytes], data: bytes) -> dict[str, object]:
        """An event's arguments by name: addresses in EIP-55's form, integers, bool, bytes, str, lists of them; of an
        indexed one that is no word the hash. Raises ValueError for what is not exactly this event."""
        indexed = [argument for argument in self.arguments if argument.indexed]
        if len(topics) != 1 + len(indexed) or topics[0] != self.topic:
            raise ValueError(f"not the topics of {self.name}")
        words = {
            argument.name: decode(["bytes32" if is_dynamic(argument.type) else argument.type], topic)[0]
            for argument, topic in zip(indexed, topics[1:], strict=True)
        }
        others = [argument for argument in self.arguments if not argument.indexed]
        values = decode([argument.type for argument in others], data)
        return words | {argument.name: value for argument, value in zip(others, values, strict=True)}

    def call(self, values: Mapping[str, object]) -> bytes:
        """The call's data: selector and arguments by name. Raises ValueError for a value that is none of its type."""
        types = [argument.type for argument in self.arguments]
        return self.topic[:4] + encode(types, [values[argument.name] for argument in self.arguments])

    def returned(self, data: bytes) -> object:
        """The one value that a call returned. Raises ValueError for what is not exactly one of that type."""
        return decode([argument.type for argument in self.returns], data)[0]


def canonical_type(text: str) -> str:
    """``uint`` as ``uint256``. Raises ValueError for what is no type, or none that can be read here."""
    match = _TYPE.fullmatch(text)
    if match is not None:
        integer, bits, _, size, _ = match.groups()
        if integer and not bits:
            return text.replace("int", "int256")
        if not ((bits and (bits[0] == "0" or int(bits) % 8 or int(bits) > 256)) or (size and not _is_size(size))) and (
            text != "bytes[]" and text != "string[]"
        ):
            return text
    raise ValueError(f"{text[:40]!a} is no type of the ABI that can be read (words, bytes, string, arrays of words)")


def is_dynamic(kind: str) -> bool:
    """Whether a value of the (canonical) type has no word of its own."""
    return kind in ("bytes", "string") or kind.endswith("[]")


def encode(types: Sequence[str], values: Sequence[object]) -> bytes:
    """``abi.encode``. Raises ValueError for a value that is none of its type."""
    heads: list[bytes] = []
    tails: list[bytes] = []
    at = 32 * len(types)
    for kind, value in zip(types, values, strict=True):
        if is_dynamic(kind):
            heads.append(at.to_bytes(32, "big"))
            tails.append(_tail(kind, value))
            at += len(tails[-1])
        else:
            heads.append(word(kind, value))
    return b"".join(heads + tails)


def decode(types: Sequence[str], data: bytes) -> list[object]:
    """The values of ``encode``, of exactly what it would write. Raises ValueError."""
    if len(data) < 32 * len(types) or len(data) % 32:
        raise ValueError(f"expected the encoding of ({','.join(types)}), got {len(data)} bytes")
    at = 32 * len(types)
    values: list[object] = []
    for number, kind in enumerate(types):
        head = data[32 * number : 32 * number + 32]
        if not is_dynamic(kind):
            values.append(_value(kind, head))
            continue
        if int.from_bytes(head, "big") != at:
            raise ValueError(f"{kind}: its place is not behind what comes before it")
        length = int.from_bytes(data[at : at + 32], "big")
        size = length * 32 if kind.endswith("[]") else length
        start, at = at + 32, at + 32 + -(-size // 32) * 32
        if at > len(data):
            raise ValueError(f"{kind}: {length} long, in {len(data)} bytes")
        body = data[start:at]
        if kind.endswith("[]"):
            values.append([_value(kind[:-2], body[place : place + 32]) for place in range(0, size, 32)])
        elif any(body[size:]):
            raise ValueError(f"{kind}: not padded with zeros")
        else:
            values.append(body[:size].decode("utf-8") if kind == "string" else body[:size])
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the values")
    return values


def word(kind: str, value: object) -> bytes:
    """A value's 32 bytes. Raises ValueError."""
    if kind == "address" and isinstance(value, str) and re.fullmatch("0x[0-9a-fA-F]{40}", value):
        return bytes(12) + bytes.fromhex(value[2:])
    if kind == "bool" and isinstance(value, bool):
        return int(value).to_bytes(32, "big")
    if kind.startswith("bytes") and isinstance(value, bytes) and len(value) == int(kind[5:] or 0):
        return value.ljust(32, b"\0")
    if "int" in kind and isinstance(value, int) and not isinstance(value, bool):
        low, high = _bounds(kind)
        if low <= value < high:
            return value.to_bytes(32, "big", signed=kind[0] == "i")
    raise ValueError(f"{value!r:.80} is no {kind}")


def packed(types: Sequence[str], values: Sequence[object]) -> bytes:
    """``abi.encodePacked`` of words. Raises ValueError."""
    return b"".join(_trimmed(kind, word(kind, value)) for kind, value in zip(types, values, strict=True))


# --- parts ------------------------------------------------------------------------------------------------------------


def _arguments(name: str, text: str) -> tuple[Argument, ...]:
    found = []
    for part in text.split(",") if text.strip() else ():
        match = _ARGUMENT.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{name}: expected a type of the ABI and a name, got {part.strip()[:60]!a}")
        kind, indexed, called = match.groups()
        if called == "indexed":
            indexed, called = "indexed", None
        try:
            found.append(Argument(called or "", canonical_type(kind), bool(indexed)))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    names = [argument.name for argument in found if argument.name]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise ValueError(f"{name}: two arguments are named {twice}")
    return tuple(found)


def _is_size(digits: str) -> bool:
    return digits[0] != "0" and int(digits) <= 32


def _bounds(kind: str) -> tuple[int, int]:
    bits = int(kind.lstrip("uint"))
    return (0, 1 << bits) if kind[0] == "u" else (-(1 << bits - 1), 1 << bits - 1)


def _tail(kind: str, value: object) -> bytes:
    if kind.endswith("[]") and isinstance(value, list | tuple):
        return len(value).to_bytes(32, "big") + b"".join(word(kind[:-2], each) for each in value)
    raw = value.encode() if kind == "string" and isinstance(value, str) else value if kind == "bytes" else None
    if not isinstance(raw, bytes):
        raise ValueError(f"{value!r:.80} is no {kind}")
    return len(raw).to_bytes(32, "big") + raw + bytes(-len(raw) % 32)


def _value(kind: str, raw: bytes) -> object:
    if len(raw) != 32:
        raise ValueError(f"expected a word, got {len(raw)} bytes")
    if kind.startswith("bytes"):
        size = int(kind[5:])
        if any(raw[size:]):
            raise ValueError(f"no {kind}: 0x{raw.hex()}")
        return raw[:size]
    if kind == "address":
        if any(raw[:12]):
            raise ValueError(f"no address: 0x{raw.hex()}")
        return checksum(raw[12:].hex())
    number = int.from_bytes(raw, "big", signed=kind[0] == "i")
    low, high = (0, 2) if kind == "bool" else _bounds(kind)
    if not low <= number < high:
        raise ValueError(f"no {kind}: 0x{raw.hex()}")
    return bool(number) if kind == "bool" else number


def _trimmed(kind: str, raw: bytes) -> bytes:
    if kind.startswith("bytes"):
        return raw[: int(kind[5:])]
    size = {"address": 20, "bool": 1}.get(kind) or int(kind.lstrip("uint")) // 8
    return raw[32 - size :]
