"""Which request-signing key a session uses, and what a refused one costs."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.platform import PlatformSettings
from orchestrator.platform.current_request_key import CurrentRequestKey


class Key:
    def __init__(self, key_id):
        self.key_id = key_id

    def sign(self, data):
        return b"\0" * 96


class Source:
    """A managed key in memory."""

    def __init__(self, key_id=None):
        self.key_id = key_id
        self.looks = 0
        self.error = None

    def current(self):
        self.looks += 1
        if self.error is not None:
            raise self.error
        return None if self.key_id is None else Key(self.key_id)


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


async def used(keys, *, needed=True):
    signer = await keys.signer(needed=needed)
    return signer and signer.key_id


async def test_the_settings_own_key_wins_until_it_is_refused(make):
    source = Source()
    keys = make(source, own=True)
    own = await keys.signer(needed=True)
    assert (own.key_id, source.looks) == ("own", 0)
    assert not await keys.replace_refused(own)
    assert await used(keys) == "own", "there is no other"
    source.key_id = "managed"
    assert await keys.replace_refused(own)
    assert await used(keys) == keys.key_id == "managed"


async def test_without_any_key_a_request_goes_unsigned_or_is_refused_here(make):
    assert await used(make()) is None
    source = Source()
    keys = make(source)
    with pytest.raises(SettingsError) as caught:
        await used(keys)
    assert caught.value.code == "request_key_missing"
    assert await used(keys, needed=False) is None, "the upload of the first key"
    source.key_id = "first"
    assert await used(keys, needed=False) == "first"


async def test_all_who_were_refused_share_one_read(make):
    source = Source("old")
    keys = make(source)
    old = await keys.signer(needed=True)
    source.key_id = "new"
    assert await asyncio.gather(*(keys.replace_refused(old) for _ in range(50))) == [True] * 50
    assert source.looks == 2
    assert await used(keys) == "new"
    assert await keys.replace_refused(old), "one who comes late with the old key"
    assert source.looks == 2


async def test_a_key_that_was_revoked_is_no_longer_used(make):
    source = Source("old")
    keys = make(source)
    old = await keys.signer(needed=True)
    assert not await keys.replace_refused(old), "the same key is still the current one"
    source.key_id = None
    assert await keys.replace_refused(old)
    with pytest.raises(SettingsError):
        await used(keys)


async def test_a_read_that_fails_or_is_cancelled_leaves_the_others_theirs(make):
    source = Source("old")
    keys = make(source)
    old = await keys.signer(needed=True)
    source.error = KeyUnavailable("no password", code="password_missing")
    with pytest.raises(KeyUnavailable):
        await keys.replace_refused(old)
    assert not await keys.replace_refused(old, needed=False)
    assert await used(keys, needed=False) == "old"
    source.error, source.key_id = None, "new"
    first, second = (asyncio.create_task(keys.replace_refused(old)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    assert first.cancelled()


async def test_a_key_that_cannot_be_opened_stops_no_call_that_needs_no_signature(make):
    source = Source("first")
    source.error = KeyUnavailable("no password", code="password_missing")
    keys = make(source)
    assert await used(keys, needed=False) is None
    with pytest.raises(KeyUnavailable):
        await used(keys)
