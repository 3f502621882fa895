"""Who the person at the command line is: the options that say so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orchestrator.policy import Ruleset
    from orchestrator.settings import Settings
    from orchestrator.signers import PasswordSource
    from orchestrator.steps.people import Voice

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


def voice(
    settings: Settings,
    in_force: Ruleset,
    *,
    key: Path | None = None,
    password_file: Path | None = None,
    person: str | None = None,
    signature: str | None = None,
) -> Voice:
    """What the options say; without them, the person that the settings name, where the ruleset knows people at all."""
    from orchestrator.signers import FilePassword, PromptPassword
    from orchestrator.signers.person_key import FileKey
    from orchestrator.steps.people import Voice

    if key is None and signature is None and in_force.policy.people:
        key = settings.person_key
    password_file = password_file or settings.person_password_file
    password: PasswordSource = PromptPassword() if password_file is None else FilePassword(password_file)
    return Voice(key=FileKey(key, password) if key is not None else None, person=person, signature=signature)
