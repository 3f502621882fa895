"""Webhooks on their way: a persistent queue that delivers each event until it is taken or 24 hours are over.

Each attempt is signed anew with the platform's own key, a P-384 one with an id, both kept in the database.

An event is queued in the transaction of the change that it reports. Delivery is at least once: a crash between the
receiver's 2xx and the mark in the queue delivers again, as the real platform does too.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import ssl
import uuid
from functools import cache
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .answers import encode
from .clock import NANOSECONDS, Clock
from .config import Options
from .faults import Faults
from .http_signatures import Message, content_digest, sign_message
from .judge import Judge
from .store import Row, Store

__all__ = ["Deliveries"]


@cache
def _tls() -> ssl.SSLContext:
    """Once for all simulators of a process: the system's certificates take 50 ms to load."""
    return httpx.create_ssl_context(trust_env=False)


class Deliveries:
    """Queues events and delivers them in the background."""

    def __init__(self, store: Store, clock: Clock, options: Options, faults: Faults, judge: Judge) -> None:
        self._store = store
        self._clock = clock
        self._options = options
        self._faults = faults
        self._judge = judge
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._random = random.Random()  # noqa: S311  # jitter, not a secret

    def enqueue(self, kind: str, value: dict[str, Any]) -> None:
        """Queues one event for every subscription. Inside the transaction of the change."""
        event = {"webhookType": kind, "eventId": str(uuid.uuid4()), **value}
        now = self._clock.ns()
        for row in self._store.all("SELECT id, types FROM webhooks WHERE deleted = 0"):
            if kind in json.loads(row["types"]):
                self._store.insert(
                    "deliveries",
                    webhook_id=row["id"],
                    event_id=event["eventId"],
                    type=kind,
                    body=encode(event),
                    state="waiting",
                    created_ns=now,
                    next_ns=now,
                )

    def wake(self) -> None:
        self._wake.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="webhooks")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def signing_key(self) -> tuple[str, ec.EllipticCurvePrivateKey]:
        """The key of deliveries, with its id; made at first use."""
        key_id, pem = self._store.setting("webhook_signing_key_id"), self._store.setting("webhook_signing_key")
        if key_id is None or pem is None:
            self.rotate_signing_key()
            return self.signing_key()
        key = serialization.load_pem_private_key(pem.encode(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the stored webhook key is not an ECDSA key")
        return key_id, key

    def rotate_signing_key(self, *, keep_id: bool = False) -> str:
        """Puts a new key in the place of the one that deliveries are signed with; returns its id. ``keep_id``: under
        the id of the one before, which no platform should do."""
        before = self._store.setting("webhook_signing_key_id")
        key_id = before if keep_id and before is not None else str(uuid.uuid4())
        fresh = ec.generate_private_key(ec.SECP384R1())
        pem = fresh.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with self._store.transaction():
            self._store.put_setting("webhook_signing_key", pem.decode())
            self._store.put_setting("webhook_signing_key_id", key_id)
        return key_id

    def verification_key(self) -> dict[str, str]:
        """The document of ``GET /webhooks/verification-key``: the id, and Base64 of the PEM."""
        key_id, key = self.signing_key()
        pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return {"keyId": key_id, "key": base64.b64encode(pem).decode()}

    def sign(self, url: str, body: bytes) -> dict[str, str]:
        """The headers of one attempt to deliver ``body`` to ``url``."""
        key_id, key = self.signing_key()
        covered = self._options.webhook_components
        headers = {"content-type": "application/json"}
        if "content-digest" in covered:
            headers["content-digest"] = content_digest(body)
        message = Message("POST", url, list(headers.items()))
        return headers | sign_message(
            message, key=key, key_id=key_id, created=int(self._clock.seconds()), covered=covered
        )

    def _due(self) -> Row | None:
        order = "DESC" if self._faults.active("reorder_webhooks") else "ASC"
        return self._store.one(
            f"SELECT d.*, w.callback_url FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id "  # noqa: S608
            f"WHERE d.state = 'waiting' AND d.next_ns <= ? ORDER BY d.id {order} LIMIT 1",
            self._clock.ns(),
        )

    async def _run(self) -> None:
        client: httpx.AsyncClient | None = None
        try:
            while True:
                self._wake.clear()
                row = None if self._faults.active("hold_webhooks") else self._due()
                if row is not None:
                    timeout = self._options.webhook_timeout
                    client = client or httpx.AsyncClient(timeout=timeout, trust_env=False, verify=_tls())
                    await self._deliver(client, row)
                    continue
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._pause())
        finally:
            if client is not None:
                await client.aclose()

    def _pause(self) -> float:
        """Seconds until the next delivery is due; at most one second, because a test may move the clock."""
        row = self._store.one("SELECT MIN(next_ns) AS due FROM deliveries WHERE state = 'waiting'")
        if row is None or row["due"] is None or self._faults.active("hold_webhooks"):
            return 1.0
        return float(min(1.0, max(0.005, (row["due"] - self._clock.ns()) / NANOSECONDS)))

    async def _deliver(self, client: httpx.AsyncClient, row: Row) -> None:
        twice = self._faults.take("duplicate_webhooks") is not None
        error = await self._post(client, row)
        if error is None and twice:
            error = await self._post(client, row)
        now = self._clock.ns()
        scale = self._options.webhook_time_scale
        if error is None:
            state, next_ns = "delivered", row["next_ns"]
        elif now - row["created_ns"] > self._options.webhook_give_up * scale * NANOSECONDS:
            state, next_ns = "abandoned", row["next_ns"]
        else:
            longest = min(
                self._options.webhook_longest_delay,
                self._options.webhook_first_delay * 2 ** min(row["attempts"], 40),
            )
            delay = longest * scale * self._random.uniform(0.5, 1.0)
            state, next_ns = "waiting", now + int(delay * NANOSECONDS)
        with self._store.transaction():
            self._store.write(
                "UPDATE deliveries SET state = ?, attempts = attempts + 1, next_ns = ?, error = ? "
                "WHERE id = ? AND state = 'waiting'",
                state,
                next_ns,
                error,
                row["id"],
            )

    async def _post(self, client: httpx.AsyncClient, row: Row) -> str | None:
        """One attempt: None when it was taken, else why not."""
        url, body = str(row["callback_url"]), bytes(row["body"])
        headers = self.sign(url, body)
        try:
            async with asyncio.timeout(self._options.webhook_timeout):  # httpx's is for each part of an answer
                response = await client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"
        self._judge.delivery(
            Message("POST", url, list(headers.items())),
            body,
            response.status_code,
            response.headers.get("content-type"),
            response.content,
        )
        return None if response.is_success else f"HTTP {response.status_code}"
