"""``keys`` with a journal and with people: journaled, approved where the policy asks, readable without either."""

from __future__ import annotations

import importlib
import os

import pytest

from orchestrator.connect import password_source
from orchestrator.passwords import FilePassword
from orchestrator.signers.keyring import Keyring
from tests.cli.people import Desk, private_file

SECRET = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


@pytest.fixture(autouse=True)
def _cheaply(monkeypatch):
    def make_keystore(settings):
        return Keyring(settings.keystore, password_source(settings), work_factor=2**12)

    monkeypatch.setattr("orchestrator.connect.make_keystore", make_keystore)


@pytest.fixture
def desk(tmp_path):
    """Nobody is asked."""
    return Desk(tmp_path, policy=None)


@pytest.fixture
def strict(tmp_path):
    """One person is asked about each change of a key."""
    return Desk(tmp_path)


def test_reading_makes_no_journal_and_no_keystore(desk):
    assert desk.valid("keys", "keys", "list") == {"keys": []}
    desk.refused("keys", "show", "alice", code="key_not_found", expect=2)
    assert not (desk.home / "journal.db").exists()
    assert not (desk.home / "keystore").exists()


def test_each_change_is_journaled(desk):
    made = desk.valid("keys", "keys", "create", "alice", "--chain", "eip155:31337")
    (key,) = made["keys"]
    own = f"eip155:31337:{key['address']}"
    assert key == {
        "name": "alice",
        "address": key["address"],
        "backend": "keystore",
        "disabled": False,
        "wallets": [own],
        "uri": None,
    }
    other = f"eip155:1:{key['address']}"
    assert desk.valid("keys", "keys", "bind", "alice", "--wallet", other)["keys"][0]["wallets"] == [own, other]
    desk.valid("keys", "keys", "disable", "alice")
    assert desk.valid("keys", "keys", "show", "alice")["keys"][0]["disabled"] is True
    desk.valid("keys", "keys", "enable", "alice")
    new = private_file(desk.home / "new", "another password")
    desk.valid("keys", "keys", "rotate", "alice", "--new-password-file", str(new))
    changes = [item.event for item in desk.journal()]
    assert [change.action for change in changes] == ["created", "bound", "disabled", "enabled", "rotated"]
    assert {change.by for change in changes} == {changes[0].by}
    assert changes[0].by.startswith("os:")
    assert changes[1].wallets == (own, other)
    text = (desk.home / "journal.db").read_bytes()
    for secret in (b"another password", b"correct-horse"):
        assert secret not in text


def test_a_key_is_bound_to_its_own_address_only(desk):
    desk.json("keys", "create", "alice")
    for arguments, code in (
        (("--wallet", f"eip155:1:{ADDRESS}"), "key_binding"),
        (("--wallet", "eip155:1"), "unsupported_chain"),
        ((), "usage"),
    ):
        desk.refused("keys", "bind", "alice", *arguments, code=code, expect=2)
    assert len(desk.journal()) == 1


def test_a_command_that_is_repeated_says_so(desk):
    desk.json("keys", "create", "alice")
    desk.refused("keys", "create", "alice", code="key_exists", expect=2)
    desk.json("keys", "disable", "alice")
    again = desk.here("keys", "disable", "alice")
    assert again.code == 0
    assert "nothing was changed" in again.stderr


def test_what_a_kill_left_is_finished(desk):
    """The file is there and the event is not."""
    address = desk.keyring.create("alice").address
    assert desk.json("keys", "create", "alice")["keys"][0]["address"] == address
    assert desk.types() == ["key_changed"]


def test_a_rotation_that_a_kill_cut_off_is_finished(desk):
    desk.json("keys", "create", "alice")
    new = private_file(desk.home / "new", "another password")
    desk.keyring.rotate("alice", FilePassword(new))
    assert desk.types() == ["key_changed"]
    desk.json("keys", "rotate", "alice", "--new-password-file", str(new))
    assert [item.event.action for item in desk.journal()] == ["created", "rotated"]
    new.write_text("a third one")
    desk.refused("keys", "rotate", "alice", "--new-password-file", str(new), code="wrong_password", expect=2)


def test_the_journals_word_is_shown(desk):
    desk.json("keys", "create", "alice")
    desk.json("keys", "disable", "alice")
    desk.keyring.enable("alice")  # as a restored older keystore would be
    assert desk.json("keys", "list")["keys"][0]["disabled"] is True
    assert "disabled" in desk.here("keys", "list").stdout


def test_a_journal_that_cannot_be_read_does_not_hide_the_keys(desk):
    desk.keyring.create("alice")
    (desk.home / "journal.db").write_text("not a database, and long enough to be looked at" * 20)
    told = desk.here("--json", "keys", "list")
    assert told.code == 0
    assert told.document["keys"][0]["name"] == "alice"
    assert told.document["journal"]["code"] == "database_unusable"
    assert "the keystore's word alone" in told.stderr


# --- with people -----------------------------------------------------------------------------------------------------


def test_a_change_waits_for_a_second_person_and_is_asked_for_once(strict):
    command = ("keys", "create", "alice", "--chain", "eip155:1")
    first = strict.valid("keys", *command, expect=75)
    assert (first["outcome"], first["keys"]) == ("waiting", [])
    assert first["request"][:12] in first["waitingFor"]
    assert strict.valid("keys", *command, expect=75) == first
    assert strict.types() == ["approval_requested"]
    assert strict.keyring.list() == ()
    shown = strict.here(*command)
    assert shown.code == 75
    assert "run the same command again" in shown.stdout
    strict.json("approve", first["request"], "--yes", *strict.as_("bob"))
    done = strict.valid("keys", *command)
    assert done["keys"][0]["name"] == "alice"
    assert "outcome" not in done
    assert strict.types() == ["approval_requested", "approval_given", "approval_used", "key_changed"]
    other = strict.json("keys", "create", "bob", expect=75)
    assert other["request"] != first["request"]


def test_the_person_of_the_settings_asks_and_does_not_approve(strict):
    who = {
        "ORCHESTRATOR_PERSON_KEY": str(strict.home / "people" / "alice.json"),
        "ORCHESTRATOR_PERSON_PASSWORD_FILE": str(strict.password),
    }
    asked = strict.valid("keys", "keys", "create", "alice", expect=75, **who)
    told = strict.json("approve", asked["request"], "--yes", expect=1, **who)
    assert told["error"]["code"] == "approval_by_requester"
    assert strict.json("approve")["approvals"][0]["by"] == "alice"
    strict.json("approve", asked["request"], "--yes", *strict.as_("bob"))
    assert len(strict.json("keys", "create", "alice", **who)["keys"]) == 1


def test_importing_is_approved_for_one_address(strict):
    key = private_file(strict.home / "key", SECRET)
    asked = strict.json("keys", "import", "alice", "--private-key-file", str(key), expect=75)
    (approval,) = strict.json("approve")["approvals"]
    assert approval["content"] == {
        "action": "imported",
        "name": "alice",
        "address": ADDRESS,
        "uri": None,
        "wallets": [],
        "keystore": strict.keyring.id,
    }
    strict.json("approve", asked["request"], "--yes", *strict.as_("alice"))
    another = private_file(strict.home / "another", f"{7:064x}")
    strict.json("keys", "import", "alice", "--private-key-file", str(another), expect=75)
    assert strict.json("keys", "import", "alice", "--private-key-file", str(key))["keys"][0]["address"] == ADDRESS
    assert SECRET.encode() not in (strict.home / "journal.db").read_bytes()


def test_disabling_waits_for_nobody(strict):
    strict.keyring.create("alice")
    assert strict.json("keys", "disable", "alice")["keys"][0]["disabled"] is True
    asked = strict.valid("keys", "keys", "enable", "alice", expect=75)
    assert asked["keys"][0]["disabled"] is True
    strict.json("approve", asked["request"], "--yes", *strict.as_("alice"))
    assert strict.json("keys", "enable", "alice")["keys"][0]["disabled"] is False


def test_rotating_several_asks_for_each(strict):
    for name in ("a", "b"):
        strict.keyring.create(name)
    new = private_file(strict.home / "new", "another password")
    command = ("keys", "rotate", "a", "b", "--new-password-file", str(new))
    assert strict.json(*command, expect=75)["outcome"] == "waiting"
    requests = [approval["request"] for approval in strict.json("approve")["approvals"]]
    assert len(requests) == 2
    strict.json("approve", requests[0], "--yes", *strict.as_("alice"))
    strict.json(*command, expect=75)
    strict.json("approve", requests[1], "--yes", *strict.as_("alice"))
    assert len(strict.json(*command)["keys"]) == 2
    opened = Keyring(strict.home / "keystore", FilePassword(new))
    for name in ("a", "b"):
        opened.signer(name).unlock()


def test_options_that_exclude_each_other(desk):
    for arguments in (
        ("--uri", "pkcs11:token=a;object=b", "--private-key-file", "x"),
        ("--uri", "pkcs11:token=a;object=b", "--keystore-file", "x"),
    ):
        desk.refused("keys", "import", "alice", *arguments, code="usage", expect=2)
    desk.refused("keys", "import", "alice", "--uri", "ftp://x", code="key_uri", expect=2)
    desk.refused("keys", "create", "alice", "--chain", "solana:x", code="unsupported_chain", expect=2)
    assert not (desk.home / "journal.db").exists() or desk.types() == []


# --- keys that lie elsewhere -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pkcs11", "rpc"])
def test_a_key_of_a_back_end_is_taken_into_use(strict, name):
    backend = importlib.import_module(f"tests.signers.backends_{name}")
    if backend.unavailable() is not None:
        pytest.skip(backend.unavailable())
    folder = strict.home / "backend"
    folder.mkdir(mode=0o700)
    with backend.under_test(folder) as there:
        strict.environment |= {name: value for name, value in os.environ.items() if name.startswith("SOFTHSM2")}
        command = ("keys", "import", "hsm", "--uri", there.uri, "--chain", "eip155:1")
        asked = strict.valid("keys", *command, expect=75)
        (approval,) = strict.json("approve")["approvals"]
        assert (approval["content"]["action"], approval["content"]["uri"]) == ("attached", there.uri)
        assert approval["content"]["address"] == there.address
        strict.json("approve", asked["request"], "--yes", *strict.as_("bob"))
        if "swap_key" not in there.cannot:
            there.swap_key()
            swapped = strict.json(*command, expect=75)
            assert swapped["request"] != asked["request"], "another key behind the URI is another matter"
            there.restore()
        (key,) = strict.valid("keys", *command)["keys"]
        assert (key["backend"], key["address"], key["uri"]) == (name, there.address, there.uri)
        assert key["wallets"] == [f"eip155:1:{there.address}"]
        new = private_file(strict.home / "new", "another password")
        strict.refused("keys", "rotate", "hsm", "--new-password-file", str(new), code="key_elsewhere", expect=2)
        assert strict.json("keys", "disable", "hsm")["keys"][0]["disabled"] is True
        shown = strict.here("keys", "list").stdout
        assert there.address in shown
    for secret in there.secrets:
        assert secret.encode() not in (strict.home / "journal.db").read_bytes()
