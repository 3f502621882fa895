"""Who the person at the command line is: the options that say so, and the key file that proves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from orchestrator.errors import KeyUnavailable

if TYPE_CHECKING:
    from coincurve import PrivateKey

    from orchestrator.oversight.people import Voice
    from orchestrator.policy import Ruleset
    from orchestrator.settings import Settings
    from orchestrator.signers import PasswordSource

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


class FileKey:
    """A person's own key file. Opened when it first signs, and kept open in this object only."""

    def __init__(self, path: Path, password: PasswordSource) -> None:
        self._path = path
        self._password = password
        self._key: PrivateKey | None = None

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes over EIP-191's personal message. Raises KeyUnavailable (``wrong_password``, ``keystore_…``)."""
        from orchestrator import eip191

        if self._key is None:
            self._key = self._open()
        return eip191.sign(self._key, message)

    def __repr__(self) -> str:
        return f"FileKey({str(self._path)!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a person's key can be neither pickled nor copied: it may be open")

    def _open(self) -> PrivateKey:
        from orchestrator.signers import files, v3
        from orchestrator.signers.document import MAX_BYTES

        where = f"person key {self._path}"
        data = files.read_private(
            self._path, "person key", max_bytes=MAX_BYTES, follow_symlinks=True, code="keystore_unreadable"
        )
        file = v3.decode(data, where)
        try:
            password = self._password.password(where)
        except KeyUnavailable as error:
            if error.code != "password_missing":
                raise
            raise KeyUnavailable(
                f"no password for {where}: give --person-password-file (or ORCHESTRATOR_PERSON_PASSWORD_FILE), a file "
                "with mode 0600 that holds it, or run this on a terminal",
                code="password_missing",
            ) from None
        return v3.decrypt(file, password, where)


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
    from orchestrator.oversight.people import Voice
    from orchestrator.signers import FilePassword, PromptPassword

    if key is None and signature is None and in_force.policy.people:
        key = settings.person_key
    password_file = password_file or settings.person_password_file
    password: PasswordSource = PromptPassword() if password_file is None else FilePassword(password_file)
    return Voice(key=FileKey(key, password) if key is not None else None, person=person, signature=signature)
