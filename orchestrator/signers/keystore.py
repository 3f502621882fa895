"""The keystore: a folder of key files, one key each, and the signers made from them.

    KEYSTORE/            0700
      alice.json         0600  Web3 Secret Storage v3; name, disabled and createdAt in its member "x-orchestrator"
      .lock              taken by whoever writes

Names and addresses are read without a password. A key is decrypted when it first signs, once in a process. Writing is
safe against a kill at any moment and against a second writer.
"""

from __future__ import annotations

import re
import secrets
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from coincurve import PrivateKey

from orchestrator import eip191
from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.models import Address
from orchestrator.signers import files, v3
from orchestrator.signers.passwords import PasswordSource
from orchestrator.signers.secret import Secret

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SUFFIX: Final = ".json"
_PRIVATE_KEY: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is known about a key without its password. ``created_at``: ISO-8601 UTC text, None for foreign files."""

    name: str
    address: Address
    disabled: bool
    created_at: str | None
    file: Path
    backend: str = "keystore"


@dataclass(frozen=True, slots=True)
class Scan:
    """All keys of a folder by name, and an error for each file that could not be read."""

    keys: tuple[KeyInfo, ...]
    unreadable: tuple[KeyUnavailable, ...]


class KeystoreSigner:
    """One key of a keystore. Opened by the first signature (or ``unlock``), then kept open in this object only.

    Never shown, pickled or copied with its key. Safe to use from several threads.
    """

    __slots__ = ("_address", "_key", "_lock", "_name", "_passwords", "_path", "_public")

    def __init__(self, info: KeyInfo, passwords: PasswordSource) -> None:
        self._name = info.name
        self._address = info.address
        self._path = info.file
        self._passwords = passwords
        self._lock = threading.Lock()
        self._key: PrivateKey | None = None
        self._public = b""

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
        with self._lock:
            if self._key is not None:
                return
            file, where = _load(self._path)
            if file.address != self._address:
                raise KeyUnavailable(
                    f"{where}: expected the key of {self._address}, got {file.address}", code="keystore_unreadable"
                )
            key = v3.decrypt(file, self._passwords.password(f"key {self._name}"), where)
            self._public = key.public_key.format(compressed=False)
            self._key = key

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes r, s, v (27 or 28) over EIP-191's personal message, deterministic (RFC 6979), low s.

        What is recovered from the signature is compared first. Raises as ``unlock``; SigningError on a mismatch.
        """
        if self._key is None:
            self.unlock()
        if self._key is None:
            raise AssertionError(f"key {self._name} is neither open nor refused")
        return eip191.sign(self._key, self._public, message)

    def __repr__(self) -> str:
        return f"KeystoreSigner(name={self._name!r}, address={self._address!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signer can be neither pickled nor copied: it may hold an open key")


class Keystore:
    """A folder of keys; the ``Keyring`` of this release.

    ``work_factor``: scrypt's N for files that this object writes (lower it only for tests and devnets).
    """

    def __init__(self, path: Path, passwords: PasswordSource, *, work_factor: int = v3.DEFAULT_WORK_FACTOR) -> None:
        self.path = path
        self._passwords = passwords
        self._work_factor = v3.check_work_factor(work_factor)
        self._signers: dict[Address, KeystoreSigner] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Keystore({str(self.path)!r})"

    # --- reading ---------------------------------------------------------------------------------------------------

    def scan(self) -> Scan:
        """Every ``*.json`` of the folder, by name; a missing folder has none. No password is asked for.

        Raises KeyUnavailable if the folder itself cannot be used.
        """
        if not files.require_private_folder(self.path, "keystore folder"):
            return Scan((), ())
        keys: list[KeyInfo] = []
        unreadable: list[KeyUnavailable] = []
        try:
            names = sorted(entry.name for entry in self.path.iterdir())
        except OSError as error:
            raise KeyUnavailable(
                f"keystore folder {self.path} cannot be read: {error.strerror}", code="keystore_unreadable"
            ) from None
        for file_name in names:
            if file_name.startswith(".") or not file_name.endswith(_SUFFIX):
                continue
            try:
                keys.append(_info(self.path / file_name))
            except KeyUnavailable as error:
                unreadable.append(error)
        return Scan(tuple(keys), tuple(unreadable))

    def list(self) -> tuple[KeyInfo, ...]:
        """All keys by name. Raises KeyUnavailable for the first file that cannot be read, naming it."""
        scan = self.scan()
        if scan.unreadable:
            raise scan.unreadable[0]
        return scan.keys

    def get(self, name: str) -> KeyInfo:
        """The key with this name. Raises KeyUnavailable (``key_not_found`` and as ``unlock``), SettingsError."""
        path = self._path_of(name)
        if not files.require_private_folder(self.path, "keystore folder") or not _exists(path):
            raise KeyUnavailable(f"no key {name!r} in {self._where()}", code="key_not_found")
        return _info(path)

    def signer_for(self, address: Address) -> KeystoreSigner:
        """The enabled key with this address; the same object each time, so that it is decrypted once.

        Raises KeyUnavailable: ``key_not_found``, ``key_disabled``, ``keystore_unreadable``, ``keystore_permissions``.
        """
        with self._lock:
            info = self._find(address)
            if info.disabled:
                raise KeyUnavailable(
                    f"key {info.name!r} with address {address} is disabled: "
                    f"type orchestrator keys enable {info.name} if it may sign again",
                    code="key_disabled",
                )
            signer = self._signers.get(address)
            if signer is None or signer.name != info.name:
                signer = self._signers[address] = KeystoreSigner(info, self._passwords)
            return signer

    def signer(self, name: str) -> KeystoreSigner:
        """The enabled key with this name. Raises as ``get`` and ``signer_for``."""
        return self.signer_for(self.get(name).address)

    # --- writing ---------------------------------------------------------------------------------------------------

    def create(self, name: str) -> KeyInfo:
        """Makes a key from the operating system's random numbers and writes it. Raises as ``import_key``."""
        return self._write(name, PrivateKey((secrets.randbelow(eip191.ORDER - 1) + 1).to_bytes(32, "big")))

    def import_key(self, name: str, private_key: Secret) -> KeyInfo:
        """Writes a private key, given as 64 hexadecimal digits (0x allowed), encrypted under the keystore's password.

        Raises SettingsError (``key_name``, ``key_exists``, ``private_key_malformed``) or KeyUnavailable.
        """
        text = private_key.reveal().strip()
        match = _PRIVATE_KEY.fullmatch(text)
        if match is None:
            actual = f"{len(text)} other characters" if text else "nothing"
            raise SettingsError(
                f"private key for {name!r}: expected 64 hexadecimal digits, got {actual}",
                code="private_key_malformed",
            )
        number = int(match[1], 16)
        if not 0 < number < eip191.ORDER:
            raise SettingsError(
                f"private key for {name!r}: expected a number from 1 to the order of secp256k1, got one outside",
                code="private_key_malformed",
            )
        return self._write(name, PrivateKey(number.to_bytes(32, "big")))

    def import_file(self, name: str, path: Path, password: PasswordSource) -> KeyInfo:
        """Takes over a key file of another tool: opened with ``password``, written under the keystore's own.

        ``path`` itself is left as it is. Raises as ``import_key`` and ``KeystoreSigner.unlock``.
        """
        self._require_free(name)
        where = f"key file {path}"
        try:
            with path.open("rb") as source:
                data = source.read(v3.MAX_BYTES + 1)
        except OSError as error:
            raise KeyUnavailable(f"{where} cannot be read: {error.strerror}", code="keystore_unreadable") from None
        if len(data) > v3.MAX_BYTES:
            raise KeyUnavailable(
                f"{where}: expected at most {v3.MAX_BYTES} bytes, got more", code="keystore_unreadable"
            )
        file = v3.decode(data, where)
        return self._write(name, v3.decrypt(file, password.password(where), where))

    def rotate(self, name: str, new: PasswordSource) -> KeyInfo:
        """Encrypts a key anew, under another password (address and key stay). A kill leaves the old file or the new.

        Give every key the same password before the setting is changed: a keystore is opened with one.
        Raises as ``KeystoreSigner.unlock``; ``key_busy`` if another process rotates it at the same time.
        """
        path = self.get(name).file
        before, where = _load(path)
        key = v3.decrypt(before, self._passwords.password(f"key {name}"), where)
        password = new.password(f"key {name} (new)", confirm=True)
        created_at = before.created_at or _now()
        fresh = v3.encrypt(key, password, work_factor=self._work_factor, name=name, created_at=created_at)
        with files.folder_lock(self.path):  # not while a person types or scrypt runs
            file, where = _load(path)
            if file.crypto != before.crypto:
                raise KeyUnavailable(f"{where} was changed by another process meanwhile; run it again", code="key_busy")
            files.replace(path, replace(fresh, id=file.id or fresh.id, disabled=file.disabled).encode())
        return self.get(name)

    def disable(self, name: str) -> KeyInfo:
        """Takes a key out of use; it stays on disk. Needs no password. Raises as ``get``."""
        return self._mark(name, disabled=True)

    def enable(self, name: str) -> KeyInfo:
        """Puts a disabled key back into use. Needs no password. Raises as ``get``."""
        return self._mark(name, disabled=False)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _find(self, address: Address) -> KeyInfo:
        known = self._signers.get(address)
        if known is not None:
            # One file instead of the whole folder, and still a fresh look at whether the key is disabled.
            path = self._path_of(known.name)
            if _exists(path) and files.require_private_folder(self.path, "keystore folder"):
                info = _info(path)
                if info.address == address and not info.disabled:
                    return info
        scan = self.scan()
        found = [info for info in scan.keys if info.address == address]
        if found:
            return next((info for info in found if not info.disabled), found[0])
        if scan.unreadable:
            raise KeyUnavailable(
                f"no readable key with address {address} in {self._where()}; perhaps it is in one of these: "
                + "; ".join(error.message for error in scan.unreadable[:3]),
                code=scan.unreadable[0].code,
            )
        raise KeyUnavailable(f"no key with address {address} in {self._where()}", code="key_not_found")

    def _write(self, name: str, key: PrivateKey) -> KeyInfo:
        path = self._require_free(name)
        files.make_private_folder(self.path, "keystore folder")
        password = self._passwords.password(f"key {name} (new)", confirm=True)
        file = v3.encrypt(key, password, work_factor=self._work_factor, name=name, created_at=_now())
        with files.folder_lock(self.path):
            for other in self.scan().keys:
                if other.address == file.address:
                    raise SettingsError(
                        f"the key with address {file.address} is in {self._where()} already, as {other.name!r}",
                        code="key_exists",
                    )
            try:
                files.create(path, file.encode())
            except FileExistsError:
                raise self._taken(name) from None
        return _info(path)

    def _mark(self, name: str, *, disabled: bool) -> KeyInfo:
        info = self.get(name)
        with files.folder_lock(self.path):
            file, _ = _load(info.file)
            if file.disabled != disabled:
                file = replace(file, name=name, disabled=disabled)
                files.replace(info.file, file.encode())
        return self.get(name)

    def _require_free(self, name: str) -> Path:
        path = self._path_of(name)
        if _exists(path):
            raise self._taken(name)
        return path

    def _path_of(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise SettingsError(
                f"key name: expected 1 to 64 of a-z 0-9 . _ - and a letter or digit first, got {ascii(name)[:80]}",
                code="key_name",
            )
        return self.path / f"{name}{_SUFFIX}"

    def _taken(self, name: str) -> SettingsError:
        return SettingsError(f"a key {name!r} is in {self._where()} already", code="key_exists")

    def _where(self) -> str:
        missing = "" if _exists(self.path) else " (the folder does not exist: orchestrator keys create NAME makes it)"
        return f"keystore {self.path}{missing}"


def _load(path: Path) -> tuple[v3.KeyFile, str]:
    where = f"key file {path}"
    data = files.read_private(
        path, "key file", max_bytes=v3.MAX_BYTES, follow_symlinks=False, code="keystore_unreadable"
    )
    return v3.decode(data, where), where


def _info(path: Path) -> KeyInfo:
    name = path.name.removesuffix(_SUFFIX)
    file, where = _load(path)
    if _NAME.fullmatch(name) is None or file.name not in (None, name):
        raise KeyUnavailable(
            f"{where}: expected the file to be named after its key, {ascii(file.name)[:80]} and {_SUFFIX}",
            code="keystore_unreadable",
        )
    if file.address is None:
        raise KeyUnavailable(
            f"{where}: expected an address in it, got none; type orchestrator keys import NAME --keystore-file FILE",
            code="keystore_unreadable",
        )
    return KeyInfo(name, file.address, file.disabled, file.created_at, path)


def _exists(path: Path) -> bool:
    """Also for a broken link: the name is taken."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
