"""The analysis over real contracts that npm packages ship, and over programs made to be hard: it always ends.

The fixture is built by real/build.py. A slice by default, all of it in the full profile.
"""

import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from eth_hash.auto import keccak

from orchestrator.closure.evm.analysis import analyse
from orchestrator.closure.evm.facts import AccountFacts
from tests.closure.real import build, worst_cases
from tests.profile import FULL, full_only

REAL = Path(worst_cases.__file__).parent
ADDRESS = 0xC0DE << 100
CONTRACTS = json.loads((REAL / "contracts.json").read_text(encoding="utf-8"))
# What the analysis cannot tell, and why. It must say exactly these.
UNDECIDED: dict[str, str] = {}


def label(contract: dict[str, str]) -> str:
    return f"{contract['name']} of {contract['origin']}"


def small(contract: dict[str, str]) -> bool:
    return len(contract["code"]) <= 2 * 2_000


def test_the_fixture_is_what_it_says():
    assert len(CONTRACTS) >= 100
    assert len({contract["code"] for contract in CONTRACTS}) == len(CONTRACTS)
    packages = {contract["origin"].rpartition("@")[0] for contract in CONTRACTS} - {""}
    assert len(packages) >= 8
    compilers = {contract["compiler"] for contract in CONTRACTS}
    assert {f"solc 0.{minor}" for minor in (4, 5, 6, 7, 8)} <= {each.rpartition(".")[0] for each in compilers}
    assert "vyper" in compilers
    for contract in CONTRACTS:
        code = bytes.fromhex(contract["code"])
        assert keccak(code).hex() == contract["keccak"], label(contract)
        assert 0 < len(code) <= 24_576, label(contract)
    assert (REAL / "contracts.json").stat().st_size < 2_500_000


SLICE = CONTRACTS if FULL else [contract for contract in CONTRACTS if small(contract)][::2]


@pytest.mark.parametrize("contract", SLICE, ids=label)
def test_a_real_contract_is_analysed(contract):
    analysis = analyse(AccountFacts(ADDRESS, bytes.fromhex(contract["code"]), complete=True))
    assert not analysis.needs
    if label(contract) in UNDECIDED:
        assert (analysis.result, analysis.reason) == ("undecided", UNDECIDED[label(contract)])
    else:
        assert analysis.result in ("inert", "acting"), analysis
    assert bool(analysis.findings) == (analysis.result == "acting")


def test_few_are_undecided_and_all_of_them_are_known():
    assert len(UNDECIDED) < len(CONTRACTS) / 10
    assert set(UNDECIDED) <= {label(contract) for contract in CONTRACTS}


@pytest.mark.parametrize(
    ("name", "origin", "result", "opcodes"),
    [
        # Its implementation has no code in this test, and anybody might put some there.
        ("MinimalProxy", "EIP-1167", "acting", {"DELEGATECALL"}),
        ("WETH9", "canonical-weth@1.4.0", "acting", {"SSTORE", "CALL"}),
        ("DeterministicDeploymentProxy", "Arachnid/deterministic-deployment-proxy", "acting", {"CREATE2"}),
        ("BeaconRoots", "EIP-4788", "acting", {"SSTORE"}),
        ("HistoryStorage", "EIP-2935", "acting", {"SSTORE"}),
        ("UniswapV2Pair", "@uniswap/v2-core@1.0.1", "acting", {"SSTORE"}),
    ],
)
def test_what_is_known_of_some(name, origin, result, opcodes):
    contract = next(each for each in CONTRACTS if (each["name"], each["origin"]) == (name, origin))
    analysis = analyse(AccountFacts(ADDRESS, bytes.fromhex(contract["code"]), complete=True))
    assert analysis.result == result
    assert opcodes <= {finding.opcode for finding in analysis.findings}


QUICK = (
    "code: all CALLER",
    "code: all PUSH32",
    "jumps: a table of a thousand, by a remainder",
    "words: powers of powers",
)


@pytest.mark.parametrize("name", list(worst_cases.programs()) if FULL else QUICK)
def test_what_is_made_to_be_hard_ends(name):
    code = worst_cases.programs()[name]
    started = time.thread_time()
    analysis = analyse(AccountFacts(ADDRESS, code, codes={ADDRESS: code}, complete=True))
    took = time.thread_time() - started
    assert len(code) <= worst_cases.LIMIT
    assert analysis.result in ("inert", "acting", "undecided")
    # Meant to be about one second; generous, so that a slow machine does not fail.
    assert took < 10, f"{took:.1f} s, {analysis.steps} steps, {analysis.states} states"


@full_only("asks the npm registry")
@pytest.mark.timeout(900)
def test_the_fixture_is_built_from_the_locked_packages(monkeypatch, capsys):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "argv", ["build.py", "--check"])
    assert build.main() == 0, capsys.readouterr().out


def test_the_lock_names_no_address_and_every_hash():
    lock = json.loads((REAL / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all("resolved" not in package for package in packages.values())
    without = [name for name, package in packages.items() if not re.match(r"sha\d+-", package.get("integrity", ""))]
    assert without == []
    assert Counter(package.get("dev", False) for package in packages.values())[True] >= 15
