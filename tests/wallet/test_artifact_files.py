"""Compiled contracts of others: OpenZeppelin's (Hardhat), and what forge and solc write of ``compiled/Tiny.sol``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts import load
from orchestrator.wallet.artifact_files import read_artifact

TOP = Path(__file__).parents[2]
COMPILED = Path(__file__).parent / "compiled"
OPENZEPPELIN = TOP / "contracts/node_modules/@openzeppelin/contracts/build/contracts"
OWNER, LIMIT, LIBRARY = b"\x11" * 20, 7, b"\x22" * 20


def text(name: str) -> bytes:
    return (COMPILED / name).read_bytes()


def changed(name: str, change: Callable[[Any], object]) -> bytes:
    document = json.loads(text(name))
    change(document)
    return json.dumps(document).encode()


def hardhat(name: str) -> bytes:
    return (OPENZEPPELIN / f"{name}.json").read_bytes()


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (text("foundry.json"), {"owner", "limit"}),
        (text("solc.json"), {"owner", "limit"}),
        (changed("solc.json", lambda document: document.pop("sources")), {"17", "19"}),
        (changed("foundry.json", lambda document: document.pop("ast")), {"17", "19"}),
        (json.dumps({"input": {}, "output": json.loads(text("solc.json"))}).encode(), {"owner", "limit"}),
    ],
    ids=["foundry", "solc", "solc without ast", "foundry without ast", "hardhat's build-info"],
)
def test_immutables_and_libraries_are_masked_and_nothing_else(data: bytes, names: set[str]) -> None:
    artifact = read_artifact(data, "Tiny")
    assert artifact.name == "Tiny"
    assert {*artifact.immutable_references} == names
    deployed = bytearray(artifact.deployed_bytecode)
    owner, limit = sorted(artifact.immutable_references.values(), key=len)
    for places, value in ((owner, OWNER), (limit, LIMIT.to_bytes(20, "big"))):
        for start, length in places:
            deployed[start : start + length] = value.rjust(length, b"\0")
    for start, length in artifact.link_references:
        deployed[start : start + length] = LIBRARY
    assert artifact.matches(bytes(deployed))
    assert OWNER.rjust(32, b"\0") in artifact.immutables(bytes(deployed)).values()
    masked = {
        at for start, length in (*owner, *limit, *artifact.link_references) for at in range(start, start + length)
    }
    assert len(masked) == 32 + 64 + 20
    for at in range(0, len(deployed), 7):
        other = bytearray(deployed)
        other[at] ^= 1
        assert artifact.matches(bytes(other)) is (at in masked)


def test_creation_code_without_its_libraries_is_none() -> None:
    assert read_artifact(text("foundry.json")).bytecode == b""


@pytest.mark.parametrize("name", ["ERC1967Proxy", "VestingWallet", "ProxyAdmin", "UpgradeableBeacon"])
def test_openzeppelins_hardhat_artifacts(name: str) -> None:
    artifact = read_artifact(hardhat(name))
    document = json.loads(hardhat(name))
    assert artifact.name == name
    assert artifact.deployed_bytecode.hex() == document["deployedBytecode"][2:]
    assert artifact.bytecode.hex() == document["bytecode"][2:]
    assert artifact.matches(artifact.deployed_bytecode)


def test_this_projects_own_artifact_reads_as_it_loads() -> None:
    read = read_artifact((TOP / "orchestrator/artifacts/SmartWallet.json").read_bytes())
    shipped = load("SmartWallet")
    for name in ("name", "bytecode", "deployed_bytecode", "immutable_references", "compiler_version"):
        assert getattr(read, name) == getattr(shipped, name)


def immutable(document: Any) -> Any:
    return document["deployedBytecode"]["immutableReferences"]


@pytest.mark.parametrize(
    ("data", "contract", "wrong"),
    [
        (b"", "", "is no JSON"),
        (b"[]", "", "expected an object"),
        (b"{}", "", "the deployed code is missing"),
        (hardhat("IAccount"), "", "no deployed code"),
        (text("solc.json"), "Other", "there are 0; it has src/Tiny.sol:Tally"),
        (text("solc.json"), "", "there are 2"),
        (hardhat("ERC1967Proxy"), "Other", "not 'Other'"),
        (b'{"deployedBytecode": "0x6g"}', "", "not hexadecimal"),
        (b'{"deployedBytecode": "0x600"}', "", "not hexadecimal"),
        (b'{"deployedBytecode": 5}', "", "is missing"),
        (changed("foundry.json", lambda d: immutable(d)["17"][0].update(start=370)), "", "within the 371 bytes"),
        (changed("foundry.json", lambda d: immutable(d)["17"][0].update(start=-1)), "", "within the 371 bytes"),
        (changed("foundry.json", lambda d: immutable(d)["17"][0].update(length=31)), "", "is not to 32 bytes"),
        (changed("foundry.json", lambda d: immutable(d).update({"17": []})), "", "has no place"),
        (changed("foundry.json", lambda d: immutable(d).update({"17": 3})), "", "is not to 32 bytes"),
        (changed("foundry.json", lambda d: d["deployedBytecode"].update(immutableReferences=[])), "", "is no object"),
        (changed("foundry.json", lambda d: immutable(d)["17"][0].update(start=0)), "", "byte 0 is masked"),
        (changed("foundry.json", lambda d: immutable(d)["17"][0].update(start=98)), "", "not what a PUSH32 pushes"),
    ],
)
def test_what_is_no_artifact_is_refused_with_the_reason(data: bytes, contract: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        read_artifact(data, contract)


NAMES = (
    *("output", "contracts", "evm", "bytecode", "deployedBytecode", "object", "immutableReferences", "linkReferences"),
    *("sources", "ast", "id", "name", "nodeType", "start", "length", "metadata", "settings", "compilationTarget"),
)
PARTS = st.recursive(
    st.none() | st.integers(-3, 400) | st.sampled_from(["", "0x", "0x6001", "__$" + "a" * 34 + "$__", "Tiny"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(PARTS)
def test_no_document_raises_anything_else(document: Any) -> None:
    with contextlib.suppress(ValueError):
        read_artifact(json.dumps(document).encode())
