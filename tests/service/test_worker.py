"""The worker drives what is unfinished, whoever started it, and survives what the outside does."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any

from structlog.testing import capture_logs

from orchestrator.app import Orchestrator
from orchestrator.chain.node.changes import Reorg
from orchestrator.devnet.devnet import Devnet
from orchestrator.devnet.simulator import SimulatorThread
from orchestrator.devnet.simulator.accounts import set_status
from orchestrator.lifecycle import events as e
from orchestrator.models import BlockHash, BlockNumber, BlockRef
from orchestrator.service import worker as module
from orchestrator.service.worker import Worker
from orchestrator.settings import Settings


def _slow(settings: Settings) -> Settings:
    """Polls are so rare that only a webhook or a block can have woken anything."""
    return Settings.model_validate(settings.model_dump() | {"poll_interval": 3600})


async def _outcome(service: Any, account_id: str) -> str:
    (report,) = await service.orchestrator.status([account_id])
    return str(report.outcome)


async def test_an_operation_that_another_process_left_is_driven_to_its_end(
    service_settings: Settings, devnet: Devnet, running: Any, eventually: Any
) -> None:
    async with Orchestrator.open(service_settings) as other:
        account = await other.create_account(devnet.programme.customer_id, "EUR")
        assert (await other.activate(account.account_id, timeout=0)).outcome == "waiting"
    async with Orchestrator.open(service_settings) as opened, running(opened, service_settings) as service:

        async def done() -> bool:
            return await _outcome(service, account.account_id) == "done"

        await eventually(done, "the activation is done")


async def test_an_operation_that_starts_while_the_service_runs_is_taken_over(
    service: Any, service_settings: Settings, account_id: str, eventually: Any, at_once: Any
) -> None:
    async with Orchestrator.open(service_settings) as other:
        await at_once(other.activate, account_id)

    async def done() -> bool:
        return await _outcome(service, account_id) == "done"

    await eventually(done, "the activation is done")


async def test_a_webhook_wakes_an_account_that_waits_for_the_platform(
    service_settings: Settings, devnet: Devnet, running: Any, eventually: Any, at_once: Any
) -> None:
    settings = _slow(service_settings)
    async with Orchestrator.open(settings) as opened, running(opened, settings) as service:
        services = await opened._connected()
        await services.platform.put_webhook(service.hook, ["account.updated"], key=str(uuid.uuid4()))  # type: ignore[attr-defined]
        account = await opened.create_account(devnet.programme.customer_id, "EUR")
        await at_once(opened.activate, account.account_id)

        async def active() -> bool:
            (report,) = await opened.status([account.account_id])
            return report.status == "active"

        await eventually(active, "the platform's own webhooks have brought the status")


async def test_where_many_wait_the_platforms_list_wakes_those_that_it_has_changed(
    service_settings: Settings, devnet: Devnet, running: Any, eventually: Any, at_once: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "_MANY", 1)
    monkeypatch.setattr(Worker, "_grown", lambda _self, _name: 3600.0)
    async with Orchestrator.open(service_settings) as opened, running(opened, service_settings):
        account = await opened.create_account(devnet.programme.customer_id, "EUR")
        simulator = devnet.simulator
        platform = simulator.simulator.platform
        simulator.fault("hold_deployments")
        await at_once(opened.activate, account.account_id)

        async def is_now(word: str) -> bool:
            (report,) = await opened.status([account.account_id])
            return word in (report.status, report.outcome)

        await eventually(lambda: is_now("pending"), "it waits to be deployed")

        def fail() -> None:
            with platform.store.transaction():
                set_status(platform, account.account_id, "failed")

        simulator.run(fail)

        await eventually(lambda: is_now("failed"), "the list has shown it")


async def test_a_creation_that_was_interrupted_is_settled_once(
    service_settings: Settings, devnet: Devnet, platform: SimulatorThread, running: Any, eventually: Any
) -> None:
    async with Orchestrator.open(service_settings) as opened:
        intended = e.CreationIntended(
            reference="order-1", customer_id=devnet.programme.customer_id, currency="EUR", key=str(uuid.uuid4())
        )
        await opened.journal.append("reference:order-1", [intended], after=0, at=datetime.now(UTC))
        async with running(opened, service_settings):

            async def settled() -> bool:
                return isinstance((await opened.journal.read("reference:order-1"))[-1].event, e.CreationAnswered)

            await eventually(settled, "the creation is answered")
        found = await opened.create_account(devnet.programme.customer_id, "EUR", reference="order-1")
        assert [account.account_id for account in await opened.accounts()] == [found.account_id]


async def test_a_creation_that_was_settled_beside_it_is_no_account_to_look_at(service_settings: Settings) -> None:
    """It was scheduled while it was open, and is over when its turn comes."""
    async with Orchestrator.open(service_settings) as opened:
        worker = Worker(opened, service_settings)
        with capture_logs() as logs:
            await worker._poll("reference:order-1")
    assert logs == []


async def test_all_that_wait_are_read_again_after_a_reorg_that_another_process_has_taken(
    service_settings: Settings,
) -> None:
    block = BlockRef(BlockNumber(7), BlockHash("0x" + "07" * 32))
    async with Orchestrator.open(service_settings) as opened:
        worker = Worker(opened, service_settings)
        worker._backlog.operations = {"one", "two"}
        worker._chain_changed(Reorg((block,), None))
        assert worker._schedule.next() is None, "whose logs went is told by itself"
        worker._chain_changed(Reorg((block,), None, by_another=True))
        assert {worker._schedule.take(time.monotonic()) for _ in range(2)} == {"one", "two"}


async def test_a_loop_that_breaks_begins_anew(service_settings: Settings) -> None:
    settings = Settings.model_validate(service_settings.model_dump() | {"poll_interval": 0.01})
    breaks = iter([ValueError("nobody has thought of it"), OverflowError()])

    async def loop() -> None:
        for error in breaks:
            raise error

    async with Orchestrator.open(settings) as opened:
        with capture_logs() as logs:
            await Worker(opened, settings)._kept_up("closures", loop)
    assert [(log["event"], log["loop"], log["error"]) for log in logs] == [
        ("worker_loop_broken", "closures", "ValueError"),
        ("worker_loop_broken", "closures", "OverflowError"),
    ]


async def test_what_was_committed_before_a_crash_is_handled_after_the_restart(
    service_settings: Settings, devnet: Devnet, running: Any, inbox: Any, eventually: Any
) -> None:
    settings = _slow(service_settings)
    event_id = str(uuid.uuid4())
    async with Orchestrator.open(settings) as killed:
        account = await killed.create_account(devnet.programme.customer_id, "EUR")
        await killed.journal.receive(event_id, "account.updated", account.account_id, "{}", datetime.now(UTC))
    async with Orchestrator.open(settings) as opened, running(opened, settings):
        await eventually(lambda: inbox(settings)[event_id], "the inbox is worked off")
        (report,) = await opened.status([account.account_id])
        assert report.status == "initiating"


async def test_a_hint_stays_in_the_inbox_until_the_platform_can_be_read(
    service: Any, account_id: str, account_event: Any, platform: SimulatorThread, eventually: Any
) -> None:
    platform.fault("status", status=503, method="GET", path=f"/accounts/{account_id}$", count=1_000_000)
    event = account_event(account_id)
    assert (await service.post(event)).status_code == 200

    def tried() -> bool:
        return any(request["path"].endswith(account_id) for request in platform.records()["requests"])

    await eventually(tried, "the account was asked for")
    assert service.inbox()[event["eventId"]] is None
    platform.clear_faults()
    await service.handled(event["eventId"])


async def test_a_hint_while_another_worker_holds_the_account_is_not_lost(
    service: Any, service_settings: Settings, account_id: str, account_event: Any
) -> None:
    async with Orchestrator.open(service_settings) as other:
        event = account_event(account_id)
        async with other._locks.hold(account_id, time.monotonic() + 5):
            assert (await service.post(event)).status_code == 200
            assert service.inbox()[event["eventId"]] is None
        await service.handled(event["eventId"])


async def test_ready_says_what_is_wrong_and_comes_back(
    service: Any, platform: SimulatorThread, eventually: Any
) -> None:
    async def ready() -> bool:
        answer = await service.http.get(f"{service.url}/ready")
        good = answer.json() == {
            "ready": True,
            "checks": dict.fromkeys(("journal", "platform", "keys", "request_key", "chain"), "ok")
            | {"webhooks": "not_managed"},
        }
        assert (answer.status_code == 200) == answer.json()["ready"]
        return good

    await eventually(ready, "the service is ready")
    platform.fault("status", status=503, path="/webhooks$", count=1_000_000)

    async def unready() -> Any:
        answer = await service.http.get(f"{service.url}/ready")
        return answer.status_code == 503 and answer.json()["checks"]["platform"] == "platform_unreachable"

    await eventually(unready, "the platform's trouble shows")
    platform.clear_faults()
    await eventually(ready, "the service is ready again")


async def test_an_account_that_waits_for_an_operator_does_not_stop_the_others(
    service: Any, devnet: Devnet, platform: SimulatorThread, eventually: Any, at_once: Any
) -> None:
    first = await service.orchestrator.create_account(devnet.programme.customer_id, "EUR")
    second = await service.orchestrator.create_account(devnet.programme.customer_id, "EUR")
    for account in (first, second):
        await service.orchestrator.activate(account.account_id, timeout=60)
    liar = f"eip155:31337:{devnet.contracts.token}"
    platform.fault("lie", accountId=first.account_id, fields={"chainId": liar})
    for account in (first, second):
        await at_once(service.orchestrator.deactivate, account.account_id)

    async def told() -> bool:
        outcomes = [await _outcome(service, account.account_id) for account in (first, second)]
        return outcomes == ["operator", "done"]

    await eventually(told, "one waits for an operator, the other is done")
    platform.clear_faults()

    async def done() -> bool:
        return await _outcome(service, first.account_id) == "done"

    await eventually(done, "the disagreement is gone, so the operation goes on")


async def test_stopping_lets_a_look_under_way_finish(
    service_settings: Settings,
    devnet: Devnet,
    platform: SimulatorThread,
    running: Any,
    account_event: Any,
    inbox: Any,
    eventually: Any,
) -> None:
    async with Orchestrator.open(service_settings) as opened:
        account = await opened.create_account(devnet.programme.customer_id, "EUR")
        event = account_event(account.account_id)
        platform.fault("delay_before", seconds=1, method="GET", path=f"/accounts/{account.account_id}$", count=1)
        async with running(opened, service_settings) as service:
            assert (await service.post(event)).status_code == 200

            def asked() -> bool:
                requests = platform.records()["requests"]
                return any(request["path"].endswith(account.account_id) for request in requests)

            await eventually(asked, "the look is under way")
            assert inbox(service_settings)[event["eventId"]] is None
        assert inbox(service_settings)[event["eventId"]] is not None
        (report,) = await opened.status([account.account_id])
        assert report.status == "initiating"
