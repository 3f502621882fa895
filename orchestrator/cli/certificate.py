"""``certificate verify``: checks a closure certificate offline, and against nodes where they are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.context import options
from orchestrator.cli.output import DONE, FAILED, OPERATOR, clean, emit
from orchestrator.errors import SettingsError
from orchestrator.models import to_address

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.closure.verifier import CertificateReport

app = typer.Typer(no_args_is_help=True, help="Closure certificates.")

_LARGEST = 16 * 1024 * 1024
"""Bytes. The largest contract that can be deployed, with all its proofs, takes well under one of these."""
_MARKS = {"pass": "[green]pass[/]", "fail": "[red]FAIL[/]", "skipped": "[yellow]skipped[/]"}


@app.callback()
def _group() -> None:
    """Keeps ``verify`` a subcommand: a group of one would be taken for the command itself."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    rpc_url: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A node that is asked whether the block is canonical.")
    ] = None,
    signer: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Demand that this address signed it.")] = None,
) -> int:
    """Check a certificate: everything in it is computed again, nothing that it claims is believed.

    Example: orchestrator certificate verify closed.json --rpc-url http://127.0.0.1:8545
    """
    try:
        demanded = to_address(signer) if signer is not None else None
    except ValueError as error:
        raise SettingsError(f"--signer: {error}", code="usage") from None
    asked = rpc_url or ([options.overrides["rpc_url"]] if options.overrides.get("rpc_url") else [])
    data = _read(file)
    from orchestrator.closure.verifier import verify as check

    report = check(data, signer=demanded)
    if asked:
        import asyncio

        from orchestrator.chain.canonical import verify_canonical

        report = asyncio.run(verify_canonical(report, asked))
    emit(report.to_json(), lambda console: show(console, report))
    if not report.valid:
        return FAILED
    return OPERATOR if asked and report.canonical is None else DONE


def show(console: Console, report: CertificateReport) -> None:
    """The report as a person reads it: verdict first, then every check."""
    from rich.table import Table

    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold")
    head.add_column(overflow="fold")
    if report.valid and report.block is not None:
        console.print(f"[bold green]valid[/]: {clean(str(report.claim))}")
        head.add_row("wallet", f"{report.chain_id}:{report.address}")
        head.add_row("block", f"{report.block.number} {report.block.hash}")
        head.add_row("canonical", _canonical(report))
        head.add_row("verdict", f"{clean(report.verdict)}: {clean(report.reason)}")
        trust = "known, not trusted: demand it with --signer" if report.signed else "anyone could have written it"
        head.add_row("signer", f"{report.signer or 'none'} ({trust})")
        console.print(head)
    else:
        console.print(f"[bold red]invalid[/]: {clean(report.reason)}")
    console.print()
    checks = Table.grid(padding=(0, 2))
    checks.add_column(no_wrap=True)
    checks.add_column(no_wrap=True)
    checks.add_column(overflow="fold")
    for item in report.checks:
        checks.add_row(_MARKS[item.result], item.name, clean(item.detail))
    console.print(checks)


def _canonical(report: CertificateReport) -> str:
    return {True: "yes", False: "NO", None: "not asked, or not told (--rpc-url)"}[report.canonical]


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            data = source.read(_LARGEST + 1)
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}", code="certificate_unreadable") from error
    if len(data) > _LARGEST:
        raise SettingsError(f"{file} has more than {_LARGEST} bytes: no certificate has", code="certificate_unreadable")
    return data
