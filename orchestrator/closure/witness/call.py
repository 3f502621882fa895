"""A call to the account: as it is proposed, and as long as its inputs are still being chosen. Pure.

``CallInputs`` knows what each word of a path is worth with the inputs as they are, and keeps what an equation has
decided; which inputs make a condition true is for ``inversion`` to find.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.closure.evm.facts import Authority, Finding
from orchestrator.closure.evm.machine import LAST_SYSTEM_ADDRESS
from orchestrator.closure.evm.opcodes import CONCRETE
from orchestrator.closure.evm.questions import NEVER
from orchestrator.closure.evm.words import ONES, AnyWord, Word, contains

CALLER: Final = 0xCA11E4CA11E4CA11E4CA11E4CA11E4CA11E40001
"""An account like any other, for calls that need no particular sender."""
HELPER: Final = 0x4E19E44E19E44E19E44E19E44E19E44E19E40002
"""A fresh address at which a call may find code of the caller's making."""
HELPER_SHIFTED: Final = (HELPER << 32) & ((1 << 256) - 1)
"""The same for code that reads its arguments from the beginning of the calldata, and not behind a selector."""
HELPER_CODE: Final = bytes.fromhex("60006000600060006000325af150 600160005260206000f3")
"""Calls whoever sent the transaction, with nothing, and answers every call with the word 1: a DELEGATECALL to it acts,
a STATICCALL does not fail."""
SYSTEM_ADDRESS: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE
"""EIP-4788's and its like's caller; nobody can send from it."""
DEFAULT_SIZE: Final = 4 + 32 * 9
MAX_SIZE: Final = 1 << 17
"""Bytes of calldata. More does not fit into a transaction."""
MOST_WEI: Final = 1 << 96
"""More ether than there is."""
MAX_WORK: Final = 500_000
"""Instructions that are evaluated in choosing the inputs of one call: about a second. Code may be written to make
a search long, and nothing stops a thread."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the account. ``value`` is in wei; None for ``timestamp`` (seconds) and ``number`` leaves the block's.

    ``codes`` is code to be put at fresh addresses; the sender may be given any balance.
    """

    sender: int
    calldata: bytes
    value: int = 0
    timestamp: int | None = None
    number: int | None = None
    codes: Mapping[int, bytes] = field(default_factory=dict)


class CallInputs:
    """The inputs of a call that is to lead to ``target``: chosen one after the other, each within what is settled.

    ``filling`` is a word that stands wherever no argument was chosen. ``timestamp`` (seconds) and ``number`` are the
    pinned block's.
    """

    def __init__(self, account: int, target: Finding | Authority, filling: int, *, timestamp: int, number: int) -> None:
        self.account = account
        self.filling = filling.to_bytes(32, "big")
        self.bytes: dict[int, tuple[int, int, int]] = {}
        """Byte of calldata, to its value, the mask of its bits that were chosen, and of those that are settled."""
        self.chosen: dict[str, int] = {}
        """The size of the calldata, the sender, the value and the time, where they were chosen, by the instruction."""
        self.settled: dict[str, int] = {}
        """The bits of them that an equation has decided: another condition may not change them any more."""
        self.settling = True
        """Whether an equation is being met; else what is chosen may be chosen again."""
        self.now = {"TIMESTAMP": timestamp, "NUMBER": number}
        self.wishes: dict[int, int] = {}
        """Values of what no caller chooses, by the word's identity: executed, the call will show them."""
        self.helper = filling in (HELPER, HELPER_SHIFTED)
        self.work = 0
        """Instructions evaluated so far."""
        if isinstance(target, Authority):
            for index, byte in enumerate(target.selector.to_bytes(4, "big")):
                self.bytes[index] = (byte, 0xFF, 0xFF)

    # --- as they are ----------------------------------------------------------------------------------------------

    def call(self) -> Call:
        """The call with these inputs."""
        calldata = bytes(self._byte(index) for index in range(self.size()))
        return Call(
            self.sender(),
            calldata,
            self.chosen.get("CALLVALUE", 0),
            self.chosen.get("TIMESTAMP"),
            self.chosen.get("NUMBER"),
            {HELPER: HELPER_CODE} if self.helper else {},
        )

    def used(self) -> int:
        """The bytes of calldata up to the last that was chosen."""
        return max(self.bytes, default=-1) + 1

    def size(self) -> int:
        """The calldata's, in bytes."""
        return self.chosen.get("CALLDATASIZE", max(DEFAULT_SIZE, self.used()))

    def sender(self) -> int:
        """Who sends the call."""
        return self.chosen.get("CALLER", CALLER)

    def _byte(self, index: int) -> int:
        filler = self.filling[(index - 4) % 32] if index >= 4 else 0
        value, mask, _ = self.bytes.get(index, (0, 0, 0))
        return (value & mask) | (filler & ~mask)

    def _load(self, offset: int) -> int:
        size = self.size()
        if offset >= size:
            return 0
        return int.from_bytes(bytes(self._byte(i) if i < size else 0 for i in range(offset, offset + 32)), "big")

    def exhausted(self) -> bool:
        """Whether the search has done all that it may: it ends with the inputs as they are."""
        return self.work > MAX_WORK

    def evaluate(self, word: AnyWord) -> int:
        """The value that a word has with these inputs; a wish, or nothing special, where they do not decide it."""
        return self._evaluate(word, {})

    def _evaluate(self, word: AnyWord, done: dict[int, int]) -> int:
        """``done``: what was evaluated already, by identity. Code that adds a word to itself n times names it 2^n
        times."""
        if isinstance(word, int):
            return word
        if id(word) not in done:
            self.work += 1
            done[id(word)] = self._value(word, done)
        return done[id(word)]

    def _value(self, word: Word, done: dict[int, int]) -> int:
        wished = self.wishes.get(id(word))
        if wished is not None:
            return wished
        if word.expression is None:
            return word.value
        name, *operands = word.expression
        if name in CONCRETE:
            return CONCRETE[name](*(self._evaluate(operand, done) for operand in operands))
        if name in ("CALLDATA", "CALLDATALOAD"):
            return self._load(self._evaluate(operands[0], done))
        if name == "CALLDATASIZE":
            return self.size()
        if name in ("CALLER", "ORIGIN"):
            return self.sender()
        if name == "CALLVALUE":
            return self.chosen.get(name, int(0 in word.excluded))
        if name in self.now:
            return self.chosen.get(name, self.now[name])
        return _answer(name, word)

    # --- changing them --------------------------------------------------------------------------------------------

    def saved(self) -> tuple[dict[int, tuple[int, int, int]], dict[str, int], dict[str, int]]:
        """What was chosen and settled so far, for ``restore``."""
        return self.bytes.copy(), self.chosen.copy(), self.settled.copy()

    def restore(self, saved: tuple[dict[int, tuple[int, int, int]], dict[str, int], dict[str, int]]) -> None:
        """Takes back what was chosen since ``saved``; wishes stay."""
        self.bytes, self.chosen, self.settled = saved

    def wish(self, word: Word, value: int, mask: int) -> bool:
        """Supposes the masked bits of a word that no caller chooses. Always possible."""
        self.wishes[id(word)] = (word.value & ~mask) | value
        return True

    def choose(self, name: str, value: int, mask: int) -> bool:
        """Chooses the input that the instruction ``name`` gives, of which the masked bits matter. Whether it may."""
        settled, old = self.settled.get(name, 0), self.chosen.get(name, 0)
        if (old ^ value) & settled:
            if self.settling or settled == ONES:
                return False
            value = (value & ~settled) | (old & settled)  # at least as much, with the bits that are settled
            value += settled + 1
        if not self._possible(name, value):
            return False
        self.chosen[name] = value
        if self.settling:
            self.settled[name] = settled | mask
        return True

    def _possible(self, name: str, value: int) -> bool:
        """Whether a call can have this input: no sender but an account, no more ether than there is, no past, and no
        time that never comes."""
        if name == "CALLER":
            return LAST_SYSTEM_ADDRESS < value < 1 << 160 and value not in (self.account, SYSTEM_ADDRESS)
        if name == "CALLDATASIZE":
            return value <= MAX_SIZE
        if name == "CALLVALUE":
            return value < MOST_WEI
        return self.now[name] <= value < NEVER

    def choose_calldata(self, offset: int, value: int, mask: int) -> bool:
        """Chooses the masked bits of the word of calldata at ``offset``. Whether they may be what ``value`` has."""
        if offset + 32 > MAX_SIZE or offset >= self.chosen.get("CALLDATASIZE", MAX_SIZE):
            return False
        changes: dict[int, tuple[int, int, int]] = {}
        for index in range(32):
            shift = 248 - 8 * index
            byte, part = (value >> shift) & 0xFF, (mask >> shift) & 0xFF
            if part:
                old, chosen, settled = self.bytes.get(offset + index, (0, 0, 0))
                if (old ^ byte) & settled & part:
                    return False
                settled |= part if self.settling else 0
                changes[offset + index] = ((old & ~part) | (byte & part), chosen | part, settled)
        self.bytes.update(changes)
        return True


def _answer(name: str, word: Word) -> int:
    """What the rest of the chain most likely says."""
    if name in ("CALL", "STATICCALL", "DELEGATECALL", "CALLCODE"):
        return 1
    likely = {"GAS": 1_000_000, "GASPRICE": 0, "CHAINID": 1, "BASEFEE": 0}.get(name, word.value)
    return likely if contains(word, likely) else word.value
