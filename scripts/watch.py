"""Shows what waits: for what, since when and until when, in one live table,
by the journal alone. What needs a person stands first.

On a terminal the table stays until Ctrl-C; elsewhere, and with --json, it is
shown once (--every SECONDS then prints what has changed).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from _common import DONE, OPERATOR, answer, clean, parser, script, settings, with_orchestrator
from rich.console import Console
from rich.live import Live
from rich.table import Table

from orchestrator import OperationReport, Orchestrator

_FIRST = {"operator": 0, "failed": 1, "waiting": 2}
_COLOURS = {"operator": "magenta", "failed": "red", "waiting": "yellow"}


def waiting(reports: Sequence[OperationReport]) -> list[OperationReport]:
    """What is not done, that which needs a person first, then the longest wait."""
    found = [one for one in reports if one.outcome in ("operator", "waiting")]
    latest = datetime.max.replace(tzinfo=UTC)
    return sorted(found, key=lambda one: (_FIRST[one.outcome], one.since or latest))


def ago(since: datetime | None, now: datetime) -> str:
    """A duration in its largest units: 3 d 4 h."""
    if since is None:
        return ""
    return _span(now - since)


def _span(time: timedelta) -> str:
    seconds = max(0, int(time.total_seconds()))
    units = (("d", seconds // 86400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60))
    first = next((place for place, (_, number) in enumerate(units) if number), 3)
    return " ".join(f"{number} {unit}" for unit, number in units[first : first + 2])


def what(one: OperationReport) -> str:
    return clean(f"{one.error.code}: {one.error.message}" if one.error else one.waiting_for or "")


def line(one: OperationReport, now: datetime) -> str:
    """A row as a line of text."""
    until = f", until {one.deadline:%Y-%m-%d %H:%M}" if one.deadline else ""
    name = f" ({one.reference})" if one.reference else ""
    return f"{one.account_id}{name} {one.operation} {one.outcome} for {ago(one.since, now)}{until}: {what(one)}"


def table(reports: Sequence[OperationReport], now: datetime) -> Table:
    """As a terminal shows it; the first 8 characters of an id are enough for every command."""
    found = waiting(reports)
    drawn = Table(
        title=f"{len(found)} of {len(reports)} accounts wait", caption=f"{now:%Y-%m-%d %H:%M:%S} UTC", expand=True
    )
    for head in ("account", "operation", "for", "waits for"):
        drawn.add_column(head, no_wrap=head in ("account", "for"), ratio=1 if head == "waits for" else None)
    for one in found:
        colour = _COLOURS[one.outcome]
        drawn.add_row(one.account_id[:8], str(one.operation), ago(one.since, now), what(one), style=colour)
    return drawn


async def follow(orchestrator: Orchestrator, every: float) -> None:
    """Until it is cancelled."""
    now = datetime.now(UTC)
    if sys.stdout.isatty():
        with Live(table(await orchestrator.status(), now), console=Console(markup=False), auto_refresh=False) as live:
            while True:
                await asyncio.sleep(every)
                live.update(table(await orchestrator.status(), datetime.now(UTC)), refresh=True)
    shown: dict[str, str] = {}
    while True:
        for one in await orchestrator.status():
            stands = f"{one.operation} {one.outcome} {what(one)}"
            if shown.get(one.account_id) != stands:
                shown[one.account_id] = stands
                sys.stdout.write(clean(line(one, datetime.now(UTC))) + "\n")
        sys.stdout.flush()
        await asyncio.sleep(every)


async def once(orchestrator: Orchestrator, options: argparse.Namespace) -> int:
    found = waiting(await orchestrator.status())
    now = datetime.now(UTC)
    document = {"accounts": [json.loads(one.model_dump_json(by_alias=True)) for one in found]}
    answer(options, document, [line(one, now) for one in found] or ["nothing waits"])
    return OPERATOR if any(one.outcome == "operator" for one in found) else DONE


def main() -> int:
    cli = parser(__doc__, "scripts/watch.py --every 5")
    cli.add_argument("--every", metavar="SECONDS", type=float, help="default on a terminal: 2")
    options = cli.parse_args()
    every = options.every or (2.0 if sys.stdout.isatty() and not options.json else None)
    if every is None or options.json or options.dry_run:
        return with_orchestrator(settings(options), lambda o: once(o, options), create=None)
    with_orchestrator(settings(options), lambda o: follow(o, every), create=None)
    return DONE


if __name__ == "__main__":
    script(main)
