"""``orchestrator wallets``: the profiles of wallets. Needs no journal and no platform; signs and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.output import DONE, FAILED, OPERATOR, Force, clean, emit, err, fail, rows
from orchestrator.cli.output import settings as read_settings
from orchestrator.errors import ChainError, SettingsError
from orchestrator.models import AccountId, Address, canonical_uuid, to_address

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.chain.node.one_wallet import Checked
    from orchestrator.settings import Settings
    from orchestrator.wallet.checking import Row
    from orchestrator.wallet.reading import Profile

app = typer.Typer(name="wallets", help="Profiles of wallets: list them, check one, draft one.", no_args_is_help=True)

_MARKS = {"holds": "[green]holds[/]", "fails": "[bold red]DOES NOT HOLD[/]", "unknown": "[yellow]cannot be told[/]"}
_LOCATED = {
    "event": "by the account that the factory's event names",
    "registry": "by the registry's getter",
    "platform": "by the address that the platform names",
}


@app.command("list")
def list_() -> int:
    """List the built-in profiles and the one that is in force.

    Example: orchestrator wallets list
    """
    from orchestrator.connect import make_profile
    from orchestrator.wallet.profile import BUILT_IN, load_profile

    settings = read_settings()
    mine = make_profile(settings)
    built_in = {name: load_profile(name) for name in BUILT_IN}
    found = [*built_in.values(), *(() if mine.name in built_in else (mine,))]
    document = {
        "profiles": [
            {**_described(profile), "builtIn": profile.name in built_in, "inForce": profile.id == mine.id}
            for profile in found
        ]
    }

    def human(console: Console) -> None:
        for number, profile in enumerate(found):
            force = " [green](in force)[/]" if profile.id == mine.id else ""
            console.print(f"{'' if number == 0 else chr(10)}[bold]{clean(profile.name)}[/]{force}", soft_wrap=True)
            _show(console, profile)

    emit(document, human)
    return DONE


@app.command()
def check(
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="A built-in profile's name, or a file (TOML).")],
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A wallet to hold against it, at the settings' node.")
    ] = None,
    account_id: Annotated[str | None, typer.Option(metavar="UUID", help="The account that the wallet is of.")] = None,
    owner: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Who has to own the wallet.")] = None,
) -> int:
    """Read a profile and say what it checks and what it cannot; with --address, hold a wallet against it.

    Exit codes: 0 valid, and all of the wallet holds; 1 something does not; 2 the profile is invalid; 3 something could
    not be read.

    Example: orchestrator wallets check smart-wallet
    """
    import asyncio

    from orchestrator.wallet.profile import load_profile

    found = load_profile(profile)
    if address is None and (account_id or owner):
        raise SettingsError("--account-id and --owner go with --address", code="usage")
    checked: Checked | None = None
    if address is not None:
        settings = read_settings()
        settings.need("rpc_url")
        question = _address("--address", address), _account(account_id), owner and _address("--owner", owner)
        try:
            checked = asyncio.run(_check(settings, found, *question))
        except ChainError as error:
            fail(error, waiting=False)
            return OPERATOR
    document = {
        **_described(found),
        "wallet": None if checked is None else _wallet_document(address or "", checked),
    }

    def human(console: Console) -> None:
        console.print(f"[green]valid[/]: {clean(found.name)}", soft_wrap=True)
        _show(console, found)
        if checked is not None:
            console.print(f"\nAt block {checked.block.number} {checked.block.hash}:", soft_wrap=True)
            rows(console, [(_MARKS[row.result], clean(row.check), _said(row)) for row in checked.rows])

    emit(document, human)
    results = {row.result for row in checked.rows} if checked is not None else set()
    return FAILED if "fails" in results else OPERATOR if "unknown" in results else DONE


@app.command()
def learn(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="A deployed wallet.")],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the draft here, not to stdout.")] = None,
    force: Force = False,
) -> int:
    """Write a draft of a profile from a deployed wallet; each line says whether it was found or guessed.

    Example: orchestrator wallets learn 0x5FbDB2315678afecb367f032d93F642f64180aa3 --output my-wallet.toml
    """
    import asyncio

    from orchestrator import files
    from orchestrator.wallet.draft import draft

    wallet = _address("ADDRESS", address)
    settings = read_settings()
    settings.need("rpc_url")
    if output is not None:
        files.require_free(output, code="output_unwritable", force=force)
    try:
        text = draft(asyncio.run(_learn(settings, wallet)))
    except ChainError as error:
        fail(error, waiting=False)
        return OPERATOR
    if output is not None:
        files.deliver(output, text.encode(), code="output_unwritable", force=force)
    document = {"address": wallet, "profile": text, "file": None if output is None else str(output)}

    def human(console: Console) -> None:
        if output is None:
            console.print(text, markup=False, end="", soft_wrap=True)

    emit(document, human)
    todo = [number for number, line in enumerate(text.split("\n"), start=1) if '"TODO' in line]
    listed = ", ".join(map(str, todo))
    err().print(f"[yellow]to be filled in[/]: lines {listed}; then: orchestrator wallets check FILE", soft_wrap=True)
    return DONE


# --- reading ----------------------------------------------------------------------------------------------------------


async def _check(
    settings: Settings, profile: Profile, wallet: Address, account: AccountId | None, owner: Any
) -> Checked:
    from orchestrator.chain.node.one_wallet import check_wallet
    from orchestrator.connect import make_rpc
    from orchestrator.wallet.checking import Question

    async with make_rpc(settings) as rpc:
        question = Question(wallet, account, settings.factory, owner or None)
        return await check_wallet(rpc, profile, question, settings.factory_block)


async def _learn(settings: Settings, wallet: Address) -> Any:
    from orchestrator.chain.node.learning import learn as learned
    from orchestrator.connect import make_rpc

    async with make_rpc(settings) as rpc:
        return await learned(rpc, wallet)


def _address(what: str, text: str) -> Address:
    try:
        return to_address(text.strip())
    except ValueError as error:
        raise SettingsError(f"{what}: {error}", code="usage") from None


def _account(text: str | None) -> AccountId | None:
    if text is None:
        return None
    try:
        return AccountId(canonical_uuid(text.strip()))
    except ValueError as error:
        raise SettingsError(f"--account-id: {error}", code="usage") from None


# --- what is told -----------------------------------------------------------------------------------------------------


def _described(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "sha256": profile.sha256,
        "kind": profile.kind,
        "accepts": [release.name for release in profile.accepts],
        "locatedBy": profile.located_by,
        "tie": profile.tie,
        "notChecked": list(profile.unchecked),
    }


def _wallet_document(address: str, checked: Checked) -> dict[str, Any]:
    return {
        "address": to_address(address.strip()),
        "chainId": str(checked.chain_id),
        "block": {"number": checked.block.number, "hash": checked.block.hash},
        "rows": [
            {"check": row.check, "source": row.source, "value": row.value, "result": row.result, "detail": row.detail}
            for row in checked.rows
        ],
    }


def _show(console: Console, profile: Profile) -> None:
    facts = [
        ("title", profile.title),
        ("code", f"{profile.kind}: {', '.join(release.name for release in profile.accepts)}"),
        ("wallet", f"located {_LOCATED[profile.located_by]}"),
        ("not checked", ", ".join(profile.unchecked) or "nothing: every check is made"),
        ("sha256", profile.sha256),
        *([("[yellow]note[/]", profile.tie)] if profile.tie else []),
    ]
    rows(console, [(f"  {name}", text) for name, text in facts])


def _said(row: Row) -> str:
    return f"{row.source}: {row.value or 'nothing'}{f' ({row.detail})' if row.detail else ''}"
