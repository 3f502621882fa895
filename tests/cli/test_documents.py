"""Every command's document on stdout keeps to its published schema, and its exit code to the interface."""

from __future__ import annotations

import json
from importlib.metadata import version

import httpx
import jsonschema
import pytest

from orchestrator import schemas
from orchestrator.blocking import BlockingOrchestrator


def keeps(document, schema):
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(json.loads(schemas.text(schema)), format_checker=checker).validate(document)
    return document


def test_the_whole_table_on_one_account(devnet, cli, tmp_path):
    assert keeps(devnet.document(), "devnet")["chainId"] == "eip155:31337"
    create = ("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR")
    account = keeps(cli.json(*create, "--reference", "order-1"), "account")
    identifier = account["accountId"]
    assert account["status"] == "initiating"
    assert keeps(cli.json("doctor"), "doctor")["ok"]

    active = keeps(cli.json("activate", identifier), "operation")
    assert (active["operation"], active["outcome"], active["status"]) == ("activate", "done", "active")
    assert active["block"]["finality"] == "finalized"
    assert active["address"].startswith("eip155:31337:0x")
    assert keeps(cli.json("deactivate", identifier), "operation")["status"] == "inactive"
    refused = keeps(cli.json("activate", identifier, expect=1), "operation")
    assert refused["error"]["code"] == "suspended_use_reactivate"
    assert keeps(cli.json("reactivate", identifier), "operation")["status"] == "active"

    file = tmp_path / "closed.json"
    closed = keeps(cli.json("close", identifier, "--yes", "--certificate", str(file)), "operation")
    assert (closed["outcome"], closed["certificate"]) == ("done", str(file))
    verified = keeps(cli.json("certificate", "verify", str(file)), "certificate-verify")
    assert (verified["valid"], verified["canonical"], verified["signed"]) == (True, None, True)
    assert (verified["verdict"], verified["analysis"], verified["version"]) == ("irreversible", "inert", 2)
    asked = cli.json("certificate", "verify", str(file), "--rpc-url", devnet.anvil.url, "--signer", verified["signer"])
    assert keeps(asked, "certificate-verify")["canonical"] is True
    keeps(json.loads(file.read_bytes()), "certificate")
    page = tmp_path / "closed.html"
    shown = cli.here("certificate", "verify", str(file), "--format", "html", "--output", str(page))
    assert (shown.code, shown.stdout) == (0, "")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert keeps(cli.json("certificate", "verify", str(file), "--format", "html"), "certificate-verify")["valid"]
    assert cli.here("certificate", "verify", str(file), "--format", "html").stdout == page.read_text()
    assert cli.here("certificate", "verify", str(file)).stdout.startswith("IRREVERSIBLE ")
    audited = keeps(cli.json("audit"), "audit")
    assert (audited["holds"], audited["fails"], audited["unknown"], audited["untold"]) == (1, 0, 0, 0)
    assert (audited["closures"][0]["accountId"], audited["closures"][0]["result"]) == (identifier, "holds")

    assert keeps(cli.json("accounts", "show", identifier), "account")["status"] == "closed"
    assert [a["accountId"] for a in keeps(cli.json("accounts", "list"), "accounts")["accounts"]] == [identifier]
    assert keeps(cli.json("status", identifier), "operation")["outcome"] == "done"
    assert len(keeps(cli.json("status"), "operations")["accounts"]) == 1
    assert keeps(cli.json("resume"), "operations") == {"accounts": []}
    assert keeps(cli.json("journal", identifier), "journal")["events"][-1]["type"] == "operation_ended"
    assert keeps(cli.json("journal", "--verify"), "journal-verify")["valid"]
    assert {key["name"] for key in keeps(cli.json("keys", "list"), "keys")["keys"]} == {"certificate", "owner"}
    assert cli.here("schema", "operation").stdout == schemas.text("operation")
    process = cli.run("status", identifier, "--json")
    assert (process.code, process.document) == (0, cli.json("status", identifier))


def test_several_ids_give_a_document_a_line_and_the_worst_code(devnet, cli):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        first, second = (orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id for _ in range(2))
    unknown = "00000000-0000-4000-8000-000000000000"
    done = cli.here("activate", "-", "--json", stdin=f"{first}\n{second}\n{unknown}\n")
    documents = {d["accountId"]: keeps(d, "operation") for d in map(json.loads, done.stdout.splitlines())}
    assert done.code == 1
    assert {identifier: d["outcome"] for identifier, d in documents.items()} == {
        first: "done",
        second: "done",
        unknown: "failed",
    }
    assert documents[unknown]["error"]["code"] == "account_not_found"


def test_a_timeout_is_75_and_nothing_is_lost(devnet, cli):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        identifier = orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id
    devnet.simulator.fault("hold_deployments")
    waiting = keeps(cli.json("activate", identifier, "--timeout", "1", expect=75), "operation")
    assert waiting["outcome"] == "waiting"
    assert "deployed" in waiting["waitingFor"]
    assert waiting["since"] < waiting["deadline"]
    told = keeps(cli.json("status", identifier), "operation")
    assert (told["outcome"], told["operation"]) == ("waiting", "activate")
    devnet.simulator.clear_faults()
    assert [a["outcome"] for a in cli.json("resume")["accounts"]] == ["done"]


def test_an_operator_decides_where_platform_and_chain_disagree(devnet, cli):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        identifier = orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id
    elsewhere = "eip155:31337:0x000000000000000000000000000000000000dEaD"
    devnet.simulator.fault("lie", accountId=identifier, fields={"chainId": elsewhere})
    halted = keeps(cli.json("activate", identifier, expect=3), "operation")
    assert (halted["outcome"], halted["error"]["code"]) == ("operator", "address_disagreement")
    assert elsewhere in halted["error"]["message"]
    assert halted["address"].rpartition(":")[2] in halted["error"]["message"]
    assert keeps(cli.json("status", identifier), "operation")["outcome"] == "operator"
    for decision in ((), ("--retry", "--accept")):
        assert cli.json("resolve", identifier, *decision, "--reason", "x", expect=2)["error"]["code"] == "usage"

    told = cli.json("resolve", identifier, "--retry", "--reason", "the platform mended its record")
    assert keeps(told, "operation")["outcome"] == "waiting"
    devnet.simulator.clear_faults()
    assert cli.json("activate", identifier)["outcome"] == "done"
    assert "operator_resolved" in {e["type"] for e in cli.json("journal", identifier)["events"]}
    again = cli.json("resolve", identifier, "--accept", "--reason", "late", expect=2)
    assert again["error"]["code"] == "nothing_to_resolve"


@pytest.mark.parametrize("decision", ["accept", "abandon"])
def test_an_account_that_the_platform_closed_alone(devnet, cli, decision):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        identifier = orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id
        orchestrator.activate(identifier, timeout=60)
    answer = httpx.post(
        f"{devnet.programme.admin_url}/accounts/{identifier}/close",
        headers={"Authorization": f"Bearer {devnet.programme.admin_token}"},
    )
    assert answer.is_success
    halted = keeps(cli.json("close", identifier, "--yes", expect=3), "operation")
    assert halted["error"]["code"] == "closed_without_chain"
    assert "active" in halted["error"]["message"]
    told = keeps(cli.json("resolve", identifier, f"--{decision}", "--reason", "seen"), "operation")
    assert told["outcome"] == {"accept": "done", "abandon": "failed"}[decision]
    assert cli.json("status", identifier)["outcome"] == told["outcome"]


@pytest.mark.parametrize("position", ["before", "after"])
def test_options_of_the_root_stand_before_or_after(alone, position):
    words = ["keys", "list"]
    done = alone.here(*(["--json", *words] if position == "before" else [*words, "--json"]))
    assert (done.code, done.document) == (0, {"keys": []})


@pytest.mark.parametrize(
    "words",
    [
        *("accounts", "activate", "deactivate", "reactivate", "close", "status", "resume", "resolve", "journal"),
        *("certificate", "keys", "serve", "doctor", "schema", "demo", "devnet", "audit", "stops"),
        *("accounts create", "accounts list", "accounts show", "certificate verify", "devnet up", "devnet mine"),
        *("devnet finalize", "devnet reorg", "devnet warp", "devnet faults", "keys create", "keys import"),
        *("keys list", "keys show", "keys rotate", "keys disable"),
    ],
)
def test_every_command_has_help_with_an_example(words, capsys):
    from orchestrator.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main([*words.split(), "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"{words} " in told.splitlines()[0]
    if words not in {"accounts", "certificate", "keys", "devnet"}:
        example = next(line for line in told.splitlines() if "Example:" in line)
        assert f"orchestrator {words}" in example


def test_the_version_is_that_of_the_package(capsys):
    from orchestrator.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert not ended.value.code
    assert capsys.readouterr().out == f"orchestrator {version('offblocks-orchestrator')}\n"


def test_help_loads_nothing_heavy(alone):
    import subprocess
    import sys

    code = (
        "import sys\nfrom orchestrator.cli.main import main\n"
        "try: main(['activate', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'web3', 'eth_account', 'sqlalchemy', 'httpx', 'rich', 'eth_utils', 'starlette'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "loaded: []"
