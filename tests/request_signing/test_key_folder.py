"""The folder of request-signing keys: what is on the disk, who can read it, and what is refused."""

from __future__ import annotations

import json
import re
import stat

import pytest

from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.passwords import FilePassword, FixedPassword, Secret
from orchestrator.request_signing.key_folder import RequestKeyFolder

PASSWORD = "correct-horse-battery-staple"


@pytest.fixture
def files(tmp_path):
    return RequestKeyFolder(tmp_path / "keystore", FixedPassword(Secret(PASSWORD)), work_factor=2**10)


@pytest.fixture
def current(files):
    files.create("first")
    files.intend_upload("first")
    return files.switch("first", "id-1", "uploaded")


def again(files, **changes):
    """The same folder, as another process sees it."""
    return RequestKeyFolder(files.path.parent, FixedPassword(Secret(PASSWORD)), **changes)


def document(files, name="first"):
    return json.loads((files.path / f"{name}.json").read_text())


def write(files, document, name="first"):
    path = files.path / f"{name}.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(document))


def test_an_empty_folder_has_no_key(files):
    assert files.list() == ()
    assert files.current() is None
    assert files.unfinished() is None
    assert not files.path.exists(), "reading makes nothing"


def test_what_is_written_is_private_and_holds_no_secret(files, current):
    for path in [files.path.parent, files.path, *files.path.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    text = (files.path / "first.json").read_text()
    assert PASSWORD not in text
    assert "PRIVATE KEY" not in text
    assert document(files)["privateKey"]["cipher"] == "aes-256-gcm"


def test_a_key_is_written_at_a_cost_that_suits_a_password(tmp_path):
    RequestKeyFolder(tmp_path / "keystore", FixedPassword(Secret(PASSWORD))).create("first")
    locked = json.loads((tmp_path / "keystore" / "request" / "first.json").read_text())["privateKey"]
    assert (locked["kdf"], locked["n"], locked["r"], locked["p"]) == ("scrypt", 2**17, 8, 1)


def test_another_process_opens_it_with_the_same_password(files, current):
    assert again(files).current().key_id == "id-1"
    wrong = RequestKeyFolder(files.path.parent, FixedPassword(Secret("zweites-wort")))
    with pytest.raises(KeyUnavailable) as caught:
        wrong.current()
    assert caught.value.code == "wrong_password"
    assert "zweites-wort" not in caught.value.message
    assert wrong.list() == again(files).list(), "listing needs no password"


def test_a_password_file_open_to_others_is_refused(files, current, tmp_path):
    path = tmp_path / "password"
    path.write_text(PASSWORD)
    path.chmod(0o644)
    with pytest.raises(KeyUnavailable, match="chmod 600"):
        RequestKeyFolder(files.path.parent, FilePassword(path)).current()


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_others_can_read_is_refused(files, current, what):
    path = files.path if what == "folder" else files.path / "first.json"
    path.chmod(0o755 if what == "folder" else 0o640)
    for work in (again(files).list, again(files).current):
        with pytest.raises(KeyUnavailable, match="chmod") as caught:
            work()
        assert caught.value.code == "keystore_permissions"


def test_the_private_half_of_a_key_that_is_out_of_use_is_gone(files, current):
    files.create("second")
    files.intend_upload("second")
    assert files.current().key_id == "id-1", "until it is settled the old one signs"
    files.switch("second", "id-2", "rotated")
    assert files.current().key_id == "id-2"
    assert {file.name: str(file.state) for file in files.list()} == {"first": "revoking", "second": "current"}
    assert files.unfinished() == "second"
    files.end("first")
    assert document(files)["privateKey"] is None
    assert document(files)["state"] == "retired"
    with pytest.raises(KeyUnavailable) as caught:
        again(files).open("first")
    assert caught.value.code == "request_key_gone"


def test_the_generation_is_that_of_the_use(files, current):
    for name in ("second", "third"):
        files.create(name)
        files.intend_upload(name)
    files.switch("third", "id-3", "rotated")
    files.switch("second", "id-2", "rotated")
    assert files.current().key_id == "id-2"


def test_each_step_has_its_state_and_no_other(files, current):
    files.create("second")
    refused = [
        lambda: files.switch("second", "id", "rotated"),
        lambda: files.intend_upload("first"),
        lambda: files.intend_revocation("second"),
    ]
    for step in refused:
        with pytest.raises(KeyUnavailable) as caught:
            step()
        assert caught.value.code == "request_key_state"
    assert {file.name: file.state for file in files.list()} == {"first": "current", "second": "created"}


def test_the_id_is_chosen_once_and_the_intent_stays_as_it_is(files, current):
    created = files.create("second")
    assert re.fullmatch(r"[0-9a-f-]{36}", created.key_id)
    intended = files.intend_upload("second", ("ab" * 32,), replaces="own-id")
    assert (intended.key_id, intended.replaces) == (created.key_id, "own-id")
    assert again(files).intend_upload("second", ("cd" * 32,), replaces="other") == intended
    assert files.switch("second", "id-2", "rotated").replaces == "own-id"
    assert files.forget_replaced("second").replaces is None


@pytest.mark.parametrize("own", ["", "line\nbreak", "é", "x" * 501])
def test_what_cannot_be_a_platform_s_id_replaces_nothing(files, own):
    files.create("first")
    assert files.intend_upload("first", replaces=own).replaces is None


@pytest.mark.parametrize("step", ["created", "uploading", "revoking"])
def test_a_key_that_was_replaced_is_retired_and_any_other_is_revoked(files, step):
    files.create("first")
    if step != "created":
        files.intend_upload("first")
    if step == "revoking":
        files.switch("first", "id-1", "uploaded")
        files.intend_revocation("first")
    assert (files.end("first").state, document(files)["privateKey"]) == ("revoked", None)
    with pytest.raises(KeyUnavailable) as caught:
        files.end("first")
    assert caught.value.code == "request_key_state"


def test_names(files, current):
    for name in ("", "../first", "A", ".lock", "a" * 65, "a/b", "a\n"):
        with pytest.raises(SettingsError) as caught:
            files.create(name)
        assert caught.value.code == "key_name"
    with pytest.raises(SettingsError) as caught:
        files.create("first")
    assert caught.value.code == "key_exists"
    with pytest.raises(KeyUnavailable) as caught:
        files.get("nobody")
    assert caught.value.code == "key_not_found"


BROKEN = {
    "version": 2,
    "name": "other",
    "state": "golden",
    "publicKey": "-----BEGIN",
    "fingerprint": "0" * 64,
    "generation": -1,
    "createdAt": "yesterday",
    "changedAt": None,
    "keyId": "\n",
    "replaces": "é",
    "unrecorded": ["exploded"],
    "privateKey": None,
}


@pytest.mark.parametrize("field", BROKEN)
def test_a_file_that_is_not_as_this_release_writes_it_is_refused_by_name(files, current, field):
    write(files, document(files) | {field: BROKEN[field]})
    with pytest.raises(KeyUnavailable) as caught:
        again(files).list()
    assert caught.value.code == "keystore_unreadable"
    assert "first.json" in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"n": 2**30},
        {"n": 1000},
        {"n": 2.0},
        {"r": 2**20},
        {"p": 64},
        {"kdf": "none"},
        {"cipher": "aes-128-ctr"},
        {"salt": "00"},
        {"nonce": "zz"},
        {"ciphertext": "A" * 4000},
        {"ciphertext": None},
    ],
    ids=str,
)
def test_a_planted_file_cannot_ask_for_more_than_a_key_costs(files, current, change):
    broken = document(files)
    broken["privateKey"] |= change
    write(files, broken)
    with pytest.raises(KeyUnavailable) as caught:
        again(files).current()
    assert caught.value.code == "keystore_unreadable"


def test_halves_of_two_keys_do_not_open(files, current):
    files.create("second")
    mixed = document(files) | {"privateKey": document(files, "second")["privateKey"]}
    write(files, mixed)
    with pytest.raises(KeyUnavailable) as caught:
        again(files).current()
    assert caught.value.code == "wrong_password"


def test_truncated_and_foreign_bytes(files, current):
    path = files.path / "first.json"
    whole = path.read_bytes()
    for data in (b"", whole[: len(whole) // 2], b"\xff\xfe", b"[" * 9000, b"{}", b"7"):
        path.write_bytes(data)
        with pytest.raises(KeyUnavailable) as caught:
            again(files).current()
        assert caught.value.code == "keystore_unreadable"


def test_a_broken_file_of_an_old_key_does_not_keep_the_current_one_from_signing(files, current):
    write(files, {}, "a-broken-one")
    assert again(files).current().key_id == "id-1"
    with pytest.raises(KeyUnavailable, match="a-broken-one"):
        again(files).list()


def test_a_link_is_not_followed(files, current, tmp_path):
    path = files.path / "first.json"
    moved = path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(moved)
    with pytest.raises(KeyUnavailable, match="symbolic link"):
        again(files).current()


def test_one_change_at_a_time(files, current):
    held = files.try_change()
    assert again(files).try_change() is None
    assert again(files).current().key_id == "id-1", "nobody else waits for it"
    assert stat.S_IMODE((files.path / ".change").stat().st_mode) == 0o600
    held.release()
    again(files).try_change().release()


def test_without_any_key_there_is_no_change(files):
    with pytest.raises(KeyUnavailable) as caught:
        files.try_change()
    assert caught.value.code == "key_not_found"
    assert not files.path.exists()
    files.create("first")
    (files.path / ".change").mkdir()
    with pytest.raises(KeyUnavailable) as caught:
        files.try_change()
    assert caught.value.code == "keystore_unwritable"


def test_a_file_of_an_earlier_release_knows_no_approvals(files, current):
    older = document(files)
    del older["approvals"]
    write(files, older)
    assert files.get("first").approvals == ()
    for damaged in ("ab" * 32, [1], ["abc"]):
        write(files, older | {"approvals": damaged})
        with pytest.raises(KeyUnavailable) as caught:
            again(files).get("first")
        assert caught.value.code == "keystore_unreadable"
