"""What is sent to the webhooks' path, and what it gets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import uuid
from typing import Any

import httpx
import pytest
import structlog

from orchestrator.app import Orchestrator
from orchestrator.devnet.simulator import SimulatorThread
from orchestrator.errors import SettingsError
from orchestrator.service.webapp import LONGEST_BODY, build_app
from orchestrator.settings import Settings


async def test_an_event_is_kept_and_the_account_read_back(
    service: Any, account_id: str, account_event: Any, eventually: Any
) -> None:
    event = account_event(account_id, status="closed")
    answer = await service.post(event)
    assert (answer.status_code, answer.json()) == (200, {})
    await service.handled(event["eventId"])
    (report,) = await service.orchestrator.status([account_id])
    assert report.status == "initiating", "the delivery claims closed; the platform, read back, says initiating"


async def test_a_duplicate_is_taken_and_changes_nothing(service: Any, account_id: str, account_event: Any) -> None:
    event = account_event(account_id)
    assert [(await service.post(event)).status_code for _ in range(3)] == [200, 200, 200]
    assert list(service.inbox()) == [event["eventId"]]


async def test_fifty_deliveries_of_one_event_at_once_are_one_row(
    service: Any, account_id: str, account_event: Any, platform: SimulatorThread
) -> None:
    event = account_event(account_id)
    answers = await asyncio.gather(*(service.post(event) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert list(service.inbox()) == [event["eventId"]]
    await service.handled(event["eventId"])


async def test_an_older_event_that_comes_late_moves_nothing_back(
    service: Any, account_id: str, account_event: Any
) -> None:
    assert (await service.orchestrator.activate(account_id, timeout=60)).outcome == "done"
    newer = account_event(account_id, updatedAt="2030-01-01T00:00:00.000000002Z")
    older = account_event(account_id, status="initiating", updatedAt="2030-01-01T00:00:00.000000001Z")
    for event in (newer, older):
        assert (await service.post(event)).status_code == 200
        await service.handled(event["eventId"])
    (report,) = await service.orchestrator.status([account_id])
    assert report.status == "active"


async def test_a_forged_event_costs_one_read_and_leaves_no_trace_in_the_journal(
    service: Any, account_event: Any, platform: SimulatorThread
) -> None:
    event = account_event()
    assert (await service.post(event)).status_code == 200
    await service.handled(event["eventId"])
    assert await service.orchestrator.journal.read(event["id"]) == []
    reads = [request for request in platform.records()["requests"] if event["id"] in request["path"]]
    assert len(reads) == 1, reads


async def test_other_types_are_taken_and_not_kept(service: Any) -> None:
    for kind in ("customer.updated", "card.updated", "authorisation.updated", "transaction.updated", "new.kind"):
        body = {"webhookType": kind, "eventId": str(uuid.uuid4()), "id": "anything", "amount": 12}
        assert (await service.post(body)).status_code == 200, kind
    assert service.inbox() == {}


async def test_an_account_of_another_kind_of_chain_is_taken_and_not_kept(service: Any, account_event: Any) -> None:
    solana = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4HxJpyyigGzodYwHtCxZyUQe9JiBMHyRWXArAaKv"
    assert (await service.post(account_event(chainId=solana))).status_code == 200
    assert service.inbox() == {}


NOT_READABLE = [
    (b"", "JSON"),
    (b"not json", "JSON"),
    (b"\xff\xfe{}", "webhook"),
    (b"[]", "webhook"),
    (b"null", "webhook"),
    (b"[" * 30_000, "webhook"),
    (b'{"webhookType": "account.updated"}', "eventId"),
    (b'{"webhookType": "account.updated", "eventId": "not-a-uuid"}', "eventId"),
    (b'{"webhookType": 1, "eventId": "5df359f0-d299-40a1-8023-17c77a50144c"}', "webhookType"),
    (b'{"webhookType": "account.updated", "eventId": "5df359f0-d299-40a1-8023-17c77a50144c"}', "id"),
    (b'{"eventId": "5df359f0-d299-40a1-8023-17c77a50144c", "eventId": "x"}', "eventId"),
]


async def test_what_cannot_be_read_is_refused_with_a_reason(service: Any) -> None:
    for body, names in NOT_READABLE:
        answer = await service.post(body)
        assert answer.status_code == 400, body[:80]
        error = answer.json()["error"]
        assert error["code"] == "webhook_malformed"
        assert names in error["message"], (body[:80], error)
    assert service.inbox() == {}


async def test_an_account_that_cannot_be_read_is_refused(service: Any, account_event: Any) -> None:
    wrong: list[dict[str, Any]] = [
        {"updatedAt": "yesterday"},
        {"chainId": "eip155:31337:0x12"},
        {"chainId": "x"},
        {"id": 7},
    ]
    for changes in wrong:
        answer = await service.post(account_event(**changes))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "webhook_malformed"), changes
    assert service.inbox() == {}


async def test_an_account_that_is_odd_has_changed_all_the_same(service: Any, account_event: Any) -> None:
    assert (await service.post(account_event(status="asleep"))).status_code == 200
    assert len(service.inbox()) == 1


async def test_a_body_that_is_too_long_is_refused(service: Any, account_event: Any) -> None:
    for size in (LONGEST_BODY + 1, 1024 * 1024):
        answer = await service.post(account_event(padding="x" * size))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert service.inbox() == {}


async def test_a_body_without_end_is_cut_off(service: Any) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 65536
            yield b"x" * 65536

    try:
        answer = await service.http.post(service.hook, content=endless())
    except httpx.TransportError:
        pass  # the connection may be reset before the answer is read
    else:
        assert answer.status_code == 413
    assert sent < 64 * 1024 * 1024
    assert (await service.http.get(f"{service.url}/health")).status_code == 200


async def test_a_body_of_exactly_the_limit_is_read(service: Any, account_event: Any) -> None:
    event = account_event(padding="")
    event["padding"] = "x" * (LONGEST_BODY - len(json.dumps(event)))
    assert (await service.post(event)).status_code == 200
    assert list(service.inbox()) == [event["eventId"]]


async def test_a_wrong_token_looks_like_a_path_that_is_not_there(service: Any, account_event: Any) -> None:
    body = json.dumps(account_event()).encode()
    token = service.settings.webhook_token.get_secret_value()
    nowhere = await service.http.post(f"{service.url}/nowhere", content=body)
    assert nowhere.status_code == 404
    for wrong in ("x", token[:-1], token + "x", token.upper(), "%FF%FE", "ä" * 20, "x" * 5000):
        answer = await service.http.post(f"{service.url}/webhooks/{wrong}", content=body)
        assert (answer.status_code, answer.content) == (404, nowhere.content)
    assert service.inbox() == {}
    assert (await service.http.get(service.hook)).status_code == 405


async def test_a_malformed_host_is_refused(
    service: Any, account_event: Any, signed: Any, platform: SimulatorThread
) -> None:
    body = json.dumps(account_event()).encode()
    headers = signed(platform, service.hook.replace("127.0.0.1", "localhost"), body)
    for host in ("[bad", "[::1", "a b", "h:port", "h:99999999", "é", "x" * 9000, ""):
        answer = await service.http.post(service.hook, content=body, headers={"host": host.encode()} | headers)
        assert answer.status_code in (400, 401), host[:20]
    answer = await service.http.post(f"{service.hook}?{'x' * 9000}", content=body, headers=headers)
    assert (answer.status_code, "at most 4096 characters" in answer.text) == (401, True)
    assert service.inbox() == {}


async def test_a_query_that_is_no_text_is_refused(service: Any) -> None:
    """Under another ASGI server, which lets it through."""
    path = service.hook.removeprefix(service.url)
    answers: list[dict[str, Any]] = []
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"\xff", "headers": [(b"host", b"h")]}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    await service.server.config.app(scope, receive, send)
    assert answers[0]["status"] == 400


async def test_the_token_is_in_no_log_entry(service: Any, account_event: Any) -> None:
    token = service.settings.webhook_token.get_secret_value()
    with structlog.testing.capture_logs() as entries:
        await service.post(account_event())
        await service.post(b"not json")
        await service.http.post(f"{service.hook}x", content=b"{}")
    assert {"webhook", "webhook_refused", "webhook_unknown_token"} <= {entry["event"] for entry in entries}
    assert token not in repr(entries)


async def test_a_journal_that_refuses_is_no_2xx(service: Any, account_event: Any) -> None:
    path = service.settings.database_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE inbox")
        database.execute("DROP TABLE events")
    answer = await service.post(account_event())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "journal_database")
    ready = await service.http.get(f"{service.url}/ready")
    assert (ready.status_code, ready.json()["checks"]["journal"]) == (503, "journal_database")
    assert (await service.http.get(f"{service.url}/health")).status_code == 200


@pytest.mark.parametrize(
    ("token", "code"), [(None, "settings_missing"), ("short", "settings_invalid"), ("x" * 20 + "/", "settings_invalid")]
)
async def test_the_service_needs_a_token_that_cannot_be_guessed(
    orchestrator: Orchestrator, orchestrator_settings: Settings, token: str | None, code: str
) -> None:
    settings = Settings.model_validate(orchestrator_settings.model_dump() | {"webhook_token": token})
    with pytest.raises(SettingsError, match=r"ORCHESTRATOR_WEBHOOK_TOKEN.*secrets\.token_urlsafe") as caught:
        build_app(orchestrator, settings)
    assert caught.value.code == code
    assert token is None or token not in caught.value.message
