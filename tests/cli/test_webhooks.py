"""``orchestrator webhooks``: the platform's subscription, set, listed and deleted."""

from __future__ import annotations

import json
import uuid

import jsonschema
import pytest

from orchestrator import schemas

TOKEN = "a-token-of-the-webhook-commands"
OTHER = "https://other.example/hooks/another-secret-token-1"


@pytest.fixture
def cli(cli):
    cli.environment |= {"ORCHESTRATOR_PUBLIC_URL": "https://hooks.example", "ORCHESTRATOR_WEBHOOK_TOKEN": TOKEN}
    return cli


def told(cli, *arguments):
    document = cli.json("webhooks", *arguments)
    jsonschema.Draft202012Validator(json.loads(schemas.text("webhooks"))).validate(document)
    assert TOKEN not in json.dumps(document)
    return document["webhooks"]


def test_set_list_and_delete(cli):
    assert told(cli, "list") == []
    (mine,) = told(cli, "set")
    assert (mine["callbackUrl"], mine["types"], mine["current"]) == (
        "https://hooks.example/webhooks/…",
        ["account.updated"],
        True,
    )
    assert told(cli, "set") == [mine], "a second time changes nothing"
    assert told(cli, "set", f"https://HOOKS.example:443/webhooks/{TOKEN}") == [mine], "nor does another spelling"
    (other,) = told(cli, "set", OTHER, "--type", "card.updated", "--type", "account.updated")
    assert (other["callbackUrl"], other["current"]) == ("https://other.example/hooks/…", False)
    assert other["types"] == ["card.updated", "account.updated"]
    assert told(cli, "list") == [mine, other]
    text = cli.run("webhooks", "list")
    assert "https://hooks.example/webhooks/…" in text.stdout
    assert TOKEN not in text.stdout + text.stderr
    assert told(cli, "delete", other["id"]) == [mine]
    assert cli.json("webhooks", "delete", other["id"], expect=1)["error"]["code"] == "webhook_not_found"
    assert told(cli, "delete", mine["id"]) == []
    assert cli.run("webhooks", "list").stdout == "no subscriptions\n"


def test_what_cannot_be_set(cli):
    for arguments, code in (
        (("set", "ftp://x.example/"), "usage"),
        (("set", "http://x.example/hooks/x"), "usage"),
        (("set", "--type", "account.created"), "usage"),
        (("delete", "1"), "not_a_uuid"),
    ):
        error = cli.json("webhooks", *arguments, expect=2)["error"]
        assert (error["code"], bool(error["message"])) == (code, True), arguments
    del cli.environment["ORCHESTRATOR_PUBLIC_URL"]
    error = cli.json("webhooks", "set", expect=2)["error"]
    assert error["code"] == "settings_missing"
    assert "ORCHESTRATOR_PUBLIC_URL" in error["message"]
    assert cli.json("webhooks", "delete", str(uuid.uuid4()), expect=1)["error"]["code"] == "webhook_not_found"


def test_a_refusal_that_quotes_the_url_shows_it_without_its_token(cli, devnet):
    words = f"callbackUrl https://hooks.example/webhooks/{TOKEN} is unknown"
    devnet.simulator.fault("status", status=400, code=words, method="PUT", path="/webhooks$", count=2)
    error = cli.json("webhooks", "set", expect=1)["error"]
    text = cli.run("webhooks", "set")
    assert "callbackUrl https://hooks.example/webhooks/… is unknown" in error["message"]
    assert TOKEN not in json.dumps(error) + text.stdout + text.stderr
