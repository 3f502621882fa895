"""The devnet's own calls, behind an admin token: faults, records, and what a platform does by itself."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from orchestrator.foreign import read_json

from . import accounts, auth, cards, challenges, customers
from .answers import Answer, ApiError
from .faults import IMMEDIATE, parsed
from .platform import Call, Platform
from .schemas import CARD_STATUSES
from .wallet_faults import impossible

__all__ = ["collect_records", "order_fault", "resubmit_lost"]

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def _body(call: Call) -> dict[str, Any]:
    try:
        value = read_json(call.body or b"{}", max_bytes=len(call.body) + 2)  # the server's limit holds
    except ValueError as error:
        raise ApiError(400, "invalid_json", f"the body {error}") from error
    if not isinstance(value, dict):
        raise ApiError(400, "invalid_request", "expected a JSON object")
    return value


# --- faults --------------------------------------------------------------------------------------------------------


def order_fault(platform: Platform, order: dict[str, Any]) -> dict[str, Any]:
    """Orders the fault ``{"kind", "count"?, "method"?, "path"?, …}``; returns it as it stands. Raises ApiError 400."""
    given = dict(order)
    kind = given.pop("kind", None)
    values = parsed(kind, given)
    family = platform.config.family
    if (reason := impossible(str(kind), family)) is not None:
        raise ApiError(400, "invalid_request", f"{kind}: not with wallets of the family {family.name}: {reason}")
    if kind not in IMMEDIATE:
        return platform.faults.add(str(kind), **values).document()
    changed = 0
    if kind == "skew_clock":
        platform.clock.offset = values["seconds"]
    else:
        with platform.store.transaction():
            if kind == "expire_tokens":
                auth.expire_all_tokens(platform)
            else:
                changed = challenges.expire_all(platform)
    return {"kind": kind, "changed": changed}


async def add_fault(platform: Platform, call: Call) -> Answer:
    """POST /simulator/faults."""
    return Answer.of(201, order_fault(platform, _body(call)))


async def list_faults(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """GET /simulator/faults."""
    return Answer.of(200, platform.faults.all())


async def clear_faults(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """DELETE /simulator/faults: all faults, and the clock is right again."""
    platform.faults.remove()
    platform.clock.offset = 0.0
    platform.deliveries.wake()
    return Answer.of(204)


async def remove_fault(platform: Platform, call: Call) -> Answer:
    """DELETE /simulator/faults/{id}."""
    if not platform.faults.remove(call.id):
        raise ApiError(404, "fault_not_found", f"there is no fault {call.id}")
    platform.deliveries.wake()
    return Answer.of(204)


# --- records -------------------------------------------------------------------------------------------------------

TABLES = {
    "requests": "SELECT id, at, method, path, idempotency_key, status, code, replayed, fault FROM requests ORDER BY id",
    "customers": "SELECT * FROM customers ORDER BY rowid",
    "accounts": "SELECT * FROM accounts ORDER BY rowid",
    "challenges": "SELECT id, subject, purpose, base64, issued_ns, expires_ns, state FROM challenges ORDER BY rowid",
    "signatures": "SELECT * FROM signatures ORDER BY id",
    "cards": "SELECT * FROM cards ORDER BY rowid",
    "jobs": "SELECT id, account_id, kind, state, request_key, error, created_at, finished_at FROM jobs ORDER BY id",
    "transactions": "SELECT id, job_id, account_id, step, nonce, hash, state, block_number FROM transactions "
    "ORDER BY id",
    "deliveries": "SELECT id, webhook_id, event_id, type, state, attempts, error FROM deliveries ORDER BY id",
}


def collect_records(platform: Platform) -> dict[str, list[dict[str, Any]]]:
    """Everything that was asked and done, without secrets: what a test counts to prove that nothing happened twice."""
    return {name: [dict(row) for row in platform.store.all(query)] for name, query in TABLES.items()}


async def records(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """GET /simulator/records."""
    return Answer.of(200, collect_records(platform))


async def departures(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """GET /simulator/departures: where client, receiver or simulator has left the published API."""
    return Answer.of(200, platform.judge.documents())


# --- what a platform does by itself --------------------------------------------------------------------------------


async def add_customer(platform: Platform, call: Call) -> Answer:
    """POST /simulator/customers {owner, externalId}: a customer that is active at once."""
    body = _body(call)
    owner, external_id = body.get("owner"), body.get("externalId")
    if not isinstance(owner, str) or not ADDRESS.fullmatch(owner) or not isinstance(external_id, str):
        raise ApiError(400, "invalid_request", "expected owner (an address) and externalId (a text)")
    with platform.store.transaction():
        row = customers.insert(platform, f"eip155:{platform.config.chain_id}:{owner}", external_id, "active")
    return Answer.of(201, customers.document(row))


async def add_token(platform: Platform, call: Call) -> Answer:
    """POST /simulator/tokens {address}: an ERC-20 whose balance a closing wallet hands back."""
    address = _body(call).get("address")
    if not isinstance(address, str) or not ADDRESS.fullmatch(address):
        raise ApiError(400, "invalid_request", "expected address")
    with platform.store.transaction():
        platform.store.write("INSERT OR IGNORE INTO tokens VALUES (?)", address)
    return Answer.of(204)


async def rotate_webhook_key(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """POST /simulator/webhook-key: deliveries are signed with a new key from now on."""
    platform.deliveries.rotate_signing_key()
    return Answer.of(200, platform.deliveries.verification_key())


async def add_card(platform: Platform, call: Call) -> Answer:
    """POST /simulator/accounts/{id}/cards {status = "active"}: a card for an active account."""
    row = accounts.require(platform, call.id)
    if row["status"] != "active":
        raise ApiError(422, "invalid_state", f"a card needs an active account; {row['id']} is {row['status']}")
    status = _body(call).get("status", "active")
    if status not in CARD_STATUSES:
        raise ApiError(400, "invalid_request", f"status: expected one of {', '.join(CARD_STATUSES)}")
    with platform.store.transaction():
        return Answer.of(201, cards.add(platform, row["id"], status))


async def _change_state(platform: Platform, call: Call, kind: str, status: str) -> Answer:
    row = accounts.require(platform, call.id)
    on_chain = _body(call).get("onChain", True)
    with platform.store.transaction():
        if on_chain and row["wallet"] is not None:
            accounts.plan(platform, row["id"], kind)
        else:
            accounts.set_status(platform, row["id"], status, note="by the platform")
    await platform.worker.settled(row["id"], platform.options.chain_wait)
    return Answer.of(200, accounts.document(platform, accounts.require(platform, row["id"])))


async def deactivate(platform: Platform, call: Call) -> Answer:
    """POST /simulator/accounts/{id}/deactivate {onChain = true}: as monitoring of illicit activity does."""
    return await _change_state(platform, call, "deactivate", "inactive")


async def activate(platform: Platform, call: Call) -> Answer:
    """POST /simulator/accounts/{id}/activate {onChain = true}: the platform takes its deactivation back."""
    return await _change_state(platform, call, "reactivate", "active")


async def close(platform: Platform, call: Call) -> Answer:
    """POST /simulator/accounts/{id}/close {offerChallenge}: on the platform alone; the chain stays as it is.

    With a challenge on offer the owner can still close the wallet on the chain afterwards.
    """
    row = accounts.require(platform, call.id)
    offer = _body(call).get("offerChallenge", platform.options.platform_close_offers_challenge)
    with platform.store.transaction():
        accounts.close_alone(platform, row["id"], "by the platform")
        if offer and row["wallet"] is not None:
            accounts.plan_deletion_challenge(platform, row["id"])
    await platform.worker.settled(row["id"], platform.options.chain_wait)
    return Answer.of(200, accounts.document(platform, accounts.require(platform, row["id"])))


async def resubmit_lost(platform: Platform, only: str | None = None) -> list[str]:
    """Sends again what a reorg has taken from one account, or from all; returns the ids of those that lost something.

    The simulator believes a transaction after its confirmations and does not watch it any longer; this call is what
    the platform's operator would do. What still stands on the chain is left alone.
    """
    lost = [] if platform.transactions is None else await platform.transactions.lost()
    rows = [row for row in lost if only in (None, row["account_id"])]
    accounts_of = list(dict.fromkeys(str(row["account_id"]) for row in rows))
    with platform.store.transaction():
        for row in rows:
            platform.store.write("UPDATE transactions SET state = 'lost' WHERE id = ?", row["id"])
        for account_id in accounts_of:
            jobs = platform.store.all("SELECT id, kind FROM jobs WHERE account_id = ? AND state = 'done'", account_id)
            # The deployment, and of the later changes the last one, with the commitment that a closing needs.
            last = max((job["id"] for job in jobs if job["kind"] in {"deactivate", "reactivate", "close"}), default=0)
            commit = max((job["id"] for job in jobs if job["kind"] == "commit"), default=0)
            for job in jobs:
                if job["kind"] == "deploy" or job["id"] in {last, commit}:
                    platform.store.write("UPDATE jobs SET state = 'open', finished_at = NULL WHERE id = ?", job["id"])
    await asyncio.gather(*(platform.worker.settled(one, platform.options.chain_wait) for one in accounts_of))
    return accounts_of


async def resubmit(platform: Platform, call: Call) -> Answer:  # noqa: ARG001  # the signature of a handler
    """POST /simulator/resubmit."""
    return Answer.of(200, {"accounts": await resubmit_lost(platform)})


async def resubmit_account(platform: Platform, call: Call) -> Answer:
    """POST /simulator/accounts/{id}/resubmit."""
    row = accounts.require(platform, call.id)
    await resubmit_lost(platform, row["id"])
    return Answer.of(200, accounts.document(platform, accounts.require(platform, row["id"])))
