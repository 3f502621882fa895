"""A bound in time for calls that have none of their own: name resolution, credential look-ups, answers that drip."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_MOST: Final = 64
"""Threads at a time: what hangs for ever holds so many and no more."""


class Bounded:
    """Runs blocking calls in threads of their own; the caller waits for so many seconds and no longer.

    Python cannot end a thread: a call that is late goes on in the background until it ends by itself, its result is
    dropped, and it holds one of ``most`` places until then. The threads are daemons, so none keeps a process alive.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._places = threading.BoundedSemaphore(most)

    def run(self, call: Callable[[], T], seconds: float) -> T:
        """What ``call`` returns or raises. Raises TimeoutError after ``seconds``, waiting for a place included."""
        deadline = time.monotonic() + seconds
        if not self._places.acquire(timeout=seconds):
            raise TimeoutError
        attempt = _Attempt(call, self._places)
        try:
            threading.Thread(target=attempt.run, name="bounded-call", daemon=True).start()
        except BaseException:
            self._places.release()
            raise
        if not attempt.ended.wait(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        return attempt.result()


class _Attempt(Generic[T]):
    def __init__(self, call: Callable[[], T], places: threading.BoundedSemaphore) -> None:
        self._call = call
        self._places = places
        self._values: list[T] = []
        self._error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self._values.append(self._call())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._error = error
        finally:
            self._places.release()
            self.ended.set()

    def result(self) -> T:
        if self._error is not None:
            error, self._error = self._error, None  # no cycle of error, traceback and frame
            raise error
        return self._values[0]
