"""Processes that race to sign end with one signature, within the limit, and not past a stop.

What counts is what the key did: each process writes down every signature that it made. 10 rounds of the race of two by
default, 1,000 with ORCHESTRATOR_TEST_PROFILE=full.
"""

import asyncio
import collections
import contextlib
import json
import logging
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import coincurve
import pytest

from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight import STREAM
from orchestrator.lifecycle.recorded import Recorded
from tests.profile import FULL

from .racer import KEY

RACER = Path(__file__).parent / "racer.py"
JITTER = 0.002
"""Seconds by which the processes start apart at most, at random: about what a transaction takes."""

pytestmark = pytest.mark.timeout(1800 if FULL else 300)


class Racers:
    """Processes on one database."""

    def __init__(self, url: str, folder: Path, number: int) -> None:
        self.files = [folder / f"signatures-{name}.jsonl" for name in range(number)]
        self.processes = [
            subprocess.Popen(
                [sys.executable, RACER, url, str(name), file],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name, file in enumerate(self.files)
        ]

    def __enter__(self) -> "Racers":
        for process in self.processes:
            assert process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.stdin.close()
            process.stdout.close()
            process.wait(60)

    def start(self, *told: dict) -> None:
        """The same to all, or something to each."""
        told = told if len(told) > 1 else told * len(self.processes)
        for process, one in zip(self.processes, told, strict=True):
            process.stdin.write(json.dumps(one) + "\n")
        for process in self.processes:
            process.stdin.flush()  # here they start

    def outcomes(self) -> list[list[str]]:
        return [json.loads(process.stdout.readline()) for process in self.processes]

    def made(self) -> list[dict]:
        """Every signature that any of the processes made."""
        return [json.loads(line) for file in self.files if file.exists() for line in file.read_text().splitlines()]


def prepare(url: str) -> None:
    async def run() -> None:
        await (await Journal.open(url)).close()

    asyncio.run(run())


def facts(url: str) -> list[Recorded]:
    """All events, of a journal that is whole."""

    async def run() -> list[Recorded]:
        async with await Journal.open(url) as journal:
            checked = await journal.verify()
            assert checked.valid, checked
            return await journal.read_all(limit=1_000_000)

    return asyncio.run(run())


def require_real(made: list[dict]) -> None:
    for line in made:
        signature, digest = bytes.fromhex(line["signature"]), bytes.fromhex(line["digest"][2:])
        assert coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None) == KEY.public_key


def race_for(race: Racers, accounts: list[str], racers: int) -> collections.Counter:
    """One account a round. Returns how often each process was the one that signed."""
    winners = collections.Counter()
    for account in accounts:
        race.start({"accounts": [account], "jitter": JITTER})
        told = [outcome for (outcome,) in race.outcomes()]
        assert sorted(told) == ["signature_conflict"] * (racers - 1) + ["signed"], f"{account}: {told}"
        winners[told.index("signed")] += 1
    return winners


def require_one_each(made: list[dict], accounts: list[str], url: str) -> None:
    """By what the keys did, and by what the journal says."""
    assert sorted(line["account"] for line in made) == sorted(accounts)
    for line in made:
        signature, digest = bytes.fromhex(line["signature"]), bytes.fromhex(line["digest"][2:])
        assert coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None) == KEY.public_key
    signed = [(item.stream, item.event.digest) for item in facts(url) if isinstance(item.event, e.ChallengeSigned)]
    assert sorted(signed) == sorted((line["account"], line["digest"]) for line in made)


@pytest.mark.both_databases
def test_of_two_processes_exactly_one_signs(database, tmp_path):
    prepare(database.url)
    rounds = 1000 if FULL else 10
    accounts = [f"account-{number}" for number in range(rounds)]
    with Racers(database.url, tmp_path, 2) as race:
        winners = race_for(race, accounts, 2)
        made = race.made()
    assert len(made) == rounds
    require_one_each(made, accounts, database.url)
    assert not FULL or len(winners) == 2, f"no race: {winners}"
    logging.getLogger(__name__).info("%s: %d rounds, won %s", database.kind, rounds, dict(winners))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_the_constraint_both_would_sign(database, tmp_path):
    """What the race is decided by, and that these tests would see it."""
    prepare(database.url)
    database.execute("DROP INDEX one_live_signature_per_operation")
    with Racers(database.url, tmp_path, 2) as race:
        race.start({"accounts": ["a"], "jitter": JITTER})
        assert race.outcomes() == [["signed"], ["signed"]]
        assert len(race.made()) == 2


@pytest.mark.parametrize("attempt", range(5 if FULL else 1))
def test_a_process_that_is_killed_leaves_one_challenge_to_sign(database, tmp_path, attempt):
    """Killed anywhere in the race and started again: it signs what it had begun to sign, or nothing."""
    prepare(database.url)
    with Racers(database.url, tmp_path, 2) as race:
        race.start({"accounts": ["a"], "jitter": JITTER})
        with contextlib.suppress(subprocess.TimeoutExpired):
            race.processes[0].wait(random.Random(attempt).random() * 0.03)
        race.processes[0].kill()
        (other,) = json.loads(race.processes[1].stdout.readline())
        made = race.made()
    with Racers(database.url, tmp_path, 1) as again:
        again.start({"accounts": ["a"]})
        ((resumed,),) = again.outcomes()
        made += again.made()
    assert sorted([other, resumed]) in (["signature_conflict", "signed"], ["challenge_signed_before", "signed"])
    assert len({line["digest"] for line in made}) == 1
    signed = [item.event.digest for item in facts(database.url) if isinstance(item.event, e.ChallengeSigned)]
    assert signed == [made[0]["digest"]]


def test_several_processes_one_signature_and_no_more_than_a_limit(database, tmp_path):
    prepare(database.url)
    racers, each, room = 8 if FULL else 3, 3, 7
    accounts = [f"account-{number}" for number in range(20 if FULL else 3)]
    with Racers(database.url, tmp_path, racers) as race:
        race_for(race, accounts, racers)
        for number in range(3 if FULL else 1):
            # Each has accounts of its own now: only the limit is between them.
            limit = {"most": len(race.made()) + room, "seconds": 3600}
            own = [[f"{number}-{name}-{one}" for one in range(each)] for name in range(racers)]
            race.start(*({"accounts": mine, "limit": limit} for mine in own))
            told = collections.Counter(outcome for outcomes in race.outcomes() for outcome in outcomes)
            assert told == {"signed": room, "signing_limit": racers * each - room}
            assert len(race.made()) == limit["most"]
        made = race.made()
    require_one_each(made, [line["account"] for line in made], database.url)
    assert {line["account"] for line in made} >= set(accounts)


@pytest.mark.parametrize("attempt", range(5 if FULL else 1))
def test_nothing_is_journaled_past_a_stop(database, tmp_path, attempt):
    """Three processes sign as fast as they can, on what they saw before the stop."""
    racers, each, enough = 3, 100, 5 + attempt
    prepare(database.url)

    async def stop() -> int:
        async with await Journal.open(database.url) as journal:
            while (await journal.head())[0] < enough:
                await asyncio.sleep(0)
            event = o.SigningStopped(stop="s", scope="all", reason="r", by="os:somebody")
            (recorded,) = await journal.append(STREAM, [event], after=0, at=datetime.now(UTC))
            return recorded.seq

    with Racers(database.url, tmp_path, racers) as race:
        race.start(*({"accounts": [f"{name}-{number}" for number in range(each)]} for name in range(racers)))
        place = asyncio.run(stop())
        told = collections.Counter(outcome for outcomes in race.outcomes() for outcome in outcomes)
        made = race.made()
    everything = facts(database.url)
    assert [item.event.type for item in everything[place - 1 :]] == ["signing_stopped"]
    assert set(told) == {"signed", "journal_moved"}
    signed = [item for item in everything if isinstance(item.event, e.ChallengeSigned)]
    intended = [item for item in everything if isinstance(item.event, e.SigningIntended)]
    assert len(signed) == told["signed"]
    assert len(signed) <= len(made) <= len(intended), "what was under way when it came stays an intention"
    assert len(intended) - len(signed) <= racers
