"""Managed request-signing keys against the simulator: each step, and each place where a process can die."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pickle
import uuid

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import SecretStr

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

    def files(self):
        return RequestKeyFolder(self.folder, FixedPassword(Secret(PASSWORD)), work_factor=LIGHT)

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
        return PlatformClient(self.settings(**changes), request_keys=files or self.files())

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
        assert (created.state, created.generation) == ("created", 0)
        assert programme.active() == [programme.programme.credentials.signing_key_id]
        current = await changes.upload("first")
        assert programme.active() == [current.key_id] == [created.key_id]
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
        ("created", "first", current.key_id),
        ("uploaded", "first", current.key_id),
        ("created", "first-2", second.key_id),
        ("rotated", "first-2", second.key_id),
        ("created", "third", third.key_id),
        ("rotated", "third", third.key_id),
        ("revoked", "third", third.key_id),
        ("created", "fourth", programme.active()[0]),
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


async def test_no_request_is_refused_while_two_keys_overlap(managed):
    """The platform's answer to the removal of the old key comes late: until then both keys sign."""
    async with managed.client() as other, managed.client() as client:
        await other.webhooks()
        managed.simulator.fault("delay_before", seconds=0.3, count=1, method="DELETE", path="/auth/signing")
        rotation = asyncio.create_task(managed.changes(client).rotate())
        while len(managed.active()) < 2:
            await asyncio.sleep(0.01)
        assert await asyncio.gather(*(one.webhooks() for one in (other, client) for _ in range(20))) == [[]] * 40
        assert len(managed.active()) == 2
        await rotation
        assert len(managed.active()) == 1
    assert [one for one in managed.simulator.records()["requests"] if one["status"] == 401] == []


async def test_the_order_of_a_rotation(managed):
    """The id is in the journal before the platform hears of it; the old key ends after the new one was proven."""
    before = managed.files().get("first").key_id
    managed.simulator.fault("status", count=1, status=500, method="PUT", path="/auth/signing")
    async with managed.client() as client:
        seen = len(managed.simulator.records()["requests"])
        rotation = asyncio.create_task(managed.changes(client).rotate())
        while not managed.events:
            await asyncio.sleep(0)
        key_id = managed.files().get("first-2").key_id
        assert managed.events == [("created", "first-2", key_id)]
        assert managed.active() == [before]
        assert (await rotation).key_id == key_id
    sent = [(one["method"], one["path"]) for one in managed.simulator.records()["requests"][seen:]]
    assert [one for one in sent if one[1] != "/v1/auth/token"] == [
        ("PUT", "/v1/auth/signing"),
        ("PUT", "/v1/auth/signing"),
        ("GET", "/v1/webhooks"),
        ("DELETE", "/v1/auth/signing"),
    ]


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
async def test_a_lost_answer_is_simply_repeated(managed, fault):
    before = managed.active()
    managed.simulator.fault(fault, count=2, method="PUT", path="/auth/signing")
    async with managed.client() as client:
        rotated = await managed.changes(client).rotate()
        assert await client.webhooks() == []
    assert managed.active() == [rotated.key_id] != before
    assert [one["method"] for one in managed.uploads()] == ["PUT", "DELETE", *["PUT"] * 3, "DELETE"]
    assert managed.events == [("created", "first-2", rotated.key_id), ("rotated", "first-2", rotated.key_id)]


async def test_the_first_key_s_lost_answer_is_asked_for_again_unsigned(programme):
    async with programme.client(static=True) as client:
        own = programme.programme.credentials.signing_key_id
        await client.remove_signing_key(own, key=str(uuid.uuid4()))
    programme.simulator.fault("drop_after", count=2, method="PUT", path="/auth/signing")
    async with programme.client() as client:
        changes = programme.changes(client)
        programme.files().create("first")
        assert [(await changes.upload("first")).key_id] == programme.active()
        assert await client.webhooks() == []


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("command", ["upload", "rotate", "another rotation", "revoke"])
async def test_an_upload_whose_process_died(managed, sent, command):
    """Died before the request, or after it. The same command completes it, another one is not kept from its own."""
    files = managed.files()
    file = files.create("left")
    files.intend_upload("left")
    async with managed.client() as serving, managed.client() as client:
        if sent:
            await client.upload_signing_key(file.key_id, file.public_key, key=str(uuid.uuid4()))
        assert await serving.webhooks() == [], "the old key serves"
        changes = managed.changes(client)
        match command:
            case "upload":
                current = await changes.upload("left")
            case "rotate":
                current = await changes.rotate()
            case "another rotation":
                current = await changes.rotate("other")
                assert managed.files().get("left").state == "revoked", "else the next rotation would bring it back"
            case "revoke":
                assert (await changes.revoke("left")).state == "revoked"
                current = managed.files().get("first")
        assert await serving.webhooks() == []
    assert managed.active() == [current.key_id]
    assert current.name == {"another rotation": "other", "revoke": "first"}.get(command, "left")


async def test_what_an_earlier_release_has_left_is_completed(managed):
    """Its files name an idempotency key, and no id before the platform has answered."""

    def aged(name, **changes):
        path = managed.folder / "request" / f"{name}.json"
        older = json.loads(path.read_text()) | changes
        del older["replaces"]
        path.write_text(json.dumps(older))

    files = managed.files()
    for name in ("made", "left"):
        files.create(name)
        aged(name, keyId=None, idempotencyKey=None)
    files.intend_upload("left")
    aged("left", keyId=None, idempotencyKey=str(uuid.uuid4()), generation=7)
    first = files.get("first")
    files.intend_revocation("first")
    aged("first", idempotencyKey=str(uuid.uuid4()))
    async with managed.client() as client:
        assert await client.webhooks() == []
        changes = managed.changes(client)
        left = await changes.rotate()
        assert (left.name, [left.key_id]) == ("left", managed.active())
        assert (await changes.upload("made")).state == "current"
        assert await client.webhooks() == []
    assert {file.name: str(file.state) for file in files.list()} == {
        "first": "revoked",
        "left": "retired",
        "made": "current",
    }
    assert ("revoked", "first", first.key_id) in managed.events


async def test_an_unfinished_upload_of_an_earlier_release_can_be_given_up(managed):
    files = managed.files()
    files.create("left")
    files.intend_upload("left")
    path = managed.folder / "request" / "left.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"keyId": None}))
    async with managed.client() as client:
        assert (await managed.changes(client).revoke("left")).state == "revoked"
    assert managed.active() == [files.get("first").key_id]


class TestWhereThePlatformAnswersWithAnId:
    @pytest.fixture
    def options(self):
        return Options(answer_signing=200)

    @pytest.mark.parametrize("fault", [None, "malformed_json"])
    async def test_its_id_is_taken(self, managed, fault):
        if fault is not None:
            managed.simulator.fault(fault, count=1, method="PUT", path="/auth/signing")
        async with managed.client() as client:
            rotated = await managed.changes(client).rotate()
            assert await client.webhooks() == []
        assert managed.active() == [rotated.key_id]
        (created, told) = managed.events
        assert (created[2] != rotated.key_id, told) == (True, ("rotated", "first-2", rotated.key_id))

    @pytest.mark.parametrize("died", ["before its answer was kept", "before the proof"])
    @pytest.mark.parametrize("command", ["revoke", "rotate"])
    async def test_its_id_outlives_the_process(self, managed, monkeypatch, died, command):
        class Died(Exception):
            pass

        async def dies(*_arguments):
            raise Died

        first = managed.files().get("first")
        async with managed.client() as client, managed.client() as other:
            files = managed.files()
            if died == "before the proof":
                monkeypatch.setattr(client, "accepts_signing_key", dies)
            else:
                monkeypatch.setattr(files, "note_answer", lambda *_arguments: asyncio.run(dies()))
            with pytest.raises(Died):
                await managed.changes(client, files).rotate()
            (left,) = set(managed.active()) - {first.key_id}
            assert managed.files().get("first-2").key_id != left
            changes = managed.changes(other)
            if command == "revoke":
                ended = await changes.revoke("first-2")
                assert (str(ended.state), ended.key_id) == ("revoked", left)
                assert managed.active() == [first.key_id]
            else:
                assert (await changes.rotate()).key_id == left
                assert managed.active() == [left]


async def test_a_key_whose_signatures_are_not_taken_replaces_nothing(managed):
    before = managed.files().get("first")
    managed.simulator.fault("status", count=1, status=401, code="signature_wrong", method="GET", path="/webhooks")
    async with managed.client() as client:
        changes = managed.changes(client)
        with pytest.raises(KeyUnavailable) as caught:
            await changes.rotate()
        assert caught.value.code == "request_key_refused"
        assert managed.files().in_use() == before
        assert await client.webhooks() == []
        rotated = await changes.rotate()
        assert (rotated.name, [rotated.key_id]) == ("first-2", managed.active())


async def test_an_uploaded_key_of_the_settings_ends_though_nobody_can_try_it_any_more(programme):
    """Killed between the switch and the end of the settings' key, which the operator has then taken out of them."""
    files, own = programme.files(), programme.programme.credentials.signing_key_id
    async with programme.client(static=True) as client:
        file = files.create("first")
        files.intend_upload("first", replaces=own)
        await client.upload_signing_key(file.key_id, file.public_key, key=str(uuid.uuid4()))
        files.switch("first", file.key_id, "uploaded")
    assert set(programme.active()) == {own, file.key_id}
    async with programme.client() as client:
        assert (await programme.changes(client).upload("first")).replaces is None
        assert programme.active() == [file.key_id]
        # And once more where the platform no longer knows it: nobody can say that it is gone.
        path = programme.folder / "request" / "first.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"replaces": own}))
        with pytest.raises(PlatformRefused) as caught:
            await programme.changes(client).upload("first")
        assert "set ORCHESTRATOR_SIGNING_KEY and ORCHESTRATOR_SIGNING_KEY_ID" in caught.value.fix
    async with programme.client(static=True) as client:
        assert (await programme.changes(client).upload("first")).replaces is None


async def test_a_key_that_the_settings_never_had_at_the_platform_is_no_obstacle(programme):
    async with programme.client(static=True, signing_key_id="00000000-0000-4000-8000-000000000000") as client:
        programme.files().create("first")
        current = await programme.changes(client).upload("first")
        assert (current.state, current.replaces) == ("current", None)
        assert await client.webhooks() == []


async def test_a_key_that_is_not_removed_goes_on_signing(managed):
    managed.simulator.fault("status", count=2, status=403, method="DELETE", path="/auth/signing")
    async with managed.client() as client:
        changes = managed.changes(client)
        with pytest.raises(PlatformRefused):
            await changes.revoke("first")
        assert managed.files().get("first").state == "revoking"
        assert await client.webhooks() == []
        assert (await changes.revoke("first")).state == "revoked"
    assert managed.active() == []


async def test_a_refused_upload_is_sent_again_by_the_next_command(managed):
    managed.simulator.fault("status", count=1, status=403, method="PUT", path="/auth/signing")
    async with managed.client() as client:
        changes = managed.changes(client)
        with pytest.raises(PlatformRefused):
            await changes.rotate()
        assert managed.files().get("first-2").state == "uploading"
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
    file = managed.files().intend_revocation("first")
    async with managed.client() as client:
        assert await client.webhooks() == [], "until it is done the key serves"
        await client.remove_signing_key(file.key_id, key=str(uuid.uuid4()))
        changes = managed.changes(client)
        with pytest.raises(PlatformRefused) as caught:
            await changes.revoke("first")
        assert "upload another one" in caught.value.fix
        assert managed.files().get("first").state == "revoking", "no other key shows that the platform takes any"
        managed.files().create("second")
        await changes.upload("second")
    assert managed.files().get("first").state == "revoked"
    assert ("revoked", "first", file.key_id) in managed.events


@pytest.mark.parametrize("refusal", [{"status": 400}, {"status": 401}, {"status": 401, "code": "signature_wrong"}])
@pytest.mark.parametrize("change", ["revoke", "rotate"])
async def test_a_key_is_not_declared_gone_for_refusals_that_have_other_reasons(managed, refusal, change):
    """The removal is refused, and so is every signed read: the key can be active, and a thief may have it."""
    first = managed.files().get("first")
    async with managed.client() as client:
        changes = managed.changes(client)
        managed.simulator.fault("status", count=9, method="DELETE", path="/auth/signing", **refusal)
        if change == "rotate":
            with pytest.raises(PlatformRefused):
                await changes.rotate()
        managed.simulator.fault("status", count=9, status=401, method="GET", path="/webhooks", code="signature_wrong")
        with pytest.raises(PlatformRefused):
            await changes.revoke("first", emergency=True)
        assert managed.files().get("first").state == "revoking"
        assert first.key_id in managed.active()
        managed.simulator.clear_faults()
        assert (await changes.revoke("first")).locked is None
        assert first.key_id not in managed.active()


async def test_one_refused_read_is_not_the_end_of_a_key(managed):
    async with managed.client() as client:
        changes = managed.changes(client)
        managed.simulator.fault("status", count=4, status=400, method="DELETE", path="/auth/signing")
        with pytest.raises(PlatformRefused):
            await changes.rotate()
        managed.simulator.fault("status", count=1, status=401, method="GET", path="/webhooks", code="signature_wrong")
        with pytest.raises(PlatformRefused):
            await changes.rotate()
        assert managed.files().get("first").state == "revoking"
        await changes.rotate()
    assert managed.active() == [managed.files().in_use().key_id]


async def test_a_removal_whose_signature_is_refused_is_repeated_unsigned(managed):
    managed.simulator.fault(
        "status", count=1, status=401, method="DELETE", path="/auth/signing", code="signature_wrong"
    )
    async with managed.client() as client:
        assert (await managed.changes(client).revoke("first")).state == "revoked"
    assert managed.active() == []


@pytest.mark.parametrize(
    ("answers", "emergency", "told"),
    [
        ([], False, None),
        ([404], False, None),  # it is not there
        ([400], False, None),  # unsigned it is removed
        ([400, 404], False, None),
        ([400, 401, 401], False, ""),  # of the token, the new one too: nothing about the key
        ([400, 400], False, "counts as active until the platform says"),
        ([400], True, None),
        ([400, 400], True, "counts as active until the platform says"),
    ],
)
async def test_each_answer_to_a_removal_has_one_way_out(managed, answers, emergency, told):
    def deletes():
        return sum(one["method"] == "DELETE" for one in managed.simulator.records()["requests"])

    before = deletes()
    for status in answers:
        managed.simulator.fault("status", count=1, status=status, method="DELETE", path="/auth/signing")
    async with managed.client() as client:
        changes = managed.changes(client)
        if told is None:
            assert (await changes.revoke("first", emergency=emergency)).state == "revoked"
        else:
            with pytest.raises(PlatformRefused) as caught:
                await changes.revoke("first", emergency=emergency)
            assert told in (caught.value.fix or "")
            assert ("counts as active" in (caught.value.fix or "")) is bool(told)
            assert managed.files().get("first").state == "revoking"
    assert deletes() - before == len(answers) + (told is None and answers[-1:] != [404])


async def test_what_the_journal_could_not_take_is_recorded_by_the_next_command(managed):
    class Broken(Records):
        async def record(self, event):
            if event.action == "rotated":
                raise OSError("no database")

    async with managed.client() as client:
        with pytest.raises(OSError, match="no database"):
            await RequestKeyChanges(client, managed.files(), Broken()).rotate()
        rotated = managed.files().get("first-2")
        assert rotated.state == "current"
        again = await managed.changes(client).rotate()
        assert (again.name, again.key_id) == ("first-2", rotated.key_id), "no other rotation is begun"
        assert managed.active() == [rotated.key_id]
        await managed.changes(client).record()
    assert managed.events == [("rotated", "first-2", rotated.key_id)]


async def test_what_the_journal_does_not_take_is_not_sent(managed):
    class Broken(Records):
        async def record(self, event):
            raise OSError("no database")

    sent = len(managed.uploads())
    async with managed.client() as client:
        with pytest.raises(OSError, match="no database"):
            await RequestKeyChanges(client, managed.files(), Broken()).rotate()
    assert len(managed.uploads()) == sent


async def test_a_change_waits_for_another_process_and_then_gives_up(managed):
    held = managed.files().try_change()
    async with managed.client() as client:
        changes = RequestKeyChanges(client, managed.files(), managed.journal, patience=0.05)
        with pytest.raises(KeyUnavailable) as caught:
            await changes.rotate()
        assert (caught.value.code, caught.value.disposition) == ("request_key_busy", Disposition.RETRY)
        held.release()
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


async def test_an_upload_whose_signature_is_refused_is_repeated_unsigned(managed):
    managed.simulator.fault("status", count=1, status=401, method="PUT", path="/auth/signing", code="signature_wrong")
    async with managed.client() as client:
        assert [(await managed.changes(client).rotate()).key_id] == managed.active()


@pytest.mark.parametrize("refused", [False, True])
async def test_an_upload_that_was_left_does_not_come_back(managed, refused):
    """Also where its removal fails at first."""
    files = managed.files()
    left, other = files.create("left"), files.create("other")
    files.intend_upload("left")
    async with managed.client() as client:
        await client.upload_signing_key(left.key_id, left.public_key, key=str(uuid.uuid4()))
        changes = managed.changes(client)
        if refused:
            managed.simulator.fault("status", count=2, status=403, method="DELETE", path="/auth/signing")
            with pytest.raises(PlatformRefused):
                await changes.upload("other")
            assert files.get("left").state != "uploading"
            with pytest.raises(KeyUnavailable):
                await changes.upload("left")
            assert (await changes.rotate()).name == "other", "what it has replaced goes first"
        else:
            await changes.upload("other")
        assert managed.active() == [other.key_id]
        rotated = await changes.rotate()
    assert managed.active() == [rotated.key_id] != [left.key_id]
    assert ("revoked", "left", left.key_id) in managed.events
    assert not files.get("left").locked


class NoPassword:
    """Nobody knows it any more."""

    def password(self, what, *, confirm=False):
        raise KeyUnavailable(f"{what}: no password", code="password_missing")


async def test_a_stolen_key_ends_without_its_password(managed):
    lost = RequestKeyFolder(managed.folder, NoPassword(), work_factor=LIGHT)
    async with managed.client(lost) as client:
        assert (await managed.changes(client, lost).revoke("first", emergency=True)).state == "revoked"
    assert managed.active() == []


async def test_a_key_is_uploaded_though_the_current_one_cannot_be_opened(managed):
    class NewPassword(FixedPassword):
        def password(self, what, *, confirm=False):
            if "first" in what:
                raise KeyUnavailable(f"{what}: no password", code="wrong_password")
            return super().password(what, confirm=confirm)

    files = RequestKeyFolder(managed.folder, NewPassword(Secret("a new one")), work_factor=LIGHT)
    files.create("second")
    async with managed.client(files) as client:
        second = await managed.changes(client, files).upload("second")
        assert await client.webhooks() == []
    assert managed.active() == [second.key_id]
    assert files.get("first").state == "retired"


async def test_an_unreadable_file_of_another_key_stops_no_change(managed):
    files = managed.files()
    for name in ("spare", "first-2"):
        files.create(name)
    (files.path / "first-2.json").write_text("{")
    async with managed.client() as client:
        changes = managed.changes(client)
        assert (await changes.rotate()).name == "first-3"
        await changes.upload("spare")
        assert (await changes.revoke("spare")).state == "revoked"
        with pytest.raises(KeyUnavailable) as caught:
            await changes.revoke("first-2")
        assert caught.value.code == "keystore_unreadable"
    assert managed.active() == []


async def test_a_key_is_uploaded_though_the_current_file_is_unreadable(managed):
    files = managed.files()
    first = (files.path / "first.json").read_text()
    files.create("second")
    (files.path / "first.json").write_text("{")
    async with managed.client() as client:
        await managed.changes(client).upload("second")
        (files.path / "first.json").write_text(first)
        assert [str(file.state) for file in files.list()] == ["revoking", "current"], "it is still there"
        assert (await managed.changes(client).upload("second")).generation == 2
    assert managed.active() == [files.get("second").key_id]
