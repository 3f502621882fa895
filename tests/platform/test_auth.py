"""Login, one for all who wait; 401 in the middle of work; wrong credentials; clocks."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr

from orchestrator.errors import MalformedAnswer, PlatformRefused, PlatformUnreachable, SettingsError
from orchestrator.platform import PlatformClient
from orchestrator.platform.auth import Token, TokenKeeper
from orchestrator.platform.clock import SystemClock

ID = "4f4b3c1e-4c3a-4a57-9b1e-3c1f6f8c0a11"
ACCOUNT = f"/accounts/{ID}"


class HandClock(SystemClock):
    """A clock that a test turns; ``sleep`` turns it by itself."""

    def __init__(self):
        self.passed = 0.0
        self.slept = []

    def monotonic(self):
        return self.passed

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.passed += seconds


async def test_fifty_at_once_make_one_login(server, client, reply, account_json):
    server.on("GET", ACCOUNT, reply(value=account_json(ID)))
    await asyncio.gather(*(client.account(ID) for _ in range(50)))
    assert server.tokens == 1
    assert len(server.calls("GET", ACCOUNT)) == 50
    assert {one.header("authorization") for one in server.calls("GET", ACCOUNT)} == {"Bearer token-1"}


async def test_a_storm_of_401_makes_one_refresh_and_one_repeat_each(server, client, reply, account_json):
    def answer(seen):
        if seen.header("authorization") != f"Bearer {server.token}" or server.tokens < 2:
            return reply(401, {"code": "token_expired", "message": "token expired"})
        return reply(value=account_json(ID))

    server.on("GET", ACCOUNT, answer)
    await client.login()
    await asyncio.gather(*(client.account(ID) for _ in range(50)))
    assert server.tokens == 2
    assert len(server.calls("POST", "/auth/token")) == 2
    assert len(server.calls("GET", ACCOUNT)) == 100


async def test_401_on_a_modifying_call_repeats_it_with_the_same_key(server, client, reply):
    server.on("PATCH", f"{ACCOUNT}/activate", reply(401, {}), reply(204))
    key = str(uuid.uuid4())
    assert await client.reactivate(ID, key=key) is None
    seen = server.calls("PATCH", f"{ACCOUNT}/activate")
    assert [one.header("idempotency-key") for one in seen] == [key, key]
    assert [one.header("authorization") for one in seen] == ["Bearer token-1", "Bearer token-2"]


async def test_401_that_stays_is_refused_after_one_repeat(server, client, reply):
    server.on("GET", ACCOUNT, reply(401, {"code": "unauthorized"}))
    with pytest.raises(PlatformRefused) as caught:
        await client.account(ID)
    assert caught.value.code == "platform_unauthorized"
    assert caught.value.status == 401
    assert len(server.calls("GET", ACCOUNT)) == 2


async def test_wrong_secret_is_refused_once_for_all(server, settings):
    async with PlatformClient(settings(api_secret=SecretStr("wrong-and-secret"))) as client:
        results = await asyncio.gather(*(client.account(ID) for _ in range(50)), return_exceptions=True)
        with pytest.raises(PlatformRefused):
            await client.account(ID)  # held back: not even a later call asks again at once
    assert {(type(one), one.code) for one in results} == {(PlatformRefused, "platform_login_refused")}
    assert all("wrong-and-secret" not in str(one) + repr(one) for one in results)
    assert len(server.calls("POST", "/auth/token")) == 1
    assert not server.calls("GET", ACCOUNT)


async def test_the_refusal_is_held_for_its_time_only(server, settings):
    clock = HandClock()
    async with PlatformClient(settings(api_secret=SecretStr("wrong")), clock=clock) as client:
        for expected in (1, 1):
            with pytest.raises(PlatformRefused):
                await client.login()
            assert len(server.calls("POST", "/auth/token")) == expected
        clock.passed += 16
        with pytest.raises(PlatformRefused):
            await client.login()
    assert len(server.calls("POST", "/auth/token")) == 2


async def test_a_token_is_replaced_a_little_before_it_expires(server, settings, reply, account_json):
    server.on("GET", ACCOUNT, reply(value=account_json(ID)))
    clock = HandClock()
    async with PlatformClient(settings(), clock=clock) as client:
        await client.account(ID)
        clock.passed = 3600 - 70
        await client.account(ID)
        assert server.tokens == 1
        clock.passed = 3600 - 50
        await client.account(ID)
    assert server.tokens == 2


async def test_a_token_about_to_expire_serves_while_the_login_is_down(server, settings, reply, account_json):
    server.on("GET", ACCOUNT, reply(value=account_json(ID)))
    clock = HandClock()
    async with PlatformClient(settings(), clock=clock) as client:
        await client.account(ID)
        server.on("POST", "/auth/token", reply(503))
        clock.passed = 3600 - 50
        assert (await client.account(ID)).id == ID


async def test_a_cancelled_waiter_does_not_end_the_login_of_the_others():
    go = asyncio.Event()
    logins = 0

    async def login():
        nonlocal logins
        logins += 1
        await go.wait()
        return Token("t", 100)

    keeper = TokenKeeper(login, SystemClock(), margin=1, hold=1)
    first, second = asyncio.create_task(keeper.token()), asyncio.create_task(keeper.token())
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second == "t"
    assert logins == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_local_clock_that_is_wrong_does_not_hurt_the_token(server, client, reply, account_json):
    past = time.time() - 86_400

    def login(seen):
        server.tokens += 1
        value = {"token": "t", "expiresAt": int(past) + 3600, "tokenType": "bearer"}
        return reply(value=value, headers={"date": format_datetime(datetime.fromtimestamp(past, UTC), usegmt=True)})

    server.on("POST", "/auth/token", login)
    server.on("GET", ACCOUNT, reply(value=account_json(ID)))
    await client.account(ID)
    await client.account(ID)
    assert server.tokens == 1


async def test_a_clock_that_cannot_be_is_no_clock(server, client, reply, account_json):
    """Nothing is reckoned by it, not at a later answer without one either."""
    server.on("GET", ACCOUNT, reply(value=account_json(ID), headers={"date": "Fri, 31 Dec 9999 23:59:59 GMT"}))
    await client.account(ID)
    server.on("GET", ACCOUNT, reply(403, {"code": "no"}, headers={"date": ""}))
    with pytest.raises(PlatformRefused) as caught:
        await client.account(ID)
    assert caught.value.code == "no"


async def test_clock_skew_is_named_with_both_times(server, client, reply):
    there = datetime.now(UTC) - timedelta(hours=2)
    date = {"date": format_datetime(there, usegmt=True)}
    server.on(
        "GET", ACCOUNT, reply(401, {"code": "signature_invalid", "message": "created is in the future"}, headers=date)
    )
    with pytest.raises(PlatformRefused) as caught:
        await client.account(ID)
    assert caught.value.code == "clock_skew"
    assert there.isoformat(timespec="minutes")[:16] in caught.value.message
    assert datetime.now(UTC).isoformat()[:13] in caught.value.message
    assert "NTP" in caught.value.message
    assert client.clock_offset is not None
    assert abs(client.clock_offset.total_seconds() + 7200) < 5


async def test_a_refused_request_signature_has_its_code(server, client, reply):
    server.on("GET", ACCOUNT, reply(401, {"code": "signature_invalid", "message": "no"}))
    with pytest.raises(PlatformRefused) as caught:
        await client.account(ID)
    assert caught.value.code == "request_signature_refused"
    assert server.tokens == 1  # another token would not help


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"expiresAt": 4_000_000_000, "tokenType": "Bearer"}, "token"),
        ({"token": "line\nbreak", "expiresAt": 4_000_000_000, "tokenType": "Bearer"}, "token"),
        ({"token": "hidden-token", "expiresAt": "soon", "tokenType": "Bearer"}, "expiresAt"),
        ({"token": "hidden-token", "expiresAt": 1, "tokenType": "Bearer"}, "expiresAt"),
        ({"token": "hidden-token", "expiresAt": 4_000_000_000, "tokenType": "MAC"}, "tokenType"),
        ([], "object"),
    ],
)
async def test_malformed_tokens(server, client, reply, value, named):
    server.on("POST", "/auth/token", reply(value=value))
    with pytest.raises(MalformedAnswer, match=named) as caught:
        await client.login()
    assert "hidden" not in str(caught.value)


async def test_login_that_is_down_leaves_a_modifying_call_unsent(server, client, reply):
    server.on("POST", "/auth/token", reply(503))
    with pytest.raises(PlatformUnreachable):
        await client.close(ID, key=str(uuid.uuid4()))
    assert not server.calls("DELETE", ACCOUNT)


async def test_no_secret_in_any_text(server, settings, reply, caplog):
    caplog.set_level("DEBUG")
    secret = "s3cret-that-must-never-show"
    server.on("GET", ACCOUNT, lambda seen: reply(403, {"message": f"{seen.header('authorization')} {secret} no"}))
    made = settings()
    async with PlatformClient(made) as client:
        with pytest.raises(PlatformRefused) as caught:
            await client.account(ID)
        texts = [repr(made), str(made), repr(client), str(client), repr(vars(client)), str(caught.value)]
        texts += [repr(caught.value), caplog.text]
    for text in texts:
        assert secret not in text
        assert "token-1" not in text
        assert "PRIVATE KEY" not in text


async def test_a_garbled_login_is_repeated(server, client, reply):
    server.on("POST", "/auth/token", reply(raw=b'{"token": "hid'), server._login)
    await client.login()
    assert server.tokens == 1


async def test_a_url_without_v1_is_named(server, settings):
    async with PlatformClient(settings(base_url=server.origin)) as client:
        with pytest.raises(SettingsError, match=r"ORCHESTRATOR_PLATFORM_URL.*/v1") as caught:
            await client.login()
    assert caught.value.code == "platform_url"
