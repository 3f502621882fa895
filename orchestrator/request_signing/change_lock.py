"""The lock on a change of the platform's request-signing key, over processes and threads. It ends with its process."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from orchestrator.errors import Disposition, KeyUnavailable

_POLL: Final = 0.02


class Change:
    """The right to change the platform's key; ends with its process, or when it is closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class ChangeLock:
    """A file that is locked while a change is under way. Raises KeyUnavailable where there can be no such file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def try_take(self) -> Change | None:
        """The lock, or None while another has it. Waits for nobody."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise self._unusable(error) from None
        return Change(descriptor)

    def await_free(self, patience: float) -> None:
        """Waits until nobody has it, at most ``patience`` seconds; blocks. What a dead process held is free.

        Raises KeyUnavailable ``request_key_busy``.
        """
        until = time.monotonic() + patience
        descriptor = self._open()
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= until:
                        raise KeyUnavailable(
                            f"another process has been changing the request-signing key for {patience:.0f} s "
                            f"({self._path})",
                            code="request_key_busy",
                            disposition=Disposition.RETRY,
                        ) from None
                    time.sleep(_POLL)
                else:
                    return
        except OSError as error:
            raise self._unusable(error) from None
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> KeyUnavailable:
        return KeyUnavailable(f"{self._path} cannot be used: {error.strerror}", code="keystore_unwritable")
