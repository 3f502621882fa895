"""The fixtures as another project uses them: a folder of its own, the installed plugin, two workers."""

from __future__ import annotations

import os
import subprocess
import sys

PROJECT = """
import pytest


@pytest.mark.asyncio
async def test_one(orchestrator, devnet, platform):
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR", reference="mine")
    assert (await orchestrator.activate(account.account_id, timeout=60)).outcome == "done"
    assert platform.records()["accounts"][0]["status"] == "active"


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


def test_in_a_project_of_its_own(tmp_path):
    (tmp_path / "test_mine.py").write_text(PROJECT)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
