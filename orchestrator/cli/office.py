"""Opens the journal for a command that needs nothing else: no platform, no node, no key."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from orchestrator.cli.output import clean, err, options, out, settings
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.journal.store import Journal
    from orchestrator.lifecycle.oversight import Oversight
    from orchestrator.oversight.records import Landing
    from orchestrator.report import StopNote

_Result = TypeVar("_Result")


def now() -> datetime:
    """The clock of these commands."""
    return datetime.now(UTC)


def iso(at: datetime) -> str:
    """As documents show times."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def warn_if_new() -> None:
    """Says on stderr that the journal of the settings is not there yet: a decision in it binds whoever shares it, and
    nobody who goes by another URL."""
    from orchestrator.connect import has_journal

    if not has_journal(settings()):
        from orchestrator.journal.database import database_path

        where = clean(str(database_path(settings().database_url)))
        err().print(
            f"[yellow]there is no journal at {where}: it is made now.[/] If processes sign already, they use another "
            "one, and this does not reach them: check ORCHESTRATOR_DATABASE_URL",
            soft_wrap=True,
        )


def with_journal(work: Callable[[Journal], Awaitable[_Result]], *, create: bool = True) -> _Result:
    """Opens the journal that the settings name, and runs ``work`` with it. ``create``: as ``connect.open_journal``."""
    import asyncio

    from orchestrator.connect import open_journal

    async def body() -> _Result:
        # These commands ask for passwords: Ctrl-C must end a prompt, and not wait for its answer as asyncio's own does.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with await open_journal(settings(), create=create) as journal:
            note_if_missing(journal)
            return await work(journal)

    try:
        return asyncio.run(body())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def landing(journal: Journal) -> Landing:
    """How a command that forbids signing waits: told on stderr, and with the decision noted beside the keystore."""
    from orchestrator.oversight.records import Landing

    return Landing(
        # Reading what was decided comes before the request itself, and may wait for the database.
        patience=settings().request_timeout + 60,
        watch=lambda what: err().print(clean(what), soft_wrap=True),
        meanwhile=lambda: noted(journal),
    )


def note_if_missing(journal: Journal) -> None:
    """Says that there is no journal yet, to who reads one that is not there."""
    if not journal.is_there:
        note = "no journal yet: the first command that changes anything makes it"
        (err() if options.json else out()).print(note, soft_wrap=True)


async def noted(journal: Journal) -> None:
    """A decision that was just journaled, in the log beside the keystore too: an older database that lacks it shows,
    even if no other process has come across it.

    Does nothing where there is no keystore, or where that or the journal is older than the other (the line would hide
    it): the decision holds by the journal alone. SIDE EFFECTS: a line in the log.
    """
    from contextlib import suppress

    from orchestrator.connect import open_keystore, open_ruleset
    from orchestrator.signers.log import FileSigningLog
    from orchestrator.steps.gate import note_decisions, restored

    given = settings()
    if not given.keystore.is_dir():
        return
    with suppress(OrchestratorError):
        log, rules = FileSigningLog(given.keystore), open_ruleset(given).policy.keys
        if await restored(journal, log, open_keystore(given).id, rules) is None:
            await note_decisions(journal, log)


def peek() -> tuple[Oversight | None, OrchestratorError | None]:
    """What people have decided, for a command that only reads and works without a journal too: None where there is none
    (and none is made), or where it cannot be read (then with the error)."""
    from orchestrator.connect import has_journal
    from orchestrator.oversight.records import read_oversight

    try:
        if not has_journal(settings()):
            return None, None
        return with_journal(read_oversight, create=False), None
    except OrchestratorError as error:
        return None, error


def show_stops(console: Console, stops: Sequence[StopNote]) -> None:
    """A line for each stop that holds: what a person must know before anything else."""
    for stop in stops:
        scope = "ALL SIGNING" if stop.scope == "all" else f"SIGNING of {stop.scope}"
        console.print(
            f"[bold red]{clean(scope)} IS STOPPED[/] since {stop.since:%Y-%m-%d %H:%M:%S} UTC by {clean(stop.by)}: "
            f"{clean(stop.reason)} (orchestrator stops)",
            soft_wrap=True,
        )
