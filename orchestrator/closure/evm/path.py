"""One path through a frame: where it is, and what it holds; and the account's storage along it."""

from __future__ import annotations

from typing import Final, NamedTuple

from orchestrator.closure.evm.buffer import Data, Memory, unknown_data
from orchestrator.closure.evm.facts import Branch
from orchestrator.closure.evm.words import AnyWord, Word, widen

RETURN_SIZE: Final = "RETURNDATASIZE"
CALL_SIZE: Final = "CALLDATASIZE"


class Site(NamedTuple):
    """An instruction: the code's address, the program counter, and the slot it writes where that is known."""

    address: int
    pc: int
    slot: int | None = None


class Storage:
    """What the account's storage may hold beside what is proven. Immutable.

    ``written`` are the slots whose value may differ from the proven one, and only those: writing the proven value
    back takes a slot out, so that an empty storage is exactly the proven one. ``unknown`` is set once anything may
    have been written anywhere. ``sites`` names the writing instructions; no rule looks at it.
    """

    __slots__ = ("sites", "unknown", "written")

    def __init__(
        self, written: dict[int, AnyWord] | None = None, unknown: bool = False, sites: tuple[Site, ...] = ()
    ) -> None:
        self.written = written if written is not None else {}
        self.unknown = unknown
        self.sites = sites

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Storage) and self.unknown == other.unknown and self.written == other.written

    def __hash__(self) -> int:
        return hash((self.unknown, frozenset(self.written.items())))

    @property
    def proven(self) -> bool:
        """Whether it is exactly the proven one."""
        return not self.unknown and not self.written

    def write(self, slot: int, word: AnyWord, proven: AnyWord, site: Site) -> Storage:
        """With ``slot`` set; ``proven`` is its proven value (abstract where no proof is asked for)."""
        same = isinstance(word, int) and isinstance(proven, int) and word == proven and not self.unknown
        written = {key: value for key, value in self.written.items() if key != slot}
        if not same:
            written[slot] = word
        sites = tuple(old for old in self.sites if old.slot is None or old.slot in written)
        if not same:
            sites = (*(old for old in sites if old.slot != slot), site)
        return Storage(written, self.unknown, sites)

    def anything(self, site: Site | None) -> Storage:
        """After a write to an unknown slot, or after something unknown that may write."""
        sites = self.sites if site is None or self.unknown else (*self.sites, site)
        return Storage({}, True, sites)

    def widen(self, other: Storage, proven: dict[int, int]) -> Storage:
        """What holds in both. ``proven``: the slots' proven values, for a slot that only one of them has written."""
        if self == other:
            return self
        sites = self.sites + tuple(site for site in other.sites if site not in self.sites)
        if self.unknown or other.unknown:
            return Storage({}, True, sites)
        written: dict[int, AnyWord] = {}
        for slot in self.written.keys() | other.written.keys():
            a, b = (s.written.get(slot, proven.get(slot, Word())) for s in (self, other))
            written[slot] = widen(a, b)
        return Storage(written, False, sites)


class Trail:
    """The decisions of a path, as a linked list: shared, never copied."""

    __slots__ = ("before", "branches")

    def __init__(self, before: Trail | None, branches: tuple[Branch, ...]) -> None:
        self.before = before
        self.branches = branches

    def listed(self) -> tuple[Branch, ...]:
        parts: list[tuple[Branch, ...]] = []
        trail: Trail | None = self
        while trail is not None:
            parts.append(trail.branches)
            trail = trail.before
        return tuple(branch for part in reversed(parts) for branch in part)


START: Final = Trail(None, ())


class Path:
    """The state of one path within a frame. Mutable; copied where the path divides."""

    __slots__ = ("acted", "fork", "logged", "memory", "pc", "returned", "stack", "storage", "trail")

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
        other.fork = self.fork
        return other

    def give(self, returned: Data) -> None:
        """New return data. Words that bore the name of the old one's size are just words from now on."""
        for index, word in enumerate(self.stack):
            if isinstance(word, Word) and word.name == RETURN_SIZE:
                self.stack[index] = Word(word.value, word.known, word.excluded, word.values, None, word.expression)
        self.returned = returned

    def key(self) -> tuple[object, ...]:
        """All that decides how the path goes on."""
        return (tuple(self.stack), self.memory, self.returned, self.storage, self.acted, self.logged)

    def widen(self, other: Path, proven: dict[int, int]) -> Path:
        """A path that stands for both, which are at one place with stacks of one height."""
        joined = self.copy()
        joined.stack = [widen(a, b) for a, b in zip(self.stack, other.stack, strict=True)]
        joined.memory = self.memory.widen(other.memory)
        joined.storage = self.storage.widen(other.storage, proven)
        if self.returned != other.returned:
            data = unknown_data(RETURN_SIZE)
            data.least = min(self.returned.least, other.returned.least)
            joined.returned = data
        joined.trail = other.trail
        joined.fork = other.fork
        return joined
