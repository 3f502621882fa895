"""The compiled contracts that the package ships, and what a deployed contract's code says beside them.

The JSON files are written by ``scripts/development/build_artifacts.py`` and nothing else; the suite rebuilds and
compares them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

__all__ = ["NAMES", "Artifact", "StorageEntry", "load"]

NAMES: Final = (
    "CloneWalletFactory",
    "ERC1967Proxy",
    "ModularWallet",
    "ModularWalletFactory",
    "OffBlocksSmartWallet",
    "OffBlocksSmartWalletFactory",
    "ProxyWalletFactory",
    "SmartWallet",
    "SmartWalletFactory",
    "TestEscrow",
    "TestExecutor",
    "TestToken",
)


@dataclass(frozen=True, slots=True)
class StorageEntry:
    """A state variable's place: ``offset`` and ``size`` in bytes, counted from the slot's lowest byte."""

    label: str
    slot: int
    offset: int
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract. ``abi`` is shared by all callers: do not change it.

    ``immutable_references`` names each immutable's places in ``deployed_bytecode``, as (start, length) in bytes; there
    the artifact has zeros, and the deployed code the values that the constructor set. ``link_references`` are the
    places of libraries' addresses, zeros too.
    """

    name: str
    source_name: str
    compiler_version: str
    compiler_settings: Mapping[str, Any]
    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed_bytecode: bytes
    immutable_references: Mapping[str, tuple[tuple[int, int], ...]]
    storage_layout: tuple[StorageEntry, ...]
    link_references: tuple[tuple[int, int], ...] = ()

    def mask(self, code: bytes) -> bytes:
        """``code`` with the places of all immutables and libraries zeroed, to be compared with ``deployed_bytecode``.

        Code of another length is another contract's: it comes back as it is, and compares unequal.
        """
        if len(code) != len(self.deployed_bytecode):
            return bytes(code)
        masked = bytearray(code)
        for start, length in self._places():
            masked[start : start + length] = bytes(length)
        return bytes(masked)

    def matches(self, code: bytes) -> bool:
        """Whether ``code`` is this contract's, whatever its immutables and libraries are."""
        return self.mask(code) == self.deployed_bytecode

    def immutables(self, code: bytes) -> dict[str, bytes]:
        """Each immutable's value as ``code`` has it: 32 bytes, an address right-aligned, by the variable's name.

        Raises ValueError if the code's length is another contract's, or if the copies of one immutable differ (which
        no constructor does, so the code is not this contract's). Does not compare the rest: see :meth:`matches`.
        """
        if len(code) != len(self.deployed_bytecode):
            raise ValueError(f"{self.name}'s code has {len(self.deployed_bytecode)} bytes, this one has {len(code)}")
        values = {}
        for name, places in self.immutable_references.items():
            copies = sorted({code[start : start + length] for start, length in places})
            if len(copies) != 1:
                shown = ", ".join(f"0x{copy.hex()}" for copy in copies)
                raise ValueError(f"{self.name}'s immutable {name} must have one value, the code has {shown}")
            values[name] = bytes(copies[0])
        return values

    def _places(self) -> list[tuple[int, int]]:
        return [place for places in self.immutable_references.values() for place in places] + [*self.link_references]


@cache
def load(name: str) -> Artifact:
    """The artifact of the contract ``name``, read once. Raises ValueError for a name that is not in ``NAMES``."""
    if name not in NAMES:
        raise ValueError(f"no artifact is named {name!r}; there are {', '.join(NAMES)}")
    document = json.loads(resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return Artifact(
        name=document["contractName"],
        source_name=document["sourceName"],
        compiler_version=document["compiler"]["version"],
        compiler_settings=MappingProxyType(document["compiler"]["settings"]),
        abi=document["abi"],
        bytecode=bytes.fromhex(document["bytecode"].removeprefix("0x")),
        deployed_bytecode=bytes.fromhex(document["deployedBytecode"].removeprefix("0x")),
        immutable_references=MappingProxyType(
            {
                variable: tuple((place["start"], place["length"]) for place in places)
                for variable, places in document["immutableReferences"].items()
            }
        ),
        storage_layout=tuple(
            StorageEntry(entry["label"], entry["slot"], entry["offset"], entry["type"], entry["numberOfBytes"])
            for entry in document["storageLayout"]
        ),
    )
