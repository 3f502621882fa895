"""One path through a frame: where it is, and what it holds; and the account's storage along it."""

from __future__ import annotations

from typing import Final, NamedTuple

from orchestrator.closure.evm.buffer import Data, Memory, unknown_size
from orchestrator.closure.evm.facts import Branch
from orchestrator.closure.evm.words import MAX_EXCLUDED, ONES, AnyWord, Word, least, widen

STACK: Final = 1024
"""The most words on a stack."""


class Site(NamedTuple):
    """An instruction: the code's address, the program counter, and the slot it writes where that is known."""

    address: int
    pc: int
    slot: int | None = None


class Storage:
    """What the account's storage may hold beside what is proven. Immutable.

    ``written`` are the slots whose value may differ from the proven one, and only those: writing the proven value
    back takes a slot out, so that an empty storage is exactly the proven one. From the slot ``unknown`` on, anything
    may have been written to any slot that is not in ``written``. ``sites`` names the writing instructions; no rule
    reads it.
    """

    __slots__ = ("_hash", "sites", "unknown", "written")

    def __init__(
        self, written: dict[int, AnyWord] | None = None, unknown: int | None = None, sites: tuple[Site, ...] = ()
    ) -> None:
        self.written = written if written is not None else {}
        self.unknown = unknown
        self.sites = sites
        self._hash = hash((unknown, frozenset(self.written.items())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Storage) and self.unknown == other.unknown and self.written == other.written

    def __hash__(self) -> int:
        return self._hash

    @property
    def proven(self) -> bool:
        """Whether it is exactly the proven one."""
        return self.unknown is None and not self.written

    def is_unknown(self, slot: int) -> bool:
        """Whether anything may have been written to a slot that is not in ``written``."""
        return self.unknown is not None and slot >= self.unknown

    def write(self, slot: int, word: AnyWord, proven: AnyWord, site: Site) -> Storage:
        """With ``slot`` set; ``proven`` is its proven value (abstract where no proof is asked for)."""
        same = isinstance(word, int) and isinstance(proven, int) and word == proven and not self.is_unknown(slot)
        written = {key: value for key, value in self.written.items() if key != slot}
        if not same:
            written[slot] = word
        sites = tuple(old for old in self.sites if old.slot is None or old.slot in written)
        if not same:
            sites = (*(old for old in sites if old.slot != slot), site)
        return Storage(written, self.unknown, sites)

    def anything(self, site: Site | None = None, low: int = 0) -> Storage:
        """After a write to an unknown slot (at least ``low``), or after something unknown that may write."""
        sites = self.sites if site is None or site in self.sites else (*self.sites, site)
        written = {slot: word for slot, word in self.written.items() if slot < low}
        return Storage(written, low if self.unknown is None else min(low, self.unknown), sites)

    def widen(self, other: Storage, proven: dict[int, int]) -> Storage:
        """What holds in both. ``proven``: the slots' proven values, for a slot that only one of them has written."""
        if self == other:
            return self
        sites = self.sites + tuple(site for site in other.sites if site not in self.sites)
        unknown = min((part.unknown for part in (self, other) if part.unknown is not None), default=None)
        written: dict[int, AnyWord] = {}
        for slot in self.written.keys() | other.written.keys():
            if unknown is None or slot < unknown:
                a, b = (part.written.get(slot, proven.get(slot, Word())) for part in (self, other))
                written[slot] = widen(a, b)
        return Storage(written, unknown, sites)


class Trail:
    """The decisions of a path, as a linked list: shared, never copied. ``last`` is one, or a whole inner frame's."""

    __slots__ = ("before", "last")

    def __init__(self, before: Trail | None, last: Branch | Trail | None) -> None:
        self.before = before
        self.last = last

    def listed(self) -> tuple[Branch, ...]:
        """In the order of the path; of a very long one only the end."""
        found: list[Branch] = []
        left: list[Branch | Trail | None] = [self]
        while left and len(found) < MAX_TRAIL:
            part = left.pop()
            if isinstance(part, Branch):
                found.append(part)
            elif part is not None:
                left += (part.before, part.last)
        return tuple(reversed(found))


START: Final = Trail(None, None)
MAX_TRAIL: Final = 4096


class Path:
    """The state of one path within a frame. Mutable; copied where the path divides."""

    __slots__ = ("acted", "fork", "logged", "memory", "negated", "pc", "returned", "stack", "storage", "trail")

    def __init__(self, storage: Storage) -> None:
        self.pc = 0
        self.stack: list[AnyWord] = []
        self.memory = Memory()
        self.returned = Data(b"", b"", 0)
        self.storage = storage
        self.acted: Site | None = None
        """The first acting instruction reached, a write to storage excepted: those are in ``storage``."""
        self.logged = False
        self.trail = START
        self.negated: dict[int, tuple[Word, Word]] = {}
        """The results of ISZERO since the last JUMPDEST, by identity, each with itself and its operand."""
        self.fork = 0
        """Number of the last branching on the path: an unchanged one means that a loop ran without a decision."""

    def copy(self) -> Path:
        other = Path.__new__(Path)
        other.pc = self.pc
        other.stack = self.stack.copy()
        other.memory = self.memory
        other.returned = self.returned
        other.storage = self.storage
        other.acted = self.acted
        other.logged = self.logged
        other.trail = self.trail
        other.negated = self.negated.copy()
        other.fork = self.fork
        return other

    def learn(self, condition: AnyWord, truth: bool) -> None:
        """Uses what a branch has shown: the word that was tested, wherever it stands on the stack, and what it negates.

        One object on the stack is one value: only DUP makes two places share one, and ``key`` keeps the sharing apart.
        """
        while isinstance(condition, Word):
            shown: AnyWord = 0
            if truth:
                boolean = condition.known | 1 == ONES
                excluded = tuple(sorted({0, *condition.excluded}))[:MAX_EXCLUDED]
                values = condition.values
                low = max(condition.low, 1)
                shown = (
                    1
                    if boolean
                    else Word(condition.value, condition.known, excluded, values, low, condition.expression)
                )
            for index, word in enumerate(self.stack):
                if word is condition:
                    self.stack[index] = shown
            _, condition = self.negated.get(id(condition), (None, 0))
            truth = not truth

    def key(self) -> tuple[object, ...]:
        """All that decides how the path goes on, after a JUMPDEST."""
        places: dict[int, int] = {}
        shared = [places.setdefault(id(word), n) for n, word in enumerate(self.stack) if isinstance(word, Word)]
        return (
            tuple(self.stack),
            tuple(shared) if len(places) < len(shared) else (),
            self.memory,
            self.returned,
            self.storage,
            self.acted,
            self.logged,
        )

    def widen(self, other: Path, proven: dict[int, int]) -> Path:
        """A path that stands for both, which are at one place with stacks of one height."""
        joined = self.copy()
        pairs: dict[tuple[int, int], AnyWord] = {}
        for index, (a, b) in enumerate(zip(self.stack, other.stack, strict=True)):
            pair = (id(a), id(b))
            if pair not in pairs:  # two places share a value in both paths, or they do not share one
                word = widen(a, b)
                pairs[pair] = word if isinstance(word, int) else word.anew()
            joined.stack[index] = pairs[pair]
        joined.memory = self.memory.widen(other.memory)
        joined.storage = self.storage.widen(other.storage, proven)
        if self.returned != other.returned:
            low = min(least(self.returned.size), least(other.returned.size))
            joined.returned = Data(b"", b"", unknown_size(low))
        joined.trail = other.trail
        joined.fork = other.fork
        return joined
