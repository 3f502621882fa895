"""The wallet contracts that this project has released, by the hash of their masked code.

A certificate names the contract that its account's wallet is. Contracts change; a certificate must stay verifiable
when they do, so each released wallet is kept in ``released/`` (what is needed to recognise its code and its CREATE2
address, and nothing more), and none is ever removed.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

from eth_hash.auto import keccak

from orchestrator.artifacts import Artifact, load

WALLET: Final = "SmartWallet"


def masked_hash(artifact: Artifact) -> str:
    """What a released contract is known by: keccak256 of its runtime code with zeros for its immutables."""
    return "0x" + keccak(artifact.deployed_bytecode).hex()


def recognise(code: bytes) -> Artifact | None:
    """The released wallet that this runtime code is, whatever its immutables; None if it is none of them."""
    return next((artifact for artifact in released().values() if artifact.matches(code)), None)


@cache
def released() -> MappingProxyType[str, Artifact]:
    """Every released wallet contract by its ``masked_hash``, the present one first."""
    present = load(WALLET)
    known = {masked_hash(present): present}
    folder = resources.files("orchestrator.wallet").joinpath("released")
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json"):
            artifact = _read(entry.read_text(encoding="utf-8"))
            known.setdefault(masked_hash(artifact), artifact)
    return MappingProxyType(known)


def _read(text: str) -> Artifact:
    document = json.loads(text)
    return Artifact(
        name=document["contractName"],
        source_name="",
        compiler_version=document["compiler"],
        compiler_settings=MappingProxyType({}),
        abi=[],
        bytecode=bytes.fromhex(document["bytecode"][2:]),
        deployed_bytecode=bytes.fromhex(document["deployedBytecode"][2:]),
        immutable_references=MappingProxyType(
            {
                name: tuple((place["start"], place["length"]) for place in places)
                for name, places in document["immutableReferences"].items()
            }
        ),
        storage_layout=(),
    )
