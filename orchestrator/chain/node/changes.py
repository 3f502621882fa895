"""What following a chain shows, as it is reported to those who wait."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.errors import ChainError
from orchestrator.models import AccountId, BlockNumber, BlockRef


@dataclass(frozen=True, slots=True)
class NewHead:
    """The chain's head now. ``safe`` and ``finalized`` are None where the node does not know the tag."""

    head: BlockRef
    safe: BlockNumber | None
    finalized: BlockNumber | None


@dataclass(frozen=True, slots=True)
class Touched:
    """Something happened to these accounts: a log of theirs came, went with a reorg, or became final."""

    accounts: frozenset[AccountId]


@dataclass(frozen=True, slots=True)
class Reorg:
    """Blocks that are not canonical any more, oldest first. Reported only; ``steps/observe.py`` withdraws facts."""

    dropped: tuple[BlockRef, ...]
    common_ancestor: BlockRef | None
    """The newest block that stayed; None if it is older than what is kept."""
    by_another: bool = False
    """Whether another process has taken them out of the index: whose logs went with them is not known here."""


@dataclass(frozen=True, slots=True)
class FinalityViolation:
    """A reorg went below a block that the node had called finalized: nothing that rests on it may be believed."""

    finalized: BlockRef
    """The highest block that was seen as finalized."""
    common_ancestor: BlockRef | None


@dataclass(frozen=True, slots=True)
class Outage:
    """The node cannot be read since then. Reported once; the follower goes on trying."""

    error: ChainError


@dataclass(frozen=True, slots=True)
class Restored:
    """The node answers again after so many seconds."""

    seconds: float


Change = NewHead | Touched | Reorg | FinalityViolation | Outage | Restored
