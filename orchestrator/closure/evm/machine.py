"""What all frames of one analysis share: the facts, the counters, what is missing, and the frames already done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from orchestrator.closure.evm.buffer import Data, unknown_size
from orchestrator.closure.evm.facts import AccountFacts, Limits
from orchestrator.closure.evm.opcodes import Code
from orchestrator.closure.evm.path import Site, Storage, Trail
from orchestrator.closure.evm.words import ONES, AnyWord, Word

ADDRESS_BITS: Final = (1 << 160) - 1
DEPTH: Final = 12
"""Frames within frames that are followed."""
STARTS: Final = 8
"""Starts of calls back that are followed by themselves."""
ENOUGH: Final = 20_000
"""Instructions that are still executed once an acting one is found; half as many where a question is asked."""
LAST_SYSTEM_ADDRESS: Final = 0xFFFF
"""Precompiles and system contracts of chains are at or below: what they do is not in their code."""

STUBS: Final = (b"\xfe", b"\x01", b"\x00", bytes.fromhex("60006000fd"))
"""Code that chains put where their own precompiles are (Arbitrum, Avalanche, Fantom and Sonic, Moonbeam), above
``LAST_SYSTEM_ADDRESS`` too: it is not what runs there."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the outermost call brings along: unknown, but for what no call can have."""

    calldata: Data
    caller: AnyWord
    origin: AnyWord
    value: AnyWord = field(default_factory=lambda: Word(expression=("CALLVALUE",)))

    @classmethod
    def anything(
        cls,
        account: int | None,
        calldata: Data | None = None,
        value: AnyWord | None = None,
        *,
        zero_caller: bool = False,
    ) -> Inputs:
        """Any call by anyone, from any origin. ``account`` itself makes no call that persists.

        It may make one that does not persist: see ``Machine.stays``. ``zero_caller``: see ``AccountFacts``.
        """
        high = ONES & ~ADDRESS_BITS
        everything = Data(b"", b"", unknown_size(name="CALLDATASIZE"), origin=0)
        nobody = ({account} if account is not None else set()) | (set() if zero_caller else {0})
        caller = Word(0, high, tuple(sorted(nobody)), expression=("CALLER",))
        origin = Word(0, high, expression=("ORIGIN",))
        if value is None:
            return cls(calldata or everything, caller, origin)
        return cls(calldata or everything, caller, origin, value)


class Outcome(NamedTuple):
    """A successful end of a frame."""

    storage: Storage
    acted: Site | None
    logged: bool
    returned: Data


class Start(NamedTuple):
    """Where a call back begins: the storage that it finds, and whether the account itself makes it."""

    storage: Storage
    by_itself: bool


class Exhausted(Exception):
    """A limit is reached: the analysis gives up with what it has found."""


class Missing(Exception):
    """A fact is asked for that was not given: the path cannot be followed."""


@dataclass(slots=True)
class Running:
    """A frame in progress."""

    outcomes: dict[Outcome, Trail] = field(default_factory=dict)
    recursive: bool = False


FrameKey: TypeAlias = tuple[int, Data, Storage]
"""What decides a frame's outcomes: the code's address, the calldata, the storage that it begins with."""


class Machine:
    """The state that the frames of one set of inputs share; ``frame.run_frame`` runs them."""

    def __init__(
        self,
        facts: AccountFacts,
        inputs: Inputs,
        limits: Limits,
        *,
        any_storage: bool = False,
        codes: dict[int, Code] | None = None,
        unstable: frozenset[Start] = frozenset(),
        all_ends: bool = False,
        enough: int = ENOUGH,
    ) -> None:
        """``codes``: taken apart before, by address; machines of the same facts share it. ``unstable``: see ``stays``.

        ``all_ends``: whether every successful end is wanted; else one that acts is, and ``enough`` instructions more.
        """
        self.facts = facts
        self.inputs = inputs
        self.limits = limits
        self.any_storage = any_storage
        self.steps = 0
        self.states = 0
        self.slots: dict[int, int] = {}
        """The proven values that were read."""
        self.targets: set[int] = set()
        self.missing_slots: set[int] = set()
        self.missing_codes: set[int] = set()
        self.undecided: tuple[str, str] | None = None
        """The first reason why some path could not be followed, and a sentence."""
        self.reached: set[str] = set()
        """Names of the instructions that can take code away, where they were executed."""
        self.outermost: dict[Outcome, Trail] = {}
        """The outcomes of the outermost frame; those found until then, where a limit ended the run."""
        self.starts: set[Start] = set()
        """Where calls back begin, beside those by others that find the proven storage."""
        self.all_ends = all_ends
        self._unstable = unstable
        self._codes = codes if codes is not None else {}
        self.done: dict[FrameKey, dict[Outcome, Trail]] = {}
        """The outcomes of frames that were run to their end."""
        self.running: dict[FrameKey, Running] = {}
        """The frames in progress, the outermost first."""
        self.outermost_use = DEPTH + 1
        """The position in ``running`` of the outermost frame whose outcomes so far were put in for an inner call."""
        self._more = enough
        self._enough: int | None = None

    # --- facts --------------------------------------------------------------------------------------------------

    def proven(self, slot: int) -> AnyWord:
        """A slot's proven value. Raises Missing."""
        if self.any_storage:
            return Word(expression=("SLOAD", slot))
        value = self.facts.storage.get(slot)
        if value is None:
            if not self.facts.complete:
                self.missing_slots.add(slot)
                raise Missing
            value = 0
        self.slots[slot] = value
        return value

    def target(self, address: int) -> Code | None:
        """The code that a DELEGATECALL to ``address`` surely runs; None where that cannot be said. Raises Missing."""
        if address <= LAST_SYSTEM_ADDRESS:
            return None
        code = self.facts.code if address == self.facts.address else self.facts.codes.get(address)
        if code is None:
            if not self.facts.complete:
                self.missing_codes.add(address)
                raise Missing
            code = b""
        if address != self.facts.address:
            self.targets.add(address)
        if code == b"" or code[0] == 0xEF or code in STUBS:
            return None
        return self.parsed(address, code)

    def parsed(self, address: int, code: bytes) -> Code:
        if address not in self._codes:
            self._codes[address] = Code.parse(address, code)
        return self._codes[address]

    def stays(self, storage: Storage, *, may_be_itself: bool) -> bool:
        """Whether a call out of the account leaves its storage as it is, whoever calls back.

        With the proven storage, calls back by others do: that is just what is being shown for every call (induction
        over the nesting). With a modified one they do if every call that begins there leaves it so. And the account may
        call itself (``may_be_itself``): then CALLER is the account, even if the path that called fails in the end. Such
        starts are noted, and whoever runs the machine must follow them too. Where that fails the start is ``unstable``,
        and all is run again.
        """
        known = storage.unknown is None and all(isinstance(word, int) for word in storage.written.values())
        starts = {Start(storage, False)} if not storage.proven else set()
        if may_be_itself:
            starts.add(Start(storage, True))
        if not known or self.any_storage or starts & self._unstable or len(self.starts | starts) > STARTS:
            return False
        self.starts |= starts
        return True

    # --- limits -------------------------------------------------------------------------------------------------

    def give_up(self, reason: str, detail: str) -> None:
        """One path cannot be followed. The others are: an acting one among them is worth more than this."""
        if self.undecided is None:
            self.undecided = (reason, detail)

    def found(self) -> None:
        """The outermost frame can succeed after acting: what is left to find are other ways, for witnesses."""
        if self._enough is None and not self.all_ends:
            self._enough = self.steps + self._more

    def count_step(self, steps: int) -> None:
        """``steps`` instructions, or as much work."""
        self.steps += steps
        if self._enough is not None and self.steps > self._enough:
            raise Exhausted
        if self.steps > self.limits.steps:
            self.give_up("step_limit", f"more than {self.limits.steps} instructions")
            raise Exhausted

    def count_state(self) -> int:
        """A number for a new state of a path."""
        self.states += 1
        if self.states > self.limits.states:
            self.give_up("state_limit", f"more than {self.limits.states} branches")
            raise Exhausted
        return self.states
