"""Two processes under load, and a third that rotates the request-signing key: no request fails, none is done twice."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.devnet.simulator import SimulatorConfig, SimulatorThread
from orchestrator.oversight.request_key_changes import RequestKeyChanges
from orchestrator.passwords import FilePassword
from orchestrator.platform import PlatformClient, PlatformSettings
from orchestrator.request_signing.key_folder import RequestKeyFolder
from tests.forked import Forked
from tests.oversight.request_key_process import NoJournal
from tests.profile import FULL

SCRIPT = Path(__file__).with_name("request_key_process.py")
OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


class Process:
    """One of the processes, talked to by lines."""

    def __init__(self, process):
        self.process = process

    async def line(self):
        text = await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), 90)
        assert text, "the process ended"
        return json.loads(text)

    def tell(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    async def end(self):
        self.process.kill()
        await asyncio.to_thread(self.process.communicate)


@pytest.fixture
async def world(tmp_path):
    """A simulator in a thread of its own, and a folder whose current key is a managed one."""
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("a-password-of-the-keystore")
    with SimulatorThread(SimulatorConfig(database=tmp_path / "platform.db")) as simulator:
        found = simulator.bootstrap(OWNER).credentials
        files = RequestKeyFolder(tmp_path / "keystore", FilePassword(password), work_factor=2**10)
        settings = PlatformSettings(
            base_url=simulator.url,
            api_key=found.api_key,
            api_secret=SecretStr(found.api_secret),
            signing_key_pem=SecretStr(found.signing_key),
            signing_key_id=found.signing_key_id,
        )
        async with PlatformClient(settings, request_keys=files) as client:
            changes = RequestKeyChanges(client, files, NoJournal())
            files.create("first")
            await changes.upload("first")
        processes = []

        async def start(what):
            told = (what, tmp_path / "keystore", password, simulator.url, found.api_key, found.api_secret)
            process = Forked([sys.executable, SCRIPT, *told], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            one = Process(process)
            processes.append(one)
            assert await one.line() == {"ready": True}
            return one

        yield simulator, files, start
        for one in processes:
            await one.end()


def webhooks_made(simulator):
    store = simulator.simulator.platform.store
    rows = simulator.run(lambda: store.all("SELECT callback_url FROM webhooks"))
    return Counter(row["callback_url"].rpartition("/")[2] for row in rows)


async def finish(loads):
    for one in loads:
        one.tell()
    return [await one.line() for one in loads]


LEAST, MOST = 5 if FULL else 2, 50


async def test_rotations_under_the_load_of_two_processes(world):
    simulator, files, start = world

    def refused() -> bool:
        """Whether a request came with a key that had just been replaced: else nothing is put to the test."""
        return any(one["status"] == 401 for one in simulator.records()["requests"])

    rotator, *loads = await asyncio.gather(start("rotate"), start("load"), start("load"))
    keys = []
    while len(keys) < LEAST or not refused():
        assert len(keys) < MOST
        rotator.tell()
        keys.append((await rotator.line())["keyId"])
    results = await finish(loads)
    assert [one["failures"] for one in results] == [[], []]
    assert len(set(keys)) == len(keys)
    assert files.in_use().key_id == keys[-1]
    made = [name for one in results for name in one["made"]]
    assert webhooks_made(simulator) == Counter(made), "each modifying request was done, and once"
    assert min(one["rounds"] for one in results) >= 1


async def test_the_rotating_process_is_killed_after_its_request_and_another_completes_it(world):
    simulator, files, start = world
    rotator, *loads = await asyncio.gather(start("rotate"), start("load"), start("load"))
    simulator.fault("delay_after", seconds=20, count=1, method="PUT", path="/auth/signing")
    before = files.in_use()
    rotator.tell()
    store = simulator.simulator.platform.store
    async with asyncio.timeout(60):
        while len(simulator.run(lambda: store.all("SELECT id FROM signing_keys WHERE active = 1"))) < 2:
            await asyncio.sleep(0.02)
    # The platform has the new key and has not answered.
    rotator.process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(rotator.process.wait)
    left = files.unfinished()
    assert files.in_use() == before, "all go on with the old one"
    rotator = await start("rotate")
    rotator.tell()
    completed = await rotator.line()
    assert completed == {"name": left, "keyId": files.get(left).key_id}
    results = await finish(loads)
    assert [one["failures"] for one in results] == [[], []]
    made = [name for one in results for name in one["made"]]
    assert webhooks_made(simulator) == Counter(made)
    (active,) = simulator.run(lambda: store.all("SELECT id FROM signing_keys WHERE active = 1"))
    assert active["id"] == completed["keyId"]
