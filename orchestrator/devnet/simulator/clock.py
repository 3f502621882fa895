"""The platform's clock: nanoseconds, movable by tests, written as the platform writes times (nine digits)."""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["Clock", "iso"]

NANOSECONDS = 1_000_000_000


def iso(ns: int) -> str:
    """Unix nanoseconds as ISO-8601 in UTC, ``2024-01-12T15:07:17.358440283Z``."""
    seconds, fraction = divmod(ns, NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


class Clock:
    """Wall-clock time plus an offset in seconds; never gives the same nanosecond twice unless it is set back."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._last = 0

    def ns(self) -> int:
        now = time.time_ns() + int(self.offset * NANOSECONDS)
        if self._last < now:
            self._last = now
        elif self._last - now < NANOSECONDS:
            self._last += 1
        else:  # a test has set the clock back: follow it
            self._last = now
        return self._last

    def seconds(self) -> float:
        return self.ns() / NANOSECONDS

    def iso(self) -> str:
        return iso(self.ns())
