"""Every departure from the published API that a simulator of this process sees fails the test that caused it.

The simulator judges all its traffic (``orchestrator/devnet/simulator/judge.py``) and logs what departs; that log is
collected here, by name, so that a test that needs no simulator does not load one.
"""

import contextlib
import logging

LOGGER = "orchestrator.devnet.simulator.judge"


class Departures(logging.Handler):
    """What was seen since the last :meth:`taken`."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.deliberate = 0

    def emit(self, record):
        departure = record.args[0]
        if not (self.deliberate and departure.side == "request"):
            self.seen.append(departure)

    def taken(self):
        seen, self.seen = self.seen, []
        return [str(one) for one in dict.fromkeys(seen)]


def collector():
    """The one that the suite's ``conftest.py`` has installed."""
    return next(handler for handler in logging.getLogger(LOGGER).handlers if isinstance(handler, Departures))


def none_told(stderr):
    """For a simulator in a child process, whose log goes to stderr."""
    told = [line for line in stderr.splitlines() if "departs from the published API" in line]
    assert told == []


@contextlib.contextmanager
def deliberate():
    """Requests that are wrong on purpose, while this lasts. Their answers are judged as ever."""
    departures = collector()
    departures.deliberate += 1
    try:
        yield
    finally:
        departures.deliberate -= 1
