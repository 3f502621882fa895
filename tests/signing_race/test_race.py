"""Processes that race through the step of signing end with one signature, within the limit, and not past a stop.

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
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from eth_hash.auto import keccak

from orchestrator import eip191
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.lifecycle.recorded import Recorded
from orchestrator.models import AccountStatus, ChainId, OperationKind
from orchestrator.passwords import FixedPassword, Secret
from orchestrator.ports.signers import KeyInfo
from orchestrator.signers.keyring import Keyring
from tests.forked import Forked
from tests.journal.databases import Database
from tests.profile import FULL

from .racer import PASSWORD, challenge_of

RACER = Path(__file__).parent / "racer.py"
JITTER = 0.005
"""Seconds by which the processes start apart at most, at random: about what it takes to come to the intent."""

pytestmark = pytest.mark.timeout(1800 if FULL else 300)


@dataclass
class Scene:
    """A journal, and a keystore with one key that is bound to its wallet."""

    database: Database
    keystore: Path
    key: KeyInfo

    @classmethod
    def make(cls, database: Database, folder: Path) -> "Scene":
        keyring = Keyring(folder / "keystore", FixedPassword(Secret(PASSWORD)), work_factor=2**12)
        return cls(database, keyring.path, keyring.create("owner", chains=[ChainId.parse("eip155:31337")]))

    def racers(self, folder: Path, number: int) -> "Racers":
        return Racers(self, folder, number)

    def accounts(self, number: int, racers: int) -> list[str]:
        """New accounts, each as a runner has it before it signs: each of so many racers has fetched a challenge."""
        made = [str(uuid.uuid4()) for _ in range(number)]

        async def run() -> None:
            async with await Journal.open(self.database.url) as journal:
                for account in made:
                    await journal.append(account, self._begun(account, racers), after=0, at=datetime.now(UTC))

        asyncio.run(run())
        return made

    def _begun(self, account: str, racers: int) -> list[e.Fact]:
        observed = e.PlatformObserved(
            customer_id=str(uuid.UUID(int=1)),
            status=AccountStatus.INITIATING,
            wallet=None,
            owner=str(self.key.wallets[0]),
            updated_at=datetime.now(UTC),
        )
        challenges = [challenge_of(account, str(name)) for name in range(racers)]
        fetched = [
            e.ChallengeFetched(purpose="creation", challenge=one.issued, kind=one.kind.value, digest=one.digest)
            for one in challenges
        ]
        return [observed, e.OperationStarted(operation=OperationKind.ACTIVATE), *fetched]

    def facts(self) -> list[Recorded]:
        """All events, of a journal that is whole."""

        async def run() -> list[Recorded]:
            async with await Journal.open(self.database.url) as journal:
                checked = await journal.verify()
                assert checked.valid, checked
                return await journal.read_all(limit=1_000_000)

        return asyncio.run(run())

    def signed(self) -> list[tuple[str, str]]:
        """Accounts and digests, by what the journal says."""
        return [(item.stream, item.event.digest) for item in self.facts() if isinstance(item.event, e.ChallengeSigned)]


@pytest.fixture
def scene(database, tmp_path) -> Scene:
    return Scene.make(database, tmp_path)


class Racers:
    """Processes on one database and one keystore."""

    def __init__(self, scene: Scene, folder: Path, number: int) -> None:
        self.scene = scene
        self.files = [folder / f"signatures-{name}.jsonl" for name in range(number)]
        self.processes = [
            Forked(
                [sys.executable, RACER, scene.database.url, scene.keystore, str(name), file],
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

    def made(self) -> list[str]:
        """The digest of every signature that the key made in any of the processes; each is really the key's."""
        lines = [line for file in self.files if file.exists() for line in file.read_text().splitlines()]
        told = [(bytes.fromhex(line["message"]), bytes.fromhex(line["signature"])) for line in map(json.loads, lines)]
        for message, signature in told:
            eip191.require(message, signature, self.scene.key.address)
        return ["0x" + keccak(message).hex() for message, _ in told]


def race_for(race: Racers, accounts: list[str], racers: int) -> collections.Counter:
    """One account a round. Returns how often each process was the one that signed."""
    winners = collections.Counter()
    for account in accounts:
        race.start({"accounts": [account], "jitter": JITTER})
        told = [outcome for (outcome,) in race.outcomes()]
        assert sorted(told) == ["signature_conflict"] * (racers - 1) + ["signed"], f"{account}: {told}"
        winners[told.index("signed")] += 1
    return winners


def require_one_each(made: list[str], accounts: list[str], scene: Scene) -> None:
    """By what the key did, and by what the journal says: one signature for each account, and both say the same."""
    signed = scene.signed()
    assert sorted(account for account, _ in signed) == sorted(accounts)
    assert sorted(made) == sorted(digest for _, digest in signed)


@pytest.mark.both_databases
def test_of_two_processes_exactly_one_signs(scene, tmp_path):
    rounds = 1000 if FULL else 5
    accounts = scene.accounts(rounds, 2)
    with scene.racers(tmp_path, 2) as race:
        winners = race_for(race, accounts, 2)
        made = race.made()
    assert len(made) == rounds
    require_one_each(made, accounts, scene)
    assert not FULL or len(winners) == 2, f"no race: {winners}"
    logging.getLogger(__name__).info("%s: %d rounds, won %s", scene.database.kind, rounds, dict(winners))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_the_constraint_both_would_sign(scene, tmp_path):
    """What the race is decided by, and that these tests would see it."""
    (account,) = scene.accounts(1, 2)
    scene.database.execute("DROP INDEX one_live_signature_per_operation")
    with scene.racers(tmp_path, 2) as race:
        race.start({"accounts": [account], "jitter": JITTER})
        # One whose own signature was overtaken finds at its second look that its challenge was signed before.
        assert {outcome for (outcome,) in race.outcomes()} <= {"signed", "policy_refused"}
        assert sorted(race.made()) == sorted(challenge_of(account, name).digest for name in ("0", "1"))


@pytest.mark.parametrize("attempt", range(5 if FULL else 1))
def test_a_process_that_is_killed_leaves_one_challenge_to_sign(scene, tmp_path, attempt):
    """Killed anywhere in the race and started again: it signs what it had begun to sign, or nothing."""
    accounts = scene.accounts(1, 2)
    with scene.racers(tmp_path, 2) as race:
        race.start({"accounts": accounts, "jitter": JITTER})
        with contextlib.suppress(subprocess.TimeoutExpired):
            race.processes[0].wait(random.Random(attempt).random() * 0.05)
        race.processes[0].kill()
        (other,) = json.loads(race.processes[1].stdout.readline())
    with scene.racers(tmp_path, 1) as again:
        again.start({"accounts": accounts})
        ((resumed,),) = again.outcomes()
    assert sorted([other, resumed]) == ["signature_conflict", "signed"]
    (digest,) = set(race.made())  # again, from the same files
    assert scene.signed() == [(accounts[0], digest)]


def test_several_processes_one_signature_and_no_more_than_a_limit(scene, tmp_path):
    racers, each, room = 8 if FULL else 3, 3, 7
    accounts = scene.accounts(20 if FULL else 3, racers)
    with scene.racers(tmp_path, racers) as race:
        race_for(race, accounts, racers)
        for _ in range(3 if FULL else 1):
            # Each has accounts of its own now: only the limit is between them.
            most = len(race.made()) + room
            own = [scene.accounts(each, racers) for _ in range(racers)]
            race.start(*({"accounts": mine, "most": most} for mine in own))
            told = collections.Counter(outcome for outcomes in race.outcomes() for outcome in outcomes)
            assert told == {"signed": room, "signing_limit": racers * each - room}
            assert len(race.made()) == most
            accounts += [account for account, _ in scene.signed() if account not in accounts]
        made = race.made()
    require_one_each(made, accounts, scene)


@pytest.mark.parametrize("attempt", range(5 if FULL else 1))
def test_nothing_is_journaled_past_a_stop(scene, tmp_path, attempt):
    """Three processes sign as fast as they can when the stop comes."""
    racers, each, enough = 3, 30, 5 + attempt
    own = [scene.accounts(each, racers) for _ in range(racers)]

    async def stop() -> int:
        async with await Journal.open(scene.database.url) as journal:
            while (await journal.head())[0] < before + enough:
                await asyncio.sleep(0)
            event = o.SigningStopped(stop="s", scope="all", reason="r", by="os:somebody")
            after = len(await journal.read(DECISIONS_STREAM))
            (recorded,) = await journal.append(DECISIONS_STREAM, [event], after=after, at=datetime.now(UTC))
            return recorded.seq

    with scene.racers(tmp_path, racers) as race:
        before = len(scene.facts())
        race.start(*({"accounts": mine} for mine in own))
        place = asyncio.run(stop())
        told = collections.Counter(outcome for outcomes in race.outcomes() for outcome in outcomes)
        made = race.made()
    everything = scene.facts()
    assert [item.event.type for item in everything[place - 1 :]] == ["signing_stopped"]
    assert set(told) == {"signed", "Wait"}
    signed = [item for item in everything if isinstance(item.event, e.ChallengeSigned)]
    intended = [item for item in everything if isinstance(item.event, e.SigningIntended)]
    assert len(signed) == told["signed"]
    assert len(signed) <= len(made) <= len(intended), "what was under way when it came stays an intention"
    assert len(intended) - len(signed) <= racers
