"""``orchestrator``: the root command, and how an error becomes an exit code.

The options of the root (``--json``, ``--config`` and the settings) may stand before or after the command: they are
moved to the front before the arguments are parsed. Commands are imported when they run, so that help is quick.
"""

from __future__ import annotations

import errno
import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator import process
from orchestrator.cli import (
    accounts,
    approve,
    audit,
    certificate,
    checks,
    devnet,
    history,
    journal,
    keys,
    operations,
    policy,
    probe,
    request_keys,
    stops,
    streams,
    verify_closure,
    wallets,
    webhooks,
)
from orchestrator.cli.output import INTERRUPTED, OPERATOR, USAGE, debugging, err, fail, options
from orchestrator.errors import OrchestratorError, SettingsError

app = typer.Typer(
    name="orchestrator",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Takes blockchain accounts of a card platform from their creation to a proven end.",
    epilog="Exit codes: 0 done · 1 failed · 2 usage or settings · 3 an operator must decide · "
    "74 the output could not be written · 75 still in progress · 130 interrupted.",
)

_USAGE_ERROR: Any = typer.BadParameter.__base__
"""The base of all errors that the parser has with its arguments; typer exports only this child of it."""
_HELP = "a command is missing: orchestrator --help lists them"

_FLAGS = ("--json",)
_VALUES = ("--config", "--database-url", "--keystore", "--platform-url", "--rpc-url", "--factory", "--confirmations")
_OWN_RPC_URL = (("certificate", "verify"), ("verify-closure",))
"""Commands that have an ``--rpc-url`` of their own."""


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"orchestrator {version('offblocks-orchestrator')}")
        raise typer.Exit


@app.callback()
def root(
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")] = False,
    config: Annotated[Path | None, typer.Option(help="Settings in a TOML file; the environment wins over it.")] = None,
    database_url: Annotated[str | None, typer.Option(help="The journal: sqlite:///PATH or postgresql://…")] = None,
    keystore: Annotated[Path | None, typer.Option(help="The folder of the managed keys.")] = None,
    platform_url: Annotated[str | None, typer.Option(help="The platform's base URL, with /v1.")] = None,
    rpc_url: Annotated[str | None, typer.Option(help="The node's JSON-RPC URL.")] = None,
    factory: Annotated[str | None, typer.Option(help="The address of the platform's wallet factory.")] = None,
    confirmations: Annotated[int | None, typer.Option(help="Blocks, the block itself counted.")] = None,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """The options that every command takes, before it or after it."""
    options.json = json
    options.config = config
    options.warned = False
    options.overrides = {
        "database_url": database_url,
        "keystore": keystore,
        "platform_url": platform_url,
        "rpc_url": rpc_url,
        "factory": factory,
        "confirmations": confirmations,
    }


app.add_typer(accounts.app, name="accounts")
app.add_typer(certificate.app, name="certificate")
app.add_typer(devnet.app, name="devnet")
app.add_typer(history.app, name="history")
keys.app.add_typer(request_keys.app, name="request")
app.add_typer(keys.app, name="keys")
app.add_typer(policy.app, name="policy")
app.add_typer(wallets.app, name="wallets")
app.add_typer(webhooks.app, name="webhooks")
operations.register(app)
approve.register(app)
stops.register(app)
audit.register(app)
journal.register(app)
checks.register(app)
probe.register(app)
verify_closure.register(app)
devnet.register(app)


def hoist(arguments: list[str]) -> list[str]:
    """The arguments with the root's options moved to the front."""
    words = [
        word
        for before, word in zip(["", *arguments], arguments, strict=False)
        if not word.startswith("-") and before not in _VALUES
    ]
    own_rpc_url = any(tuple(words[: len(command)]) == command for command in _OWN_RPC_URL)
    values = tuple(name for name in _VALUES if not (own_rpc_url and name == "--rpc-url"))
    front: list[str] = []
    rest: list[str] = []
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            rest += arguments[position:]
            break
        if word in values and position + 1 < len(arguments):
            front += arguments[position : position + 2]
            position += 1
        elif word in _FLAGS or word.split("=", 1)[0] in values:
            front.append(word)
        else:
            rest.append(word)
        position += 1
    return front + rest


def main(arguments: list[str] | None = None) -> None:
    """The console script. Exits with the code of the interface; never shows a traceback unless asked to."""
    process.forbid_core_dumps()
    streams.guard()
    given = hoist(sys.argv[1:] if arguments is None else arguments)
    options.json = "--json" in given
    code = _run(given)
    unwritten = streams.lost()
    if unwritten is not None:
        code = streams.UNWRITTEN
        reason = "it is closed" if unwritten.errno == errno.EBADF else unwritten.strerror
        text = f"the output could not be written ({reason}); what was done is done: run it again to see it"
        err().print(text, soft_wrap=True)
    sys.exit(code)


@cache
def _command() -> Any:
    """Once for a process: it reads the signatures of all commands, and a test runs hundreds of them."""
    command = typer.main.get_command(app)
    _keep_examples(command)
    return command


def _keep_examples(command: Any) -> None:
    """Examples stay on their line, to be copied: the parser breaks them at hyphens, unless this sign is before them."""
    command.help = (command.help or "").replace("\nExample: ", "\n\b\nExample: ")
    for inner in getattr(command, "commands", {}).values():
        _keep_examples(inner)


def _run(arguments: list[str]) -> int:
    try:
        outcome = _command()(arguments, standalone_mode=False)
    except typer.Exit as done:
        return _interrupted() if done.exit_code == INTERRUPTED else int(done.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except _USAGE_ERROR as usage:
        text = usage.format_message().strip()
        if text.startswith("Usage:") and not options.json:  # a group without a command: its help is the answer
            err().print(text, markup=False)
            return USAGE
        return fail(SettingsError(_HELP if text.startswith("Usage:") else text, code="usage"), waiting=False)
    except OrchestratorError as error:
        return fail(error, waiting=False)
    except streams.OutputLost:
        return streams.UNWRITTEN
    except (Exception, SystemExit) as surprise:  # the parser makes exit 1 of a pipe that broke anywhere
        if debugging():
            raise
        text = (
            f"{type(surprise).__name__}: this is a defect; nothing journaled is lost; ORCHESTRATOR_DEBUG=1 shows where"
        )
        fail(OrchestratorError(text), waiting=False)
        return OPERATOR
    if outcome == INTERRUPTED:  # the parser's own answer to KeyboardInterrupt
        return _interrupted()
    return outcome if isinstance(outcome, int) else 0


def _interrupted() -> int:
    fail(OrchestratorError("nothing is lost: run the command again", code="interrupted"), waiting=True)
    # CPython ends by the signal, and not with our code, if the last string that was executed was interrupted (one of a
    # dataclass, say, while something was imported): whoever waits for the process sees -2 instead of 130.
    exec("")  # noqa: S102
    return INTERRUPTED


if __name__ == "__main__":
    main()
