"""Real calls at a program: random ones, and ones aimed by the constants that its code and storage hold."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .mutants import instructions
from .programs import CORNERS, MASK, QUESTIONS, Program
from .world import ATTACKERS, SENDERS, Block, RealCall, entry

LONG = 10_100
_LOWEST_KEY = 0x1_0000
"""Nobody sends from a precompile's or a chain system's address."""
HIGH_GAS = 3_000_000


@dataclass(frozen=True, slots=True)
class Aim:
    """What a program's own bytes suggest trying."""

    selectors: tuple[int, ...]
    words: tuple[int, ...]
    senders: tuple[int, ...]


def aim(program: Program) -> Aim:
    words: dict[int, None] = {}
    selectors: dict[int, None] = {}
    for code in (program.code, *program.codes.values()):
        for at in instructions(code):
            width = code[at] - 0x5F
            if 1 <= width <= 32:
                value = int.from_bytes(code[at + 1 : at + 1 + width].ljust(width, b"\0"), "big")
                words.setdefault(value)
                if width in (3, 4):
                    selectors.setdefault(value)
    for slot, value in program.storage.items():
        words.update(dict.fromkeys((value, slot, value & (2**160 - 1), value >> 8, value >> 160, value & 0xFF)))
    senders = [w & (2**160 - 1) for w in words if (w & (2**160 - 1)) > 2**64]
    good = [
        s
        for s in dict.fromkeys(senders)
        if s > _LOWEST_KEY and s != program.address and s not in ATTACKERS and s not in program.codes
    ]
    return Aim((*selectors, *QUESTIONS), (*words, *CORNERS), (*SENDERS, *good[:40]))


class Shots:
    """An endless row of calls for one program. ``zero_caller``: whether some come from the address 0; by way of an
    attacker some do on any chain, as their origin."""

    def __init__(self, program: Program, rng: random.Random, *, zero_caller: bool = False) -> None:
        self.rng, self.aim, self.subject, self.zero_caller = rng, aim(program), program.address, zero_caller
        self.small = {bits: [w for w in self.aim.words if w < 2**bits] for bits in (64, 79)}
        self.blocks = [Block()] + [
            Block(
                timestamp=self._number(rng.choice((0, 1, 2**31, 2**32, 2**63)), 64),
                number=self._number(rng.choice((1, 300, 2**32)), 64),
                prevrandao=self._word(), coinbase=rng.choice((*SENDERS, self.subject, rng.getrandbits(160))),
                gas_price=rng.choice((0, 0, 0, 1, 10)),
            )
            for _ in range(3)
        ]  # fmt: skip

    def __iter__(self) -> Iterator[RealCall]:
        yield RealCall(SENDERS[0], self.subject, b"")
        yield RealCall(SENDERS[0], self.subject, b"", value=1)
        while True:
            yield self.shot()

    def shot(self) -> RealCall:
        rng = self.rng
        sender, to, data, value = (
            rng.choice(self.aim.senders) if rng.random() < 0.5 else SENDERS[0],
            self.subject,
            self.data(),
            self.value(),
        )
        if rng.random() < 0.3:
            to, data, value = rng.choice(ATTACKERS), self.script(), rng.choice((0, 5))
        if (to != self.subject or self.zero_caller) and rng.random() < 0.2:
            sender = 0
        gas = HIGH_GAS if rng.random() < 0.7 else int(10 ** rng.uniform(4.33, 6.5)) + 5000
        balance = rng.choice((0, 0, 1, 10**18, self._number(0, 64)))
        block = self.blocks[0] if rng.random() < 0.6 else rng.choice(self.blocks)
        return RealCall(sender, to, data, value, gas, block, balance)

    def data(self) -> bytes:
        rng = self.rng
        pick = rng.random()
        if pick < 0.06:
            return b""
        if pick < 0.5:
            words = b"".join(self._word().to_bytes(32, "big") for _ in range(rng.choice((0, 1, 1, 2, 3, 4, 6))))
            return rng.choice(self.aim.selectors).to_bytes(4, "big") + words
        if pick < 0.75:
            words = b"".join(self._word().to_bytes(32, "big") for _ in range(rng.choice((1, 1, 2, 3))))
            return words[: rng.choice((len(words), len(words), len(words) - 1, len(words) - 28, 5))]
        if pick < 0.85:  # (…, bytes)
            tail = rng.randbytes(rng.choice((0, 1, 4, 32, 65)))
            return (
                rng.choice(self.aim.selectors).to_bytes(4, "big")
                + self._word().to_bytes(32, "big") + (64).to_bytes(32, "big")
                + len(tail).to_bytes(32, "big") + tail.ljust(-len(tail) % 32 + len(tail), b"\0")
            )  # fmt: skip
        if pick < 0.97:
            return rng.randbytes(rng.randrange(80))
        return (rng.choice(self.aim.selectors).to_bytes(4, "big") + self._word().to_bytes(32, "big")).ljust(
            LONG, rng.choice((b"\0", b"\xff"))
        )

    def value(self) -> int:
        rng = self.rng
        return 0 if rng.random() < 0.7 else rng.choice((1, 10**18, self._number(0, 79)))

    def script(self) -> bytes:
        """What an attacker does: how it answers, and which calls it makes, one or more in one transaction."""
        rng = self.rng
        out = b""
        if rng.random() < 0.85:
            again = self.data()[:96]
            notes = {
                0: rng.randrange(8),
                1: rng.choice((self._word(), 1, rng.choice(QUESTIONS) << 224)),
                2: rng.choice((len(again), 64, 100, 20000)),
            }
            notes |= {16 + n: int.from_bytes(again[32 * n : 32 * n + 32].ljust(32, b"\0"), "big") for n in range(3)}
            out = b"".join(entry(2, word.to_bytes(32, "big"), key) for key, word in notes.items() if word)
        calls = [
            entry(rng.choice((0, 0, 0, 1)), self.data()[:2000], rng.choice((0, 0, 1)))
            for _ in range(rng.choice((1, 1, 2, 3)))
        ]
        return out + b"".join(calls)

    def question(self, selector: int) -> RealCall:
        """A call with this selector, by somebody, with arguments of the usual shapes or of none."""
        rng = self.rng
        data = selector.to_bytes(4, "big") + self.data()[4:]
        return RealCall(
            0 if self.zero_caller and rng.random() < 0.2 else rng.choice(self.aim.senders),
            self.subject,
            data,
            0,
            HIGH_GAS,
            rng.choice(self.blocks),
            rng.choice((0, 10**18)),
        )

    def _word(self) -> int:
        rng = self.rng
        pick = rng.random()
        if pick < 0.35:
            return rng.choice(self.aim.words) & MASK
        if pick < 0.5:
            return rng.choice(CORNERS)
        if pick < 0.6:
            return rng.randrange(130)
        if pick < 0.68:
            return (rng.choice(self.aim.words) + rng.choice((1, -1))) & MASK
        if pick < 0.74:
            return rng.choice((*ATTACKERS, *self.aim.senders))
        if pick < 0.8:
            return (rng.choice(self.aim.words) << rng.choice((8, 96, 224, 248))) & MASK
        if pick < 0.86:
            return rng.choice(self.aim.words) ^ rng.choice(self.aim.words)
        return rng.getrandbits(256)

    def _number(self, usual: int, bits: int) -> int:
        return (
            usual if self.rng.random() < 0.5 else self.rng.choice(self.small[bits]) + self.rng.choice((0, 1))
        ) % 2**bits
