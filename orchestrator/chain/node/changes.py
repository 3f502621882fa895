"""What following a chain shows, and how it is reported to those who wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from orchestrator.errors import ChainError
from orchestrator.models import AccountId, BlockNumber, BlockRef

_log = structlog.get_logger(__name__)


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


class News:
    """Collects what polls find, until one ends well and it is told."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[Change], None]] = []
        self.touched: set[AccountId] = set()
        self.names: dict[AccountId, AccountId] = {}
        """The account of what the index has under another name: see ``reader``."""
        self._changes: list[Change] = []
        self._head: NewHead | None = None
        self.settled: int | None = None
        """Up to this block, what became final has been told."""
        self._outage_since: float | None = None

    def lost(
        self,
        gone: Sequence[BlockRef],
        common: int,
        ancestor: BlockRef | None,
        finalized: BlockRef | None,
        *,
        by_another: bool = False,
    ) -> None:
        """Blocks above number ``common`` are not canonical any more: ``gone`` are those that were known."""
        if self.settled is not None:
            self.settled = min(self.settled, common)
        if gone:
            self._changes.append(Reorg(tuple(gone), ancestor, by_another))
            if finalized is not None and common < finalized.number:
                self._changes.append(FinalityViolation(finalized, ancestor))

    def outage(self, error: ChainError) -> bool:
        """Whether it is new, and told."""
        if self._outage_since is not None:
            return False
        self._outage_since = time.monotonic()
        _log.warning("chain_outage", code=error.code, message=error.message)
        self._report(Outage(error))
        return True

    def tell(self, head: NewHead) -> None:
        """Reports all that was found since the last time."""
        changes, touched = self._changes, self.touched
        self._changes, self.touched = [], set()
        if self._outage_since is not None:
            changes.insert(0, Restored(time.monotonic() - self._outage_since))
            self._outage_since = None
        if head != self._head:
            changes.append(head)
        if touched:
            changes.append(Touched(frozenset(self.names.get(one, one) for one in touched)))
        self._head = head
        for change in changes:
            self._report(change)

    def _report(self, change: Change) -> None:
        for callback in list(self.callbacks):
            try:
                callback(change)
            except Exception:  # noqa: BLE001 - one subscriber's mistake must not stop the others' blocks
                _log.exception("chain_subscriber_failed", change=type(change).__name__)
