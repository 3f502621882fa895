"""The key that a client's requests are signed with: read once, and exchanged without a failing request.

While the key is exchanged, its own process sends nothing: requests in flight are awaited, new ones are held. A request
of another process may still be signed with a key that has just been replaced. It is answered 401, so it was surely not
processed: the new key is read once for all who wait, and the request is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from orchestrator.errors import SettingsError
from orchestrator.platform.settings import PlatformSettings
from orchestrator.request_signing.http_signature import RequestKey, RequestKeySource, RequestSigner

__all__ = ["CurrentRequestKey"]

DRAIN_SECONDS: Final = 5.0
"""How long an exchange waits for requests in flight. One that takes longer is repeated if its key was replaced."""


class CurrentRequestKey:
    """The request-signing key that one session uses now. Within one event loop.

    The settings' own key comes before a managed one, until the platform no longer accepts it.
    """

    def __init__(self, settings: PlatformSettings, source: RequestKeySource | None = None) -> None:
        self._settings = settings
        self._source = source
        self._signer: RequestSigner | None = None
        self._superseded = False
        self._trial = False
        self.use_id(settings.signing_key_id)
        self._users = 0
        self._idle = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._holder: asyncio.Task[object] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._read_refused: str | None = None
        self.complete_upload: Callable[[str], Awaitable[None]] | None = None
        """Completes an upload that another process has left unfinished."""

    # --- which key -------------------------------------------------------------------------------------------------

    @property
    def key_id(self) -> str | None:
        """The id of the key in use; None while there is none."""
        return None if self._signer is None else self._signer.key_id

    def use_id(self, key_id: str) -> None:
        """Signs with the settings' key under this id from now on; an empty id: with a managed key, or not at all."""
        self._signer = (
            self._signer_of(self._settings.signing_key_pem.get_secret_value().encode(), key_id) if key_id else None
        )

    def use_settings(self, settings: PlatformSettings) -> None:
        """Signs as these settings say from now on."""
        self._settings = settings
        self.use_id(settings.signing_key_id)

    def use(self, key: RequestKey | None) -> None:
        """Signs with this managed key from now on; None: with whatever is current when the next request is sent."""
        self._superseded = True
        self._signer = None if key is None else self._signer_of(key, key.key_id)

    async def refresh(self) -> None:
        """Reads the managed key again, unless the settings' own is in use. Raises KeyUnavailable."""
        if self._source is not None and (self._superseded or not self._settings.signing_key_id):
            key = await asyncio.to_thread(self._source.current)
            self._signer = None if key is None else self._signer_of(key, key.key_id)

    async def replace_refused(self, refused: RequestSigner | None) -> bool:
        """Whether another key is in use by now than this one, which the platform has refused. Raises KeyUnavailable.

        SIDE EFFECTS: reads the key, at most once at a time for all who wait; may complete an upload that a process
        which died has left unfinished.
        """
        if refused is None or self._source is None or self._signer is not refused:
            return self._signer is not refused
        if self._holder is asyncio.current_task():
            if self._trial:
                return False
            # This task holds the lock on changes, so there is no change to wait for.
            key = await asyncio.to_thread(self._source.current)
            if key is None or key.key_id == refused.key_id:
                return False
            self.use(key)
            return True
        while self._signer is refused and not await self._read_once(self._source, refused.key_id):
            pass  # that read was for another refused key
        return self._signer is not refused

    async def close(self) -> None:
        """Cancels a read in flight."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    # --- while it is used, and while it is exchanged -----------------------------------------------------------------

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[RequestSigner | None]:
        """The key for one request; it is not exchanged before this ends. None: the request goes unsigned.

        Raises SettingsError ``request_key_missing``, KeyUnavailable.
        """
        mine = self._holder is asyncio.current_task()
        while self._holder is not None and not mine:
            await self._free.wait()
        self._users += not mine
        try:
            if self._signer is None and self._source is not None and not mine:
                await self._load(self._source)
            yield self._signer
        finally:
            self._users -= not mine
            if not self._users:
                self._idle.set()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """While this is open only its own task sends requests."""
        while self._holder is not None:
            await self._free.wait()
        self._holder = asyncio.current_task()
        self._free.clear()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    while self._users:
                        self._idle.clear()
                        await self._idle.wait()
            yield
        finally:
            self._holder = None
            self._free.set()

    async def accepts(self, key: RequestKey, read: Callable[[], Awaitable[bool]]) -> bool:
        """Whether ``read`` succeeds when it is signed with this key alone. If so, the key stays in use."""
        async with self.held():
            before = (self._signer, self._superseded)
            self.use(key)
            self._trial, accepted = True, False
            try:
                accepted = await read()
            finally:
                self._trial = False
                if not accepted:
                    self._signer, self._superseded = before
        return accepted

    # --- inside ----------------------------------------------------------------------------------------------------

    def _signer_of(self, key: bytes | RequestKey, key_id: str) -> RequestSigner:
        settings = self._settings
        return RequestSigner(
            key,
            key_id=key_id,
            components=settings.covered_components,
            label=settings.signature_label,
            digest_algorithm=settings.digest_algorithm,
        )

    async def _load(self, source: RequestKeySource) -> None:
        """Reads the first key. Raises SettingsError ``request_key_missing``, KeyUnavailable."""
        while self._signer is None and not await self._read_once(source, None):
            pass
        if self._signer is None:
            raise SettingsError(
                "there is no request-signing key: neither the settings have one, nor has one of those beside the "
                "keystore been uploaded (orchestrator keys request create NAME, then upload NAME)",
                code="request_key_missing",
            )

    async def _read_once(self, source: RequestKeySource, refused: str | None) -> bool:
        """Waits for the read in flight, or starts one. Whether it was for the same refused key."""
        if self._reading is None:
            self._read_refused = refused
            self._reading = asyncio.create_task(self._read(source, refused))
            self._reading.add_done_callback(self._read_done)
        same = self._read_refused == refused
        await asyncio.shield(self._reading)  # a waiter that is cancelled must not end the read of the others
        return same

    async def _read(self, source: RequestKeySource, refused: str | None) -> None:
        key = await asyncio.to_thread(source.current, refused=refused)
        if key is None and refused is not None and self.complete_upload is not None:
            name = await asyncio.to_thread(source.unfinished)
            if name is not None:
                await self.complete_upload(name)
                key = await asyncio.to_thread(source.current)
        if key is not None and key.key_id != refused:
            self.use(key)

    def _read_done(self, reading: asyncio.Task[None]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # fetched, so that an error whose waiters are all gone is no warning
