"""The key that a client's requests are signed with: read once, and again when the platform no longer takes it.

While a key is replaced the platform takes both, the old one and the new one. A request that is still signed with the
old one after its end is refused, so it was surely not processed: the key is read again, once for all who were refused
together, and the request is repeated. No caller sees a failure.
"""

from __future__ import annotations

import asyncio

from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.platform.settings import PlatformSettings
from orchestrator.request_signing.http_signature import RequestKey, RequestKeySource, RequestSigner

__all__ = ["CurrentRequestKey"]


class CurrentRequestKey:
    """The request-signing key that one session uses now. Within one event loop.

    The settings' own key comes before a managed one, until the platform no longer accepts it.
    """

    def __init__(self, settings: PlatformSettings, source: RequestKeySource | None = None) -> None:
        self._source = source
        self._managed = False
        self._reading = asyncio.Lock()
        self.use_settings(settings)

    @property
    def key_id(self) -> str | None:
        """The id of the key in use; None while there is none."""
        return None if self._signer is None else self._signer.key_id

    def use_settings(self, settings: PlatformSettings) -> None:
        """Signs as these settings say from now on; without a key id in them: with a managed key, or not at all."""
        self._settings = settings
        pem = settings.signing_key_pem.get_secret_value().encode()
        self._signer = self._signer_of(pem, settings.signing_key_id) if settings.signing_key_id else None

    def use(self, key: RequestKey | None) -> None:
        """Signs with this managed key from now on; None: with whatever is current when the next request is sent."""
        self._managed = True
        self._signer = None if key is None else self._signer_of(key, key.key_id)

    async def signer(self, *, needed: bool) -> RequestSigner | None:
        """What the next request is signed with. None: it goes unsigned, as it may where no signature is ``needed``, and
        as it always does from a client without managed keys. Raises, where one is needed, SettingsError
        ``request_key_missing``, KeyUnavailable."""
        if self._signer is None and self._source is not None:
            await self.replace_refused(None, needed=needed)
            if self._signer is None and needed:
                raise SettingsError(
                    "there is no request-signing key: neither the settings have one, nor has one of those beside the "
                    "keystore been uploaded (orchestrator keys request create NAME, then upload NAME)",
                    code="request_key_missing",
                )
        return self._signer

    async def replace_refused(self, refused: RequestSigner | None, *, needed: bool = True) -> bool:
        """Whether another key is in use by now than this one, which the platform has refused. Raises KeyUnavailable
        where a signature is ``needed``.

        SIDE EFFECTS: reads the managed keys.
        """
        if self._source is not None:
            async with self._reading:
                if self._signer is refused:
                    try:
                        key = await asyncio.to_thread(self._source.current)
                    except KeyUnavailable:
                        if needed:
                            raise
                        return False
                    same = key is not None and refused is not None and key.key_id == refused.key_id
                    if not same and (key is not None or self._managed):
                        self.use(key)
        return self._signer is not refused

    def _signer_of(self, key: bytes | RequestKey, key_id: str) -> RequestSigner:
        settings = self._settings
        return RequestSigner(
            key,
            key_id=key_id,
            components=settings.covered_components,
            label=settings.signature_label,
            digest_algorithm=settings.digest_algorithm,
        )
