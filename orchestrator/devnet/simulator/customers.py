"""Customers: created, challenged (EIP-4361), verified. Only an active customer can get an account."""

from __future__ import annotations

import uuid
from typing import Any

from . import challenges
from .answers import Answer, ApiError
from .platform import Call, Platform
from .store import Row

__all__ = [
    "activate",
    "challenge",
    "create",
    "deactivate",
    "get",
    "insert",
    "listed",
    "reject",
    "require",
    "sign",
    "verify",
]


def document(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "externalId": row["external_id"],
        "chainId": row["chain_id"],
        "status": row["status"],
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
    }


def require(platform: Platform, identifier: str) -> Row:
    """The customer. Raises ApiError 404."""
    row = platform.store.one("SELECT * FROM customers WHERE id = ?", identifier)
    if row is None:
        raise ApiError(404, "customer_not_found", f"there is no customer {identifier}")
    return row


def insert(platform: Platform, chain_id: str, external_id: str, status: str) -> Row:
    """A new customer. Inside a transaction. Raises ApiError 409 if the wallet or the external id is known."""
    if platform.store.one("SELECT 1 FROM customers WHERE external_id = ? OR chain_id = ?", external_id, chain_id):
        raise ApiError(409, "customer_exists", "a customer with this chainId or externalId exists")
    now = platform.clock.iso()
    identifier = str(uuid.uuid4())
    platform.store.insert(
        "customers",
        id=identifier,
        external_id=external_id,
        chain_id=chain_id,
        status=status,
        created_at=now,
        updated_at=now,
    )
    return require(platform, identifier)


def set_status(platform: Platform, identifier: str, status: str) -> Row:
    """Moves a customer and announces it. Inside a transaction."""
    platform.store.write(
        "UPDATE customers SET status = ?, updated_at = ? WHERE id = ?", status, platform.clock.iso(), identifier
    )
    row = require(platform, identifier)
    platform.deliveries.enqueue("customer.updated", document(row))
    return row


def _issue(platform: Platform, row: Row) -> Row:
    text = challenges.customer_text(platform, str(row["chain_id"]).rpartition(":")[2])
    return challenges.issue(platform, row["id"], "customer", text)


async def create(platform: Platform, call: Call) -> Answer:
    """POST /customers."""
    body = call.checked_body()
    with platform.store.transaction():
        row = insert(platform, body["chainId"], body["externalId"], "initiating")
        issued = _issue(platform, row)
        return call.answer(201, document(row) | challenges.fields(platform, issued))


async def get(platform: Platform, call: Call) -> Answer:
    """GET /customers/{id}."""
    return Answer.of(200, document(require(platform, call.id)))


async def listed(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """GET /customers: all of the programme."""
    return Answer.of(200, [document(row) for row in platform.store.all("SELECT * FROM customers ORDER BY rowid")])


async def challenge(platform: Platform, call: Call) -> Answer:
    """GET /customers/{id}/challenge: a new one where the last has expired."""
    row = require(platform, call.id)
    current = challenges.open_challenge(platform, row["id"])
    if current is None:
        raise ApiError(404, "challenge_not_found", f"customer {row['id']} has no challenge to sign")
    if challenges.expired(platform, current):
        with platform.store.transaction():
            challenges.retire(platform, row["id"], "expired")
            current = _issue(platform, row)
    return Answer.of(200, challenges.fields(platform, current))


async def sign(platform: Platform, call: Call) -> Answer:
    """POST /customers/{id}/challenge/sign."""
    body = call.checked_body()
    row = require(platform, call.id)
    current, checked = challenges.check_signature(platform, call, row["id"], row["chain_id"], body)
    with platform.store.transaction():
        challenges.record(platform, current, body, checked, subject=row["id"])
        if isinstance(checked, ApiError):
            if challenges.uses_up(checked):
                challenges.retire(platform, row["id"], "refused")
                _issue(platform, row)
            return call.keep(checked.answer())
        row = set_status(platform, row["id"], "screening")
        return call.answer(platform.options.answer_sign, document(row))


async def _change_state(platform: Platform, call: Call, expected: str, status: str) -> Answer:
    row = require(platform, call.id)
    if row["status"] != expected:
        raise ApiError(
            409, "invalid_state", f"invalid state transition: customer {row['id']} is {row['status']}, not {expected}"
        )
    with platform.store.transaction():
        return call.answer(200, document(set_status(platform, row["id"], status)))


async def deactivate(platform: Platform, call: Call) -> Answer:
    """PATCH /customers/{id}/deactivate."""
    return await _change_state(platform, call, "active", "inactive")


async def activate(platform: Platform, call: Call) -> Answer:
    """PATCH /customers/{id}/activate."""
    return await _change_state(platform, call, "inactive", "active")


async def _checked(platform: Platform, call: Call, status: str) -> Answer:
    row = require(platform, call.id)
    if row["status"] == "initiating":
        raise ApiError(400, "invalid_state", f"customer {row['id']} has not signed its challenge yet")
    with platform.store.transaction():
        if row["status"] in ("screening", "verifying"):
            set_status(platform, row["id"], status)
        return call.answer(202)


async def verify(platform: Platform, call: Call) -> Answer:
    """PATCH /simulator/customers/{id}/verify (sandbox): the checks that a real platform makes have passed."""
    return await _checked(platform, call, "active")


async def reject(platform: Platform, call: Call) -> Answer:
    """PATCH /simulator/customers/{id}/reject (sandbox): they have not."""
    return await _checked(platform, call, "rejected")
