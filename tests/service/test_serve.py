"""``orchestrator serve`` as a process: how it starts, what it prints, how it ends, and what a kill leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.app import Orchestrator
from orchestrator.devnet.devnet import Devnet
from orchestrator.devnet.simulator import SimulatorThread
from orchestrator.service.server import serve
from orchestrator.settings import Settings
from tests.forked import Forked
from tests.profile import FULL

TOKEN = "a-token-of-the-process-tests-01"


@dataclass
class Process:
    process: subprocess.Popen[str]
    url: str
    log: Path
    sign: Callable[[str, bytes], dict[str, str]]

    def post(self, event: dict[str, Any]) -> httpx.Response:
        url, body = f"{self.url}/webhooks/{TOKEN}", json.dumps(event).encode()
        return httpx.post(url, content=body, headers=self.sign(url, body), timeout=30, trust_env=False)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Exit code, the rest of stdout, and stderr."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out, self.log.read_text()


class Start:
    """Starts the command with the settings of the devnet."""

    def __init__(self, devnet: Devnet, settings: Settings, folder: Path, sign: Callable[..., dict[str, str]]) -> None:
        self.folder = folder
        self.sign = partial(sign, devnet.simulator)
        self.started: list[subprocess.Popen[str]] = []
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        self.environment |= devnet.environment | {
            "ORCHESTRATOR_DATABASE_URL": settings.database_url,
            "ORCHESTRATOR_WEBHOOK_TOKEN": TOKEN,
            "ORCHESTRATOR_POLL_INTERVAL": "0.1",
        }

    def popen(self, *arguments: str) -> tuple[subprocess.Popen[str], Path]:
        log = self.folder / f"serve-{len(self.started)}.log"
        with log.open("w") as stderr:
            process = Forked(
                [sys.executable, "-m", "orchestrator.cli.main", "serve", "--json", "--port", "0", *arguments],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self.started.append(process)
        return process, log

    def __call__(self, *arguments: str) -> Process:
        process, log = self.popen(*arguments)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        return Process(process, json.loads(line)["url"], log, self.sign)


@pytest.fixture
def start(devnet: Devnet, orchestrator_settings: Settings, tmp_path: Path, signed: Any) -> Iterator[Start]:
    made = Start(devnet, orchestrator_settings, tmp_path, signed)
    yield made
    for process in made.started:
        process.kill()  # nothing happens to one that has ended
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def until(condition: Any, what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_in_order(start: Start, account_event: Any, number: int) -> None:
    running = start()
    assert httpx.get(f"{running.url}/health", trust_env=False).json() == {"status": "alive"}
    assert running.post(account_event()).status_code == 200
    assert running.post({"no": "event"}).status_code == 400
    code, out, log = running.end(number)
    assert (code, out) == (0, ""), log
    entries = [json.loads(line) for line in log.splitlines()]
    assert {"service_ready", "webhook", "webhook_refused", "service_stopped"} <= {entry["event"] for entry in entries}
    assert TOKEN not in log
    assert start.environment["ORCHESTRATOR_API_SECRET"] not in log


def test_six_hundred_silent_connections_stop_nothing(start: Start, account_event: Any) -> None:
    running = start()
    host, _, port = running.url.removeprefix("http://").partition(":")
    before = resident(running.process)
    with contextlib.ExitStack() as silent:
        for _ in range(600):
            silent.enter_context(socket.create_connection((host, int(port))))
        assert httpx.get(f"{running.url}/health", trust_env=False, timeout=30).status_code == 200
        assert running.post(account_event()).status_code == 200
        assert resident(running.process) - before < 32 * 1024 * 1024
        code, _, log = running.end()
    assert code == 0, log
    assert log.count("more than 512 connections") == 1


def resident(process: subprocess.Popen[str]) -> int:
    """Bytes in memory; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    except FileNotFoundError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_what_it_took_before_a_kill_is_done_after_the_restart(
    start: Start,
    account_event: Any,
    inbox: Any,
    orchestrator_settings: Settings,
    devnet: Devnet,
    platform: SimulatorThread,
) -> None:
    start.environment["ORCHESTRATOR_POLL_INTERVAL"] = "3600"
    platform.fault("status", status=503, method="GET", path="/accounts/", count=1_000_000)
    first = start()
    event = account_event(str(uuid.uuid4()))
    assert first.post(event).status_code == 200
    first.process.kill()
    first.process.communicate()
    assert inbox(orchestrator_settings)[event["eventId"]] is None
    platform.clear_faults()
    second = start()
    until(lambda: inbox(orchestrator_settings)[event["eventId"]], "the inbox is worked off")
    assert second.post(event).status_code == 200, "a repeated delivery is a duplicate"
    assert len(inbox(orchestrator_settings)) == 1
    assert second.end()[0] == 0


async def test_kills_in_the_middle_of_an_activation_lose_nothing(
    start: Start, orchestrator_settings: Settings, devnet: Devnet, eventually: Any
) -> None:
    async with Orchestrator.open(orchestrator_settings) as opened:
        account = await opened.create_account(devnet.programme.customer_id, "EUR")
        await opened.activate(account.account_id, timeout=0)

        async def done() -> bool:
            (report,) = await opened.status([account.account_id])
            return report.outcome == "done"

        for pause in (0.0, 0.05, 0.2) if FULL else (0.05,):
            running = start()
            await asyncio.sleep(pause)  # the moment of the kill; nothing is waited for
            running.process.kill()
            running.process.communicate()
        last = start()
        await eventually(done, "the activation is done")
        assert last.end()[0] == 0
        signed = [
            item for item in await opened.journal.read(account.account_id) if item.event.type == "challenge_signed"
        ]
        assert len(signed) == 1
        assert (await opened.journal.verify()).valid


def test_without_a_token_or_with_a_taken_port_it_does_not_start(start: Start) -> None:
    running = start()
    port = running.url.rpartition(":")[2]
    process, _log = start.popen("--port", port)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert json.loads(out)["error"]["code"] == "address_unusable"
    del start.environment["ORCHESTRATOR_WEBHOOK_TOKEN"]
    process, _log = start.popen()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    error = json.loads(out)["error"]
    assert error["code"] == "settings_missing"
    assert "ORCHESTRATOR_WEBHOOK_TOKEN" in error["message"]


async def test_logging_is_left_as_it_was(orchestrator_settings: Settings) -> None:
    import structlog

    from orchestrator.service.logs import logging_to_stderr

    before = structlog.get_config()
    with logging_to_stderr(orchestrator_settings):
        assert structlog.get_config() != before
    assert structlog.get_config() == before
    assert callable(serve)
