"""``accounts create``, ``accounts list``, ``accounts show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.output import clean, emit, fail, not_checked, table
from orchestrator.cli.run import progress, with_orchestrator
from orchestrator.errors import OrchestratorError, SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.app import Orchestrator
    from orchestrator.report import AccountReport

app = typer.Typer(no_args_is_help=True, help="Accounts on the platform: create, list, show.")


@app.command()
def create(
    customer: Annotated[str, typer.Option(metavar="ID", help="The customer's id (UUID).")],
    currency: Annotated[str, typer.Option(metavar="EUR", help="ISO-4217 code.")],
    reference: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Your own name for it: a repeated call finds the same account.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS")] = 600,
) -> int:
    """Create an account on the platform, without activating it.

    Example: orchestrator accounts create --customer 6f0c… --currency EUR --reference order-4711
    """
    try:
        with progress() as watch:
            account = with_orchestrator(
                lambda o: o.create_account(customer, currency, reference=reference, timeout=timeout), watch=watch
            )
    except OrchestratorError as error:
        return fail(error, waiting=True)
    emit(account.document(), lambda console: _show(console, account))
    return 0


@app.command("list")
def list_accounts(
    customer: Annotated[str | None, typer.Option(metavar="ID", help="Only this customer's accounts.")] = None,
) -> int:
    """All accounts of the programme as the platform has them, beside what the journal and the chain say.

    Example: orchestrator accounts list --json
    """
    accounts = with_orchestrator(lambda o: o.accounts(customer), create=None)

    def human(console: Console) -> None:
        if accounts:
            heads = ("account", "platform", "currency", "reference", "wallet", "journal")
            table(console, heads, [_row(account) for account in accounts])
            for account in accounts:
                for odd in account.odd:
                    console.print(f"[yellow]odd[/]: {account.account_id}: {clean(odd)}", soft_wrap=True)
        else:
            console.print("no accounts")

    emit({"accounts": [account.document() for account in accounts]}, human)
    return 0


@app.command()
def show(
    account_id: Annotated[str | None, typer.Argument(metavar="[ACCOUNT_ID]")] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The account that was created here under it.")
    ] = None,
) -> int:
    """One account as the platform has it, beside what the journal and the chain say.

    Example: orchestrator accounts show 5df359f0-d299-40a1-8023-17c77a50144c
    """
    if (account_id is None) == (reference is None):
        raise SettingsError("expected an account's id, or --reference TEXT", code="usage")

    async def work(orchestrator: Orchestrator) -> AccountReport:
        if reference is not None:
            return await orchestrator.account_of(reference)
        (whole,) = await orchestrator.named([account_id or ""], ask="always")
        return await orchestrator.account(whole)

    account = with_orchestrator(work, create=None)
    emit(account.document(), lambda console: _show(console, account))
    return 0


def _row(account: AccountReport) -> tuple[str, ...]:
    journal = account.journal
    operation = f"{journal.operation} {journal.outcome}" if journal and journal.operation else "—"
    currencies = ", ".join(account.currencies) or "—"
    return account.account_id, account.status, currencies, account.reference or "—", account.address or "—", operation


def _show(console: Console, account: AccountReport) -> None:
    journal = account.journal
    lines: dict[str, str | list[str] | None] = {
        "account": account.account_id,
        "reference": account.reference,
        "customer": account.customer_id,
        "status": account.status,
        "odd": "; ".join(account.odd) or None,
        "currency": ", ".join(account.currencies) or "not named",
        "wallet": account.address or "not deployed yet",
        "created": f"{account.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "journal": f"{journal.operation or 'no operation'}, {journal.outcome}" if journal else "no operation yet",
        "NOT checked": not_checked(journal.not_checked if journal else ()),
        "chain": (f"{journal.address}, block {journal.block.number}" if journal and journal.block else None),
    }
    for name, said in lines.items():
        for text in [said] if isinstance(said, str) else said or ():
            console.print(f"{name:<11} {clean(text)}", soft_wrap=True)
