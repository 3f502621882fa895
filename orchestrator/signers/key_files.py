"""Private keys outside of the keystore: those to import, as text and in files of other tools, and a person's own.

With a person's own key is signed what she asks for and what she approves.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Final, NoReturn

from coincurve import PrivateKey

from orchestrator import eip191, files
from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.passwords import PasswordSource, Secret
from orchestrator.signers import document, secret_storage

_PRIVATE_KEY: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")


def parse_private_key(private_key: Secret, name: str) -> PrivateKey:
    """64 hexadecimal digits, 0x allowed. Raises SettingsError, code ``private_key_malformed``, without showing them."""
    text = private_key.reveal().strip()
    match = _PRIVATE_KEY.fullmatch(text)
    if match is None:
        actual = f"{len(text)} other characters" if text else "nothing"
        raise SettingsError(
            f"private key for {name!r}: expected 64 hexadecimal digits, got {actual}", code="private_key_malformed"
        )
    number = int(match[1], 16)
    if not 0 < number < eip191.ORDER:
        raise SettingsError(
            f"private key for {name!r}: expected a number from 1 to the order of secp256k1, got one outside",
            code="private_key_malformed",
        )
    return PrivateKey(number.to_bytes(32, "big"))


def open_file(path: Path, password: PasswordSource) -> PrivateKey:
    """The key in a Web3 Secret Storage file. Raises KeyUnavailable: ``keystore_unreadable``, ``wrong_password``."""
    where = f"key file {path}"
    try:
        with path.open("rb") as source:
            data = source.read(document.MAX_BYTES + 1)
    except OSError as error:
        raise KeyUnavailable(f"{where} cannot be read: {error.strerror}", code="keystore_unreadable") from None
    if len(data) > document.MAX_BYTES:
        raise KeyUnavailable(
            f"{where}: expected at most {document.MAX_BYTES} bytes, got more", code="keystore_unreadable"
        )
    file = secret_storage.decode(data, where)
    return secret_storage.decrypt(file, password.password(where), where)


class FileKey:
    """A person's own key, in a Web3 Secret Storage file. Opened when it first signs, and kept open in this object
    only. Safe for any thread."""

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
            self._path, "person key", max_bytes=document.MAX_BYTES, follow_symlinks=True, code="keystore_unreadable"
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
