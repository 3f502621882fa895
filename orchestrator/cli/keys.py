"""``orchestrator keys``: managed keys. Thin: the keys are in ``orchestrator.signers``, their changes in
``orchestrator.oversight.key_changes``; both are imported when a command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import person
from orchestrator.cli.journal_access import drain, now, with_journal
from orchestrator.cli.key_views import emit_keys, emit_waiting, show_keys
from orchestrator.cli.output import DONE, IN_PROGRESS, clean, described, err, settings
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from coincurve import PrivateKey

    from orchestrator.journal.store import Journal
    from orchestrator.models import Address, ChainAccount
    from orchestrator.oversight.approvals import Waiting
    from orchestrator.oversight.key_changes import Changed, KeyChanges
    from orchestrator.passwords import PasswordSource, Secret
    from orchestrator.ports.signers import KeyInfo
    from orchestrator.signers.keyring import Keyring

app = typer.Typer(
    name="keys", help="Managed keys: create, import, bind, list, show, rotate, disable, enable.", no_args_is_help=True
)

_MAX_KEY_FILE = 4096

Name = Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 of a-z 0-9 . _ - (a letter or digit first).")]
Uri = Annotated[
    str | None,
    typer.Option(metavar="URI", help="Where the key is: pkcs11:…, awskms://…, rpc+https://… (none: in the keystore)."),
]
Chains = Annotated[
    list[str] | None,
    typer.Option("--chain", metavar="CAIP-2", help="Let it sign for its own address on this chain. Repeatable."),
]
Wallets = Annotated[
    list[str] | None,
    typer.Option("--wallet", metavar="CAIP-10", help="The customer's wallet that it may sign for. Repeatable."),
]


@app.command()
def create(name: Name, uri: Uri = None, chain: Chains = None) -> int:
    """Make a new key, encrypted under the keystore's password, or (--uri) in an HSM or a service that keeps it.

    Example: orchestrator keys create alice --chain eip155:1
    """
    from orchestrator.models import ChainId
    from orchestrator.oversight.key_changes import KeyChange

    chains = tuple(dict.fromkeys(ChainId.parse(text) for text in chain or ()))
    keyring = _keyring()
    change = KeyChange("created", name, None, uri=uri, chains=chains)
    return _changed(
        lambda changes: changes.make(change, lambda: keyring.create(name, uri=uri, chains=chains)),
        keyring,
        name,
    )


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
    uri: Uri = None,
    chain: Chains = None,
    wallet: Wallets = None,
) -> int:
    """Take over a key: from a file, of a back end (--uri), or (none of them) from the terminal or standard input.

    Example: orchestrator keys import alice --keystore-file ./UTC--2026-01-01T00-00-00Z--0123abcd
    """
    given = {"--private-key-file": private_key_file, "--keystore-file": keystore_file, "--uri": uri}
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1:
        raise SettingsError(f"expected one of {', '.join(given)}, got {' and '.join(named)}", code="usage")
    if keystore_file_password_file is not None and keystore_file is None:
        raise SettingsError("--keystore-file-password-file needs --keystore-file", code="usage")

    from orchestrator import eip191, files
    from orchestrator.oversight.key_changes import KeyChange
    from orchestrator.passwords import Secret
    from orchestrator.signers import key_files

    keyring = _keyring()
    if uri is not None:
        place: str = uri
        address = keyring.address_at(uri)
        wallets = _wallets_of(wallet, chain, address)
        attached = KeyChange("attached", name, address, uri=uri, wallets=wallets)
        return _changed(
            lambda changes: changes.make(attached, lambda: keyring.attach(name, place, wallets)), keyring, name
        )
    key: PrivateKey
    if keystore_file is not None:
        key = key_files.open_file(keystore_file, _password(keystore_file_password_file))
        if files.open_to_others(keystore_file.stat()):
            err().print(
                f"[yellow]note[/]: other users can open {clean(str(keystore_file))}: type chmod 600, or delete it once "
                "the key is in use here",
                soft_wrap=True,
            )
    else:
        key = key_files.parse_private_key(_private_key(private_key_file), name)
    address = eip191.address_of(key.public_key)
    wallets = _wallets_of(wallet, chain, address)
    imported = KeyChange("imported", name, address, wallets=wallets)
    return _changed(
        lambda changes: changes.make(
            imported, lambda: keyring.import_key(name, Secret(key.secret.hex()), wallets=wallets)
        ),
        keyring,
        name,
    )


@app.command()
def bind(name: Name, wallet: Wallets = None, chain: Chains = None) -> int:
    """Let a key sign for one more wallet: its own address on one more chain.

    Example: orchestrator keys bind alice --wallet eip155:1:0x2c7536E3605D9C16a7a3D7b1898e529396a65c23
    """
    from orchestrator.oversight.key_changes import KeyChange

    keyring = _keyring()
    info = keyring.get(name)
    wallets = _wallets_of(wallet, chain, info.address)
    if not wallets:
        raise SettingsError("expected --wallet or --chain, got neither", code="usage")
    for one in wallets:
        if one.address != info.address:
            raise SettingsError(
                f"key {name!r}: expected a wallet with the key's own address {info.address}, got {one}",
                code="key_binding",
            )
    change = KeyChange("bound", name, info.address, uri=info.uri, wallets=wallets)

    def act() -> KeyInfo:
        for one in wallets:
            keyring.bind(name, one)
        return keyring.get(name)

    return _changed(lambda changes: changes.make(change, act), keyring, name)


@app.command("list")
def list_() -> None:
    """List names and addresses; needs no password. Files that cannot be read are named, and do not hide the others.

    Example: orchestrator keys list --json
    """
    scan = _keyring().scan()
    show_keys(scan.keys, [described(error) for error in scan.unreadable])


@app.command()
def show(name: Name) -> None:
    """Show one key's address, wallets and state; needs no password, and never shows the private key.

    Example: orchestrator keys show alice
    """
    show_keys([_keyring().get(name)])


@app.command()
def rotate(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The keys to encrypt anew.")],
    new_password_file: Annotated[
        Path | None, typer.Option(help="A file (mode 0600) with the new password; asked for if left out.")
    ] = None,
) -> int:
    """Encrypt keys under a new password; the addresses stay. Rotate all keys of a keystore, then change the setting.

    Example: orchestrator keys rotate alice bob --new-password-file ./new-password
    """
    from orchestrator.oversight.approvals import Waiting
    from orchestrator.oversight.key_changes import KeyChange

    keyring, password = _keyring(), _password(new_password_file)
    infos = [keyring.get(name) for name in dict.fromkeys(names)]  # a wrong name is refused before anything is written
    for info in infos:
        if info.uri is not None:
            keyring.rotate(info.name, password)  # says where its secret is changed instead

    async def work(changes: KeyChanges) -> list[Changed] | Waiting:
        wanted = [KeyChange("rotated", info.name, info.address) for info in infos]
        allowed = [await changes.authorise(change) for change in wanted]
        waiting = [one for one in allowed if isinstance(one, Waiting)]
        if waiting:
            return waiting[0]
        return [
            await changes.apply(change, granted, lambda name=change.name: keyring.rotate(name, password))  # type: ignore[misc]
            for change, granted in zip(wanted, allowed, strict=True)
            if not isinstance(granted, Waiting)
        ]

    return _changed(work, keyring, *(info.name for info in infos))


@app.command()
def disable(name: Name) -> int:
    """Take a key out of use at once; it stays on disk. Needs no password and nobody's approval.

    Example: orchestrator keys disable alice
    """
    return _changed(lambda changes: changes.disable(name), _keyring(), name)


@app.command()
def enable(name: Name) -> int:
    """Put a disabled key back into use. Needs no password; approvals where the policy asks for them.

    Example: orchestrator keys enable alice
    """
    from orchestrator.oversight.key_changes import KeyChange

    keyring = _keyring()
    info = keyring.get(name)
    change = KeyChange("enabled", name, info.address, uri=info.uri)
    return _changed(lambda changes: changes.make(change, lambda: keyring.enable(name)), keyring, name)


# --- inside ----------------------------------------------------------------------------------------------------------


def _keyring() -> Keyring:
    from orchestrator.connect import make_keystore

    return make_keystore(settings())


def _changed(
    work: Callable[[KeyChanges], Awaitable[Changed | list[Changed] | Waiting]], keyring: Keyring, *names: str
) -> int:
    """Makes a change and reports it. Waiting for an approval is no error: exit 75; the same command goes on."""
    from orchestrator.oversight.approvals import Waiting

    async def body(journal: Journal) -> Changed | list[Changed] | Waiting:
        from orchestrator.oversight.key_changes import KeyChanges
        from orchestrator.people import system_user

        # The signatory's password is asked for only if there is something to ask for.
        of_settings, signatory = await person.ruleset_and_signatory(journal)
        return await work(KeyChanges(journal, keyring, of_settings, system_user(), now, signatory, drain(journal)))

    result = with_journal(body)
    if isinstance(result, Waiting):
        emit_waiting(result, [info for info in keyring.scan().keys if info.name in names])
        return IN_PROGRESS
    changes = result if isinstance(result, list) else [result]
    if not any(change.journaled for change in changes):
        err().print("[yellow]all was so already[/]: nothing was changed")
    emit_keys([change.key for change in changes])
    return DONE


def _wallets_of(wallets: list[str] | None, chains: list[str] | None, address: Address) -> tuple[ChainAccount, ...]:
    from orchestrator.models import ChainAccount, ChainId

    named = [ChainAccount.parse(text) for text in wallets or ()]
    own = [ChainAccount(ChainId.parse(text), address) for text in chains or ()]
    return tuple(dict.fromkeys((*named, *own)))


def _password(file: Path | None) -> PasswordSource:
    from orchestrator.passwords import FilePassword, PromptPassword

    return PromptPassword() if file is None else FilePassword(file)


def _private_key(file: Path | None) -> Secret:
    """From the file, else from the terminal without echo, else the first line of standard input."""
    import getpass

    from orchestrator.passwords import FilePassword, Secret

    if file is not None:
        return FilePassword(file).password("private key")
    if is_terminal():
        return Secret(getpass.getpass("Private key (64 hexadecimal digits): "))
    return Secret(sys.stdin.readline(_MAX_KEY_FILE))


def is_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()
