"""The fixtures as another project uses them: a folder of its own, the installed plugin; in full, two workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.profile import full_only

PROJECT = """
import pytest


@pytest.mark.asyncio
async def test_one(orchestrator, devnet, platform):
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR", reference="mine")
    assert (await orchestrator.activate(account.account_id, timeout=60)).outcome == "done"
    assert platform.records()["accounts"][0]["status"] == "active"


def test_without_an_event_loop(blocking_orchestrator, devnet):
    assert blocking_orchestrator.create_account(devnet.programme.customer_id, "EUR").status == "initiating"


@pytest.mark.asyncio
async def test_two_sees_a_fresh_platform(orchestrator, platform):
    assert await orchestrator.accounts() == []
    assert platform.records()["accounts"] == []


def number(chain, tag):
    return int(chain.rpc_sync("eth_getBlockByNumber", tag, False)["number"], 16)


def test_the_chain_is_driven(chain, mine, finalize, reorg, warp):
    first = number(chain, "latest")
    mine(3)
    assert number(chain, "latest") == first + 3
    before = chain.rpc_sync("eth_getBlockByNumber", "latest", False)
    reorg(2)
    with pytest.raises(Exception, match="cannot reorg 4 blocks: the newest block that must stay"):
        reorg(4)
    assert chain.rpc_sync("eth_getBlockByNumber", before["number"], False)["hash"] != before["hash"]
    target = number(chain, "latest")
    finalize()
    assert number(chain, "finalized") >= target
    at = int(chain.rpc_sync("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    warp(3600)
    assert int(chain.rpc_sync("eth_getBlockByNumber", "latest", False)["timestamp"], 16) >= at + 3600


def test_what_a_test_does_to_the_chain_is_undone(chain):
    assert number(chain, "latest") < 12
"""


def run(folder: Path, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_mine.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=240,
    )


HARSH = """
def test_one_breaks_its_chain(chain):
    chain.rpc_sync("anvil_reorg", int(chain.rpc_sync("eth_blockNumber"), 16) - 1, [])


def test_two_has_its_contracts(chain, contracts):
    for address in (contracts.factory, contracts.escrow, contracts.token):
        assert chain.rpc_sync("eth_getCode", address, "latest") != "0x"
    assert chain.control.floor == chain.control.heads()["block"]["number"] > 0
"""


def test_in_a_project_of_its_own_where_a_test_that_breaks_its_chain_breaks_no_other(tmp_path):
    done = run(tmp_path, PROJECT + HARSH, "-p", "no:randomly")
    assert "7 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


@full_only("two workers")
def test_in_a_project_of_two_workers(tmp_path):
    done = run(tmp_path, PROJECT, "-n", "2")
    assert "5 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def test_a_project_that_uses_no_fixture_waits_for_nothing():
    """The plugin is loaded by every pytest where the package is installed: it imports the rest when it is used."""
    program = (
        "import sys, pytest, pytest_asyncio; before = set(sys.modules); import orchestrator.devnet.pytest_plugin; "
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('orchestrator')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
