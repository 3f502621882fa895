"""A rotation and a revocation that are killed at every step in turn: what is run next brings them to their end."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from orchestrator.connect import client_with_request_keys
from orchestrator.devnet.simulator import Simulator, SimulatorConfig
from orchestrator.oversight.request_key_changes import RequestKeyChanges
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.platform import PlatformSettings
from orchestrator.request_signing.key_folder import RequestKeyFolder
from tests.profile import full_only

OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
UPLOAD, REVOCATION = ("create", "intend_upload", "switch", "_retire_older"), ("intend_revocation", "revoke")
JOURNALED = ("drop_recorded_change", "record")
STEPS = (*UPLOAD, *REVOCATION, *JOURNALED)


class Killed(Exception):
    """Stands for the end of the process: nothing catches it, nothing more is written."""


class Mortal(RequestKeyFolder):
    """A folder whose process dies before or after its ``at``-th step."""

    at = None

    def __init__(self, folder, at=None):
        super().__init__(folder, FixedPassword(Secret("a-password")), work_factor=2**10)
        self.at, self.passed = at, 0
        for name in STEPS[:-1]:
            setattr(self, name, self.mortal(getattr(self, name)))

    def step(self):
        if self.passed == self.at:
            raise Killed
        self.passed += 1

    def mortal(self, method):
        def wrapped(*arguments):
            self.step()
            found = method(*arguments)
            self.step()
            return found

        return wrapped


class Records:
    """Takes each event once, as the journal does, in the process of ``files``."""

    by = "os:test"

    def __init__(self, events, files):
        self.events, self.files = events, files

    async def approvals_for(self, change):
        return ()

    async def record(self, event):
        self.files.step()
        last = next((one for one in reversed(self.events) if one[1] == event.name), None)
        if last is None or last != (event.action, event.name):
            self.events.append((event.action, event.name))
        self.files.step()


@pytest.fixture
async def simulator(tmp_path):
    async with Simulator(SimulatorConfig(database=tmp_path / "platform.db")) as one:
        yield one


def active(simulator):
    return [row["id"] for row in simulator.platform.store.all("SELECT id FROM signing_keys WHERE active = 1")]


@full_only("24 kills")
async def test_killed_at_every_step(simulator, tmp_path):
    found = simulator.bootstrap(OWNER).credentials

    def settings(*, own):
        return PlatformSettings(
            base_url=simulator.url,
            api_key=found.api_key,
            api_secret=SecretStr(found.api_secret),
            signing_key_pem=SecretStr(found.signing_key if own else ""),
            signing_key_id=found.signing_key_id if own else "",
            backoff_seconds=0.01,
        )

    events = []

    async def command(what, name, at=None, *, own=False):
        """One run of a command. How many steps it had; None if it was killed."""
        files = Mortal(tmp_path / "keystore", at)
        async with client_with_request_keys(settings(own=own), files) as client:
            changes = RequestKeyChanges(client, files, Records(events, files))
            try:
                await changes.record()
                if what == "rotate" and name in [file.name for file in files.list() if file.state == "current"]:
                    return files.passed  # what was killed had come so far
                await getattr(changes, what)(name)
            except Killed:
                return None
        return files.passed

    async def consistent():
        """Exactly one current key, the platform's own, and it works in a process that comes new."""
        files = Mortal(tmp_path / "keystore")
        states = [file for file in files.list() if file.state == "current"]
        assert [file.key_id for file in states] == active(simulator)
        assert [file.unrecorded for file in files.list()] == [()] * len(files.list())
        assert files.unfinished() is None
        async with client_with_request_keys(settings(own=False), files) as client:
            assert await client.webhooks() == []

    Mortal(tmp_path / "keystore").create("key-1")
    await command("upload", "key-1", own=True)
    await consistent()

    kills, number = 0, 2
    while await command("rotate", f"key-{number}", kills) is None:
        async with client_with_request_keys(settings(own=False), Mortal(tmp_path / "keystore")) as other:
            assert await other.webhooks() == [], "other processes work on, whatever the killed one left"
        await command("rotate", f"key-{number}")
        await consistent()
        kills, number = kills + 1, number + 1
    assert kills == 2 * len((*UPLOAD, *JOURNALED * 2))
    counted = [event for event in events if event[0] == "rotated"]
    assert counted == [("rotated", f"key-{one}") for one in range(2, number + 1)], "each once, none lost"

    kills = 0
    while await command("revoke", f"key-{number}", kills) is None:
        await command("revoke", f"key-{number}")
        assert active(simulator) == []
        number, kills = number + 1, kills + 1
        Mortal(tmp_path / "keystore").create(f"key-{number}")
        await command("upload", f"key-{number}")
        await consistent()
    assert kills == 2 * len((*REVOCATION, *JOURNALED))
    assert active(simulator) == []
