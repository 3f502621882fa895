"""Signed deliveries at the service: what it takes behind a proxy, and what it refuses and says."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest
import structlog

from orchestrator.app import Orchestrator
from orchestrator.devnet.simulator import SimulatorThread
from orchestrator.devnet.simulator.http_signatures import Message, sign_message
from orchestrator.errors import SettingsError
from orchestrator.service.webapp import build_app
from orchestrator.settings import Settings

EVERY_URL = ("@method", "@target-uri", "@scheme", "@authority", "@path", "@query", "content-type")


def changed(settings: Settings, **changes: Any) -> Settings:
    return Settings.model_validate(settings.model_dump() | changes)


def signed_over_the_url(platform: SimulatorThread, url: str) -> dict[str, str]:
    """By the platform's key, over all that a URL has."""

    def sign() -> dict[str, str]:
        key_id, key = platform.simulator.platform.deliveries.signing_key()
        now = int(platform.simulator.platform.clock.seconds())
        headers = {"content-type": "application/json"}
        message = Message("POST", url, list(headers.items()))
        return headers | sign_message(message, key=key, key_id=key_id, created=now, covered=EVERY_URL)

    return platform.run(sign)


async def test_what_the_platform_delivers_is_taken_and_what_it_has_not_signed_is_not(
    service: Any, account_event: Any, eventually: Any, platform: SimulatorThread, devnet: Any
) -> None:
    body = json.dumps(account_event()).encode()
    unsigned = await service.http.post(service.hook, content=body, headers={"content-type": "application/json"})
    assert (unsigned.status_code, unsigned.json()["error"]["code"]) == (401, "webhook_signature_invalid")
    assert "expected the header Signature-Input, got none" in unsigned.json()["error"]["message"]
    assert service.inbox() == {}
    services = await service.orchestrator._connected()
    await services.platform.put_webhook(service.hook, ["account.updated"], key=str(uuid.uuid4()))
    await service.orchestrator.create_account(devnet.programme.customer_id, "EUR")
    await eventually(lambda: any(service.inbox().values()), "a delivery of the platform is taken and handled")
    (delivery,) = platform.records()["deliveries"]
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 1)


async def test_a_verification_key_that_changes_in_the_middle(
    service: Any, account_event: Any, platform: SimulatorThread, signed: Any
) -> None:
    before = json.dumps(account_event()).encode()
    headers = signed(platform, service.hook, before)
    assert (await service.post(account_event())).status_code == 200
    fresh = platform.run(platform.simulator.rotate_webhook_key)
    assert (await service.post(account_event())).status_code == 200, fresh
    answer = await service.http.post(service.hook, content=before, headers=headers)
    assert answer.status_code == 200, "what the former key has signed may still be under way"
    reads = [one for one in platform.records()["requests"] if one["path"].endswith("/webhooks/verification-key")]
    assert len(reads) == 2


async def test_forged_key_ids_cost_one_request_however_many(
    service: Any, account_event: Any, platform: SimulatorThread, signed: Any
) -> None:
    body = json.dumps(account_event()).encode()
    good = signed(platform, service.hook, body)
    known = platform.run(lambda: platform.simulator.platform.deliveries.signing_key()[0])
    for _ in range(20):
        unknown = str(uuid.uuid4())
        forged = good | {"signature-input": good["signature-input"].replace(known, unknown)}
        answer = await service.http.post(service.hook, content=body, headers=forged)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "webhook_signature_invalid")
        assert f"the platform has no verification key {unknown}" in answer.json()["error"]["message"]
    reads = [one for one in platform.records()["requests"] if one["path"].endswith("/webhooks/verification-key")]
    assert len(reads) == 1
    assert service.inbox() == {}


async def test_a_platform_that_does_not_give_its_key_is_no_refusal(
    service: Any, account_event: Any, platform: SimulatorThread
) -> None:
    platform.fault("status", status=503, path="/verification-key$", count=1_000)
    answer = await service.post(account_event())
    assert answer.status_code == 503, "so the platform delivers it again"
    error = answer.json()["error"]
    assert error["message"] == "the platform's verification key could not be read; send it again later"
    assert service.inbox() == {}


PROXIES = {
    "none": ("{own}", "{host}"),
    "TLS ends before it, and Host stays": ("https://hooks.example", "hooks.example"),
    "Host is that of the service": ("https://hooks.example", "{host}"),
    "another port": ("https://hooks.example:8443", "{host}"),
    "a prefix of the path is taken off": ("https://hooks.example/cards/v1/", "{host}"),
    "the default port, written": ("https://Hooks.Example:443", "hooks.example"),
}


@pytest.mark.parametrize("name", PROXIES)
async def test_usual_proxies_work_with_the_public_url(
    name: str, service_settings: Settings, running: Any, account_event: Any, platform: SimulatorThread
) -> None:
    public, host = PROXIES[name]
    async with Orchestrator.open(service_settings) as opened:
        async with running(opened, changed(service_settings, public_url="https://elsewhere.example")) as service:
            own = service.url
        settings = changed(service_settings, public_url=public.format(own=own))
        async with running(opened, settings) as service:
            token = settings.webhook_token.get_secret_value()
            called = f"{public.format(own=own).rstrip('/')}/webhooks/{token}?delivery=1".replace(":443", "").lower()
            event = account_event()
            body = json.dumps(event).encode()
            headers = signed_over_the_url(platform, called) | {"host": host.format(host=service.url[7:])}
            answer = await service.http.post(f"{service.hook}?delivery=1", content=body, headers=headers)
            assert (answer.status_code, answer.json()) == (200, {}), name
            assert list(service.inbox()) == [event["eventId"]]


@pytest.mark.parametrize("public", ["https://hooks.example", None])
async def test_the_log_says_which_url_was_compared_without_its_token(
    public: str | None, service_settings: Settings, running: Any, account_event: Any, platform: SimulatorThread
) -> None:
    settings = changed(service_settings, public_url=public)
    token = settings.webhook_token.get_secret_value()
    async with Orchestrator.open(settings) as opened, running(opened, settings) as service:
        headers = signed_over_the_url(platform, f"https://wrong.example/webhooks/{token}")
        body = json.dumps(account_event()).encode()
        with structlog.testing.capture_logs() as entries:
            answer = await service.http.post(service.hook, content=body, headers=headers)
        compared = f"{public or service.url}/webhooks/…"
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (401, "webhook_signature_invalid")
        assert f"it does not hold for POST {compared}" in error["message"]
        (entry,) = [entry for entry in entries if entry["event"] == "webhook_refused"]
        assert entry["compared"] == compared
        assert "ORCHESTRATOR_PUBLIC_URL" in entry["compared_from"]
        assert entry["compared_from"].startswith("the request") == (public is None)
        assert token not in answer.text + repr(entries)


# --- the subscription ---------------------------------------------------------------------------------------------


async def test_serve_subscribes_at_its_start_and_says_so(
    service_settings: Settings, running: Any, eventually: Any, platform: SimulatorThread
) -> None:
    settings = changed(service_settings, public_url="https://hooks.example/cards")
    platform.fault("status", status=503, path="/webhooks$", count=4)
    async with Orchestrator.open(settings) as opened:
        services = await opened._connected()
        with structlog.testing.capture_logs() as entries:
            async with running(opened, settings) as one, running(opened, settings):

                async def subscribed() -> bool:
                    answer: httpx.Response = await one.http.get(f"{one.url}/ready")
                    return bool(answer.json()["checks"]["webhooks"] == "ok")

                await eventually(subscribed, "the platform delivers here")
                (webhook,) = await services.platform.webhooks()  # type: ignore[attr-defined]
        token = settings.webhook_token.get_secret_value()  # type: ignore[union-attr]
        assert webhook.callback_url == f"https://hooks.example/cards/webhooks/{token}"
        assert webhook.types == ("account.updated",)
        assert token not in repr(entries)
        told = [entry for entry in entries if entry["event"] == "webhooks_subscribed"]
        assert told[0]["url"] == "https://hooks.example/cards/webhooks/…"
        async with running(opened, settings) as again:
            await eventually(lambda: again.server.started, "it has started")
        assert await services.platform.webhooks() == [webhook]  # type: ignore[attr-defined]


async def test_without_a_public_url_nothing_is_subscribed(service: Any, platform: SimulatorThread) -> None:
    ready = (await service.http.get(f"{service.url}/ready")).json()
    assert ready["checks"]["webhooks"] == "not_managed"
    assert not [one for one in platform.records()["requests"] if one["method"] == "PUT"]


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example",
        "ftp://hooks.example",
        "https://",
        "https://user:pw@hooks.example",
        "https://hooks.example?x=1",
        "https://hooks.example/#x",
        "https://hooks.example/a//b",
        "https://hooks.example/a b",
        "https://hooks.example:port",
        "http://hooks.example",
        "https://hööks.example",
    ],
)
async def test_a_public_url_that_is_none_is_refused_before_anything_starts(
    service_settings: Settings, orchestrator: Orchestrator, url: str
) -> None:
    with pytest.raises(SettingsError, match="ORCHESTRATOR_PUBLIC_URL") as caught:
        build_app(orchestrator, changed(service_settings, public_url=url))
    assert caught.value.code == "settings_invalid"
