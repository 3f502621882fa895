"""``audit``: proves every closure of the journal again, against the chain of now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from orchestrator.cli.output import DONE, FAILED, OPERATOR, clean, emit
from orchestrator.cli.run import progress, with_orchestrator

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.report import AuditReport

_MARKS = {"holds": "[green]holds[/]", "fails": "[bold red]FAILS[/]", "unknown": "[yellow]unknown[/]"}


def register(app: typer.Typer) -> None:
    """Adds the command to the root."""
    app.command()(audit)


def audit() -> int:
    """Prove all closures again at today's finalized block, and check that their certificates' blocks are canonical.

    Closures that the first release certified get a certificate of today; a certificate whose block has left the chain
    is revoked. Exit codes: 0 all hold, 1 one does not, 3 one is unknown.

    Example: orchestrator audit --json
    """
    with progress() as watch:
        report = with_orchestrator(lambda o: o.audit(), watch=watch, create=False)
    emit(report.document(), lambda console: _show(console, report))
    if report.fails:
        return FAILED
    return OPERATOR if report.unknown else DONE


def _show(console: Console, report: AuditReport) -> None:
    canonical = {True: "canonical", False: "NOT CANONICAL", None: "not known to be canonical"}
    for closure in report.closures:
        console.print(
            f"{_MARKS[closure.result]} [bold]{closure.account_id}[/]  {clean(closure.address)}  {closure.verdict}"
        )
        block = f"at block {closure.block.number}: " if closure.block else ""
        console.print(f"  proven now   {block}{clean(closure.reason)}: {clean(closure.detail)}")
        if closure.certified_block is not None:
            certified = f"block {closure.certified_block.number}, {canonical[closure.canonical]}"
            console.print(f"  certificate  {clean(closure.certificate or 'none that holds')} ({certified})")
        else:
            console.print("  certificate  none")
    closures = "1 closure" if len(report.closures) == 1 else f"{len(report.closures)} closures"
    console.print(f"{closures}: {report.holds} hold, {report.fails} fail, {report.unknown} unknown")
