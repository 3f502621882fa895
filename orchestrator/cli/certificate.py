"""``certificate verify``: checks a closure certificate offline, and against nodes where they are given."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator import files
from orchestrator.cli.output import DONE, FAILED, OPERATOR, Force, clean, emit, err, options, rows
from orchestrator.cli.streams import write_document
from orchestrator.errors import SettingsError
from orchestrator.models import to_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from orchestrator.closure.certificate.report import CertificateReport

app = typer.Typer(no_args_is_help=True, help="Closure certificates.")

_LARGEST = 16 * 1024 * 1024
"""Bytes. The largest contract that can be deployed, with all its proofs, takes well under one of these."""
_TONES = {"good": "green", "bad": "red", "open": "yellow"}
_SHOWN = 20
"""Residue that a terminal shows."""
_MARKS = {"pass": "[green]pass[/]", "fail": "[red]FAIL[/]", "skipped": "[yellow]skipped[/]"}


@app.callback()
def _group() -> None:
    """Keeps ``verify`` a subcommand: a group of one would be taken for the command itself."""


class Format(StrEnum):
    """How a report is shown to people."""

    TEXT = "text"
    HTML = "html"


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    rpc_url: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A node that is asked whether the block is canonical.")
    ] = None,
    signer: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Demand that this address signed it.")] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="FILE", help="The wallet's profile, where it is none of the built-in ones.")
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="text, or html: one page with nothing loaded; on stdout --json wins over it."),
    ] = Format.TEXT,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file for it; with --json stdout has the document too.")
    ] = None,
    force: Force = False,
) -> int:
    """Check a certificate: everything in it is computed again, nothing that it claims is believed.

    Exit codes: 0 valid and irreversible, 1 invalid or revoked, 3 of the first release or of rules that were mended
    since, or no node could be asked, 74 the output could not be written.

    Example: orchestrator certificate verify closed.json --rpc-url http://127.0.0.1:8545 --format html --output c.html
    """
    try:
        demanded = to_address(signer) if signer is not None else None
    except ValueError as error:
        raise SettingsError(f"--signer: {error}", code="usage") from None
    if output is not None:
        files.require_free(output, code="output_unwritable", force=force)
    asked = rpc_url or ([options.overrides["rpc_url"]] if options.overrides.get("rpc_url") else [])
    data = _read(file)
    from orchestrator.closure.certificate.verifier import verify as check
    from orchestrator.wallet.profile import load_profile

    report = check(data, signer=demanded, profile=None if profile is None else load_profile(profile, earlier=True))
    if asked:
        import asyncio

        from orchestrator.chain.node.canonical import verify_canonical

        report = asyncio.run(verify_canonical(report, asked))
    _show(report, data, form, output, force=force)
    if not report.valid:
        return FAILED
    certain = report.verdict == "irreversible" and not (asked and report.canonical is None)
    return DONE if certain else OPERATOR


def _show(report: CertificateReport, data: bytes, form: Format, output: Path | None, *, force: bool) -> None:
    """SIDE EFFECTS: ``output``, where it is given. Raises SettingsError if it cannot be written."""
    document = report.to_json()
    if output is None and (options.json or form is Format.TEXT):
        emit(document, lambda console: show(console, report))
        return
    if form is Format.HTML:
        import hashlib

        from orchestrator.closure.certificate.rendering import render_html

        text = render_html(report, hashlib.sha256(data).hexdigest())
    else:
        text = json.dumps(document) + "\n" if options.json else _plain(report)
    if output is None:
        write_document(text)
        return
    files.deliver(output, text.encode(), code="output_unwritable", force=force)
    if options.json:
        emit(document, lambda _console: None)
    err().print(f"written to {clean(str(output))}")


def _plain(report: CertificateReport) -> str:
    import io

    from rich.console import Console

    text = io.StringIO()
    show(Console(file=text, highlight=False, emoji=False, width=110, color_system=None), report)
    return text.getvalue()


def show(console: Console, report: CertificateReport) -> None:
    """The report as a person reads it: verdict first, what it rests on, then every check."""
    from orchestrator.closure.certificate.rendering import headline

    tone, word, sentence = headline(report)
    console.print(f"[bold {_TONES[tone]}]{word}[/] {clean(sentence)}")
    if report.valid and report.document is not None:
        console.print()
        rows(console, _glance(report, report.document))
    console.print()
    rows(console, [(_MARKS[item.result], item.name, item.detail) for item in report.checks])
    if report.valid and report.document is not None:
        _lists(console, report.document)


def _glance(report: CertificateReport, document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    from orchestrator.closure.certificate.rendering import canonical_words, means, signer_words

    block = document["block"]
    account = document.get("account", document).get("platform")
    facts = {
        "contract": f"{report.chain_id}:{report.address}",
        "account": None if account is None else f"{account['accountId']} (platform: {account['status']}, as reported)",
        "verdict": f"{report.verdict}: {report.reason}",
        "proven by": means(report, document),
        "block": f"{block['number']} {block['hash']}",
        "canonical": canonical_words(report),
        "signer": signer_words(report),
    }
    return [(f"[bold]{name}[/]", value) for name, value in facts.items() if value is not None]


def _lists(console: Console, document: Mapping[str, Any]) -> None:
    console.print("\n[bold]rests on[/]")
    rows(console, [("  -", item) for item in document["restsOn"]])
    console.print("[bold]left behind[/] (no part of the verdict)")
    rows(console, [("  -", f"{item['kind']}: {item['detail']}") for item in document["residue"][:_SHOWN]])
    if not document["residue"]:
        console.print("  - nothing is listed")
    elif len(document["residue"]) > _SHOWN:
        console.print(f"  - and {len(document['residue']) - _SHOWN} more, in the file")


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            data = source.read(_LARGEST + 1)
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}", code="certificate_unreadable") from error
    if len(data) > _LARGEST:
        raise SettingsError(f"{file} has more than {_LARGEST} bytes: no certificate has", code="certificate_unreadable")
    return data
