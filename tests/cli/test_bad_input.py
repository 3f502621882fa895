"""Bad input: a code, what to do, the interface's exit code; no traceback, no secret, nothing lost."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import jsonschema
import pytest

from orchestrator import schemas

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def refused_url():
    """A port on which nobody listens, for as long as the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def _error(cli, devnet, code, exit_code, *arguments, **environment):
    """Runs the command in both forms and returns the message of the document."""
    plain = cli.here(*arguments, **environment)
    done = cli.here("--json", *arguments, **environment)
    for form in (plain, done):
        assert form.code == exit_code, (form.code, form.stdout, form.stderr)
        assert "Traceback" not in form.stderr + form.stdout
        if devnet is not None:
            for secret in _secrets(devnet):
                assert secret not in form.stderr + form.stdout
    assert code in plain.stderr + plain.stdout
    error = done.document["error"]
    assert error["code"] == code
    assert len(error["message"]) > 20
    return error["message"]


def _secrets(devnet):
    from orchestrator.devnet.contracts import OWNER

    credentials = devnet.programme.credentials
    key_lines = credentials.signing_key.splitlines()[1:-1]
    return [credentials.api_secret, OWNER.private_key, OWNER.private_key[2:], *key_lines]


def test_no_settings_at_all(alone):
    message = _error(alone, None, "settings_missing", 2, "activate", UNKNOWN)
    assert "ORCHESTRATOR_PLATFORM_URL" in message
    assert "ORCHESTRATOR_RPC_URL" in message


def test_unknown_account(devnet, cli):
    assert UNKNOWN in _error(cli, devnet, "account_not_found", 1, "activate", UNKNOWN)
    _error(cli, devnet, "account_not_found", 1, "accounts", "show", UNKNOWN)
    assert cli.json("journal")["events"] == []


def test_unknown_customer(devnet, cli):
    create = ("accounts", "create", "--currency", "EUR", "--customer")
    _error(cli, devnet, "customer_not_found", 1, *create, UNKNOWN)


@pytest.mark.parametrize(
    "words", [("activate", "not-a-uuid"), ("accounts", "create", "--customer", "1", "--currency", "EUR")]
)
def test_not_a_uuid(devnet, cli, words):
    assert "UUID" in _error(cli, devnet, "not_a_uuid", 2, *words)


def test_wrong_usage(alone):
    _error(alone, None, "usage", 2, "activate")
    _error(alone, None, "usage", 2, "no-such-command")
    _error(alone, None, "usage", 2, "schema", "--nonsense")


def test_closing_without_a_terminal_needs_yes(devnet, cli):
    _error(cli, devnet, "confirmation_needed", 2, "close", UNKNOWN)
    assert all(r["method"] == "GET" or "token" in r["path"] for r in devnet.simulator.records()["requests"])


def test_a_wrong_api_secret(devnet, cli):
    _created(devnet, cli)
    _error(cli, devnet, "platform_login_refused", 2, "accounts", "list", ORCHESTRATOR_API_SECRET="not the secret")


def test_platform_unreachable(devnet, cli, refused_url):
    _created(devnet, cli)
    address = {"ORCHESTRATOR_PLATFORM_URL": f"{refused_url}/v1"}
    _error(cli, devnet, "platform_unreachable", 1, "accounts", "list", **address)
    _error(cli, devnet, "platform_unreachable", 75, "activate", UNKNOWN, "--timeout", "0.5", **address)


def test_rpc_unreachable(devnet, cli, refused_url):
    identifier = _created(devnet, cli)
    arguments = ("activate", identifier, "--timeout", "0.5")
    _error(cli, devnet, "chain_unreachable", 75, *arguments, ORCHESTRATOR_RPC_URL=f"{refused_url}/key-1234")
    assert "key-1234" not in cli.here(*arguments, ORCHESTRATOR_RPC_URL=f"{refused_url}/key-1234").stderr
    assert cli.json("activate", identifier)["outcome"] == "done"


def test_wrong_chain(devnet, cli):
    from orchestrator.devnet.anvil import Anvil

    identifier = _created(devnet, cli)
    with Anvil(chain_id=5) as other:
        message = _error(cli, devnet, "wrong_chain", 2, "activate", identifier, ORCHESTRATOR_RPC_URL=other.url)
    assert "eip155:31337" in message
    assert "eip155:5" in message
    assert cli.json("activate", identifier)["outcome"] == "done"


def test_wrong_password_then_right_one(devnet, cli, tmp_path):
    identifier = _created(devnet, cli)
    wrong = tmp_path / "wrong"
    wrong.touch(0o600)
    wrong.write_text("not the password")
    message = _error(
        cli, devnet, "wrong_password", 2, "activate", identifier, ORCHESTRATOR_KEYSTORE_PASSWORD_FILE=str(wrong)
    )
    assert "not the password" not in message
    assert devnet.simulator.records()["signatures"] == []
    assert cli.json("activate", identifier)["outcome"] == "done"


def test_unreadable_key_and_readable_keystore(devnet, cli):
    identifier = _created(devnet, cli)
    (devnet.keystore / "owner.json").write_text("{")
    _error(cli, devnet, "keystore_unreadable", 2, "activate", identifier)
    devnet.keystore.chmod(0o755)
    assert "chmod" in _error(cli, devnet, "keystore_permissions", 2, "activate", identifier)


def test_clock_skew(devnet, cli):
    _created(devnet, cli)
    devnet.simulator.fault("skew_clock", seconds=4000)
    _error(cli, devnet, "clock_skew", 2, "accounts", "list")


def test_expired_token_in_the_middle(devnet, cli):
    identifier = _created(devnet, cli)
    devnet.simulator.fault("expire_tokens")
    assert cli.json("activate", identifier)["outcome"] == "done"


def test_malformed_json_from_the_platform(devnet, cli):
    identifier = _created(devnet, cli)
    devnet.simulator.fault("malformed_json", method="GET", path=f"/accounts/{identifier}$", count=10)
    _error(cli, devnet, "platform_malformed", 3, "accounts", "show", identifier)


def test_a_customer_on_another_kind_of_chain(devnet, cli):
    identifier = _created(devnet, cli)
    devnet.simulator.fault(
        "lie", accountId=identifier, fields={"chainId": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:abc"}
    )
    shown = cli.json("accounts", "show", identifier)
    assert any("solana" in odd for odd in shown["odd"])
    assert "solana" in cli.here("accounts", "list").stdout
    assert "solana" in _error(cli, devnet, "unsupported_chain", 2, "activate", identifier)


def test_the_status_of_an_account_that_is_odd(devnet, cli):
    """It does not hide the others."""
    odd, other = _created(devnet, cli), _created(devnet, cli)
    devnet.simulator.fault("lie", accountId=odd, fields={"status": "[red]asleep"})
    documents = [json.loads(line) for line in cli.here("--json", "status", odd, other).stdout.splitlines()]
    for document in documents:
        jsonschema.Draft202012Validator(json.loads(schemas.text("operation"))).validate(document)
    assert [document["status"] for document in documents] == ["[red]asleep", "initiating"]
    assert "(platform: [red]asleep)" in cli.here("status", odd).stdout


def test_a_database_of_a_newer_version(devnet, cli):
    import sqlite3

    _created(devnet, cli)
    with sqlite3.connect(cli.environment["ORCHESTRATOR_DATABASE_URL"].removeprefix("sqlite:///")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert "9999" in _error(cli, devnet, "database_newer", 2, "status")


def test_a_database_that_is_none(alone, tmp_path):
    (tmp_path / "other.db").write_text("hello" * 1000)
    url = f"sqlite:///{tmp_path / 'other.db'}"
    _error(alone, None, "database_unusable", 2, "status", ORCHESTRATOR_DATABASE_URL=url)
    _error(alone, None, "database_url", 2, "status", ORCHESTRATOR_DATABASE_URL="mysql://user:secret@host/x")


def test_a_broken_journal_is_1(devnet, cli):
    import sqlite3

    _created(devnet, cli)
    with sqlite3.connect(cli.environment["ORCHESTRATOR_DATABASE_URL"].removeprefix("sqlite:///")) as database:
        database.execute("UPDATE events SET data = replace(data, 'EUR', 'USD') WHERE seq = 1")
    database.close()
    assert cli.json("journal", "--verify", expect=1) == {
        "valid": False,
        "events": 0,
        "head": "0" * 64,
        "firstBad": 1,
        "tables": None,
    }


def test_a_row_that_somebody_deleted_is_1_too(devnet, cli):
    import sqlite3

    _created(devnet, cli)
    with sqlite3.connect(cli.environment["ORCHESTRATOR_DATABASE_URL"].removeprefix("sqlite:///")) as database:
        database.execute("DELETE FROM claims")
    database.close()
    told = cli.json("journal", "--verify", expect=1)
    assert (told["valid"], told["firstBad"]) == (False, None)
    assert "claims" in told["tables"]
    assert "claims" in cli.here("journal", "--verify").stdout


def test_a_certificate_of_the_first_release_is_valid_and_proves_less(alone):
    file = Path(__file__).parents[1] / "closure" / "certificates" / "v1-signed.json"
    told = alone.json("certificate", "verify", str(file), expect=3)
    assert (told["valid"], told["verdict"], told["reason"]) == (True, "inconclusive", "analysis_not_run")
    assert alone.here("certificate", "verify", str(file)).stdout.startswith("STATE PROVEN ")


def test_a_page_that_cannot_be_written(alone, tmp_path):
    file = Path(__file__).parents[1] / "closure" / "certificates" / "v1-signed.json"
    words = ("certificate", "verify", str(file), "--output", str(tmp_path / "none" / "page.html"), "--format", "html")
    done = alone.here(*words)
    assert (done.code, done.stdout) == (2, "")
    assert "output_unwritable" in done.stderr
    assert alone.here("certificate", "verify", str(file), "--format", "pdf").code == 2


@pytest.mark.parametrize("form", ["text", "html"])
def test_a_report_goes_to_its_file_with_json_too(alone, tmp_path, form):
    file = Path(__file__).parents[1] / "closure" / "certificates" / "v2-signed.json"
    out = tmp_path / "report"
    told = alone.json("certificate", "verify", str(file), "--format", form, "--output", str(out))
    assert told["verdict"] == "irreversible"
    text = out.read_text(encoding="utf-8")
    assert text.endswith("</html>\n") if form == "html" else json.loads(text) == told


def test_errors_name_what_was_given(alone, tmp_path):
    told = alone.json("policy", "check", str(tmp_path), expect=2)["error"]
    assert "ORCHESTRATOR_" not in told["message"] + told["fix"]
    told = alone.json("verify-closure", "0x" + "00" * 20, "--rpc-url", "node:8545", expect=2)["error"]
    assert "ORCHESTRATOR_RPC_URL or --rpc-url" in told["message"]
    told = alone.json("status", "--factory", "0x12", expect=2)["error"]
    assert "ORCHESTRATOR_FACTORY" in told["message"]
    assert "Value error" not in told["message"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[1]", b'{"format": "offblocks-closure-certificate"}\n'])
def test_what_is_no_certificate_is_invalid(alone, tmp_path, content):
    file = tmp_path / "certificate.json"
    file.write_bytes(content)
    told = alone.json("certificate", "verify", str(file), expect=1)
    assert told["valid"] is False
    assert (
        alone.json("certificate", "verify", str(tmp_path / "none"), expect=2)["error"]["code"]
        == "certificate_unreadable"
    )


def test_an_unknown_setting_in_the_file(alone, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('platfrom_url = "x"\n')
    assert "platfrom_url" in _error(alone, None, "settings_invalid", 2, "status", "--config", str(file))


def _created(devnet, cli):
    from orchestrator.blocking import BlockingOrchestrator

    with BlockingOrchestrator(cli.settings()) as orchestrator:
        return orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id


def test_documents_are_json_even_for_hostile_text(alone):
    done = alone.here("--json", "activate", "\u202eevil\n\x1b[31m")
    assert json.loads(done.stdout)["error"]["code"] in {"settings_missing", "not_a_uuid"}
