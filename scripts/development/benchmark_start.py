"""What the start of each kind of command costs: processor time of the whole process, beside Python's own and web3's.

    .venv/bin/python scripts/benchmark_start.py [--repeat 5]

On a devnet of its own, with an account that is active and one that is closed. Medians of seconds, user and system.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from orchestrator.devnet.devnet import devnet  # noqa: E402

COMMAND = [sys.executable, "-m", "orchestrator.cli.main"]


def processor_time(command: list[str], environment: dict[str, str]) -> float:
    """Seconds. Raises RuntimeError if the command fails."""
    null = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdin=null, stdout=null, stderr=null) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):  # verify-closure of an open wallet ends with 1
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def answer(words: list[str], environment: dict[str, str]) -> dict[str, str]:
    done = subprocess.run([*COMMAND, *words, "--json"], env=environment, cwd=ROOT, capture_output=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    repeat: int = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as folder, devnet() as net:
        journal, file = f"sqlite:///{folder}/journal.db", f"{folder}/closed.json"
        environment = {**os.environ, **net.environment, "ORCHESTRATOR_DATABASE_URL": journal}
        url = environment["ORCHESTRATOR_RPC_URL"]
        create = ["accounts", "create", "--customer", net.programme.customer_id, "--currency", "EUR"]
        active, closed = (answer(create, environment)["accountId"] for _ in range(2))
        wallet = answer(["activate", active], environment)["address"].rpartition(":")[2]
        answer(["activate", closed], environment)
        answer(["close", closed, "--yes", "--certificate", file], environment)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "python -c 'import web3'": [sys.executable, "-c", "import web3"],
            "python -c 'import sqlalchemy'": [sys.executable, "-c", "import sqlalchemy"],
            "--help": [*COMMAND, "--help"],
            "status": [*COMMAND, "status"],
            "journal": [*COMMAND, "journal", active],
            "accounts show": [*COMMAND, "accounts", "show", active],
            "activate (an active account)": [*COMMAND, "activate", active],
            "verify-closure": [*COMMAND, "verify-closure", wallet, "--rpc-url", url],
            "certificate verify": [*COMMAND, "certificate", "verify", file],
        }
        for name, command in commands.items():
            seconds = statistics.median(processor_time(command, environment) for _ in range(repeat))
            print(f"{name:<30} {seconds:6.2f} s", flush=True)


if __name__ == "__main__":
    main()
