"""Builds the contract cases of tests/closure/cases: compiles, carries out the steps, writes what is there afterwards.

Each source is compiled once per configuration: two versions of npm's solc (contracts/ has the newer one,
tests/closure/cases/ the older: `npm ci` in both first), each with the optimizer off, on, and via-IR; and Vyper in an
environment of its own (.vyper/, made here from requirements/vyper.txt). The steps run in revm (pyrevm), each
transaction in a fresh EVM that holds the state so far. The result is the same bytes on every machine.

`--check` writes nothing: it compares byte for byte and exits 1 naming what differs. `--only TEXT` builds the cases
whose name contains the text, and prints what came of them, without writing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.closure.cases.case import (  # noqa: E402
    BUILT,
    CONFIGURATIONS,
    HERE,
    NEW,
    NUMBER,
    OLD,
    RAW,
    TIMESTAMP,
    VYPER,
    Account,
    Case,
    Deploy,
    Encoded,
    Send,
    SetBalance,
    SetCode,
    SetStorage,
    Signed,
    SignedHash,
    Step,
    account,
    private_key,
)

CACHE = HERE / ".cache"
CONTRACTS = ROOT / "contracts"
VYPER_ENVIRONMENT = ROOT / ".vyper"
COMPILERS = {"0.8.37": CONTRACTS / "node_modules" / "solc", "0.8.19": HERE / "node_modules" / "solc"}
REMAPPINGS = {
    "@openzeppelin/contracts/": CONTRACTS / "node_modules" / "@openzeppelin" / "contracts",
    "@openzeppelin/contracts-v4/": HERE / "node_modules" / "@openzeppelin" / "contracts-v4",
    "wallet/": CONTRACTS / "src",
}
IMPORT = re.compile(r"""^\s*import\s+(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']""", re.MULTILINE)
"""Import statements; none of the sources here has one in a comment."""

ETHER = 10**18
GAS = 30_000_000
PADDING = 33
"""revm pads the code that it runs with so many zero bytes, and pyrevm shows them."""
CREATOR_LABEL = "creator"
# calldata: salt, then init code. CALLDATACOPY, CREATE2(value, 0, size - 32, salt), returns the address.
CREATOR_CODE = bytes.fromhex("6020360380602060003760003590600034f560005260206000f3")


class BuildError(Exception):
    """A source does not compile, or a step does not do what the case says."""


# ----------------------------------------------------------------------------------------------------------- compiling


class Compiled:
    """One contract: its constructor's types and its creation code."""

    def __init__(self, abi: list[dict[str, Any]], code: str) -> None:
        inputs: list[dict[str, Any]] = next((entry["inputs"] for entry in abi if entry["type"] == "constructor"), [])
        self.types = f"({','.join(abi_type(each) for each in inputs)})"
        self.code = bytes.fromhex(code.removeprefix("0x"))


def abi_type(entry: Mapping[str, Any]) -> str:
    kind = str(entry["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(abi_type(each) for each in entry['components'])}){kind.removeprefix('tuple')}"


def settings(configuration: str) -> dict[str, Any]:
    """solc's settings. The older compiler's code carries metadata, as most deployed code does; the newer one's none."""
    _, version, how = configuration.split("-")
    old = version == "0.8.19"
    return {
        "evmVersion": "paris" if old else "cancun",
        "metadata": {"appendCBOR": old, "bytecodeHash": "ipfs" if old else "none"},
        "optimizer": {"enabled": how != "plain", "runs": 200},
        "viaIR": how == "ir",
        "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
    }


def locate(name: str) -> Path:
    for prefix, folder in REMAPPINGS.items():
        if name.startswith(prefix):
            return folder / name.removeprefix(prefix)
    return HERE / name


def gather(name: str, into: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The source and all that it imports, under the names that the compiler will ask for."""
    if name in into:
        return into
    try:
        content = locate(name).read_text()
    except FileNotFoundError:
        raise BuildError(f"{name} does not exist (`npm ci` in contracts/ and tests/closure/cases/ first?)") from None
    into[name] = {"content": content}
    for target in IMPORT.findall(content):
        if target.startswith("."):
            parts = [*name.split("/")[:-1]]
            for part in target.split("/"):
                if part == "..":
                    parts.pop()
                elif part != ".":
                    parts.append(part)
            target = "/".join(parts)  # noqa: PLW2901
        gather(target, into)
    return into


def compile_solidity(wanted: set[tuple[str, str]], *, fresh: bool) -> dict[tuple[str, str], dict[str, Compiled] | str]:
    """By (configuration, source): the contracts by name, or the compiler's complaint."""
    answers: dict[tuple[str, str], dict[str, Compiled] | str] = {}
    waiting: dict[str, list[tuple[tuple[str, str], str]]] = {version: [] for version in COMPILERS}
    for configuration, source in sorted(wanted):
        version = configuration.split("-")[1]
        try:
            sources = gather(source, {})
        except BuildError as error:
            answers[configuration, source] = str(error)
            continue
        request = json.dumps({"language": "Solidity", "sources": sources, "settings": settings(configuration)})
        if not fresh and (known := cache_path(version, request)).exists():
            answers[configuration, source] = read_solc(source, json.loads(known.read_bytes()))
        else:
            waiting[version].append(((configuration, source), request))
    with ThreadPoolExecutor() as pool:
        for version, outputs in zip(waiting, pool.map(run_solc, waiting, waiting.values()), strict=True):
            for (key, request), output in zip(waiting[version], outputs, strict=True):
                CACHE.mkdir(exist_ok=True)
                cache_path(version, request).write_text(json.dumps(output))
                answers[key] = read_solc(key[1], output)
    return answers


def cache_path(version: str, request: str) -> Path:
    return CACHE / f"{hashlib.sha256(f'{version}{request}'.encode()).hexdigest()}.json"


def run_solc(version: str, requests: list[tuple[tuple[str, str], str]]) -> list[dict[str, Any]]:
    if not requests:
        return []
    command = ["node", str(HERE / "solc.js"), str(COMPILERS[version])]
    stdin = f"[{','.join(request for _, request in requests)}]"
    done = subprocess.run(command, check=False, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        hint = "" if COMPILERS[version].is_dir() else f" (run `npm ci` in {COMPILERS[version].parent.parent} first)"
        raise BuildError(f"solc {version} ended with {done.returncode}{hint}:\n{done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout)
    if not answer["version"].startswith(f"{version}+"):
        raise BuildError(f"expected solc {version}, got {answer['version']}: run `npm ci` again")
    outputs: list[dict[str, Any]] = answer["outputs"]
    return outputs


def read_solc(source: str, output: dict[str, Any]) -> dict[str, Compiled] | str:
    errors = [each["formattedMessage"] for each in output.get("errors", []) if each["severity"] == "error"]
    if errors:
        return "\n".join(errors)
    contracts = output["contracts"]
    names = {
        name: each for file in (*sorted({*contracts} - {source}), source) for name, each in contracts[file].items()
    }
    return {name: Compiled(each["abi"], each["evm"]["bytecode"]["object"]) for name, each in names.items()}


def compile_vyper(wanted: set[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Compiled] | str]:
    """As ``compile_solidity``; a Vyper source is one contract, named as its file."""
    answers: dict[tuple[str, str], dict[str, Compiled] | str] = {}
    compiler = VYPER_ENVIRONMENT / "bin" / "vyper"
    if wanted and not compiler.exists():
        venv.create(VYPER_ENVIRONMENT, with_pip=True)
        pip = [str(VYPER_ENVIRONMENT / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "vyper.txt")], check=True)
    for configuration, source in sorted(wanted):
        how = configuration.removeprefix("vyper-")
        # Before Cancun the re-entrancy lock is storage, since then transient storage.
        options = ["--optimize", how, "--evm-version", "paris" if how == "none" else "cancun"]
        command = [str(compiler), "-f", "combined_json", *options, source]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=HERE)
        if done.returncode != 0:
            answers[configuration, source] = done.stderr.strip()
            continue
        answer = json.loads(done.stdout)[source]
        answers[configuration, source] = {Path(source).stem: Compiled(answer["abi"], answer["bytecode"])}
    return answers


def artifact(source: str) -> dict[str, Compiled]:
    name = source.removeprefix("artifact:")
    document = json.loads((ROOT / "orchestrator" / "artifacts" / f"{name}.json").read_bytes())
    return {name: Compiled(document["abi"], document["bytecode"])}


def sources_of(each: Case) -> set[str]:
    steps = {step.source for step in each.setup if isinstance(step, Deploy) and step.source}
    own = {each.source} if any(isinstance(step, Deploy) and not step.source for step in each.setup) else set()
    return steps | own


# ----------------------------------------------------------------------------------------------------- carrying it out


class World:
    """The state between transactions, and the steps that change it."""

    def __init__(self, each: Case, compiled: Mapping[str, dict[str, Compiled]]) -> None:
        self.case, self.compiled = each, compiled
        self.accounts: dict[int, Account] = {}
        self.labels: dict[str, int] = {}

    def address(self, label: str) -> int:
        """A label's address; a name that no step has made is an externally owned account, with ether."""
        if re.fullmatch(r"0x[0-9a-fA-F]{40}", label):
            return int(label, 16)
        if label not in self.labels:
            self.labels[label] = account(label)
            self.accounts[account(label)] = Account(b"", balance=1000 * ETHER)
        return self.labels[label]

    def do(self, step: Step) -> None:
        match step:
            case Deploy():
                self.deploy(step)
            case Send():
                self.send(step)
            case SetCode(label, code, balance, address):
                self.labels[label] = made_up(label) if address is None else address
                self.accounts[self.labels[label]] = Account(code, {}, balance, 1)
            case SetStorage(label, slots):
                values = {
                    slot: self.address(value) if isinstance(value, str) else value for slot, value in slots.items()
                }
                self.change(label, storage={**self.accounts[self.address(label)].storage, **values})
            case SetBalance(label, wei):
                self.change(label, balance=wei)

    def change(self, label: str, **fields: Any) -> None:
        address = self.address(label)
        self.accounts[address] = replace(self.accounts.get(address, Account(b"")), **fields)

    def deploy(self, step: Deploy) -> None:
        source = step.source or self.case.source
        name = step.contract or self.case.contract
        contracts = self.compiled[source]
        if name not in contracts:
            raise BuildError(f"{source} has no contract {name!r}, it has {', '.join(sorted(contracts))}")
        contract = contracts[name]
        code = contract.code + self.encode(contract.types, step.args)
        sender = self.address(step.sender)
        if step.salt is None:
            made = int(self.transact(sender, None, code, step.value), 0)
        else:
            if CREATOR_LABEL not in self.labels:
                self.do(SetCode(CREATOR_LABEL, CREATOR_CODE))
            answer = self.transact(sender, self.labels[CREATOR_LABEL], step.salt.to_bytes(32) + code, step.value)
            made = int.from_bytes(answer)
            if not made:
                raise BuildError(f"{step.label}: CREATE2 failed")
        self.labels[step.label] = made

    def send(self, step: Send) -> None:
        data = self.call(step.signature, step.args) if step.signature else step.data
        to, sender = self.address(step.to), self.address(step.sender)
        try:
            answer = self.transact(sender, to, data, step.value, step.timestamp)
        except BuildError:
            if not step.fails:
                raise
        else:
            if step.fails:
                raise BuildError(f"{step.signature or step.data.hex()} to {step.to} should fail, and did not")
            if step.answer:
                self.labels[step.answer] = int.from_bytes(answer[:32]) % 2**160

    def transact(self, sender: int, to: int | None, data: bytes, value: int, timestamp: int = TIMESTAMP) -> Any:
        """The output, or the address made. Raises ``BuildError`` where it fails; the state is then as it was."""
        import pyrevm

        evm = pyrevm.EVM(spec_id="PRAGUE", env=pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=1)))
        evm.set_block_env(pyrevm.BlockEnv(number=NUMBER, timestamp=timestamp, prevrandao=bytes(32)))
        for address, each in self.accounts.items():
            code = None if each.code[:1] in (b"", b"\xef") else each.code
            evm.insert_account_info(checksum(address), pyrevm.AccountInfo(nonce=each.nonce, code=code))
            evm.set_balance(checksum(address), each.balance)
            for slot, content in each.storage.items():
                evm.insert_account_storage(checksum(address), slot, content)
        answer: Any
        try:
            if to is None:
                answer = evm.deploy(checksum(sender), data, value, GAS)
            else:
                answer = evm.message_call(checksum(sender), checksum(to), data, value, GAS)
        except RuntimeError as error:
            what = "the deployment" if to is None else f"the call of {data[:4].hex() or 'nothing'}"
            raise BuildError(f"{what} failed: {error}") from None
        self.read_back(evm)
        return answer

    def read_back(self, evm: Any) -> None:
        """The journal's text is the only place where pyrevm shows which slots there are."""
        touched = re.finditer(
            r"(0x[0-9a-f]{40}): Account \{ info: .*?storage: \{(.*?)\}, status: AccountStatus\((.*?)\) \}",
            evm.journal_str,
        )
        for match in touched:
            address, slots, status = int(match[1], 16), match[2], match[3]
            if "SelfDestructed" in status:
                self.accounts.pop(address, None)
                continue
            before = self.accounts.get(address, Account(b""))
            storage = dict(before.storage)
            for slot in re.findall(r"(\w+): StorageSlot", slots):
                storage[int(slot, 0)] = evm.storage(match[1], int(slot, 0))
            info = evm.basic(match[1])
            code = (
                before.code if before.code[:1] == b"\xef" else unpadded(evm.get_code(match[1]), bytes(info.code_hash))
            )
            self.accounts[address] = Account(code, storage, evm.get_balance(match[1]), info.nonce)

    # ------------------------------------------------------------------------------------------------------- encoding

    def call(self, signature: str, args: tuple[Any, ...]) -> bytes:
        name, _, types = signature.partition("(")
        return keccak(f"{name}({types}".encode())[:4] + self.encode(f"({types}", args)

    def encode(self, types: str, args: tuple[Any, ...]) -> bytes:
        from eth_abi.abi import encode
        from eth_abi.grammar import parse

        if types == "()":
            if args:
                raise BuildError(f"{len(args)} arguments where none is taken")
            return b""
        components = parse(types).components
        if len(components) != len(args):
            raise BuildError(f"{len(args)} arguments for {types}")
        values = [self.value(kind, each) for kind, each in zip(components, args, strict=True)]
        return encode([kind.to_type_str() for kind in components], values)

    def value(self, kind: Any, each: Any) -> Any:
        if kind.is_array:
            return [self.value(kind.item_type, item) for item in each]
        if hasattr(kind, "components"):
            return tuple(self.value(part, item) for part, item in zip(kind.components, each, strict=True))
        match each:
            case Encoded(signature, args):
                return self.call(signature, args)
            case Signed(message, signer):
                prefix = f"\x19Ethereum Signed Message:\n{len(message)}".encode()
                return sign(keccak(prefix + message), signer)
            case SignedHash(digest, signer):
                return sign(digest, signer)
            case str() if kind.base == "address":
                return checksum(self.address(each))
            case int() if kind.base == "address":
                return checksum(each)
        return each


def keccak(data: bytes) -> bytes:
    from eth_hash.auto import keccak as hash_

    return bytes(hash_(data))


def sign(digest: bytes, signer: str) -> bytes:
    from coincurve import PrivateKey

    signature = PrivateKey(private_key(signer)).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes([signature[64] + 27])


def checksum(address: int) -> str:
    return f"0x{address:040x}"


def made_up(label: str) -> int:
    return int.from_bytes(hashlib.sha256(f"address of a contract case: {label}".encode()).digest()[12:])


def unpadded(code: bytes | None, code_hash: bytes) -> bytes:
    for candidate in (b"", code or b"", (code or b"")[:-PADDING]):
        if keccak(candidate) == code_hash:
            return candidate
    raise BuildError(f"pyrevm shows code that does not have its hash {code_hash.hex()}")


# ------------------------------------------------------------------------------------------------------------- writing


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
    from tests.closure.cases.adversaries import CASES as ADVERSARIES
    from tests.closure.cases.honest import CASES as HONEST
    from tests.closure.cases.honest import LIMITS

    cases = (*HONEST, *LIMITS, *ADVERSARIES)
    names = [each.name for each in cases]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BuildError(f"two cases have the name {', '.join(twice)}")
    return cases


def build(cases: Iterable[Case], *, fresh: bool) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The built cases by configuration and name, and what went wrong, a text for each case and configuration."""
    wanted = [(configuration, each) for each in cases for configuration in each.configurations]
    if strange := {configuration for configuration, _ in wanted} - {*CONFIGURATIONS}:
        raise BuildError(f"no such configuration: {', '.join(sorted(strange))}")
    sources = {(configuration, source) for configuration, each in wanted for source in sources_of(each)}
    solidity = {(configuration, source) for configuration, source in sources if configuration in OLD + NEW}
    compiled = compile_solidity({each for each in solidity if not each[1].startswith("artifact:")}, fresh=fresh)
    compiled |= compile_vyper({each for each in sources if each[0] in VYPER})
    compiled |= {each: artifact(each[1]) for each in sources if each[0] in RAW or each[1].startswith("artifact:")}
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
        print(f"build_cases: {error}", file=sys.stderr)
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
