"""Managed request-signing keys against the simulator: each step, and each place where a process can die."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
import uuid

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import SecretStr

from orchestrator.connect import client_with_request_keys
from orchestrator.devnet.simulator import Options, Simulator, SimulatorConfig
from orchestrator.errors import Disposition, KeyUnavailable, PlatformRefused, SettingsError, UncertainAnswer
from orchestrator.oversight.request_key_changes import RequestKeyChanges
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.platform import PlatformClient, PlatformSettings
from orchestrator.request_signing.key_folder import RequestKeyFolder

OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PASSWORD = "a-password-of-the-keystore"
LIGHT = 2**10


class Records:
    """Stands for the journal: asks nobody, and keeps what it is told."""

    by = "os:test"

    def __init__(self):
        self.events = []

    async def approvals_for(self, change):
        return ()

    async def record(self, event):
        self.events.append((event.action, event.name, event.key_id))


class Programme:
    """A simulator, and clients of it with managed keys in one folder."""

    def __init__(self, simulator, folder):
        self.simulator = simulator
        self.programme = simulator.bootstrap(OWNER)
        self.folder = folder
        self.journal = Records()
        self.events = self.journal.events

    def files(self, **changes):
        return RequestKeyFolder(self.folder, FixedPassword(Secret(PASSWORD)), work_factor=LIGHT, **changes)

    def settings(self, *, static=False, **changes):
        found = self.programme.credentials
        values = {
            "base_url": self.simulator.url,
            "api_key": found.api_key,
            "api_secret": SecretStr(found.api_secret),
            "signing_key_pem": SecretStr(found.signing_key if static else ""),
            "signing_key_id": found.signing_key_id if static else "",
            "timeout_seconds": 5.0,
            "backoff_seconds": 0.01,
        }
        return PlatformSettings(**(values | changes))

    def client(self, files=None, **changes):
        return client_with_request_keys(self.settings(**changes), files or self.files())

    def changes(self, client, files=None):
        return RequestKeyChanges(client, files or self.files(), self.journal)

    def active(self):
        rows = self.simulator.platform.store.all("SELECT id FROM signing_keys WHERE active = 1")
        return [row["id"] for row in rows]

    def uploads(self):
        return [one for one in self.simulator.records()["requests"] if one["path"].endswith("/auth/signing")]


@pytest.fixture
def options():
    return Options()


@pytest.fixture
async def programme(tmp_path, options):
    async with Simulator(SimulatorConfig(database=tmp_path / "platform.db", options=options)) as simulator:
        yield Programme(simulator, tmp_path / "keystore")


@pytest.fixture
async def managed(programme):
    """A programme whose current key ``first`` is a managed one."""
    async with programme.client(static=True) as client:
        programme.files().create("first")
        await programme.changes(client).upload("first")
    programme.events.clear()
    return programme


async def test_from_the_settings_own_key_to_a_managed_one_and_to_none(programme):
    files = programme.files()
    async with programme.client(files, static=True) as client:
        changes = programme.changes(client, files)
        created = files.create("first")
        assert (created.state, created.key_id, created.generation) == ("created", None, 0)
        assert programme.active() == [programme.programme.credentials.signing_key_id]
        current = await changes.upload("first")
        assert programme.active() == [current.key_id]
        assert await changes.upload("first") == current, "done already"
        assert await client.webhooks() == [], "the client that uploaded goes on with the new key"
    async with programme.client() as client:
        changes = programme.changes(client)
        second = await changes.rotate()
        assert second.name == "first-2"
        assert programme.active() == [second.key_id]
        assert await client.webhooks() == []
        third = await changes.rotate("third")
        states = {file.name: (file.state, file.locked is None) for file in programme.files().list()}
        assert states == {"first": ("retired", True), "first-2": ("retired", True), "third": ("current", False)}
        assert (await changes.revoke("third")).state == "revoked"
        assert await changes.revoke("first") == programme.files().get("first"), "gone already"
        assert programme.active() == []
        with pytest.raises(SettingsError) as caught:
            await client.webhooks()
        assert caught.value.code == "request_key_missing"
        # And the first key again, unsigned.
        programme.files().create("fourth")
        await changes.upload("fourth")
        assert await client.webhooks() == []
    assert programme.events == [
        ("created", "first", None),
        ("uploaded", "first", current.key_id),
        ("created", "first-2", None),
        ("rotated", "first-2", second.key_id),
        ("created", "third", None),
        ("rotated", "third", third.key_id),
        ("revoked", "third", third.key_id),
        ("created", "fourth", None),
        ("uploaded", "fourth", programme.active()[0]),
    ]


async def test_a_key_that_never_left_is_revoked_here_only(managed):
    async with managed.client() as client:
        changes = managed.changes(client)
        managed.files().create("spare")
        assert (await changes.revoke("spare")).locked is None
        with pytest.raises(KeyUnavailable) as caught:
            await changes.upload("spare")
        assert caught.value.code == "request_key_state"
        assert await client.webhooks() == []


async def test_a_process_with_the_old_key_goes_on_with_the_new_one(managed):
    async with managed.client() as other, managed.client(static=True) as static, managed.client() as client:
        for one in (other, client):
            await one.webhooks()
        changes = managed.changes(client)
        for _ in range(3):
            await changes.rotate()
            await other.webhooks()
            await other.put_webhook("https://me.example/a", ["account.updated"], key=str(uuid.uuid4()))
        assert len(await static.webhooks()) == 3, "a key of the settings that was replaced gives way to the managed one"


async def test_a_request_that_meets_the_middle_of_a_change_waits_for_its_end(managed):
    async with managed.client() as other, managed.client() as client:
        await other.webhooks()
        managed.simulator.fault("delay_after", seconds=0.4, count=1, method="PUT", path="/auth/signing")
        rotation = asyncio.create_task(managed.changes(client).rotate())
        before = managed.active()
        while managed.active() == before:
            await asyncio.sleep(0.01)
        # The platform has the new key, its answer is not there yet, and the files know only the old one.
        assert managed.files().unfinished() == "first-2"
        results = await asyncio.gather(*(other.webhooks() for _ in range(20)))
        assert results == [[]] * 20
        await rotation


async def test_a_request_of_the_same_client_is_held_during_the_exchange(managed):
    async with managed.client() as client:
        await client.webhooks()
        managed.simulator.fault("delay_after", seconds=0.3, count=1, method="PUT", path="/auth/signing")
        rotation = asyncio.create_task(managed.changes(client).rotate())
        while managed.files().unfinished() is None:
            await asyncio.sleep(0.01)
        assert await asyncio.gather(*(client.webhooks() for _ in range(20))) == [[]] * 20
        await rotation
    refused = [one for one in managed.simulator.records()["requests"] if one["status"] == 401]
    assert refused == []


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "malformed_json"])
async def test_a_lost_answer_is_asked_for_again_with_the_same_idempotency_key(managed, fault):
    before = managed.active()
    managed.simulator.fault(fault, count=2, method="PUT", path="/auth/signing")
    async with managed.client() as client:
        rotated = await managed.changes(client).rotate()
        assert await client.webhooks() == []
    assert managed.active() == [rotated.key_id] != before
    keys = {one["idempotency_key"] for one in managed.uploads() if one["id"] > 3}
    assert managed.events == [("created", "first-2", None), ("rotated", "first-2", rotated.key_id)]
    assert len(keys) <= 2


async def test_the_first_key_s_lost_answer_is_asked_for_again_unsigned(programme):
    async with programme.client(static=True) as client:
        await client.remove_signing_key(key=str(uuid.uuid4()))
    programme.simulator.fault("drop_after", count=2, method="PUT", path="/auth/signing")
    async with programme.client() as client:
        changes = programme.changes(client)
        programme.files().create("first")
        assert [(await changes.upload("first")).key_id] == programme.active()
        assert await client.webhooks() == []


async def test_an_upload_whose_process_died_is_completed_by_the_next_command_or_request(managed):
    """Died before the request, and died after it: both look the same from here."""
    for sent in ("unsent", "sent"):
        async with managed.client() as serving, managed.client() as client:
            await serving.webhooks()
            files = managed.files()
            name = f"left-{sent}"
            files.create(name)
            file = files.intend_upload(name)
            if sent == "sent":
                await client.upload_signing_key(file.public_key, key=file.idempotency_key)
                assert await serving.webhooks() == [], "a request completes it where its own key is refused"
                assert managed.files().get(name).state == "current"
            else:
                assert await serving.webhooks() == []
                assert managed.files().get(name).state == "uploading", "the old key serves: nobody interferes"
            changes = managed.changes(client)
            with_name = await changes.rotate()
            assert (with_name.name == name) is (sent == "unsent")
    assert [event for event in managed.events if event[1] in ("left-unsent", "left-sent")] == [
        ("created", "left-unsent", None),
        ("rotated", "left-unsent", managed.files().get("left-unsent").key_id),
        ("created", "left-sent", None),
        ("rotated", "left-sent", managed.files().get("left-sent").key_id),
    ]


async def test_another_key_is_refused_while_one_is_unsettled(managed):
    files = managed.files()
    files.create("left")
    files.intend_upload("left")
    files.create("other")
    async with managed.client() as client:
        changes = managed.changes(client)
        for work in (changes.upload("other"), changes.rotate("other"), changes.revoke("left")):
            with pytest.raises(KeyUnavailable) as caught:
                await work
            assert caught.value.code == "request_key_pending"
        assert (await changes.upload("left")).state == "current"


class TestWherePlatformIsHarsh:
    """A platform on which a replaced key does not even sign the repeat of its own replacement."""

    @pytest.fixture
    def options(self):
        return Options(replaced_key_repeats=False)

    async def test_the_operator_gives_the_id(self, managed):
        managed.simulator.fault("drop_after", count=1, method="PUT", path="/auth/signing")
        async with managed.client() as client:
            changes = managed.changes(client)
            for _ in range(2):
                with pytest.raises(KeyUnavailable) as caught:
                    await changes.rotate()
                assert (caught.value.code, caught.value.disposition) == ("request_key_uncertain", Disposition.OPERATOR)
                assert "adopt first-2 --key-id" in caught.value.message
            with pytest.raises(KeyUnavailable) as caught:
                await changes.adopt("first-2", "another-id")
            assert caught.value.code == "request_key_refused"
            with pytest.raises(SettingsError):
                await changes.adopt("first-2", "")
            (key_id,) = managed.active()
            assert (await changes.adopt("first-2", key_id)).state == "current"
            assert await client.webhooks() == []
        assert managed.events[-1] == ("rotated", "first-2", key_id)

    async def test_what_was_not_taken_is_simply_sent_again(self, managed):
        managed.simulator.fault("drop_before", count=2, method="PUT", path="/auth/signing")
        async with managed.client() as client:
            assert [(await managed.changes(client).rotate()).key_id] == managed.active()


async def test_an_id_is_adopted_only_if_its_own_signature_is_taken(managed):
    """The old key still signs here: it must not vouch for the new one."""
    files = managed.files()
    files.create("left")
    files.intend_upload("left")
    async with managed.client() as client:
        with pytest.raises(KeyUnavailable) as caught:
            await managed.changes(client).adopt("left", str(uuid.uuid4()))
        assert caught.value.code == "request_key_refused"
        assert await client.webhooks() == [], "the old key is back in use"


async def test_a_refused_upload_leaves_all_as_it_was(managed):
    managed.simulator.fault("status", count=1, status=403, method="PUT", path="/auth/signing")
    async with managed.client() as client:
        changes = managed.changes(client)
        with pytest.raises(PlatformRefused):
            await changes.rotate()
        assert managed.files().get("first-2").state == "created"
        assert await client.webhooks() == []
        assert (await changes.rotate()).name == "first-2", "the key that was made is used"


async def test_a_platform_that_stays_silent_leaves_an_intent(managed):
    managed.simulator.fault("drop_before", count=4, method="PUT", path="/auth/signing")
    async with managed.client() as client:
        changes = managed.changes(client)
        with pytest.raises(UncertainAnswer):
            await changes.rotate()
        assert managed.files().get("first-2").state == "uploading"
        assert await client.webhooks() == []
        assert (await changes.rotate()).name == "first-2"


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
async def test_a_revocation_whose_answer_was_lost(managed, fault):
    managed.simulator.fault(fault, count=1, method="DELETE", path="/auth/signing")
    async with managed.client() as client:
        assert (await managed.changes(client).revoke("first")).state == "revoked"
    assert managed.active() == []


async def test_a_revocation_whose_process_died_is_gone_on_with(managed):
    files = managed.files()
    file = files.intend_revocation("first")
    async with managed.client() as client:
        assert await client.webhooks() == [], "until it is done the key serves"
        await client.remove_signing_key(key=file.idempotency_key)
        assert (await managed.changes(client).revoke("first")).state == "revoked"
    assert managed.events == [("revoked", "first", file.key_id)]


async def test_what_the_journal_could_not_take_is_recorded_by_the_next_command(managed):
    class Broken(Records):
        async def record(self, event):
            raise OSError("no database")

    async with managed.client() as client:
        with pytest.raises(OSError, match="no database"):
            await RequestKeyChanges(client, managed.files(), Broken()).rotate()
        rotated = managed.files().get("first-2")
        assert rotated.state == "current"
        await managed.changes(client).record()
        await managed.changes(client).record()
    assert managed.events == [("created", "first-2", None), ("rotated", "first-2", rotated.key_id)]


async def test_a_change_waits_for_another_process_and_then_gives_up(managed):
    held = managed.files().try_change()
    async with managed.client() as client:
        changes = RequestKeyChanges(client, managed.files(), patience=0.05)
        with pytest.raises(KeyUnavailable) as caught:
            await changes.rotate()
        assert (caught.value.code, caught.value.disposition) == ("request_key_busy", Disposition.RETRY)
        with pytest.raises(KeyUnavailable) as caught:
            managed.files(patience=0.05).current(refused="some-id")
        assert caught.value.code == "request_key_busy"
        held.close()
        await changes.rotate()


async def test_a_refused_key_without_another_is_told_as_before(managed):
    async with managed.client() as client:
        await client.webhooks()
        managed.simulator.platform.store._db.execute("UPDATE signing_keys SET active = 0")
        with pytest.raises(PlatformRefused) as caught:
            await client.webhooks()
    assert caught.value.code == "request_signature_refused"


async def test_scrypt_runs_once_for_all(managed, monkeypatch):
    from orchestrator.request_signing import key_file

    runs = []
    real = key_file._derive
    monkeypatch.setattr(key_file, "_derive", lambda *a: runs.append(1) or real(*a))
    files = managed.files()
    async with managed.client(files) as client, managed.client(files) as other:
        await asyncio.gather(*(one.webhooks() for one in (client, other) for _ in range(20)))
    assert len(runs) == 1


async def test_a_wrong_password_is_told_before_anything_is_sent(managed):
    wrong = RequestKeyFolder(managed.folder, FixedPassword(Secret("not-the-one")), work_factor=LIGHT)
    managed.files().create("second")
    before = len(managed.simulator.records()["requests"])
    async with managed.client(wrong) as client:
        for work in (managed.changes(client, wrong).upload("second"), managed.changes(client, wrong).revoke("first")):
            with pytest.raises(KeyUnavailable) as caught:
                await work
            assert caught.value.code == "wrong_password"
            assert "not-the-one" not in repr(wrong) + caught.value.message
    assert len(managed.simulator.records()["requests"]) == before
    assert {file.name: file.state for file in managed.files().list()} == {"first": "current", "second": "created"}


async def test_an_opened_key_shows_nothing_and_signs_as_the_rfc_wants(managed):
    opened = managed.files().current()
    assert repr(opened) == f"OpenedRequestKey(key_id={managed.active()[0]!r})"
    with pytest.raises(TypeError):
        pickle.dumps(opened)
    signature = opened.sign(b"message")
    assert len(signature) == 96
    public = load_pem_public_key(managed.files().get("first").public_key.encode())
    r, s = (int.from_bytes(part, "big") for part in (signature[:48], signature[48:]))
    public.verify(encode_dss_signature(r, s), b"message", ec.ECDSA(hashes.SHA384()))
    file = managed.files().get("first")
    assert file.locked["ciphertext"] not in repr(file)
    assert "locked" not in {f.name for f in dataclasses.fields(file) if f.repr}


async def test_clients_without_managed_keys_are_as_they_were(managed):
    async with PlatformClient(managed.settings(static=True)) as client:
        with pytest.raises(PlatformRefused) as caught:
            await client.webhooks()
    assert caught.value.code == "request_signature_refused"


async def test_a_process_that_completes_uploads_begins_none(managed):
    """The upload was taken back between the look at the files and the lock: to begin it again may take an approval."""
    files = managed.files()
    files.create("left")
    files.unfinished = lambda: "left"
    store = managed.simulator.platform.store
    with store.transaction():
        store.write("UPDATE signing_keys SET active = 0")
    async with managed.client(files) as client:
        with pytest.raises(PlatformRefused):
            await client.webhooks()
    assert managed.active() == []
    assert managed.files().get("left").state == "created"


async def test_nothing_is_begun_where_it_is_not_allowed(managed):
    class Unasked(Exception):
        pass

    seen = []

    class Asks(Records):
        async def approvals_for(self, change):
            seen.append(change)
            raise Unasked

    files = managed.files()
    spare = files.create("spare")
    first, before, sent = files.get("first"), managed.active(), len(managed.uploads())
    async with managed.client() as client:
        changes = RequestKeyChanges(client, files, Asks())
        for work in (changes.upload("spare"), changes.rotate("new"), changes.rotate(), changes.revoke("first")):
            with pytest.raises(Unasked):
                await work
        assert (managed.active(), len(managed.uploads())) == (before, sent)
        assert [str(file.state) for file in files.list()] == ["current", "created"]
        files.intend_upload("spare", ("ab" * 32,))
        assert (await changes.upload("spare")).state == "current", "what has begun is completed"
    assert [(one["action"], one["requestKey"], one["fingerprint"]) for one in seen] == [
        ("upload", "spare", spare.fingerprint),
        ("rotate", "first", first.fingerprint),
        ("rotate", "first", first.fingerprint),
        ("revoke", "first", first.fingerprint),
    ]
