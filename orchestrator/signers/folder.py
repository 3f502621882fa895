"""The keystore's folder as it is read: key files by name and by address, without a password.

What was read is kept in memory, and read again only if the file has changed: device, inode, size, times, owner and
mode are compared at every use, so that what another process writes is seen at once. A file younger than two seconds is
read again in any case, because its times may not show a second change.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator import files
from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.models import Address
from orchestrator.ports.signers import KeyInfo
from orchestrator.signers import descriptor, document, secret_storage
from orchestrator.signers.descriptor import Descriptor

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SUFFIX: Final = ".json"
_SETTLED: Final = 2_000_000_000
"""Nanoseconds after which a file's times show every change: the coarsest of usual file systems counts in 2 s."""

_Mark = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key file, read and checked."""

    info: KeyInfo
    path: Path
    content: secret_storage.KeyFile | Descriptor


@dataclass(frozen=True, slots=True)
class _Kept:
    entry: Entry
    mark: _Mark | None
    """None if it must be read again in any case."""


class KeyFolder:
    """Reads a folder of key files. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: dict[str, _Kept] = {}
        self._names: dict[Address, list[str]] = {}
        self._lock = threading.Lock()

    def where(self) -> str:
        """How errors name it."""
        missing = "" if exists(self.path) else " (the folder does not exist: orchestrator keys create NAME makes it)"
        return f"keystore {self.path}{missing}"

    def path_of(self, name: str) -> Path:
        """Raises SettingsError, code ``key_name``."""
        if _NAME.fullmatch(name) is None:
            raise SettingsError(
                f"key name: expected 1 to 64 of a-z 0-9 . _ - and a letter or digit first, got {ascii(name)[:80]}",
                code="key_name",
            )
        return self.path / f"{name}{_SUFFIX}"

    def read(self, name: str) -> Entry:
        """The key with this name, read now. Raises SettingsError and KeyUnavailable (``key_not_found``, …)."""
        path = self.path_of(name)
        if not self._is_there() or not exists(path):
            raise KeyUnavailable(
                f"no key {name!r} in {self.where()}",
                code="key_not_found",
                fix="orchestrator keys list shows those that there are; ORCHESTRATOR_KEYSTORE may be another folder.",
            )
        return _read(path)

    def scan(self) -> tuple[list[Entry], list[KeyUnavailable]]:
        """Every key by name, and an error for each file that could not be read; a missing folder has none.

        Raises KeyUnavailable if the folder itself cannot be used.
        """
        with self._lock:
            return self._scan()

    def find(self, address: Address) -> Entry:
        """The key with this address, an enabled one if there are several.

        Raises KeyUnavailable: ``key_not_found``; the first unreadable file's code if the key may be in that file.
        """
        with self._lock:
            if self._is_there():
                for name in self._names.get(address, ()):
                    entry = self._look(name)
                    if entry is not None and entry.info.address == address and not entry.info.disabled:
                        return entry
            entries, unreadable = self._scan()
        found = [entry for entry in entries if entry.info.address == address]
        if found:
            return next((entry for entry in found if not entry.info.disabled), found[0])
        if unreadable:
            raise KeyUnavailable(
                f"no readable key with address {address} in {self.where()}; perhaps it is in one of these: "
                + "; ".join(error.message for error in unreadable[:3]),
                code=unreadable[0].code,
            )
        raise KeyUnavailable(f"no key with address {address} in {self.where()}", code="key_not_found")

    def _is_there(self) -> bool:
        return files.require_private_folder(self.path, "keystore folder")

    def _scan(self) -> tuple[list[Entry], list[KeyUnavailable]]:
        self._names = {}
        if not self._is_there():
            self._kept = {}
            return [], []
        try:
            names = sorted(entry.name for entry in self.path.iterdir())
        except OSError as error:
            raise KeyUnavailable(
                f"keystore folder {self.path} cannot be read: {error.strerror}", code="keystore_unreadable"
            ) from None
        entries: list[Entry] = []
        unreadable: list[KeyUnavailable] = []
        for file_name in names:
            if file_name.startswith(".") or not file_name.endswith(_SUFFIX):
                continue
            name = file_name.removesuffix(_SUFFIX)
            try:
                entry = self._fresh(name, self.path / file_name)
            except KeyUnavailable as error:
                unreadable.append(error)
                continue
            entries.append(entry)
            self._names.setdefault(entry.info.address, []).append(name)
        self._kept = {entry.info.name: self._kept[entry.info.name] for entry in entries}
        return entries, unreadable

    def _look(self, name: str) -> Entry | None:
        """None if it cannot be read (any more): the scan that follows says why."""
        try:
            return self._fresh(name, self.path / f"{name}{_SUFFIX}")
        except KeyUnavailable:
            return None

    def _fresh(self, name: str, path: Path) -> Entry:
        """What is kept, if the file is as it was; else what is read now."""
        mark = _mark(path)
        kept = self._kept.get(name)
        if kept is not None and mark is not None and mark == kept.mark:
            return kept.entry
        entry = _read(path)
        settled = mark is not None and mark == _mark(path) and max(mark[-2:]) <= time.time_ns() - _SETTLED
        self._kept[name] = _Kept(entry, mark if settled else None)
        return entry


def exists(path: Path) -> bool:
    """Also for a broken link: the name is taken."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read(path: Path) -> Entry:
    name = path.name.removesuffix(_SUFFIX)
    where = f"key file {path}"
    data = files.read_private(
        path, "key file", max_bytes=document.MAX_BYTES, follow_symlinks=False, code="keystore_unreadable"
    )
    found = document.parse(data, where)
    content = descriptor.from_document(found, where) if "uri" in found else secret_storage.from_document(found, where)
    facts, address = content.facts, content.address
    if _NAME.fullmatch(name) is None or facts.name not in (None, name):
        document.unreadable(where, f"the file to be named after its key, {ascii(facts.name)[:80]} and {_SUFFIX}", name)
    if address is None:
        hint = "type orchestrator keys import NAME --keystore-file FILE"
        document.unreadable(where, "an address in it", f"none; {hint}")
    uri = content.uri if isinstance(content, Descriptor) else None
    info = KeyInfo(
        name=name,
        address=address,
        backend="keystore" if uri is None else uri.backend,
        disabled=facts.disabled,
        wallets=facts.wallets,
        uri=None if uri is None else uri.text,
        created_at=facts.created_at,
    )
    return Entry(info, path, content)


def _mark(path: Path) -> _Mark | None:
    """What changes with the file. None if there is none: opening it will say so."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mode,
        status.st_uid,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
