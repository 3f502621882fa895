"""``activate``, ``deactivate``, ``reactivate``, ``close``, ``status``, ``resume``, ``resolve``."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import person
from orchestrator.cli.journal_access import warn_if_new
from orchestrator.cli.output import (
    EXIT_CODES,
    clean,
    emit,
    err,
    exit_code,
    fail,
    not_checked,
    options,
    out,
    settings,
    worst,
)
from orchestrator.cli.run import progress, with_orchestrator
from orchestrator.cli.stops import show_stops
from orchestrator.errors import OrchestratorError, SettingsError
from orchestrator.models import AccountId, Outcome

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.app import Orchestrator
    from orchestrator.people import Signatory
    from orchestrator.report import OperationReport, StatusReport

_IDS = "Ids of accounts, or unique beginnings of them (6 characters or more)"
Ids = Annotated[list[str], typer.Argument(metavar="ACCOUNT_ID…", help=f"{_IDS}; - for one a line on stdin.")]
OptionalIds = Annotated[list[str] | None, typer.Argument(metavar="[ACCOUNT_ID]…", help=f"{_IDS}; none: all.")]
Timeout = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Give up waiting after this; nothing is lost.")]
Operation = Callable[["Orchestrator", str], Awaitable["OperationReport"]]


def register(app: typer.Typer) -> None:
    """Adds the commands to the root."""
    for command in (activate, deactivate, reactivate, close, status, resume, resolve):
        app.command()(command)


def activate(account_ids: Ids, timeout: Timeout = 600) -> int:
    """Sign the account's challenge and follow the deployment until it is final.

    Example: orchestrator activate 5df359f0-d299-40a1-8023-17c77a50144c
    """
    return _operate(account_ids, lambda o, account: o.activate(account, timeout=timeout))


def deactivate(account_ids: Ids, timeout: Timeout = 600) -> int:
    """Suspend accounts, checked on the platform and on the chain.

    Example: orchestrator deactivate 5df359f0-d299-40a1-8023-17c77a50144c
    """
    return _operate(account_ids, lambda o, account: o.deactivate(account, timeout=timeout))


def reactivate(account_ids: Ids, timeout: Timeout = 600) -> int:
    """End a suspension, checked on the platform and on the chain.

    Example: orchestrator reactivate 5df359f0-d299-40a1-8023-17c77a50144c
    """
    return _operate(account_ids, lambda o, account: o.reactivate(account, timeout=timeout))


def close(
    account_ids: Ids,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the certificate goes.")] = None,
    timeout: Timeout = 600,
) -> int:
    """Close accounts for ever, prove it, and write the certificate.

    Example: orchestrator close 5df359f0-d299-40a1-8023-17c77a50144c --certificate closed.json
    """
    ids = _full_ids(_ids(account_ids))
    if certificate is not None and len(ids) > 1:
        raise SettingsError(f"--certificate names one file, {len(ids)} accounts were given", code="usage")
    if certificate is not None:
        _writable(certificate)
    if not yes:
        _confirm(ids)
    # What the command shows of its progress would run over a prompt.
    signatory = person.closing_signatory(ids)
    return _operate(ids, lambda o, account: o.close(account, certificate=certificate, timeout=timeout), signatory)


def status(
    account_ids: OptionalIds = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also ask each node, and show its latency and traffic.")
    ] = False,
) -> int:
    """Where each account stands, what it waits for, since when and until when.

    Example: orchestrator status
    """
    ids = _ids(account_ids or [])
    if account_ids and not ids:
        return 0  # an empty list on stdin: nothing was asked

    async def work(orchestrator: Orchestrator) -> StatusReport:
        return await orchestrator.overview(await orchestrator.named(ids, ask="if_unknown"))

    overview = with_orchestrator(work, create=False)
    if verbose:
        _show_nodes()
    if not ids:
        emit(overview.document(), lambda console: _show_all(console, overview.accounts, overview))
        return 0
    if not options.json:
        _show_needs(out(), overview)
    for report in overview.accounts:
        emit(report.document(), lambda console, report=report: show(console, report))  # type: ignore[misc]
    return 0


def resume(timeout: Timeout = 600) -> int:
    """Drive every unfinished account of the journal to its end.

    Example: orchestrator resume --timeout 3600
    """
    warn_if_new()
    with progress() as watch:
        try:
            reports = with_orchestrator(lambda o: o.resume(timeout=timeout), watch=watch)
        except OrchestratorError as error:
            return fail(error, waiting=True)
    emit({"accounts": [report.document() for report in reports]}, lambda console: _show_all(console, reports))
    return worst([EXIT_CODES[report.outcome] for report in reports])


def resolve(
    account_id: Annotated[str, typer.Argument(metavar="ACCOUNT_ID")],
    reason: Annotated[str, typer.Option(help="Why; it is journaled.")],
    retry: Annotated[bool, typer.Option("--retry", help="Let the operation go on.")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="End it as done, on your word.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="End it as failed.")] = False,
) -> int:
    """Decide for an account that waits for an operator.

    Example: orchestrator resolve 5df359f0-d299-40a1-8023-17c77a50144c --retry --reason "the platform mended it"
    """
    chosen = [name for name, given in (("retry", retry), ("accept", accept), ("abandon", abandon)) if given]
    if len(chosen) != 1:
        raise SettingsError("expected exactly one of --retry, --accept, --abandon", code="usage")
    decision: Any = chosen[0]
    from orchestrator.people import system_user

    async def work(orchestrator: Orchestrator) -> OperationReport:
        (whole,) = await orchestrator.named([account_id], ask="never")
        return await orchestrator.resolve(whole, decision, reason=reason, by=system_user())

    report = with_orchestrator(work, create=False)
    emit(report.document(), lambda console: show(console, report))
    return 0


def _operate(account_ids: list[str], operation: Operation, signatory: Signatory | None = None) -> int:
    ids = _ids(account_ids)
    if not ids:
        raise SettingsError("expected at least one account id", code="usage")
    if len(ids) == 1:
        return _operate_one(ids[0], operation, signatory)

    import asyncio

    async def work(orchestrator: Orchestrator) -> list[int]:
        whole = dict.fromkeys(await orchestrator.named(ids, ask="always"))
        return await asyncio.gather(*(_operate_on(orchestrator, account, operation) for account in whole))

    with progress() as watch:
        return worst(with_orchestrator(work, watch=watch, signatory=signatory))


def _operate_one(account_id: str, operation: Operation, signatory: Signatory | None) -> int:
    async def work(orchestrator: Orchestrator) -> OperationReport:
        (whole,) = await orchestrator.named([account_id], ask="always")
        return await operation(orchestrator, whole)

    try:
        with progress() as watch:
            report = with_orchestrator(work, watch=watch, signatory=signatory)
    except OrchestratorError as error:
        return fail(error, waiting=True)
    emit(report.document(), lambda console: show(console, report))
    return EXIT_CODES[report.outcome]


async def _operate_on(orchestrator: Orchestrator, account_id: str, operation: Operation) -> int:
    """One of several accounts: its document on a line, also where it is an error."""
    try:
        report = await operation(orchestrator, account_id)
    except OrchestratorError as error:
        from orchestrator.lifecycle.fold import AccountState
        from orchestrator.report import troubled
        from orchestrator.runbook import advice

        message = f"[red]{clean(account_id)}: {error.code}: {clean(error.message)}[/]"
        message += f"\n  [yellow]→[/] {clean(advice(error))}"
        report = troubled(AccountId(account_id), AccountState(), error)
        emit(report.document(), lambda console: console.print(message))
        return exit_code(error, waiting=True)
    emit(report.document(), lambda console: show(console, report))
    return EXIT_CODES[report.outcome]


def _ids(given: list[str]) -> list[str]:
    ids: list[str] = []
    for word in given:
        ids += [line.strip() for line in sys.stdin if line.strip()] if word == "-" else [word]
    return list(dict.fromkeys(ids))


def _full_ids(ids: list[str]) -> list[str]:
    """Full ids in the place of their beginnings, before anything is shown or asked of the accounts."""
    from orchestrator.account_queries import beginning

    if not any(map(beginning, ids)):
        return ids
    return list(dict.fromkeys(with_orchestrator(lambda o: o.named(ids, ask="always"))))


def _writable(file: Path) -> None:
    """Closing is final: that its certificate can be written is seen before it."""
    if file.is_dir() or not file.parent.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK):
        raise SettingsError(
            f"--certificate {file}: expected a file that can be written, in a folder that is there; nothing was done",
            code="certificate_unwritable",
        )


def _confirm(ids: list[str]) -> None:
    if options.json or not sys.stdin.isatty() or not sys.stderr.isatty():
        raise SettingsError(
            "closing is final: say --yes, or run this on a terminal and without --json to be asked",
            code="confirmation_needed",
        )
    console = err()
    for account_id in ids:
        account, left = with_orchestrator(lambda o, a=account_id: o.preflight(a))  # type: ignore[misc]
        status, wallet = clean(account.status), account.address or "not deployed"
        console.print(f"[bold]{account.account_id}[/] is {status}; wallet {wallet}")
        for what, amount in left.items():
            console.print(f"  {clean(what)}: {clean(amount)}")
        if left.get("wei", "0") != "0" or any(name.startswith("token") for name in left):
            console.print("  [yellow]what the platform does not send out on closing, or arrives later, is locked[/]")
    if not typer.confirm(f"Close {len(ids)} account(s) for ever?", err=True):
        raise SettingsError("not closed: the answer was no, nothing was done", code="not_confirmed")


def _show_nodes() -> None:
    """Each node as it is now; on stderr where documents stand on stdout."""
    import asyncio

    from orchestrator.chain.node.survey import look
    from orchestrator.connect import make_rpc

    console = err() if options.json else out()
    for line in asyncio.run(look(make_rpc(settings()))):
        console.print(clean(line), soft_wrap=True)


def _show_all(console: Console, reports: list[OperationReport], overview: StatusReport | None = None) -> None:
    if overview is not None:
        _show_needs(console, overview)
    if not reports:
        console.print("no accounts in the journal")
    for report in reports:
        show(console, report)


def _show_needs(console: Console, overview: StatusReport) -> None:
    """First what needs a person."""
    show_stops(console, overview.stops)
    decisions, approvals = len(overview.decisions), len(overview.approvals)
    needs = [
        *([f"{decisions} to decide (outcome operator, below)"] if decisions else []),
        *([f"{approvals} to approve (orchestrator approve)"] if approvals else []),
    ]
    if needs:
        console.print(f"[bold magenta]NEEDS A PERSON[/]: {', '.join(needs)}", soft_wrap=True)
    elif overview.accounts and not overview.stops:
        console.print("nothing needs a person")


_COLOURS = {Outcome.DONE: "green", Outcome.FAILED: "red", Outcome.WAITING: "yellow", Outcome.OPERATOR: "magenta"}


def show(console: Console, report: OperationReport) -> None:
    """A report as a person reads it: a headline, then only the lines that say something."""
    colour = _COLOURS[report.outcome]
    console.print(
        f"[bold]{report.account_id}[/]  {report.operation or 'no operation'} [{colour}]{report.outcome}[/]"
        f"  (platform: {clean(report.status or 'unknown')})",
        soft_wrap=True,
    )
    lines: dict[str, str | list[str] | None] = {
        "reference": report.reference,
        "wallet": report.address,
        "block": f"{report.block.number} {report.block.hash} ({report.block.finality})" if report.block else None,
        "NOT checked": not_checked(report.not_checked),
        "waiting for": report.waiting_for,
        "since": f"{report.since:%Y-%m-%d %H:%M:%S} UTC" if report.since and report.waiting_for else None,
        "until": f"{report.deadline:%Y-%m-%d %H:%M:%S} UTC" if report.deadline else None,
        "error": f"{report.error.code}: {report.error.message}" if report.error else None,
        "certificate": report.certificate,
    }
    for name, said in lines.items():
        for text in [said] if isinstance(said, str) else said or ():
            console.print(f"  {name:<12} {clean(text)}", soft_wrap=True)
    if report.error is not None:
        console.print(f"  [yellow]{'→':<12}[/] {clean(report.error.fix)}", soft_wrap=True)
    if report.outcome is Outcome.OPERATOR and not (report.error and report.error.code == "certificate_revoked"):
        console.print(
            f"  decide with  orchestrator resolve {report.account_id} --retry|--accept|--abandon --reason TEXT",
            markup=False,
            soft_wrap=True,
        )
