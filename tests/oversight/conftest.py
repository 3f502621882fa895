"""A journal in a file, a clock that stands, and people with keys of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from coincurve import PrivateKey

from orchestrator import eip191
from orchestrator.authorization.gate import read_oversight
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM, Oversight
from orchestrator.models import Address
from orchestrator.people import Signatory
from orchestrator.policy import Policy, Ruleset
from tests.journal.databases import database, postgres_server  # noqa: F401
from tests.lab import lab, migrated  # noqa: F401

START = datetime(2026, 3, 4, 5, 6, 7, 891, tzinfo=UTC)


class Key:
    """A person's key, as a wallet holds it. Counts how often it was asked."""

    def __init__(self, number: int) -> None:
        self._key = PrivateKey(number.to_bytes(32, "big"))
        self.address: Address = eip191.address_of(self._key.public_key)
        self.asked = 0

    def sign_message(self, message: bytes) -> bytes:
        self.asked += 1
        made = self._key.sign_recoverable(eip191.personal_hash(message), hasher=None)
        return made[:64] + bytes((27 + made[64],))


ALICE, BOB, CAROL, MALLORY = (Key(number) for number in (101, 102, 103, 666))
KEYS = {"alice": ALICE, "bob": BOB, "carol": CAROL}
ROLES = ("administrator", "approver", "operator")


def signatory(key: Key) -> Signatory:
    return Signatory(key=key)


def ruleset(confirmations: int = 1, **changed) -> Ruleset:
    """Three people with all roles; one of them approves what another asks for."""
    document = {
        "people": {name: {"address": key.address, "roles": ROLES} for name, key in KEYS.items()},
        "approvals": {"keys": 1, "expires": 3600},
        **changed,
    }
    return Ruleset(policy=Policy.model_validate(document), domains=(), confirmations=confirmations)


NOBODY = Ruleset(policy=Policy(), domains=(), confirmations=1)
"""The ruleset without a policy file: it knows no people."""


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'journal.db'}"


@pytest.fixture
async def journal(url):
    async with await Journal.open(url) as opened:
        yield opened


async def happened(journal: Journal, stream: str = DECISIONS_STREAM) -> list[str]:
    """The types of a stream's events."""
    return [item.event.type for item in await journal.read(stream)]


async def adopt(journal: Journal, rules: Ruleset, clock: Clock) -> Oversight:
    """The ruleset is in force from here on."""
    import rfc8785

    before = await read_oversight(journal)
    event = o.RulesetAdopted(ruleset=rules.hash, document=rfc8785.dumps(rules.document).decode(), by="os:test")
    await journal.append(DECISIONS_STREAM, [event], after=before.length, at=clock())
    return await read_oversight(journal)


@pytest.fixture
async def shared(database):  # noqa: F811
    """A journal that several share, on a file and on a server: its URL, and one that is open."""
    async with await Journal.open(database.url) as opened:
        yield database.url, opened
