"""A person's own key, in a Web3 Secret Storage file: what she asks for and what she approves is signed with it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NoReturn

from coincurve import PrivateKey

from orchestrator import eip191, files
from orchestrator.errors import KeyUnavailable
from orchestrator.passwords import PasswordSource
from orchestrator.signers import secret_storage
from orchestrator.signers.document import MAX_BYTES


class FileKey:
    """A person's own key file. Opened when it first signs, and kept open in this object only. Safe for any thread."""

    def __init__(self, path: Path, password: PasswordSource) -> None:
        self._path = path
        self._password = password
        self._key: PrivateKey | None = None
        self._opening = threading.Lock()

    def open(self) -> PrivateKey:
        """The key itself. The first call asks for the password and blocks for as long as the file's scrypt takes.

        Raises KeyUnavailable (``password_missing``, ``wrong_password``, ``keystore_…``).
        """
        with self._opening:  # two threads would hold scrypt's memory twice
            if self._key is None:
                self._key = self._read()
            return self._key

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes over EIP-191's personal message. Raises and blocks as ``open``."""
        return eip191.sign(self.open(), message)

    def __repr__(self) -> str:
        return f"FileKey({str(self._path)!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a person's key can be neither pickled nor copied: it may be open")

    def _read(self) -> PrivateKey:
        where = f"person key {self._path}"
        data = files.read_private(
            self._path, "person key", max_bytes=MAX_BYTES, follow_symlinks=True, code="keystore_unreadable"
        )
        file = secret_storage.decode(data, where)
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
        return secret_storage.decrypt(file, password, where)
