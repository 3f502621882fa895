"""An upload, a rotation and a revocation that are killed at every step in turn: the same command brings them to their
end, nothing is done twice, and no other process notices."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from orchestrator.devnet.simulator import Simulator, SimulatorConfig
from orchestrator.oversight.request_key_changes import RequestKeyChanges
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.platform import PlatformClient, PlatformSettings
from orchestrator.request_signing.key_folder import RequestKeyFolder
from tests.profile import full_only

OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
FILES = ("create", "intend_upload", "switch", "forget_replaced", "intend_revocation", "end", "drop_recorded_change")
CALLS = ("upload_signing_key", "accepts_signing_key", "remove_signing_key")
ADDED = ("create", "record", "drop_recorded_change", "intend_upload", "upload_signing_key", "accepts_signing_key")
IN_USE = ("switch", "remove_signing_key", "end", "record", "drop_recorded_change")


class Killed(Exception):
    """Stands for the end of the process: nothing catches it, nothing more is written."""


class Life:
    """A process that dies before or after its ``at``-th step: a file written, a call of the platform, an event."""

    def __init__(self, at=None):
        self.at, self.passed = at, 0

    def step(self):
        if self.passed == self.at:
            raise Killed
        self.passed += 1

    def shared_by(self, thing, names):
        for name in names:
            setattr(thing, name, self.mortal(getattr(thing, name)))
        return thing

    def mortal(self, method):
        def wrapped(*arguments, **named):
            self.step()
            found = method(*arguments, **named)
            if not hasattr(found, "__await__"):
                self.step()
                return found

            async def awaited():
                result = await found
                self.step()
                return result

            return awaited()

        return wrapped


class Records:
    """Takes each event once, as the journal does."""

    by = "os:test"

    def __init__(self, events):
        self.events = events

    async def approvals_for(self, change):
        return ()

    async def record(self, event):
        last = next((one for one in reversed(self.events) if one[1] == event.name), None)
        if last is None or last != (event.action, event.name):
            self.events.append((event.action, event.name))


class Programme:
    """A simulator, and the files, the events and the commands of its programme."""

    def __init__(self, simulator, folder):
        self.simulator, self.folder = simulator, folder
        self.own = simulator.bootstrap(OWNER).credentials
        self.events = []

    def files(self):
        return RequestKeyFolder(self.folder, FixedPassword(Secret("a-password")), work_factor=2**10)

    def client(self, *, own=False):
        settings = PlatformSettings(
            base_url=self.simulator.url,
            api_key=self.own.api_key,
            api_secret=SecretStr(self.own.api_secret),
            signing_key_pem=SecretStr(self.own.signing_key if own else ""),
            signing_key_id=self.own.signing_key_id if own else "",
            backoff_seconds=0.01,
        )
        return PlatformClient(settings, request_keys=self.files())

    async def run(self, what, name, at=None, *, own=False):
        """One run of a command. How many steps it had; None if it was killed."""
        life = Life(at)
        async with self.client(own=own) as client:
            changes = RequestKeyChanges(
                life.shared_by(client, CALLS),
                life.shared_by(self.files(), FILES),
                life.shared_by(Records(self.events), ["record"]),
            )
            try:
                await getattr(changes, what)(*([] if name is None else [name]))
            except Killed:
                return None
        return life.passed

    def active(self):
        rows = self.simulator.platform.store.all("SELECT id FROM signing_keys WHERE active = 1")
        return [row["id"] for row in rows]

    async def works(self):
        async with self.client() as other:
            assert await other.webhooks() == []

    async def consistent(self):
        """Exactly one current key, the platform's only one, and it works in a process that comes new."""
        files = self.files()
        current = [file for file in files.list() if file.state == "current"]
        assert [file.key_id for file in current] == self.active()
        assert [file.unrecorded for file in files.list()] == [()] * len(files.list())
        assert {str(file.state) for file in files.list()} <= {"current", "retired", "revoked"}
        assert files.unfinished() is None
        await self.works()
        return current[0].name

    def done(self, action):
        return [name for happened, name in self.events if happened == action]


@pytest.fixture
async def programme(tmp_path):
    async with Simulator(SimulatorConfig(database=tmp_path / "platform.db")) as simulator:
        yield Programme(simulator, tmp_path / "keystore")


@full_only("22 kills")
async def test_a_rotation_killed_at_every_step(programme):
    programme.files().create("key-1")
    await programme.run("upload", "key-1", own=True)
    kills = 0
    while await programme.run("rotate", None, kills) is None:
        await programme.works()
        await programme.run("rotate", None)
        await programme.consistent()
        kills += 1
    await programme.consistent()
    assert kills == 2 * len((*ADDED, *IN_USE))
    # Once for each kill and once at the end. Killed after its last step a rotation is complete, and the same command
    # begins another: one more.
    assert programme.done("rotated") == [f"key-{number}" for number in range(2, kills + 4)]


@full_only("24 kills")
async def test_an_upload_in_the_place_of_the_settings_own_key_killed_at_every_step(programme):
    kills = 0
    while True:
        name = f"key-{kills}"
        programme.files().create(name)
        killed = await programme.run("upload", name, kills, own=True) is None
        async with programme.client(own=True) as serving:
            assert await serving.webhooks() == []
        await programme.run("upload", name, own=True)
        assert await programme.consistent() == name
        if not killed:
            break
        await programme.run("revoke", name)
        programme.own = programme.simulator.bootstrap(OWNER).credentials
        kills += 1
    assert kills == 2 * len((*ADDED[1:], *IN_USE))
    assert programme.done("uploaded") == [f"key-{number}" for number in range(kills + 1)]


@full_only("10 kills")
async def test_a_revocation_killed_at_every_step(programme):
    for kills in range(11):
        name = f"key-{kills}"
        programme.files().create(name)
        await programme.run("upload", name, own=not kills)
        await programme.consistent()
        ended = await programme.run("revoke", name, kills)
        assert (ended is None) == (kills < 10)
        await programme.run("revoke", name)
        assert programme.active() == []
    assert programme.done("revoked") == [f"key-{number}" for number in range(11)]
