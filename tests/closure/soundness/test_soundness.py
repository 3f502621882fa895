"""Whatever the analysis calls inert, the real EVM leaves as it is: no contradiction in thousands of programs.

By default a fixed slice; with ORCHESTRATOR_TEST_PROFILE=full tens of thousands of programs. For longer, and with other
seeds: ``python -m tests.closure.soundness.run --seconds 3600``.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import AccountFacts
from orchestrator.closure.evm.opcodes import CONCRETE
from orchestrator.devnet.anvil import Anvil
from tests.profile import FULL

from .anvil_world import AnvilWorld
from .asm import assemble
from .calls import Shots
from .harness import facts_of
from .programs import CORNERS
from .run import Report, campaign, program_of, unchanged
from .world import SUBJECT, hexed

PARTS = 4
"""A full run's parts may run side by side, with xdist."""
PROGRAMS = 28_000 // PARTS if FULL else 240 // PARTS
SECONDS = 110 if FULL else 9
"""Each part ends here at the latest, and says how far it came."""
FIRST_SEED = 1
ON_ANVIL = 60 if FULL else 4


def conclude(report: Report, show) -> None:
    show(report)
    assert not report.contradictions, "\n\n".join(str(found) for found in report.contradictions)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_that_is_called_inert_acts(part: int, show) -> None:
    report = campaign(FIRST_SEED + part * 1_000_000, PROGRAMS, seconds=SECONDS, calls=24)
    conclude(report, show)
    counts = report.counts
    assert counts.results["inert"] > counts.programs // 4, "few inert programs: little is shown"
    assert counts.results["acting"] > counts.programs // 20, "few acting programs: the bait is bad"
    assert counts.succeeded > counts.calls // 20, "few calls succeed: little is shown"


@pytest.mark.timeout(900)
def test_no_real_program_that_is_called_inert_acts(show) -> None:
    conclude(unchanged(300 if FULL else 8, every=1 if FULL else 9), show)


def test_the_slots_and_targets_that_are_named_are_all_that_is_used() -> None:
    """A proof holds those and no others; so nothing else may have a say."""
    for seed in range(300 if FULL else 15):
        program = program_of(seed)
        facts = facts_of(program)
        whole = analyse(facts)
        storage = {slot: program.storage.get(slot, 0) for slot in whole.slots}
        codes = {address: program.codes.get(address, b"") for address in whole.targets}
        partial = analyse(replace(facts, storage=storage, codes=codes, complete=False))
        assert not partial.needs, program
        assert (partial.result, partial.reason, partial.findings, partial.slots, partial.targets) == (
            whole.result, whole.reason, whole.findings, whole.slots, whole.targets,
        ), program  # fmt: skip
        assert {a.selector for a in partial.authority} == {a.selector for a in whole.authority}, program


def test_facts_that_are_asked_for_one_after_the_other_lead_to_the_same_end() -> None:
    for seed in range(300 if FULL else 15):
        program = program_of(seed)
        whole = analyse(facts_of(program))
        facts = replace(facts_of(program), storage={}, codes={}, complete=False)
        for _ in range(60):
            analysis = analyse(facts)
            if not analysis.needs:
                break
            assert analysis.result != "inert", program
            facts = replace(
                facts,
                storage={**facts.storage, **{slot: program.storage.get(slot, 0) for slot in analysis.needs.slots}},
                codes={**facts.codes, **{at: program.codes.get(at, b"") for at in analysis.needs.codes}},
            )
        assert not analysis.needs, program
        assert (analysis.result, analysis.reason) == (whole.result, whole.reason), program


def test_any_bytes_are_judged() -> None:
    """No exception, whatever the code; and what is not undecided by its first byte can be called for real."""
    rng = random.Random(5)
    for _ in range(3000 if FULL else 100):
        code = rng.randbytes(rng.randrange(1, 60))
        storage = {rng.randrange(3): rng.getrandbits(256) for _ in range(rng.randrange(3))}
        assert analyse(AccountFacts(1 << 159, code, storage, {}, complete=True)).result in (
            "inert",
            "acting",
            "undecided",
        )


async def test_clz_is_as_on_anvil(anvil: Anvil) -> None:
    """The one instruction that this revm does not know yet."""
    for value in CORNERS:
        text = "0x" + assemble([value, "CLZ", 0, "MSTORE", 32, 0, "RETURN"]).hex()
        answer = await anvil.rpc("eth_call", {"to": hexed(SUBJECT)}, "latest", {hexed(SUBJECT): {"code": text}})
        assert int(answer, 16) == CONCRETE["CLZ"](value), hex(value)


@pytest.mark.timeout(600)
async def test_a_sample_does_nothing_on_anvil_either(show) -> None:
    """The same calls as transactions' executions on another implementation's node, Osaka's rules included."""
    # A node that keeps every state: `evm_revert` forgets none, so with fewer the oldest go, and among them the block
    # that each program starts from, which a trace needs.
    async with Anvil(states=1_000_000) as node, AnvilWorld(node) as world:
        programs = calls = succeeded = 0
        for seed in range(1, 100_000):
            program = program_of(seed)
            analysis = analyse(facts_of(program))
            if analysis.result != "inert":
                continue
            row = [call for call, _ in zip(Shots(program, random.Random(seed)), range(12), strict=False)]
            outcome = await world.run(program, row)
            assert not outcome.changes, f"{program}\n{outcome.changes}"
            programs, calls, succeeded = programs + 1, calls + len(row), succeeded + outcome.succeeded
            if programs == ON_ANVIL:
                break
    show(f"soundness on Anvil, seeds from 1: {programs} inert programs, {calls} transactions ({succeeded} succeeded)")
