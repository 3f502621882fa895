"""``journal``: the audit trail, its check and its export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator import files
from orchestrator.cli.output import DONE, FAILED, Force, clean, emit
from orchestrator.cli.run import with_orchestrator
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.app import Orchestrator
    from orchestrator.lifecycle.recorded import Recorded


def register(app: typer.Typer) -> None:
    """Adds the command to the root."""
    app.command()(journal)


def journal(
    account_id: Annotated[str | None, typer.Argument(metavar="[ACCOUNT_ID]")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check the hash chain over all events.")] = False,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it to a new file, an event a line.")
    ] = None,
    force: Force = False,
) -> int:
    """The audit trail: every fact, in order, as it was written.

    Example: orchestrator journal 5df359f0-d299-40a1-8023-17c77a50144c
    """
    if verify:
        return _verify()
    account_id, events = with_orchestrator(lambda o: _events(o, account_id), create=False)
    documents = [_document(item) for item in events]
    if export is not None:
        lines = "".join(json.dumps(document) + "\n" for document in documents)
        files.deliver(export, lines.encode(), code="export_unwritable", force=force)

    def human(console: Console) -> None:
        if export is not None:
            console.print(f"{len(documents)} events written to {clean(str(export))}")
            return
        for item in events:
            data = item.event.model_dump(mode="json", exclude={"type"}, exclude_none=True)
            facts = "  ".join(f"[dim]{name}[/] {clean(_short(value))}" for name, value in data.items())
            console.print(
                f"{item.seq:>5}  {item.at:%Y-%m-%d %H:%M:%S}  [bold]{item.event.type}[/]  {facts}", soft_wrap=True
            )
        if not events:
            console.print("no events")

    emit({"accountId": account_id, "events": documents}, human)
    return DONE


def _verify() -> int:
    checked = with_orchestrator(lambda o: o.journal.verify(), create=False)
    document = {
        "valid": checked.valid,
        "events": checked.events,
        "head": checked.head,
        "firstBad": checked.first_bad,
        "tables": checked.tables,
    }

    def human(console: Console) -> None:
        if checked.valid:
            console.print(f"[green]whole[/]: {checked.events} events, head {checked.head}")
        elif checked.first_bad is None:
            console.print(f"[red]tampered with[/]: the events are whole, and {clean(checked.tables or '')}")
        else:
            console.print(f"[red]broken[/] at event {checked.first_bad}; {checked.events} events before it are whole")

    emit(document, human)
    return DONE if checked.valid else FAILED


async def _events(orchestrator: Orchestrator, text: str | None) -> tuple[str | None, list[Recorded]]:
    journal = orchestrator.journal
    if text is not None:
        from orchestrator.account_queries import to_account_id

        (whole,) = await orchestrator.named([text], ask="never")
        account_id = to_account_id(whole)
        found = await journal.read(account_id)
        if not found and not await journal.creation_streams(account_id):
            raise SettingsError(f"nothing was journaled of an account {account_id}", code="account_unknown")
        return account_id, found
    events: list[Recorded] = []
    while page := await journal.read_all(events[-1].seq if events else 0):
        events += page
    return None, events


def _document(item: Recorded) -> dict[str, Any]:
    """``stream`` is the account's id, or ``reference:…`` for a creation."""
    return {
        "seq": item.seq,
        "stream": item.stream,
        "at": item.at.isoformat().replace("+00:00", "Z"),
        "type": item.event.type,
        "data": item.event.model_dump(mode="json", exclude={"type"}),
        "hash": item.hash,
        "previous": item.previous,
    }


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 48 else f"{text[:30]}…{text[-10:]}"
