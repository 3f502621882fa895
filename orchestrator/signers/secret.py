"""A value that must not be shown: kept out of repr, str, formatting, pickles and copies."""

from __future__ import annotations

import hmac
from typing import NoReturn

from orchestrator import core_dumps


class Secret:
    """Text (a password, a private key in hexadecimal) that only ``reveal`` gives out.

    SIDE EFFECTS: the process that makes one leaves no core dump from then on (``core_dumps``). Known gap: Python cannot
    wipe a string from memory.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        core_dumps.forbid()
        self.__text = text

    def reveal(self) -> str:
        """The text itself. Never log it, never put it into a message."""
        return self.__text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    __hash__ = None  # type: ignore[assignment]  # a hash in a set or a dict would tell about the value

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret can be neither pickled nor copied")
