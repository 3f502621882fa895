"""Measures the closure proof: the analysis over real and worst-case code, and the checks of a certificate's proofs.

Times are processor time of this process, and stand beside a baseline measured in the same run (keccak-256 of 24 kB), so
that numbers compare between machines, and busy ones. `--check` ends with 1 where a target is missed.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import pstats
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from cProfile import Profile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from eth_hash.auto import keccak

from orchestrator.artifacts import load
from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import AccountFacts

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "closure"
ADDRESS = 0xC0DE << 100
LIMIT = 24_576
TARGET_MEDIAN, TARGET_MAXIMUM, TARGET_PROOFS = 10.0, 1000.0, 5.0
"""Milliseconds."""
Subject = tuple[str, AccountFacts]


@dataclass(frozen=True, slots=True)
class Measured:
    name: str
    size: int
    milliseconds: float
    result: str
    reason: str
    states: int
    steps: int


def real() -> Iterator[Subject]:
    """Real contracts, as if their storage were zero."""
    for each in json.loads((TESTS / "real" / "contracts.json").read_text(encoding="utf-8")):
        code = bytes.fromhex(each["code"])
        yield f"{each['name']} of {each['origin']}", AccountFacts(ADDRESS, code, complete=True)


def wallet() -> Iterator[Subject]:
    """Our wallet, closed and open."""
    artifact = load("SmartWallet")
    code = bytearray(artifact.deployed_bytecode)
    for number, places in enumerate(artifact.immutable_references.values()):
        for start, length in places:
            code[start : start + length] = (0xA1 + number).to_bytes(length, "big")
    yield "SmartWallet, closed", AccountFacts(ADDRESS, bytes(code), {0: 3}, complete=True)
    yield "SmartWallet, active", AccountFacts(ADDRESS, bytes(code), {0: 1}, complete=True)


def cases() -> Iterator[Subject]:
    """The honest contracts and the adversaries, in the state that their setup left them in."""
    for path in sorted((TESTS / "cases" / "built").glob("*.json")):
        for name, case in json.loads(path.read_text(encoding="utf-8")).items():
            accounts = {int(address, 16): account for address, account in case["accounts"].items()}
            subject = int(case["address"], 16)
            codes = {address: bytes.fromhex(account["code"][2:]) for address, account in accounts.items()}
            if subject not in accounts or not codes[subject] or codes[subject][0] == 0xEF:
                continue
            slots = accounts[subject]["storage"].items()
            storage = {int(slot, 16): int(value, 16) for slot, value in slots}
            yield f"{name} ({path.stem})", AccountFacts(subject, codes[subject], storage, codes, complete=True)


def worst() -> Iterator[Subject]:
    """Programs made to be hard."""
    for name, code in imported("worst_cases", TESTS / "real" / "worst_cases.py").ALL.items():
        yield name, AccountFacts(ADDRESS, code, codes={ADDRESS: code}, complete=True)


def imported(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def milliseconds(work: Callable[[], Any], times: int = 1) -> tuple[float, Any]:
    """The least of ``times`` runs."""
    answer, least = None, float("inf")
    for _ in range(times):
        started = time.thread_time()
        answer = work()
        least = min(least, time.thread_time() - started)
    return least * 1000, answer


def measure(subjects: Iterable[Subject]) -> Iterator[Measured]:
    for name, facts in subjects:
        took, analysis = milliseconds(partial(analyse, facts))
        if took < 50:
            again, _ = milliseconds(partial(analyse, facts), 2)
            took = min(took, again)
        size = len(facts.code)
        yield Measured(name, size, took, analysis.result, analysis.reason, analysis.states, analysis.steps)


def baseline() -> float:
    """Milliseconds of keccak-256 of 24 kB, a hundred times, divided by ten."""
    data = bytes(LIMIT)
    return milliseconds(lambda: [keccak(data) for _ in range(100)], 3)[0] / 10


def proofs() -> float:
    """Milliseconds to check a certificate's header, account proof, code hash and three slots."""
    from orchestrator.closure.proof.evidence import prove

    world_maker = imported("closure_conftest", TESTS / "conftest.py")
    world = world_maker.closed_world()
    world = world_maker.World(world.wallet, world.code, world.storage, others=3000)
    header = world_maker.make_header(world.state_root)
    evidence = world.evidence(header)
    return milliseconds(lambda: prove(evidence, header["hash"]), 20)[0]


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def report(title: str, rows: list[Measured], base: float, slowest: int) -> None:
    times = [row.milliseconds for row in rows]
    if not times:
        print(f"{title}: none")
        return
    results = ", ".join(f"{count} {result}" for result, count in Counter(row.result for row in rows).most_common())
    print(f"\n{title}: {len(rows)} ({results})")
    for name, value in (
        ("median", statistics.median(times)),
        ("p95", percentile(times, 0.95)),
        ("maximum", max(times)),
    ):
        print(f"  {name:<8} {value:>9.1f} ms  {value / base:>8.2f} of the baseline")
    for name, counts in (("states", [row.states for row in rows]), ("steps", [row.steps for row in rows])):
        print(f"  {name:<8} {statistics.median(counts):>9.0f} median, {max(counts)} most")
    for row in sorted(rows, key=lambda row: -row.milliseconds)[:slowest]:
        print(
            f"    {row.milliseconds:>9.1f} ms {row.size:>6} bytes {row.states:>6} states {row.steps:>7} steps "
            f"{row.result} {row.reason}: {row.name}"
        )


def profile(name: str) -> None:
    """Where the time goes, for the subjects whose name contains ``name``."""
    for subject, facts in (*real(), *wallet(), *cases(), *worst()):
        if name not in subject:
            continue
        with Profile() as recorded:
            analyse(facts)
        text = io.StringIO()
        pstats.Stats(recorded, stream=text).sort_stats("tottime").print_stats(15)
        print(subject, text.getvalue())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="end with 1 where a target is missed")
    parser.add_argument("--slowest", type=int, default=5, metavar="N", help="show the N slowest of each group")
    parser.add_argument(
        "--profile", metavar="NAME", help="only show where the time goes, for what has this in its name"
    )
    arguments = parser.parse_args()
    if arguments.profile:
        profile(arguments.profile)
        return 0
    sys.setswitchinterval(1)
    base = baseline()
    print(f"baseline (keccak-256 of 24 kB, ten times): {base:.2f} ms")
    missed = []
    everything: list[Measured] = []
    for title, subjects in (("real code", real()), ("our wallet", wallet()), ("cases", cases())):
        rows = list(measure(subjects))
        everything += rows
        report(title, rows, base, arguments.slowest)
    median = statistics.median(row.milliseconds for row in everything)
    if median >= TARGET_MEDIAN:
        missed.append(f"median {median:.1f} ms, expected less than {TARGET_MEDIAN:.0f} ms")
    rows = list(measure(worst()))
    report("made to be hard", rows, base, arguments.slowest)
    slow = [row for row in (*everything, *rows) if row.milliseconds >= TARGET_MAXIMUM and row.size <= LIMIT]
    missed += [f"{row.name}: {row.milliseconds:.0f} ms, expected less than {TARGET_MAXIMUM:.0f} ms" for row in slow]
    checked = proofs()
    print(f"\nheader and proofs: {checked:.2f} ms, {checked / base:.2f} of the baseline")
    if checked >= TARGET_PROOFS:
        missed.append(f"header and proofs {checked:.1f} ms, expected less than {TARGET_PROOFS:.0f} ms")
    print(f"\nmedian of all but the last group: {median:.1f} ms; {len(missed)} targets missed")
    for line in missed:
        print(f"  {line}")
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
