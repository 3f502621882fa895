"""One life of an account with all that belongs to it, through a proxy, judged by the platform's own OpenAPI file."""

import collections
import uuid

from orchestrator.app import Orchestrator
from orchestrator.connect import make_platform
from orchestrator.doctor import examine
from orchestrator.settings import Settings
from tests.e2e.commands import CommandLine
from tests.recording_proxy import RecordingProxy
from tests.service.published_judge import PublishedJudge
from tests.simulator.published_file import needs_file


def through(settings, proxy):
    return Settings.model_validate(settings.model_dump() | {"platform_url": f"{proxy.url}/v1"})


def judge(platform, deliveries):
    """Prints the departures by kind, and gives the kinds."""
    judge = PublishedJudge()
    kinds = collections.Counter(what for exchange in platform for what in judge.judged(exchange))
    kinds.update(what for exchange in deliveries for what in judge.delivered(exchange))
    print(f"\n{len(platform)} requests, {len(deliveries)} deliveries: {kinds.total()} departures of {len(kinds)} kinds")
    for what, count in sorted(kinds.items()):
        print(f"{count:4} {what}")
    return list(kinds)


@needs_file
async def test_a_whole_life_with_its_webhooks(service_settings, devnet, running, eventually):
    with RecordingProxy(devnet.simulator.simulator.origin) as platform:
        settings = through(service_settings, platform)
        async with (
            Orchestrator.open(settings) as orchestrator,
            running(orchestrator, settings) as service,
            make_platform(settings) as client,
        ):
            with RecordingProxy(service.url) as hook:
                url = service.hook.replace(service.url, hook.url)
                types = ["account.updated", "card.updated", "customer.updated"]
                webhook = await client.put_webhook(url, types, key=str(uuid.uuid4()))
                assert [one.id for one in await client.webhooks()] == [webhook.id]
                account = await orchestrator.create_account(devnet.programme.customer_id, "EUR", reference="order-1")
                one = account.account_id
                for operation in ("activate", "deactivate", "reactivate", "close"):
                    done = await getattr(orchestrator, operation)(one, timeout=60)
                    assert done.outcome == "done", (operation, done)
                assert len(await client.accounts()) == len(await client.customer_accounts(account.customer_id)) == 1
                assert await client.cards(one) == []
                checks = await examine(settings)
                assert {check.name for check in checks if not check.ok} <= {"settings", "policy"}
                await eventually(lambda: len(hook.exchanges) >= 6, "the account's states are delivered")
                await client.delete_webhook(webhook.id, key=str(uuid.uuid4()))
                deliveries = list(hook.exchanges)
    assert judge(platform.exchanges, deliveries) == []


@needs_file
def test_request_signing_keys(devnet, tmp_path):
    with RecordingProxy(devnet.simulator.simulator.origin) as platform:
        environment = devnet.environment | {"ORCHESTRATOR_PLATFORM_URL": f"{platform.url}/v1"}
        cli = CommandLine(environment, tmp_path)
        cli.json("keys", "request", "create", "request")
        cli.json("keys", "request", "upload", "request")
        for name in ("ORCHESTRATOR_SIGNING_KEY_FILE", "ORCHESTRATOR_SIGNING_KEY_ID"):
            del cli.environment[name]
        cli.json("accounts", "list")
        cli.json("keys", "request", "rotate", "--name", "next")
        cli.json("accounts", "list")
        cli.json("keys", "request", "revoke", "next", "--yes")
    paths = [(one.method, one.path) for one in platform.exchanges]
    assert paths.count(("PUT", "/v1/auth/signing")) == 2
    assert ("DELETE", "/v1/auth/signing") in paths
    assert judge(platform.exchanges, []) == []
