"""``orchestrator history``: what was signed, when, by which key and under which policy; taken to another journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator import files
from orchestrator.cli.journal_access import now, with_journal
from orchestrator.cli.output import Force, clean, emit
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.journal.store import Journal

app = typer.Typer(name="history", help="The signing history: list, export, import.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List every signature that was made or begun, the oldest first.

    Example: orchestrator history list --json
    """
    rows = with_journal(lambda journal: journal.signature_rows(), create=False)
    document = {
        "signatures": [
            {
                "accountId": row.account_id,
                "purpose": row.purpose,
                "digest": row.digest,
                "signer": row.signer,
                "key": row.key,
                "at": row.at,
                "made": row.made,
                "live": row.live,
            }
            for row in rows
        ]
    }

    def human(console: Console) -> None:
        for row in rows:
            state = ("made" if row.made else "begun") + (", live" if row.live else "")
            console.print(
                f"{clean(row.at or 'unknown time')}  {clean(row.account_id)}  {row.purpose}  "
                f"key {clean(row.key or 'unknown')}  {row.digest}  [dim]{state}[/]",
                soft_wrap=True,
            )
        if not rows:
            console.print("nothing has been signed")

    emit(document, human)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; - is stdout.")], force: Force = False
) -> None:
    """Write the history to a file: with it, another journal signs none of these challenges again.

    Example: orchestrator history export signed.json
    """
    from orchestrator.oversight import history

    async def work(journal: Journal) -> dict[str, Any]:
        if not journal.is_there:
            raise SettingsError("there is no journal yet, so nothing was signed", code="database_missing")
        return await history.export(journal, now())

    document = with_journal(work, create=False)
    if str(file) == "-":
        emit(document, lambda console: console.print_json(data=document, ensure_ascii=True))
        return
    files.deliver(file, (json.dumps(document, indent=1) + "\n").encode(), code="export_unwritable", force=force)
    count = len(document["signatures"])
    emit({"file": str(file), "signatures": count}, lambda console: console.print(f"{count} signatures in {file}"))


@app.command("import")
def import_(file: Annotated[Path, typer.Argument(metavar="FILE", help="What history export wrote.")]) -> None:
    """Take over a history: none of its challenges is ever signed here. Done again, it changes nothing.

    Example: orchestrator history import signed.json
    """
    from orchestrator.oversight import history
    from orchestrator.people import system_user

    try:
        with file.open("rb") as source:
            data = source.read(history.MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}", code="history_unreadable") from error
    done = with_journal(
        lambda journal: history.import_document(journal, data, f"history {file}", by=system_user(), now=now())
    )
    document = {"found": done.found, "imported": done.new, "source": done.source}
    emit(document, lambda console: console.print(f"{done.new} of {done.found} signatures were new to this journal"))
