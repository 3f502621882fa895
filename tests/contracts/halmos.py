"""Runs halmos over the formal checks of the wallet in contracts/test/halmos, and believes it only where it is clear.

A check named `check_*` must pass; every check of a contract named `*Found`, and one named `fails_*`, must be refuted by
a counterexample, so that a run shows too that it can fail. All that is less counts as a failure: an error, a warning, a
timeout, a loop not unrolled to its end, a path that got stuck, a check that is written and was not run.

    python -m tests.contracts.halmos --contract Closed

halmos has an environment of its own (`.halmos`, from requirements/halmos.txt), and forge and node must be on PATH.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS_DIR = ROOT / "contracts"
CHECKS_DIR = CONTRACTS_DIR / "test" / "halmos"
BIN_DIR = ROOT / ".halmos" / "bin"
# Beside forge's own, so that neither disturbs the other; below contracts/cache, which is not versioned.
OUT_DIR = Path("cache") / "halmos"
PASSED, REFUTED = 0, 1
TIMEOUT = 600
"""Seconds for everything; a run takes about two minutes on two cores."""


class HalmosError(Exception):
    """halmos could not be run, or gave no results: the message says which."""


@dataclass(frozen=True)
class Check:
    contract: str
    function: str
    must_pass: bool


@dataclass(frozen=True)
class Run:
    """What one run showed. ``problems`` is empty if, and only if, all is as it must be."""

    lines: tuple[str, ...]
    problems: tuple[str, ...]
    counterexamples: dict[str, tuple[str, ...]]
    """By ``contract.function``, the values of the variables that refute it, as halmos names and writes them."""
    seconds: float


def written() -> list[Check]:
    """The checks that the sources hold, those that a contract inherits included."""
    inherited = re.findall(r"function (check_\w+)\(", source("ClosedChecks.sol"))
    checks = []
    for path in sorted(CHECKS_DIR.glob("*.t.sol")):
        for name, base, body in re.findall(
            r"^contract (\w+) is (\w+) \{(.*?)^\}", source(path.name), re.MULTILINE | re.DOTALL
        ):
            functions = re.findall(r"function ((?:check|fails)_\w+)\(", body)
            functions += inherited if base == "AnyFunctionCheck" else []
            checks += [
                Check(name, each, not (name.endswith("Found") or each.startswith("fails_"))) for each in functions
            ]
    return checks


def source(name: str) -> str:
    return (CHECKS_DIR / name).read_text(encoding="utf-8")


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "FOUNDRY_DISABLE_NIGHTLY_WARNING": "1",
        "FOUNDRY_TEST": str(CHECKS_DIR.relative_to(CONTRACTS_DIR)),
        "FOUNDRY_OUT": str(OUT_DIR / "out"),
        "FOUNDRY_CACHE_PATH": str(OUT_DIR / "cache"),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }


def command(contract: str, json_output: Path) -> list[str]:
    # The solver is named in full: halmos would look for one, and download it where it finds none.
    solver = f"{BIN_DIR / 'yices-smt2'} --smt2-model-format --bvconst-in-decimal"
    return [
        str(BIN_DIR / "halmos"),
        *("--root", "."),
        *("--forge-build-out", str(OUT_DIR / "out")),
        *("--function", "(check|fails)_"),
        *("--match-contract", contract),
        *("--solver-command", solver),
        *("--default-bytes-lengths", "0,65"),
        *("--solver-timeout-assertion", "60s"),
        "--no-status",
        *("--json-output", str(json_output)),
    ]


def run(contract: str = ".") -> Run:
    """Builds the contracts and runs the checks of those whose name matches. Raises HalmosError."""
    if not (BIN_DIR / "halmos").is_file():
        raise HalmosError(f"halmos is not in {BIN_DIR}: run `make .halmos/.ready`")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "halmos.json"
        try:
            done = subprocess.run(
                command(contract, answer),
                cwd=CONTRACTS_DIR,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HalmosError(f"halmos took longer than {TIMEOUT} s") from None
        output = done.stdout + done.stderr
        if not answer.is_file():
            raise HalmosError(f"halmos ended with {done.returncode} and no results:\n{output.strip()}")
        document = json.loads(answer.read_text(encoding="utf-8"))
    expected = [check for check in written() if re.search(contract, check.contract)]
    return judge(expected, document, output, time.monotonic() - started)


def judge(expected: list[Check], document: dict[str, Any], output: str, seconds: float) -> Run:
    """Pure. ``document`` is halmos's JSON, ``output`` all that it wrote."""
    results = {
        f"{path.rpartition(':')[2]}.{result['name'].partition('(')[0]}": result
        for path, tests in document["test_results"].items()
        for result in tests
    }
    wanted = {f"{check.contract}.{check.function}": check.must_pass for check in expected}
    problems = [] if expected else ["no check is written"]
    problems += [f"{name}: not run" for name in wanted if name not in results]
    problems += [f"{name}: run, and not written" for name in results if name not in wanted]
    lines = []
    for name, result in sorted(results.items()):
        trouble = troubles(result, wanted.get(name, True))
        problems += [f"{name}: {each}" for each in trouble]
        outcome = "FAIL" if trouble else "proven" if wanted.get(name, True) else "refuted, as it must be"
        paths = result["num_paths"][0] if result.get("num_paths") else 0
        lines.append(f"{name:<44} {paths:>4} paths  {result['time'][0]:>6.1f} s  {outcome}")
    problems += [f"halmos says: {line}" for line in complaints(output)]
    counterexamples = {name: tuple(values(result)) for name, result in results.items() if result["exitcode"] == REFUTED}
    return Run(tuple(lines), tuple(problems), counterexamples, seconds)


def troubles(result: dict[str, Any], must_pass: bool) -> list[str]:
    expected = PASSED if must_pass else REFUTED
    found = []
    if result["exitcode"] != expected:
        found.append(
            f"expected exit code {expected}, got {result['exitcode']}; {' '.join(values(result))}".rstrip("; ")
        )
    if not must_pass and not any(model["is_valid"] for model in result["models"] or ()):
        found.append("no valid counterexample")
    if result.get("num_bounded_loops") != 0:
        found.append(f"{result.get('num_bounded_loops')} loops were not unrolled to their end")
    total, _, stuck = result.get("num_paths") or (0, 0, 1)
    if total == 0 or stuck != 0:
        found.append(f"{total} paths, {stuck} of them stuck")
    return found


def values(result: dict[str, Any]) -> list[str]:
    """What refutes a check, as ``name=value``, for all its counterexamples."""
    variables = [variable for model in result["models"] or () for variable in (model["model"] or {}).values()]
    return [f"{variable['variable_name']}={variable['value']}" for variable in variables]


def complaints(output: str) -> list[str]:
    """Every line that warns, whatever it warns of: a proof with a warning is no proof."""
    output = re.sub(r"\x1b\[[0-9;]*m", "", output)
    return [
        line.strip() for line in output.splitlines() if re.search(r"\b(error|warning|timeout)\b", line, re.IGNORECASE)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contract", default=".", metavar="REGEX", help="only the checks of contracts that match")
    arguments = parser.parse_args()
    try:
        result = run(arguments.contract)
    except HalmosError as error:
        print(f"halmos: {error}", file=sys.stderr)
        return 1
    print("\n".join(result.lines))
    print(f"{len(result.lines)} checks, {len(result.problems)} problems, {result.seconds:.0f} s")
    print("\n".join(result.problems), file=sys.stderr)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
