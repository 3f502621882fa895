"""``devnet up``, the commands that drive a running devnet, and ``demo``."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.output import clean, emit, err, settings
from orchestrator.cli.streams import require_reader
from orchestrator.errors import OrchestratorError, SettingsError
from orchestrator.foreign import read_json

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.devnet.remote import RemoteDevnet

app = typer.Typer(no_args_is_help=True, help="A local chain and a platform simulator: start one, drive one.")


def register(root: typer.Typer) -> None:
    """Adds ``demo`` to the root."""
    root.command()(demo)


@app.command()
def up(
    block_time: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Between two blocks.")] = 1.0,
    wallet: Annotated[
        str, typer.Option(metavar="NAME", help="The family of its wallets, such as offblocks.")
    ] = "smart-wallet",
) -> int:
    """Start Anvil, the contracts and the platform simulator, until interrupted.

    Example: orchestrator devnet up --json > devnet.json
    """
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    err().print("starting Anvil, the contracts and the platform simulator …")
    from orchestrator.devnet.devnet import devnet
    from orchestrator.devnet.remote import announced

    with devnet(block_time=block_time, wallet=wallet) as running, contextlib.ExitStack() as stack:
        document = running.document()
        try:
            stack.enter_context(announced(document))
        except (OSError, OrchestratorError) as error:
            err().print(f"orchestrator devnet env will not find this devnet: {clean(str(error))}")

        def human(console: Console) -> None:
            from rich.table import Table

            table = Table.grid(padding=(0, 2))
            for name in ("rpcUrl", "chainId", "platformUrl", "customerId", "owner", "factory", "token", "keystore"):
                table.add_row(f"[bold]{name}[/]", clean(str(document[name])))
            console.print(table)
            console.print('\nFor the other commands, in another terminal: eval "$(orchestrator devnet env)", or\n')
            _exports(console, running.environment)
            console.print("\nready; stop with Ctrl-C")

        emit(document, human)
        require_reader()  # nobody would know where it is
        stop.wait()
    err().print("stopped")
    return 0


@app.command()
def env() -> int:
    """Print the running devnet's settings as shell lines.

    Example: eval "$(orchestrator devnet env)"
    """
    document = _running()
    if document is None:
        raise SettingsError("no devnet is running: start one with orchestrator devnet up", code="settings_missing")
    emit({"env": document["env"]}, lambda console: _exports(console, document["env"]))
    return 0


@app.command()
def status() -> int:
    """Show whether a devnet runs, and how it stands.

    Example: orchestrator devnet status --json
    """
    document = _running()
    if document is None:
        return _show({"running": False})
    names = ("rpcUrl", "chainId", "platformUrl", "customerId", "owner", "factory", "token")
    remote = _remote_of(document["env"])
    heads = remote.control.heads()
    return _show({"running": True} | {name: document[name] for name in names} | heads | {"faults": remote.faults()})


@app.command()
def mine(blocks: Annotated[int, typer.Argument(min=1)] = 1) -> int:
    """Mine blocks now.

    Example: orchestrator devnet mine 5
    """
    return _show(_remote().control.mine(blocks))


@app.command()
def finalize() -> int:
    """Mine until what is latest now is final.

    Example: orchestrator devnet finalize
    """
    return _show(_remote().control.finalize())


@app.command()
def reorg(
    depth: Annotated[int, typer.Argument(min=1)],
    drop: Annotated[bool, typer.Option("--drop", help="Do not send their transactions again (resubmit does).")] = False,
) -> int:
    """Replace the newest blocks by others with the same transactions, past finality if so deep.

    Example: orchestrator devnet reorg 3
    """
    return _show(_remote().control.reorg(depth, drop=drop))


@app.command()
def resubmit() -> int:
    """Let the platform's operator send again what the chain has lost by reorg --drop.

    Example: orchestrator devnet resubmit
    """
    return _show(_remote().resubmit())


@app.command()
def warp(seconds: Annotated[int, typer.Argument(min=1)]) -> int:
    """Move the chain's clock ahead.

    Example: orchestrator devnet warp 3600
    """
    return _show(_remote().control.warp(seconds))


@app.command()
def faults(
    kind: Annotated[str, typer.Argument(help="Such as drop_after; none: list those in force.")] = "",
    values: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]…")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="End all faults.")] = False,
) -> int:
    """Order, list or end faults of the platform simulator.

    Example: orchestrator devnet faults drop_after method=POST path=/challenge/sign count=1
    """
    remote = _remote()
    if clear:
        remote.clear_faults()
    elif kind:
        remote.order_fault({"kind": kind} | _pairs(values or []))
    return _show({"faults": remote.faults()})


def demo(
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the closure's certificate here; else it goes.")
    ] = None,
) -> int:
    """Show the whole lifecycle of an account on an embedded devnet, step by step.

    Example: orchestrator demo --certificate closed.json
    """
    from orchestrator.cli.demo import run

    return run(certificate)


def _running() -> dict[str, Any] | None:
    """The document of the devnet that runs; None if none does."""
    from orchestrator.devnet.remote import found

    document = found()
    return document if document is not None and _remote_of(document["env"]).runs() else None


def _remote_of(environment: dict[str, str]) -> RemoteDevnet:
    from orchestrator.devnet.remote import RemoteDevnet

    return RemoteDevnet(
        environment["ORCHESTRATOR_RPC_URL"],
        environment["ORCHESTRATOR_DEVNET_URL"],
        environment["ORCHESTRATOR_DEVNET_TOKEN"],
        contracts=(environment["ORCHESTRATOR_FACTORY"], environment["ORCHESTRATOR_TOKENS"]),
    )


def _remote() -> RemoteDevnet:
    """The devnet that the settings name; without any, the one that runs."""
    from orchestrator.devnet.remote import RemoteDevnet

    chosen = settings()
    if chosen.rpc_url is None and (document := _running()) is not None:
        return _remote_of(document["env"])
    chosen.need("rpc_url")
    return RemoteDevnet(
        chosen.rpc_urls[0],
        os.environ.get("ORCHESTRATOR_DEVNET_URL", ""),
        os.environ.get("ORCHESTRATOR_DEVNET_TOKEN", ""),
        contracts=(*([chosen.factory] if chosen.factory else []), *chosen.tokens),
    )


def _exports(console: Console, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        console.print(f"export {name}={shlex.quote(value)}", markup=False, soft_wrap=True)


def _pairs(texts: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` each, the value JSON or else a text. Raises SettingsError."""
    values: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise SettingsError(f"expected NAME=VALUE, got {text!r}", code="usage")
        if name in values or name == "kind":
            raise SettingsError(f"{name} is given twice", code="usage")
        try:
            values[name] = read_json(value.encode(), max_bytes=64 * 1024)
        except ValueError:  # NaN and Infinity, too, are no JSON
            values[name] = value
    return values


def _show(document: dict[str, Any]) -> int:
    emit(document, lambda console: console.print_json(data=document, ensure_ascii=True))
    return 0
