"""Builds the contract cases of this folder: compiles, carries out the steps, writes what is there afterwards.

    python -m tests.closure.cases.build

The result is the same bytes on every machine. `--check` writes nothing: it compares byte for byte and exits 1 naming
what differs. `--only TEXT` builds the cases whose name contains the text, and prints what came of them, without
writing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from tests.closure.cases.adversaries import CASES as ADVERSARIES
from tests.closure.cases.case import BUILT, CONFIGURATIONS, Case, Deploy
from tests.closure.cases.compilers import BuildError, Compiled, compile_all
from tests.closure.cases.execution import World, checksum
from tests.closure.cases.honest import CASES as HONEST
from tests.closure.cases.honest import LIMITS


def describe(each: Case, world: World) -> dict[str, Any]:
    """The built case as it stands in the fixture."""
    if each.subject not in world.labels:
        raise BuildError(f"no step makes {each.subject!r}")
    accounts = {
        checksum(address): {
            "balance": str(account_.balance),
            "code": f"0x{account_.code.hex()}",
            "nonce": account_.nonce,
            "storage": {hex(slot): hex(value) for slot, value in sorted(account_.storage.items()) if value},
        }
        for address, account_ in world.accounts.items()
        if account_.code
    }
    labels = {label: checksum(address) for label, address in world.labels.items()}
    return {"accounts": accounts, "address": labels[each.subject], "labels": labels}


def manifest() -> tuple[Case, ...]:
    cases = (*HONEST, *LIMITS, *ADVERSARIES)
    names = [each.name for each in cases]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BuildError(f"two cases have the name {', '.join(twice)}")
    return cases


def sources_of(each: Case) -> set[str]:
    steps = {step.source for step in each.setup if isinstance(step, Deploy) and step.source}
    own = {each.source} if any(isinstance(step, Deploy) and not step.source for step in each.setup) else set()
    return steps | own


def build(cases: Iterable[Case], *, fresh: bool) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The built cases by configuration and name, and what went wrong, a text for each case and configuration."""
    wanted = [(configuration, each) for each in cases for configuration in each.configurations]
    if strange := {configuration for configuration, _ in wanted} - {*CONFIGURATIONS}:
        raise BuildError(f"no such configuration: {', '.join(sorted(strange))}")
    sources = {(configuration, source) for configuration, each in wanted for source in sources_of(each)}
    compiled = compile_all(sources, fresh=fresh)
    results: dict[str, dict[str, Any]] = {configuration: {} for configuration in CONFIGURATIONS}
    problems: list[str] = []
    for configuration, each in sorted(wanted, key=lambda pair: (pair[0], pair[1].name)):
        try:
            world = World(each, {source: succeeded(compiled[configuration, source]) for source in sources_of(each)})
            for step in each.setup:
                world.do(step)
            results[configuration][each.name] = describe(each, world)
        except BuildError as error:
            problems.append(f"{each.name} ({configuration}): {error}")
    return results, problems


def succeeded(answer: dict[str, Compiled] | str) -> dict[str, Compiled]:
    if isinstance(answer, str):
        raise BuildError(answer)
    return answer


def rendered(entries: Mapping[str, Any]) -> bytes:
    """Canonical JSON, one line per case."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(entries[name], sort_keys=True, separators=(',', ':'))}"
        for name in sorted(entries)
    ]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def compare(configuration: str, content: bytes) -> list[str]:
    path = BUILT / f"{configuration}.json"
    if not path.exists():
        return [f"{path.name}: missing"]
    if path.read_bytes() == content:
        return []
    there = json.loads(path.read_bytes())
    built = json.loads(content)
    names = [name for name in sorted({*there, *built}) if there.get(name) != built.get(name)]
    return [f"{path.name}: differs in {', '.join(names) or 'form only'}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is there; write nothing")
    parser.add_argument("--only", metavar="TEXT", help="build the cases whose name has this text; write nothing")
    parser.add_argument("--fresh", action="store_true", help="compile all sources again, also those that were before")
    arguments = parser.parse_args()
    try:
        cases = [each for each in manifest() if not arguments.only or arguments.only in each.name]
        results, problems = build(cases, fresh=arguments.fresh or arguments.check)
    except BuildError as error:
        print(f"the cases cannot be built: {error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(problem, file=sys.stderr)
    if arguments.only:
        for configuration, entries in results.items():
            for name, entry in entries.items():
                size = len(entry["accounts"].get(entry["address"], {"code": "0x"})["code"]) // 2 - 1
                print(f"{name} ({configuration}): {size} bytes of code at {entry['address']}")
        return 1 if problems else 0
    changed = []
    for configuration, entries in results.items():
        content = rendered(entries)
        changed += compare(configuration, content)
        if not arguments.check:
            BUILT.mkdir(exist_ok=True)
            (BUILT / f"{configuration}.json").write_bytes(content)
    count = sum(len(entries) for entries in results.values())
    print("\n".join(changed) or f"{count} built cases, all as they were")
    return 1 if problems or (arguments.check and changed) else 0


if __name__ == "__main__":
    sys.exit(main())
