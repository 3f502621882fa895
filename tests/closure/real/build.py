"""Collects runtime code of well-known contracts from the npm packages that ship it, for the closure proof's tests.

    python -m tests.closure.real.build --check

Writes contracts.json beside this file: name, package@version, licence, compiler, keccak-256 and the code itself, one
contract a line. `--check` writes nothing and compares byte for byte. `--table` analyses each contract as if its whole
storage were zero, and prints what came out. The packages are those of tests/closure/real/package-lock.json, brought by
`npm ci` into a temporary folder; nothing of them is run.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

FOLDER = Path(__file__).resolve().parent
FIXTURE = FOLDER / "contracts.json"
SMALLEST = 60
"""Bytes. A library of internal functions compiles to less: it does nothing at all."""
LIBRARY_ADDRESS = "11" * 20
# What the packages' own tests are made of is not deployed anywhere.
NOT_DEPLOYED = re.compile(
    r"Mock|Test|Sample|Example|Impl$|Attack|Migrations|Stub|Wrapper|Malicious|Broken|Assert|Constants|Target|Throw"
    r"|Actor|Unsafe|Overload|PinnedStorage|Oracle$|EthSender|old_diamondbase|Caller|ERCProxy|Conversion|Errors"
    r"|Simulations|UpgradedKernel|RoleMock|Helpers|ERC20Token|InterfaceId|SafeERC20"
)
# Much like others that stay; left out for the fixture's size.
ALIKE = re.compile(
    r"Crowdsale|__unstable__|Logic$|Full$|Mintable|Burnable|Capped|ERC777Preset|DelegationAware|V3Migrator|Router01|L2$|^L2Pool$"
    r"|Pausable$|Enumerable$|ERC721Metadata|RefundEscrow|PresetFixed|TransactionGuard|GSN|Holder$|APMRegistry$|^ERC777$"
)
ALSO_DEPLOYED = re.compile(r"AaveOracle|PriceOracle")
# Contracts that no package ships, and whose few bytes stand in their specification.
SPECIFIED = (
    ("MinimalProxy", "EIP-1167", "363d3d373d3d3d363d73" + "beef" * 10 + "5af43d82803e903d91602b57fd5bf3"),
    (
        "DeterministicDeploymentProxy",
        "Arachnid/deterministic-deployment-proxy",
        (
            "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd"
            "5b8082525050506014600cf3"
        ),
    ),
    (
        "BeaconRoots",
        "EIP-4788",
        (
            "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414603c"
            "575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
        ),
    ),
    (
        "HistoryStorage",
        "EIP-2935",
        (
            "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611f"
            "ff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
        ),
    ),
)


class BuildError(Exception):
    """The packages could not be brought or read: the message says which."""


@dataclass(frozen=True, slots=True)
class Contract:
    name: str
    origin: str
    """package@version, or the specification."""
    licence: str
    compiler: str
    """As the artifact, or the code's own metadata, says it; empty where neither does."""
    keccak: str
    code: str
    """Hex, without 0x; places of libraries filled with one fixed address."""


def install(folder: Path) -> None:
    """SIDE EFFECTS: runs npm in `folder`, which asks the registry for the locked packages."""
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_bytes((FOLDER / name).read_bytes())
    command = ["npm", "ci", "--ignore-scripts", "--omit=optional", "--omit=peer", "--legacy-peer-deps"]
    done = subprocess.run(
        [*command, "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode != 0:
        raise BuildError(f"npm ended with {done.returncode}:\n{done.stderr.strip()}")


def collect(node_modules: Path) -> list[Contract]:
    """All contracts of the packages, each distinct code once, by origin and name."""
    wanted = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    found: dict[str, Contract] = {}
    for alias in sorted(wanted):
        package = node_modules / alias
        manifest = json.loads((package / "package.json").read_text(encoding="utf-8"))
        origin = f"{manifest['name']}@{manifest['version']}"
        for path in sorted(package.rglob("*.json")):
            if "node_modules" in path.relative_to(package).parts or path.name.endswith(".dbg.json"):
                continue
            left_out = NOT_DEPLOYED.search(path.stem) or ALIKE.search(path.stem)
            if left_out and not ALSO_DEPLOYED.fullmatch(path.stem):
                continue
            code, compiler = read_artifact(path)
            if code is None:
                continue
            contract = entry(path.stem, origin, manifest.get("license", ""), compiler, code)
            found.setdefault(significant(code), contract)
    for name, origin, code in SPECIFIED:
        found.setdefault(code, entry(name, origin, "", "", code))
    return sorted(found.values(), key=lambda contract: (contract.origin, contract.name, contract.keccak))


def entry(name: str, origin: str, licence: str, compiler: str, code: str) -> Contract:
    return Contract(name, origin, licence, compiler, keccak(bytes.fromhex(code)).hex(), code)


def read_artifact(path: Path) -> tuple[str | None, str]:
    """Runtime code in hex and compiler of a truffle, hardhat, waffle or solc artifact; None if it is none."""
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        return None, ""
    evm = document["evm"] if isinstance(document.get("evm"), dict) else {}
    code = as_hex(document.get("deployedBytecode")) or as_hex(evm.get("deployedBytecode"))
    if code is None:
        code = vyper_runtime(as_hex(document.get("bytecode")) or as_hex(evm.get("bytecode")))
    if code is None or len(code) // 2 < SMALLEST or code.startswith("73" + "00" * 20 + "3014608060405260043610"):
        return None, ""
    return code, compiler_of(document, bytes.fromhex(code))


def as_hex(value: Any) -> str | None:
    """Without 0x, with the places of libraries filled. Old artifacts write them `__Name____`, newer `__$hash$__`."""
    if isinstance(value, dict):
        value = value.get("object")
    if not isinstance(value, str) or not value.removeprefix("0x"):
        return None
    return re.sub(r"__.{38}", LIBRARY_ADDRESS, value.removeprefix("0x")).lower()


def vyper_runtime(creation: str | None) -> str | None:
    """Old Vyper: creation code jumps over the runtime code, then copies it from byte 4 up to that jump's goal."""
    jump = re.match(r"61([0-9a-f]{4})56", creation or "")
    if creation is None or jump is None or not creation.endswith(f"03610004600039610004{'61' + jump[1]}036000f3"):
        return None
    return creation[8 : 2 * int(jump[1], 16)]


def compiler_of(document: dict[str, Any], code: bytes) -> str:
    metadata = document.get("metadata")
    if isinstance(metadata, str) and metadata:
        metadata = json.loads(metadata)
    for source in (document.get("compiler"), (metadata or {}).get("compiler")):
        if isinstance(source, dict) and source.get("version"):
            return "solc " + re.sub(r"\+.*", "", str(source["version"]))
    if mark := re.search(rb"\x64solc\x43(...)", code, re.DOTALL):
        return "solc " + ".".join(str(number) for number in mark[1])
    return "vyper" if code.startswith(bytes.fromhex("600035601c52")) else ""


def significant(code: str) -> str:
    """The code without the compiler's metadata at its end: the same contract in two packages counts once."""
    size = int(code[-4:], 16) * 2 + 4
    is_metadata = 40 < size < min(200, len(code)) and code[-size:][:2] in ("a1", "a2", "a3")
    return code[:-size] if is_metadata else code


def canonical(contracts: Iterable[Contract]) -> bytes:
    lines = ",\n".join(json.dumps(asdict(contract), sort_keys=True) for contract in contracts)
    return f"[\n{lines}\n]\n".encode()


def load() -> list[Contract]:
    return [Contract(**each) for each in json.loads(FIXTURE.read_text(encoding="utf-8"))]


def rows(contracts: Iterable[Contract]) -> Iterator[dict[str, Any]]:
    """Each contract analysed with all storage zero and no other account, as one that has just been made."""
    from orchestrator.closure.evm.analysis import analyse
    from orchestrator.closure.evm.facts import AccountFacts

    for contract in contracts:
        code = bytes.fromhex(contract.code)
        started = time.thread_time()
        analysis = analyse(AccountFacts(address=0xC0DE << 100, code=code, complete=True))
        yield {
            "contract": contract,
            "size": len(code),
            "analysis": analysis,
            "milliseconds": (time.thread_time() - started) * 1000,
        }


def table(contracts: Iterable[Contract]) -> None:
    print(f"{'contract':<44} {'origin':<44} {'compiler':<12} {'bytes':>6} {'result':<10} {'reason':<18} {'ms':>7} {'states':>6} {'steps':>7}")  # fmt: skip # noqa: E501
    results: Counter[str] = Counter()
    for row in rows(contracts):
        contract, analysis = row["contract"], row["analysis"]
        results[analysis.result] += 1
        print(
            f"{contract.name[:43]:<44} {contract.origin[:43]:<44} {contract.compiler:<12} {row['size']:>6} "
            f"{analysis.result:<10} {analysis.reason:<18} {row['milliseconds']:>7.1f} {analysis.states:>6} "
            f"{analysis.steps:>7}",
            *((analysis.detail,) if analysis.result == "undecided" else ()),
        )
    print(", ".join(f"{count} {result}" for result, count in results.most_common()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare with what is there; write nothing")
    mode.add_argument("--table", action="store_true", help="analyse what is there, and print the results")
    parser.add_argument("--node-modules", type=Path, help="where the locked packages are already (else: npm ci)")
    arguments = parser.parse_args()
    if arguments.table:
        table(load())
        return 0
    try:
        if arguments.node_modules is not None:
            contracts = collect(arguments.node_modules)
        else:
            with tempfile.TemporaryDirectory() as folder:
                install(Path(folder))
                contracts = collect(Path(folder) / "node_modules")
    except BuildError as error:
        print(f"the fixture cannot be built: {error}", file=sys.stderr)
        return 1
    content = canonical(contracts)
    size = f"{len(contracts)} contracts, {len(content) / 1e6:.2f} MB"
    if arguments.check:
        same = FIXTURE.is_file() and FIXTURE.read_bytes() == content
        print(f"{FIXTURE.name}: {'as built' if same else 'differs from what is built'} ({size})")
        return 0 if same else 1
    FIXTURE.write_bytes(content)
    print(f"wrote {FIXTURE.name}: {size}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
