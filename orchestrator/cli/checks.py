"""``doctor``, ``schema``, ``serve``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.output import DONE, FAILED, clean, emit, err, settings
from orchestrator.cli.streams import write_document
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Adds the commands to the root."""
    for command in (doctor, schema, serve):
        app.command()(command)


def doctor() -> int:
    """Check settings, clock, platform, node, keys and database, and say what to do about each.

    Example: orchestrator doctor
    """
    import asyncio

    from orchestrator.doctor import Check, examine
    from orchestrator.runbook import advice

    try:
        checks = asyncio.run(examine(settings()))
    except SettingsError as error:
        checks = [Check("settings", False, f"{error.code}: {error.message}", advice(error))]
    ok = all(check.ok for check in checks)
    document = {
        "ok": ok,
        "checks": [{"name": c.name, "ok": c.ok, "detail": c.detail, "fix": c.fix} for c in checks],
    }

    def human(console: Console) -> None:
        for check in checks:
            mark = "[green]ok[/]  " if check.ok else "[red]FAIL[/]"
            console.print(f"{mark} [bold]{check.name:<20}[/] {clean(check.detail)}")
            if not check.ok and check.fix:
                console.print(f"     [yellow]→[/] {clean(check.fix)}")

    emit(document, human)
    return DONE if ok else FAILED


def schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as operation; no name lists all.")] = "",
) -> int:
    """Print the JSON Schema of a --json document.

    Example: orchestrator schema operation
    """
    from orchestrator import schemas

    write_document(schemas.text(name) if name else "\n".join(schemas.names()) + "\n")
    return DONE


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: the system chooses one.")] = 8080,
) -> int:
    """Receive the platform's webhooks and drive every unfinished account, until stopped.

    Example: ORCHESTRATOR_WEBHOOK_TOKEN_FILE=token orchestrator serve --port 8080
    """
    import asyncio

    from orchestrator.service.server import serve as run

    def ready(url: str) -> None:
        emit({"url": url}, lambda _console: err().print(f"listening on {url}; stop with Ctrl-C"))

    asyncio.run(run(settings(), host, port, ready=ready))
    return DONE
