"""Compiles the sources of the contract cases, each once per configuration; `.cache/` keeps the compilers' answers.

Two versions of npm's solc (contracts/ has the newer one, this folder the older: `npm ci` in both first), each with the
optimizer off, on, and via-IR; and Vyper in an environment of its own (.vyper/, made here from requirements/vyper.txt).
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import venv
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.closure.cases.case import HERE, NEW, OLD, RAW, VYPER

ROOT = Path(__file__).resolve().parents[3]
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


class BuildError(Exception):
    """A source does not compile, or a step does not do what the case says."""


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


def compile_all(wanted: set[tuple[str, str]], *, fresh: bool) -> dict[tuple[str, str], dict[str, Compiled] | str]:
    """By (configuration, source): the contracts by name, or the compiler's complaint. ``fresh``: without the cache."""
    shipped = {each for each in wanted if each[0] in RAW or each[1].startswith("artifact:")}
    compiled = compile_solidity({each for each in wanted - shipped if each[0] in OLD + NEW}, fresh=fresh)
    compiled |= compile_vyper({each for each in wanted - shipped if each[0] in VYPER})
    return compiled | {each: artifact(each[1]) for each in shipped}
