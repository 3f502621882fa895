"""Webhooks: subscribed, delivered at least once, signed, retried with patience, kept over a restart."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import time
import uuid

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from orchestrator.devnet.simulator import Options
from orchestrator.devnet.simulator.http_signatures import (
    Message,
    SignatureRefused,
    verify_content_digest,
    verify_message,
)

FAST = Options(chain_wait=0, webhook_first_delay=1, webhook_time_scale=0.01)


class Receiver:
    """A receiver of webhooks on a real socket, which answers as it is told."""

    def __init__(self):
        self.statuses = []
        self.requests = []
        self.arrived = asyncio.Condition()

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hooks/secret"
        return self

    async def stop(self):
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
            headers = [(name.lower(), value) for name, value in headers]
            body = await reader.readexactly(int(dict(headers).get("content-length", 0)))
            status = self.statuses.pop(0) if self.statuses else 200
            head = f"HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
            writer.write(f"{head}connection: close\r\n\r\n{{}}".encode())
            await writer.drain()
            async with self.arrived:
                self.requests.append((headers, body, status))
                self.arrived.notify_all()
        writer.close()

    async def wait(self, count):
        async with asyncio.timeout(20), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)

    def events(self):
        return [json.loads(body) for _, body, _ in self.requests]


@pytest.fixture
async def receiver():
    receiver = await Receiver().start()
    yield receiver
    await receiver.stop()


async def subscribe(world, receiver, *types):
    return await world.client.ok("PUT", "/webhooks", {"callbackUrl": receiver.url, "types": list(types)})


async def test_subscriptions_are_created_read_updated_and_deleted(world):
    body = {"callbackUrl": "https://example.org/hook", "types": ["account.updated"]}
    created = await world.client.request("PUT", "/webhooks", body)
    assert created.status_code == 200
    webhook = created.json()
    assert await world.client.ok("GET", "/webhooks") == [webhook]
    changed = await world.client.request("PUT", "/webhooks", body | {"id": webhook["id"], "types": ["card.updated"]})
    assert changed.status_code == 200
    assert changed.json()["types"] == ["card.updated"]
    assert (await world.client.request("DELETE", f"/webhooks/{webhook['id']}")).status_code == 204
    assert await world.client.ok("GET", "/webhooks") == []
    assert (await world.client.request("PUT", "/webhooks", body | {"id": webhook["id"]})).status_code == 400


@pytest.mark.parametrize("url", ["ftp://x/", "javascript:alert(1)", "http://", "http://user:pw@host/", "/relative", ""])
async def test_urls_that_cannot_be_called(world, url):
    body = {"callbackUrl": url, "types": ["account.updated"]}
    response = await world.client.request("PUT", "/webhooks", body, wrong=True)
    assert response.status_code == 400


async def test_an_event_has_all_fields_of_the_account(make, receiver):
    world = await make(FAST)
    await subscribe(world, receiver, "account.updated", "transaction.updated")
    account = await world.create()
    await receiver.wait(1)
    (event,) = receiver.events()
    assert event["webhookType"] == "account.updated"
    assert {name: event[name] for name in account if name != "challenge"} == {
        name: value for name, value in account.items() if name != "challenge"
    }
    assert "challenge" not in event
    assert re.search(r"\.\d{9}Z$", event["updatedAt"])
    await world.client.ok("DELETE", f"/accounts/{account['id']}")
    await receiver.wait(2)
    first, second = receiver.events()
    assert second["status"] == "closed"
    assert first["eventId"] != second["eventId"]
    assert first["updatedAt"] < second["updatedAt"]


async def test_a_refused_delivery_is_repeated_with_growing_delays(make, receiver):
    world = await make(FAST)
    await subscribe(world, receiver, "account.updated")
    receiver.statuses = [500, 404, 302, 200]
    await world.create()
    await receiver.wait(4)
    assert len({event["eventId"] for event in receiver.events()}) == 1
    async with asyncio.timeout(10):
        while world.simulator.records()["deliveries"][0]["state"] != "delivered":
            await asyncio.sleep(0.01)
    assert world.simulator.records()["deliveries"][0]["attempts"] == 4


async def test_a_receiver_whose_answer_drips_holds_nobody_up(make, receiver):
    drip = asyncio.Event()

    async def slow(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 x\r\ncontent-length: 100000\r\n\r\n")
            drip.set()
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)  # slow is what is tried here

    world = await make(Options(chain_wait=0, webhook_timeout=0.2, webhook_first_delay=3600))
    async with await asyncio.start_server(slow, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await world.client.ok("PUT", "/webhooks", {"callbackUrl": url, "types": ["account.updated"]})
        await subscribe(world, receiver, "account.updated")
        await world.create()
        await receiver.wait(1)
        assert drip.is_set(), "the slow one was asked first"
    (slow_one, _) = world.simulator.records()["deliveries"]
    assert (slow_one["state"], slow_one["attempts"]) == ("waiting", 1)
    assert slow_one["error"].startswith("TimeoutError")


async def test_a_delivery_is_given_up_after_24_hours(make, receiver):
    world = await make(Options(chain_wait=0, webhook_first_delay=0.01, webhook_longest_delay=0.01))
    await subscribe(world, receiver, "account.updated")
    receiver.statuses = [500] * 10_000
    await world.create()
    await receiver.wait(3)
    assert world.simulator.records()["deliveries"][0]["state"] == "waiting"
    world.simulator.fault("skew_clock", seconds=24 * 3600 + 60)
    async with asyncio.timeout(10):
        while world.simulator.records()["deliveries"][0]["state"] != "abandoned":
            await asyncio.sleep(0.02)


async def test_what_is_undelivered_survives_a_crash(make, receiver):
    world = await make(FAST)
    await subscribe(world, receiver, "account.updated")
    world.simulator.fault("hold_webhooks")
    account = await world.create()
    await world.restart(crash=True)
    await receiver.wait(1)
    assert receiver.events()[0]["id"] == account["id"]


async def test_duplicates_and_wrong_order_can_be_ordered(make, receiver):
    world = await make(FAST)
    await subscribe(world, receiver, "account.updated")
    world.simulator.fault("duplicate_webhooks")
    await world.create()
    await receiver.wait(2)
    assert len({event["eventId"] for event in receiver.events()}) == 1
    hold = world.simulator.fault("hold_webhooks")
    world.simulator.fault("reorder_webhooks")
    account = await world.create()
    await world.client.ok("DELETE", f"/accounts/{account['id']}")
    assert (await world.admin("DELETE", f"/faults/{hold['id']}")).status_code == 204
    await receiver.wait(4)
    assert [event["status"] for event in receiver.events()[2:]] == ["closed", "initiating"]


async def verification_key(world):
    answer = await world.client.ok("GET", "/webhooks/verification-key")
    assert str(uuid.UUID(answer["keyId"])) == answer["keyId"]
    return answer["keyId"], load_pem_public_key(base64.b64decode(answer["key"], validate=True))


def verified(receiver, index, key_id, key, *, required=("@method", "@authority", "@path")):
    headers, body, _ = receiver.requests[index]
    message = Message("POST", receiver.url, headers)
    digest = message.field("content-digest")
    if digest is not None:
        verify_content_digest(digest, body)
    return verify_message(
        message,
        key_for=lambda named: key if named == key_id else None,
        now=time.time(),
        required={*required, *(("content-digest",) if digest else ())},
    )


async def test_every_delivery_is_signed_and_each_attempt_anew(make, receiver):
    world = await make(FAST)
    await subscribe(world, receiver, "account.updated")
    receiver.statuses = [500, 200]
    await world.create()
    await receiver.wait(2)
    key_id, key = await verification_key(world)
    assert {verified(receiver, index, key_id, key).label for index in (0, 1)} == {"sig1"}
    signatures = [dict(headers)["signature"] for headers, _, _ in receiver.requests]
    assert signatures[0] != signatures[1]
    assert await verification_key(world) == (key_id, key), "the key stays"


async def test_the_key_of_deliveries_survives_a_restart_and_can_be_exchanged(make, receiver):
    world = await make(FAST)
    await subscribe(world, receiver, "account.updated")
    first = await verification_key(world)
    await world.restart(crash=True)
    assert await verification_key(world) == first
    answer = await world.admin("POST", "/webhook-key")
    assert answer.status_code == 200
    key_id, key = await verification_key(world)
    assert answer.json()["keyId"] == key_id != first[0]
    await world.create()
    await receiver.wait(1)
    verified(receiver, 0, key_id, key)
    with pytest.raises(SignatureRefused):
        verified(receiver, 0, *first)


async def test_a_delivery_without_a_digest_as_the_published_file_has_it(make, receiver):
    covered = ("@method", "@target-uri")
    world = await make(Options(chain_wait=0, webhook_components=covered))
    await subscribe(world, receiver, "account.updated")
    await world.create()
    await receiver.wait(1)
    assert "content-digest" not in dict(receiver.requests[0][0])
    verified(receiver, 0, *await verification_key(world), required=covered)
