"""Soundness against the real EVM, for as long as one likes: ``python -m tests.closure.soundness.run --seconds 3600``.

Programs come by their seeds, half generated and half mutants of real code, each judged and then called for real. Prints
every contradiction with all that makes it happen again, and the counts; ends with 1 if there was one.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass, field

from orchestrator.closure.evm.analysis import analyse

from .harness import Counts, Unsound, check
from .mutants import mutant, real_programs
from .programs import Program, generate

DEEP = 400
"""Every so manieth program is called thousands of times instead of dozens."""
DEEP_CALLS = 3000


@dataclass(slots=True)
class Report:
    first_seed: int
    counts: Counts = field(default_factory=Counts)
    contradictions: list[Unsound] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        last = self.first_seed + self.counts.programs - 1
        return (
            f"soundness against the real EVM, seeds {self.first_seed} to {last}, {self.seconds:.0f} s: "
            f"{self.counts}; contradictions: {len(self.contradictions)}"
        )


def program_of(seed: int) -> Program:
    return generate(seed) if seed % 2 else mutant(seed)


def campaign(
    seed: int, programs: int, *, seconds: float = 1e9, calls: int = 24, deep: int = DEEP, stop_at: int = 5
) -> Report:
    """Judges the programs of ``programs`` seeds from ``seed`` on. Ends early at ``seconds`` or ``stop_at`` errors."""
    report, started = Report(seed), time.monotonic()
    for number in range(programs):
        program = program_of(seed + number)
        try:
            check(program, analyse, report.counts, calls=DEEP_CALLS if number % deep == deep - 1 else calls)
        except Unsound as contradiction:
            report.contradictions.append(contradiction)
        if time.monotonic() - started > seconds or len(report.contradictions) >= stop_at:
            break
    report.seconds = time.monotonic() - started
    return report


def unchanged(calls: int, *, every: int = 1) -> Report:
    """The real programs as they are: our contracts, and every ``every``-th case of the corpus."""
    report, started = Report(0), time.monotonic()
    for program in real_programs()[::every]:
        try:
            check(program, analyse, report.counts, calls=calls)
        except Unsound as contradiction:
            report.contradictions.append(contradiction)
    report.seconds = time.monotonic() - started
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--calls", type=int, default=40, help="real calls at a program that is called inert")
    options = parser.parse_args()
    report = campaign(options.seed, options.programs, seconds=options.seconds, calls=options.calls, stop_at=20)
    for contradiction in report.contradictions:
        sys.stdout.write(f"{contradiction}\n\n")
    sys.stdout.write(f"{report}\n")
    return 1 if report.contradictions else 0


if __name__ == "__main__":
    sys.exit(main())
