"""Compiled contracts in the files of Foundry, Hardhat, solc and this project. Pure.

One contract a file: Foundry's ``out/X.sol/X.json``, Hardhat's ``artifacts/…/X.json``, this project's own. Many in one:
the output of ``solc --standard-json``, and Hardhat's ``artifacts/build-info/….json`` with that output in it. The
compiler names an immutable by the number of its declaration; its own name comes from the syntax tree, where the file
has it (solc with ``ast`` asked for, Hardhat's build-info, ``forge build --ast``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from orchestrator.artifacts import Artifact
from orchestrator.foreign import MalformedJson, read_json

MAX_BYTES: Final = 64 * 1024 * 1024
_MAX_VALUES: Final = 4 * 1024 * 1024
_PLACEHOLDER: Final = re.compile(r"__.{36}__", re.DOTALL)
"""Where a library's address is to be put: ``__$34 hex digits$__``, or before solc 0.5 the library's name."""
_WORD: Final = 32
_LIBRARY: Final = 20
_PUSH: Final = 0x5F
Places = tuple[tuple[int, int], ...]


def read_artifact(data: bytes, contract: str = "", where: str = "the artifact") -> Artifact:
    """``contract``: which of several, as ``X`` or ``src/X.sol:X``. Raises ValueError that says what is wrong.

    Names of the immutables are those of the variables where the file tells them, else the compiler's numbers.
    """
    try:
        document = read_json(data, max_bytes=MAX_BYTES, max_values=_MAX_VALUES)
    except MalformedJson as error:
        raise ValueError(f"{where} {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{where}: expected an object with a compiled contract")
    build = document.get("output") if isinstance(document.get("output"), dict) else document
    assert isinstance(build, dict)
    if isinstance(build.get("contracts"), dict):
        return _of_many(document, build, contract, where)
    if contract and contract != document.get("contractName", contract):
        raise ValueError(f"{where} has the contract {str(document['contractName'])[:60]!a}, not {contract[:60]!a}")
    return _of_one(document, where)


def _of_one(document: Mapping[str, Any], where: str) -> Artifact:
    """Hardhat's and this project's have code as text, Foundry's as objects."""
    creation, deployed = document.get("bytecode"), document.get("deployedBytecode")
    if isinstance(deployed, dict):
        places = deployed.get("immutableReferences")
        links = deployed.get("linkReferences")
        creation, deployed = _member(creation, "object"), deployed.get("object")
    else:
        places, links = document.get("immutableReferences"), document.get("deployedLinkReferences")
    metadata = document.get("metadata")
    compiler = document.get("compiler", _member(metadata, "compiler"))
    target = _member(_member(metadata, "settings"), "compilationTarget")
    source, name = next(iter(target.items()), ("", "")) if isinstance(target, dict) else ("", "")
    return _artifact(
        where,
        name=document.get("contractName", name),
        source=document.get("sourceName", source),
        version=_member(compiler, "version"),
        creation=creation,
        deployed=deployed,
        immutables=places,
        links=links,
        names=_names([document.get("ast")]),
    )


def _of_many(document: Mapping[str, Any], build: Mapping[str, Any], contract: str, where: str) -> Artifact:
    found = [
        (source, name, compiled["evm"])
        for source, contracts in build["contracts"].items()
        if isinstance(contracts, dict)
        for name, compiled in contracts.items()
        if isinstance(_member(compiled, "evm"), dict)
        and _member(_member(compiled["evm"], "deployedBytecode"), "object")
    ]
    wanted = [each for each in found if contract in ("", each[1], f"{each[0]}:{each[1]}")]
    if len(wanted) != 1:
        some = ", ".join(f"{source}:{name}"[:80] for source, name, _ in (wanted or found)[:5]) or "none"
        raise ValueError(f"{where}: expected one contract {contract[:80]!a}, there are {len(wanted)}; it has {some}")
    source, name, evm = wanted[0]
    sources = build.get("sources")
    trees = [_member(each, "ast") for each in sources.values()] if isinstance(sources, dict) else []
    return _artifact(
        where,
        name=name,
        source=source,
        version=document.get("solcLongVersion", ""),
        creation=_member(evm.get("bytecode"), "object"),
        deployed=evm["deployedBytecode"]["object"],
        immutables=evm["deployedBytecode"].get("immutableReferences"),
        links=evm["deployedBytecode"].get("linkReferences"),
        names=_names(trees),
    )


def _artifact(
    where: str,
    *,
    name: Any,
    source: Any,
    version: Any,
    creation: Any,
    deployed: Any,
    immutables: Any,
    links: Any,
    names: Mapping[str, str],
) -> Artifact:
    code = bytearray(_code(deployed, f"{where}: the deployed code"))
    if not code:
        raise ValueError(f"{where} has no deployed code: an interface, an abstract contract, or no contract at all")
    numbered = _mapping(immutables, f"{where}: immutableReferences")
    times = Counter(names.get(number) for number in numbered)
    references = {  # two contracts above one another may each have a private one of the same name
        names[number] if times[names.get(number)] == 1 and number in names else number: _places(
            places, len(code), _WORD, where
        )
        for number, places in numbered.items()
    }
    libraries = tuple(
        place
        for contracts in _mapping(links, f"{where}: linkReferences").values()
        for places in _mapping(contracts, f"{where}: linkReferences").values()
        for place in _places(places, len(code), _LIBRARY, where)
    )
    pushed = _pushed(code)
    for start, length in (*libraries, *(place for places in references.values() for place in places)):
        if pushed.get(start) != length:  # so that nothing else can be masked
            raise ValueError(f"{where}: byte {start} is masked, and is not what a PUSH{length} pushes")
        code[start : start + length] = bytes(length)
    return Artifact(
        name=name[:60] if isinstance(name, str) else "",
        source_name=source if isinstance(source, str) else "",
        compiler_version=version if isinstance(version, str) else "",
        compiler_settings=MappingProxyType({}),
        abi=[],
        bytecode=b"" if _unlinked(creation) or creation is None else _code(creation, f"{where}: the creation code"),
        deployed_bytecode=bytes(code),
        immutable_references=MappingProxyType(references),
        storage_layout=(),
        link_references=libraries,
    )


def _pushed(code: bytes | bytearray) -> dict[int, int]:
    """Where what instructions push begins, and how many bytes it has. Data behind the code is walked as code, too."""
    found, at = {}, 0
    while at < len(code):
        length = code[at] - _PUSH if _PUSH < code[at] <= _PUSH + 32 else 0
        if length:
            found[at + 1] = length
        at += 1 + length
    return found


def _code(value: Any, what: str) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{what} is missing")
    text = _PLACEHOLDER.sub("0" * 2 * _LIBRARY, value.removeprefix("0x"))
    if len(text) % 2 or not re.fullmatch("[0-9a-fA-F]*", text):
        raise ValueError(f"{what} is not hexadecimal")
    return bytes.fromhex(text)


def _unlinked(creation: Any) -> bool:
    """Creation code without its libraries' addresses computes no address, so there is none."""
    return isinstance(creation, str) and _PLACEHOLDER.search(creation) is not None


def _places(value: Any, size: int, length: int, where: str) -> Places:
    found = []
    for place in value if isinstance(value, list) else [None]:
        start, long = _member(place, "start"), _member(place, "length")
        if type(start) is not int or long != length or not 0 <= start <= size - length:
            raise ValueError(f"{where}: a reference is not to {length} bytes within the {size} bytes of code")
        found.append((start, length))
    if not found:
        raise ValueError(f"{where}: a reference has no place")
    return tuple(sorted(found))


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no object")
    return value


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _names(trees: list[Any]) -> dict[str, str]:
    """The state variables' names by the compiler's numbers, of solc's syntax trees."""
    return {
        str(node["id"]): node["name"]
        for node in _nodes(trees)
        if node.get("nodeType") == "VariableDeclaration" and isinstance(node.get("name"), str) and "id" in node
    }


def _nodes(trees: list[Any]) -> Iterator[dict[str, Any]]:
    waiting = list(trees)
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
