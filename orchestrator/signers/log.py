"""The log beside the keystore: what was about to be signed, outside of the journal's database.

    KEYSTORE/.signing/             0700
      keystore.json                the keystore's id
      JOURNAL-ID.jsonl             0600  a line for each intended signature, appended before a key is touched

A database that was restored from a backup lacks the event that the last line names; a keystore that was restored lacks
the line that the database's last signature had. Either shows, and the hash chain alone would show neither: it proves
order, not freshness. A line that a kill cut short is dropped by the next writer; its signature was never made.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final

from orchestrator.errors import Disposition, KeyUnavailable
from orchestrator.json_depth import too_deep
from orchestrator.ports.signers import LogEntry
from orchestrator.signers import files

_FOLDER: Final = ".signing"
_SUFFIX: Final = ".jsonl"
_JOURNAL: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_BYTES: Final = 1 << 30
_KINDS: Final = {field.name: int if field.name in ("epoch", "seq") else str for field in fields(LogEntry)}


class FileSigningLog:
    """The ``SigningLog`` of one keystore folder. Safe with several processes; reads only what was added since."""

    def __init__(self, keystore: Path) -> None:
        self._folder = keystore / _FOLDER
        self._read: dict[str, tuple[int, int, list[LogEntry]]] = {}
        """Of each journal the file's inode, how far it was read, and the entries."""
        self._lock = threading.Lock()

    def journals(self) -> frozenset[str]:
        """Ids of the journals that this keystore has signed for. Raises KeyUnavailable ``signing_log_unreadable``."""
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise self._unreadable(self._folder, error.strerror or "it cannot be listed") from None
        found = (name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
        return frozenset(name for name in found if _JOURNAL.fullmatch(name))

    def entries(self, journal: str) -> list[LogEntry]:
        """All lines for a journal, oldest first. Raises KeyUnavailable ``signing_log_unreadable``."""
        with self._lock:
            return self._entries(journal)

    def _entries(self, journal: str) -> list[LogEntry]:
        path = self._path(journal)
        inode, start, known = self._read.get(journal, (0, 0, []))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            self._read.pop(journal, None)
            return []
        except OSError as error:
            raise self._unreadable(path, error.strerror or "it cannot be opened") from None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            files.require_private(path, "signing log", status, "600")
            size = status.st_size
            if status.st_ino != inode or size < start:  # another file than the one read before
                start, known = 0, []
            if size > _MAX_BYTES:
                raise self._unreadable(path, f"expected at most {_MAX_BYTES} bytes, got {size}")
            file.seek(start)
            data = file.read(size - start)
        whole = data[: data.rfind(b"\n") + 1]
        fresh = [self._parse(path, line) for line in whole.splitlines()]
        known = [*known, *fresh] if fresh else known
        self._read[journal] = (status.st_ino, start + len(whole), known)
        return known

    def last(self, journal: str) -> LogEntry | None:
        """Of the newest epoch the entry with the highest ``seq``, or None before the first."""
        return max(self.entries(journal), key=lambda entry: (entry.epoch, entry.seq), default=None)

    def note(self, journal: str, entry: LogEntry) -> None:
        """SIDE EFFECTS: appends the entry, on disk before this returns. An entry that is there already is left alone.

        Raises KeyUnavailable, code ``signing_log_unwritable`` (retry: no key was touched) or ``…_unreadable``.
        """
        path = self._path(journal)
        files.make_private_folder(self._folder.parent, "keystore folder")
        files.make_private_folder(self._folder, "signing log's folder")
        if entry in self.entries(journal)[-64:]:
            return
        line = json.dumps(asdict(entry), separators=(",", ":"), sort_keys=True).encode("ascii") + b"\n"
        try:
            with self._locked(path) as descriptor:
                self._drop_torn_line(descriptor)
                os.lseek(descriptor, 0, os.SEEK_END)
                _write_all(descriptor, line)
                os.fsync(descriptor)
        except OSError as error:
            raise KeyUnavailable(
                f"signing log {path} cannot be written: {error.strerror}; nothing was signed",
                code="signing_log_unwritable",
                disposition=Disposition.RETRY,
            ) from None

    @contextmanager
    def _locked(self, path: Path) -> Iterator[int]:
        new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            files.require_private(path, "signing log", os.fstat(descriptor), "600")
            yield descriptor
            if new:
                files.sync_folder(self._folder)
        finally:
            os.close(descriptor)

    @staticmethod
    def _drop_torn_line(descriptor: int) -> None:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        back = min(size, 4096)
        tail = os.pread(descriptor, back, size - back)
        if tail and not tail.endswith(b"\n"):
            os.ftruncate(descriptor, size - back + tail.rfind(b"\n") + 1)

    def _parse(self, path: Path, line: bytes) -> LogEntry:
        try:
            data = None if too_deep(line) else json.loads(line)
        except ValueError:
            data = None
        if (
            not isinstance(data, dict)
            or set(data) != set(_KINDS)
            or any(type(data[name]) is not kind for name, kind in _KINDS.items())
        ):
            raise self._unreadable(path, "a line is no entry")
        return LogEntry(**data)

    def _path(self, journal: str) -> Path:
        if _JOURNAL.fullmatch(journal) is None:
            raise AssertionError(f"a journal's id is a UUID, got {journal!r}")
        return self._folder / f"{journal}{_SUFFIX}"

    @staticmethod
    def _unreadable(path: Path, why: str) -> KeyUnavailable:
        return KeyUnavailable(
            f"signing log {path} cannot be read: {why}", code="signing_log_unreadable", disposition=Disposition.OPERATOR
        )


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
