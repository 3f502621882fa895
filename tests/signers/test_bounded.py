"""The bound in time for calls that have none."""

from __future__ import annotations

import threading
import time

import pytest

from orchestrator.signers.backends.bounded import Bounded


def test_it_hands_on_what_the_call_returns_or_raises():
    bounded = Bounded()
    assert bounded.run(lambda: 5, 10) == 5
    with pytest.raises(KeyError, match="own"):
        bounded.run(lambda: {}["own"], 10)


def test_a_late_call_is_left_behind_and_gives_its_place_back():
    bounded = Bounded(most=1)
    free = threading.Event()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        bounded.run(lambda: free.wait(60), 0.1)
    with pytest.raises(TimeoutError):
        bounded.run(lambda: 5, 0.1)  # the only place is still taken
    assert time.monotonic() - began < 5
    free.set()
    assert bounded.run(lambda: 5, 30) == 5


def test_many_at_once_wait_for_places():
    bounded = Bounded(most=2)
    running = [0]
    most = [0]
    lock = threading.Lock()

    def call() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        with lock:
            running[0] -= 1

    threads = [threading.Thread(target=bounded.run, args=(call, 30)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most[0] <= 2
