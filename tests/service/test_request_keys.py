"""A running service while the request-signing key changes under it, by the command line; and its readiness."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app import Orchestrator
from orchestrator.devnet.devnet import Devnet
from orchestrator.devnet.simulator import SimulatorThread
from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from tests.e2e.commands import CommandLine
from tests.profile import full_only

OWN_KEY = ("ORCHESTRATOR_SIGNING_KEY_FILE", "ORCHESTRATOR_SIGNING_KEY_ID")


@pytest.fixture
def cli(devnet: Devnet, tmp_path: Path) -> CommandLine:
    """A command line without a key of the settings' own, after the upload of a managed one."""
    home = tmp_path / "home"
    home.mkdir()
    first = CommandLine(devnet.environment, home)
    first.json("keys", "request", "create", "first")
    first.json("keys", "request", "upload", "first")
    return CommandLine({name: value for name, value in devnet.environment.items() if name not in OWN_KEY}, home)


async def _command(cli: CommandLine, *arguments: str) -> Any:
    done = await asyncio.to_thread(cli.run, "--json", "keys", "request", *arguments)
    assert done.code == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["requestKeys"][0]


@full_only("five rotations")
async def test_the_key_is_rotated_under_a_running_service(
    cli: CommandLine,
    service_settings: Settings,
    running: Any,
    devnet: Devnet,
    platform: SimulatorThread,
    eventually: Any,
) -> None:
    settings = service_settings.model_copy(update={"signing_key": None, "signing_key_id": None})
    async with Orchestrator.open(settings) as orchestrator, running(orchestrator, settings) as service:

        async def checks() -> dict[str, str]:
            found: dict[str, str] = (await service.http.get(f"{service.url}/ready")).json()["checks"]
            return found

        async def ready() -> bool:
            return (await service.http.get(f"{service.url}/ready")).status_code == 200

        await eventually(ready, "the service is ready")
        assert (await checks())["request_key"] == "ok"
        account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
        activation = asyncio.create_task(orchestrator.activate(account.account_id, timeout=120))
        rotated = [await _command(cli, "rotate") for _ in range(2)]
        assert (await activation).outcome == "done"
        assert len({key["keyId"] for key in rotated}) == 2
        assert (await checks())["platform"] == "ok"
        codes = Counter(one["code"] for one in platform.records()["requests"] if one["status"] == 401)
        assert set(codes) <= {"signature_key_unknown"}

        await _command(cli, "revoke", rotated[-1]["name"], "--yes")

        async def unready() -> bool:
            found = await checks()
            return found["request_key"] == "request_key_missing" and found["platform"] != "ok" and not await ready()

        await eventually(unready, "the service is not ready without a request-signing key")
        await _command(cli, "create", "again")
        await _command(cli, "upload", "again")
        await eventually(ready, "the service is ready again")


async def test_without_any_key_it_is_said_before_anything_starts(service_settings: Settings, tmp_path: Path) -> None:
    settings = service_settings.model_copy(
        update={"signing_key": None, "signing_key_id": None, "keystore": tmp_path / "empty"}
    )
    async with Orchestrator.open(settings) as orchestrator:
        with pytest.raises(SettingsError, match="keys request create"):
            await orchestrator.accounts()
