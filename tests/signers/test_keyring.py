"""The keyring beyond the key files: its id, wallets, descriptors, and a thousand keys."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator import eip191
from orchestrator.errors import Disposition, KeyUnavailable, SettingsError
from orchestrator.models import Address, ChainAccount, ChainId
from orchestrator.passwords import FixedPassword, NoPassword, PasswordSource, Secret
from orchestrator.signers import backend_signer, keyring, secret_storage
from orchestrator.signers.backend_signer import BackendSigner
from orchestrator.signers.document import MAX_WALLETS
from orchestrator.signers.keyring import Keyring
from tests.signers.conformance import backend_module, must_run

PASSWORD = FixedPassword(Secret("correct-horse-battery-staple"))
KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = Address("0x2c7536E3605D9C16a7a3D7b1898e529396a65c23")
OTHER = Address("0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b")
URI = "rpc+http://127.0.0.1:1/?method=eth_sign"


def on(chain: int, address: str = ADDRESS) -> ChainAccount:
    return ChainAccount(ChainId(chain), Address(address))


@pytest.fixture
def open_keyring(tmp_path: Path) -> Callable[..., Keyring]:
    """Opens the test's keyring as a new process would."""

    def _open(passwords: PasswordSource = PASSWORD) -> Keyring:
        return Keyring(tmp_path / "keystore", passwords, work_factor=2**12, timeout=1)

    return _open


@pytest.fixture
def keys(open_keyring: Callable[..., Keyring]) -> Keyring:
    return open_keyring()


def write(keys: Keyring, name: str, document: object) -> Path:
    path = keys.path / f"{name}.json"
    path.touch(mode=0o600)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def descriptor(**changes: object) -> dict[str, object]:
    document = {"version": 1, "uri": URI, "address": ADDRESS, "x-orchestrator": {"name": "far", "wallets": []}}
    return {name: value for name, value in (document | changes).items() if value is not None}


# --- the id --------------------------------------------------------------------------------------------------------


def test_the_id_is_made_once_and_stays_with_the_folder(keys, open_keyring):
    first = keys.id
    assert str(uuid.UUID(first)) == first
    assert keys.id == open_keyring(NoPassword()).id == first
    assert {path.name for path in keys.path.iterdir()} == {".signing"}
    path = keys.path / ".signing" / "keystore.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    copied = keys.path.with_name("copy")
    os.system(f"cp -a {keys.path} {copied}")
    assert Keyring(copied, NoPassword()).id == first
    assert Keyring(keys.path.with_name("another"), NoPassword()).id != first


def test_writing_the_first_key_makes_the_id(keys):
    keys.create("alice")
    assert json.loads((keys.path / ".signing" / "keystore.json").read_text())["id"] == keys.id


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 1, "id": "x"}', '{"version": 2, "id": "%s"}', "\xff"])
def test_a_damaged_id_is_named_and_not_made_anew(keys, text):
    path = keys.path / ".signing" / "keystore.json"
    text = text.replace("%s", keys.id)
    path.write_text(text)
    with pytest.raises(KeyUnavailable, match=r"keystore\.json: expected") as caught:
        _ = keys.id
    assert caught.value.code == "keystore_unreadable"
    assert path.read_text() == text


def test_an_id_that_others_can_read_is_refused(keys):
    assert keys.id
    (keys.path / ".signing").chmod(0o755)
    with pytest.raises(KeyUnavailable, match="chmod 700") as caught:
        _ = keys.id
    assert caught.value.code == "keystore_permissions"


# --- wallets -------------------------------------------------------------------------------------------------------


def test_a_key_is_bound_to_its_own_address_on_more_chains(keys, open_keyring):
    info = keys.import_key("alice", Secret(KEY), [on(1)])
    assert info.wallets == (on(1),)
    assert keys.bind("alice", on(31337)).wallets == (on(1), on(31337))
    before = (keys.path / "alice.json").read_bytes()
    assert keys.bind("alice", on(1)).wallets == (on(1), on(31337))
    assert (keys.path / "alice.json").read_bytes() == before
    assert open_keyring(NoPassword()).key_for(ADDRESS).wallets == (on(1), on(31337))
    keys.disable("alice")
    keys.rotate("alice", PASSWORD)
    assert keys.get("alice").wallets == (on(1), on(31337))
    assert json.loads((keys.path / "alice.json").read_text())["x-orchestrator"]["wallets"] == [
        f"eip155:1:{ADDRESS}",
        f"eip155:31337:{ADDRESS}",
    ]


def test_a_new_key_is_bound_to_itself_on_the_chains_that_are_named(keys):
    info = keys.create("alice", chains=[ChainId(1), ChainId(10)])
    assert info.wallets == (on(1, info.address), on(10, info.address))
    assert keys.create("bob").wallets == ()


def test_a_wallet_with_another_address_is_refused_before_anything_is_written(keys):
    calls = [lambda: keys.import_key("alice", Secret(KEY), [on(1), on(1, OTHER)])]
    keys.import_key("bob", Secret(KEY))
    before = (keys.path / "bob.json").read_bytes()
    calls.append(lambda: keys.bind("bob", on(1, OTHER)))
    for call in calls:
        with pytest.raises(SettingsError, match=f"own address {ADDRESS}, got eip155:1:{OTHER}") as caught:
            call()
        assert caught.value.code == "key_binding"
    assert [key.name for key in keys.list()] == ["bob"]
    assert (keys.path / "bob.json").read_bytes() == before


def test_wallets_have_an_end(keys):
    keys.import_key("alice", Secret(KEY), [on(number) for number in range(1, MAX_WALLETS + 1)])
    with pytest.raises(SettingsError, match=f"at most {MAX_WALLETS}") as caught:
        keys.bind("alice", on(MAX_WALLETS + 1))
    assert caught.value.code == "key_binding"
    with pytest.raises(SettingsError, match=f"at most {MAX_WALLETS}"):
        keys.import_key("bob", Secret("01" * 32), [on(number) for number in range(1, MAX_WALLETS + 2)])


@pytest.mark.parametrize(
    "wallets",
    [
        "eip155:1:0x",
        ["eip155:1"],
        [7],
        [f"eip155:1:{OTHER}"],
        [f"eip155:1:{ADDRESS}", f"eip155:1:{ADDRESS.lower()}"],
        [f"eip155:{number}:{ADDRESS}" for number in range(1, MAX_WALLETS + 2)],
        [f"solana:1:{ADDRESS}"],
        [f"eip155:{'1' * 5000}:{ADDRESS}"],
    ],
)
@pytest.mark.parametrize("kind", ["v3", "descriptor"])
def test_planted_wallets_make_a_file_unreadable(keys, kind, wallets):
    if kind == "v3":
        keys.import_key("far", Secret(KEY))
        document = json.loads((keys.path / "far.json").read_text())
        document["x-orchestrator"]["wallets"] = wallets
    else:
        assert keys.id
        document = descriptor(**{"x-orchestrator": {"name": "far", "wallets": wallets}})
    write(keys, "far", document)
    for call in (lambda: keys.get("far"), lambda: keys.signer_for(ADDRESS)):
        with pytest.raises(KeyUnavailable, match=r"far\.json: expected x-orchestrator\.wallets") as caught:
            call()
        assert caught.value.code == "keystore_unreadable"


def test_a_file_without_wallets_is_bound_to_none(keys):
    keys.import_key("alice", Secret(KEY))
    document = json.loads((keys.path / "alice.json").read_text())
    del document["x-orchestrator"]["wallets"]
    write(keys, "alice", document)
    assert keys.get("alice").wallets == ()
    assert keys.bind("alice", on(5)).wallets == (on(5),)


# --- descriptors ---------------------------------------------------------------------------------------------------


def test_a_descriptor_holds_no_key_and_is_listed_without_its_back_end(keys):
    assert keys.id
    write(keys, "far", descriptor())
    (info,) = keys.list()
    assert (info.name, info.address, info.backend, info.uri) == ("far", ADDRESS, "rpc", URI)
    assert keys.disable("far").disabled
    assert keys.bind("far", on(1)).wallets == (on(1),)
    assert json.loads((keys.path / "far.json").read_text()) == descriptor(
        **{
            "x-orchestrator": {
                "name": "far",
                "disabled": True,
                "createdAt": None,
                "wallets": [f"eip155:1:{ADDRESS}"],
            }
        }
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"version": 3}, "version 1"),
        ({"version": True}, "version 1"),
        ({"uri": 7}, "uri as text"),
        ({"uri": "file:/a"}, "a scheme of"),
        ({"uri": "rpc+http://a:hidden@127.0.0.1/?method=eth_sign"}, "no user info"),
        ({"address": None}, "an address, got none"),
        ({"address": "0x12"}, "an address"),
        ({"crypto": {}}, "only version, uri"),
        ({"x-orchestrator": {"name": "near"}}, "named after its key"),
        ({"x-orchestrator": {"name": "far", "disabled": "no"}}, "true or false"),
    ],
)
def test_a_damaged_descriptor_is_named(keys, changes, text):
    assert keys.id
    write(keys, "far", descriptor(**changes))
    with pytest.raises(KeyUnavailable, match=text) as caught:
        keys.get("far")
    assert caught.value.code == "keystore_unreadable"
    assert caught.value.message.startswith(f"key file {keys.path}/far.json: expected ")
    assert "hidden" not in caught.value.message


def test_a_back_end_that_is_away_writes_nothing_and_may_be_tried_again(keys):
    with pytest.raises(KeyUnavailable) as caught:
        keys.attach("far", URI)
    assert (caught.value.code, caught.value.disposition) == ("key_backend_unreachable", Disposition.RETRY)
    with pytest.raises(SettingsError) as refused:
        keys.create("far", uri=URI)
    assert refused.value.code == "key_create_unsupported"
    with pytest.raises(SettingsError) as refused:
        keys.attach("far", "rpc+http://example.org/?method=eth_sign")
    assert refused.value.code == "key_uri"
    assert keys.list() == ()


def test_a_key_elsewhere_is_not_rotated_here(keys):
    assert keys.id
    write(keys, "far", descriptor())
    with pytest.raises(SettingsError, match="one of rpc") as caught:
        keys.rotate("far", PASSWORD)
    assert caught.value.code == "key_elsewhere"


def test_a_back_end_is_opened_by_the_first_use_and_once(keys, monkeypatch):
    assert keys.id
    write(keys, "far", descriptor())
    opened = []

    def open_backend(*given, **options):
        opened.append(given)
        return backend_signer.open_backend(*given, **options)

    monkeypatch.setattr(keyring, "open_backend", open_backend)
    signer = keys.signer_for(ADDRESS)
    assert keys.signer("far") is keys.signer_for(ADDRESS) is signer
    assert isinstance(signer, BackendSigner)
    assert opened == []
    for _ in range(3):
        with pytest.raises(KeyUnavailable):
            signer.sign_message(b"message")
    assert len(opened) == 1
    write(keys, "far", descriptor(uri=URI.replace("127.0.0.1:1", "127.0.0.1:2")))
    assert keys.signer_for(ADDRESS) is not signer


@pytest.mark.parametrize("name", ["pkcs11", "awskms"])
def test_a_key_is_made_in_a_back_end_and_bound(keys, tmp_path, name):
    module = backend_module(name)
    missing = module.unavailable()
    if missing is not None:
        (pytest.fail if must_run() else pytest.skip)(missing)
    folder = tmp_path / "real"
    folder.mkdir(mode=0o700)
    with module.under_test(folder) as real:
        keys = Keyring(keys.path, real.pin, timeout=5)
        uri = real.uri.replace("object=", "object=new-").replace("alias/", "alias/new-")
        info = keys.create("new", uri=uri, chains=[ChainId(31337)])
        assert (info.backend, info.uri, info.wallets) == (name, uri, (on(31337, info.address),))
        eip191.require(b"message", keys.signer("new").sign_message(b"message"), info.address)
        with pytest.raises(SettingsError) as caught:
            keys.create("newer", uri=uri)
        assert caught.value.code == "key_exists"
        with pytest.raises(SettingsError) as caught:
            keys.attach("newer", uri)
        assert caught.value.code == "key_exists"
        with pytest.raises(SettingsError) as caught:
            keys.attach("old", real.uri, [on(1, info.address)])
        assert caught.value.code == "key_binding"
        assert keys.attach("old", real.uri, [on(1, real.address)]).address == real.address
        assert [key.name for key in keys.list()] == ["new", "old"]
        keys.close()


# --- what is kept in memory is never older than the file -------------------------------------------------------------


@pytest.mark.parametrize("settled", [False, True])
def test_another_process_disables_a_key_at_once(keys, open_keyring, settled, monkeypatch):
    if settled:
        monkeypatch.setattr("orchestrator.signers.folder._SETTLED", -(10**9))
    info = keys.create("alice")
    for _ in range(10):
        assert keys.signer_for(info.address).address == info.address
        open_keyring(NoPassword()).disable("alice")
        with pytest.raises(KeyUnavailable) as caught:
            keys.signer_for(info.address)
        assert caught.value.code == "key_disabled"
        assert keys.key_for(info.address).disabled
        open_keyring(NoPassword()).enable("alice")


@pytest.mark.parametrize("settled", [False, True])
def test_of_two_files_with_one_address_the_enabled_one_signs(keys, settled, monkeypatch):
    if settled:
        monkeypatch.setattr("orchestrator.signers.folder._SETTLED", -(10**9))
    info = keys.create("alice")
    document = json.loads((keys.path / "alice.json").read_text())
    document["x-orchestrator"]["name"] = "copy"
    write(keys, "copy", document)
    assert keys.signer_for(info.address).name == "alice"
    keys.disable("alice")
    assert keys.signer_for(info.address).name == keys.key_for(info.address).name == "copy"
    keys.enable("alice")
    keys.disable("copy")
    assert keys.signer_for(info.address).name == "alice"
    (keys.path / "alice.json").unlink()
    with pytest.raises(KeyUnavailable) as caught:
        keys.signer_for(info.address)
    assert caught.value.code == "key_disabled"


@pytest.mark.parametrize("settled", [False, True])
def test_a_removed_replaced_or_added_file_is_seen(keys, open_keyring, settled, monkeypatch):
    if settled:
        monkeypatch.setattr("orchestrator.signers.folder._SETTLED", -(10**9))
    alice = keys.create("alice")
    assert keys.key_for(alice.address) == alice
    (keys.path / "alice.json").rename(keys.path / "alice.gone")
    with pytest.raises(KeyUnavailable) as caught:
        keys.signer_for(alice.address)
    assert caught.value.code == "key_not_found"
    other = open_keyring().create("alice")
    assert keys.signer_for(other.address).name == "alice"
    with pytest.raises(KeyUnavailable):
        keys.key_for(alice.address)
    added = open_keyring().create("bob")
    assert keys.key_for(added.address) == added


# --- many keys, and the cost of one ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thousand(tmp_path_factory) -> Path:
    """A thousand key files, which cost no scrypt: another's encryption under addresses of their own."""
    keys = Keyring(tmp_path_factory.mktemp("many") / "keystore", PASSWORD, work_factor=2**12)
    keys.create("template")
    path = keys.path / "template.json"
    document = json.loads(path.read_text())
    path.unlink()
    for number in range(1000):
        document["address"] = f"{number + 1:040x}"
        document["x-orchestrator"]["name"] = f"key-{number:04}"
        write(keys, f"key-{number:04}", document)
    return keys.path


def test_a_thousand_keys_are_listed_and_found_in_under_a_second(thousand, monkeypatch):
    asked = []
    monkeypatch.setattr(secret_storage, "decrypt", lambda *given: asked.append(given))
    keys = Keyring(thousand, NoPassword())
    started = time.process_time()
    listed = keys.list()
    signers = {keys.signer_for(key.address) for key in listed}
    spent = time.process_time() - started
    assert (len(listed), len(signers)) == (1000, 1000)
    assert asked == []
    assert spent < 1, f"{spent:.2f} s of processor time"


def test_scrypt_runs_once_for_a_key_in_a_process(keys, open_keyring, monkeypatch):
    infos = [keys.create(name) for name in ("alice", "bob")]
    ran = []
    decrypt = secret_storage.decrypt
    monkeypatch.setattr(secret_storage, "decrypt", lambda *given: ran.append(given[2]) or decrypt(*given))
    opened = open_keyring()
    for _ in range(5):
        for info in infos:
            opened.signer_for(info.address).sign_message(b"message")
            opened.signer(info.name).unlock()
    assert sorted(ran) == [f"key file {keys.path}/{name}.json" for name in ("alice", "bob")]


def test_many_threads_open_one_key_once(keys, open_keyring, monkeypatch):
    info = keys.create("alice")
    ran = []
    decrypt = secret_storage.decrypt
    monkeypatch.setattr(secret_storage, "decrypt", lambda *given: ran.append(given[2]) or decrypt(*given))
    opened = open_keyring()
    barrier = threading.Barrier(20)

    def use(number: int) -> object:
        barrier.wait(30)
        signer = opened.signer_for(info.address)
        eip191.require(b"%d" % number, signer.sign_message(b"%d" % number), info.address)
        return signer

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(use, range(20)))) == 1
    assert len(ran) == 1
