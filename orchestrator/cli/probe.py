"""``probe``: the settings that a platform takes, where its documentation leaves a choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.output import DONE, clean, emit, err, settings
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Adds the command to the root."""
    app.command()(probe)


def probe(
    yes_modify: Annotated[
        bool,
        typer.Option(
            "--yes-modify", help="Also modify: one POST to an account that does not exist, and what --account allows."
        ),
    ] = False,
    account: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="An ACTIVE account to deactivate and activate again, with its cards; needs --yes-modify."
        ),
    ] = None,
) -> int:
    """Try the choices that the platform's documentation leaves open, the published one first, and print the settings
    that work: as variables, as TOML, and what could not be settled.

    It says on stderr what it sends, before it sends it. Without --yes-modify it only logs in and reads.

    Example: orchestrator probe > platform.env
    """
    import asyncio

    from orchestrator.platform.probe import probe as run

    if account is not None and not yes_modify:
        raise SettingsError("--account changes that account's state: it needs --yes-modify", code="usage")
    from orchestrator.connect import make_request_keys, platform_settings

    given = settings()
    keys = make_request_keys(given)
    start = platform_settings(given, keys)

    def report(line: str) -> None:
        err().print(clean(line), soft_wrap=True)

    report(f"platform: {start.base_url}")
    report(
        "plan: log in; read GET /accounts under several signatures"
        + ("; POST to an account that does not exist" if yes_modify else "; nothing is changed")
        + (f"; deactivate and activate {account}" if account else "")
    )
    managed = None if start.signing_key_id else keys
    result = asyncio.run(run(start, modify=yes_modify, account_id=account, report=report, request_keys=managed))

    def human(console: Console) -> None:
        for name, value in result.environment().items():
            console.print(f"{name}={clean(value)}", soft_wrap=True)
        console.print("# as TOML, for the file that --config names:")
        for line in result.toml().splitlines():
            console.print(f"# {clean(line)}", soft_wrap=True)
        for remark in result.remarks:
            console.print(f"# {clean(remark)}", soft_wrap=True)
        for question in result.unsettled:
            console.print(f"# not settled: {clean(question)}", soft_wrap=True)

    emit(
        {
            "settings": result.environment(),
            "toml": result.toml(),
            "remarks": list(result.remarks),
            "unsettled": list(result.unsettled),
        },
        human,
    )
    return DONE
