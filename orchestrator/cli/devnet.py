"""``devnet up``, the commands that drive a running devnet, and ``demo``."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.context import settings
from orchestrator.cli.output import clean, emit, err
from orchestrator.cli.streams import require_reader
from orchestrator.errors import SettingsError

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
) -> int:
    """Start Anvil, the contracts and the platform simulator, until interrupted.

    Example: orchestrator devnet up --json > devnet.json
    """
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    err().print("starting Anvil, the contracts and the platform simulator …")
    from orchestrator.devnet.devnet import devnet

    with devnet(block_time=block_time) as running:
        document = running.document()

        def human(console: Console) -> None:
            from rich.table import Table

            table = Table.grid(padding=(0, 2))
            for name in ("rpcUrl", "chainId", "platformUrl", "customerId", "owner", "factory", "token", "keystore"):
                table.add_row(f"[bold]{name}[/]", clean(str(document[name])))
            console.print(table)
            console.print("\nFor the other commands, in another terminal:\n")
            for name, value in running.environment.items():
                console.print(f"export {name}='{value}'", markup=False, soft_wrap=True)
            console.print("\nready; stop with Ctrl-C")

        emit(document, human)
        require_reader()  # nobody would know where it is
        stop.wait()
    err().print("stopped")
    return 0


@app.command()
def mine(blocks: Annotated[int, typer.Argument(min=1)] = 1) -> int:
    """Mine blocks now.

    Example: orchestrator devnet mine 5
    """
    return _told(_remote().mine(blocks))


@app.command()
def finalize() -> int:
    """Mine until what is latest now is final.

    Example: orchestrator devnet finalize
    """
    return _told(_remote().finalize())


@app.command()
def reorg(depth: Annotated[int, typer.Argument(min=1)]) -> int:
    """Replace the newest blocks by empty ones, past finality if so deep.

    Example: orchestrator devnet reorg 3
    """
    return _told(_remote().reorg(depth))


@app.command()
def warp(seconds: Annotated[int, typer.Argument(min=1)]) -> int:
    """Move the chain's clock ahead.

    Example: orchestrator devnet warp 3600
    """
    return _told(_remote().warp(seconds))


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
        remote.order_fault({"kind": kind} | dict(_pair(pair) for pair in values or []))
    return _told({"faults": remote.faults()})


def demo() -> int:
    """Show the whole lifecycle of an account on an embedded devnet, step by step.

    Example: orchestrator demo
    """
    from orchestrator.cli.demo import run

    return run()


def _remote() -> RemoteDevnet:
    from orchestrator.devnet.remote import RemoteDevnet

    chosen = settings()
    chosen.need("rpc_url")
    if chosen.rpc_url is None:
        raise AssertionError("need() has seen to it")
    return RemoteDevnet(
        chosen.rpc_url.get_secret_value(),
        os.environ.get("ORCHESTRATOR_DEVNET_URL", ""),
        os.environ.get("ORCHESTRATOR_DEVNET_TOKEN", ""),
    )


def _pair(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise SettingsError(f"expected NAME=VALUE, got {text!r}", code="usage")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _told(document: dict[str, Any]) -> int:
    emit(document, lambda console: console.print_json(data=document))
    return 0
