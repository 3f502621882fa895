"""The journal for commands that need no platform and no node, and what they report about it."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from orchestrator.cli.output import clean, err, options, out, settings
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator.journal.store import Journal
    from orchestrator.lifecycle.oversight_state import Oversight
    from orchestrator.oversight.records import Drain

_Result = TypeVar("_Result")


def now() -> datetime:
    """The clock of these commands."""
    return datetime.now(UTC)


def iso(at: datetime) -> str:
    """A time as JSON documents show it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def warn_if_new() -> None:
    """Warns on stderr that the journal of the settings does not exist yet: a decision in it binds those who share it,
    and no process that uses another one."""
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


def drain(journal: Journal) -> Drain:
    """How a command that forbids signing waits: reported on stderr, and with the decision noted beside the keystore."""
    from orchestrator.oversight.records import Drain

    return Drain(
        # Decisions are read before each request, and that may wait for the database.
        patience=settings().request_timeout + 60,
        watch=lambda what: err().print(clean(what), soft_wrap=True),
        meanwhile=lambda: note_in_signing_log(journal),
    )


def note_if_missing(journal: Journal) -> None:
    """Reports that the journal does not exist yet."""
    if not journal.is_there:
        note = "no journal yet: the first command that changes anything makes it"
        (err() if options.json else out()).print(note, soft_wrap=True)


async def note_in_signing_log(journal: Journal) -> None:
    """Notes a decision that was just journaled in the log beside the keystore, so that an older database that lacks it
    is detected, even if no other process has read the decision.

    Does nothing where there is no keystore, or where a restored backup was detected (the line would hide it): then the
    decision holds by the journal alone. SIDE EFFECTS: appends a line to the log.
    """
    from contextlib import suppress

    from orchestrator.authorization.restore_guard import note_decisions, restore_finding
    from orchestrator.connect import make_keystore, make_ruleset
    from orchestrator.signers.signing_log import FileSigningLog

    given = settings()
    if not given.keystore.is_dir():
        return
    with suppress(OrchestratorError):
        log, policy = FileSigningLog(given.keystore), make_ruleset(given).policy.keys
        if await restore_finding(journal, log, make_keystore(given).id, policy) is None:
            await note_decisions(journal, log)


def oversight_if_any() -> tuple[Oversight | None, OrchestratorError | None]:
    """What people have decided, for a command that only reads and also works without a journal. None where there is no
    journal (none is made), or where it cannot be read (then with the error)."""
    from orchestrator.authorization.gate import read_oversight
    from orchestrator.connect import has_journal

    try:
        if not has_journal(settings()):
            return None, None
        return with_journal(read_oversight, create=False), None
    except OrchestratorError as error:
        return None, error
