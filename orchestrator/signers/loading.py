"""Whether the keys that a process needs are loaded: what readiness rests on, and the doctor's look at the keys.

Loading a key of a file is scrypt (most of a second), done once; a key that lies elsewhere is asked of its back end each
time, so that a token that was pulled is noticed. With many keys the first ``MOST`` are loaded and the others only read:
they are opened when they first sign.
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
    """What became of the enabled keys, by name. ``read``: in order as far as that can be told without opening them."""

    opened: tuple[str, ...]
    read: tuple[str, ...]
    failed: tuple[tuple[str, OrchestratorError], ...]


def load(keyring: Keyring, *, most: int = MOST, wanted: Callable[[KeyInfo], bool] = lambda _: True) -> Loaded:
    """Opens the enabled keys that are ``wanted``. Blocks, for scrypt or a back end's timeout per key; raises nothing
    for what it finds. A file that cannot be read counts as failed, under an empty name."""
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
    """``ok``, ``not_loaded`` (yet), or the code of the trouble."""

    keys: str = NOT_LOADED
    request_key: str = NOT_LOADED


class KeyMonitor:
    """Loads the keys in the background, and looks again and again whether they can still be used.

    ``request_keys``: None where the settings have a request-signing key of their own, which is there once the client
    was made. ``told`` is called with each trouble that is new.
    """

    def __init__(
        self,
        keyring: Keyring,
        request_keys: RequestKeySource | None = None,
        *,
        most: int = MOST,
        told: Callable[[str, OrchestratorError], None] = lambda _name, _error: None,
    ) -> None:
        self._keyring = keyring
        self._request_keys = request_keys
        self._most = most
        self._told = told
        self._known: set[tuple[str, str]] = set()
        self.condition = KeyCondition()

    async def run(self, *, interval: float = 30.0) -> None:
        """Looks until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(interval)

    async def look(self) -> KeyCondition:
        """One look; also kept as ``condition``."""
        loaded = await asyncio.to_thread(load, self._keyring, most=self._most)
        troubles = list(loaded.failed)
        if not troubles and not loaded.opened:
            nothing = KeyUnavailable(f"keystore {self._keyring.path} has no enabled key", code="key_not_found")
            troubles = [("", nothing)]
        request_key = await asyncio.to_thread(self._request_key)
        self.condition = KeyCondition(
            keys=troubles[0][1].code if troubles else OK, request_key=request_key.code if request_key else OK
        )
        if request_key:
            troubles.append(("request", request_key))
        for name, error in troubles:
            if (name, error.code) not in self._known:
                self._told(name, error)
        self._known = {(name, error.code) for name, error in troubles}
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
