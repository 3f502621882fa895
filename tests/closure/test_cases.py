"""The contract cases: each is analysed as it was built, in every configuration, and must come out as it says.

Pure: nothing is compiled or executed (``cases/build.py`` did that), save in the full profile, which builds all
again and compares.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import AccountFacts, Analysis
from tests.closure.cases import build as builder
from tests.closure.cases.adversaries import CASES as ADVERSARIES
from tests.closure.cases.case import (
    CONFIGURATIONS,
    NEW,
    OLD,
    RAW,
    VYPER,
    Built,
    Case,
    Deploy,
    Send,
    SetCode,
    Step,
    load,
)
from tests.closure.cases.honest import CASES as HONEST
from tests.closure.cases.honest import LIMITS
from tests.profile import FULL

ROOT = Path(__file__).resolve().parents[2]
ALL: tuple[Case, ...] = (*HONEST, *LIMITS, *ADVERSARIES)
EACH = [(each, where) for each in ALL for where in each.tried]


def parametrized(pairs: list[tuple[Case, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("each", "configuration"), [pytest.param(*pair, id=f"{pair[0].name}-{pair[1]}") for pair in pairs]
    )


def built(each: Case, configuration: str) -> Built:
    entries = load(configuration)
    assert each.name in entries, f"{each.name} is not in built/{configuration}.json: run tests.closure.cases.build"
    return entries[each.name]


def analysed(case: Built) -> Analysis:
    return analyse(AccountFacts(case.address, case.subject.code, case.subject.storage, case.codes, complete=True))


def told(analysis: Analysis) -> str:
    """For the message of a failure."""
    findings = ", ".join(f"{each.opcode} at {each.address:#x}:{each.pc:#x}" for each in analysis.findings)
    authority = ", ".join(each.name for each in analysis.authority)
    return f"{analysis.result} ({analysis.reason}: {analysis.detail}); findings: {findings}; authority: {authority}"


@parametrized([pair for pair in EACH if pair[0].analysis != "not_run"])
def test_each_case_comes_out_as_it_says(each: Case, configuration: str) -> None:
    analysis = analysed(built(each, configuration))
    assert analysis.result == each.analysis, told(analysis)
    if each.opcode or each.opcodes:
        wanted = {each.opcode, *each.opcodes} - {None}
        assert wanted & {finding.opcode for finding in analysis.findings}, told(analysis)
    if each.reason is not None:
        assert analysis.reason == each.reason, told(analysis)
    if each.authority is not None:
        assert each.authority in {authority.name for authority in analysis.authority}, told(analysis)
    elif each.analysis == "inert":
        assert analysis.authority == (), told(analysis)
    if each.verdict == "irreversible":
        assert not analysis.needs, f"nothing is missing, and yet it needs {analysis.needs}"


@parametrized([pair for pair in EACH if pair[0].analysis == "not_run"])
def test_what_is_not_analysed_has_no_code_or_none_that_the_evm_runs(each: Case, configuration: str) -> None:
    assert built(each, configuration).subject.code[:1] in (b"", b"\xef")


def test_an_irreversible_case_is_inert_and_answers_nothing_and_no_other_is() -> None:
    """The manifest keeps to the table of verdicts."""
    for each in ALL:
        proven = each.analysis == "inert" and each.authority is None
        assert (each.verdict == "irreversible") == proven, each.name
        if each.verdict == "reversible":
            assert each.confirmed or each.analysis == "not_run", f"{each.name}: reversible, by which witness?"
        if each.analysis == "undecided":
            assert each.verdict == "inconclusive", each.name


def test_there_are_enough_of_each_kind() -> None:
    assert len(HONEST) >= 20
    assert all(each.verdict == "irreversible" for each in HONEST)
    assert sum(each.verdict != "irreversible" for each in ADVERSARIES) >= 40
    counts = Counter(configuration for each in HONEST for configuration in each.configurations)
    assert all(counts[configuration] >= 20 for configuration in OLD + NEW), counts
    assert all(counts[configuration] >= 3 for configuration in VYPER), counts


def test_names_are_used_once_and_every_case_says_what_it_shows() -> None:
    names = Counter(each.name for each in ALL)
    assert [name for name, count in names.items() if count > 1] == []
    assert [each.name for each in ALL if not each.why.endswith(".")] == []


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_what_was_built_is_what_the_manifests_name(configuration: str) -> None:
    named = {each.name for each in ALL if configuration in each.configurations}
    assert set(load(configuration)) == named, "run tests.closure.cases.build"


def test_what_needs_no_compiler_is_built_again_to_the_same_bytes() -> None:
    cases = [replace(each, configurations=RAW) for each in ALL if each.configurations == RAW]
    results, problems = builder.build(cases, fresh=True)
    assert problems == []
    assert builder.compare("raw", builder.rendered(results["raw"])) == []


def test_a_step_that_does_not_do_what_it_says_is_a_problem() -> None:
    def outcome(*setup: Step, subject: str = "account") -> str:
        _, problems = builder.build([Case("tried", "raw", "", setup, "", subject, configurations=RAW)], fresh=True)
        assert len(problems) == 1
        return str(problems[0])

    stops, fails = SetCode("account", b"\x00"), SetCode("account", b"\xfe")
    assert "failed" in outcome(fails, Send("account", "close()"))
    assert "should fail, and did not" in outcome(stops, Send("account", "close()", fails=True))
    assert "no step makes 'other'" in outcome(stops, subject="other")
    assert "2 arguments for (uint256)" in outcome(stops, Send("account", "set(uint256)", (1, 2)))
    assert "has no contract 'Absent'" in outcome(Deploy("account", "Absent", source="artifact:SmartWallet"))


def test_the_comparison_names_the_cases_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "BUILT", tmp_path)
    assert builder.compare("raw", b"{}") == ["raw.json: missing"]
    (tmp_path / "raw.json").write_bytes(builder.rendered({"one": {}, "two": {}}))
    assert builder.compare("raw", builder.rendered({"one": {}, "two": {}})) == []
    assert builder.compare("raw", builder.rendered({"one": {"a": 1}, "two": {}})) == ["raw.json: differs in one"]
    (tmp_path / "raw.json").write_bytes(b'{"one": {}, "two": {}}')
    assert builder.compare("raw", builder.rendered({"one": {}, "two": {}})) == ["raw.json: differs in form only"]


@pytest.mark.timeout(3600)
def test_built_again_the_cases_are_the_same_bytes() -> None:
    if not FULL:
        pytest.skip("compiles all sources in all configurations, for minutes: ORCHESTRATOR_TEST_PROFILE=full")
    command = [sys.executable, "-m", "tests.closure.cases.build", "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
