"""Driving a devnet, several processes at once, pipes, signals and servers that never answer."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import threading

import pytest

from orchestrator.blocking import BlockingOrchestrator
from orchestrator.cli.main import hoist
from orchestrator.devnet.remote import announced
from tests.e2e.commands import kill, wait_for


@pytest.fixture
def account(devnet, cli):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        return orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id


@pytest.fixture
def black_hole():
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_running_devnet_is_driven(cli):
    first = cli.json("devnet", "mine", "3")
    assert first["block"]["number"] >= 3
    final = cli.json("devnet", "finalize")
    assert final["finalized"] >= first["block"]["number"]
    assert cli.json("devnet", "warp", "3600")["timestamp"] >= first["timestamp"] + 3600
    assert cli.json("devnet", "reorg", "1")["block"]["number"] > 0
    for depth in ("1000", "1000000"):
        assert cli.json("devnet", "reorg", depth, expect=2)["error"]["code"] == "usage"


def test_a_devnet_sends_again_what_a_reorg_dropped(devnet, cli, account):
    told = cli.json("activate", account)
    with devnet.anvil.control.lock:  # else blocks come while they are counted, and the reorg ends above the account's
        head = cli.json("devnet", "finalize")["block"]["number"]
        assert cli.json("devnet", "reorg", str(head), "--drop", expect=2)["error"]["code"] == "usage"
        devnet.anvil.control.reorg(head - told["block"]["number"] + 5, drop=True)
    assert cli.json("devnet", "resubmit") == {"accounts": [account]}
    assert cli.json("devnet", "resubmit") == {"accounts": []}


def test_a_running_devnet_is_found_by_its_owners_commands(devnet, alone, monkeypatch, tmp_path):
    """From another terminal, without a setting; and no longer when it has ended, or was killed."""
    monkeypatch.setenv("HOME", alone.environment["HOME"])
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert alone.json("devnet", "status") == {"running": False}
    assert alone.json("devnet", "env", expect=2)["error"]["code"] == "settings_missing"
    with announced(devnet.document()):
        (file,) = (tmp_path / "home").rglob("devnet.json")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        told = alone.json("devnet", "status")
        assert (told["running"], told["rpcUrl"], told["faults"]) == (True, devnet.anvil.url, [])
        assert not any(secret in json.dumps(told) for secret in (devnet.programme.credentials.api_secret, "TOKEN"))
        assert alone.json("devnet", "env") == {"env": devnet.environment}
        shown = alone.here("devnet", "env").stdout
        script = f"{shown}\nexec env"
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}
        )
        assert devnet.environment.items() <= dict(line.split("=", 1) for line in done.stdout.splitlines()).items()
        assert alone.json("devnet", "mine")["block"]["number"] > told["block"]["number"]
        left_behind = file.read_bytes()
    assert not file.exists()
    file.write_bytes(left_behind.replace(devnet.programme.admin_token.encode(), b"another's"))
    assert alone.json("devnet", "status") == {"running": False}
    file.write_text("not JSON")
    assert alone.json("devnet", "status") == {"running": False}


def test_faults_are_ordered_listed_and_ended(cli):
    assert cli.json("devnet", "faults") == {"faults": []}
    told = cli.json("devnet", "faults", "drop_after", "method=POST", "path=/challenge/sign", "count=2")
    assert [(f["kind"], f["count"], f["method"]) for f in told["faults"]] == [("drop_after", 2, "POST")]
    assert cli.json("devnet", "faults", "--clear") == {"faults": []}
    for words in (
        *(["nonsense"], ["drop_after", "count=x"], ["drop_after", "count"], ["drop_after", "methd=POST"]),
        *(["drop_after", "count=1", "count=2"], ["drop_after", "kind=lie"], ["delay_after", "seconds=NaN"]),
    ):
        assert cli.json("devnet", "faults", *words, expect=2)["error"]["code"] == "usage"
    missing = cli.json("devnet", "faults", expect=2, ORCHESTRATOR_DEVNET_TOKEN="")
    assert missing["error"]["code"] == "settings_missing"


def test_two_resume_at_once(devnet, cli, account):
    devnet.simulator.fault("hold_deployments")
    cli.json("activate", account, "--timeout", "0.5", expect=75)
    both = [cli.start("resume", "--json") for _ in range(2)]
    devnet.simulator.clear_faults()
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (out, err)
        assert {a["outcome"] for a in json.loads(out)["accounts"]} <= {"done"}
    assert len(devnet.simulator.records()["signatures"]) == 1


def test_resume_goes_on_where_one_account_fails(devnet, cli):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        ids = [orchestrator.create_account(devnet.programme.customer_id, "EUR").account_id for _ in range(2)]
        devnet.simulator.fault("hold_deployments")
        assert [orchestrator.activate(i, timeout=0.3).outcome for i in ids] == ["waiting"] * 2
    devnet.simulator.clear_faults()
    devnet.simulator.fault("status", method="GET", path=f"/accounts/{ids[0]}$", status=403, count=1000)
    told = {a["accountId"]: a for a in cli.json("resume", expect=1)["accounts"]}
    assert told[ids[0]]["outcome"] == "failed"
    assert told[ids[1]]["outcome"] == "done"
    devnet.simulator.clear_faults()
    assert [a["outcome"] for a in cli.json("resume")["accounts"]] == ["done"]


def test_status_of_several_is_a_line_each(cli, account):
    done = cli.here("status", account, account.upper(), "--json")
    assert [json.loads(line)["accountId"] for line in done.stdout.splitlines()] == [account, account]
    assert cli.here("status", "-", "--json", stdin="").stdout == ""


def test_the_canonicality_check_is_made_wherever_its_option_stands(tmp_path):
    config = str(tmp_path / "c.toml")
    after = ["--config", config, "certificate", "verify", "c.json", "--rpc-url", "http://x", "--json"]
    assert hoist(after) == ["--config", config, "--json", "certificate", "verify", "c.json", "--rpc-url", "http://x"]
    assert hoist(["status", "--rpc-url=http://x"]) == ["--rpc-url=http://x", "status"]


def test_a_node_that_cannot_be_asked_is_3(devnet, cli, account, black_hole, tmp_path):
    with BlockingOrchestrator(cli.settings()) as orchestrator:
        orchestrator.activate(account, timeout=60)
        orchestrator.close(account, certificate=tmp_path / "c.json", timeout=60)
    file = str(tmp_path / "c.json")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{held.getsockname()[1]}"
        assert cli.json("certificate", "verify", file, "--rpc-url", dead, expect=3)["canonical"] is None
        assert cli.json("--rpc-url", dead, "certificate", "verify", file, expect=3)["canonical"] is None
    assert cli.json("--rpc-url", devnet.anvil.url, "certificate", "verify", file)["canonical"] is True


@pytest.mark.parametrize("side", ["ORCHESTRATOR_PLATFORM_URL", "ORCHESTRATOR_RPC_URL"])
def test_the_timeout_bounds_a_side_that_never_answers(cli, account, black_hole, side):
    address = f"{black_hole}/v1" if side == "ORCHESTRATOR_PLATFORM_URL" else black_hole
    told = cli.json("activate", account, "--timeout", "0", expect=75, **{side: address})
    assert told["error"]["code"] in {"no_answer", "chain_unreachable", "platform_unreachable"}
    assert cli.json("activate", account)["outcome"] == "done"


def test_a_terminated_command_says_so_in_its_document(devnet, cli, account):
    devnet.simulator.fault("hold_deployments")
    process = cli.start("activate", account, "--json")
    lines: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reader.start()
    wait_for(lambda: any("deployed" in line for line in lines), what="the wait for the deployment")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    document = json.loads(process.stdout.read())
    reader.join()
    assert process.wait() == 130
    assert document["error"]["code"] == "interrupted"
    kill(process)
    devnet.simulator.clear_faults()
    assert cli.json("activate", account)["outcome"] == "done"


def test_a_certificate_that_cannot_be_written_is_seen_before_the_end(cli, account, tmp_path):
    for file in (tmp_path, tmp_path / "none" / "c.json"):
        told = cli.json("close", account, "--yes", "--certificate", str(file), expect=2)
        assert told["error"]["code"] == "certificate_unwritable"
    assert cli.json("journal", account)["events"] == []


def test_doctor_tells_of_settings_that_cannot_be_read(cli, tmp_path):
    told = cli.json("doctor", expect=1, ORCHESTRATOR_SIGNING_KEY_FILE=str(tmp_path / "none"))
    assert [(check["name"], check["ok"]) for check in told["checks"]] == [("settings", False)]
    assert told["checks"][0]["fix"]
