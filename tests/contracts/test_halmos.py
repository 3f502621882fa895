"""The formal cross-check of the wallet, by halmos: all is proven, the doubles are refuted, and nothing less counts."""

import copy
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contracts import halmos
from tests.profile import full_only

ROOT = Path(__file__).resolve().parents[2]
# keccak256("open sesame"): what the doubles in contracts/test/halmos/Doubles.sol wait for.
WORD = 0x41A3E23AE767D22161EDD75F570001163314BBA77F5126B4A64A24F5EA176ACC


@pytest.fixture
def path_of_tools(monkeypatch) -> None:
    folders = [str(Path(sys.executable).parent), str(ROOT / ".toolchain" / "bin"), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    for program in ("forge", "node"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is missing: run `make setup`")


@full_only("the solver needs minutes")
@pytest.mark.timeout(900)
def test_a_closed_wallet_is_inert_for_all_parties_callers_and_arguments(path_of_tools):
    run = halmos.run()
    assert run.problems == (), "\n".join((*run.lines, *run.problems))
    assert len(run.lines) == len(halmos.written()) >= 24
    # The doubles are refuted by what they wait for, which no random test would find.
    for name in ("ReopeningFound.check_AnyFunction", "WritingFound.check_Keep", "PayingFound.check_Withdraw"):
        assert f"word={WORD}" in run.counterexamples[name]


def test_every_entry_point_of_the_wallet_has_its_check():
    source = (ROOT / "contracts" / "src" / "SmartWallet.sol").read_text()
    changing = {
        name.lower()
        for name, rest in re.findall(r"function (\w+)\([^)]*\)\s*((?:external|public)[^{]*)\{", source)
        if not re.search(r"\b(view|pure)\b", rest)
    } | {"isvalidsignature", "receive", "fallback"}
    written = [check for check in halmos.written() if check.contract == "ClosedCheck"]
    assert len(changing) >= 13
    assert changing | {"anyfunction"} <= {check.function.removeprefix("check_").lower() for check in written}
    assert all(check.must_pass for check in written)


def test_what_must_be_refuted_is_known_by_its_name():
    refuted = {f"{check.contract}.{check.function}" for check in halmos.written() if not check.must_pass}
    assert refuted == {
        "AnsweringFound.check_AnyFunction",
        "ClosingCheck.fails_CloseSucceeds",
        "PayingFound.check_Withdraw",
        "ReopeningFound.check_AnyFunction",
        "WritingFound.check_Keep",
    }


def test_without_halmos_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(halmos, "BIN_DIR", tmp_path)
    with pytest.raises(halmos.HalmosError, match=r"run `make \.halmos/\.ready`"):
        halmos.run()


# ------------------------------------------------------------------------------------- what a result must not be judged


MODEL = {"model": {"p_word_00": {"variable_name": "word", "value": 7}}, "is_valid": True}
CLEAR = {"num_paths": [2, 1, 0], "time": [1.0, 1.0, 0.0], "num_bounded_loops": 0}
GOOD: dict[str, Any] = {
    "exitcode": 1,
    "test_results": {
        "test/halmos/A.t.sol:AFound": [{"name": "check_B(bytes32)", "exitcode": 1, "models": [MODEL], **CLEAR}],
        "test/halmos/A.t.sol:ACheck": [{"name": "check_A()", "exitcode": 0, "models": [], **CLEAR}],
    },
}


def judged(document: dict[str, Any] = GOOD, output: str = "[PASS] check_A() (paths: 1)\n") -> Any:
    expected = [halmos.Check("ACheck", "check_A", True), halmos.Check("AFound", "check_B", False)]
    return halmos.judge(expected, document, output, 1.0)


def test_a_clear_result_is_believed():
    run = judged()
    assert run.problems == ()
    assert run.counterexamples == {"AFound.check_B": ("word=7",)}
    assert len(run.lines) == 2


@pytest.mark.parametrize(
    ("contract", "field", "value", "problem"),
    [
        ("ACheck", "exitcode", 1, "ACheck.check_A: expected exit code 0, got 1"),
        ("ACheck", "exitcode", 2, "ACheck.check_A: expected exit code 0, got 2"),
        ("AFound", "exitcode", 0, "AFound.check_B: expected exit code 1, got 0"),
        ("AFound", "models", [], "AFound.check_B: no valid counterexample"),
        ("AFound", "models", [{**MODEL, "is_valid": False}], "AFound.check_B: no valid counterexample"),
        ("ACheck", "num_bounded_loops", 1, "ACheck.check_A: 1 loops were not unrolled to their end"),
        ("ACheck", "num_bounded_loops", None, "ACheck.check_A: None loops were not unrolled to their end"),
        ("ACheck", "num_paths", [3, 2, 1], "ACheck.check_A: 3 paths, 1 of them stuck"),
        ("ACheck", "num_paths", None, "ACheck.check_A: 0 paths, 1 of them stuck"),
        ("ACheck", "name", "check_C()", "ACheck.check_A: not run"),
        ("ACheck", "name", "check_C()", "ACheck.check_C: run, and not written"),
    ],
)
def test_anything_less_is_a_problem(contract, field, value, problem):
    document = copy.deepcopy(GOOD)
    document["test_results"][f"test/halmos/A.t.sol:{contract}"][0][field] = value
    assert any(each.startswith(problem) for each in judged(document).problems)


@pytest.mark.parametrize(
    "line",
    [
        "\x1b[33mWARNING\x1b[0m  check_A(): paths have not been fully explored due to the loop unrolling bound: 2",
        "ERROR    No tests with --match-contract '.'",
        "[ERROR] check_A() (paths: 1)",
        "[TIMEOUT] check_A() (paths: 1)",
        "Warning: something of the compiler's",
    ],
)
def test_a_warning_is_a_problem(line):
    problems = judged(output=f"[PASS] check_A()\n{line}\n").problems
    assert len(problems) == 1
    assert problems[0].startswith("halmos says: ")


def test_no_checks_are_a_problem():
    assert halmos.judge([], {"test_results": {}}, "", 0.0).problems == ("no check is written",)
