"""``orchestrator policy``: what the signing policy says, of a challenge and of itself. Signs nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.output import DONE, FAILED, clean, emit, err
from orchestrator.cli.output import settings as read_settings
from orchestrator.cli.run import with_orchestrator
from orchestrator.errors import MalformedAnswer, SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.challenge import Challenge
    from orchestrator.explain import Explanation
    from orchestrator.policy import Policy
    from orchestrator.settings import Settings

app = typer.Typer(
    name="policy", help="The signing policy: explain a decision, show it, check a file.", no_args_is_help=True
)

_MARKS = {"pass": "[green]pass[/]", "refuse": "[bold red]REFUSE[/]", "not_reached": "[dim]not reached[/]"}
_MAX_INPUT = 64 * 1024
"""Characters of a challenge from a file: more than the longest one, and white space around it."""

_SHOWN = 2000
"""Characters of a challenge that a person is shown."""

PolicyFile = Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="Another policy than the settings'.")]


@app.command()
def explain(
    account_id: Annotated[str | None, typer.Argument(metavar="[ACCOUNT_ID]", help="Whose challenge.")] = None,
    challenge: Annotated[
        str | None,
        typer.Option(metavar="BASE64|@FILE|-", help="A challenge from elsewhere; the platform is not asked then."),
    ] = None,
    wallet: Annotated[
        str | None, typer.Option(metavar="CAIP10", help="With --challenge: the customer's wallet that would sign.")
    ] = None,
    operation: Annotated[
        str | None,
        typer.Option(metavar="creation|deletion", help="What it is for; default: what comes next."),
    ] = None,
    policy: PolicyFile = None,
) -> int:
    """Say which rule would allow or refuse a challenge, without signing it. Exit 0 allowed, 1 refused.

    Example: orchestrator policy explain 5df359f0-d299-40a1-8023-17c77a50144c
    """
    import asyncio

    from orchestrator.explain import explain_given, explain_offered
    from orchestrator.models import ChainAccount

    settings = _settings(policy)
    purpose = _operation(operation)
    if challenge is None:
        if account_id is None or wallet is not None:
            raise SettingsError("expected an account's id, or --challenge with --wallet and --operation", code="usage")
        explanation = asyncio.run(explain_offered(settings, _full_id(account_id), purpose))
    else:
        if wallet is None or purpose is None:
            raise SettingsError("--challenge needs --wallet CAIP10 and --operation creation or deletion", code="usage")
        given = _challenge(challenge)
        full_id = None if account_id is None else _full_id(account_id)
        explanation = asyncio.run(explain_given(settings, given, ChainAccount.parse(wallet), purpose, full_id))
    emit(explanation.document(), lambda console: _show(explanation, console))
    return DONE if explanation.decision.allowed else FAILED


@app.command()
def show(policy: PolicyFile = None) -> int:
    """Show the whole policy with every default spelt out, its hash, and whether it is the one in force.

    Example: orchestrator policy show
    """
    import asyncio

    from orchestrator.connect import make_ruleset
    from orchestrator.explain import adopted
    from orchestrator.policy.document import to_toml

    settings = _settings(policy)
    ruleset = make_ruleset(settings)
    in_force = asyncio.run(adopted(settings))
    document: dict[str, Any] = {
        "policy": ruleset.hash,
        "policyFile": None if settings.policy is None else str(settings.policy),
        "inForce": None if in_force is None else in_force == ruleset.hash,
        "adopted": in_force,
        "domains": list(ruleset.policy.challenge.domains or ruleset.domains),
        "confirmations": ruleset.confirmations,
        "document": ruleset.policy.model_dump(mode="json"),
    }

    def human(console: Console) -> None:
        console.print(f"# file: {clean(document['policyFile'] or 'none, this is the built-in policy')}", soft_wrap=True)
        console.print(f"# ruleset: {ruleset.hash} ({_force(document['inForce'])})", soft_wrap=True)
        console.print(f"# domains: {clean(', '.join(document['domains']) or 'none')}", soft_wrap=True)
        console.print(f"# confirmations: {ruleset.confirmations}\n")
        console.print(to_toml(ruleset.policy), markup=False, end="", soft_wrap=True)

    emit(document, human)
    return DONE


@app.command()
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy file (TOML).")]) -> int:
    """Read a policy file and say what is wrong with it, or what it allows beyond the defaults. Exit 0 valid, 1 not.

    Example: orchestrator policy check policy.toml
    """
    from orchestrator.connect import read_policy
    from orchestrator.policy.document import remarks

    policy: Policy | None = None
    wrong: SettingsError | None = None
    try:
        policy = read_policy(file)
    except SettingsError as error:
        if error.code != "policy_invalid":
            raise SettingsError(error.message, code=error.code, fix="Name a file that this user can read.") from error
        wrong = error
    found = [] if policy is None else remarks(policy)
    document: dict[str, Any] = {
        "valid": policy is not None,
        "policyFile": str(file),
        "problem": None if wrong is None else wrong.message,
        "remarks": found,
        "document": None if policy is None else policy.model_dump(mode="json"),
    }

    def human(console: Console) -> None:
        if wrong is not None:
            console.print(f"[bold red]invalid[/]: {clean(wrong.message)}", soft_wrap=True)
            return
        console.print(f"[green]valid[/]: {clean(str(file))}", soft_wrap=True)
        for remark in found:
            console.print(f"[yellow]note[/]: {clean(remark)}", soft_wrap=True)

    emit(document, human)
    return DONE if policy is not None else FAILED


def _full_id(account_id: str) -> str:
    from orchestrator.account_queries import beginning

    if beginning(account_id) is None:
        return account_id
    return with_orchestrator(lambda o: o.named([account_id], ask="if_unknown"), create=False)[0]


def _settings(policy: Path | None) -> Settings:
    from orchestrator.connect import has_journal

    settings = read_settings()
    if not has_journal(settings):
        note = "no journal there: what was signed, stopped or adopted is not known"
        err().print(f"[yellow]{note}[/]", soft_wrap=True)
    return settings if policy is None else settings.model_copy(update={"policy": policy})


def _operation(text: str | None) -> Any:
    if text not in (None, "creation", "deletion"):
        raise SettingsError(f"--operation: expected creation or deletion, got {text[:40]!r}", code="usage")
    return text


def _challenge(text: str) -> Challenge:
    """From the argument itself, a file or standard input. White space around it is dropped."""
    from orchestrator.challenge import Challenge

    if text == "-":
        text = sys.stdin.read(_MAX_INPUT)
    elif text.startswith("@"):
        try:
            with Path(text[1:]).open(encoding="ascii") as file:
                text = file.read(_MAX_INPUT)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not ASCII text"
            raise SettingsError(f"--challenge {text[:200]}: {reason}", code="usage") from error
    try:
        return Challenge.parse(text.strip())
    except MalformedAnswer as error:
        raise SettingsError(f"--challenge: {error.message}", code="challenge_malformed") from error


def _show(explanation: Explanation, console: Console) -> None:
    from rich.table import Table

    challenge, decision, key = explanation.challenge, explanation.decision, explanation.key
    if decision.allowed:
        console.print(f"[bold green]ALLOWED[/] as [bold]{decision.rule}[/]: {clean(decision.actual)}", soft_wrap=True)
    else:
        console.print(f"[bold red]REFUSED[/] by rule [bold]{decision.rule}[/]", soft_wrap=True)
        console.print(f"  expected  {clean(decision.expected)}", soft_wrap=True)
        console.print(f"  got       {clean(decision.actual)}", soft_wrap=True)
    facts = {
        "challenge": f"{challenge.kind}, {len(challenge.decoded)} bytes, keccak256 {challenge.digest}",
        "for": f"{explanation.operation} of account {explanation.account_id or '(none named)'}",
        "wallet": str(explanation.signer),
        "policy": f"{explanation.policy_file or 'built-in'}, ruleset {explanation.policy} "
        f"({_force(explanation.in_force)})",
        "key": "none with this address here; its binding is taken for granted"
        if key is None
        else f"{key.name} ({key.backend}), {'disabled' if key.disabled else 'enabled'}, "
        + ("bound to this wallet" if explanation.bound else "not bound to this wallet"),
    }
    for name, fact in facts.items():
        console.print(f"  {name:<9} {clean(fact)}", soft_wrap=True)
    for obstacle in explanation.obstacles:
        console.print(f"[yellow]and[/] {clean(obstacle.message)}", soft_wrap=True)
    for line in _shown(challenge.decoded):
        console.print(f"  [dim]|[/] {clean(line)}", soft_wrap=True)
    table = Table("rule", "result", "demands", box=None)
    for rule in explanation.rules:
        table.add_row(rule.name, _MARKS[rule.result], clean(rule.expected))
    console.print()
    console.print(table)


def _shown(data: bytes) -> list[str]:
    """The challenge as a person can read it: text as it is, anything else in hexadecimal."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = f"0x{data.hex()}"
    return text[:_SHOWN].split("\n") + (["…"] if len(text) > _SHOWN else [])


def _force(in_force: bool | None) -> str:
    return {True: "in force", False: "not adopted yet", None: "adopted with the first signature"}[in_force]
