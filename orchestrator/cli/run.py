"""Runs the library's coroutines for a command, with progress for a person."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from orchestrator.cli.journal_access import note_if_missing
from orchestrator.cli.output import clean, err, options, settings

if TYPE_CHECKING:
    from orchestrator.app import Orchestrator
    from orchestrator.people import Signatory

_Result = TypeVar("_Result")


class Changes:
    """Finds what is new in one account's progress. Each poll reports its steps again, and then what it waits for: while
    they are those of the poll before, nothing is new."""

    def __init__(self) -> None:
        self._now: list[str] = []
        self._before: list[str] | None = []
        """What is left of the poll before; None once this one had something new: all that follows is shown."""

    def is_one(self, what: str) -> bool:
        """Whether this has not been shown already. Waiting is the end of a poll."""
        if self._now[-1:] == [what]:
            return False
        self._now.append(what)
        if self._before is not None and what in self._before:
            self._before = self._before[self._before.index(what) + 1 :]
        else:
            self._before = None
        new = self._before is None
        if what.startswith("waiting for"):
            self._before, self._now = self._now, []
        return new


def with_orchestrator(
    work: Callable[[Orchestrator], Awaitable[_Result]],
    *,
    watch: Callable[[str, str], None] | None = None,
    signatory: Signatory | None = None,
    create: bool | None = True,
) -> _Result:
    """Opens the orchestrator with this run's settings, and runs ``work`` with it. ``signatory``, ``create``: as its
    ``open``."""
    import asyncio

    from orchestrator.app import Orchestrator

    async def body() -> _Result:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is not None:
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
        async with Orchestrator.open(settings(), watch=watch, signatory=signatory, create=create) as orchestrator:
            note_if_missing(orchestrator.journal)
            return await work(orchestrator)

    try:
        return asyncio.run(body())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@contextmanager
def progress() -> Iterator[Callable[[str, str], None]]:
    """Shows what each account is doing or waiting for, on stderr: live on a terminal, else a line per change."""
    console = err()
    changes: dict[str, Changes] = {}
    if options.json or not sys.stderr.isatty():

        def show_line(who: str, what: str) -> None:
            if changes.setdefault(who, Changes()).is_one(what):
                console.print(f"{clean(who)}: {clean(what)}", soft_wrap=True)

        yield show_line
        return

    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.fields[who]}[/]"),
        TextColumn("{task.description}", table_column=Column(ratio=1)),  # broken into lines, and the id is whole
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, expand=True) as bars:
        tasks: dict[str, int] = {}

        def show(who: str, what: str) -> None:
            if who not in tasks:
                tasks[who] = bars.add_task("", total=None, who=clean(who))
            if changes.setdefault(who, Changes()).is_one(what):
                bars.update(tasks[who], description=clean(what))  # type: ignore[arg-type]

        yield show
