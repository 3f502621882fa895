"""How much the suite tries: a fixed slice by default, everything with ORCHESTRATOR_TEST_PROFILE=full."""

from __future__ import annotations

import os

import pytest

FULL = os.environ.get("ORCHESTRATOR_TEST_PROFILE") == "full"


def full_only(what: str) -> pytest.MarkDecorator:
    """Marks a test that the default profile leaves out. ``what`` it would take, such as "24 kills"."""
    return pytest.mark.skipif(not FULL, reason=f"full profile: {what}")
