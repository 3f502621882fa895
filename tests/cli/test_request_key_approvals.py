"""``orchestrator keys request`` where the policy asks a second person about changes of keys; against a simulator."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator

from orchestrator import schemas
from orchestrator.devnet.simulator import SimulatorConfig, SimulatorThread
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.request_signing import key_folder
from orchestrator.signers.signing_log import keystore_id
from tests.cli.people import PASSWORD, Desk, private_file
from tests.profile import FULL

OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


class Died(BaseException):
    """The process is gone."""


@pytest.fixture
def simulator(tmp_path):
    with SimulatorThread(SimulatorConfig(database=tmp_path / "platform.db")) as one:
        yield one


@pytest.fixture
def strict(tmp_path, simulator, monkeypatch):
    """One person is asked about each change of a key; the platform's key is the settings' own."""
    monkeypatch.setattr(key_folder.RequestKeyFolder.__init__, "__kwdefaults__", {"work_factor": 2**10})
    found = simulator.bootstrap(OWNER).credentials
    desk = Desk(tmp_path)
    desk.environment |= {
        "ORCHESTRATOR_PLATFORM_URL": simulator.url,
        "ORCHESTRATOR_API_KEY": found.api_key,
        "ORCHESTRATOR_API_SECRET": found.api_secret,
        "ORCHESTRATOR_SIGNING_KEY_FILE": str(private_file(tmp_path / "signing.pem", found.signing_key)),
        "ORCHESTRATOR_SIGNING_KEY_ID": found.signing_key_id,
    }
    return desk


def folder(desk):
    return key_folder.RequestKeyFolder(desk.home / "keystore", FixedPassword(Secret(PASSWORD)))


def states(desk):
    return {file.name: str(file.state) for file in folder(desk).list()}


def request(desk, *arguments, **options):
    (key,) = desk.valid("request-keys", "keys", "request", *arguments, **options)["requestKeys"]
    return key


def waits(desk, *arguments, **options):
    document = desk.valid("request-keys", "keys", "request", *arguments, expect=75, **options)
    Draft202012Validator(json.loads(schemas.text("keys"))).validate(document)  # as any change of a key that waits
    return document


def say_yes(desk, waiting):
    desk.json("approve", waiting["request"], "--yes", *desk.as_("bob"))


def unset(desk):
    """Takes the settings' own key away, as the operator is told to: what it signs is refused and repeated."""
    desk.environment = {name: value for name, value in desk.environment.items() if "SIGNING_KEY" not in name}


def approved(desk, *arguments):
    """The key after a change that waited for bob."""
    say_yes(desk, waits(desk, *arguments))
    return request(desk, *arguments)


def asked(desk, waiting):
    (found,) = [one for one in desk.json("approve")["approvals"] if one["request"] == waiting["request"]]
    return found


def uploads(simulator):
    return [one["method"] for one in simulator.records()["requests"] if one["path"].endswith("/auth/signing")]


def test_each_change_waits_for_a_second_person_and_is_asked_for_once(strict, simulator):
    first = request(strict, "create", "first")
    waiting = waits(strict, "upload", "first")
    assert (waiting["outcome"], waiting["keys"]) == ("waiting", [])
    assert waits(strict, "upload", "first") == waiting
    assert (states(strict), uploads(simulator)) == ({"first": "created"}, [])
    keystore = keystore_id(strict.home / "keystore")
    shown = asked(strict, waiting)
    assert (shown["subject"], shown["role"]) == ("keys", "administrator")
    assert shown["content"] == {
        "action": "upload",
        "requestKey": "first",
        "fingerprint": first["fingerprint"],
        "keystore": keystore,
    }
    say_yes(strict, waiting)
    assert request(strict, "upload", "first")["state"] == "current"
    assert strict.types()[-2:] == ["approval_used", "request_key_changed"]
    assert strict.journal()[-1].event.requests == (waiting["request"],)
    assert request(strict, "upload", "first")["state"] == "current", "done already: nobody is asked"
    unset(strict)

    waiting = waits(strict, "rotate")
    assert waits(strict, "rotate", "--name", "first-2") == waiting
    assert asked(strict, waiting)["content"] == {
        "action": "rotate",
        "requestKey": "first",
        "fingerprint": first["fingerprint"],
        "newRequestKey": "first-2",
        "keystore": keystore,
    }
    assert (states(strict), uploads(simulator)) == ({"first": "current"}, ["PUT", "DELETE"])
    say_yes(strict, waiting)
    assert request(strict, "rotate")["name"] == "first-2"
    assert waits(strict, "rotate")["request"] != waiting["request"], "an approval is good for one change"

    waiting = waits(strict, "revoke", "first-2", "--yes")
    assert waits(strict, "revoke", "first-2", "--yes") == waiting
    assert (states(strict)["first-2"], uploads(simulator)) == ("current", ["PUT", "DELETE"] * 2)
    say_yes(strict, waiting)
    assert request(strict, "revoke", "first-2", "--yes")["state"] == "revoked"
    assert strict.types().count("approval_used") == 3


def test_the_person_of_the_settings_asks_and_does_not_approve(strict):
    who = {
        "ORCHESTRATOR_PERSON_KEY": str(strict.home / "people" / "alice.json"),
        "ORCHESTRATOR_PERSON_PASSWORD_FILE": str(strict.password),
    }
    request(strict, "create", "first")
    waiting = waits(strict, "upload", "first", **who)
    assert strict.json("approve", waiting["request"], "--yes", expect=1, **who)["error"]["code"] == (
        "approval_by_requester"
    )
    assert asked(strict, waiting)["by"] == "alice"


@contextlib.contextmanager
def killed_at(step: str, after: bool) -> Iterator[None]:
    """The command dies where it writes this into the folder of keys: just before, or just after."""
    real = getattr(key_folder.RequestKeyFolder, step)

    def dies(self, *arguments, **named):
        if after:
            real(self, *arguments, **named)
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_folder.RequestKeyFolder, step, dies)
        with pytest.raises(Died):
            yield


def moments(*steps):
    """Before and after each step; by default at every third moment."""
    return [(step, after) for step in steps for after in (False, True)][:: 1 if FULL else 3]


@pytest.mark.parametrize(("step", "after"), moments("create", "intend_upload", "switch", "end", "drop_recorded_change"))
def test_a_rotation_that_was_killed_takes_no_second_approval(strict, simulator, step, after):
    request(strict, "create", "first")
    approved(strict, "upload", "first")
    say_yes(strict, waits(strict, "rotate", "--name", "second"))
    with killed_at(step, after):
        strict.here("keys", "request", "rotate", "--name", "second")
    assert request(strict, "rotate", "--name", "second")["state"] == "current"
    assert uploads(simulator).count("PUT") >= 2
    assert states(strict) == {"first": "retired", "second": "current"}
    events = [item.event for item in strict.journal()]
    assert [one.action for one in events if one.type == "request_key_changed"] == [
        "created",
        "uploaded",
        "created",
        "rotated",
    ]
    assert strict.types().count("approval_used") == 2
    assert strict.json("approve")["approvals"] == [], "nothing waits, and no approval is left"


@pytest.mark.parametrize(("step", "after"), moments("intend_revocation", "end", "drop_recorded_change"))
def test_a_revocation_that_was_killed_takes_no_second_approval(strict, step, after):
    request(strict, "create", "first")
    approved(strict, "upload", "first")
    say_yes(strict, waits(strict, "revoke", "first", "--yes"))
    with killed_at(step, after):
        strict.here("keys", "request", "revoke", "first", "--yes")
    assert request(strict, "revoke", "first", "--yes")["state"] == "revoked"
    assert strict.types().count("approval_used") == 2
    assert strict.json("approve")["approvals"] == []


def test_a_stolen_key_is_ended_by_one_person_and_the_next_one_takes_two(strict, simulator):
    request(strict, "create", "first")
    approved(strict, "upload", "first")
    unset(strict)
    assert request(strict, "revoke", "first", "--yes", "--emergency")["state"] == "revoked"
    assert uploads(simulator) == ["PUT", "DELETE", "DELETE"]
    assert strict.journal()[-1].event.requests == ()
    request(strict, "create", "second")
    waits(strict, "upload", "second")


def test_a_key_that_was_never_uploaded_is_ended_by_one_person(strict, simulator):
    request(strict, "create", "spare")
    assert request(strict, "revoke", "spare")["state"] == "revoked"
    assert uploads(simulator) == []
