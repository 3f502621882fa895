"""``orchestrator keys request``: the keys that requests to the platform are signed with (ECDSA P-384).

Thin: the files are ``orchestrator.signers.request_keys``, the platform's side ``orchestrator.platform.request_keys``.
Every change is journaled.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.context import options, settings
from orchestrator.cli.office import now, with_journal
from orchestrator.cli.output import clean, emit, err
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.journal.store import Journal
    from orchestrator.lifecycle.oversight import Oversight
    from orchestrator.lifecycle.oversight_events import RequestKeyChanged
    from orchestrator.lifecycle.recorded import Event
    from orchestrator.platform.key_files import KeyFile
    from orchestrator.platform.request_keys import RequestKeyChanges
    from orchestrator.signers.request_keys import RequestKeyFolder

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
    files = _files()

    async def work(journal: Journal) -> KeyFile:
        import asyncio

        from orchestrator.platform.key_files import record_changes

        await asyncio.to_thread(files.create, name)
        await record_changes(files, _recorder(journal), by=_actor())
        return await asyncio.to_thread(files.get, name)

    _emit([with_journal(work)])


@app.command()
def upload(name: Name) -> None:
    """Make a key the platform's, in the place of the one before it. No request of any process fails for it.

    The request is signed with the key in use: the settings' own, or a managed one; a first key goes unsigned. What was
    left in the middle is completed; what is done already stays as it is.

    Example: orchestrator keys request upload request
    """
    _emit([_change(lambda changes: changes.upload(name))])
    _warn_of_settings_key()


@app.command()
def rotate(
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The new key's name; made up from the current one's if left out.")
    ] = None,
) -> None:
    """Make a new key and put it in the place of the current one. No request of any process fails for it.

    Example: orchestrator keys request rotate
    """
    _emit([_change(lambda changes: changes.rotate(name))])
    _warn_of_settings_key()


@app.command()
def revoke(name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Remove a key at the platform, and its private half here. After the current one's end NO request is taken.

    A key that may be known to others is better rotated: that ends it, and the work goes on.

    Example: orchestrator keys request revoke request --yes
    """
    file = _files().get(name)
    if file.state in ("current", "revoking") and not yes:
        _confirm(name)
    _emit([_change(lambda changes: changes.revoke(name))])


@app.command()
def adopt(
    name: Name,
    key_id: Annotated[str, typer.Option("--key-id", metavar="ID", help="The key's id, as the platform shows it.")],
) -> None:
    """Settle an upload whose answer was lost for good, with the key's id from the platform's console.

    It counts only if the platform answers a read that is signed with this very key.

    Example: orchestrator keys request adopt request --key-id 5df359f0-d299-40a1-8023-17c77a50144c
    """
    _emit([_change(lambda changes: changes.adopt(name, key_id))])
    _warn_of_settings_key()


@app.command("list")
def list_() -> None:
    """List the request-signing keys; needs no password.

    Example: orchestrator keys request list --json
    """
    _emit(_files().list())


@app.command()
def show(name: Name) -> None:
    """Show one request-signing key; needs no password, and never shows the private half.

    Example: orchestrator keys request show request
    """
    _emit([_files().get(name)])


def _files() -> RequestKeyFolder:
    from orchestrator.connect import open_request_keys

    return open_request_keys(settings())


def _change(work: Callable[[RequestKeyChanges], Awaitable[KeyFile]]) -> KeyFile:
    """Runs one change with the platform and the journal. Raises before anything is sent if either is not there."""
    from orchestrator.connect import PLATFORM_SETTINGS, open_platform

    given, files = settings(), _files()
    given.need(*PLATFORM_SETTINGS)

    async def body(journal: Journal) -> KeyFile:
        from orchestrator.platform.request_keys import RequestKeyChanges

        async with open_platform(given, files, without_key=True) as client:
            changes = RequestKeyChanges(client, files, record=_recorder(journal), by=_actor())
            await changes.record()  # what a command before this one could not
            return await work(changes)

    return with_journal(body)


def _recorder(journal: Journal) -> Callable[[RequestKeyChanged], Awaitable[None]]:
    from orchestrator.oversight.records import record

    async def append(event: RequestKeyChanged) -> None:
        def decide(oversight: Oversight, _at: object) -> Sequence[Event]:
            last = oversight.request_keys.get(event.name)
            known = last is not None and (last.action, last.fingerprint) == (event.action, event.fingerprint)
            return [] if known else [event]

        await record(journal, decide, now)

    return append


def _actor() -> str:
    from orchestrator.steps.people import system_user

    return system_user()


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


def _emit(files: Sequence[KeyFile]) -> None:
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
        from rich.table import Table

        table = Table("name", "state", "key id", "changed", "fingerprint (SHA-256)", box=None)
        for file in files:
            key_id = clean(file.key_id or "-")
            table.add_row(file.name, str(file.state), key_id, file.changed_at, file.fingerprint)
        console.print(table if files else "no keys; make one with: orchestrator keys request create NAME")

    emit(document, human)
