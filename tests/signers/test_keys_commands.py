"""``orchestrator keys``: the documents of the interface, on real key files."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.keys import app
from orchestrator.cli.output import options
from orchestrator.connect import make_keystore, password_source
from orchestrator.eip191 import recover
from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.passwords import FilePassword, FixedPassword, Secret
from orchestrator.signers.keyring import Keyring

PASSWORD = "correct-horse-battery-staple"
KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


def private_file(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(options, "json", True)
    monkeypatch.setenv("ORCHESTRATOR_KEYSTORE", str(tmp_path / "keystore"))
    monkeypatch.setenv("ORCHESTRATOR_KEYSTORE_PASSWORD_FILE", str(private_file(tmp_path / "password", PASSWORD + "\n")))
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", f"sqlite:///{tmp_path / 'journal.db'}")
    monkeypatch.setattr("orchestrator.connect.make_keystore", open_cheaply)
    return tmp_path


def open_cheaply(settings):
    return Keyring(settings.keystore, password_source(settings), work_factor=2**12)


@pytest.fixture
def keystore(folder):
    return Keyring(folder / "keystore", FilePassword(folder / "password"), work_factor=2**12)


def run(*arguments: str, stdin: str | None = None):
    """The document on stdout; an error of the project's own is raised as it is."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    assert KEY not in result.output
    assert PASSWORD not in result.output
    return json.loads(result.stdout)


def test_a_created_key_is_listed_shown_disabled_and_enabled(folder, keystore):
    assert run("list") == {"keys": []}
    created = run("create", "alice")
    (key,) = created["keys"]
    named = {"name": "alice", "address": key["address"], "backend": "keystore", "disabled": False}
    assert key == named | {"wallets": [], "uri": None}
    assert run("list") == run("show", "alice") == created
    assert recover(b"m", keystore.signer("alice").sign_message(b"m")) == key["address"]
    assert run("disable", "alice") == {"keys": [key | {"disabled": True}]}
    assert run("list")["keys"][0]["disabled"] is True
    assert run("enable", "alice") == created


def test_a_key_is_written_at_the_standard_cost(folder, monkeypatch):
    monkeypatch.setattr("orchestrator.connect.make_keystore", make_keystore)
    run("create", "alice")
    written = json.loads((folder / "keystore" / "alice.json").read_text())
    assert written["crypto"]["kdfparams"] | {"salt": ""} == {"n": 2**18, "r": 8, "p": 1, "dklen": 32, "salt": ""}


def test_a_private_key_is_imported_from_a_file_or_from_standard_input(folder):
    expected = {"name": "alice", "address": ADDRESS, "backend": "keystore", "disabled": False}
    expected |= {"wallets": [], "uri": None}
    assert run("import", "alice", "--private-key-file", private_file(folder / "key", KEY)) == {"keys": [expected]}
    (folder / "keystore" / "alice.json").unlink()
    assert run("import", "bob", stdin="0x" + KEY + "\n") == {"keys": [expected | {"name": "bob"}]}
    with pytest.raises(SettingsError) as caught:
        run("import", "carol", stdin="")
    assert caught.value.code == "private_key_malformed"


def test_a_private_key_file_open_to_others_is_refused(folder):
    path = private_file(folder / "key", KEY)
    path.chmod(0o644)
    with pytest.raises(KeyUnavailable, match="chmod 600"):
        run("import", "alice", "--private-key-file", path)


def test_a_key_file_of_another_tool_is_imported(folder):
    vectors = json.loads((Path(__file__).parent / "vectors" / "web3_secret_storage.json").read_text())["vectors"]
    source = private_file(folder / "UTC--foreign", json.dumps(vectors[0]["file"]))
    password = private_file(folder / "foreign-password", vectors[0]["password"])
    document = run("import", "alice", "--keystore-file", source, "--keystore-file-password-file", password)
    assert document["keys"][0]["address"] == vectors[0]["address"]
    with pytest.raises(KeyUnavailable) as caught:
        run("import", "bob", "--keystore-file", source)  # no terminal to ask on
    assert caught.value.code == "password_missing"


def test_options_that_exclude_each_other_are_refused(folder):
    for arguments in (
        ("--private-key-file", "a", "--keystore-file", "b"),
        ("--keystore-file-password-file", "c"),
    ):
        with pytest.raises(SettingsError) as caught:
            run("import", "alice", *arguments)
        assert caught.value.code == "usage"


def test_rotation_checks_all_names_before_it_writes(folder, keystore):
    for name in ("alice", "bob"):
        keystore.create(name)
    before = (keystore.path / "alice.json").read_bytes()
    new = private_file(folder / "new-password", "new password")
    with pytest.raises(KeyUnavailable) as caught:
        run("rotate", "alice", "carol", "--new-password-file", new)
    assert caught.value.code == "key_not_found"
    assert (keystore.path / "alice.json").read_bytes() == before
    assert [key["name"] for key in run("rotate", "alice", "bob", "--new-password-file", new)["keys"]] == [
        "alice",
        "bob",
    ]
    opened = Keyring(keystore.path, FixedPassword(Secret("new password")))
    for name in ("alice", "bob"):
        opened.signer(name).unlock()


def test_a_file_that_cannot_be_read_is_named_beside_the_others(folder, keystore):
    keystore.create("alice")
    private_file(keystore.path / "broken.json", "{")
    document = run("list")
    assert [key["name"] for key in document["keys"]] == ["alice"]
    (unreadable,) = document["unreadable"]
    assert unreadable["code"] == "keystore_unreadable"
    assert "broken.json" in unreadable["message"]


def test_people_get_a_table(folder, keystore, monkeypatch):
    keystore.create("alice")
    private_file(keystore.path / "broken.json", "{")
    monkeypatch.setattr(options, "json", False)
    output = CliRunner().invoke(app, ["list"]).output
    assert keystore.get("alice").address in output
    assert "enabled" in output
    assert "broken.json" in output


def test_a_private_key_is_typed_without_echo_on_a_terminal(folder, monkeypatch):
    monkeypatch.setattr("orchestrator.cli.keys.is_terminal", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: KEY)
    assert run("import", "alice")["keys"][0]["address"] == ADDRESS
