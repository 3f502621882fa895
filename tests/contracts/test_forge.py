"""The contracts' own tests, by forge: unit, fuzz and invariant tests, few runs here and many in the full profile."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.profile import FULL

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """With forge, and the node that runs its compiler, as `make setup` puts them."""
    folders = [str(Path(sys.executable).parent), str(ROOT / ".toolchain" / "bin"), os.environ["PATH"]]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(folders),
        "FOUNDRY_PROFILE": "full" if FULL else "default",
        "FOUNDRY_DISABLE_NIGHTLY_WARNING": "1",
        "NO_COLOR": "1",
    }
    for program in ("forge", "node"):
        if shutil.which(program, path=environment["PATH"]) is None:
            pytest.fail(f"{program} is missing: run `make setup`")
    return environment


def forge(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["forge", *arguments], cwd=CONTRACTS, env=environment, capture_output=True, text=True, timeout=1500, check=False
    )


@pytest.mark.timeout(1800)
def test_all_contract_tests_pass(environment):
    done = forge(environment, "test")
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "[FAIL" not in output
    summary = re.search(r"(\d+) tests passed, (\d+) failed, (\d+) skipped", output)
    assert summary is not None, output
    passed, failed, skipped = map(int, summary.groups())
    assert (failed, skipped) == (0, 0), output
    assert passed == len(re.findall(r"^\[PASS\]", output, re.MULTILINE))
    written = sum(
        len(re.findall(r"function (?:test|invariant)\w*\(", path.read_text()))
        for path in (CONTRACTS / "test").rglob("*.t.sol")
    )
    assert passed >= written > 100
    for invariant in ("AfterClosingInvariant", "WholeLifeInvariant"):
        assert re.search(rf":{invariant}\n(?:\[PASS\].*\n)*\[PASS\] invariant_NothingChanges", output), output


def test_the_sources_are_in_forges_format(environment):
    done = forge(environment, "fmt", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_function_of_the_wallet_has_its_file():
    """A file for each entry point; views are covered where what they show is made."""
    source = (CONTRACTS / "src" / "SmartWallet.sol").read_text()
    names = set(re.findall(r"function (\w+)\([^)]*\)\s*(?:external|public)", source)) - {
        "state",
        "sessionKey",
        "challengeCommitment",
    }
    files = {path.name.removesuffix(".t.sol").lower() for path in (CONTRACTS / "test" / "SmartWallet").glob("*.t.sol")}
    assert len(names) >= 10
    assert {name.lower() for name in names} <= files
