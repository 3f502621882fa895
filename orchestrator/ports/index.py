"""The index of a chain: where the wallets' events are, kept beside the journal. ``orchestrator.journal`` keeps it,
``orchestrator.chain`` fills it.

It is rebuilt from the chain whenever it is lost, and never the truth: it says which account to read again, and nothing
is decided by what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.models import AccountId, Address, BlockHash, BlockRef, TxHash


@dataclass(frozen=True, slots=True)
class Log:
    """One event log of a mined transaction."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block: BlockRef
    tx_hash: TxHash
    index: int


@dataclass(frozen=True, slots=True)
class AccountLog:
    """A log of an account: of its wallet's creation, or of the wallet."""

    account_id: AccountId
    log: Log
    creates: Address | None = None
    """The wallet, where the log is of its creation."""


@dataclass(frozen=True, slots=True)
class KeptBlock:
    """A block whose hash is compared later."""

    block: BlockRef
    parent: BlockHash


@dataclass(frozen=True, slots=True)
class Position:
    """How far an index has come. ``version`` grows with each change, by whichever process; 0: there is nothing."""

    version: int = 0
    head: BlockRef | None = None
    finalized: BlockRef | None = None
    """The highest block that the node has called finalized."""
    blocks: tuple[KeptBlock, ...] = ()
    """The last blocks up to the head, ascending."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What becomes of an index: all above ``ancestor`` is dropped, and then this is added. A log at or below it takes
    the place of what is there.

    ``blocks`` are ascending and end with the new head; empty, the head is the ancestor. ``oldest``: blocks below this
    number need not be kept any longer.
    """

    ancestor: int
    """-1: everything is dropped."""
    head: BlockRef
    finalized: BlockRef | None
    blocks: Sequence[KeptBlock]
    logs: Sequence[AccountLog]
    oldest: int


class ChainIndex(Protocol):
    """The index of one factory's wallets on one chain, from one block on. Each call is one transaction; all raise
    JournalError."""

    async def position(self) -> Position: ...

    async def advance(self, seen: int, step: Advance) -> frozenset[AccountId] | None:
        """The accounts that a dropped log was of. None, with nothing done, unless the version is ``seen``: another
        process was faster. Else the version is one more."""
        ...

    async def mend(self, seen: int, account_id: AccountId, logs: Sequence[AccountLog]) -> bool:
        """Puts these in the place of the account's logs. False, with nothing done, unless the version is ``seen``.
        Else it is one more."""
        ...

    async def logs(self, account_id: AccountId) -> tuple[int, list[AccountLog]]:
        """The version, and the account's logs in the chain's order."""
        ...

    async def between(self, first: int, last: int) -> list[AccountLog]:
        """All logs of these blocks, both included, in the chain's order."""
        ...

    async def accounts_of(self, wallets: Sequence[Address]) -> dict[Address, AccountId]:
        """Which of these addresses are wallets, and of which account."""
        ...
