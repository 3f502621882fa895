"""The log beside the keystore: what was about to be signed, outside of the journal's database; and the keystore's id.

    KEYSTORE/.signing/             0700
      keystore.json                {"version": 1, "id": UUID}: what the journal and the log call this folder of keys
      JOURNAL-ID.jsonl             0600  a line for each intended signature, appended before a key is touched

A database that was restored from a backup lacks the event that the last line names; a keystore that was restored lacks
the line that the database's last signature had. Either shows, and the hash chain alone would show neither: it proves
order, not freshness. A copy of the folder keeps its id, which shows a restored keystore as the one it is a copy of.
 A line that a kill cut short is dropped by the next writer; its signature was never made.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO, Final

from orchestrator import files
from orchestrator.errors import Disposition, KeyUnavailable
from orchestrator.foreign import MalformedJson, read_json
from orchestrator.models import canonical_uuid
from orchestrator.ports.signers import LogEntry
from orchestrator.signers import document

_FOLDER: Final = ".signing"
_ID_FILE: Final = "keystore.json"
_ID: Final = "the keystore's id"
_SUFFIX: Final = ".jsonl"
_JOURNAL: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_BYTES: Final = 1 << 30
_TAIL: Final = 1 << 16
"""Bytes at the end of a log that a process reads at first: more lines than its processes can have out of order."""
_MAX_LINE: Final = 4096
_RECENT: Final = 64
_KINDS: Final = {field.name: int if field.name in ("epoch", "seq") else str for field in fields(LogEntry)}


@dataclass(frozen=True, slots=True)
class _End:
    """How far a log was read, and what was found there."""

    inode: int = 0
    size: int = 0
    last: LogEntry | None = None
    recent: tuple[LogEntry, ...] = ()


class FileSigningLog:
    """The ``SigningLog`` of one keystore folder. Safe with several processes. A signature reads the log's end and then
    only what was added; ``entries`` reads it whole."""

    def __init__(self, keystore: Path) -> None:
        self._folder = keystore / _FOLDER
        self._ends: dict[str, _End] = {}
        """By journal."""
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

    def entries(self, journal_id: str) -> list[LogEntry]:
        """All lines for a journal, oldest first. Raises KeyUnavailable ``signing_log_unreadable``."""
        path = self._path(journal_id)
        with self._opened(path) as file:
            return [] if file is None else self._parsed(path, file.read())

    def last(self, journal_id: str) -> LogEntry | None:
        """Of the newest epoch the entry with the highest ``seq``, or None before the first. Reads the log's end."""
        return self._end(journal_id).last

    def _end(self, journal_id: str) -> _End:
        path = self._path(journal_id)
        with self._lock, self._opened(path) as file:
            if file is None:
                self._ends.pop(journal_id, None)
                return _End()
            status, known = os.fstat(file.fileno()), self._ends.get(journal_id, _End())
            if status.st_ino != known.inode or status.st_size < known.size:  # another file than the one read before
                known = _End(status.st_ino, self._tail(file, status.st_size))
            file.seek(known.size)
            data = file.read(status.st_size - known.size)
            fresh = self._parsed(path, data)
            candidates = fresh if known.last is None else [known.last, *fresh]
            end = _End(
                status.st_ino,
                known.size + data.rfind(b"\n") + 1,
                max(candidates, key=lambda entry: (entry.epoch, entry.seq), default=None),
                (*known.recent, *fresh)[-_RECENT:],
            )
            self._ends[journal_id] = end
            return end

    @staticmethod
    def _tail(file: BinaryIO, size: int) -> int:
        """Where the first whole line of the log's end begins; 0 where its end is no line, or all of the log."""
        if size <= _TAIL:
            return 0
        file.seek(size - _TAIL)
        data = file.read(_TAIL)
        begin = data.find(b"\n") + 1
        return size - _TAIL + begin if begin < data.rfind(b"\n") + 1 else 0

    @contextmanager
    def _opened(self, path: Path) -> Iterator[BinaryIO | None]:
        """The log for reading, None if there is none."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise self._unreadable(path, error.strerror or "it cannot be opened") from None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            files.require_private(path, "signing log", status, "600")
            if status.st_size > _MAX_BYTES:
                raise self._unreadable(path, f"expected at most {_MAX_BYTES} bytes, got {status.st_size}")
            yield file

    def _parsed(self, path: Path, data: bytes) -> list[LogEntry]:
        return [self._parse(path, line) for line in data[: data.rfind(b"\n") + 1].splitlines()]

    def note(self, journal_id: str, entry: LogEntry) -> None:
        """SIDE EFFECTS: appends the entry, on disk before this returns. An entry that is there already is left alone.

        Raises KeyUnavailable, code ``signing_log_unwritable`` (retry: no key was touched) or ``…_unreadable``.
        """
        path = self._path(journal_id)
        files.make_private_folder(self._folder.parent, "keystore folder")
        files.make_private_folder(self._folder, "signing log's folder")
        if entry in self._end(journal_id).recent:
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
            data = read_json(line, max_bytes=_MAX_LINE)
        except MalformedJson:
            data = None
        if (
            not isinstance(data, dict)
            or set(data) != set(_KINDS)
            or any(type(data[name]) is not kind for name, kind in _KINDS.items())
        ):
            raise self._unreadable(path, "a line is no entry")
        return LogEntry(**data)

    def _path(self, journal_id: str) -> Path:
        if _JOURNAL.fullmatch(journal_id) is None:
            raise AssertionError(f"a journal's id is a UUID, got {journal_id!r}")
        return self._folder / f"{journal_id}{_SUFFIX}"

    @staticmethod
    def _unreadable(path: Path, why: str) -> KeyUnavailable:
        return KeyUnavailable(
            f"signing log {path} cannot be read: {why}", code="signing_log_unreadable", disposition=Disposition.OPERATOR
        )


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def keystore_id(keystore: Path) -> str:
    """UUID text. SIDE EFFECTS: the first call for a folder makes it (and the folder).

    Raises KeyUnavailable: ``keystore_unreadable``, ``keystore_permissions``, ``keystore_unwritable``.
    """
    known = known_id(keystore)
    if known is None:
        path = keystore / _FOLDER / _ID_FILE
        files.make_private_folder(keystore, "keystore folder")
        files.make_private_folder(path.parent, "folder")
        content = document.dump({"version": 1, "id": str(uuid.uuid4())})
        with files.folder_lock(path.parent), contextlib.suppress(FileExistsError):  # another process was first
            files.create(path, content)
        known = known_id(keystore)
    if known is None:
        raise AssertionError("it was made just now")
    return known


def known_id(keystore: Path) -> str | None:
    """As ``keystore_id``, but None where there is none yet; it makes none."""
    path = keystore / _FOLDER / _ID_FILE
    if not (files.require_private_folder(path.parent, "folder") and path.exists()):
        return None
    where = f"{_ID} {path}"
    data = files.read_private(
        path, _ID, max_bytes=document.MAX_BYTES, follow_symlinks=False, code="keystore_unreadable"
    )
    found = document.parse(data, where)
    text = found.get("id")
    if found.get("version") != 1 or not isinstance(text, str):
        document.unreadable(where, "version 1 and an id", "something else")
    try:
        canonical = canonical_uuid(text)
    except ValueError:
        canonical = ""
    if text != canonical:
        document.unreadable(where, "a UUID", document.short(text))
    return text
