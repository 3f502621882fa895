"""The platform's subscription of the service, at the simulator; how callback URLs are shown and refused."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestrator.devnet.simulator import Simulator, SimulatorConfig
from orchestrator.errors import MalformedAnswer, PlatformRefused, SettingsError, UncertainAnswer
from orchestrator.platform import PlatformClient, PlatformSettings, PlatformWebhook
from orchestrator.platform.subscription import (
    Creation,
    callback_url,
    find,
    normalised,
    require_token,
    shown_url,
    subscribe,
    url_problem,
)

TOKEN = "an-unguessable-token-42"
URL = f"https://hooks.example/webhooks/{TOKEN}"


@pytest.fixture
async def simulator(tmp_path):
    async with Simulator(SimulatorConfig(database=tmp_path / "platform.db")) as one:
        yield one


@pytest.fixture
def programme(simulator):
    found = simulator.bootstrap("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
    return PlatformSettings(
        base_url=found.url,
        api_key=found.credentials.api_key,
        api_secret=SecretStr(found.credentials.api_secret),
        signing_key_pem=SecretStr(found.credentials.signing_key),
        signing_key_id=found.credentials.signing_key_id,
    )


@pytest.fixture
async def client(programme):
    async with PlatformClient(programme) as one:
        yield one


def puts(simulator):
    return [one for one in simulator.records()["requests"] if one["method"] == "PUT"]


def key():
    return str(uuid.uuid4())


async def test_it_is_created_once_and_then_left_as_it_is(client, simulator):
    webhook = await subscribe(client, URL)
    assert (webhook.callback_url, webhook.types) == (URL, ("account.updated",))
    for _ in range(3):
        assert await subscribe(client, URL) == webhook
    assert len(puts(simulator)) == 1
    assert await client.webhooks() == [webhook]


async def test_processes_that_start_together_create_one(programme, simulator):
    clients = [PlatformClient(programme) for _ in range(6)]
    found = await asyncio.gather(*(subscribe(client, URL) for client in clients))
    assert len({webhook.id for webhook in found}) == 1
    assert await clients[0].webhooks() == [found[0]]
    await asyncio.gather(*(client.aclose() for client in clients))


async def test_missing_types_are_added_and_others_kept(client, simulator):
    made = await client.put_webhook(URL, ["card.updated"], key=key())
    repaired = await subscribe(client, URL)
    assert (repaired.id, repaired.types) == (made.id, ("card.updated", "account.updated"))
    assert (await subscribe(client, URL, ["account.updated", "customer.updated"])).id == made.id
    assert len(await client.webhooks()) == 1
    assert len(puts(simulator)) == 3


async def test_one_that_was_deleted_within_the_hour_of_its_key_is_created_again(client, simulator):
    first = await subscribe(client, URL)
    await client.delete_webhook(first.id, key=key())
    second = await subscribe(client, URL)
    assert second.id != first.id
    assert await client.webhooks() == [second]
    assert Counter(one["replayed"] for one in puts(simulator)) == {0: 2, 1: 1}


async def test_what_others_have_subscribed_is_left_alone(client):
    urls = ["https://other.example/x", f"{URL}-of-another", "https://hooks.example/webhooks/crm", f"{URL}/x"]
    others = [await client.put_webhook(url, ["account.updated"], key=key()) for url in urls]
    mine = await subscribe(client, URL)
    assert sorted(await client.webhooks(), key=lambda one: one.id) == sorted([*others, mine], key=lambda one: one.id)
    found = find(await client.webhooks(), URL)
    assert found.webhook == mine
    assert set(found.others) == {others[1].id, others[2].id}


async def test_of_several_every_process_chooses_the_same(client):
    made = [await client.put_webhook(URL, types, key=key()) for types in (["card.updated"], *[["account.updated"]] * 2)]
    chosen = min(made[1:], key=lambda one: one.id)
    assert await subscribe(client, URL) == chosen
    assert set(find(await client.webhooks(), URL).others) == {one.id for one in made} - {chosen.id}


async def test_a_platform_that_lists_nothing_of_what_it_takes(server, settings, reply):
    server.on("GET", "/webhooks", reply(value=[]))
    server.on("PUT", "/webhooks", reply(200))
    async with PlatformClient(settings()) as client:
        with pytest.raises(MalformedAnswer, match=r"does not list it") as caught:
            await subscribe(client, URL)
    assert TOKEN not in caught.value.message
    assert len(server.calls("PUT", "/webhooks")) == 1


ID = "4f4b3c1e-4c3a-4a57-9b1e-3c1f6f8c0a11"
MINE = {"id": ID, "callbackUrl": URL, "types": ["account.updated"]}


@pytest.fixture
async def scripted(settings):
    async with PlatformClient(settings()) as one:
        yield one


@pytest.mark.parametrize("listed", [[], [MINE | {"callbackUrl": "https://hooks.example/webhooks/***"}]])
async def test_a_list_that_is_late_or_masks_urls_creates_no_second_one(server, scripted, reply, listed):
    server.on("GET", "/webhooks", reply(value=listed))
    server.on("GET", f"/webhooks/{ID}", reply(value=MINE))
    server.on("PUT", "/webhooks", reply(200, MINE))
    creation = Creation()
    for _ in range(3):
        assert (await subscribe(scripted, URL, creation=creation)).id == ID
    assert len(server.calls("PUT", "/webhooks")) == 1
    assert len(server.calls("GET", f"/webhooks/{ID}")) == (0 if listed else 3)


@pytest.mark.parametrize("answer", [MINE, None])
async def test_a_process_that_tries_again_and_again_creates_no_more(server, scripted, reply, answer):
    """The platform shows nothing of what it took: at most the key of the last hour, then a fresh one."""
    server.on("GET", "/webhooks", reply(value=[]))
    server.on("PUT", "/webhooks", reply(200, answer))
    creation = Creation()
    for _ in range(5):
        with pytest.raises(MalformedAnswer, match="does not list it"):
            await subscribe(scripted, URL, creation=creation)
    assert len(server.calls("PUT", "/webhooks")) == (1 if answer is None else 2)


async def test_a_creation_without_a_clear_answer_is_repeated_while_its_key_is_valid(server, scripted, reply):
    server.on("GET", "/webhooks", reply(value=[]))
    server.on("PUT", "/webhooks", reply(200, {"id": "1"}))
    creation = Creation()
    for _ in range(3):
        with pytest.raises(UncertainAnswer):
            await subscribe(scripted, URL, creation=creation)
    assert len({seen.header("idempotency-key") for seen in server.calls("PUT", "/webhooks")}) == 1
    creation.until -= 3600
    with pytest.raises(MalformedAnswer, match="does not list it"):
        await subscribe(scripted, URL, creation=creation)
    assert len(server.calls("PUT", "/webhooks")) == 3


async def test_a_refusal_that_quotes_the_url_shows_it_without_its_token(server, scripted, reply):
    url = f"{URL}?key=0123456789abcdef"
    words = f"callbackUrl {url}: nothing at {TOKEN}, 0123456789abcdef or hooks.example; " + "x" * 250 + TOKEN
    server.on("PUT", "/webhooks", reply(400, {"code": TOKEN, "message": words}))
    with pytest.raises(PlatformRefused) as caught:
        await scripted.put_webhook(url, ["account.updated"], key=key())
    message, refusal = caught.value.message, caught.value
    assert "callbackUrl https://hooks.example/webhooks/…?…: nothing at …, … or hooks.example" in message
    assert not any(part[:8] in f"{message} {refusal!r}" for part in (TOKEN, "0123456789abcdef"))


# --- URLs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("public", "expected"),
    [
        ("https://hooks.example", URL),
        ("https://hooks.example/", URL),
        ("https://HOOKS.example:443", URL),
        ("https://hooks.example:8443/cards/", f"https://hooks.example:8443/cards/webhooks/{TOKEN}"),
        ("http://127.0.0.1:8080", f"http://127.0.0.1:8080/webhooks/{TOKEN}"),
        ("http://[::1]:80", f"http://[::1]/webhooks/{TOKEN}"),
    ],
)
def test_the_callback_url(public, expected):
    assert callback_url(public, TOKEN) == expected


@pytest.mark.parametrize(
    ("listed", "same"),
    [
        (URL, True),
        (f"HTTPS://Hooks.Example/webhooks/{TOKEN}", True),
        (f"https://hooks.example:443/webhooks/{TOKEN}", True),
        (f"https://hooks.example:/webhooks/{TOKEN}", True),
        (f"https://hooks.example:80/webhooks/{TOKEN}", False),
        (f"http://hooks.example/webhooks/{TOKEN}", False),
        (f"https://hooks.example/webhooks/{TOKEN.upper()}", False),
        (f"https://hooks.example/Webhooks/{TOKEN}", False),
        (f"https://hooks.example/webhooks/{TOKEN}/", False),
        (f"https://hooks.example/webhooks/{TOKEN}?x", False),
        (f"https://user@hooks.example/webhooks/{TOKEN}", False),
        ("https://[", False),
    ],
)
def test_a_subscription_is_known_however_its_url_is_spelt(listed, same):
    webhook = PlatformWebhook(str(uuid.uuid4()), listed, ("account.updated",))
    assert (find([webhook], URL).webhook is webhook) is same


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h.example", "https://h.example/"),
        ("https://h.example:443?x=Y", "https://h.example/?x=Y"),
        ("http://User:Pa@H.Example:080/A", "http://User:Pa@h.example/A"),
        ("http://[2001:DB8::1]:443/", "http://[2001:db8::1]:443/"),
        ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]/"),
        ("https://h.example:99999/", "https://h.example:99999/"),
    ],
)
def test_urls_that_are_the_same_are_spelt_alike(url, expected):
    assert normalised(url) == expected
    assert normalised(expected) == expected


def test_plain_http_is_allowed_by_name_only():
    with pytest.raises(SettingsError, match="ORCHESTRATOR_ALLOW_PLAIN_HTTP"):
        callback_url("http://hooks.example", TOKEN)
    assert callback_url("http://hooks.example", TOKEN, allow_plain_http=True).startswith("http://")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "https://hooks.example/webhooks/…"),
        (f"https://u:p@h.example:1/{TOKEN}/x?t={TOKEN}#f", "https://h.example:1/…/x?…"),
        ("https://h/hooks/short", "https://h/hooks/short"),
        ("https://[", "(a URL that cannot be read)"),
        ("https://h/\u202ex", "https://h/\ufffdx"),
    ],
)
def test_urls_are_shown_without_their_tokens(url, shown):
    assert shown_url(url) == shown


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_refused(text):
    assert shown_url(text) is not None
    assert normalised(normalised(text)) == normalised(text)
    if url_problem(text, allow_plain_http=True) is None:
        assert text.lower().startswith(("http://", "https://"))
    with contextlib.suppress(SettingsError):  # any other exception fails
        callback_url(text, TOKEN)


@pytest.mark.parametrize("token", [None, "", "short", "x" * 15, "x" * 20 + "/", "x" * 20 + "\n"])
def test_a_token_that_can_be_guessed_or_written_in_two_ways(token):
    with pytest.raises(SettingsError, match=r"ORCHESTRATOR_WEBHOOK_TOKEN.*secrets\.token_urlsafe"):
        require_token(token)
