"""The key that a client's requests are signed with: read once, and exchanged without a request that fails.

Within a process nobody sends while the key is exchanged: what is in flight is awaited, what comes is held. A request
of another process may still be signed with a key that has just been replaced. It is answered 401, so it was surely not
processed: the new key is looked up once for all who wait, and the request repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from orchestrator.errors import SettingsError
from orchestrator.platform.settings import PlatformSettings
from orchestrator.platform.signing import RequestKey, RequestSigner

__all__ = ["RequestKeys", "SigningKeys"]

DRAIN_SECONDS: Final = 5.0
"""How long an exchange waits for requests in flight. What takes longer is repeated if its key is gone by then."""


class RequestKeys(Protocol):
    """Where managed request-signing keys are kept. Everything blocks: it is called in a thread."""

    def current(self, *, refused: str | None = None) -> RequestKey | None:
        """The key to sign with, None where there is none. ``refused``: the id of one that the platform takes no
        longer; then another, once a change that is under way is settled, or None. Raises KeyUnavailable."""
        ...

    def unfinished(self) -> str | None:
        """The name of a key whose upload was begun and not settled: whoever did it has died, if nobody changes keys
        now."""
        ...


class SigningKeys:
    """The signer of one session. Within one event loop.

    The settings' own key wins over a managed one, until the platform takes it no longer.
    """

    def __init__(self, settings: PlatformSettings, source: RequestKeys | None = None) -> None:
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
        self._flight: asyncio.Task[None] | None = None
        self._flight_for: str | None = None
        self.finish: Callable[[str], Awaitable[None]] | None = None
        """Completes the upload that another process has left unfinished."""

    # --- which key -------------------------------------------------------------------------------------------------

    @property
    def key_id(self) -> str | None:
        """The id of the key in use; None while there is none."""
        return None if self._signer is None else self._signer.key_id

    def use_id(self, key_id: str) -> None:
        """Signs with the settings' key under this id from now on; an empty id: with a managed key, or not at all."""
        self._signer = (
            self._made(self._settings.signing_key_pem.get_secret_value().encode(), key_id) if key_id else None
        )

    def use_settings(self, settings: PlatformSettings) -> None:
        """Signs as these settings say from now on."""
        self._settings = settings
        self.use_id(settings.signing_key_id)

    def use(self, key: RequestKey | None) -> None:
        """Signs with this managed key from now on; None: with whatever is current when the next request is sent."""
        self._superseded = True
        self._signer = None if key is None else self._made(key, key.key_id)

    async def refresh(self) -> None:
        """Looks up the managed key anew, unless the settings' own is in use. Raises KeyUnavailable."""
        if self._source is not None and (self._superseded or not self._settings.signing_key_id):
            key = await asyncio.to_thread(self._source.current)
            self._signer = None if key is None else self._made(key, key.key_id)

    async def another(self, refused: RequestSigner | None) -> bool:
        """Whether there is another key than this one, which the platform has refused. Raises KeyUnavailable.

        SIDE EFFECTS: at most one look at a time, shared by all who wait; it may complete an upload that a process
        which died has left unfinished.
        """
        if refused is None or self._source is None or self._signer is not refused:
            return self._signer is not refused
        if self._holder is asyncio.current_task():
            if self._trial:
                return False
            # It has the right to change the platform's key, so there is no change to wait for.
            key = await asyncio.to_thread(self._source.current)
            if key is None or key.key_id == refused.key_id:
                return False
            self.use(key)
            return True
        while self._signer is refused and not await self._shared_look(self._source, refused.key_id):
            pass  # that look was about another key
        return self._signer is not refused

    async def close(self) -> None:
        """Ends a look in flight."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    # --- while it is used, and while it is exchanged -----------------------------------------------------------------

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[RequestSigner | None]:
        """The key for one request, which is not exchanged until this ends. None: the request goes unsigned.

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

    async def takes(self, key: RequestKey, read: Callable[[], Awaitable[bool]]) -> bool:
        """Whether ``read`` succeeds when it is signed with this key and no other; if so, it stays in use."""
        async with self.held():
            before = (self._signer, self._superseded)
            self.use(key)
            self._trial, taken = True, False
            try:
                taken = await read()
            finally:
                self._trial = False
                if not taken:
                    self._signer, self._superseded = before
        return taken

    # --- inside ----------------------------------------------------------------------------------------------------

    def _made(self, key: bytes | RequestKey, key_id: str) -> RequestSigner:
        settings = self._settings
        return RequestSigner(
            key,
            key_id=key_id,
            components=settings.covered_components,
            label=settings.signature_label,
            digest_algorithm=settings.digest_algorithm,
        )

    async def _load(self, source: RequestKeys) -> None:
        """The first look."""
        while self._signer is None and not await self._shared_look(source, None):
            pass
        if self._signer is None:
            raise SettingsError(
                "there is no request-signing key: neither the settings have one, nor has one of those beside the "
                "keystore been uploaded (orchestrator keys request create NAME, then upload NAME)",
                code="request_key_missing",
            )

    async def _shared_look(self, source: RequestKeys, refused: str | None) -> bool:
        """Waits for the look under way, or starts one. Whether it was about the same refused key."""
        if self._flight is None:
            self._flight_for = refused
            self._flight = asyncio.create_task(self._look(source, refused))
            self._flight.add_done_callback(self._landed)
        same = self._flight_for == refused
        await asyncio.shield(self._flight)  # a waiter that is cancelled must not end the look of the others
        return same

    async def _look(self, source: RequestKeys, refused: str | None) -> None:
        key = await asyncio.to_thread(source.current, refused=refused)
        if key is None and refused is not None and self.finish is not None:
            name = await asyncio.to_thread(source.unfinished)
            if name is not None:
                await self.finish(name)
                key = await asyncio.to_thread(source.current)
        if key is not None and key.key_id != refused:
            self.use(key)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # fetched, so that an error whose waiters are all gone is no warning
