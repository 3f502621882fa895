"""``accounts create``, ``accounts list``, ``accounts show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.output import clean, emit, fail
from orchestrator.cli.run import progress, with_orchestrator
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from rich.console import Console

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
    accounts = with_orchestrator(lambda o: o.accounts(customer))

    def human(console: Console) -> None:
        from rich.table import Table

        table = Table("account", "platform", "currency", "wallet", "journal", box=None, pad_edge=False)
        for account in accounts:
            journal = account.journal
            told = f"{journal.operation} {journal.outcome}" if journal and journal.operation else "—"
            row = (account.account_id, account.status, ", ".join(account.currencies), account.address or "—", told)
            table.add_row(*(clean(cell) for cell in row))
        console.print(table if accounts else "no accounts")

    emit({"accounts": [account.document() for account in accounts]}, human)
    return 0


@app.command()
def show(account_id: Annotated[str, typer.Argument(metavar="ACCOUNT_ID")]) -> int:
    """One account as the platform has it, beside what the journal and the chain say.

    Example: orchestrator accounts show 5df359f0-d299-40a1-8023-17c77a50144c
    """
    account = with_orchestrator(lambda o: o.account(account_id))
    emit(account.document(), lambda console: _show(console, account))
    return 0


def _show(console: Console, account: AccountReport) -> None:
    journal = account.journal
    lines = {
        "account": account.account_id,
        "customer": account.customer_id,
        "status": account.status,
        "currency": ", ".join(account.currencies),
        "wallet": account.address or "not deployed yet",
        "created": f"{account.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "journal": f"{journal.operation or 'no operation'}, {journal.outcome}" if journal else "no operation yet",
        "chain": (f"{journal.address}, block {journal.block.number}" if journal and journal.block else None),
    }
    for name, text in lines.items():
        if text is not None:
            console.print(f"{name:<10} {clean(str(text))}")
