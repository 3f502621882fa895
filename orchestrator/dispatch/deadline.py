"""Until when something is tried: trouble that may pass is waited out, and what hangs is cut off.

A deadline is in seconds, on ``time.monotonic``'s clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from orchestrator.errors import Disposition, OrchestratorError

NO_ANSWER = "the platform or the node gave no answer within the timeout; nothing is lost, run it again"

_GRACE = 5.0
"""Seconds after the deadline that a poll under way may take before it is cut off."""
_FIRST_PAUSE = 0.2
"""Seconds; each further pause is twice as long, up to the poll interval."""

_Result = TypeVar("_Result")


def cut_off(deadline: float) -> asyncio.Timeout:
    """Cuts off what runs within it, a little after the deadline, so that a poll may end. Raises TimeoutError."""
    return asyncio.timeout(max(0.0, deadline - time.monotonic()) + _GRACE)


async def patiently(
    attempt: Callable[[], Awaitable[_Result]],
    deadline: float,
    *,
    poll_interval: float,
    watch: Callable[[str], None],
) -> _Result:
    """Tries again while trouble may pass, until the deadline; then the trouble is raised (OrchestratorError)."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except OrchestratorError as error:
            remaining = deadline - time.monotonic()
            if error.disposition is not Disposition.RETRY or remaining <= 0:
                raise
            watch(f"waiting for trouble to pass ({error.message})")
            await asyncio.sleep(min(pause, remaining))
            pause = min(pause * 2, poll_interval)
