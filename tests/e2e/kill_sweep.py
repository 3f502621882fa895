"""Kills creation, activation and closure at their writes, fsyncs and sends, and looks what a fresh process makes of it.

    python -m tests.e2e.kill_sweep               every fsync, file and request to the platform, in some three minutes
    python -m tests.e2e.kill_sweep --every 1     every page that SQLite writes and every question to the chain, too
    python -m tests.e2e.kill_sweep --lives 4     so many kills of each command

Each life is an account of its own, with a customer, a journal and a keystore of its own, on one devnet: created,
activated and closed, each command killed once and run again. Then nothing may be lost (closed on both sides, with a
certificate that holds) and nothing doubled (one account, one signature for each challenge, one request to close, each
step on the chain once), and the journal is whole. Prints its counts; ends with 1 if anything was lost or doubled."""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from eth_hash.auto import keccak

from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.devnet import Devnet, devnet
from orchestrator.passwords import FilePassword
from orchestrator.signers.keyring import Keyring
from tests.e2e.commands import CommandLine

Kill = tuple[str, int, str]
"""A place such as ``send platform``, which of its occurrences, ``before`` or ``after`` it."""
COMMANDS = ("create", "activate", "close")
EVERY = 10
_OFTEN = ("write journal.db", "write journal.db-wal", "write journal.db-shm", "write journal.db-journal", "send chain")
"""SQLite's pages, many for each transaction, of which the fsync decides; and questions, which change nothing."""


def plan(places: list[str], every: int) -> list[Kill]:
    """The kills of one command, by what it did when nobody killed it."""
    found: list[Kill] = []
    for place, count in Counter(places).items():
        chosen = range(1, count + 1, every) if place in _OFTEN else range(1, count + 1)
        found += [(place, which, "before") for which in chosen]
        found += [(place, which, "after") for which in chosen if place == "send platform"]
    return [*found, (places[-1], places.count(places[-1]), "after")]


def spread(kills: list[Kill], most: int | None) -> list[Kill]:
    """At most so many of them, evenly spread."""
    if most is None or most >= len(kills):
        return kills
    return [kills[(place * len(kills)) // most] for place in range(most)]


COMMITTED = ("0x" + keccak(b"ChallengeCommitted(uint8,bytes32)").hex(), f"0x{1:064x}")
"""The topics of a commitment to a deletion challenge."""


class Untraceable(Exception):
    """This machine does not let a process trace its child (ptrace(2))."""


class Runner:
    """A process that forks the commands; see ``ptraced``."""

    def __init__(self, made: Devnet) -> None:
        self._ports = {
            str(urlsplit(made.programme.url).port): "platform",
            str(urlsplit(made.anvil.url).port): "chain",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.ptraced"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

        if self._process.stdout is None or not json.loads(self._process.stdout.readline()):
            self.close()
            raise Untraceable

    def run(self, cli: CommandLine, home: Path, *arguments: str, kill: Kill | None = None) -> Ran:
        output = home.with_suffix(".out")
        job = {
            "arguments": ["--json", *arguments],
            "environment": cli.environment,
            "output": str(output),
            "folders": [str(home)],
            "ports": self._ports,
            "kill": kill,
        }
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("it was started with pipes")
        self._process.stdin.write(f"{json.dumps(job)}\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        return Ran(told["code"], told["places"], output.read_text() + output.with_suffix(".err").read_text())

    def close(self) -> None:
        self._process.communicate()


@dataclass(frozen=True)
class Ran:
    code: int | None
    """None: killed."""
    places: list[str]
    output: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.output.splitlines()[0])
        return found


@dataclass
class Counts:
    """What came of it. Safe in several threads."""

    killed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By command and place."""
    missed: int = 0
    """The command ended before the place came: polls differ from run to run."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(self.killed.values())

    def lines(self) -> Iterator[str]:
        for command in COMMANDS:
            places = {place: count for (of, place), count in sorted(self.killed.items()) if of == command}
            text = ", ".join(f"{count} {place}" for place, count in places.items())
            yield f"{command}: {sum(places.values())} kills ({text})"
        yield f"{self.kills} kills, {self.missed} not reached, {len(self.lost)} lost, {len(self.doubled)} doubled"
        yield from self.lost
        yield from self.doubled


class Sweep:
    def __init__(self, made: Devnet, folder: Path) -> None:
        self._devnet = made
        self._folder = folder
        self._keystore = shutil.copytree(made.keystore, folder / "keystore")
        self._numbers = iter(range(1, 1_000_000))
        self.counts = Counts()

    def life(self, runner: Runner, kills: dict[str, Kill]) -> dict[str, list[str]]:
        """One account's life, with a kill of each command that has one; what each run before that did."""
        name = f"life-{next(self._numbers)}"
        home = self._folder / name
        home.mkdir(mode=0o700)
        cli = CommandLine(self._devnet.environment, home)
        cli.environment["ORCHESTRATOR_KEYSTORE"] = str(shutil.copytree(self._keystore, home / "keystore"))
        customer = self._customer(name, home / "keystore")
        create = ("accounts", "create", "--customer", customer, "--currency", "EUR", "--reference", name)
        done: dict[str, list[str]] = {}
        account = ""
        for command in COMMANDS:
            arguments = {"create": create, "activate": ("activate", account), "close": ("close", account, "--yes")}
            ran = self._command(runner, cli, home, command, arguments[command], kills.get(command))
            where = f"{name}, {command} killed {kills.get(command)}"
            if ran.code != 0:
                self.counts.lost.append(f"{where}: exit {ran.code}: {ran.output[-2000:]}")
                return done
            done[command] = ran.places
            account = account or ran.document["accountId"]
        self._look(name, account, kills, runner, cli, home, ran.document)
        shutil.rmtree(home)
        return done

    def _customer(self, name: str, keystore: Path) -> str:
        """Another than the other lives have: after a kill an account is known by its customer."""
        keys = Keyring(keystore, FilePassword(self._devnet.password_file), work_factor=2**12)
        made = httpx.post(
            f"{self._devnet.programme.admin_url}/customers",
            json={"owner": keys.create(name).address, "externalId": name},
            headers={"Authorization": f"Bearer {self._devnet.programme.admin_token}"},
            trust_env=False,
        )
        return str(made.raise_for_status().json()["id"])

    def _command(
        self, runner: Runner, cli: CommandLine, home: Path, command: str, arguments: tuple[str, ...], kill: Kill | None
    ) -> Ran:
        ran = runner.run(cli, home, *arguments, kill=kill)
        if kill is None:
            return ran
        if ran.code is not None:
            self.counts.missed += 1
            return ran
        self.counts.killed[command, f"{kill[2]} {kill[0]}"] += 1
        return runner.run(cli, home, *arguments)

    def _look(
        self,
        name: str,
        account: str,
        kills: dict[str, Kill],
        runner: Runner,
        cli: CommandLine,
        home: Path,
        closed: dict[str, Any],
    ) -> None:
        what = f"{name} ({account}), killed {kills}"
        lost, doubled = self.counts.lost, self.counts.doubled
        if (closed["outcome"], closed["status"]) != ("done", "closed"):
            lost.append(f"{what}: {closed}")
            return
        for check in (("certificate", "verify", closed["certificate"]), ("journal", "--verify")):
            ran = runner.run(cli, home, *check)
            if ran.code != 0 or not ran.document["valid"]:
                lost.append(f"{what}: {ran.output}")
        records = self._devnet.simulator.records()
        wallet = next(row["wallet"] for row in records["accounts"] if row["id"] == account)
        signed = Counter(row["purpose"] for row in records["signatures"] if row["subject"] == account)
        if any(count != 1 for count in signed.values()) or len(signed) != 2:
            doubled.append(f"{what}: signatures {dict(signed)}")
        deletes = [
            row
            for row in records["requests"]
            if row["method"] == "DELETE"
            and row["path"].endswith(account)
            and not row["replayed"]
            and 200 <= (row["status"] or 0) < 300
        ]
        if len(deletes) != 1:
            doubled.append(f"{what}: {len(deletes)} requests to close")
        logs = self._devnet.anvil.rpc_sync("eth_getLogs", {"address": wallet.rpartition(":")[2], "fromBlock": "0x0"})
        steps = Counter(tuple(log["topics"]) for log in logs)
        # A challenge whose answer was lost is asked for once more: that ends it, and its successor is committed to.
        issued = sum(row["subject"] == account and row["purpose"] == "deletion" for row in records["challenges"])
        if issued > 1 + ("close" in kills):
            doubled.append(f"{what}: {issued} challenges for the closure")
        if not steps or any(count != (issued if topics == COMMITTED else 1) for topics, count in steps.items()):
            doubled.append(f"{what}: on the chain {dict(steps)}")

    def accounts(self, lives: int) -> None:
        """One for each life."""
        found = len(self._devnet.simulator.records()["accounts"])
        if found != lives:
            (self.counts.doubled if found > lives else self.counts.lost).append(f"{found} accounts of {lives} lives")


@contextmanager
def quick_blocks(anvil: Anvil) -> Iterator[None]:
    """A block each 50 ms, so that finality is quick, too."""
    ended = threading.Event()

    def mine() -> None:
        while not ended.wait(0.05):
            anvil.rpc_sync("evm_mine")

    thread = threading.Thread(target=mine)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def sweep(made: Devnet, folder: Path, *, every: int = EVERY, lives: int | None = None, at_once: int = 2) -> Counts:
    """Runs all of it on a devnet that nobody else uses and whose blocks come by themselves."""
    found = Sweep(made, folder)
    first = Runner(made)
    whole = found.life(first, {})
    if set(whole) != set(COMMANDS):
        first.close()
        return found.counts
    plans = {command: spread(plan(whole[command], every), lives) for command in COMMANDS}
    waiting: queue.SimpleQueue[dict[str, Kill]] = queue.SimpleQueue()
    most = max(map(len, plans.values()))
    for number in range(most):
        # Those of the shorter plans are spread over the longest one, so that the last lives are not longer than others.
        waiting.put(
            {
                command: kills[(number * len(kills)) // most]
                for command, kills in plans.items()
                if number == 0 or (number * len(kills)) // most != ((number - 1) * len(kills)) // most
            }
        )

    def work(runner: Runner) -> None:
        try:
            while True:
                found.life(runner, waiting.get_nowait())
        except queue.Empty:
            pass
        finally:
            runner.close()

    others = [threading.Thread(target=work, args=(Runner(made),)) for _ in range(at_once - 1)]
    for thread in others:
        thread.start()
    work(first)
    for thread in others:
        thread.join()
    found.accounts(most + 1)
    return found.counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=EVERY, help="of pages and questions to the chain, one in so many")
    parser.add_argument("--lives", type=int, help="at most so many kills of each command")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Anvil() as anvil,
        devnet(anvil=anvil) as made,
        quick_blocks(anvil),
    ):
        counts = sweep(made, Path(folder), every=given.every, lives=given.lives, at_once=given.at_once)
    sys.stdout.writelines(f"{line}\n" for line in counts.lines())
    sys.exit(1 if counts.lost or counts.doubled else 0)


if __name__ == "__main__":
    main()
