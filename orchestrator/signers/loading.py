"""Whether the keys that a process needs are loaded: for the service's readiness, and for the doctor.

A key in a file is decrypted once (scrypt, most of a second). A key in a back end is checked there each time, so that a
token that was pulled is noticed. With many keys the first ``MOST`` are opened and the others only read: they are opened
when they first sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import KeyUnavailable, OrchestratorError
from orchestrator.ports.signers import KeyInfo
from orchestrator.request_signing.http_signature import RequestKeySource
from orchestrator.signers.keyring import Keyring

MOST: Final = 64
"""Keys of files that are opened ahead of their use."""
NOT_LOADED: Final = "not_loaded"
OK: Final = "ok"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The enabled keys by name. ``read``: their files are valid, and were not opened."""

    opened: tuple[str, ...]
    read: tuple[str, ...]
    failed: tuple[tuple[str, OrchestratorError], ...]


def load(keyring: Keyring, *, most: int = MOST, wanted: Callable[[KeyInfo], bool] = lambda _: True) -> Loaded:
    """Opens the enabled keys that are ``wanted``. Blocks for scrypt or a back end's timeout per key. Raises nothing: a
    file that cannot be read counts as failed, under an empty name."""
    opened: list[str] = []
    read: list[str] = []
    failed: list[tuple[str, OrchestratorError]] = []
    try:
        scan = keyring.scan()
    except KeyUnavailable as error:
        return Loaded((), (), (("", error),))
    failed += (("", error) for error in scan.unreadable)
    files = 0
    for key in scan.keys:
        if key.disabled or not wanted(key):
            continue
        files += key.uri is None
        if key.uri is None and files > most:
            read.append(key.name)
            continue
        try:
            keyring.signer(key.name).unlock()
        except OrchestratorError as error:
            failed.append((key.name, error))
        else:
            opened.append(key.name)
    return Loaded(tuple(opened), tuple(read), tuple(failed))


@dataclass(frozen=True, slots=True)
class KeyCondition:
    """Each ``ok``, ``not_loaded`` (yet), or the code of its error."""

    keys: str = NOT_LOADED
    request_key: str = NOT_LOADED


class KeyMonitor:
    """Loads the keys in the background, and polls whether they can still be used.

    ``request_keys``: None where the settings have a request-signing key of their own, which was read with the client.
    ``report`` is called with each new error: the key's name, and the error.
    """

    def __init__(
        self,
        keyring: Keyring,
        request_keys: RequestKeySource | None = None,
        *,
        report: Callable[[str, OrchestratorError], None] = lambda _name, _error: None,
    ) -> None:
        self._keyring = keyring
        self._request_keys = request_keys
        self._report = report
        self._known: set[tuple[str, str]] = set()
        self.condition = KeyCondition()

    async def run(self, *, interval: float = 30.0) -> None:
        """Polls until it is cancelled. ``interval``: seconds."""
        while True:
            await self.poll()
            await asyncio.sleep(interval)

    async def poll(self) -> KeyCondition:
        """Checks all keys once; the result is also kept as ``condition``."""
        loaded = await asyncio.to_thread(load, self._keyring)
        errors = list(loaded.failed)
        if not errors and not loaded.opened:
            nothing = KeyUnavailable(f"keystore {self._keyring.path} has no enabled key", code="key_not_found")
            errors = [("", nothing)]
        request_key = await asyncio.to_thread(self._request_key)
        self.condition = KeyCondition(
            keys=errors[0][1].code if errors else OK, request_key=request_key.code if request_key else OK
        )
        if request_key:
            errors.append(("request", request_key))
        for name, error in errors:
            if (name, error.code) not in self._known:
                self._report(name, error)
        self._known = {(name, error.code) for name, error in errors}
        return self.condition

    def _request_key(self) -> OrchestratorError | None:
        if self._request_keys is None:
            return None
        try:
            if self._request_keys.current() is not None:
                return None
        except OrchestratorError as error:
            return error
        return KeyUnavailable("no request-signing key was uploaded yet", code="request_key_missing")
