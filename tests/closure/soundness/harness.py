"""Judges a program, then tries to prove the judgement wrong with real calls.

``inert`` is wrong as soon as one real call changes the account's storage, nonce or code, takes ether from it, or makes
a call of its own that keeps an effect; ``authority`` that is empty is wrong as soon as one real answer is a yes.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from orchestrator.closure.chains import NO_CALL_FROM_ZERO
from orchestrator.closure.evm.facts import AccountFacts, Analysis

from .calls import HIGH_GAS, Shots
from .programs import Program
from .world import RealCall, Seen, World, with_gas

Analyse = Callable[[AccountFacts], Analysis]
FLASH_LOAN = 0x439148F0BBC682CA079E46D6E2C2F0C1E3B820F1A291B069D8882ABF8CF18DD9
"""keccak256("ERC3156FlashBorrower.onFlashLoan")."""


def opens(word: int) -> bool:
    """Whether the window of ERC-4337's validation data can ever be open, by times or (EntryPoint 0.9) by blocks."""
    after, until = word >> 208, (word >> 160) % 2**48 or 2**48 - 1
    by_blocks = after >= 2**47 and until >= 2**47
    return after <= until and (after < 2**46 or (by_blocks and after - 2**47 < 2**46))


def validates(word: int) -> bool:
    """Whether it is a yes: no authorizer is named, and the time may come."""
    return word % 2**160 == 0 and opens(word)


YES: dict[int, Callable[[list[int]], bool]] = {
    0x1626BA7E: lambda words: words[0] in (0x1626BA7E << 224, 0xB0671381 << 224),
    0x20C13B0B: lambda words: words[0] == 0x20C13B0B << 224,
    0x3A871CDD: lambda words: validates(words[0]),
    0x19822F7C: lambda words: validates(words[0]),
    0xF465C77E: lambda words: len(words) > 1 and validates(words[1]),
    0x52B7512C: lambda words: len(words) > 1 and validates(words[1]),
    0x23E30C8B: lambda words: words[0] == FLASH_LOAN,
    0x920F5C84: lambda words: words[0] == 1,
    0x1B11D0FF: lambda words: words[0] == 1,
    0xF4DD92CE: lambda words: words[0] == 0xF4DD92CE << 224,
}
"""A question's selector, and whether an answer's words say yes (for ERC-4337: no authorizer is named)."""


class Unsound(AssertionError):
    """The analysis said what a real call shows to be wrong. The message holds all that makes it happen again."""

    def __init__(self, program: Program, call: RealCall, what: Iterable[str], analysis: Analysis) -> None:
        said = f"{analysis.result}, authority {[a.name for a in analysis.authority]}"
        super().__init__(
            f"the analysis says {said}, but in the real EVM {'; '.join(what)}\n"
            f"  program {program}\n  chain id {chain_id(program)}\n  call    {call}"
        )
        self.program, self.call, self.what = program, call, tuple(what)


@dataclass(slots=True)
class Counts:
    """What was done. ``acted`` counts acting programs for which a few real calls showed it."""

    programs: int = 0
    results: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    succeeded: int = 0
    questions: int = 0
    acted: int = 0
    tried: int = 0
    analysis_seconds: float = 0.0
    slowest: tuple[float, str] = (0.0, "")

    def __str__(self) -> str:
        shares = ", ".join(f"{n} {name}" for name, n in self.results.most_common())
        undecided = ", ".join(f"{name} {n}" for name, n in self.reasons.most_common())
        return (
            f"{self.programs} programs: {shares}; {self.calls:,} real calls of inert ones "
            f"({self.succeeded:,} succeeded), "
            f"{self.questions:,} questions; {self.acted} of {self.tried} acting ones seen to act; analysis "
            f"{1000 * self.analysis_seconds / max(1, self.programs):.2f} ms each, "
            f"slowest {1000 * self.slowest[0]:.0f} ms ({self.slowest[1]})"
            f"; undecided: {undecided or 'none'}"
        )


def chain_id(program: Program) -> int:
    return random.Random(f"chain of {program.origin}").choice((1, 31337, 300, 10, 2**40))


def facts_of(program: Program) -> AccountFacts:
    zero_caller = chain_id(program) not in NO_CALL_FROM_ZERO
    return AccountFacts(
        program.address, program.code, program.storage, program.codes, complete=True, zero_caller=zero_caller
    )


def world_of(program: Program) -> World:
    return World(program.code, program.storage, program.codes, chain_id=chain_id(program), subject=program.address)


def check(program: Program, analyse: Analyse, counts: Counts, *, calls: int = 40, acting_calls: int = 12) -> Analysis:
    """One program. Raises ``Unsound``; changes ``counts``."""
    started = time.perf_counter()
    analysis = analyse(facts_of(program))
    spent = time.perf_counter() - started
    counts.analysis_seconds += spent
    counts.slowest = max(counts.slowest, (spent, program.origin))
    counts.programs += 1
    counts.results[analysis.result] += 1
    if analysis.result == "undecided":
        counts.reasons[analysis.reason] += 1
    elif analysis.result == "inert":
        shoot(program, analysis, counts, calls)
    elif acting_calls:
        counts.tried += 1
        counts.acted += acts(program, acting_calls)
    return analysis


def shoot(program: Program, analysis: Analysis, counts: Counts, calls: int) -> None:
    """``calls`` real ones, each repeated with less gas where it can matter."""
    shots = Shots(program, random.Random(f"calls of {program.origin}"), zero_caller=facts_of(program).zero_caller)
    world = world_of(program)
    starved = any(op in code for code in (program.code, *program.codes.values()) for op in (0xF4, 0xF1, 0xFA, 0xF2))
    row = iter(shots)
    for _ in range(calls):
        call = next(row)
        seen = _one(program, world, call, analysis, counts)
        if starved and call.gas == HIGH_GAS and 0 < seen.gas_used < HIGH_GAS // 2:
            for gas in _less(shots.rng, seen.gas_used):
                _one(program, world, with_gas(call, gas), analysis, counts)
    refused = {authority.selector for authority in analysis.authority}
    for selector, says_yes in YES.items():
        if selector in refused:
            continue
        for _ in range(max(2, calls // 20)):
            call = shots.question(selector)
            seen = _one(program, world, call, analysis, counts)
            counts.questions += 1
            words = [int.from_bytes(seen.output[at : at + 32], "big") for at in range(0, len(seen.output) - 31, 32)]
            if seen.success and words and says_yes(words):
                raise Unsound(
                    program, call, [f"its answer to {selector:#010x} is yes: {seen.output[:64].hex()}"], analysis
                )


def _one(program: Program, world: World, call: RealCall, analysis: Analysis, counts: Counts) -> Seen:
    seen = world.call(call)
    counts.calls += 1
    if not seen.success:
        return seen
    counts.succeeded += 1
    what = list(seen.effects)
    if seen.logged and not analysis.logs:
        what.append("it emits a log, which the analysis says it cannot")
    if call.value and call.to == program.address and not analysis.takes_ether:
        what.append("it takes ether, which the analysis says it cannot")
    if what:
        raise Unsound(program, call, what, analysis)
    return seen


def _less(rng: random.Random, used: int) -> list[int]:
    """Gas limits at which some inner call may run out while the rest goes on."""
    floor = 21_000
    spread = max(1, used - floor)
    return [
        used + rng.choice((0, 1, 100, -1, -50)),
        used - rng.randrange(spread),
        floor + rng.randrange(spread) * 2,
        used + rng.randrange(3000),
    ]


def acts(program: Program, calls: int) -> bool:
    """Whether one of a few real calls acts: how precise ``acting`` is, not whether it is right."""
    world = world_of(program)
    for number, call in enumerate(Shots(program, random.Random(f"calls of {program.origin}"))):
        if number >= calls:
            return False
        if world.call(call).effects:
            return True
    raise AssertionError("the calls have no end")


def shrink(failure: Unsound) -> Unsound:
    """The same failure with plainer surroundings, where they do not matter: what a person reads first."""
    program, call = failure.program, failure.call
    for change in ({"value": 0}, {"balance": 0}, {"gas": HIGH_GAS}, {"data": b""}):
        plainer = replace(call, **change)  # type: ignore[arg-type]
        if world_of(program).call(plainer).effects:
            call = plainer
    failure.call = call
    return failure
