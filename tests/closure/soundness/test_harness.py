"""The harness can fail: engines that are wrong on purpose, each in one way, are all found out."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import AccountFacts, Analysis

from .asm import OPS, code
from .calls import Shots
from .harness import Counts, Unsound, check
from .mutants import instructions, mutant
from .programs import TARGETS, Program, generate
from .world import ATTACKERS, SENDERS, SUBJECT, RealCall, World, entry


def always_inert(_: AccountFacts) -> Analysis:
    return Analysis("inert", "inert", "", logs=True, takes_ether=True)


def without(*names: str, instead: str) -> Callable[[AccountFacts], Analysis]:
    """The real analysis of a code in which some instructions are taken for others: an engine with a wrong rule."""
    codes = {OPS[name] for name in names}

    def changed(program: bytes) -> bytes:
        out = bytearray(program)
        for at in instructions(program):
            if out[at] in codes:
                out[at] = OPS[instead]
        return bytes(out)

    def wrong(facts: AccountFacts) -> Analysis:
        others = {address: changed(other) for address, other in facts.codes.items()}
        return replace(analyse(replace(facts, code=changed(facts.code), codes=others)), logs=True, takes_ether=True)

    return wrong


def blind_to_answers(facts: AccountFacts) -> Analysis:
    return replace(analyse(facts), authority=())


def blind_to_zero(facts: AccountFacts) -> Analysis:
    return analyse(replace(facts, zero_caller=False))


def blind_to_logs(facts: AccountFacts) -> Analysis:
    return replace(analyse(facts), logs=False)


def blind_to_ether(facts: AccountFacts) -> Analysis:
    return replace(analyse(facts), takes_ether=False)


WRONG = {
    "always inert": (always_inert, 0),
    "storage is never written": (without("SSTORE", instead="TSTORE"), 0),
    "a signed order is an unsigned one": (without("SLT", instead="LT"), 1920),
    "the caller is the account": (without("CALLER", "ORIGIN", instead="ADDRESS"), 0),
    "no origin is 0": (without("ORIGIN", instead="CALLER"), 1152),
    "a delegate call is a static one": (without("DELEGATECALL", instead="STATICCALL"), 0),
    "a return is a revert": (without("RETURN", instead="REVERT"), 0),
    "no answer is a yes": (blind_to_answers, 0),
    "no caller is 0, on any chain": (blind_to_zero, 1014),
    "nothing is logged": (blind_to_logs, 0),
    "no ether enters": (blind_to_ether, 0),
}
"""Each with the seed from which the search begins: shortly before one that shows it, to save time."""


@pytest.mark.parametrize("how", WRONG)
def test_an_engine_that_is_wrong_is_found_out(how: str) -> None:
    counts, (engine, first) = Counts(), WRONG[how]
    for seed in range(first, first + 3000):
        found = _contradiction(seed, engine, counts)
        if found is not None:
            assert found.what
            assert f"({seed})" in str(found)
            return
    pytest.fail(f"{counts.programs} programs and {counts.calls} calls did not show that {how}")


def _contradiction(seed: int, engine: Callable[[AccountFacts], Analysis], counts: Counts) -> Unsound | None:
    try:
        check(generate(seed) if seed % 3 else mutant(seed), engine, counts, calls=16, acting_calls=0)
    except Unsound as contradiction:
        check(contradiction.program, analyse, Counts(), calls=16, acting_calls=0)  # not the true engine's own fault
        return contradiction
    return None


def test_a_program_is_made_again_by_its_seed() -> None:
    for seed in (0, 1, 7, 4711):
        assert generate(seed) == generate(seed)
        assert mutant(seed) == mutant(seed)
    row = [call for call, _ in zip(Shots(generate(7), random.Random(1)), range(50), strict=False)]
    again = [call for call, _ in zip(Shots(generate(7), random.Random(1)), range(50), strict=False)]
    assert row == again


SEEN = {
    "a write": ("CALLDATASIZE 1 SSTORE", "slot 0x1 changed"),
    "a creation": ("0 0 0 CREATE", "created a contract"),
    "a creation that fails": ("0xfe 0 MSTORE8 1 0 0 CREATE", "created a contract"),
    "ether sent": ("0 0 0 0 1 CALLER GAS CALL", "sent ether"),
    "its end": ("CALLER SELFDESTRUCT", "balance fell"),
    "a call": ("0 0 0 0 0 CALLER GAS CALL", "trap"),
    "a write by a target": (f"0 0 0 0 {TARGETS[0]} GAS DELEGATECALL", "slot 0x2 changed"),
}


@pytest.mark.parametrize("what", SEEN)
def test_the_world_shows(what: str) -> None:
    text, said = SEEN[what]
    world = World(code(text), {1: 3}, {TARGETS[0]: code("1 2 SSTORE")})
    call = RealCall(SENDERS[0], ATTACKERS[0], entry(0, b"12345"), balance=9)
    for _ in range(2):  # each call is taken back
        assert any(said in effect for effect in world.call(call).effects)


@pytest.mark.parametrize(
    "text",
    [
        "1 1 SSTORE 0 0 REVERT",
        "1 1 SSTORE 3 1 SSTORE",
        "0 0 0 0 CALLER GAS STATICCALL",
        "0 0 0 0 0 CALLER GAS CALL 0 0 REVERT",
        "1 1 TSTORE",
    ],
)
def test_the_world_shows_nothing_where_nothing_is(text: str) -> None:
    world = World(code(text), {1: 3})
    assert world.call(RealCall(SENDERS[0], ATTACKERS[0], entry(0, b"12345"), balance=9)).effects == ()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(0, b""), (1, (7).to_bytes(32, "big")), (4, b"hello"), (7, (7).to_bytes(32, "big") * 2 + bytes(6))],
)
def test_an_attacker_answers_as_its_script_says(mode: int, expected: bytes) -> None:
    """The account asks its caller, and tells the answer's bytes by a log."""
    ask = code(
        "0 0 CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 CALLER GAS STATICCALL POP "
        "RETURNDATASIZE 0 0 RETURNDATACOPY RETURNDATASIZE 0 LOG0"
    )
    world = World(ask, {})
    notes = b"".join(entry(2, word.to_bytes(32, "big"), key) for key, word in ((0, mode), (1, 7), (2, 70)))
    start = world.evm.snapshot()
    world.evm.message_call(f"0x{SENDERS[0]:040x}", f"0x{ATTACKERS[0]:040x}", notes + entry(0, b"hello"), gas=1_000_000)
    logged = [log.data[1] for log in world.evm.result.logs]
    world.evm.revert(start)
    assert logged == [expected]


def test_an_attacker_calls_back() -> None:
    """The account calls its caller and writes what it is told by the call back: the attacker's data reaches it."""
    text = "CALLDATASIZE 5 EQ @again JUMPI 0 0 0 0 0 CALLER GAS CALL POP STOP again: 0 CALLDATALOAD 9 SSTORE"
    notes = b"".join(
        entry(2, word, key)
        for key, word in ((0, (5).to_bytes(32, "big")), (2, (5).to_bytes(32, "big")), (16, b"again".ljust(32, b"\0")))
    )
    seen = World(code(text), {}).call(RealCall(SENDERS[0], ATTACKERS[0], notes + entry(0, b"x")))
    assert any(
        f"slot 0x9 changed from 0x0 to {int.from_bytes(b'again'.ljust(32, bytes(1)), 'big'):#x}" in effect
        for effect in seen.effects
    )


def test_a_program_names_itself_in_a_contradiction() -> None:
    program = Program("by hand", code("1 5 SSTORE"), {5: 2})
    with pytest.raises(Unsound, match="slot 0x5 changed from 0x2 to 0x1") as caught:
        check(program, always_inert, Counts())
    for part in ("by hand", program.code.hex(), "'0x5': '0x2'", "chain id", f"to {SUBJECT:#042x}"):
        assert part in str(caught.value)
