"""The subscriptions to webhooks; :mod:`deliveries` sends the events."""

from __future__ import annotations

import json
import uuid
from typing import Any

from .answers import Answer, ApiError
from .platform import Call, Platform
from .store import Row

__all__ = ["delete", "get", "listed", "put", "verification_key"]


def document(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "callbackUrl": row["callback_url"],
        "types": json.loads(row["types"]),
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
    }


def _require(platform: Platform, identifier: str, *, status: int = 404) -> Row:
    row = platform.store.one("SELECT * FROM webhooks WHERE id = ? AND deleted = 0", identifier)
    if row is None:
        raise ApiError(status, "webhook_not_found", f"there is no webhook {identifier}")
    return row


async def put(platform: Platform, call: Call) -> Answer:
    """PUT /webhooks: without an id a new one, with one an update."""
    body = call.checked_body()
    now = platform.clock.iso()
    types = json.dumps(body["types"])
    with platform.store.transaction():
        if "id" in body:
            row = _require(platform, body["id"].lower(), status=400)  # the published file has no 404 here
            platform.store.write(
                "UPDATE webhooks SET callback_url = ?, types = ?, updated_at = ? WHERE id = ?",
                body["callbackUrl"],
                types,
                now,
                row["id"],
            )
            return call.answer(200, document(_require(platform, row["id"])))
        identifier = str(uuid.uuid4())
        platform.store.insert(
            "webhooks",
            id=identifier,
            callback_url=body["callbackUrl"],
            types=types,
            created_at=now,
            updated_at=now,
        )
        return call.answer(200, document(_require(platform, identifier)))


async def listed(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """GET /webhooks."""
    rows = platform.store.all("SELECT * FROM webhooks WHERE deleted = 0 ORDER BY rowid")
    return Answer.of(200, [document(row) for row in rows])


async def verification_key(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """GET /webhooks/verification-key: the public key that deliveries are signed with."""
    return Answer.of(200, platform.deliveries.verification_key())


async def get(platform: Platform, call: Call) -> Answer:
    """GET /webhooks/{id}."""
    return Answer.of(200, document(_require(platform, call.id)))


async def delete(platform: Platform, call: Call) -> Answer:
    """DELETE /webhooks/{id}: what is still queued for it is abandoned."""
    row = _require(platform, call.id)
    with platform.store.transaction():
        platform.store.write("UPDATE webhooks SET deleted = 1 WHERE id = ?", row["id"])
        platform.store.write(
            "UPDATE deliveries SET state = 'abandoned' WHERE webhook_id = ? AND state = 'waiting'", row["id"]
        )
        return call.answer(204)
