"""``orchestrator policy``: the decision is told without anything being signed, journaled or unlocked."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import sqlite3
from pathlib import Path

import jsonschema
import pytest

from orchestrator import schemas
from orchestrator.blocking import BlockingOrchestrator
from orchestrator.challenge import Challenge
from orchestrator.devnet.simulator import challenges
from tests.challenge.cases import cases
from tests.challenge.vector_parts import SESSION_KEY_HEX, SESSION_KEY_PEM

UUID = "5df359f0-d299-40a1-8023-17c77a50144c"
WALLET = "eip155:31337:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
OFFLINE = ("--wallet", WALLET, "--operation", "creation")


def keeps(document, schema):
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(json.loads(schemas.text(schema)), format_checker=checker).validate(document)
    return document


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.fixture
def alone(alone, tmp_path):
    """Without settings, and with a keystore's folder that is not there."""
    alone.environment["ORCHESTRATOR_KEYSTORE"] = str(tmp_path / "keystore")
    return alone


def explained(cli, *arguments, expect, **options):
    return keeps(cli.json("policy", "explain", *arguments, expect=expect, **options), "policy-explain")


# --- a challenge from elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [SESSION_KEY_PEM, SESSION_KEY_HEX], ids=["pem", "hexadecimal"])
def test_a_session_key_is_told_with_the_lines_that_would_allow_it(alone, tmp_path, key):
    told = explained(alone, "--challenge", encoded(key), *OFFLINE, expect=1)
    assert (told["allowed"], told["rule"], told["kind"]) == (False, "kind", "session_key")
    (said,) = [rule["actual"] for rule in told["rules"] if rule["result"] == "refuse"]
    assert f'kinds with "session_key" and session_key_bytes = {len(key)} under [challenge] of the policy' in said


def test_a_challenge_from_elsewhere_needs_no_settings(alone, tmp_path):
    told = explained(alone, "--challenge", encoded(UUID), *OFFLINE, expect=0)
    assert (told["allowed"], told["rule"], told["kind"], told["operation"]) == (True, "uuid", "uuid", "creation")
    assert (told["accountId"], told["signer"], told["key"]) == (None, WALLET, None)
    assert [one["code"] for one in told["obstacles"]] == ["key_not_found"]
    assert told["digest"] == Challenge.parse(encoded(UUID)).digest
    assert told["inForce"] is None
    assert not (tmp_path / "home" / "journal.db").exists(), "a look makes no journal"
    assert not (tmp_path / "keystore").exists()


def test_a_refusal_is_1_with_rule_expected_and_actual(alone):
    told = explained(alone, "--challenge", encoded("ab" * 32), *OFFLINE, expect=1)
    assert (told["allowed"], told["rule"], told["kind"]) == (False, "digest", "opaque")
    assert (told["expected"], told["actual"]) == ("no digest", "32 bytes as hexadecimal text, like a digest")
    results = [rule["result"] for rule in told["rules"]]
    at = results.index("refuse")
    assert told["rules"][at]["name"] == "digest"
    assert set(results[:at]) == {"pass"}
    assert set(results[at + 1 :]) == {"not_reached"}


def test_from_a_file_and_from_standard_input(alone, tmp_path):
    file = tmp_path / "challenge.txt"
    file.write_text(encoded(UUID) + "\n")
    by_file = explained(alone, "--challenge", f"@{file}", *OFFLINE, expect=0)
    by_stdin = explained(alone, "--challenge", "-", *OFFLINE, expect=0, stdin=f"  {encoded(UUID)}\n")
    assert by_file == by_stdin == explained(alone, "--challenge", encoded(UUID), *OFFLINE, expect=0)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "usage"),
        (("--challenge", encoded(UUID)), "usage"),
        (("--challenge", encoded(UUID), "--wallet", WALLET), "usage"),
        (("--challenge", encoded(UUID), "--operation", "creation"), "usage"),
        (("--challenge", encoded(UUID), "--wallet", WALLET, "--operation", "transfer"), "usage"),
        (("--challenge", encoded(UUID), "--wallet", "solana:x:y", "--operation", "creation"), "unsupported_chain"),
        (("--challenge", "!", *OFFLINE), "challenge_malformed"),
        (("--challenge", "", *OFFLINE), "challenge_malformed"),
        (("--challenge", "@/nowhere/at/all", *OFFLINE), "usage"),
        (("--challenge", encoded(UUID), *OFFLINE, "--policy", "/nowhere/at/all"), "policy_unreadable"),
        (("nonsense", "--challenge", encoded(UUID), *OFFLINE), "not_a_uuid"),
        ((UUID, "--wallet", WALLET), "usage"),
        ((UUID,), "settings_missing"),
    ],
)
def test_wrong_usage_is_2(alone, arguments, code):
    assert alone.json("policy", "explain", *arguments, expect=2)["error"]["code"] == code


@pytest.mark.parametrize(
    "case",
    [case for case in cases("hostile") if case.name in {
        "transaction: EIP-1559", "authorization: JSON", "typed data: EIP-712 document", "digest: signature",
        "characters: right-to-left override", "form: UUID in Base64", "context: bytes", "names: domain of another",
        "fields: chain of mainnet",
    }],
    ids=lambda case: case.name,
)  # fmt: skip
def test_hostile_challenges_are_refused_by_their_rule_here_too(alone, case, tmp_path):
    environment = {"ORCHESTRATOR_CHALLENGE_DOMAINS": "api.sandbox.offblocks.xyz"}
    told = explained(alone, "--challenge", encoded(case.data), *OFFLINE, expect=1, **environment)
    assert told["rule"] == case.rule
    shown = alone.here("policy", "explain", "--challenge", encoded(case.data), *OFFLINE, **environment)
    assert shown.code == 1
    assert f"REFUSED by rule {case.rule}" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "\u202e" not in shown.stdout


def test_the_policy_decides(alone, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text('[challenge]\nkinds = ["opaque"]\nopaque_max_bytes = 16\n')
    refused = explained(alone, "--challenge", encoded("session-1"), *OFFLINE, expect=1)
    assert (refused["rule"], refused["policyFile"]) == ("kind", None)
    by_option = explained(alone, "--challenge", encoded("session-1"), *OFFLINE, "--policy", str(file), expect=0)
    by_setting = explained(
        alone, "--challenge", encoded("session-1"), *OFFLINE, expect=0, ORCHESTRATOR_POLICY=str(file)
    )
    assert by_option == by_setting
    assert (by_option["rule"], by_option["policyFile"]) == ("opaque", str(file))
    assert by_option["policy"] != refused["policy"]
    assert explained(alone, "--challenge", encoded(UUID), *OFFLINE, "--policy", str(file), expect=1)["rule"] == "kind"


# --- the challenge on offer ----------------------------------------------------------------------------------------


def _account(devnet, cli):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        return orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id


def _journal(cli):
    return cli.json("journal")["events"]


def test_the_challenge_on_offer_is_explained_and_nothing_is_done(devnet, cli):
    account = _account(devnet, cli)
    before = _journal(cli)
    keys = _fingerprints(devnet.keystore)
    told = explained(cli, account, expect=0, ORCHESTRATOR_KEYSTORE_PASSWORD_FILE="/nowhere")
    assert (told["allowed"], told["operation"], told["accountId"]) == (True, "creation", account)
    assert told["signer"] == f"eip155:31337:{devnet.programme.owner}"
    assert told["key"]["name"] == "owner"
    assert told["key"]["disabled"] is False
    assert told["obstacles"] == []
    assert told["policyFile"] == str(devnet.policy_file)
    assert _journal(cli) == before
    assert _fingerprints(devnet.keystore) == keys
    assert devnet.simulator.records()["signatures"] == []
    shown = cli.here("policy", "explain", account)
    assert (shown.code, shown.stdout.split()[0]) == (0, "ALLOWED")

    assert cli.json("activate", account)["outcome"] == "done"
    done = cli.json("policy", "explain", account, expect=1)
    assert done["error"]["code"] == "no_challenge"
    assert cli.json("policy", "show")["inForce"] is True


def test_what_the_journal_knows_is_told(devnet, cli, tmp_path):
    """A challenge that was signed is refused as such, whoever shows it, and for another account too."""
    account = _account(devnet, cli)
    assert cli.json("activate", account)["outcome"] == "done"
    fetched = next(item for item in _journal(cli) if item["type"] == "challenge_fetched")
    challenge, wallet = fetched["data"]["challenge"], f"eip155:31337:{devnet.programme.owner}"
    given = ("--challenge", challenge, "--wallet", wallet, "--operation")
    again = explained(cli, *given, "creation", expect=1)
    assert (again["rule"], again["accountId"]) == ("signed_before", account)
    assert account in again["actual"]
    assert explained(cli, *given, "deletion", expect=1)["rule"] == "foreign"
    assert explained(cli, UUID, *given, "creation", expect=1)["rule"] == "foreign"

    other = tmp_path / "policy.toml"
    other.write_text("[challenge]\nmax_age = 60\n")
    changed = explained(cli, *given, "creation", expect=1, ORCHESTRATOR_POLICY=str(other))
    assert (again["inForce"], again["obstacles"]) == (True, [])
    assert changed["inForce"] is False
    assert [one["code"] for one in changed["obstacles"]] == ["ruleset_not_adopted"]
    shown = keeps(cli.json("policy", "show", ORCHESTRATOR_POLICY=str(other)), "policy-show")
    assert (shown["inForce"], shown["adopted"], shown["policy"]) == (False, again["policy"], changed["policy"])


def test_what_else_stands_in_the_way_is_told_apart(devnet, cli, tmp_path):
    account = _account(devnet, cli)
    keyless = explained(cli, account, expect=0, ORCHESTRATOR_KEYSTORE=str(tmp_path / "empty"))
    assert keyless["key"] is None
    assert [one["code"] for one in keyless["obstacles"]] == ["key_not_found"]
    file = tmp_path / "policy.toml"
    file.write_text('[challenge]\nchains = ["eip155:1"]\n')
    told = explained(cli, account, expect=1, ORCHESTRATOR_POLICY=str(file))
    assert told["rule"] == "chain"
    assert told["expected"] == "a wallet on eip155:1"
    cli.json("stop-signing", "--key", "owner", "--reason", "a drill")
    stopped = explained(cli, account, expect=0)
    assert [one["code"] for one in stopped["obstacles"]] == ["signing_stopped"]
    assert "a drill" in stopped["obstacles"][0]["message"]


def _codes(told):
    return [one["code"] for one in told["obstacles"]]


def test_a_limit_that_is_reached_and_an_older_database_are_told_as_activate_tells_them(devnet, cli, tmp_path):
    first, second = _account(devnet, cli), _account(devnet, cli)
    journal = Path(cli.environment["ORCHESTRATOR_DATABASE_URL"].removeprefix("sqlite:///"))
    with (
        contextlib.closing(sqlite3.connect(journal)) as source,
        contextlib.closing(sqlite3.connect(tmp_path / "b")) as to,
    ):
        source.backup(to)
    assert cli.json("activate", first)["outcome"] == "done"
    assert explained(cli, second, expect=0)["obstacles"] == []
    text = devnet.policy_file.read_text()
    assert "limits = []" in text
    limit = 'limits = [{per = "key", signatures = 1, seconds = 3600}]'
    devnet.policy_file.write_text(text.replace("limits = []", limit))
    told = explained(cli, second, expect=0)
    assert _codes(told) == ["ruleset_not_adopted", "signing_limit"]
    assert cli.json("activate", second, "--timeout", "1", expect=75)["outcome"] == "waiting"
    told = explained(cli, second, expect=0)
    assert _codes(told) == ["signing_limit"]
    assert "1 signatures in 3600 s by key owner" in told["obstacles"][0]["message"]

    devnet.policy_file.write_text(text)
    for name in ("-wal", "-shm"):
        Path(f"{journal}{name}").unlink(missing_ok=True)
    journal.write_bytes((tmp_path / "b").read_bytes())
    told = explained(cli, second, expect=0)
    assert _codes(told) == ["journal_restored"]
    halted = cli.json("activate", second, expect=3)["error"]
    assert halted["code"] == "journal_restored"
    assert told["obstacles"][0]["message"] in halted["message"]
    assert "the database was restored from an older backup" in cli.here("policy", "explain", second).stdout


def test_keys_that_another_journal_has_used_are_told_before_there_is_a_journal(devnet, cli, tmp_path):
    account = _account(devnet, cli)
    assert cli.json("activate", account)["outcome"] == "done"
    offered = _account(devnet, cli)
    devnet.policy_file.write_text(
        devnet.policy_file.read_text().replace('new_journal = "allow"', 'new_journal = "refuse"')
    )
    new = tmp_path / "new.db"
    (challenge,) = [row for row in devnet.simulator.records()["challenges"] if row["subject"] == offered]
    wallet = ("--wallet", f"eip155:31337:{devnet.programme.owner}", "--operation", "creation")
    given = (offered, "--challenge", challenge["base64"], *wallet)
    told = explained(cli, *given, expect=0, ORCHESTRATOR_DATABASE_URL=f"sqlite:///{new}")
    assert _codes(told) == ["journal_restored"]
    assert "keys.new_journal" in told["obstacles"][0]["message"]
    assert not new.exists(), "a look makes no journal"


def test_the_bindings_are_those_that_a_signature_goes_by(devnet, cli):
    """A kill between the journal and the key's file leaves the binding in the journal alone; it counts."""
    devnet.policy_file.write_text(
        devnet.policy_file.read_text().replace('binding = "first_use"', 'binding = "required"')
    )
    account, wallet = _account(devnet, cli), f"eip155:31337:{devnet.programme.owner}"
    unbound = explained(cli, account, expect=1)
    assert (unbound["rule"], unbound["key"]["bound"]) == ("binding", False)
    cli.json("keys", "bind", "owner", "--wallet", wallet)
    file = devnet.keystore / "owner.json"
    document = json.loads(file.read_text())
    document["x-orchestrator"]["wallets"] = []
    file.write_text(json.dumps(document))
    told = explained(cli, account, expect=0)
    assert (told["key"]["wallets"], told["key"]["bound"], told["obstacles"]) == ([wallet], True, [])
    assert cli.json("activate", account)["outcome"] == "done"


def test_the_platform_is_not_asked_for_a_challenge_that_is_not_signed(devnet, cli):
    account = _account(devnet, cli)
    assert explained(cli, account, expect=0)["allowed"]
    assert cli.json("activate", account)["outcome"] == "done"
    assert cli.json("policy", "explain", account, expect=1)["error"]["code"] == "no_challenge"
    elsewhere = {"ORCHESTRATOR_DATABASE_URL": f"sqlite:///{devnet.folder / 'none.db'}"}
    assert cli.json("policy", "explain", account, expect=1, **elsewhere)["error"]["code"] == "no_challenge"
    asked = [row for row in devnet.simulator.records()["requests"] if row["path"].endswith("/challenge")]
    assert asked == []


def test_an_unknown_account(devnet, cli):
    assert cli.json("policy", "explain", UUID, expect=1)["error"]["code"] == "account_not_found"


def _fingerprints(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.json")}


# --- the policy itself ---------------------------------------------------------------------------------------------


def test_show_tells_the_whole_policy(alone, tmp_path):
    told = keeps(alone.json("policy", "show"), "policy-show")
    assert (told["policyFile"], told["inForce"], told["adopted"], told["domains"]) == (None, None, None, [])
    assert told["document"]["challenge"]["max_age"] == 3300
    shown = alone.here("policy", "show")
    assert shown.code == 0
    file = tmp_path / "shown.toml"
    file.write_text(shown.stdout)
    again = keeps(alone.json("policy", "show", "--policy", str(file)), "policy-show")
    assert (again["policy"], again["document"]) == (told["policy"], told["document"])
    assert again["policyFile"] == str(file)


def test_check_reads_a_file(alone, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text('[keys]\nbinding = "first_use"\n')
    told = keeps(alone.json("policy", "check", str(file)), "policy-check")
    assert told["valid"]
    assert any("keys.binding" in remark for remark in told["remarks"])
    assert alone.here("policy", "check", str(file)).stdout.startswith("valid")
    file.write_text("[challenge]\nmaxage = 1\nmax_age = 0\n")
    told = keeps(alone.json("policy", "check", str(file), expect=1), "policy-check")
    assert "challenge.maxage: no such member" in told["problem"]
    assert "challenge.max_age" in told["problem"]
    assert alone.here("policy", "check", str(file)).stdout.startswith("invalid")
    assert alone.json("policy", "check", str(tmp_path / "none"), expect=2)["error"]["code"] == "policy_unreadable"
    file.write_bytes(b"\xff")
    assert alone.json("policy", "check", str(file), expect=2)["error"]["code"] == "policy_unreadable"


@pytest.mark.parametrize("command", ["explain", "show", "check"])
def test_help_has_an_example(alone, command):
    done = alone.here("policy", command, "--help")
    assert done.code == 0
    assert "Example: orchestrator policy" in done.stdout


# --- a platform that turns hostile ---------------------------------------------------------------------------------


def _account_with(devnet, cli, monkeypatch, data: bytes):
    """An account whose challenge is these bytes."""
    with monkeypatch.context() as patch:
        patch.setattr(challenges, "account_text", lambda: data)
        return _account(devnet, cli)


HOSTILE = {
    "transaction: EIP-1559": "transaction",
    "digest: hexadecimal, bare": "digest",
    "names: domain of another": "eip4361.domain",
}


def test_explain_knows_which_accounts_the_journal_has(devnet, cli, monkeypatch):
    first = _account(devnet, cli)
    second = _account_with(devnet, cli, monkeypatch, first.encode())
    assert cli.json("activate", first)["outcome"] == "done"
    told = explained(cli, second, expect=1)
    assert told["rule"] == "account"
    assert first in told["actual"]


def test_a_hostile_platform_gets_nothing_signed(devnet, cli, monkeypatch):
    hostile = {case.name: case.data for case in cases("hostile")}
    accounts = {name: _account_with(devnet, cli, monkeypatch, hostile[name]) for name in HOSTILE}
    for name, account in accounts.items():
        told = explained(cli, account, expect=1)
        assert told["rule"] == HOSTILE[name]
        halted = cli.json("activate", account, expect=3)
        assert (halted["outcome"], halted["error"]["code"]) == ("operator", "policy_refused")
        assert f"rule {told['rule']}: expected {told['expected']}, got {told['actual']}" in halted["error"]["message"]
        assert explained(cli, account, expect=1)["rule"] == HOSTILE[name]
    kinds = {item["type"] for item in _journal(cli)}
    assert "challenge_fetched" in kinds
    assert not kinds & {"signing_intended", "challenge_signed", "submission_intended"}
    assert devnet.simulator.records()["signatures"] == []

    mended = accounts["digest: hexadecimal, bare"]
    cli.json("resolve", mended, "--retry", "--reason", "the platform was mended")
    assert cli.json("activate", mended)["outcome"] == "done"
