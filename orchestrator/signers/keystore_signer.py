"""The signer of a key in a file of the keystore."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NoReturn

from coincurve import PrivateKey

from orchestrator import eip191, files
from orchestrator.errors import Disposition, KeyUnavailable
from orchestrator.models import Address
from orchestrator.passwords import PasswordSource
from orchestrator.ports.signers import KeyInfo
from orchestrator.signers import document, secret_storage


class KeystoreSigner:
    """One key of a keystore. Opened by the first signature (or ``unlock``), then kept open in this object only.

    Never shown, pickled or copied with its key. Safe to use from several threads.
    """

    __slots__ = ("_address", "_key", "_lock", "_name", "_passwords", "_path")

    def __init__(self, info: KeyInfo, path: Path, passwords: PasswordSource) -> None:
        self._name = info.name
        self._address = info.address
        self._path = path
        self._passwords = passwords
        self._lock = threading.Lock()
        self._key: PrivateKey | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def address(self) -> Address:
        return self._address

    def unlock(self) -> None:
        """Reads and decrypts the key unless that is done. About 1 s at the standard cost: keep it off an event loop.

        Raises KeyUnavailable: ``wrong_password``, ``keystore_unreadable``, ``keystore_permissions``, ``password_…``.
        """
        self._opened()

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes r, s, v (27 or 28) over EIP-191's personal message, deterministic (RFC 6979), low s.

        What they recover to is for the caller to compare (``eip191.require``). Raises as ``unlock``.
        """
        return eip191.sign(self._key or self._opened(), message)

    def _opened(self) -> PrivateKey:
        with self._lock:
            if self._key is None:
                file, where = read_key_file(self._path)
                if file.address != self._address:
                    raise KeyUnavailable(
                        f"{where}: expected the key of {self._address}, got {file.address}",
                        code="keystore_unreadable",
                        disposition=Disposition.OPERATOR,
                    )
                self._key = secret_storage.decrypt(file, self._passwords.password(f"key {self._name}"), where)
            return self._key

    def __repr__(self) -> str:
        return f"KeystoreSigner(name={self._name!r}, address={self._address!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signer can be neither pickled nor copied: it may hold an open key")


def read_key_file(path: Path) -> tuple[secret_storage.KeyFile, str]:
    """A private key file, and how errors name it. Raises KeyUnavailable."""
    where = f"key file {path}"
    data = files.read_private(
        path, "key file", max_bytes=document.MAX_BYTES, follow_symlinks=False, code="keystore_unreadable"
    )
    return secret_storage.decode(data, where), where
