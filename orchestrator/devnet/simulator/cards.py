"""Cards: listed with their status; given by an admin call; deactivated with their account.

Reactivating an account leaves its cards inactive: the documentation promises only the way down.
"""

from __future__ import annotations

import uuid
from typing import Any

from .platform import Platform
from .store import Row

__all__ = ["add", "deactivate_all", "document"]


def document(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "accountId": row["account_id"],
        "type": "virtual",
        "status": row["status"],
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
    }


def add(platform: Platform, account_id: str, status: str = "active") -> dict[str, Any]:
    """A new card. Inside a transaction."""
    now = platform.clock.iso()
    identifier = str(uuid.uuid4())
    platform.store.insert("cards", id=identifier, account_id=account_id, status=status, created_at=now, updated_at=now)
    return _announce(platform, identifier)


def deactivate_all(platform: Platform, account_id: str) -> None:
    """Deactivates an account's cards. Inside a transaction."""
    for row in platform.store.all("SELECT id FROM cards WHERE account_id = ? AND status = 'active'", account_id):
        platform.store.write(
            "UPDATE cards SET status = 'inactive', updated_at = ? WHERE id = ?", platform.clock.iso(), row["id"]
        )
        _announce(platform, row["id"])


def _announce(platform: Platform, identifier: str) -> dict[str, Any]:
    row = platform.store.one("SELECT * FROM cards WHERE id = ?", identifier)
    if row is None:
        raise AssertionError("cards are never deleted")
    platform.deliveries.enqueue("card.updated", document(row))
    return document(row)
