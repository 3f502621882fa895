"""The platform's keys that its deliveries of webhooks are signed with, by their ids."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.errors import OrchestratorError
from orchestrator.platform.programme import VerificationKey

__all__ = ["VerificationKeys"]

_KEPT: Final = 2
"""Keys: the platform's current one, and the one before it, whose deliveries may still be under way."""


class VerificationKeys:
    """The platform's keys by their ids. It is asked for its key when a delivery names an id that is not known, or when
    a signature does not hold under the key that is: one request at a time, and after one that was in vain none for
    ``pause_seconds``, however many deliveries are forged."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[VerificationKey]],
        *,
        pause_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._pause = pause_seconds
        self._clock = clock
        self._keys: dict[str, ec.EllipticCurvePublicKey] = {}
        self._one_at_a_time = asyncio.Lock()
        self._paused_until = -float("inf")
        self._trouble: OrchestratorError | None = None

    def known(self, key_id: str) -> ec.EllipticCurvePublicKey | None:
        return self._keys.get(key_id)

    async def another(self, key_id: str, refused: ec.EllipticCurvePublicKey | None) -> ec.EllipticCurvePublicKey | None:
        """The key of this id, if the platform has another one for it than ``refused``; else None.

        Raises what the last request to the platform raised.
        """
        async with self._one_at_a_time:
            key = self._keys.get(key_id)
            if key is refused:
                await self._ask()
                key = self._keys.get(key_id)
                if key is not refused:
                    self._paused_until = -float("inf")
        return None if key is refused else key

    async def _ask(self) -> None:
        if self._clock() < self._paused_until:
            if self._trouble is not None:
                raise self._trouble.with_traceback(None)  # which else keeps every delivery that it was raised for
            return
        self._paused_until = self._clock() + self._pause
        self._trouble = None
        try:
            fetched = await self._fetch()
        except OrchestratorError as error:
            self._trouble = error
            raise
        before = self._keys.pop(fetched.id, None)
        same = before is not None and before.public_numbers() == fetched.key.public_numbers()
        self._keys[fetched.id] = before if same and before is not None else fetched.key
        while len(self._keys) > _KEPT:
            del self._keys[next(iter(self._keys))]
