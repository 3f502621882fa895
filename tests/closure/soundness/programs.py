# ruff: noqa: E501  (a row of instructions is one line)
"""Random programs that are biased to be interesting: every one is made by its seed alone.

The bait is always an instruction that acts, behind a condition that mostly cannot hold, for a reason that the analysis
has to get right: a constant computed from proven slots, bits that are known, memory that was overwritten, a frame that
fails, a delegate call that can run out of gas. An analysis that gets the reason wrong calls a program inert that acts.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from .asm import Here, Item, Label, Ref, assemble, push
from .world import ATTACKERS, SENDERS, SUBJECT, value_of

MASK = 2**256 - 1
CORNERS = (
    0, 1, 2, 3, 4, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 160, 254, 255, 256, 257, 2**16, 2**32, 2**64, 2**128, 2**160 - 1,
    2**160, 2**255 - 1, 2**255, 2**255 + 1, MASK - 255, MASK - 31, MASK - 1, MASK,
)  # fmt: skip
SLOTS = (0, 1, 2, 3, MASK, 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC)
TARGETS = tuple(0x7A26_E700_0000_0000_51D0_44C1_0000_0000_0000_0000 + n * 0x35B for n in (1, 2, 3))
EMPTY_TARGET = 0xE3_97F1_0000_0000_0000_9911_0000_0000_0000_0001
QUESTIONS = (
    0x1626BA7E, 0x20C13B0B, 0x3A871CDD, 0x19822F7C, 0xF465C77E, 0x52B7512C, 0x23E30C8B, 0x920F5C84, 0x1B11D0FF, 0xF4DD92CE,
)  # fmt: skip
UNARY = ("NOT", "ISZERO")
BINARY = (
    "ADD", "MUL", "SUB", "DIV", "SDIV", "MOD", "SMOD", "EXP", "SIGNEXTEND", "LT", "GT", "SLT", "SGT", "EQ", "AND", "OR",
    "XOR", "BYTE", "SHL", "SHR", "SAR",
)  # fmt: skip
TERNARY = ("ADDMOD", "MULMOD")
UNKNOWN = (
    "CALLER", "ORIGIN", "CALLVALUE", "CALLDATASIZE", "TIMESTAMP", "NUMBER", "GAS", "GASPRICE", "COINBASE", "PREVRANDAO",
    "GASLIMIT", "CHAINID", "SELFBALANCE", "BASEFEE", "BLOBBASEFEE", "RETURNDATASIZE", "MSIZE", "PC", "CODESIZE", "ADDRESS",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Program:
    """One account to be judged. ``origin`` says how to make it again."""

    origin: str
    code: bytes
    storage: Mapping[int, int] = field(default_factory=dict)
    codes: Mapping[int, bytes] = field(default_factory=dict)
    address: int = SUBJECT

    def __str__(self) -> str:
        storage = {hex(slot): hex(value) for slot, value in self.storage.items()}
        codes = {hex(address): code.hex() for address, code in self.codes.items()}
        return f"{self.origin} at {self.address:#042x}\n  code    {self.code.hex()}\n  storage {storage}\n  codes   {codes}"


class Writer:
    """Writes statements that leave the stack as it was, and expressions that leave one word on it."""

    def __init__(self, rng: random.Random, storage: Mapping[int, int], targets: tuple[int, ...] = ()) -> None:
        self.rng, self.storage, self.targets = rng, storage, targets
        self.items: list[Item] = []
        self.data: list[Item] = []
        self._labels = 0

    def label(self) -> str:
        self._labels += 1
        return f"l{self._labels}"

    def add(self, *items: Item) -> None:
        self.items.extend(items)

    # Words

    def constant(self) -> int:
        rng = self.rng
        pick = rng.random()
        if pick < 0.55:
            return rng.choice(CORNERS)
        if pick < 0.75:
            return rng.randrange(300)
        if pick < 0.85 and self.storage:
            return rng.choice(list(self.storage.values()))
        return rng.getrandbits(rng.choice((8, 16, 32, 64, 160, 255, 256)))

    def offset(self) -> int:
        return self.rng.choice((0, 0, 1, 4, 16, 28, 31, 32, 33, 63, 64, 65, 96, 100, 128))

    def size(self) -> int:
        return self.rng.choice((0, 1, 2, 4, 20, 31, 32, 32, 33, 63, 64, 65))

    def known(self, depth: int) -> list[Item]:
        """An expression over constants and proven slots alone: the analysis should know its value."""
        rng = self.rng
        if depth <= 0 or rng.random() < 0.15:
            return [rng.choice(SLOTS[:4]), "SLOAD"] if rng.random() < 0.5 else [self._push(self.constant())]
        pick = rng.random()
        if pick < 0.15:
            return [*self.known(depth - 1), rng.choice(UNARY)]
        if pick < 0.9:
            return [*self.known(depth - 1), *self.known(depth - 1), rng.choice(BINARY)]
        return [*self.known(depth - 1), *self.known(depth - 1), *self.known(depth - 1), rng.choice(TERNARY)]

    def any(self, depth: int) -> list[Item]:
        """Any expression: partly known bits, memory, the environment, other accounts' answers."""
        rng = self.rng
        if depth <= 0 or rng.random() < 0.2:
            return self._leaf()
        pick = rng.random()
        if pick < 0.12:
            return [*self.any(depth - 1), rng.choice(UNARY)]
        if pick < 0.35:
            return [
                self._push(self.constant()),
                *self.any(depth - 1),
                rng.choice(("AND", "AND", "OR", "XOR", "ADD", "SUB", "MUL")),
            ]
        if pick < 0.5:
            return [
                *self.any(depth - 1),
                rng.choice((0, 1, 7, 8, 31, 96, 160, 224, 248, 255, 256)),
                rng.choice(("SHL", "SHR", "SAR", "BYTE", "SIGNEXTEND")),
            ]
        if pick < 0.9:
            return [*self.any(depth - 1), *self.any(depth - 1), rng.choice(BINARY)]
        return [*self.any(depth - 1), *self.any(depth - 1), *self.any(depth - 1), rng.choice(TERNARY)]

    def _push(self, value: int) -> Item:
        return push(value, 32) if self.rng.random() < 0.1 else value

    def _leaf(self) -> list[Item]:
        rng = self.rng
        pick = rng.random()
        if pick < 0.2:
            return [self._push(self.constant())]
        if pick < 0.4:
            return [rng.choice(SLOTS[:4]), "SLOAD"]
        if pick < 0.55:
            return [rng.choice((0, 0, 4, 4, 36, 1, 31, 2**64)), "CALLDATALOAD"]
        if pick < 0.7:
            return [self.offset(), "MLOAD"]
        if pick < 0.88:
            return [rng.choice(UNKNOWN)]
        return rng.choice(
            (
                [self.size(), self.offset(), "KECCAK256"], [rng.choice((0, 1, 5)), "TLOAD"], ["CALLER", "EXTCODESIZE"],
                ["CALLER", "EXTCODEHASH"], ["CALLER", "BALANCE"], [1, "NUMBER", "SUB", "BLOCKHASH"], [0, "BLOBHASH"],
                ["ADDRESS", "EXTCODESIZE"], ["ADDRESS", "EXTCODEHASH"], ["ADDRESS", "BALANCE"], [SUBJECT, "EXTCODEHASH"],
                [0, "CALLDATALOAD", "SLOAD"], ["CALLER", 0, "MSTORE", 64, 0, "KECCAK256", "SLOAD"],
                [0, "CALLDATALOAD", 224, "SHR"],
            )
        )  # fmt: skip

    # Conditions

    def condition(self) -> list[Item]:
        """Mostly one that cannot hold."""
        rng = self.rng
        kind = rng.randrange(11)
        if kind <= 2:
            return self._computed()
        if kind == 3:  # bits that a mask leaves out
            mask = rng.choice((0xFF, 0xFF00, 1, 2**160 - 1, MASK ^ 0xFF, 2**255, rng.getrandbits(256)))
            wanted = rng.choice((mask + 1, mask << 1, 1 << rng.randrange(256), rng.getrandbits(256))) & MASK
            return [*self.any(2), mask, "AND", wanted, "EQ"]
        if kind == 4:  # an order that a mask decides
            bits = rng.choice((1, 8, 16, 160, 255))
            return [2**bits - 1 + rng.choice((0, 0, 0, -1)), *self.any(2), 2**bits - 1, "AND", "GT"]
        if kind == 5:  # bits that are set
            return [*self.any(2), rng.choice((1, 2**255, 0xFF00, MASK)), "OR", "ISZERO"]
        if kind == 6:  # who nobody can be
            who = rng.choice(("CALLER", "CALLER", "ORIGIN"))
            return rng.choice(
                (
                    [who, "ISZERO"], ["CALLER", "ADDRESS", "EQ"], [who, rng.choice(SLOTS[:4]), "SLOAD", "EQ"], [who, SUBJECT, "EQ"],
                    [who, 2**160 - 1, "AND", rng.choice(SLOTS[:4]), "SLOAD", 2**160 - 1, "AND", "EQ"], [SUBJECT, who, "XOR", "ISZERO"],
                    [who, "CALLER", "EQ", "ISZERO", "CALLER", "ISZERO", "AND"], [who, 96, "SHL", "ISZERO"],
                )
            )  # fmt: skip
        if kind == 7:  # a word kept in memory
            return self._remembered()
        if kind == 8:  # a byte or a shift
            return [*self.any(1), rng.choice((32, 33, 256, MASK)), "BYTE"] if rng.random() < 0.3 else [
                rng.choice((256, 300, 255)), *self.any(2), 248, "SHR", "EQ"]  # fmt: skip
        if kind == 9:
            return [*self.any(3), rng.choice(SLOTS[:4]), "SLOAD", "EQ", *self.condition(), "AND"]
        return self.any(3)

    def _computed(self) -> list[Item]:
        """A known word compared with what it is not. What it is, the real EVM says."""
        rng = self.rng
        word = self.known(rng.randrange(1, 4))
        value = value_of(assemble([*word, 0, "MSTORE", 32, 0, "RETURN"]), self.storage)
        assert value is not None
        other = (value ^ (1 << rng.randrange(256))) if rng.random() < 0.7 else self.constant()
        kind = rng.randrange(4)
        if kind == 0:
            return [*word, other, "EQ"]
        if kind == 1:
            return [*word, value, "XOR"]
        if kind == 2:
            return [value, *word, "LT"] if rng.random() < 0.5 else [value, *word, "SGT"]
        return [*word, value, "EQ", "ISZERO"]

    def _remembered(self) -> list[Item]:
        """Writes a known word, then over it, then reads it (or its hash) back."""
        rng = self.rng
        at, word = self.offset(), rng.choice((1, MASK, 2**255, rng.getrandbits(256)))
        out: list[Item] = [word, at, "MSTORE"]
        for _ in range(rng.randrange(3)):
            out += self.memory(near=at)
        if rng.random() < 0.3:
            return [*out, 32, at, "KECCAK256", 32, at, "KECCAK256", "XOR"]
        read = rng.choice((at, at, at + 1, max(at - 1, 0)))
        seen = word if read == at else (word << 8) & MASK if read > at else word >> 8
        return (
            [*out, read, "MLOAD", seen, "EQ", "ISZERO"]
            if rng.random() < 0.6
            else [*out, read, "MLOAD", self.constant(), "EQ"]
        )

    # Statements

    def memory(self, near: int | None = None) -> list[Item]:
        rng = self.rng
        at = self.offset() if near is None else max(0, near + rng.choice((-33, -32, -31, -1, 0, 1, 31, 32, 33)))
        to: list[Item] = [at] if rng.random() < 0.85 else [0, "CALLDATALOAD", rng.choice((1, 7, 31, 63)), "AND"]
        size: list[Item] = [self.size()] if rng.random() < 0.85 else [4, "CALLDATALOAD", rng.choice((1, 15, 33)), "AND"]
        where: list[Item] = [self.offset()] if rng.random() < 0.8 else [0, "CALLDATALOAD"]
        near_where: list[Item] = [self.offset()] if rng.random() < 0.85 else [0, "CALLDATALOAD", 63, "AND"]
        return rng.choice(
            (
                [*self.any(1), *to, "MSTORE"], [*self.known(1), *to, "MSTORE"], [*self.any(1), *to, "MSTORE8"],
                [*size, *where, *to, "CALLDATACOPY"], [*size, *where, *to, "CODECOPY"], [*size, *near_where, *to, "MCOPY"],
                [*size, *near_where, *to, "MCOPY"], [*size, rng.choice((0, 0, 1, 32)), *to, "RETURNDATACOPY"],
                ["RETURNDATASIZE", 0, *to, "RETURNDATACOPY"], [*size, *where, *to, "CALLER", "EXTCODECOPY"],
                [*size, *where, *to, "ADDRESS", "EXTCODECOPY"],
            )
        )  # fmt: skip

    def bait(self) -> list[Item]:
        """What acts: the account's storage, a call, a creation, its end."""
        rng = self.rng
        pick = rng.random()
        if pick < 0.5:
            slot: list[Item] = [rng.choice(SLOTS)] if rng.random() < 0.8 else [0, "CALLDATALOAD"]
            return [*self.any(1), *slot, "SSTORE"]
        if pick < 0.75:
            who: list[Item] = rng.choice(
                (["CALLER"], ["CALLER"], [ATTACKERS[0]], ["ORIGIN"], [4, "CALLDATALOAD"], ["ADDRESS"], [4])
            )
            value: list[Item] = rng.choice(([0], [0], ["SELFBALANCE"], [1], ["CALLVALUE"]))
            return [self.size(), self.offset(), self.size(), self.offset(), *value, *who, "GAS", "CALL", "POP"]
        if pick < 0.85:
            return [rng.choice((["CALLER"], ["ORIGIN"], [1]))[0], "SELFDESTRUCT"]
        if pick < 0.95:
            return [0, 0, 0, "CREATE", "POP"] if rng.random() < 0.5 else ["CALLVALUE", 0, 0, 0, "CREATE2", "POP"]
        return [0, 0, 0, 0, rng.choice((EMPTY_TARGET, ATTACKERS[1])), "GAS", "DELEGATECALL", "POP"]

    def end(self) -> list[Item]:
        rng = self.rng
        return rng.choice(
            (
                ["STOP"], [self.size(), self.offset(), "RETURN"], [self.size(), self.offset(), "REVERT"], [0, 0, "REVERT"],
                [*self.any(2), 0, "MSTORE", 32, 0, "RETURN"], ["INVALID"], ["ADD", "ADD", "ADD"], [1, "JUMP"], [2**70, 0, "RETURN"],
                [rng.choice(QUESTIONS) ^ rng.choice((0, 0, 1)), 224, "SHL", 0, "MSTORE", 32, 0, "RETURN"],
            )
        )  # fmt: skip

    def static(self) -> list[Item]:
        rng = self.rng
        who: list[Item] = rng.choice(
            (["CALLER"], [ATTACKERS[0]], ["ADDRESS"], [4], [2], ["ORIGIN"], [TARGETS[0]], [0, "CALLDATALOAD"])
        )
        gas: list[Item] = rng.choice((["GAS"], [3000], [0], [MASK]))
        call: list[Item] = [self.size(), self.offset(), self.size(), self.offset(), *who, *gas, "STATICCALL"]
        return self._then(call)

    def delegate(self) -> list[Item]:
        """A call of a target that is known, and something that its outcome or its answer decides."""
        rng = self.rng
        to = (
            rng.choice((*self.targets, *self.targets, *self.targets, EMPTY_TARGET, SUBJECT, 4))
            if self.targets
            else SUBJECT
        )
        where: list[Item] = [to]
        for slot, value in self.storage.items():
            if value == to and rng.random() < 0.5:
                where = [slot, "SLOAD"]
        gas: list[Item] = rng.choice((["GAS"], ["GAS"], ["GAS"], [2500], [30000], [0]))
        size: list[Item] = rng.choice(([self.size()], ["CALLDATASIZE"]))
        before: list[Item] = rng.choice(
            ([], [*size, 0, 0, "CALLDATACOPY"], [rng.getrandbits(32), 224, "SHL", 0, "MSTORE"])
        )
        call: list[Item] = [*before, self.size(), self.offset(), *size, self.offset(), *where, *gas, "DELEGATECALL"]
        return self._then(call)

    def _then(self, call: list[Item]) -> list[Item]:
        """What follows a call, whose outcome is on the stack."""
        rng = self.rng
        pick = rng.random()
        over = self.label()
        if pick < 0.2:
            return [*call, "POP"]
        if pick < 0.4:  # if (!ok) or if (ok) …
            invert: list[Item] = ["ISZERO"] if rng.random() < 0.5 else []
            return [
                *call,
                *invert,
                Ref(over),
                "JUMPI",
                *(self.bait() if rng.random() < 0.4 else self.end()),
                Label(over),
            ]
        if pick < 0.6:  # bubble up
            return [*call, "RETURNDATASIZE", 0, 0, "RETURNDATACOPY", Ref(over), "JUMPI", "RETURNDATASIZE", 0, "REVERT", Label(over),
                    *(["RETURNDATASIZE", 0, "RETURN"] if rng.random() < 0.5 else [])]  # fmt: skip
        if pick < 0.8:  # an answer decides
            return [*call, "POP", "RETURNDATASIZE", 0, 0, "RETURNDATACOPY", 0, "MLOAD", *self.known(1), "EQ", "ISZERO", Ref(over), "JUMPI",
                    *self.bait(), Label(over)]  # fmt: skip
        return [*call, self.offset(), "MSTORE"]

    def lock(self, depth: int) -> list[Item]:
        """A slot that is written and put back."""
        rng = self.rng
        slot = rng.choice(SLOTS[:4])
        before = self.storage.get(slot, 0)
        inner = self.statement(depth - 1) if rng.random() < 0.7 else self.static()
        back: list[Item] = [before if rng.random() < 0.85 else self.constant()]
        saved: list[Item] = [slot, "SLOAD"] if rng.random() < 0.3 else []
        first: list[Item] = [*saved, self.constant(), slot, "SSTORE"]
        if rng.random() < 0.3:
            inner = [slot, "SLOAD", *self.known(0), "EQ", *self._if(self.bait()), *inner]
        return [*first, *inner, *([] if saved else back), slot, "SSTORE"]

    def _if(self, body: list[Item]) -> list[Item]:
        """The condition is on the stack."""
        over = self.label()
        return ["ISZERO", Ref(over), "JUMPI", *body, Label(over)]

    def guard(self) -> list[Item]:
        """Closed: the rest cannot be reached, or only by a few."""
        rng = self.rng
        over = self.label()
        slot = rng.choice(list(self.storage) or [0])
        value = self.storage.get(slot, 0)
        test: list[Item] = rng.choice(
            (
                [slot, "SLOAD", value, "EQ"], [slot, "SLOAD", value, "XOR", "ISZERO"], [slot, "SLOAD", 255, "AND", value & 255, "EQ"],
                [value, slot, "SLOAD", "LT", "ISZERO"], [slot, "SLOAD", 0, "MSTORE", 0, "MLOAD", value, "EQ"],
            )
        )  # fmt: skip
        fail: list[Item] = rng.choice(([0, 0, "REVERT"], ["INVALID"], ["STOP"], [0, "JUMP"], self.end()))
        return [*test, "ISZERO", Ref(over), "JUMPI", *fail, Label(over)]

    def jump(self) -> list[Item]:
        """A computed one: by arithmetic, by a table at ``x mod n``, into push data."""
        rng = self.rng
        kind = rng.randrange(4)
        done, other = self.label(), self.label()
        if kind == 0:
            delta = rng.randrange(1, 9)
            return [Ref(done, delta), delta, "SWAP1", "SUB", "JUMP", *self.bait(), Label(done)]
        if kind == 1:  # the JUMPDEST byte in a PUSH is none
            inside = push(int.from_bytes(assemble(["JUMPDEST", 1, 0, "SSTORE", "STOP"]).ljust(8, b"\0"), "big"), 8)
            skip = self.label()
            return [
                *self.condition(),
                "ISZERO",
                Ref(skip),
                "JUMPI",
                Ref(done, 1),
                "JUMP",
                Here(done),
                inside,
                "POP",
                Label(skip),
            ]
        if kind == 2:
            table, count = self.label(), rng.choice((2, 3, 4))
            index: list[Item] = (
                [0, "CALLDATALOAD", count - 1, "AND"] if count != 3 else [count, 0, "CALLDATALOAD", "MOD"]
            )
            names = [self.label() for _ in range(count)]
            self.data += [Here(table), *(Ref(name) for name in names)]
            blocks: list[Item] = []
            for name in names:
                body = self.end() if rng.random() < 0.4 else [*self.condition(), *self._if(self.bait())]
                blocks += [Label(name), *body, Ref(done), "JUMP"]
            # An entry is PUSH2 and two bytes: three a row, the target in the last two.
            return [2, *index, 3, "MUL", Ref(table, 1), "ADD", 30, "CODECOPY", 0, 0, "MSTORE8", 0, "MLOAD", 0xFFFF, "AND", "JUMP",
                    *blocks, Label(done)]  # fmt: skip
        return [*self.condition(), Ref(other), "MUL", Ref(done), "ISZERO", "ADD", "DUP1", "ISZERO", Ref(done), "JUMPI", "JUMP",
                Label(other), *self.bait(), 0, Label(done), "POP"]  # fmt: skip

    def loop(self, depth: int) -> list[Item]:
        rng = self.rng
        top, done = self.label(), self.label()
        count: list[Item] = rng.choice(
            (
                [rng.randrange(6)],
                [0, "CALLDATALOAD", 3, "AND"],
                ["CALLDATASIZE"],
                [rng.choice(SLOTS[:4]), "SLOAD", 7, "AND"],
            )
        )
        body = self.statement(depth - 1) if rng.random() < 0.7 else []
        after: list[Item] = ["DUP1", rng.randrange(7), "EQ", *self._if(self.bait())] if rng.random() < 0.4 else []
        return [
            0,
            Label(top),
            *count,
            "DUP2",
            "LT",
            "ISZERO",
            Ref(done),
            "JUMPI",
            *body,
            *after,
            1,
            "ADD",
            Ref(top),
            "JUMP",
            Label(done),
            "POP",
        ]

    def dispatch(self, depth: int) -> list[Item]:
        """Solidity's shape: selectors, each with a body."""
        rng = self.rng
        out: list[Item] = [0, "CALLDATALOAD", 224, "SHR"]
        for _ in range(rng.randrange(1, 4)):
            selector = rng.choice(QUESTIONS) if rng.random() < 0.3 else rng.getrandbits(32)
            body = [*self.statement(depth - 1), *self.statement(depth - 1), *self.end()]
            out += ["DUP1", selector, "EQ", *self._if(body)]
        return [*out, "POP"]

    def statement(self, depth: int = 2) -> list[Item]:
        rng = self.rng
        pick = rng.random()
        if pick < 0.2:
            return self.memory()
        if pick < 0.42:
            return [*self.condition(), *self._if(self.bait())]
        if pick < 0.5:  # a frame that acts, and fails
            return [
                *self.condition(),
                *self._if(
                    [*self.bait(), *rng.choice(([0, 0, "REVERT"], ["INVALID"], ["POP"] * 3 + ["JUMP"], [3, "JUMP"]))]
                ),
            ]
        if pick < 0.56:
            return self.static()
        if pick < 0.68 and self.targets:
            return self.delegate()
        if pick < 0.72:
            slot = rng.choice(SLOTS)
            same: list[Item] = [slot, "SLOAD"] if rng.random() < 0.5 else [self.storage.get(slot, 0)]
            return [*same, slot, "SSTORE"]
        if depth > 0 and pick < 0.78:
            return self.lock(depth)
        if depth > 0 and pick < 0.84:
            return [*self.any(2), *self._if([*self.statement(depth - 1), *(self.end() if rng.random() < 0.5 else [])])]
        if depth > 0 and pick < 0.88:
            return self.loop(depth)
        if pick < 0.92:
            return self.jump()
        if depth > 0 and pick < 0.95:
            return self.dispatch(depth)
        return rng.choice(
            (
                [*self.any(1), rng.choice((0, 1)), "TSTORE"], [self.size(), self.offset(), "LOG0"], ["CALLER", self.size(), self.offset(), "LOG1"],
                [*self.any(1), *self.any(1), "DUP2", "SWAP1", "SUB", "SWAP1", "POP", "POP"],
            )
        )  # fmt: skip

    def body(self, statements: int, *, guarded: bool) -> bytes:
        rng = self.rng
        at = rng.randrange(statements + 1) if guarded else -1
        if guarded and rng.random() < 0.5:
            at = 0
        for number in range(statements):
            if number == at:
                self.add(*self.guard())
            self.add(*self.statement())
        self.add(*self.end())
        return assemble([*self.items, *self.data])


def scheme(rng: random.Random, seed: int) -> Program:
    """One of some known ways to fool such an analysis, varied: each of them has fooled an engine, or could."""
    slot, key, value = rng.choice(SLOTS[:4]), rng.choice(SLOTS[:4]), rng.choice((1, 2, MASK, rng.getrandbits(160)))
    storage = {rng.choice(SLOTS[:4]): rng.choice((3, 1 << 160, rng.getrandbits(200)))}
    before = storage.get(slot, 0)
    fail: list[Item] = rng.choice(([0, 0, "REVERT"], ["INVALID"], [0, "JUMP"]))
    who: list[Item] = rng.choice(
        (["ADDRESS"], [SUBJECT], [0, "CALLDATALOAD"], ["CALLER"], [ATTACKERS[0]], ["CALLVALUE", SUBJECT, "ADD"])
    )
    call: list[Item] = [
        0,
        0,
        *rng.choice((([0, 0]), ([32, 0]), (["CALLDATASIZE", 0]))),
        *rng.choice(([0], [0], ["CALLVALUE"])),
        *who,
        "GAS",
        "CALL",
    ]
    if rng.random() < 0.2:
        call = [*call[:4], *who, "GAS", rng.choice(("STATICCALL", "DELEGATECALL"))]
    write: list[Item] = [value, slot, "SSTORE"] if rng.random() < 0.8 else [*Writer(rng, storage).bait()]
    changed: list[Item] = rng.choice(([slot, "SLOAD", before, "XOR"], [slot, "SLOAD", value, "EQ"], ["DUP1"]))
    codes: dict[int, bytes] = {}
    kind = rng.randrange(6)
    if kind <= 1:  # only itself may write, and it calls itself on a path that fails unless that has written
        only: list[Item] = rng.choice(
            (["CALLER", "ADDRESS", "EQ"], ["CALLER", SUBJECT, "XOR", "ISZERO"], ["ORIGIN", "CALLER", "EQ", "ISZERO"])
        )
        code = assemble(
            [
                *only,
                Ref("own"),
                "JUMPI",
                *call,
                *changed,
                Ref("on"),
                "JUMPI",
                *fail,
                Label("on"),
                "STOP",
                Label("own"),
                *write,
                "STOP",
            ]
        )
    elif kind == 2:  # the same from a delegate target
        codes[TARGETS[0]] = assemble([*call, *changed, Ref("on"), "JUMPI", *fail, Label("on"), "STOP"])
        code = assemble(
            [
                "CALLER", "ADDRESS", "EQ", Ref("own"), "JUMPI", 0, 0, 0, 0, TARGETS[0], "GAS", "DELEGATECALL", Ref("on"), "JUMPI", *fail,
                Label("on"), "STOP", Label("own"), *write, "STOP",
            ]
        )  # fmt: skip
    elif kind == 3:  # a size that is kept in storage, until it is another's
        codes[TARGETS[0]] = assemble(
            ["CALLDATASIZE", 0, 0, "CALLDATACOPY", 0xAA, rng.choice((0, 1, 3)), "MSTORE8", "CALLDATASIZE", 0, "RETURN"]
        )
        size = rng.choice(("RETURNDATASIZE", "CALLDATASIZE", "MSIZE"))
        first: list[Item] = [0, 0, rng.choice((0, 4, 32)), 0, 4, "GAS", "STATICCALL", "POP"]
        code = assemble(
            [
                *(first if rng.random() < 0.8 else []), size, slot, "SSTORE", "CALLDATASIZE", 0, 64, "CALLDATACOPY", 0, 0, "CALLDATASIZE", 64,
                TARGETS[0], "GAS", "DELEGATECALL", Ref("on"), "JUMPI", *fail, Label("on"), rng.choice(QUESTIONS), 224, "SHL", 0, "MSTORE",
                slot, "SLOAD", 0, 0, "RETURNDATACOPY", before, slot, "SSTORE", 32, 0, "RETURN",
            ]
        )  # fmt: skip
    elif kind == 4:  # a lock that a call finds, and what the call finds open then
        code = assemble(
            [
                slot, "SLOAD", value, "EQ", Ref("locked"), "JUMPI", value, slot, "SSTORE", *call, "POP", before, slot, "SSTORE",
                *rng.choice((["STOP"], fail, [key, "SLOAD", storage.get(key, 0), "EQ", Ref("end"), "JUMPI", "STOP", Label("end"), *fail])),
                Label("locked"), 5, key, "SSTORE", "STOP",
            ]
        )  # fmt: skip
    else:  # a delegate call that fails, or not, decides
        codes[TARGETS[0]] = rng.choice(
            (
                b"\x00",
                assemble([*fail]),
                assemble(["GAS", 0, "SSTORE", before, 0, "SSTORE"]),
                assemble([1, 0, "MSTORE", 32, 0, "RETURN"]),
            )
        )
        ok: list[Item] = ["ISZERO"] if rng.random() < 0.5 else []
        code = assemble([*write, 32, 0, 0, 0, TARGETS[0], rng.choice(("GAS", 2000)), "DELEGATECALL", *ok, Ref("on"), "JUMPI", *fail, Label("on"),
                         *([before, slot, "SSTORE"] if rng.random() < 0.7 else []), "STOP"])  # fmt: skip
    return Program(f"generate({seed})", code, {s: v for s, v in storage.items() if v}, codes)


def storage_of(rng: random.Random) -> dict[int, int]:
    out: dict[int, int] = {}
    for slot in rng.sample(SLOTS, rng.randrange(0, 5)):
        value = rng.choice((*CORNERS, *TARGETS, SUBJECT, SENDERS[0], rng.getrandbits(160), rng.getrandbits(256)))
        if value:
            out[slot] = value
    return out


def generate(seed: int) -> Program:
    """The program of this seed: plain, with delegate targets, or a proxy before another."""
    rng = random.Random(f"program {seed}")
    if rng.random() < 0.05:
        return scheme(rng, seed)
    storage = storage_of(rng)
    codes: dict[int, bytes] = {}
    kind = rng.random()
    if kind < 0.45:
        for address in TARGETS[: rng.randrange(1, 3)]:
            codes[address] = target(rng, storage)
    writer = Writer(rng, storage, tuple(codes))
    code = writer.body(rng.choice((1, 2, 2, 3, 3, 4, 6)), guarded=rng.random() < 0.35)
    if 0.3 < kind < 0.45:
        codes[TARGETS[2]] = code
        code = proxy(rng, storage, TARGETS[2])
    return Program(f"generate({seed})", code, storage, codes)


def target(rng: random.Random, storage: Mapping[int, int]) -> bytes:
    """Code to be delegated to."""
    pick = rng.random()
    if pick < 0.15:
        return assemble([1, 0, "MSTORE", 32, 0, rng.choice(("RETURN", "REVERT"))])
    if pick < 0.2:
        return rng.choice((b"\xfe", bytes.fromhex("ef0100") + bytes(20), b"\xef\x00", b"\x00", b"\x0c"))
    if pick < 0.35:
        return assemble(["CALLDATASIZE", 0, 0, "CALLDATACOPY", "CALLDATASIZE", 0, "RETURN"])
    writer = Writer(rng, storage)
    return writer.body(rng.choice((1, 1, 2, 3)), guarded=rng.random() < 0.6)


def proxy(rng: random.Random, storage: dict[int, int], to: int) -> bytes:
    """EIP-1167, EIP-1967, or one with a hole."""
    pick = rng.random()
    if pick < 0.4:
        return (
            bytes.fromhex("363d3d373d3d3d363d73")
            + to.to_bytes(20, "big")
            + bytes.fromhex("5af43d82803e903d91602b57fd5bf3")
        )
    slot = SLOTS[-1] if pick < 0.8 else SLOTS[1]
    storage[slot] = to
    hole: list[Item] = []
    if rng.random() < 0.3:
        hole = [*Writer(rng, storage, (to,)).condition(), "ISZERO", Ref("on"), "JUMPI", 1, 0, "SSTORE", Label("on")]
    fail: list[Item] = (
        ["RETURNDATASIZE", 0, "REVERT"]
        if rng.random() < 0.8
        else [rng.choice((1, 0)), rng.choice(SLOTS), "SSTORE", "STOP"]
    )
    return assemble(
        [
            *hole, "CALLDATASIZE", 0, 0, "CALLDATACOPY", 0, 0, "CALLDATASIZE", 0, slot, "SLOAD", "GAS", "DELEGATECALL",
            "RETURNDATASIZE", 0, 0, "RETURNDATACOPY", Ref("ok"), "JUMPI", *fail, Label("ok"), "RETURNDATASIZE", 0, "RETURN",
        ]
    )  # fmt: skip
