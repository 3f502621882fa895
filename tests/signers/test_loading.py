"""Whether the keys that are needed are loaded: what readiness says when they are, and when they are not."""

from __future__ import annotations

import json

import pytest

from orchestrator.passwords import FixedPassword, Secret
from orchestrator.request_signing.key_folder import RequestKeyFolder
from orchestrator.signers import secret_storage
from orchestrator.signers.keyring import Keyring
from orchestrator.signers.loading import KeyCondition, KeyMonitor, load

PASSWORD = "correct-horse-battery-staple"
GOOD = KeyCondition("ok", "ok")


def keyring(folder, password=PASSWORD):
    return Keyring(folder / "keystore", FixedPassword(Secret(password)), work_factor=2**12)


def request_keys(folder, password=PASSWORD):
    return RequestKeyFolder(folder / "keystore", FixedPassword(Secret(password)), work_factor=2**10)


@pytest.fixture
def folder(tmp_path):
    ring = keyring(tmp_path)
    ring.create("alice")
    ring.create("bob")
    ring.create("carol")
    ring.disable("carol")
    return tmp_path


def test_enabled_keys_are_opened_and_once(folder, monkeypatch):
    opened = []
    real = secret_storage.decrypt
    monkeypatch.setattr(secret_storage, "decrypt", lambda *a: opened.append(1) or real(*a))
    ring = keyring(folder)
    for _ in range(2):
        loaded = load(ring)
        assert (loaded.opened, loaded.read, loaded.failed) == (("alice", "bob"), (), ())
    assert len(opened) == 2


def test_of_many_the_first_are_opened_and_the_others_read(folder):
    loaded = load(keyring(folder), most=1)
    assert (loaded.opened, loaded.read) == (("alice",), ("bob",))
    assert load(keyring(folder), wanted=lambda key: key.name == "bob").opened == ("bob",)


def test_each_failure_is_reported_by_name(folder):
    (folder / "keystore" / "broken.json").touch(mode=0o600)
    loaded = load(keyring(folder, "wrong"))
    assert [(name, error.code) for name, error in loaded.failed] == [
        ("", "keystore_unreadable"),
        ("alice", "wrong_password"),
        ("bob", "wrong_password"),
    ]
    (folder / "keystore").chmod(0o755)
    assert [error.code for _, error in load(keyring(folder)).failed] == ["keystore_permissions"]


async def test_readiness_is_true_only_when_all_is_loaded(folder):
    told = []
    files = request_keys(folder)
    monitor = KeyMonitor(keyring(folder), files, report=lambda name, error: told.append((name, error.code)))
    assert monitor.condition == KeyCondition("not_loaded", "not_loaded"), "before the first look nothing is known"
    assert await monitor.poll() == KeyCondition("ok", "request_key_missing")
    files.create("first")
    files.intend_upload("first")
    assert await monitor.poll() != GOOD
    files.switch("first", "id-1", "uploaded")
    assert await monitor.poll() == GOOD
    (folder / "keystore" / "alice.json").chmod(0o644)
    assert monitor.condition == GOOD
    assert (await monitor.poll()).keys == "keystore_permissions"
    await monitor.poll()
    (folder / "keystore" / "alice.json").chmod(0o600)
    assert await monitor.poll() == GOOD
    assert told == [("request", "request_key_missing"), ("", "keystore_permissions")], "each trouble once"


async def test_a_wrong_password_or_no_key_is_not_ready(folder, tmp_path):
    assert await KeyMonitor(keyring(folder, "wrong"), request_keys(folder)).poll() == KeyCondition(
        "wrong_password", "request_key_missing"
    )
    assert await KeyMonitor(keyring(tmp_path / "empty")).poll() == KeyCondition("key_not_found", "ok")


async def test_a_key_that_is_disabled_does_not_keep_a_process_from_being_ready(folder):
    path = folder / "keystore" / "carol.json"
    document = json.loads(path.read_text())
    document["crypto"]["mac"] = "00" * 32
    path.write_text(json.dumps(document))
    assert await KeyMonitor(keyring(folder)).poll() == GOOD
