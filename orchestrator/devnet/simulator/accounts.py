"""Accounts: created, challenged, deployed, suspended and closed. What must happen on the chain is planned as a job.

initiating ──signed challenge──▶ pending ──deployed──▶ active ⇄ inactive ──signed deletion──▶ closed
    └────────────────────── DELETE: closed without a chain ───────────────────────────────────▲
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from . import cards, challenges, customers
from .answers import Answer, ApiError
from .platform import Call, Platform
from .store import Row

__all__ = [
    "activate",
    "challenge",
    "close",
    "create",
    "deactivate",
    "get",
    "list_cards",
    "listed",
    "of_customer",
    "require",
    "sign",
]


def document(platform: Platform, row: Row) -> dict[str, Any]:
    """The account as the API shows it. A ``lie`` fault changes what is shown, never what is stored."""
    value: dict[str, Any] = {"id": row["id"], "customerId": row["customer_id"]}
    if row["chain_id"] is not None:
        value["chainId"] = row["chain_id"]
    value |= {
        "status": row["status"],
        "type": row["type"],
        "currencies": json.loads(row["currencies"]),
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
    }
    return value | platform.faults.shown_instead(row["id"])


def require(platform: Platform, identifier: str) -> Row:
    """The account. Raises ApiError 404."""
    row = platform.store.one("SELECT * FROM accounts WHERE id = ?", identifier)
    if row is None:
        raise ApiError(404, "account_not_found", f"there is no account {identifier}")
    return row


def set_status(platform: Platform, identifier: str, status: str, *, note: str | None = None) -> Row:
    """Moves an account, deactivates its cards where it leaves ``active``, and announces it. Inside a transaction."""
    platform.store.write(
        "UPDATE accounts SET status = ?, updated_at = ?, note = COALESCE(?, note) WHERE id = ?",
        status,
        platform.clock.iso(),
        note,
        identifier,
    )
    if status in {"inactive", "closed", "failed"}:
        cards.deactivate_all(platform, identifier)
    row = require(platform, identifier)
    platform.deliveries.enqueue("account.updated", document(platform, row))
    return row


def plan(platform: Platform, account_id: str, kind: str, *, key: str | None = None, **data: str) -> int:
    """Records work for the chain; the worker does it. Inside a transaction."""
    return platform.store.insert(
        "jobs",
        account_id=account_id,
        kind=kind,
        data=json.dumps(data),
        state="open",
        request_key=key,
        created_at=platform.clock.iso(),
    )


def plan_deletion_challenge(platform: Platform, account_id: str, *, key: str | None = None) -> None:
    """A deletion challenge that is issued as soon as its hash stands on the chain, where the family binds it there.
    Inside a transaction."""
    challenges.retire(platform, account_id, "expired")
    row = challenges.issue(platform, account_id, "deletion", challenges.account_text(), state="committing")
    plan(platform, account_id, "commit", key=key, challenge=row["id"])


def _open_job(platform: Platform, account_id: str) -> Row | None:
    return platform.store.one("SELECT * FROM jobs WHERE account_id = ? AND state = 'open'", account_id)


def _resumed(platform: Platform, call: Call) -> bool:
    """Whether this request's work was recorded already, by itself before a crash."""
    return call.key is not None and bool(platform.store.one("SELECT 1 FROM jobs WHERE request_key = ?", call.key))


def _busy(account_id: str, kind: str) -> ApiError:
    return ApiError(
        409,
        "operation_in_progress",
        f"account {account_id}: {kind} is still in progress on the chain",
        keep=False,
        headers={"retry-after": "1"},
    )


def _wrong_state(row: Row, action: str, expected: str) -> ApiError:
    return ApiError(
        409,
        "invalid_state",
        f"invalid state transition: {action} needs an account that is {expected}; {row['id']} is {row['status']}",
    )


async def create(platform: Platform, call: Call) -> Answer:
    """POST /customers/{id}/accounts."""
    body = call.checked_body()
    customer = customers.require(platform, call.id)
    if customer["status"] != "active":
        raise ApiError(
            400, "customer_not_active", f"customer {customer['id']} is {customer['status']}, expected active"
        )
    now = platform.clock.iso()
    identifier = str(uuid.uuid4())
    with platform.store.transaction():
        platform.store.insert(
            "accounts",
            id=identifier,
            customer_id=customer["id"],
            status="initiating",
            type="card_account",
            currencies=json.dumps(body["currencies"]),
            created_at=now,
            updated_at=now,
        )
        issued = challenges.issue(platform, identifier, "creation", challenges.account_text())
        challenges.show(platform, issued)
        row = require(platform, identifier)
        platform.deliveries.enqueue("account.updated", document(platform, row))
        return call.answer(201, document(platform, row) | challenges.fields(platform, issued))


async def listed(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """GET /accounts: all of the programme, without pages."""
    rows = platform.store.all("SELECT * FROM accounts ORDER BY rowid")
    return Answer.of(200, [document(platform, row) for row in rows])


async def of_customer(platform: Platform, call: Call) -> Answer:
    """GET /customers/{id}/accounts."""
    customer = customers.require(platform, call.id)
    rows = platform.store.all("SELECT * FROM accounts WHERE customer_id = ? ORDER BY rowid", customer["id"])
    return Answer.of(200, [document(platform, row) for row in rows])


async def get(platform: Platform, call: Call) -> Answer:
    """GET /accounts/{id}."""
    return Answer.of(200, document(platform, require(platform, call.id)))


def _reissue(platform: Platform, account_id: str, purpose: str, state: str) -> None:
    """Ends the open challenge and prepares the next. Inside a transaction."""
    challenges.retire(platform, account_id, state)
    if purpose == "creation":
        challenges.issue(platform, account_id, "creation", challenges.account_text())
    else:
        plan_deletion_challenge(platform, account_id)


async def challenge(platform: Platform, call: Call) -> Answer:
    """GET /accounts/{id}/challenge: a new one, which invalidates those before it."""
    row = require(platform, call.id)
    current = challenges.open_challenge(platform, row["id"])
    if current is not None and current["state"] == "current":
        stale = challenges.expired(platform, current)
        if stale or (current["shown"] and not platform.options.keep_challenges):
            with platform.store.transaction():
                _reissue(platform, row["id"], current["purpose"], "expired" if stale else "invalidated")
    if current is not None:
        await platform.worker.settled(row["id"], platform.options.chain_wait)
        current = challenges.open_challenge(platform, row["id"])
    if current is None or current["state"] != "current":
        raise ApiError(404, "challenge_not_found", f"account {row['id']} has no challenge to sign")
    with platform.store.transaction():
        challenges.show(platform, current)
    return Answer.of(200, challenges.fields(platform, current))


async def sign(platform: Platform, call: Call) -> Answer:
    """POST /accounts/{id}/challenge/sign: the creation or the deletion. Deployment and closing follow behind."""
    body = call.checked_body()
    row = require(platform, call.id)
    customer = customers.require(platform, row["customer_id"])
    current, checked = challenges.check_signature(platform, call, row["id"], customer["chain_id"], body)
    with platform.store.transaction():
        challenges.record(platform, current, body, checked, subject=row["id"])
        if isinstance(checked, ApiError):
            if current is not None and challenges.uses_up(checked):
                _reissue(platform, row["id"], current["purpose"], "refused")
            return call.keep(checked.answer())
        assert current is not None, "a signature that holds is of the open challenge"
        if current["purpose"] == "creation":
            row = set_status(platform, row["id"], "pending")
            plan(platform, row["id"], "deploy", challenge=current["id"], signature=checked.hex())
        else:
            plan(platform, row["id"], "close", challenge=current["id"], signature=checked.hex())
        return call.answer(platform.options.answer_sign, document(platform, row))


async def _change_state(platform: Platform, call: Call, kind: str, expected: str) -> Answer:
    row = require(platform, call.id)
    if not _resumed(platform, call):
        if row["status"] != expected:
            raise _wrong_state(row, kind, expected)
        busy = _open_job(platform, row["id"])
        if busy is not None:
            raise _busy(row["id"], busy["kind"])
        with platform.store.transaction():
            plan(platform, row["id"], kind, key=call.key)
    await platform.worker.settled(row["id"], platform.options.chain_wait)
    with platform.store.transaction():
        return call.answer(platform.options.answer_suspend, document(platform, require(platform, row["id"])))


async def deactivate(platform: Platform, call: Call) -> Answer:
    """PATCH /accounts/{id}/deactivate."""
    return await _change_state(platform, call, "deactivate", "active")


async def activate(platform: Platform, call: Call) -> Answer:
    """PATCH /accounts/{id}/activate."""
    return await _change_state(platform, call, "reactivate", "inactive")


async def close(platform: Platform, call: Call) -> Answer:
    """DELETE /accounts/{id}: closes at once where there is no contract, else asks for the owner's signature."""
    row = require(platform, call.id)
    status = platform.options.answer_delete
    if not _resumed(platform, call):
        if row["status"] not in {"initiating", "active", "inactive"}:
            raise _wrong_state(row, "DELETE", "initiating, active or inactive")
        if row["status"] == "initiating" or not platform.options.delete_asks_signature:
            with platform.store.transaction():
                return call.answer(status, document(platform, close_alone(platform, row["id"], "deleted")))
        busy = _open_job(platform, row["id"])
        if busy is not None and busy["kind"] not in ("commit", "close"):
            raise _busy(row["id"], busy["kind"])
        current = challenges.open_challenge(platform, row["id"])
        if (current is not None and current["purpose"] == "deletion") or busy is not None:
            raise ApiError(
                409,
                "invalid_state",
                f"invalid state transition: {row['id']} is being closed; its owner's signature is waited for",
            )
        with platform.store.transaction():
            plan_deletion_challenge(platform, row["id"], key=call.key)
    await platform.worker.settled(row["id"], platform.options.chain_wait)
    with platform.store.transaction():
        row = require(platform, row["id"])
        current = challenges.open_challenge(platform, row["id"])
        if status != 204 and current is not None:
            challenges.show(platform, current)
        return call.answer(status, document(platform, row) | challenges.fields(platform, current))


async def list_cards(platform: Platform, call: Call) -> Answer:
    """GET /accounts/{id}/cards."""
    account = require(platform, call.id)
    rows = platform.store.all("SELECT * FROM cards WHERE account_id = ? ORDER BY rowid", account["id"])
    return Answer.of(200, [cards.document(row) for row in rows])


def close_alone(platform: Platform, account_id: str, note: str) -> Row:
    """Closes an account on the platform only; the chain stays as it is. Inside a transaction."""
    challenges.retire(platform, account_id, "void")
    return set_status(platform, account_id, "closed", note=note)
