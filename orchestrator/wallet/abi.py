"""The contract ABI, by signatures as people write them: events, getters, words. Hostile data raises ValueError only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an event or function. ``type`` is canonical (``uint`` is ``uint256``)."""

    name: str
    type: str
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """``walletOf(bytes16 account) returns (address)``, ``Changed(uint8 indexed from, uint8 to)``."""

    name: str
    arguments: tuple[Argument, ...]
    returns: tuple[Argument, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Raises ValueError that says what is wrong with the text."""
        raise NotImplementedError

    @property
    def topic(self) -> bytes:
        """An event's first topic: keccak256 of name and types."""
        raise NotImplementedError

    def decode(self, topics: Sequence[bytes], data: bytes) -> dict[str, object]:
        """An event's arguments by name. Raises ValueError for what is not exactly this event."""
        raise NotImplementedError

    def call(self, values: Mapping[str, object]) -> bytes:
        """The call's data: selector and arguments by name."""
        raise NotImplementedError

    def returned(self, data: bytes) -> object:
        """The one value that a call returned. Raises ValueError for what is not exactly one of that type."""
        raise NotImplementedError
