"""``orchestrator keys request``: its documents, what it asks, what it journals; against a simulator."""

from __future__ import annotations

import asyncio
import json

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from orchestrator import schemas
from orchestrator.cli.output import options
from orchestrator.cli.request_keys import app
from orchestrator.devnet.simulator import SimulatorConfig, SimulatorThread
from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.journal.store import Journal
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, fold_oversight
from orchestrator.request_signing import key_folder

OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PASSWORD = "a-password-of-the-keystore"


@pytest.fixture
def simulator(tmp_path):
    with SimulatorThread(SimulatorConfig(database=tmp_path / "platform.db")) as one:
        yield one


@pytest.fixture
def place(tmp_path, monkeypatch, simulator):
    """The settings of a programme whose request-signing key is the settings' own."""
    found = simulator.bootstrap(OWNER).credentials
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text(PASSWORD)
    key = tmp_path / "signing.pem"
    key.touch(mode=0o600)
    key.write_text(found.signing_key)
    environment = {
        "PLATFORM_URL": simulator.url,
        "API_KEY": found.api_key,
        "API_SECRET": found.api_secret,
        "SIGNING_KEY_FILE": str(key),
        "SIGNING_KEY_ID": found.signing_key_id,
        "KEYSTORE": str(tmp_path / "keystore"),
        "KEYSTORE_PASSWORD_FILE": str(password),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'journal.db'}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    monkeypatch.setattr(options, "json", True)
    monkeypatch.setattr(options, "config", None)  # what a run of the whole command in this process has left
    monkeypatch.setattr(options, "overrides", {})
    monkeypatch.setattr(key_folder.RequestKeyFolder.__init__, "__kwdefaults__", {"work_factor": 2**10})
    return tmp_path


@pytest.fixture
def unset(monkeypatch):
    """Takes the settings' own key away, as the operator is told to."""

    def take() -> None:
        monkeypatch.delenv("ORCHESTRATOR_SIGNING_KEY_FILE")
        monkeypatch.delenv("ORCHESTRATOR_SIGNING_KEY_ID")

    return take


def invoke(*arguments, stdin=None):
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    assert "PRIVATE KEY" not in result.output
    assert PASSWORD not in result.output
    return result


def run(*arguments, **options_):
    document = json.loads(invoke(*arguments, **options_).stdout)
    Draft202012Validator(json.loads(schemas.text("request-keys"))).validate(document)
    return document["requestKeys"]


def oversight(place):
    async def read():
        async with await Journal.open(f"sqlite:///{place / 'journal.db'}") as journal:
            assert (await journal.verify()).valid
            return await journal.read(DECISIONS_STREAM)

    return asyncio.run(read())


def test_from_the_settings_key_through_a_rotation_to_the_end(place, unset):
    assert run("list") == []
    (created,) = run("create", "first")
    assert created["state"] == "created"
    told = invoke("upload", "first")
    assert "Unset ORCHESTRATOR_SIGNING_KEY" in told.stderr
    (first,) = json.loads(told.stdout)["requestKeys"]
    assert (first["state"], first["keyId"]) == ("current", created["keyId"])
    unset()
    (second,) = run("rotate")
    assert run("show", "first-2") == [second]
    assert [key["state"] for key in run("list")] == ["retired", "current"]
    assert run("upload", "first-2") == [second], "done already"
    assert run("revoke", "first-2", "--yes")[0]["state"] == "revoked"
    recorded = oversight(place)
    assert [(one.event.action, one.event.name, one.event.key_id) for one in recorded] == [
        ("created", "first", first["keyId"]),
        ("uploaded", "first", first["keyId"]),
        ("created", "first-2", second["keyId"]),
        ("rotated", "first-2", second["keyId"]),
        ("revoked", "first-2", second["keyId"]),
    ]
    assert all(one.event.by.startswith("os:") for one in recorded)
    assert fold_oversight(recorded).request_keys["first-2"].fingerprint == second["fingerprint"]


def test_the_current_key_is_not_revoked_without_a_yes(place, simulator):
    run("create", "first")
    run("upload", "first")
    with pytest.raises(SettingsError) as caught:
        run("revoke", "first")
    assert caught.value.code == "confirmation_needed"
    assert run("show", "first")[0]["state"] == "current"
    run("create", "spare")
    assert run("revoke", "spare")[0]["state"] == "revoked", "nothing ends with a key that was never used"


def test_listing_makes_no_journal_and_asks_for_nothing(place, monkeypatch):
    for name in ("PLATFORM_URL", "API_KEY", "API_SECRET", "KEYSTORE_PASSWORD_FILE"):
        monkeypatch.delenv(f"ORCHESTRATOR_{name}")
    assert run("list") == []
    with pytest.raises(KeyUnavailable) as caught:
        run("show", "nobody")
    assert caught.value.code == "key_not_found"
    assert not (place / "journal.db").exists()
    with pytest.raises(SettingsError) as caught:
        run("rotate")
    assert caught.value.code == "settings_missing"


def test_a_key_of_the_settings_that_the_platform_does_not_know_is_no_obstacle(place, monkeypatch):
    monkeypatch.setenv("ORCHESTRATOR_SIGNING_KEY_ID", "00000000-0000-4000-8000-000000000000")
    run("create", "first")
    assert run("upload", "first")[0]["state"] == "current"


def test_people_get_a_table(place, monkeypatch):
    run("create", "first")
    monkeypatch.setattr(options, "json", False)
    told = invoke("list").stdout
    assert "first" in told
    assert "created" in told
    assert "SHA-256" in told
