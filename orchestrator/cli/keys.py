"""``orchestrator keys``: managed keys. Thin: the work is in ``orchestrator.signers``, imported when a command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.context import settings
from orchestrator.cli.output import clean, emit
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from orchestrator.signers import KeyInfo, Keystore, PasswordSource, Secret

app = typer.Typer(name="keys", help="Managed keys: create, import, list, show, rotate, disable.", no_args_is_help=True)

_MAX_KEY_FILE = 4096

Name = Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 of a-z 0-9 . _ - (a letter or digit first).")]


@app.command()
def create(name: Name) -> None:
    """Make a new key, encrypted under the keystore's password.

    Example: orchestrator keys create alice
    """
    _emit([_keystore().create(name)])


@app.command("import")
def import_(
    name: Name,
    private_key_file: Annotated[
        Path | None, typer.Option(help="A file (mode 0600) with the private key, 64 hexadecimal digits.")
    ] = None,
    keystore_file: Annotated[Path | None, typer.Option(help="A Web3 Secret Storage file of another tool.")] = None,
    keystore_file_password_file: Annotated[
        Path | None, typer.Option(help="A file (mode 0600) with that file's password; asked for if left out.")
    ] = None,
) -> None:
    """Take over a key: from a file, or (neither option given) a private key from the terminal or standard input.

    Example: orchestrator keys import alice --keystore-file ./UTC--2026-01-01T00-00-00Z--0123abcd
    """
    if private_key_file is not None and keystore_file is not None:
        raise SettingsError("expected one of --private-key-file and --keystore-file, got both", code="usage")
    if keystore_file_password_file is not None and keystore_file is None:
        raise SettingsError("--keystore-file-password-file needs --keystore-file", code="usage")
    if keystore_file is not None:
        _emit([_keystore().import_file(name, keystore_file, _password(keystore_file_password_file))])
    else:
        _emit([_keystore().import_key(name, _private_key(private_key_file))])


@app.command("list")
def list_() -> None:
    """List names and addresses; needs no password. Files that cannot be read are named, and do not hide the others.

    Example: orchestrator keys list --json
    """
    scan = _keystore().scan()
    _emit(scan.keys, [{"code": error.code, "message": error.message} for error in scan.unreadable])


@app.command()
def show(name: Name) -> None:
    """Show one key's address and state; needs no password, and never shows the private key.

    Example: orchestrator keys show alice
    """
    _emit([_keystore().get(name)])


@app.command()
def rotate(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The keys to encrypt anew.")],
    new_password_file: Annotated[
        Path | None, typer.Option(help="A file (mode 0600) with the new password; asked for if left out.")
    ] = None,
) -> None:
    """Encrypt keys under a new password; the addresses stay. Rotate all keys of a keystore, then change the setting.

    Example: orchestrator keys rotate alice bob --new-password-file ./new-password
    """
    keystore, password = _keystore(), _password(new_password_file)
    for name in names:
        keystore.get(name)  # a wrong name is refused before anything is written
    _emit([keystore.rotate(name, password) for name in names])


@app.command()
def disable(name: Name) -> None:
    """Take a key out of use; it stays on disk. Needs no password.

    Example: orchestrator keys disable alice
    """
    _emit([_keystore().disable(name)])


@app.command()
def enable(name: Name) -> None:
    """Put a disabled key back into use. Needs no password.

    Example: orchestrator keys enable alice
    """
    _emit([_keystore().enable(name)])


def _keystore() -> Keystore:
    from orchestrator.connect import open_keystore

    return open_keystore(settings())


def _password(file: Path | None) -> PasswordSource:
    from orchestrator.signers import FilePassword, PromptPassword

    return PromptPassword() if file is None else FilePassword(file)


def _private_key(file: Path | None) -> Secret:
    """From the file, else from the terminal without echo, else the first line of standard input."""
    import getpass

    from orchestrator.signers import FilePassword, Secret

    if file is not None:
        return FilePassword(file).password("private key")
    if is_terminal():
        return Secret(getpass.getpass("Private key (64 hexadecimal digits): "))
    return Secret(sys.stdin.readline(_MAX_KEY_FILE))


def is_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()


def _emit(keys: Sequence[KeyInfo], unreadable: Sequence[dict[str, str]] = ()) -> None:
    document: dict[str, Any] = {
        "keys": [
            {"name": key.name, "address": key.address, "backend": key.backend, "disabled": key.disabled} for key in keys
        ]
    }
    if unreadable:
        document["unreadable"] = list(unreadable)

    def human(console: Console) -> None:
        from rich.table import Table

        table = Table("name", "address", "backend", "state", box=None)
        for key in keys:
            table.add_row(key.name, key.address, key.backend, "disabled" if key.disabled else "enabled")
        console.print(table if keys else "no keys; make one with: orchestrator keys create NAME")
        for error in unreadable:
            console.print(f"[red]{clean(error['message'])}[/]")

    emit(document, human)
