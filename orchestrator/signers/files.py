"""Files that hold secrets: read only when nobody else can read them, written whole or not at all.

A new file is written under a hidden temporary name, synced, and only then given its name, so a process that is killed
at any moment leaves either the old state or the new one. What a killed process leaves under a temporary name is
removed by the next writer. POSIX only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import KeyUnavailable

_LOCK = ".lock"


def read_private(path: Path, what: str, *, max_bytes: int, follow_symlinks: bool, code: str) -> bytes:
    """The bytes of a regular file that belongs to this user (or root) and that no other user can read or write.

    Raises KeyUnavailable: code ``keystore_permissions`` with the chmod to type, else ``code``. Never blocks on a pipe.
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
        if not stat.S_ISREG(status.st_mode):
            raise KeyUnavailable(f"{what} {path}: expected a regular file, got another kind", code=code)
        require_private(path, what, status, "600")
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
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unwritable(folder / _LOCK, error) from None
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


def create(path: Path, data: bytes) -> None:
    """Writes a new file, 0600, synced, complete from the moment that it has its name.

    Call under ``folder_lock``. Raises FileExistsError if the name is taken, KeyUnavailable if it cannot be written.
    """
    with _temporary(path, data) as temporary:
        os.link(temporary, path)  # unlike a rename, this never replaces
    _sync(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Replaces a file whole: a reader sees the old bytes or the new ones. Call under ``folder_lock``."""
    with _temporary(path, data) as temporary:
        temporary.replace(path)
    _sync(path.parent)


@contextlib.contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise
    except OSError as error:
        raise _unwritable(path, error) from None


def _sync(folder: Path) -> None:
    try:
        sync_folder(folder)
    except OSError as error:
        raise _unwritable(folder, error) from None


def sync_folder(folder: Path) -> None:
    """Makes the folder's names last. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_private(path: Path, what: str, status: os.stat_result, mode: str) -> None:
    """Raises KeyUnavailable ``keystore_permissions``, with what to type, if another user has a way in."""
    quoted = shlex.quote(str(path))
    if os.geteuid() != 0 and status.st_uid not in (os.geteuid(), 0):
        raise KeyUnavailable(
            f"{what} {path}: expected it to belong to user {os.geteuid()}, got user {status.st_uid}; "
            f"type chown {os.geteuid()} {quoted}",
            code="keystore_permissions",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyUnavailable(
            f"{what} {path} is open to other users: expected mode {mode}, got {stat.S_IMODE(status.st_mode):o}; "
            f"type chmod {mode} {quoted}",
            code="keystore_permissions",
        )


def _unwritable(path: Path, error: OSError) -> KeyUnavailable:
    return KeyUnavailable(f"{path} cannot be written: {error.strerror}", code="keystore_unwritable")
