"""Who the person at the command line is: the options that say so, and the prompt for her password."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.journal_access import now, with_journal
from orchestrator.cli.output import settings
from orchestrator.models import OperationKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.journal.store import Journal
    from orchestrator.lifecycle.fold import AccountState
    from orchestrator.passwords import PasswordSource
    from orchestrator.people import Signatory
    from orchestrator.policy import Ruleset

PersonKeyFile = Annotated[
    Path | None,
    typer.Option("--person-key", metavar="FILE", help="Your own key file (Web3 Secret Storage, mode 0600)."),
]
PersonPasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--person-password-file", metavar="FILE", help="A file (mode 0600) with its password; asked for if left out."
    ),
]
PersonName = Annotated[str | None, typer.Option("--person", metavar="NAME", help="Who you are in the policy.")]
Signature = Annotated[
    str | None, typer.Option(metavar="0x…", help="Your signature (personal_sign) over what --print-text shows.")
]
PrintText = Annotated[
    bool, typer.Option("--print-text", help="Show the text to sign in another wallet; nothing is recorded.")
]


def signatory(
    in_force: Ruleset,
    *,
    key: Path | None = None,
    password_file: Path | None = None,
    person: str | None = None,
    signature: str | None = None,
) -> Signatory:
    """The person that the options name; without them, the one that the settings name, if the ruleset has people."""
    from orchestrator.passwords import FilePassword, PromptPassword
    from orchestrator.people import Signatory
    from orchestrator.signers.key_files import FileKey

    given = settings()
    if key is None and signature is None and in_force.policy.people:
        key = given.person_key
    password_file = password_file or given.person_password_file
    password: PasswordSource = PromptPassword() if password_file is None else FilePassword(password_file)
    return Signatory(key=FileKey(key, password) if key is not None else None, person=person, signature=signature)


async def ruleset_and_signatory(
    journal: Journal,
    *,
    key: Path | None = None,
    password_file: Path | None = None,
    person: str | None = None,
    signature: str | None = None,
) -> tuple[Ruleset, Signatory]:
    """The ruleset that the settings ask for, and the person that the options name (``signatory``)."""
    from orchestrator.authorization.gate import read_oversight
    from orchestrator.connect import make_ruleset
    from orchestrator.oversight.records import in_force

    of_settings = make_ruleset(settings())
    ruleset = in_force(await read_oversight(journal), of_settings)
    return of_settings, signatory(ruleset, key=key, password_file=password_file, person=person, signature=signature)


def closing_signatory(account_ids: Sequence[str]) -> Signatory | None:
    """The person who asks for the closures of these accounts. Her password is typed now, before the work begins. None
    where no approval is left to ask for, or where no password can be typed; then as ``Orchestrator.open`` says.

    Raises KeyUnavailable, JournalError, SettingsError.
    """
    given = settings()
    key_file = given.person_key
    if key_file is None or given.person_password_file is not None or not sys.stdin.isatty():
        return None

    async def work(journal: Journal) -> Signatory | None:
        from orchestrator.authorization.gate import read_oversight
        from orchestrator.connect import make_ruleset
        from orchestrator.lifecycle.fold import fold
        from orchestrator.oversight.records import in_force
        from orchestrator.passwords import PromptPassword
        from orchestrator.people import Signatory
        from orchestrator.policy import approvals_to_adopt
        from orchestrator.signers.key_files import FileKey

        mine = make_ruleset(given)
        seen = await read_oversight(journal)
        ruleset = in_force(seen, mine)
        states = [fold(await journal.read(account_id.lower())) for account_id in account_ids]
        asks = mine.policy.approvals.closure > 0 and not all(_was_asked_for(state, now()) for state in states)
        if not ruleset.policy.people or not (asks or approvals_to_adopt(seen.ruleset, mine) > 0):
            return None
        key = FileKey(key_file, PromptPassword())
        key.open()
        return Signatory(key=key)

    return with_journal(work)


def _was_asked_for(state: AccountState, now: datetime) -> bool:
    """Whether the closure of this account waits for its approval, has had it, or is done."""
    op = state.operation
    if op is None or op.kind is not OperationKind.CLOSE:
        return False
    if op.ended is not None:
        return op.ended.outcome == "done"
    asked = state.approvals.get(op.approval or "")
    return op.approved or (asked is not None and asked.is_live(now))
