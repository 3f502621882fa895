"""``orchestrator keys request``: the keys that requests to the platform are signed with (ECDSA P-384).

Thin: the keys are in ``orchestrator.request_signing``, their changes in ``orchestrator.oversight.request_key_changes``.
Every change is journaled.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import person
from orchestrator.cli.journal_access import now, with_journal
from orchestrator.cli.key_views import emit_waiting
from orchestrator.cli.output import DONE, IN_PROGRESS, emit, err, options, settings, table
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.journal.store import Journal
    from orchestrator.oversight.approvals import Waiting
    from orchestrator.oversight.request_key_changes import RequestKeyChanges
    from orchestrator.oversight.request_key_journal import RequestKeyJournal
    from orchestrator.request_signing.key_file import RequestKeyFile
    from orchestrator.request_signing.key_folder import RequestKeyFolder

app = typer.Typer(
    name="request",
    help="The keys that requests to the platform are signed with: create, upload, rotate, revoke.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 of a-z 0-9 . _ - (a letter or digit first).")]


@app.command()
def create(name: Name) -> None:
    """Make a new request-signing key beside the keystore, encrypted under its password. The platform hears nothing.

    Example: orchestrator keys request create request
    """
    folder = _folder()

    async def work(journal: Journal) -> RequestKeyFile:
        import asyncio

        from orchestrator.oversight.request_key_journal import record_changes

        await asyncio.to_thread(folder.create, name)
        await record_changes(folder, await _request_key_journal(journal))
        return await asyncio.to_thread(folder.get, name)

    _emit([with_journal(work)])


@app.command()
def upload(name: Name) -> int:
    """Put a key in use, in the place of the one before it. No request of any process fails for it.

    The platform gets the new key, a read proves that it takes it, and only then is the one before removed: the
    settings' own, or a managed one. What was left in the middle is completed; what is done already stays as it is.

    Example: orchestrator keys request upload request
    """
    return _changed(lambda changes: changes.upload(name), in_use=True)


@app.command()
def rotate(
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The new key's name; made up from the current one's if left out.")
    ] = None,
) -> int:
    """Make a new key and put it in the place of the current one. No request of any process fails for it.

    Example: orchestrator keys request rotate
    """
    return _changed(lambda changes: changes.rotate(name), in_use=True)


@app.command()
def revoke(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    emergency: Annotated[
        bool, typer.Option("--emergency", help="The key was stolen: end it at once, without anybody's approval.")
    ] = False,
) -> int:
    """Remove a key at the platform, and its private half here. After the current one's end NO request is taken.

    A key that may be known to others is better rotated: that ends it, and the work goes on. Where that would wait for
    an approval, --emergency ends it now, by one person; the next upload takes an approval.

    Example: orchestrator keys request revoke request --yes
    """
    file = _folder().get(name)
    if file.state in ("current", "revoking") and not yes:
        _confirm(name)
    return _changed(lambda changes: changes.revoke(name, emergency=emergency))


@app.command("list")
def list_() -> None:
    """List the request-signing keys; needs no password.

    Example: orchestrator keys request list --json
    """
    _emit(_folder().list())


@app.command()
def show(name: Name) -> None:
    """Show one request-signing key; needs no password, and never shows the private half.

    Example: orchestrator keys request show request
    """
    _emit([_folder().get(name)])


def _folder() -> RequestKeyFolder:
    from orchestrator.connect import make_request_keys

    return make_request_keys(settings())


def _changed(work: Callable[[RequestKeyChanges], Awaitable[RequestKeyFile]], *, in_use: bool = False) -> int:
    """Makes a change and reports it. Waiting for an approval is no error: exit 75, and the same command again goes on.
    ``in_use``: the key is the platform's now."""
    from orchestrator.oversight.approvals import Waiting

    result = _change(work)
    if isinstance(result, Waiting):
        emit_waiting(result, [], requestKeys=[])
        return IN_PROGRESS
    _emit([result])
    if in_use:
        _warn_of_settings_key()
    return DONE


def _change(work: Callable[[RequestKeyChanges], Awaitable[RequestKeyFile]]) -> RequestKeyFile | Waiting:
    """Runs one change with the platform and the journal. Raises before anything is sent if either is not there."""
    from orchestrator.connect import PLATFORM_SETTINGS, make_platform

    given, folder = settings(), _folder()
    given.need(*PLATFORM_SETTINGS)

    async def body(journal: Journal) -> RequestKeyFile | Waiting:
        from orchestrator.oversight.request_key_changes import RequestKeyChanges
        from orchestrator.oversight.request_key_journal import AwaitsApproval

        async with make_platform(given, folder, without_key=True) as client:
            try:
                return await work(RequestKeyChanges(client, folder, await _request_key_journal(journal)))
            except AwaitsApproval as awaits:
                return awaits.waiting

    return with_journal(body)


async def _request_key_journal(journal: Journal) -> RequestKeyJournal:
    from orchestrator.oversight.request_key_journal import RequestKeyJournal
    from orchestrator.people import system_user
    from orchestrator.signers.signing_log import keystore_id

    of_settings, signatory = await person.ruleset_and_signatory(journal)
    return RequestKeyJournal(journal, keystore_id(settings().keystore), of_settings, system_user(), now, signatory)


def _confirm(name: str) -> None:
    if options.json or not sys.stdin.isatty() or not sys.stderr.isatty():
        raise SettingsError(
            "after this the platform takes no request until another key is uploaded: say --yes, or run this on a "
            "terminal and without --json to be asked",
            code="confirmation_needed",
        )
    if not typer.confirm(f"Remove request-signing key {name}? No request is taken after that.", err=True):
        raise SettingsError("not revoked: the answer was no, nothing was done", code="not_confirmed")


def _warn_of_settings_key() -> None:
    if settings().signing_key is not None and settings().signing_key_id:
        err().print(
            "[yellow]→[/] Unset ORCHESTRATOR_SIGNING_KEY (or _FILE) and ORCHESTRATOR_SIGNING_KEY_ID: they name a key "
            "that is no longer the platform's."
        )


def _emit(files: Sequence[RequestKeyFile]) -> None:
    document: dict[str, Any] = {
        "requestKeys": [
            {
                "name": file.name,
                "state": str(file.state),
                "keyId": file.key_id,
                "fingerprint": file.fingerprint,
                "createdAt": file.created_at,
                "changedAt": file.changed_at,
            }
            for file in files
        ]
    }

    def human(console: Console) -> None:
        if not files:
            console.print("no keys; make one with: orchestrator keys request create NAME")
            return
        rows = [(file.name, str(file.state), file.key_id or "-", file.changed_at, file.fingerprint) for file in files]
        table(console, ("name", "state", "key id", "changed", "SHA-256"), rows)

    emit(document, human)
