"""Files that nobody else is to see: how they are read, how they are written. One rule for all of them.

Written: 0600, whole or not at all, and never over a file of somebody's unless that was asked for. A new file gets a
hidden temporary name, is synced, and only then given its own, so a process that is killed at any moment leaves either
the old state or the new one, and no link leads the bytes elsewhere. What a killed process leaves under a temporary name
in a folder of this program's is removed by the next writer.

Read, where it holds a secret: only if it belongs to this user or root, and nobody else has a way in; only a file of
root's that was handed to this process by its path may be open to a group's reading (0640), because that is how
Kubernetes (``fsGroup``) and Debian (``ssl-cert``) hand secrets over. It is libpq's rule for its private key
(postgresql.org, "SSL Support", ``sslkey``). POSIX only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shlex
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.errors import KeyUnavailable, SettingsError

_LOCK = ".lock"


def read_private(path: Path, what: str, *, max_bytes: int, follow_symlinks: bool, code: str) -> bytes:
    """The bytes of a regular file that nobody else can read or write.

    ``follow_symlinks``: the file was handed over by its path; otherwise it is this program's own. A pipe is read only
    where the shell gave it to this process (``/dev/fd/63``, from ``<(…)``), and never waited for elsewhere. Raises
    KeyUnavailable: code ``keystore_permissions`` with the chmod to type, else ``code``.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_symlinks else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyUnavailable(f"{what} {path}: expected a regular file, got a symbolic link", code=code) from None
        raise KeyUnavailable(f"{what} {path} cannot be opened: {error.strerror}", code=code) from None
    try:
        status = os.fstat(descriptor)
        if stat.S_ISFIFO(status.st_mode) and path.parent == Path("/dev/fd"):
            os.set_blocking(descriptor, True)
        elif not stat.S_ISREG(status.st_mode):
            raise KeyUnavailable(f"{what} {path}: expected a regular file, got another kind", code=code)
        require_private(path, what, status, "600", handed_over=follow_symlinks)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise KeyUnavailable(f"{what} {path} cannot be read: {error.strerror}", code=code) from None
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:
        raise KeyUnavailable(f"{what} {path}: expected at most {max_bytes} bytes, got more", code=code)
    return data


def require_private_folder(path: Path, what: str) -> bool:
    """Whether the folder exists. Raises KeyUnavailable if it is no folder or others have access (with the chmod)."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise KeyUnavailable(f"{what} {path} cannot be read: {error.strerror}", code="keystore_unreadable") from None
    if not stat.S_ISDIR(status.st_mode):
        raise KeyUnavailable(f"{what} {path}: expected a folder, got another kind", code="keystore_unreadable")
    require_private(path, what, status, "700")
    return True


def make_private_folder(path: Path, what: str) -> None:
    """Makes the folder (0700, parents too if need be) unless it is there; then as ``require_private_folder``."""
    if require_private_folder(path, what):
        return
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise KeyUnavailable(f"{what} {path} cannot be made: {error.strerror}", code="keystore_unwritable") from None
    require_private_folder(path, what)


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """One writer at a time in a folder, over processes and threads; ends with its process. Clears leftovers."""
    descriptor = _open_lock(folder / _LOCK)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for leftover in folder.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from None
        yield
    finally:
        os.close(descriptor)


class Lock:
    """A lock on a file, which ends with its process or when it is released."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def try_lock(path: Path) -> Lock | None:
    """The lock on this file, which is made if it is not there; None while another holds it, in any process. Waits for
    nobody. Raises KeyUnavailable ``keystore_unwritable``."""
    descriptor = _open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise _unwritable(path, error) from None
    return Lock(descriptor)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None


def deliver(path: Path, data: bytes, *, code: str, force: bool = False, older: bytes | None = None) -> None:
    """Writes a file where a person, or a setting, wants it: 0600, synced, whole or not at all.

    A file that is there stays, unless ``force``, or it has these very bytes or the ``older`` ones; anything else than a
    file (a link, a device, a pipe) always does. Raises SettingsError ``code``.
    """
    there = require_free(path, code=code, force=force, known=(data, older))
    try:
        with _temporary(path, data) as temporary:
            if force or there:
                temporary.replace(path)
            else:
                _name(temporary, path)
        sync_folder(path.parent)
    except FileExistsError:
        raise _taken(path, code) from None
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror or error}", code=code) from None


def require_free(path: Path, *, code: str, force: bool = False, known: Sequence[bytes | None] = ()) -> bool:
    """Whether there is a file, which ``deliver`` would write over: any by ``force``, else one with ``known`` bytes.

    Raises SettingsError ``code`` where there is another one, or something else than a file.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise SettingsError(f"{path}: expected a file or a free name, got something else there", code=code)
        if force or any(data is not None and _holds(path, status, data) for data in known):
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror or error}", code=code) from None
    raise _taken(path, code)


def _holds(path: Path, status: os.stat_result, data: bytes) -> bool:
    return status.st_size == len(data) and path.read_bytes() == data


def _taken(path: Path, code: str) -> SettingsError:
    return SettingsError(
        f"{path} is there already, and nothing was written over it",
        code=code,
        fix="Move it away, or name another file; --force, where the command has it, writes over it.",
    )


def make_empty(path: Path) -> None:
    """Makes an empty file, 0600, unless there is one: that is not even opened, because closing it would end all locks
    that this process has on it (fcntl(2); sqlite.org, "How To Corrupt An SQLite Database File", 2.2). Raises OSError.
    """
    try:
        # Where a link leads, the file is made there.
        os.close(os.open(path.resolve(), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None


def create(path: Path, data: bytes) -> None:
    """Writes a new file, 0600, synced, complete from the moment that it has its name.

    Call under ``folder_lock``. Raises FileExistsError if the name is taken, KeyUnavailable if it cannot be written.
    """
    try:
        with _temporary(path, data) as temporary:
            _name(temporary, path)
        sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise _unwritable(path, error) from None


def replace(path: Path, data: bytes) -> None:
    """Replaces a file whole: a reader sees the old bytes or the new ones. Call under ``folder_lock``."""
    try:
        with _temporary(path, data) as temporary:
            temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None


@contextlib.contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    temporary = path.with_name(f".{secrets.token_hex(12)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _name(temporary: Path, path: Path) -> None:
    """Unlike a rename, this never replaces. Raises FileExistsError, OSError."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        # A file system without links (FAT, some shares): the name is taken first, then filled.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        temporary.replace(path)


def sync_folder(folder: Path) -> None:
    """Makes the folder's names last. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_private(path: Path, what: str, status: os.stat_result, mode: str, *, handed_over: bool = False) -> None:
    """Raises KeyUnavailable ``keystore_permissions``, with what to type, if another user has a way in."""
    user, quoted = os.geteuid(), shlex.quote(str(path))
    if user != 0 and status.st_uid not in (user, 0):
        raise KeyUnavailable(
            f"{what} {path}: expected it to belong to user {user}, got user {status.st_uid}; "
            f"type chown {user} {quoted}",
            code="keystore_permissions",
        )
    if open_to_others(status, handed_over=handed_over):
        if handed_over and status.st_uid != user:  # only root can change it, and after chmod 600 only root could read
            command = f"chmod 640 {quoted} (and chgrp it to a group of this process)"
        else:
            command = f"chmod {mode} {quoted}"
        raise KeyUnavailable(
            f"{what} {path} is open to other users: expected mode {mode}, got {stat.S_IMODE(status.st_mode):o}; "
            f"type {command}",
            code="keystore_permissions",
        )


def open_to_others(status: os.stat_result, *, handed_over: bool = False) -> bool:
    """Whether users besides the owner have a way in that the rule (this module's docstring) does not allow."""
    allowed = stat.S_IRGRP if handed_over and status.st_uid == 0 else 0
    return bool(stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO) & ~allowed)


def _unwritable(path: Path, error: OSError) -> KeyUnavailable:
    return KeyUnavailable(f"{path} cannot be written: {error.strerror}", code="keystore_unwritable")
