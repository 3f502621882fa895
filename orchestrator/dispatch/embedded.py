"""Drives accounts in this process: advance, wait for a wake-up, advance again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from orchestrator.errors import OrchestratorError
from orchestrator.lifecycle.decide import Wait
from orchestrator.models import AccountId
from orchestrator.runner import Advanced, Runner
from orchestrator.session import AccountSession

_FIRST_POLL = 0.2
"""Seconds until what is waited for is polled for the first time; each further pause is half as long again, up to the
setting."""
_MOST_ADVANCING = 64


class Wakes:
    """Wake-ups of driven accounts, by a webhook or by what happened on the chain. One of an account that nobody drives
    is dropped."""

    def __init__(self) -> None:
        self._events: dict[AccountId, asyncio.Event] = {}

    @contextmanager
    def watching(self, account_id: AccountId) -> Iterator[None]:
        """From here on a wake-up of the account is kept until the next ``wait``. One holder at a time."""
        self._events[account_id] = asyncio.Event()
        try:
            yield
        finally:
            del self._events[account_id]

    def wake(self, account_id: AccountId) -> None:
        event = self._events.get(account_id)
        if event is not None:
            event.set()

    async def wait(self, account_id: AccountId, seconds: float) -> None:
        """Returns at the next wake-up of the account, or after so many seconds."""
        event = self._events.setdefault(account_id, asyncio.Event())
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)
        event.clear()


class EmbeddedDispatch:
    """Drives accounts to their end, at most ``_MOST_ADVANCING`` of them at the same time."""

    def __init__(
        self,
        runner: Runner,
        wakes: Wakes,
        *,
        poll_interval: float,
        watch: Callable[[AccountId, Wait, OrchestratorError | None], None] | None = None,
    ) -> None:
        self._runner = runner
        self._wakes = wakes
        self._poll_interval = poll_interval
        self._slots = asyncio.Semaphore(_MOST_ADVANCING)
        self._watch = watch or (lambda _account, _wait, _trouble: None)

    async def drive(
        self, account_id: AccountId, deadline: float, *, observed: AccountSession | None = None
    ) -> Advanced:
        """Advances the account's unfinished operation until it is over, needs an operator, or ``deadline`` is reached
        (seconds on ``time.monotonic``'s clock). The caller holds the account's lock. ``observed``: see
        ``Runner.advance``."""
        with self._wakes.watching(account_id):
            return await self._drive(account_id, deadline, observed)

    async def _drive(self, account_id: AccountId, deadline: float, observed: AccountSession | None) -> Advanced:
        pause = _FIRST_POLL
        while True:
            async with self._slots:
                advanced = await self._runner.advance(account_id, observed=observed)
            observed = None
            if not isinstance(advanced.action, Wait):
                return advanced
            self._watch(account_id, advanced.action, advanced.trouble)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return advanced
            # Jitter keeps many accounts from asking in step after an outage.
            await self._wakes.wait(account_id, min(pause * random.uniform(0.8, 1.0), remaining))  # noqa: S311
            pause = min(pause * 1.5, self._poll_interval)
