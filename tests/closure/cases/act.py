"""How an adversary acts once it is closed: the real calls that show it, so that nobody need believe the corpus.

``tests/closure/test_adversaries_act.py`` makes these calls in a real EVM. Pure values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.closure.cases.case import NUMBER, TIMESTAMP, Case, Deploy, Send, Step


@dataclass(frozen=True)
class Call:
    """One transaction. Addresses may be labels, as in the steps of a case; its gas limit is ``gas``."""

    signature: str = ""
    """``close()``; empty: the calldata is ``data``."""
    args: tuple[Any, ...] = ()
    to: str = "account"
    sender: str = "anyone"
    value: int = 0
    """Wei."""
    data: bytes = b""
    append: bytes = b""
    """Behind what ``signature`` and ``args`` encode to."""
    gas: int = 15_000_000
    gas_price: int = 0
    """Wei."""
    timestamp: int = TIMESTAMP
    number: int = NUMBER
    chain_id: int = 1
    prevrandao: int = 0
    coinbase: str = "miner"
    base_fee: int = 0
    """Wei."""
    excess_blob_gas: int = 0


@dataclass(frozen=True)
class Act:
    """The calls, in order, each of which must succeed, and what then has happened."""

    calls: tuple[Call, ...]
    shows: str = "storage"
    """``storage``: the account's storage differs. ``ether``: its balance is smaller. ``created``: its nonce grew.
    ``code``: its code differs. ``answer``: the last call returns ``answer`` in the bits of ``mask`` of the first word.
    ``touched LABEL``: the storage of another account differs, by a call from the account."""
    answer: int = 0
    mask: int = (1 << 256) - 1
    on: str = "revm"
    """``anvil`` where pyrevm cannot: it knows no delegation (EIP-7702), no base fee and no CLZ (EIP-7939)."""


@dataclass(frozen=True)
class Adversary:
    case: Case
    act: Act | None
    """None: it acts in no EVM of today (code that only a later fork may give a meaning), or it is a counter-example."""


CLOSE = Send("account", "close()")


def closes(*args: Any, value: int = 0, before: tuple[Step, ...] = ()) -> tuple[Step, ...]:
    """The owner deploys the contract under test and closes it."""
    return (*before, Deploy("account", args=args, sender="owner", value=value), CLOSE)


def act(*calls: Call, shows: str = "storage", answer: int = 0, mask: int = (1 << 256) - 1, on: str = "revm") -> Act:
    return Act(calls, shows, answer, mask, on)
