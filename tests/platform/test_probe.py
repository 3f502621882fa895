"""``orchestrator probe``, as its user runs it: a process, against servers on loopback."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from jsonschema import Draft202012Validator

from orchestrator import schemas
from tests.e2e.commands import COMMAND


@pytest.fixture
def run(settings):
    """Runs the probe against the loopback platform: exit code, stdout, stderr."""

    async def run(*arguments, **environment):
        made = settings()
        given = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        given |= {
            "ORCHESTRATOR_PLATFORM_URL": made.base_url,
            "ORCHESTRATOR_API_KEY": made.api_key,
            "ORCHESTRATOR_API_SECRET": made.api_secret.get_secret_value(),
            "ORCHESTRATOR_SIGNING_KEY": made.signing_key_pem.get_secret_value(),
            "ORCHESTRATOR_SIGNING_KEY_ID": made.signing_key_id,
        }
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            "probe",
            *arguments,
            env=given | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        for secret in ("s3cret-that-must-never-show", "PRIVATE KEY", "token-1"):
            assert secret not in out.decode() + err.decode()
        return process.returncode, out.decode(), err.decode()

    return run


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
    assert lines_of(out)["ORCHESTRATOR_COVERED_COMPONENTS"].startswith("@method,@target-uri,authorization")
    assert "nothing is changed" in err
    assert {seen.method for seen in server.seen if not seen.path.endswith("/auth/token")} == {"GET"}


async def test_other_choices_are_found(server, run, reply):
    def accounts(seen):
        given = seen.header("signature-input")
        if not given.startswith("sig1=(") or "@target-uri" in given:
            return reply(401, {"code": "signature_invalid"})
        return reply(value=[])

    server.on("GET", "/accounts", accounts)
    code, out, _ = await run()
    assert code == 0
    found = lines_of(out)
    assert found["ORCHESTRATOR_SIGNATURE_LABEL"] == "sig1"
    assert "@path" in found["ORCHESTRATOR_COVERED_COMPONENTS"]


async def test_the_digest_is_tried_with_leave_only(server, run, reply, monkeypatch):
    server.on("GET", "/accounts", reply(value=[]))
    posts = []

    async def only_sha512(seen):
        posts.append(seen)
        good = seen.header("content-digest").startswith("sha-512")
        return reply(404, {"code": "account_not_found"}) if good else reply(401, {"code": "digest_invalid"})

    monkeypatch.setattr(server, "fallback", only_sha512)
    code, out, _ = await run("--yes-modify")
    assert code == 0
    assert lines_of(out)["ORCHESTRATOR_DIGEST_ALGORITHM"] == "sha-512"
    assert posts


async def test_its_exit_codes(server, run, reply):
    server.on("GET", "/accounts", reply(401, {"code": "signature_invalid"}))
    code, out, err = await run()
    assert (code, out) == (2, "")
    assert "request_signature_refused: no choice" in err
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
    assert document["settings"]["ORCHESTRATOR_DIGEST_ALGORITHM"] == "sha-256"
    assert any("--yes-modify" in remark for remark in document["remarks"])
    server.on("GET", "/accounts", reply(401, {"code": "signature_invalid"}))
    code, out, _ = await run("--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "request_signature_refused")
