"""``certificate verify``: checks a closure certificate offline, and against nodes where they are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.output import DONE, FAILED, OPERATOR, clean, emit
from orchestrator.errors import SettingsError
from orchestrator.models import to_address

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.closure.verifier import CertificateReport

app = typer.Typer(no_args_is_help=True, help="Closure certificates.")

_LARGEST = 16 * 1024 * 1024
"""Bytes. The largest contract that can be deployed, with all its proofs, takes well under one of these."""
_MARKS = {"pass": "[green]pass[/]   ", "fail": "[red]FAIL[/]   ", "skipped": "[yellow]skipped[/]"}


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
    data = _read(file)
    from orchestrator.closure.verifier import verify as check

    report = check(data, signer=demanded)
    if rpc_url:
        import asyncio

        from orchestrator.chain.canonical import verify_canonical

        report = asyncio.run(verify_canonical(report, rpc_url))
    emit(report.to_json(), lambda console: show(console, report))
    if not report.valid:
        return FAILED
    return OPERATOR if rpc_url and report.canonical is None else DONE


def show(console: Console, report: CertificateReport) -> None:
    """The report as a person reads it: verdict first, then every check."""
    if report.valid:
        console.print(f"[bold green]valid[/]: {clean(str(report.claim))} for {report.address} on {report.chain_id}")
        block = f" {report.block.number} ({report.block.hash})" if report.block else ""
        console.print(f"relative to block{block}, in the canonical chain: {_canonical(report)}", soft_wrap=True)
        console.print(f"verdict {clean(report.verdict)} ({clean(report.reason)})")
        trust = "known, not trusted: demand it with --signer" if report.signed else "anyone could have written it"
        console.print(f"signer {report.signer or 'none'} ({trust})")
    else:
        console.print(f"[bold red]invalid[/] ({clean(report.reason)})")
    for item in report.checks:
        console.print(f"  {_MARKS[item.result]}  {item.name:<22} {clean(item.detail)}", soft_wrap=True)


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
