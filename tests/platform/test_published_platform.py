"""The client against a platform that shares no code with it: every request of a life is taken."""

from __future__ import annotations

import uuid
from contextlib import nullcontext

import pytest

from orchestrator.models import ChainAccount
from orchestrator.platform import PlatformClient
from orchestrator.ports.platform import Submission
from tests.platform.published_platform import PublishedPlatform


def key():
    return str(uuid.uuid4())


@pytest.fixture
def published(signing_keys, settings):
    made = settings()
    secret = made.api_secret.get_secret_value()
    with PublishedPlatform(signing_keys.private.public_key(), "key-1", made.api_key, secret) as platform:
        yield platform


async def sign(client, account, challenge, owner):
    submission = Submission(ChainAccount.parse(owner), challenge, bytes(64) + b"\x1b")
    await client.submit(account, submission, key=key(), permit=nullcontext)


@pytest.mark.parametrize("skew", [0, -25, 25])
async def test_every_request_of_a_life_is_taken(published, settings, skew):
    published.skew = skew
    async with PlatformClient(settings(base_url=published.url)) as client:
        customer = await client.customer(published.customer_id)
        account, challenge = await client.create_account(customer.id, "EUR", key=key())
        await sign(client, account.id, challenge, published.owner)
        assert (await client.account(account.id)).status == "active"
        assert (await client.deactivate(account.id, key=key())).status == "inactive"
        assert (await client.reactivate(account.id, key=key())).status == "active"
        assert await client.cards(account.id) == []
        assert await client.close(account.id, key=key()) is None
        await sign(client, account.id, await client.challenge(account.id), published.owner)
        (closed,) = await client.accounts()
        assert closed.status == "closed"
        assert await client.customer_accounts(customer.id) == [closed]
        hook = await client.put_webhook("https://me.example/hooks/x?y=z", ["account.updated"], key=key())
        assert await client.webhooks() == [hook]
        assert await client.webhook(hook.id) == hook
        await client.delete_webhook(hook.id, key=key())
    assert len(published.seen) == 17, "no request was repeated"
    assert {status for _, _, status in published.seen} == {200, 201, 204}
