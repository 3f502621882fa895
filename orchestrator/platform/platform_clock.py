"""The platform's clock, as the ``Date`` headers of its answers give it: what request signatures are dated by.

The platform's verifier has no tolerance: a signature made one second ahead of its clock has expired. So signatures are
dated by its clock, and a little behind it. A header can be wrong (a proxy's clock, an answer from a cache): one that is
out of bounds is not followed, and after a refused signature the clock is learned again. One that is ahead within the
bounds, and always so, is left where signatures that follow it are refused: being behind does no harm.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from orchestrator.platform.clock import Clock
from orchestrator.platform.transport import Answer

__all__ = ["PlatformClock", "clock_offset"]

_BEHIND: Final = timedelta(seconds=2)
"""``Date`` has whole seconds, and the clocks of one platform's machines differ a little."""
_ANOTHER: Final = timedelta(seconds=1)
"""From which two offsets are different ones."""
_NONE: Final = timedelta(0)
_NO_CLOCK: Final = timedelta(days=36_500)
"""A clock that is further off is none: nothing is reckoned by it."""
_DATE: Final = re.compile(
    r"[A-Z][a-z]{2}, (?P<day>[0-9]{2}) (?P<month>[A-Z][a-z]{2}) (?P<year>[0-9]{4}) "
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}) GMT"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def clock_offset(answer: Answer) -> timedelta | None:
    """The platform's clock minus ours, by the ``Date`` header (whole seconds); None without a readable one.

    Only the form that RFC 9110 (section 5.6.7) lets be sent is read, in bounds that a calendar has.
    """
    match = _DATE.fullmatch(answer.headers.get("date", ""))
    if match is None or match["month"] not in _MONTHS:
        return None
    year, day, hour, minute, second = (int(match[name]) for name in ("year", "day", "hour", "minute", "second"))
    try:
        moment = datetime(year, _MONTHS.index(match["month"]) + 1, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    # The header cuts off its fraction: half a second is the fair guess.
    offset = moment + timedelta(seconds=0.5) - datetime.fromtimestamp(answer.received_at, UTC)
    return offset if abs(offset) < _NO_CLOCK else None


class PlatformClock:
    """The platform's clock, learned from every answer.

    ``tolerance``: how far it may be from ours. A ``Date`` beyond that is shown (``offset``) and not followed: whoever
    sends it could else have signatures made that hold at any later time.
    """

    def __init__(self, clock: Clock, tolerance: timedelta) -> None:
        self._clock = clock
        self._tolerance = tolerance
        self.offset: timedelta | None = None
        """The platform's clock minus ours, as of the last answer that gave one; None before the first."""
        self.followed = _NONE
        """The last one within the tolerance; none while that one is ``_ahead``."""
        self._ahead: timedelta | None = None
        """One that a signature followed and was refused: not followed until another one is learned."""

    @property
    def beyond_tolerance(self) -> bool:
        """Whether the last answer's clock and ours differ by more than they may."""
        return self.offset is not None and abs(self.offset) > self._tolerance

    def note(self, answer: Answer) -> None:
        """Learns from an answer."""
        offset = clock_offset(answer)
        if offset is None:
            return
        self.offset = offset
        if not self.beyond_tolerance and (self._ahead is None or abs(offset - self._ahead) >= 2 * _ANOTHER):
            self.followed, self._ahead = offset, None

    def signing_time(self) -> datetime:
        """What a signature that is made now is dated: never ahead of the platform's clock."""
        return datetime.fromtimestamp(self._clock.now(), UTC) + self.followed - _BEHIND

    def learned_again(self, refused: Answer, followed: timedelta) -> bool:
        """Whether a signature that was dated by ``followed`` and refused with this answer would now be dated otherwise.

        SIDE EFFECTS: what was learned is forgotten where the answer does not give it again; where it does, and is
        ahead, it is not followed from now on, or again if that was refused, too.
        """
        if clock_offset(refused) is None:
            self.followed, self._ahead = _NONE, None
        elif abs(self.followed - followed) < _ANOTHER:
            if self._ahead is not None:
                self.followed, self._ahead = self._ahead, None
            elif followed >= _ANOTHER:
                self.followed, self._ahead = _NONE, followed
        return abs(self.followed - followed) >= _ANOTHER
