"""Hypothesis profiles: a small fixed slice by default, the full count with ORCHESTRATOR_TEST_PROFILE=full; the same
examples in each run. New ones: ``pytest --hypothesis-profile new``, which prints how to see a failure again."""

import gc
import logging

import pytest
from hypothesis import HealthCheck, settings

from tests.departures import LOGGER, Departures, collector
from tests.profile import FULL

_SLOW_HERE = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile(
    "default", max_examples=8, stateful_step_count=15, derandomize=True, database=None, deadline=None,
    suppress_health_check=_SLOW_HERE,
)  # fmt: skip
settings.register_profile(
    "full", max_examples=1000, stateful_step_count=60, derandomize=True, database=None, deadline=None,
    suppress_health_check=_SLOW_HERE,
)  # fmt: skip
settings.register_profile("new", settings.get_profile("full"), derandomize=False, print_blob=True)
settings.load_profile("full" if FULL else "default")


def pytest_configure():
    logging.getLogger(LOGGER).addHandler(Departures())
    gc.disable()  # until all is collected: thousands of tests and modules, none of which is garbage


def pytest_collection_finish():
    gc.freeze()  # else every full collection would look at them again
    gc.enable()


@pytest.fixture(autouse=True)
def departures():
    """Set up before a test's simulator and taken down after it."""
    logging.getLogger(LOGGER).disabled = False  # import-linter's own set-up disables every logger that is there
    yield
    found = collector().taken()
    if found:
        pytest.fail("departures from the published API:\n" + "\n".join(found), pytrace=False)
