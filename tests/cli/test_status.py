"""``status`` and what else only looks: what needs a person first, whole ids, and no journal made by a look."""

from __future__ import annotations

import json
import re
import signal
import threading

import pytest

from orchestrator.blocking import BlockingOrchestrator
from orchestrator.cli.run import Changes
from orchestrator.devnet.anvil import Anvil
from tests.cli.people import Desk
from tests.e2e.commands import kill, wait_for
from tests.profile import full_only

UNKNOWN = "00000000-0000-4000-8000-000000000000"
READS = (
    "status", "resolve ID --retry --reason x", "journal", "journal --verify", "stops", "approve", "audit",
    "history list", "history export FILE", "approve policy --print-text", "resume-signing --print-text", "journal ID",
)  # fmt: skip
WITHOUT_A_JOURNAL = (
    "policy show", "keys list", "doctor", "policy check /dev/null",
    "policy explain --challenge QQ== --wallet eip155:1:0x2c7536E3605D9C16a7a3D7b1898e529396a65c23 --operation creation",
)  # fmt: skip
NEED_A_PLATFORM = {"audit"}


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def words(command: str, tmp_path) -> list[str]:
    return [{"ID": UNKNOWN, "FILE": str(tmp_path / "x.json")}.get(word, word) for word in command.split()]


@pytest.mark.parametrize("command", READS)
def test_a_look_makes_no_journal_where_the_settings_name_one(alone, tmp_path, command):
    url = f"sqlite:///{tmp_path / 'nope' / 'x' / 'y.db'}"
    told = alone.json(*words(command, tmp_path), "--database-url", url, expect=2)
    assert told["error"]["code"] == "database_missing"
    assert told["error"]["fix"]
    assert not (tmp_path / "nope").exists()


@pytest.mark.parametrize("command", [command for command in READS if command not in NEED_A_PLATFORM])
def test_a_look_makes_none_at_the_default_place_either(alone, tmp_path, command):
    home = tmp_path / "nobody"
    home.mkdir()
    elsewhere = {"HOME": str(home), "ORCHESTRATOR_DATABASE_URL": ""}
    done = alone.here(*words(command, tmp_path), **elsewhere)
    assert list(home.rglob("*")) == []
    assert done.code in {0, 1, 2}, done.stderr
    if command == "status":
        assert (done.code, done.stdout.splitlines()[0].split(":")[0]) == (0, "no journal yet")
        assert alone.json("status", **elsewhere)["accounts"] == []


@pytest.mark.parametrize("command", WITHOUT_A_JOURNAL)
def test_what_is_told_without_a_journal_too_makes_none(alone, tmp_path, command):
    done = alone.here(*command.split(), "--database-url", f"sqlite:///{tmp_path / 'nope' / 'y.db'}")
    assert done.code in {0, 1}
    assert not (tmp_path / "nope").exists()
    if command.startswith(("policy show", "policy explain")):
        assert "no journal there" in done.stderr


def test_the_platform_s_accounts_are_listed_without_a_journal(cli, tmp_path):
    """An id is looked up before the first command that changes anything."""
    url = f"sqlite:///{tmp_path / 'nope' / 'y.db'}"
    assert cli.json("accounts", "list", "--database-url", url)["accounts"] == []
    assert "no journal yet" in cli.here("accounts", "list", "--json", "--database-url", url).stderr
    assert not (tmp_path / "nope").exists()


def test_an_empty_file_is_no_journal(alone, tmp_path):
    (tmp_path / "empty.db").touch()
    told = alone.json("status", "--database-url", f"sqlite:///{tmp_path / 'empty.db'}", expect=2)
    assert told["error"]["code"] == "database_missing"
    assert (tmp_path / "empty.db").stat().st_size == 0


def test_stops_are_told_first_wherever_somebody_looks(desk):
    desk.identity()
    assert desk.valid("stops", "stops")["stops"] == []
    assert desk.here("stops").stdout.startswith("signing is not stopped")
    desk.json("stop-signing", "--reason", "a key leaked")
    (stop,) = desk.valid("stops", "stops")["stops"]
    assert (stop["scope"], stop["reason"], stop["needed"]) == ("all", "a key leaked", 2)
    for command in ("status", "approve"):
        first = desk.here(command).stdout.splitlines()[0]
        assert first.startswith("ALL SIGNING IS STOPPED since")
        assert "a key leaked" in first
        assert desk.json(command)["stops"] == [stop]
    assert desk.here("stops").stdout.startswith("SIGNING IS STOPPED")


# --- on a devnet -----------------------------------------------------------------------------------------------------


@pytest.fixture
def account(devnet, cli):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        return orchestrator.create_account(devnet.programme.customer_id, "EUR", reference="order-1").account_id


def keeps(document, schema):
    from jsonschema import Draft202012Validator

    from orchestrator import schemas

    Draft202012Validator(json.loads(schemas.text(schema))).validate(document)
    return document


def test_status_says_what_activate_says(devnet, cli, account):
    """While signing is stopped; while the platform does not deploy; and first of all who is needed."""
    cli.json("stop-signing", "--reason", "night")
    for _ in range(2):
        done = cli.here("activate", account, "--timeout", "3", "--json")
        assert (done.code, done.document["error"]) == (75, None)
        told = cli.json("status", account)
        for name in ("waitingFor", "since", "reference"):
            assert told[name] == done.document[name]
        assert told["deadline"] >= done.document["deadline"]
        lines = done.stderr.splitlines()
        assert len(lines) == len(set(lines)), "a line for each change, and not two for each look"
        with BlockingOrchestrator(cli.settings()) as orchestrator:
            assert [one.waiting_for for one in orchestrator.status(account)] == [told["waitingFor"]]
        devnet.simulator.fault("hold_deployments")
        end_stops(cli)
    assert told["waitingFor"] == "the platform to verify the signature" or "deployed" in told["waitingFor"]


def end_stops(cli):
    """As two people would."""
    import asyncio
    from datetime import UTC, datetime

    from orchestrator.journal.store import Journal
    from orchestrator.lifecycle.oversight_events import SigningResumed
    from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM

    ends = [SigningResumed(stop=stop["stop"], people=("alice", "bob")) for stop in cli.json("stops")["stops"]]

    async def body():
        async with await Journal.open(cli.environment["ORCHESTRATOR_DATABASE_URL"]) as journal:
            if ends:
                await journal.append(
                    DECISIONS_STREAM, ends, after=len(await journal.read(DECISIONS_STREAM)), at=datetime.now(UTC)
                )

    asyncio.run(body())


def test_decisions_and_approvals_are_what_status_begins_with(devnet, cli, account):
    assert cli.here("status").stdout.splitlines() == ["no accounts in the journal"]
    elsewhere = "eip155:31337:0x000000000000000000000000000000000000dEaD"
    devnet.simulator.fault("lie", accountId=account, fields={"chainId": elsewhere})
    cli.json("activate", account, expect=3)
    told = keeps(cli.json("status"), "operations")
    assert (told["decisions"], told["approvals"], told["stops"]) == ([account], [], [])
    for arguments in ((), (account[:6],)):
        assert cli.here("status", *arguments).stdout.startswith("NEEDS A PERSON: 1 to decide (outcome operator, below)")
    cli.json("resolve", account[:8], "--abandon", "--reason", "seen")
    assert cli.here("status").stdout.startswith("nothing needs a person")


@pytest.mark.parametrize("columns", [40, 80])
def test_no_id_is_cut_whatever_the_terminal_is(cli, account, columns, monkeypatch):
    """On a terminal of this width, which no test has: rich is told so."""
    import rich.console

    cli.json("activate", account)
    init = rich.console.Console.__init__

    def narrow(self, *args, **kwargs):
        init(self, *args, **kwargs | {"width": columns})

    monkeypatch.setattr(rich.console.Console, "__init__", narrow)
    wallet = cli.json("status", account)["address"]
    for words in ("accounts list", "accounts show ID", "status", "status ID"):
        shown = cli.here(*[account if word == "ID" else word for word in words.split()]).stdout
        for whole in (account, wallet, "order-1"):
            assert any(whole in line for line in shown.splitlines()), (words, whole, shown)
    keys = cli.here("keys", "list").stdout
    assert re.search(r"0x[0-9a-fA-F]{40}", keys)
    assert "…" not in keys


def test_a_reference_finds_its_account(devnet, cli, account):
    found = keeps(cli.json("accounts", "show", "--reference", "order-1"), "account")
    assert (found["accountId"], found["reference"]) == (account, "order-1")
    assert [a["reference"] for a in keeps(cli.json("accounts", "list"), "accounts")["accounts"]] == ["order-1"]
    assert "order-1" in cli.here("accounts", "list").stdout
    create = ("accounts", "create", "--customer", devnet.programme.customer_id, "--currency", "EUR")
    assert cli.json(*create)["reference"] is None
    for blank in ("", " ", "\t"):
        assert cli.json(*create, "--reference", blank, expect=2)["error"]["code"] == "reference_blank"
    assert len(cli.json("accounts", "list")["accounts"]) == 2
    assert cli.json("accounts", "show", "--reference", "order-2", expect=2)["error"]["code"] == "reference_unknown"
    for wrong in ((), (account, "--reference", "order-1")):
        assert cli.json("accounts", "show", *wrong, expect=2)["error"]["code"] == "usage"


def test_a_unique_beginning_is_enough_everywhere(cli, account):
    for length in (6, 8, 9, 20, 35):
        assert cli.json("accounts", "show", account[:length])["accountId"] == account
    short = account[:7].upper()
    assert cli.json("policy", "explain", short)["accountId"] == account
    assert cli.json("activate", short)["accountId"] == account
    for command in ("activate", "status"):
        assert json.loads(cli.here(command, "-", "--json", stdin=f"{short}\n").stdout)["accountId"] == account
    assert cli.json("status", short)["accountId"] == account
    assert cli.json("journal", short)["accountId"] == account
    assert cli.json("deactivate", short)["accountId"] == account
    assert cli.json("reactivate", short)["accountId"] == account
    assert cli.json("close", short, "--yes")["accountId"] == account
    assert cli.json("resolve", short, "--retry", "--reason", "x", expect=2)["error"]["code"] == "nothing_to_resolve"
    for command in ("status", "activate", "journal", "accounts show"):
        assert cli.json(*command.split(), account[:5], expect=2)["error"]["code"] == "not_a_uuid"
        unknown = "0" * 7 if not account.startswith("0000000") else "1" * 7
        assert cli.json(*command.split(), unknown, expect=2)["error"]["code"] == "account_unknown"


def test_an_ambiguous_beginning_names_the_candidates(desk):
    """By the journal alone, so that two accounts can be told apart only by their ends."""
    from datetime import UTC, datetime

    from orchestrator.lifecycle import events as e
    from orchestrator.models import OperationKind

    ids = ["5df359f0-d299-40a1-8023-17c77a50144c", "5df359f0-d299-40a1-8023-17c77a50144d"]
    for one in ids:
        desk.journal(one, [e.OperationStarted(operation=OperationKind.ACTIVATE)], datetime(2026, 1, 1, tzinfo=UTC))
    for command in ("journal ID", "status ID", "resolve ID --abandon --reason x", "approve ID --yes"):
        message = desk.refused(
            *[ids[0][:35] if word == "ID" else word for word in command.split()], code="account_ambiguous", expect=2
        )
        assert all(one in message for one in ids)
    assert desk.json("status", ids[0])["accountId"] == ids[0]


def test_the_journal_of_an_account_that_it_does_not_know(cli, account):
    assert cli.json("journal", UNKNOWN, expect=2)["error"]["code"] == "account_unknown"
    assert cli.json("journal", account)["events"] == [], "created here, and nothing was done with it yet"


# --- what is told while something runs -------------------------------------------------------------------------------


def test_only_changes_are_told():
    changes = Changes()
    looks = ["fetch", "sign", "waiting for A", "sign", "waiting for A", "sign", "waiting for A"]
    assert [what for what in looks if changes.is_one(what)] == ["fetch", "sign", "waiting for A"]
    assert [what for what in ("sign", "submit", "waiting for B") if changes.is_one(what)] == ["submit", "waiting for B"]
    assert not changes.is_one("waiting for B")
    again = [what for what in ("sign", "waiting for A", "sign", "waiting for A") if changes.is_one(what)]
    assert again == ["sign", "waiting for A"], "what comes back is a change"


def interrupted(cli, account, moment: str) -> tuple[int, str, list[str]]:
    """Ctrl-C once this was told on stderr: the exit code, stdout, and what else was on stderr."""
    process = cli.start("activate", account, "--json")
    lines: list[str] = []
    assert process.stderr is not None
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reader.start()
    wait_for(lambda: any(moment in line for line in lines), what=moment)
    process.send_signal(signal.SIGINT)
    out = process.stdout.read()
    reader.join()
    code = process.wait()
    kill(process)
    return code, out, [line for line in lines if not line.startswith(account)]


@pytest.mark.parametrize("moment", ["reading platform", "waiting for"])
def test_ctrl_c_says_to_run_it_again_and_nothing_else(devnet, cli, account, moment):
    devnet.simulator.fault("hold_deployments")
    code, out, noise = interrupted(cli, account, moment)
    error = json.loads(out)["error"]
    assert (code, error["code"], noise) == (130, "interrupted", [])
    assert error["fix"].startswith("Run the same command again")


@full_only("Ctrl-C at twenty moments")
def test_ctrl_c_at_any_moment(devnet, cli, account):
    import random
    import time

    devnet.simulator.fault("hold_deployments")
    for _ in range(20):
        process = cli.start("activate", account, "--json")
        assert process.stderr is not None
        process.stderr.readline()
        time.sleep(random.uniform(0, 2))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, json.loads(out)["error"]["code"]) == (130, "interrupted")
        assert [line for line in err.splitlines() if not line.startswith(account)] == []


def test_a_variable_that_only_looks_like_a_setting_is_named(desk):
    desk.identity()
    done = desk.here("status", ORCHESTRATOR_CONFIRMATION="12", ORCHESTRATOR_HOME="hunter2")
    assert done.code == 0
    first, second = done.stderr.splitlines()
    assert "ORCHESTRATOR_CONFIRMATION is no setting" in first
    assert "ORCHESTRATOR_CONFIRMATIONS" in first
    assert "ORCHESTRATOR_HOME is no setting" in second
    assert "hunter2" not in done.stderr
    assert desk.here("status").stderr == ""
    told = desk.json("status", ORCHESTRATOR_CONFIRMATION="12")
    assert told["accounts"] == []


def test_verbose_shows_each_node_with_its_latency_and_traffic(alone):
    with Anvil() as node:
        first = node.url
        urls = {"ORCHESTRATOR_RPC_URL": f"{first}, http://127.0.0.1:9/secret-key", "ORCHESTRATOR_DATABASE_URL": ""}
        shown = alone.here("status", "--verbose", **urls)
        documents = alone.here("--json", "status", "--verbose", **urls)
    assert re.search(rf"{first} answers in \d+\.\d ms; block 0", shown.stdout)
    assert re.search(rf"{first}: \d requests with \d calls, \d+ bytes sent, \d+ received", shown.stdout)
    assert "http://127.0.0.1:9: no connection" in shown.stdout
    assert "secret-key" not in shown.stdout + shown.stderr
    assert json.loads(documents.stdout)["accounts"] == []
    assert f"{first} answers in" in documents.stderr
