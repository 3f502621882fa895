"""``probe``: the settings that a platform takes, where its documentation leaves a choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.output import DONE, clean, emit, err, settings
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.platform.settings import PlatformSettings


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
    """Try the choices that the platform's documentation leaves open, and print the settings that work.

    It says on stderr what it sends, before it sends it. Without --yes-modify it only logs in and reads.

    Example: orchestrator probe > platform.env
    """
    import asyncio

    from orchestrator.platform.probe import probe as run

    if account is not None and not yes_modify:
        raise SettingsError("--account changes that account's state: it needs --yes-modify", code="usage")
    tried = _platform_settings()

    def report(line: str) -> None:
        err().print(clean(line), soft_wrap=True)

    report(f"platform: {tried.base_url}")
    report(
        "plan: log in; read GET /accounts under several signatures; read its pages"
        + ("; POST to an account that does not exist" if yes_modify else "; nothing is changed")
        + (f"; deactivate and activate {account}" if account else "")
    )
    result = asyncio.run(run(tried, modify=yes_modify, account_id=account, report=report))

    def human(console: Console) -> None:
        for name, value in result.environment().items():
            console.print(f"{name}={clean(value)}", soft_wrap=True)
        for remark in result.remarks:
            console.print(f"# {clean(remark)}", soft_wrap=True)

    emit({"settings": result.environment(), "remarks": list(result.remarks)}, human)
    return DONE


def _platform_settings() -> PlatformSettings:
    """What to start from. Raises SettingsError ``settings_missing``."""
    from pydantic import SecretStr

    from orchestrator.platform.settings import PlatformSettings

    given = settings()
    given.need("platform_url", "api_key", "api_secret", "signing_key", "signing_key_id")
    return PlatformSettings(
        base_url=given.platform_url or "",
        api_key=given.api_key or "",
        api_secret=given.api_secret or SecretStr(""),
        signing_key_pem=given.signing_key or SecretStr(""),
        signing_key_id=given.signing_key_id or "",
        covered_components=given.covered_components,
        signature_label=given.signature_label,
        digest_algorithm=given.digest_algorithm,
    )
