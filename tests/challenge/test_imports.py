"""Challenge reading is pure and quick to import."""

from __future__ import annotations

import subprocess
import sys


def test_neither_web3_nor_eth_account_nor_any_edge_is_imported():
    code = (
        "import sys, orchestrator.challenge\n"
        "heavy = {'web3', 'eth_account', 'eth_keyfile', 'coincurve', 'httpx', 'sqlalchemy'}\n"
        "print(', '.join(sorted(heavy & sys.modules.keys())))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (finished.stdout.strip(), finished.stderr, finished.returncode) == ("", "", 0)
