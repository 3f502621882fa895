"""Shows at the end of a run what the soundness tests did: the counts and the seeds are the evidence."""

from __future__ import annotations

import pytest


@pytest.fixture
def show(request: pytest.FixtureRequest):
    """Adds a line to the summary of the run."""

    def add(line: object) -> None:
        request.node.user_properties.append(("soundness", str(line)))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "soundness" and getattr(report, "when", "call") == "call"
    ]
    if lines:
        terminalreporter.section("soundness")
        for line in lines:
            terminalreporter.line(line)
