"""What is unfinished in the journal, and what was proven lately, kept up to date by reading only what is new; and when
to poll it next."""

from __future__ import annotations

import heapq

from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.lifecycle.recorded import Recorded
from orchestrator.models import BlockHash, BlockNumber, BlockRef

RECENT = 100
"""Closures whose certificates' blocks are checked again and again: one round trip, whatever was closed before."""


class Backlog:
    """The unfinished operations and creations of a journal, whichever process started them, and the last closures."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._read = 0
        self._decided: set[str] = set()
        """Streams that people have decided something of since the last reading."""
        self.operations: set[str] = set()
        """Ids of accounts with an unfinished operation."""
        self.creations: dict[str, e.CreationIntended] = {}
        """By stream: creations whose answer is not known."""
        self.closures: dict[str, BlockRef] = {}
        """By account: the block that its certificate rests on; the last ``RECENT``, oldest first."""

    async def follow(self) -> set[str]:
        """Reads the journal's new facts. Returns the streams that became unfinished, and those unfinished ones that
        people have decided on meanwhile. Raises JournalError."""
        before = self.operations | set(self.creations)
        self._decided.clear()
        while page := await self._journal.read_all(self._read):
            for item in page:
                self._take(item)
            self._read = page[-1].seq
        now = self.operations | set(self.creations)
        return now if DECISIONS_STREAM in self._decided else (now - before) | (self._decided & now)

    def __contains__(self, stream: str) -> bool:
        return stream in self.operations or stream in self.creations

    def _take(self, item: Recorded) -> None:
        match item.event:
            case e.OperationStarted():
                self.operations.add(item.stream)
            case e.OperationEnded():
                self.operations.discard(item.stream)
            case e.CreationIntended():
                self.creations[item.stream] = item.event
            case e.CreationAnswered() | e.CreationRefused():
                self.creations.pop(item.stream, None)
            case e.ClosureProven(block=block):
                self.closures.pop(item.stream, None)
                self.closures[item.stream] = BlockRef(BlockNumber(block.number), BlockHash(block.hash))
                while len(self.closures) > RECENT:
                    del self.closures[next(iter(self.closures))]
            case e.CertificateRevoked():
                self.closures.pop(item.stream, None)
            case e.OperatorResolved() | o.ApprovalGiven() | o.RulesetAdopted() | o.SigningResumed():
                self._decided.add(item.stream)
            case _:
                pass


class Schedule:
    """Names and when each is due, in seconds on any one clock. The earlier of two times counts."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def at(self, name: str, due: float) -> None:
        if due < self._due.get(name, float("inf")):
            self._due[name] = due
            heapq.heappush(self._heap, (due, name))

    def next(self) -> float | None:
        """When the first one is due."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> str | None:
        """Removes and returns the first name that is due."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        name = heapq.heappop(self._heap)[1]
        del self._due[name]
        return name

    def _drop_stale(self) -> None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
