"""The keystore with real files: who may read it, what a kill leaves, which key signs."""

from __future__ import annotations

import copy
import json
import os
import pickle
import stat
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import files
from orchestrator.eip191 import recover
from orchestrator.errors import KeyUnavailable, OrchestratorError, SettingsError
from orchestrator.models import Address
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.ports.signers import KeyInfo
from orchestrator.signers import key_files
from orchestrator.signers.keyring import Keyring
from tests import forked

PASSWORD = "correct-horse-battery-staple"
WORK_FACTOR = 2**12
KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


def file_of(keystore: Keyring, info: KeyInfo) -> Path:
    return keystore.path / f"{info.name}.json"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_keystore(tmp_path: Path) -> Callable[..., Keyring]:
    """Opens the test's keystore as a new process would."""

    def _open(password: str = PASSWORD) -> Keyring:
        return Keyring(tmp_path / "keystore", FixedPassword(Secret(password)), work_factor=WORK_FACTOR)

    return _open


@pytest.fixture
def keystore(open_keystore: Callable[..., Keyring]) -> Keyring:
    return open_keystore()


class CountingPassword:
    def __init__(self, password: str = PASSWORD) -> None:
        self.asked = 0
        self._password = password

    def password(self, what: str, *, confirm: bool = False) -> Secret:
        self.asked += 1
        return Secret(self._password)


def test_a_created_key_signs_in_another_process_and_its_files_are_private(keystore, open_keystore):
    info = keystore.create("alice")
    assert mode(keystore.path) == 0o700
    assert mode(keystore.path / "alice.json") == 0o600
    assert {path.name for path in keystore.path.iterdir()} == {"alice.json", ".lock", ".signing"}
    signer = open_keystore().signer_for(info.address)
    assert (signer.name, signer.address) == ("alice", info.address)
    assert recover(b"message", signer.sign_message(b"message")) == info.address
    assert open_keystore().signer("alice").address == info.address


def test_other_tools_can_open_what_is_written(keystore):
    from eth_account import Account

    keystore.import_key("alice", Secret("0x" + KEY + "\n"))
    document = (keystore.path / "alice.json").read_text("ascii")
    assert Account.decrypt(document, PASSWORD).hex() == KEY
    assert json.loads(document)["address"] == ADDRESS[2:].lower()


def test_files_are_private_whatever_the_umask(keystore):
    before = os.umask(0)
    try:
        keystore.create("alice")
    finally:
        os.umask(before)
    assert mode(keystore.path) == 0o700
    assert mode(keystore.path / "alice.json") == 0o600
    assert mode(keystore.path / ".lock") == 0o600


def test_listing_needs_no_password_and_the_key_is_opened_once(tmp_path, keystore):
    info = keystore.import_key("alice", Secret(KEY))
    passwords = CountingPassword()
    opened = Keyring(keystore.path, passwords)
    assert opened.list() == (info,)
    signer = opened.signer_for(info.address)
    assert passwords.asked == 0
    threads = [threading.Thread(target=signer.sign_message, args=(b"message",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened.signer_for(info.address).sign_message(b"another")
    assert passwords.asked == 1


def test_a_wrong_password_can_be_corrected_in_the_same_process(keystore):
    info = keystore.create("alice")
    passwords = CountingPassword("wrong")
    opened = Keyring(keystore.path, passwords)
    with pytest.raises(KeyUnavailable, match=r"alice\.json.*password is wrong") as caught:
        opened.signer_for(info.address).sign_message(b"message")
    assert caught.value.code == "wrong_password"
    passwords._password = PASSWORD
    assert recover(b"m", opened.signer_for(info.address).sign_message(b"m")) == info.address


def test_a_missing_folder_has_no_keys_and_is_named(keystore):
    assert keystore.list() == ()
    with pytest.raises(KeyUnavailable, match="does not exist") as caught:
        keystore.signer_for(Address(ADDRESS))
    assert caught.value.code == "key_not_found"
    assert ADDRESS in caught.value.message
    assert str(keystore.path) in caught.value.message
    with pytest.raises(KeyUnavailable) as caught:
        keystore.get("alice")
    assert caught.value.code == "key_not_found"


def test_an_unknown_address_is_named(keystore):
    keystore.create("alice")
    with pytest.raises(KeyUnavailable, match=ADDRESS) as caught:
        keystore.signer_for(Address(ADDRESS))
    assert caught.value.code == "key_not_found"


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o601, 0o666])
def test_a_file_open_to_others_is_refused_with_the_command_to_type(keystore, bits):
    info = keystore.create("alice")
    signer = keystore.signer_for(info.address)
    file_of(keystore, info).chmod(bits)
    for call in (lambda: keystore.get("alice"), lambda: keystore.signer_for(info.address), signer.unlock):
        with pytest.raises(KeyUnavailable, match=f"chmod 600 {file_of(keystore, info)}") as caught:
            call()
        assert caught.value.code == "keystore_permissions"


@pytest.mark.parametrize("bits", [0o750, 0o701, 0o777])
def test_a_folder_open_to_others_is_refused_with_the_command_to_type(keystore, bits):
    info = keystore.create("alice")
    keystore.path.chmod(bits)
    for call in (keystore.list, lambda: keystore.signer_for(info.address), lambda: keystore.create("bob")):
        with pytest.raises(KeyUnavailable, match=f"chmod 700 {keystore.path}") as caught:
            call()
        assert caught.value.code == "keystore_permissions"


def test_a_file_of_another_user_is_refused(keystore, monkeypatch):
    info = keystore.create("alice")
    monkeypatch.setattr(os, "geteuid", lambda: file_of(keystore, info).stat().st_uid + 4711)
    if file_of(keystore, info).stat().st_uid == 0:
        keystore.get("alice")  # root's files are fine for everybody
        os.chown(file_of(keystore, info), 4242, -1)
    with pytest.raises(KeyUnavailable, match="chown") as caught:
        keystore.get("alice")
    assert caught.value.code == "keystore_permissions"


def test_links_folders_and_pipes_are_no_key_files(keystore, tmp_path):
    info = keystore.create("alice")
    file_of(keystore, info).rename(tmp_path / "elsewhere.json")
    file_of(keystore, info).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(KeyUnavailable, match="symbolic link") as caught:
        keystore.get("alice")
    assert caught.value.code == "keystore_unreadable"
    (keystore.path / "folder.json").mkdir()
    os.mkfifo(keystore.path / "pipe.json", 0o600)
    (keystore.path / "broken.json").symlink_to("nowhere")
    assert len(keystore.scan().unreadable) == 4
    for name in ("folder", "pipe", "broken"):
        with pytest.raises(KeyUnavailable, match=f"{name}.json"):
            keystore.get(name)
    with pytest.raises(SettingsError) as exists:
        keystore.create("broken")
    assert exists.value.code == "key_exists"


def test_a_keystore_that_is_a_file_is_refused(keystore):
    keystore.path.write_text("")
    for call in (keystore.list, lambda: keystore.create("alice")):
        with pytest.raises(KeyUnavailable, match="expected a folder") as caught:
            call()
        assert caught.value.code == "keystore_unreadable"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"\xff" + data,
        lambda data: data + b" " * 20_000,
        lambda data: data.replace(b'"name": "alice"', b'"name": "mallory"'),
        lambda data: data.replace(b'"address"', b'"addressed"'),
    ],
    ids=["empty", "truncated", "non-utf8", "large", "renamed", "no-address"],
)
def test_a_damaged_file_is_named_and_hides_no_other_key(keystore, open_keystore, damage):
    alice, bob = keystore.create("alice"), keystore.create("bob")
    file_of(keystore, alice).write_bytes(damage(file_of(keystore, alice).read_bytes()))
    again = open_keystore()
    for call in (again.list, lambda: again.get("alice"), lambda: again.signer_for(alice.address)):
        with pytest.raises(KeyUnavailable, match=r"alice\.json") as caught:
            call()
        assert caught.value.code == "keystore_unreadable"
    assert again.scan().keys == (bob,)
    assert recover(b"m", again.signer_for(bob.address).sign_message(b"m")) == bob.address


def test_a_swapped_address_is_found_when_the_key_is_opened(keystore, open_keystore):
    alice = keystore.create("alice")
    file_of(keystore, alice).write_text(
        file_of(keystore, alice).read_text().replace(alice.address[2:].lower(), ADDRESS[2:].lower())
    )
    signer = open_keystore().signer_for(Address(ADDRESS))
    with pytest.raises(KeyUnavailable, match=f"expected the key of the address in it, {ADDRESS}, got.*{alice.address}"):
        signer.sign_message(b"message")


def test_a_disabled_key_does_not_sign_until_it_is_enabled(keystore, open_keystore):
    info = keystore.create("alice")
    keystore.signer_for(info.address).sign_message(b"message")
    assert open_keystore("irrelevant").disable("alice").disabled
    assert open_keystore().disable("alice").disabled
    with pytest.raises(KeyUnavailable, match="alice") as caught:
        keystore.signer_for(info.address)
    assert caught.value.code == "key_disabled"
    assert not keystore.enable("alice").disabled
    assert keystore.list() == (info,)
    assert recover(b"m", open_keystore().signer_for(info.address).sign_message(b"m")) == info.address


def test_rotation_changes_the_password_and_nothing_else(keystore, open_keystore):
    info = keystore.create("alice")
    before = file_of(keystore, info).read_bytes()
    assert keystore.rotate("alice", FixedPassword(Secret("new password"))) == info
    assert json.loads(before)["crypto"]["kdfparams"]["salt"] not in file_of(keystore, info).read_text()
    assert json.loads(before)["id"] == json.loads(file_of(keystore, info).read_text())["id"]
    assert mode(file_of(keystore, info)) == 0o600
    with pytest.raises(KeyUnavailable) as caught:
        open_keystore().signer_for(info.address).unlock()
    assert caught.value.code == "wrong_password"
    assert recover(b"m", open_keystore("new password").signer_for(info.address).sign_message(b"m")) == info.address


def test_what_happens_during_a_rotation_is_not_lost(keystore, open_keystore):
    info = keystore.create("alice")

    class Meanwhile(CountingPassword):
        def __init__(self, action: Callable[[], object]) -> None:
            super().__init__("new password")
            self.action = action

        def password(self, what: str, *, confirm: bool = False) -> Secret:
            self.action()
            return super().password(what, confirm=confirm)

    assert keystore.rotate("alice", Meanwhile(lambda: open_keystore().disable("alice"))).disabled
    other = FixedPassword(Secret("another password"))
    with pytest.raises(KeyUnavailable, match="run it again") as caught:
        open_keystore("new password").rotate(
            "alice", Meanwhile(lambda: open_keystore("new password").rotate("alice", other))
        )
    assert caught.value.code == "key_busy"
    keystore.enable("alice")
    assert open_keystore("another password").signer("alice").sign_message(b"m")
    assert keystore.get("alice") == info


@pytest.mark.parametrize("disabled", [False, True])
def test_a_rotation_that_a_kill_has_hidden_may_be_repeated(keystore, disabled):
    """Its keystore still has the old password. That is no error, of a disabled key either, and nothing is written."""
    info = keystore.create("alice")
    new = FixedPassword(Secret("new password"))
    keystore.rotate("alice", new)
    if disabled:
        info = keystore.disable("alice")
    before = file_of(keystore, info).read_bytes()
    assert keystore.rotate("alice", new) == info
    assert file_of(keystore, info).read_bytes() == before
    with pytest.raises(KeyUnavailable) as caught:
        keystore.rotate("alice", FixedPassword(Secret("a third password")))
    assert caught.value.code == "wrong_password"


def test_a_rotation_with_a_wrong_password_changes_nothing(keystore, open_keystore):
    info = keystore.create("alice")
    before = file_of(keystore, info).read_bytes()
    with pytest.raises(KeyUnavailable):
        open_keystore("wrong").rotate("alice", FixedPassword(Secret("new password")))
    assert file_of(keystore, info).read_bytes() == before


def test_a_key_file_of_another_tool_is_taken_over_under_the_own_password(keystore, open_keystore, tmp_path):
    vectors = Path(__file__).parent / "vectors" / "web3_secret_storage.json"
    vector = json.loads(vectors.read_text())["vectors"][0]
    source = tmp_path / "UTC--2016-01-01--foreign"
    source.write_text(json.dumps(vector["file"]))
    with pytest.raises(KeyUnavailable) as caught:
        key_files.open_file(source, FixedPassword(Secret(PASSWORD)))
    assert caught.value.code == "wrong_password"
    opened = key_files.open_file(source, FixedPassword(Secret(vector["password"])))
    info = keystore.import_key("foreign", Secret(opened.secret.hex()))
    assert info.address == vector["address"]
    assert recover(b"m", open_keystore().signer("foreign").sign_message(b"m")) == vector["address"]
    with pytest.raises(KeyUnavailable, match="No such file"):
        key_files.open_file(tmp_path / "missing", FixedPassword(Secret(PASSWORD)))


@pytest.mark.parametrize("name", ["", "Alice", ".alice", "-a", "a" * 65, "a/b", "../a", "a\n", "ä", "a b", "a\x00"])
def test_names_that_could_mislead_are_refused(keystore, name):
    for call in (keystore.create, keystore.get, keystore.disable):
        with pytest.raises(SettingsError) as caught:
            call(name)
        assert caught.value.code == "key_name"
    assert not keystore.path.exists()


@pytest.mark.parametrize("text", ["", "0x", KEY[:-1], KEY + "0", "g" * 64, "0" * 64, "f" * 64, "0x0x" + KEY[4:]])
def test_malformed_private_keys_are_refused_without_showing_them(keystore, text):
    with pytest.raises(SettingsError) as caught:
        keystore.import_key("alice", Secret(text))
    assert caught.value.code == "private_key_malformed"
    assert len(text) < 4 or text not in caught.value.message
    assert not keystore.path.exists()


def test_a_taken_name_or_address_is_refused(keystore):
    first = keystore.import_key("alice", Secret(KEY))
    before = file_of(keystore, first).read_bytes()
    with pytest.raises(SettingsError, match="'alice'") as caught:
        keystore.create("alice")
    assert caught.value.code == "key_exists"
    with pytest.raises(SettingsError, match=f"{ADDRESS}.*'alice'") as caught:
        keystore.import_key("bob", Secret(KEY))
    assert caught.value.code == "key_exists"
    assert file_of(keystore, first).read_bytes() == before
    assert len(keystore.list()) == 1


def test_one_of_several_writers_at_once_gets_the_name(open_keystore):
    results: list[str] = []
    barrier = threading.Barrier(4)

    def write() -> None:
        keystore = open_keystore()
        barrier.wait()
        try:
            results.append(keystore.create("alice").address)
        except SettingsError as error:
            results.append(error.code)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results)[1:] == ["key_exists"] * 3
    assert [key.address for key in open_keystore().list()] == sorted(results)[:1]


# A process that ends itself by SIGKILL in the place of the n-th call of one of the operating system's functions.
KILLED = """
import os, signal, sys
from pathlib import Path
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.signers.keyring import Keyring
folder, password, action, function, count = sys.argv[1:]
left = int(count)
original = getattr(os, function)
def deadly(*arguments, **options):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)
keystore = Keyring(Path(folder), FixedPassword(Secret(password)), work_factor=4096)
setattr(os, function, deadly)
if action == "create":
    keystore.create("alice")
else:
    keystore.rotate("alice", FixedPassword(Secret("new password")))
"""


def run_and_kill(keystore: Keyring, action: str, function: str, count: int) -> None:
    arguments = [sys.executable, "-c", KILLED, str(keystore.path), PASSWORD, action, function, str(count)]
    finished = forked.run(arguments)
    assert finished.returncode == -9, finished.stderr


@pytest.mark.parametrize(
    ("function", "count", "there"),
    [
        ("fsync", 3, False),
        ("link", 1, False),
        ("unlink", 1, False),
        ("fsync", 5, False),
        ("link", 2, False),
        ("unlink", 2, True),
        ("fsync", 6, True),
    ],
    ids=[
        "before the id is synced",
        "before the id has its name",
        "before the id's leftover goes",
        "before the file is synced",
        "before it has its name",
        "before the leftover goes",
        "before the folder syncs",
    ],
)
def test_a_killed_create_leaves_no_half_file(keystore, open_keystore, function, count, there):
    run_and_kill(keystore, "create", function, count)
    assert [key.name for key in keystore.list()] == (["alice"] if there else [])
    if there:
        signer = open_keystore().signer("alice")
        assert recover(b"m", signer.sign_message(b"m")) == signer.address
    else:
        keystore.create("alice")
    keystore.create("bob")
    assert {path.name for path in keystore.path.iterdir()} == {"alice.json", "bob.json", ".lock", ".signing"}


@pytest.mark.parametrize(("function", "password"), [("replace", PASSWORD), ("unlink", "new password")])
def test_a_killed_rotation_leaves_the_old_file_or_the_new(keystore, open_keystore, function, password):
    info = keystore.create("alice")
    run_and_kill(keystore, "rotate", function, 1)
    assert recover(b"m", open_keystore(password).signer("alice").sign_message(b"m")) == info.address


def test_secrets_are_in_no_text_and_in_no_pickle(keystore, tmp_path):
    info = keystore.import_key("alice", Secret(KEY))
    signer = keystore.signer_for(info.address)
    signer.unlock()
    secret = Secret(KEY)
    shown = [repr(thing) + str(thing) + f"{thing}" for thing in (signer, keystore, info, secret, FixedPassword(secret))]
    errors: list[OrchestratorError] = []
    malformed = tmp_path / "foreign.json"
    malformed.write_text("{" + KEY)
    wrong = Keyring(keystore.path, FixedPassword(Secret(PASSWORD[:-1])))
    for call in (
        lambda: wrong.signer_for(info.address).unlock(),
        lambda: keystore.import_key("bob", Secret(KEY + "0")),
        lambda: keystore.import_key("bob", secret),
        lambda: key_files.open_file(malformed, FixedPassword(Secret(PASSWORD))),
        lambda: keystore.create("alice"),
    ):
        with pytest.raises(OrchestratorError) as caught:
            call()
        errors.append(caught.value)
    for error in errors:
        shown += [repr(error), "".join(traceback.format_exception(error))]
    text = "\n".join(shown)
    assert KEY[:16] not in text.lower()
    assert str(int(KEY, 16))[:16] not in text
    assert PASSWORD[:-1] not in text
    for thing in (signer, secret):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="neither pickled nor copied"):
                attempt(thing)
    with pytest.raises(TypeError):
        hash(secret)


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    keystore = Keyring(tmp_path / "file" / "keystore", FixedPassword(Secret(PASSWORD)), work_factor=WORK_FACTOR)
    with pytest.raises(KeyUnavailable, match="file/keystore"):
        keystore.create("alice")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    with pytest.raises(KeyUnavailable, match="cannot be written") as caught, files.folder_lock(folder / "missing"):
        pass
    assert caught.value.code == "keystore_unwritable"
