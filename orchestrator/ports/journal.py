"""What a step may ask of the journal; ``orchestrator.journal`` answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from orchestrator.challenge.history import ChallengeHistory
from orchestrator.lifecycle.recorded import Event, Recorded


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """A line of the signing history: an intended signature, made or not."""

    account_id: str
    purpose: str
    digest: str
    signer: str | None
    key: str | None
    at: str | None
    """ISO-8601 UTC."""
    made: bool
    live: bool


@dataclass(frozen=True, slots=True)
class CountLimit:
    """At most ``most`` intended signatures since ``since``, of one key or of all.

    One key: named ``key``, or with ``address`` under whatever name. Both None: all keys.
    """

    key: str | None
    since: datetime
    most: int
    text: str
    """For the error: ``100 signatures in 3600 s by key alice``."""
    address: str | None = None


class Facts(Protocol):
    """The part of the journal that steps use."""

    async def append(
        self,
        stream: str,
        new: Sequence[Event],
        *,
        after: int,
        at: datetime,
        unchanged: Mapping[str, int] = ...,
        limits: Sequence[CountLimit] = ...,
    ) -> list[Recorded]: ...

    async def read(self, stream: str) -> list[Recorded]: ...

    def in_flight(self) -> AbstractAsyncContextManager[None]:
        """Whoever stops signing waits, after that is journaled, until nobody holds this any more: what is checked and
        done within it is done before that, or has read the stop."""
        ...

    async def claimed_accounts(self) -> set[str]: ...

    async def open_creations(self) -> list[Recorded]: ...

    async def keep_certificate(self, account_id: str, body: bytes) -> str: ...

    async def certificate(self, sha256: str) -> bytes | None: ...

    async def identity(self) -> str: ...

    async def require_whole(self) -> None: ...

    async def event_hash(self, seq: int) -> str | None: ...

    async def challenge_history(self, digest: str) -> ChallengeHistory: ...

    async def known_accounts(self, ids: Sequence[str]) -> frozenset[str]: ...

    async def last_signed_seq(self, keystore: str | None) -> int | None: ...
