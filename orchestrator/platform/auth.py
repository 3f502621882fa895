"""The bearer token: one login for all who wait, replaced a little before it expires, at once after a 401."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from orchestrator.errors import MalformedAnswer, PlatformRefused, PlatformUnreachable
from orchestrator.platform.answers import parse_json
from orchestrator.platform.clock import Clock
from orchestrator.platform.platform_clock import clock_offset
from orchestrator.platform.transport import Answer, Call
from orchestrator.platform.wire import TokenWire, read

__all__ = ["Token", "TokenKeeper", "read_token"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token with its remaining life in seconds, counted from when it was answered."""

    text: str = field(repr=False)
    lifetime: float


def read_token(answer: Answer, call: Call) -> Token:
    """The token in a login's 2xx answer. Raises MalformedAnswer, also for one that has expired."""
    found = read(TokenWire, parse_json(answer, call), str(call))
    # Life is counted by the platform's own clock where it gives one, so that ours may be wrong.
    offset = clock_offset(answer)
    lifetime = found.expires_at - answer.received_at - (offset.total_seconds() if offset else 0.0)
    if lifetime <= 0:
        raise MalformedAnswer(
            f"{call}: field expiresAt: expected a time to come, got {found.expires_at}, "
            f"{-lifetime:.0f} s ago by {'the platform' if offset else 'this machine'}'s clock"
        )
    return Token(found.token, lifetime)


class TokenKeeper:
    """Holds the current token.

    ``login`` asks the platform once and raises PlatformRefused (code ``platform_login_refused``) for wrong
    credentials. Such a refusal is given to every caller for ``hold`` seconds without asking again: a service with a
    wrong secret must not hammer the login until the platform locks it.
    """

    def __init__(self, login: Callable[[], Awaitable[Token]], clock: Clock, *, margin: float, hold: float) -> None:
        self._login = login
        self._clock = clock
        self._margin = margin
        self._hold = hold
        self._token: str | None = None
        self._renew_at = 0.0
        self._expires_at = 0.0
        self._flight: asyncio.Task[str] | None = None
        self._refusal: PlatformRefused | None = None
        self._refused_until = 0.0

    def known(self) -> str | None:
        """The token held now, to keep it out of messages."""
        return self._token

    async def token(self, *, refused: str | None = None) -> str:
        """A token to send. ``refused``: the one that the platform answered 401 to; if another has taken its place
        meanwhile, that is given without a new login.

        SIDE EFFECTS: at most one login at a time, shared by all who wait.
        """
        now = self._clock.monotonic()
        if self._token is not None and self._token != refused and now < self._renew_at:
            return self._token
        if self._refusal is not None and now < self._refused_until:
            raise PlatformRefused(self._refusal.message, status=self._refusal.status, code=self._refusal.code)
        if self._flight is None:
            self._flight = asyncio.create_task(self._renew())
            self._flight.add_done_callback(self._landed)
        usable = self._token if self._token != refused and now < self._expires_at else None
        try:
            # Shielded: a waiter that is cancelled must not end the login of the others.
            return await asyncio.shield(self._flight)
        except PlatformUnreachable:
            if usable is not None:
                return usable  # it was only about to expire
            raise

    def forget(self) -> None:
        """Drops token and refusal, after the credentials have changed."""
        self._token = None
        self._refusal = None

    async def close(self) -> None:
        """Ends a login in flight."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    async def _renew(self) -> str:
        self._refusal = None
        try:
            token = await self._login()
        except PlatformRefused as error:
            self._token = None
            self._refusal = error
            self._refused_until = self._clock.monotonic() + self._hold
            raise
        now = self._clock.monotonic()
        self._token = token.text
        self._expires_at = now + token.lifetime
        self._renew_at = self._expires_at - min(self._margin, token.lifetime / 2)
        return token.text

    def _landed(self, flight: asyncio.Task[str]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # fetched, so that an error whose waiters are all gone is no warning
