"""Runs the library's coroutines for a command, with progress for a person."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from orchestrator.cli.context import options, settings
from orchestrator.cli.output import clean, err

if TYPE_CHECKING:
    from orchestrator.app import Orchestrator
    from orchestrator.steps.people import Voice

_WIDE = 110
"""Columns that an account's whole id leaves room in."""
_Result = TypeVar("_Result")


def with_orchestrator(
    work: Callable[[Orchestrator], Awaitable[_Result]],
    *,
    watch: Callable[[str, str], None] | None = None,
    voice: Voice | None = None,
) -> _Result:
    """Opens the orchestrator with this run's settings, and runs ``work`` with it. ``voice``: as there."""
    import asyncio

    from orchestrator.app import Orchestrator

    async def body() -> _Result:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is not None:
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
        async with Orchestrator.open(settings(), watch=watch, voice=voice) as orchestrator:
            return await work(orchestrator)

    try:
        return asyncio.run(body())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@contextmanager
def progress() -> Iterator[Callable[[str, str], None]]:
    """Shows what each account is doing or waiting for, on stderr: live on a terminal, else a line per change."""
    console = err()
    latest: dict[str, str] = {}
    if options.json or not sys.stderr.isatty():

        def tell(who: str, what: str) -> None:
            if latest.get(who) != what:
                latest[who] = what
                console.print(f"{clean(who)}: {clean(what)}", soft_wrap=True)

        yield tell
        return

    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.fields[who]}[/]"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, int] = {}

        def show(who: str, what: str) -> None:
            if who not in tasks:
                shown = who if console.width >= _WIDE else who[:8]
                tasks[who] = bars.add_task("", total=None, who=clean(shown))
            if latest.get(who) != what:
                latest[who] = what
                bars.update(tasks[who], description=clean(what))  # type: ignore[arg-type]

        yield show
