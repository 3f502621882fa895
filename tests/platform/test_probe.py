"""``orchestrator probe``, as its user runs it, against servers on loopback."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tomllib
import uuid

import pytest
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from orchestrator import schemas
from orchestrator.devnet.simulator import Options, Simulator, SimulatorConfig
from orchestrator.errors import SettingsError
from orchestrator.platform import DEFAULT_COMPONENTS, PlatformClient, PlatformSettings
from orchestrator.platform.probe import probe
from tests.e2e.commands import here
from tests.platform.conftest import OWNER
from tests.platform.published_platform import PublishedPlatform


@pytest.fixture
def run(settings):
    """Runs the probe against the loopback platform: exit code, stdout, stderr."""

    async def run(*arguments, **environment):
        return await probed(as_variables(settings()) | environment, *arguments)

    return run


def as_variables(made):
    return {
        "ORCHESTRATOR_PLATFORM_URL": made.base_url,
        "ORCHESTRATOR_API_KEY": made.api_key,
        "ORCHESTRATOR_API_SECRET": made.api_secret.get_secret_value(),
        "ORCHESTRATOR_SIGNING_KEY": made.signing_key_pem.get_secret_value(),
        "ORCHESTRATOR_SIGNING_KEY_ID": made.signing_key_id,
    }


async def probed(environment, *arguments, command="probe"):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    done = await asyncio.to_thread(here, *command.split(), *arguments, environment=kept | environment)
    for secret in (environment["ORCHESTRATOR_API_SECRET"], "PRIVATE KEY", "token-1"):
        assert not secret or secret not in done.stdout + done.stderr
    return done.code, done.stdout, done.stderr


def lines_of(out):
    return dict(line.split("=", 1) for line in out.splitlines() if not line.startswith("#"))


async def test_help(run):
    code, out, _ = await run("--help")
    assert code == 0
    for word in ("--yes-modify", "--account", "Example: orchestrator probe"):
        assert word in out


async def test_a_list_of_many_accounts_is_read(server, run, reply):
    server.on("GET", "/accounts", reply(raw=b"[" + b" " * 2_000_000 + b"]"))
    code, _, err = await run()
    assert code == 0, err


async def test_the_defaults_work(server, run, reply):
    server.on("GET", "/accounts", reply(value=[]))
    code, out, err = await run()
    assert code == 0
    assert lines_of(out)["ORCHESTRATOR_COVERED_COMPONENTS"].startswith("@method,@authority,@path,@query,authorization")
    assert lines_of(out)["ORCHESTRATOR_DIGEST_ALGORITHM"] == "sha-512"
    assert "nothing is changed" in err
    assert err.index("signed: @method @authority @path @query") < err.index("HTTP 200"), "said before it is sent"
    assert {seen.method for seen in server.seen if not seen.path.endswith("/auth/token")} == {"GET"}


async def test_other_choices_are_found(server, run, reply):
    """Whatever the refusals are meanwhile."""
    refusals = itertools.cycle(
        [
            reply(401, {"code": "signature_invalid"}),
            reply(401),
            reply(400, raw=b"invalid required signature", headers={"content-type": "text/plain"}),
            reply(403, {"code": "forbidden"}),
            reply(429),
            reply(200, raw=b"<html>", headers={"content-type": "text/html"}),
        ]
    )

    def accounts(seen):
        given = seen.header("signature-input")
        taken = given.startswith("sig1=(") and "@target-uri" in given and "@authority" not in given
        return reply(value={"items": [], "total": 3}) if taken else next(refusals)

    server.on("GET", "/accounts", accounts)
    code, out, _ = await run()
    assert code == 0
    found = lines_of(out)
    assert found["ORCHESTRATOR_SIGNATURE_LABEL"] == "sig1"
    assert found["ORCHESTRATOR_COVERED_COMPONENTS"].startswith("@method,@target-uri,authorization")
    assert "# not settled: GET /accounts answers no array" in out


async def test_the_digest_is_tried_with_leave_only(server, run, reply):
    server.on("GET", "/accounts", reply(value=[]))
    posts = []

    def only_sha256(seen):
        posts.append(seen)
        good = seen.header("content-digest").startswith("sha-256")
        return reply(404, {"code": "account_not_found"}) if good else reply(401, {"code": "digest_invalid"})

    server.fallback = only_sha256
    code, out, _ = await run()
    assert (code, posts) == (0, [])
    assert "# the digest was not tried" in out
    code, out, _ = await run("--yes-modify")
    assert code == 0
    assert lines_of(out)["ORCHESTRATOR_DIGEST_ALGORITHM"] == "sha-256"
    assert [seen.header("content-digest")[:7] for seen in posts] == ["sha-512", "sha-256"]
    assert "not settled" not in out


async def test_what_a_body_needs_is_tried_again_with_a_read(server, run, reply):
    def covers(seen):
        return '("@method" "@path" "content-digest")' in seen.header("signature-input")

    server.on("GET", "/accounts", reply(value=[]))
    server.fallback = lambda seen: reply(404 if covers(seen) else 401)
    code, out, _ = await run("--yes-modify")
    assert code == 0
    assert lines_of(out)["ORCHESTRATOR_COVERED_COMPONENTS"] == "@method,@path,content-digest"
    server.fallback = lambda seen: reply(401)
    code, out, _ = await run("--yes-modify")
    assert code == 0
    assert "# not settled: the digest of a body" in out


async def test_an_account_that_was_not_deactivated_is_not_activated(server, run, reply, account_json):
    account = str(uuid.uuid4())
    server.on("GET", "/accounts", reply(value=[]))
    server.on("PATCH", f"/accounts/{account}/deactivate", reply(409))
    code, out, _ = await run("--yes-modify", "--account", account)
    assert code == 0
    assert f"look at {account}" in out
    assert server.calls("PATCH", f"/accounts/{account}/activate") == []
    server.on("PATCH", f"/accounts/{account}/deactivate", reply(200, account_json(account)))
    server.on("PATCH", f"/accounts/{account}/activate", reply(204))
    _, out, _ = await run("--yes-modify", "--account", account)
    assert "# PATCH deactivate answers HTTP 200 with a body" in out
    assert "# PATCH activate answers HTTP 204 without a body" in out


async def test_its_exit_codes(server, run, reply):
    server.on("GET", "/accounts", reply(401, {"code": "signature_invalid"}))
    code, out, err = await run()
    assert (code, out) == (2, "")
    assert "request_signature_refused: no choice" in err
    assert "not settled" in err
    assert len({seen.header("signature-input").split(";")[0] for seen in server.calls("GET", "/accounts")}) > 10
    server.on("GET", "/accounts", reply(500))
    code, _, err = await run()
    assert code == 1
    assert "platform_unreachable" in err
    code, _, err = await run(ORCHESTRATOR_PLATFORM_URL="http://127.0.0.1:9/v1")
    assert code == 1
    assert "platform_unreachable" in err
    code, _, err = await run(ORCHESTRATOR_API_SECRET="other")
    assert code == 2
    assert "platform_login_refused" in err
    code, _, err = await run(ORCHESTRATOR_PLATFORM_URL="")
    assert code == 2
    code, _, err = await run("--account", "x")
    assert code == 2
    assert "--yes-modify" in err
    assert "Traceback" not in err


async def test_its_document(server, run, reply):
    server.on("GET", "/accounts", reply(value=[]))
    code, out, _ = await run("--json")
    document = json.loads(out)
    Draft202012Validator(json.loads(schemas.text("probe"))).validate(document)
    assert code == 0
    assert document["settings"]["ORCHESTRATOR_DIGEST_ALGORITHM"] == "sha-512"
    assert any("--yes-modify" in remark for remark in document["remarks"])
    assert tomllib.loads(document["toml"])["platform"]["signature_label"] == "sig"
    server.on("GET", "/accounts", reply(401, {"code": "signature_invalid"}))
    code, out, _ = await run("--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "request_signature_refused")


# --- against platforms that verify -----------------------------------------------------------------------------------


@pytest.fixture
def published(signing_keys, settings):
    made = settings()
    key, secret = made.api_key, made.api_secret.get_secret_value()
    with PublishedPlatform(signing_keys.private.public_key(), made.signing_key_id, key, secret) as platform:
        yield platform


async def work_with(tmp_path, environment, out, *, toml):
    """Whether the settings that the probe has printed do, as variables or as the settings file."""
    if toml:
        found = json.loads(out)["toml"]
    else:
        found, environment = "", environment | lines_of(out)
    file = tmp_path / "orchestrator.toml"
    file.write_text(found)
    environment |= {
        "ORCHESTRATOR_RPC_URL": "http://127.0.0.1:9",
        "ORCHESTRATOR_FACTORY": "0x" + "11" * 20,
        "ORCHESTRATOR_DATABASE_URL": f"sqlite:///{tmp_path}/journal.db",
        "HOME": str(tmp_path),
    }
    _, out, err = await probed(environment, "--json", "--config", str(file), command="doctor")
    (check,) = [one for one in json.loads(out)["checks"] if one["name"] == "request_signing"]
    assert check["ok"], check
    notes = "goes with the next release" in err
    assert notes != toml


@pytest.mark.parametrize("skew", [0, -20, 45])
async def test_a_platform_that_is_written_with_other_libraries(published, settings, tmp_path, skew):
    published.skew = skew
    environment = as_variables(settings(base_url=published.url))
    code, out, err = await probed(environment, "--yes-modify")
    assert code == 0, err
    assert "not settled" not in out
    assert lines_of(out)["ORCHESTRATOR_COVERED_COMPONENTS"] == ",".join(DEFAULT_COMPONENTS)
    assert [status for _, _, status in published.seen] == [200, 200, 404], "the published choice is the first"
    await work_with(tmp_path, environment, out, toml=False)


async def test_one_that_takes_something_else(published, settings, tmp_path):
    """Another component than the published ones, and SHA-256."""
    published.required, published.digests = ("@method", "@request-target"), ("sha-256",)
    environment = as_variables(settings(base_url=published.url))
    code, out, err = await probed(environment, "--yes-modify", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["unsettled"] == []
    assert document["settings"]["ORCHESTRATOR_COVERED_COMPONENTS"].startswith("@method,@request-target,authorization")
    assert document["settings"]["ORCHESTRATOR_DIGEST_ALGORITHM"] == "sha-256"
    await work_with(tmp_path, environment, out, toml=True)


async def test_one_that_takes_nothing(published, settings):
    published.required = ("@nothing",)
    code, out, err = await probed(as_variables(settings(base_url=published.url)))
    assert (code, out) == (2, "")
    assert "invalid required signature" in err
    published.required, published.skew = ("@method",), 7200
    code, out, err = await probed(as_variables(settings(base_url=published.url)))
    assert code == 2
    assert "NTP" in err


WHOLE = {"whole_target_uri": True}
PLAIN = {"signature_refusal": 400}


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ({}, ("@method", "@authority", "@path", "@query")),
        (PLAIN, ("@method", "@authority", "@path", "@query")),
        ({"signature_components": DEFAULT_COMPONENTS[:3] + DEFAULT_COMPONENTS[4:]}, ("@method", "@authority")),
        (WHOLE | {"signature_components": ("@method", "@target-uri", "authorization")}, ("@method", "@target-uri")),
        (WHOLE | PLAIN | {"signature_components": ("@method", "@target-uri")}, ("@method", "@target-uri")),
        (PLAIN | {"signature_components": ("@method", "@target-uri")}, None),
    ],
)
async def test_the_simulator_in_several_configurations(tmp_path, options, begins):
    config = SimulatorConfig(database=tmp_path / "platform.db", options=Options(chain_wait=0.0, **options))
    async with Simulator(config) as simulator:
        given = simulator.bootstrap(OWNER).credentials
        start = PlatformSettings(
            base_url=simulator.url,
            api_key=given.api_key,
            api_secret=SecretStr(given.api_secret),
            signing_key_pem=SecretStr(given.signing_key),
            signing_key_id=given.signing_key_id,
        )
        if begins is None:
            with pytest.raises(SettingsError, match="not settled"):
                await probe(start, modify=True, account_id=None, report=lambda line: None)
            return
        found = await probe(start, modify=True, account_id=None, report=lambda line: None)
        assert found.unsettled == ()
        assert found.settings.covered_components[: len(begins)] == begins
        async with PlatformClient(found.settings) as client:
            assert await client.accounts() == []
