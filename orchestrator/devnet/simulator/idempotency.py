"""Idempotency keys: remembered for an hour, with the answer stored in the transaction of the effect.

A key is ``in_flight`` from the moment its request was let in. A key that is still in flight when the simulator starts
belongs to a request that died with the process: it is forgotten, and the handlers, which read the state first, make
sure that the repeat finds what the first one has done.
"""

from __future__ import annotations

import hashlib

from .answers import Answer, ApiError
from .clock import NANOSECONDS, Clock
from .schemas import UUID
from .store import Store

__all__ = ["IdempotencyKeys", "request_fingerprint"]


def request_fingerprint(method: str, path: str, query: str, body: bytes) -> str:
    """What "the same payload" means: method, path, query and the body's bytes."""
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), query.encode("latin-1"), body))).hexdigest()


class IdempotencyKeys:
    """The keys of the programme."""

    def __init__(self, store: Store, clock: Clock, lifetime: float) -> None:
        self._store = store
        self._clock = clock
        self._lifetime = int(lifetime * NANOSECONDS)
        with store.transaction():
            store.write("DELETE FROM idempotency WHERE state = 'in_flight'")

    @staticmethod
    def parse(values: list[str]) -> str:
        """The one key of a request, lower-case. Raises ApiError 400 where it is missing or not a UUID."""
        if not values:
            raise ApiError(
                400, "idempotency_key_missing", "a modifying request needs the header Idempotency-Key: <uuid>"
            )
        if len(values) != 1 or not UUID.fullmatch(values[0]):
            raise ApiError(400, "idempotency_key_malformed", "Idempotency-Key: expected one UUID")
        return values[0].lower()

    def begin(self, key: str, fingerprint: str) -> Answer | None:
        """The stored answer of a repeat, or None after taking the key. Raises ApiError 409 (in flight) or 422."""
        now = self._clock.ns()
        with self._store.transaction():
            row = self._store.one("SELECT * FROM idempotency WHERE key = ?", key)
            if row is not None and now - row["created_ns"] > self._lifetime and row["state"] == "done":
                self._store.write("DELETE FROM idempotency WHERE key = ?", key)
                row = None
            if row is None:
                self._store.insert("idempotency", key=key, fingerprint=fingerprint, state="in_flight", created_ns=now)
                return None
        if row["fingerprint"] != fingerprint:
            raise ApiError(422, "idempotency_key_reused", "this Idempotency-Key was used with another request")
        if row["state"] == "in_flight":
            raise ApiError(
                409,
                "idempotency_in_flight",
                "the first request with this Idempotency-Key is still being answered: wait, then repeat it",
                headers={"retry-after": "1"},
            )
        return Answer(int(row["status"]), bytes(row["body"]))

    def keep(self, key: str, answer: Answer) -> None:
        """Stores the answer. To be called inside the transaction of the effect."""
        self._store.write(
            "UPDATE idempotency SET state = 'done', status = ?, body = ? WHERE key = ?", answer.status, answer.body, key
        )

    def release(self, key: str) -> None:
        """Forgets a key whose request had no lasting answer."""
        with self._store.transaction():
            self._store.write("DELETE FROM idempotency WHERE key = ? AND state = 'in_flight'", key)
