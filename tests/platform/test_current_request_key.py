"""The gate around the request-signing key: who waits for whom, and that nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.platform import PlatformSettings
from orchestrator.platform import current_request_key as module
from orchestrator.platform.current_request_key import CurrentRequestKey


class Key:
    def __init__(self, key_id):
        self.key_id = key_id

    def sign(self, data):
        return b"\0" * 96


class Source:
    """Managed keys in memory; ``after`` is what it finds once a key was refused."""

    def __init__(self, *ids):
        self.ids = list(ids)
        self.looks = 0
        self.left = None
        self.error = None

    def current(self, *, refused=None):
        if self.error is not None:
            raise self.error
        if refused is not None:
            self.looks += 1
            self.ids = self.ids[1:]
        found = self.ids[0] if self.ids else None
        return None if found in (None, refused) else Key(found)

    def unfinished(self):
        return self.left


@pytest.fixture
def make(signing_keys):
    def keys(source=None, *, own=False):
        return CurrentRequestKey(
            PlatformSettings(
                base_url="http://127.0.0.1:1/v1",
                api_key="0b0f3a52-7f2c-4b93-8e0a-3b8e2e8f4c11",
                api_secret=SecretStr("s"),
                signing_key_pem=SecretStr(signing_keys.private_pem if own else ""),
                signing_key_id="own" if own else "",
            ),
            source,
        )

    return keys


async def used(keys):
    async with keys.in_use() as signer:
        return signer and signer.key_id


async def test_the_settings_own_key_wins_until_it_is_refused(make):
    keys = make(Source("old", "managed"), own=True)
    assert await used(keys) == "own"
    async with keys.in_use() as signer:
        pass
    assert await keys.replace_refused(signer)
    assert await used(keys) == "managed"
    await keys.refresh()
    assert await used(keys) == "managed"


async def test_without_any_key_a_request_goes_unsigned_or_is_refused_here(make):
    assert await used(make()) is None
    keys = make(Source())
    with pytest.raises(SettingsError) as caught:
        await used(keys)
    assert caught.value.code == "request_key_missing"
    async with keys.held():
        assert await used(keys) is None, "the upload of the first key"


async def test_an_exchange_waits_for_requests_in_reading_and_holds_the_others(make):
    keys, order, sent = make(Source("one")), [], asyncio.Event()

    async def request(name, until):
        async with keys.in_use():
            order.append(f"{name} begins")
            await until.wait()
            order.append(f"{name} ends")

    async def exchange():
        async with keys.held():
            order.append("exchange")
            assert await used(keys) == "one", "its own requests pass"
            keys.use(Key("two"))

    free = asyncio.Event()
    free.set()
    first = asyncio.create_task(request("first", sent))
    while not order:
        await asyncio.sleep(0)
    exchanges = [asyncio.create_task(exchange()) for _ in range(2)]
    await asyncio.sleep(0)
    second = asyncio.create_task(request("second", free))
    for _ in range(5):
        await asyncio.sleep(0)
    assert order == ["first begins"]
    exchanges.pop().cancel()
    sent.set()
    await asyncio.gather(first, second, *exchanges)
    assert order == ["first begins", "first ends", "exchange", "second begins", "second ends"]


async def test_an_exchange_does_not_wait_for_ever(make, monkeypatch):
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.01)
    keys = make(Source("one"))
    async with keys.in_use():

        async def exchange():
            async with keys.held():
                return True

        assert await asyncio.create_task(exchange())


async def test_what_fails_or_is_cancelled_gives_the_gate_back(make):
    keys = make(Source("one"))
    with pytest.raises(RuntimeError):
        async with keys.in_use():
            raise RuntimeError
    with pytest.raises(RuntimeError):
        async with keys.held():
            raise RuntimeError

    async def hang():
        async with keys.held():
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with keys.held():
        pass
    assert await used(keys) == "one"


async def test_all_who_were_refused_share_one_read(make):
    source = Source("old", "new")
    keys = make(source)
    async with keys.in_use() as signer:
        pass
    assert await asyncio.gather(*(keys.replace_refused(signer) for _ in range(50))) == [True] * 50
    assert source.looks == 1
    assert await used(keys) == "new"
    assert await keys.replace_refused(signer), "one who comes late with the old key"
    assert source.looks == 1


async def test_no_other_key_and_a_look_that_fails(make):
    source = Source("old")
    keys = make(source)
    async with keys.in_use() as signer:
        pass
    assert not await keys.replace_refused(signer)
    source.error = KeyUnavailable("no password", code="password_missing")
    with pytest.raises(KeyUnavailable):
        await keys.replace_refused(signer)
    await keys.close()


async def test_what_a_dead_process_left_is_finished_once(make):
    source, finished = Source("old"), []
    source.left = "left"
    keys = make(source)

    async def finish(name):
        finished.append(name)
        source.ids = ["left-id"]

    keys.complete_upload = finish
    async with keys.in_use() as signer:
        pass
    assert await asyncio.gather(*(keys.replace_refused(signer) for _ in range(20))) == [True] * 20
    assert finished == ["left"]
    assert await used(keys) == "left-id"


async def test_a_trial_uses_its_key_alone_and_leaves_no_trace_if_it_fails(make):
    source = Source("old")
    keys = make(source)
    assert await used(keys) == "old"

    async def refused():
        async with keys.in_use() as signer:
            assert signer.key_id == "trial"
        return await keys.replace_refused(signer)

    assert not await keys.accepts(Key("trial"), refused)
    assert await used(keys) == "old"

    async def broken():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await keys.accepts(Key("trial"), broken)
    assert await used(keys) == "old"

    async def taken():
        return True

    assert await keys.accepts(Key("trial"), taken)
    assert await used(keys) == "trial"
