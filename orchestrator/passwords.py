"""Secrets that must not be shown, and where passwords come from: a file, a prompt on the terminal, or a setting."""

from __future__ import annotations

import getpass
import hmac
import sys
from pathlib import Path
from typing import NoReturn, Protocol

from orchestrator import files, process
from orchestrator.errors import KeyUnavailable

_MAX_BYTES = 4096


class Secret:
    """Text (a password, a private key in hexadecimal) that only ``reveal`` gives out.

    SIDE EFFECTS: the process that makes one leaves no core dump from then on (``process``). Known gap: Python cannot
    wipe a string from memory.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        process.forbid_core_dumps()
        self.__text = text

    def reveal(self) -> str:
        """The text itself. Never log it, never put it into a message."""
        return self.__text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    __hash__ = None  # type: ignore[assignment]  # a hash in a set or a dict would reveal something of the value

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret can be neither pickled nor copied")


class PasswordSource(Protocol):
    """Gives the password when a key must be opened or written; asked lazily, once per key and process."""

    def password(self, what: str, *, confirm: bool = False) -> Secret:
        """The password for ``what`` (such as "key alice"). ``confirm``: a new password, so a person types it twice.

        Raises KeyUnavailable, code ``password_missing``, ``password_unreadable`` or ``keystore_permissions``.
        """
        ...


class FixedPassword:
    """A password that was given as a value, such as a setting."""

    def __init__(self, password: Secret) -> None:
        self._password = password

    def password(self, what: str, *, confirm: bool = False) -> Secret:  # noqa: ARG002  (the protocol's)
        return _not_empty(self._password, what)


class FilePassword:
    """The content of a file that only its owner can read, without one line end at its end. Symlinks are followed.

    Read each time that it is asked for, so that a changed password needs no restart.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"FilePassword({str(self.path)!r})"

    def password(self, what: str, *, confirm: bool = False) -> Secret:  # noqa: ARG002  (the protocol's)
        data = files.read_private(
            self.path,
            "password file",
            max_bytes=_MAX_BYTES,
            follow_symlinks=True,
            code="password_unreadable",
        )
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = None  # raised below, because that error carries the bytes and would stay in the context of ours
        if text is None:
            raise KeyUnavailable(
                f"password file {self.path}: expected UTF-8 text, got other bytes", code="password_unreadable"
            )
        text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise KeyUnavailable(
                f"password file {self.path}: expected a password, got an empty file", code="password_unreadable"
            )
        return Secret(text)


class PromptPassword:
    """Asks on the terminal, without echo. Without a terminal it says how to give a password otherwise."""

    def password(self, what: str, *, confirm: bool = False) -> Secret:
        if not sys.stdin.isatty():
            raise KeyUnavailable(_missing(what), code="password_missing")
        first = _not_empty(Secret(getpass.getpass(f"Password for {what}: ")), what)
        if confirm and first != Secret(getpass.getpass("The same password again: ")):
            raise KeyUnavailable(f"the two passwords for {what} differ; nothing was written", code="password_missing")
        return first


class NoPassword:
    """For commands that need none: listing reads names and addresses only."""

    def password(self, what: str, *, confirm: bool = False) -> Secret:  # noqa: ARG002  (the protocol's)
        raise KeyUnavailable(_missing(what), code="password_missing")


def _missing(what: str) -> str:
    return (
        f"no password for {what}: set ORCHESTRATOR_KEYSTORE_PASSWORD_FILE to a file with mode 0600 that holds it, "
        "or run this on a terminal"
    )


def _not_empty(password: Secret, what: str) -> Secret:
    if not password.reveal():
        raise KeyUnavailable(f"the password for {what} is empty", code="password_missing")
    return password
