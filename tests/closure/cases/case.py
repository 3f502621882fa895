"""What a case is: a contract, the steps that bring it into the state under test, and what must be said about it then.

The manifests are ``honest.py`` and ``adversaries.py``, a tuple ``CASES`` each. ``build.py`` compiles the
sources once per configuration, carries the steps out in a real EVM and writes what is there afterwards to
``built/<configuration>.json``; ``load`` reads that back. Nothing is compiled or executed when the tests run.

An address in a step may be a label: of an account that an earlier step made, or any other name ("owner", "anyone"),
which then is an externally owned account with the key ``private_key(label)`` and 1,000 ether.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from tests.profile import FULL

HERE = Path(__file__).resolve().parent
BUILT = HERE / "built"

OLD = ("solc-0.8.19-plain", "solc-0.8.19-optimized", "solc-0.8.19-ir")
NEW = ("solc-0.8.37-plain", "solc-0.8.37-optimized", "solc-0.8.37-ir")
SOLIDITY = OLD + NEW
VYPER = ("vyper-none", "vyper-gas", "vyper-codesize")
RAW = ("raw",)
"""For code that no compiler made; and the artifacts that the package ships, as they are shipped."""
CONFIGURATIONS = SOLIDITY + VYPER + RAW

TIMESTAMP = 1_800_000_000
"""Seconds: the time of the block in which the steps are carried out; its number is 1,000 and the chain's id 1."""
NUMBER = 1_000


# --------------------------------------------------------------------------------------------------- values in a step


@dataclass(frozen=True)
class Encoded:
    """An argument (bytes): the calldata of a call, such as a proxy's initialization."""

    signature: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Signed:
    """An argument (bytes): EIP-191 ``personal_sign`` of ``message`` by the account ``signer``, 65 bytes."""

    message: bytes
    signer: str = "owner"


@dataclass(frozen=True)
class SignedHash:
    """An argument (bytes): a signature of the 32 bytes ``digest`` as they are, 65 bytes r, s, v."""

    digest: bytes
    signer: str = "owner"


# --------------------------------------------------------------------------------------------------------------- steps


@dataclass(frozen=True)
class Deploy:
    """Creates a contract by its constructor. With ``salt`` by CREATE2, through a contract that is only that."""

    label: str
    contract: str = ""
    """Its name in the source; empty: the case's own ``contract``."""
    args: tuple[Any, ...] = ()
    """The constructor's arguments; a label stands for its address."""
    value: int = 0
    """Wei."""
    sender: str = "deployer"
    salt: int | None = None
    source: str = ""
    """Another source than the case's, a path below this folder."""


@dataclass(frozen=True)
class Send:
    """A transaction that must succeed (or fail, with ``fails``: the builder checks it)."""

    to: str
    signature: str = ""
    """``close()``; empty: no calldata, or ``data``."""
    args: tuple[Any, ...] = ()
    sender: str = "owner"
    value: int = 0
    """Wei."""
    data: bytes = b""
    """Calldata as it is, where there is no ``signature``."""
    fails: bool = False
    timestamp: int = TIMESTAMP
    answer: str = ""
    """A label for the address that the call returns, of a contract that it made."""


@dataclass(frozen=True)
class SetCode:
    """An account that has this runtime code, without a constructor."""

    label: str
    code: bytes
    balance: int = 0
    """Wei."""
    address: int | None = None
    """None: an address that follows from the label."""


@dataclass(frozen=True)
class SetStorage:
    """Writes slots directly. An address (label) as value is its address."""

    label: str
    slots: Mapping[int, int | str]


@dataclass(frozen=True)
class SetBalance:
    label: str
    wei: int


Step = Deploy | Send | SetCode | SetStorage | SetBalance

AnalysisResult = Literal["inert", "acting", "undecided", "not_run"]
VerdictResult = Literal["irreversible", "reversible", "inconclusive"]


@dataclass(frozen=True)
class Case:
    name: str
    source: str
    """A path below this folder (``honest/Closable.sol``), ``artifact:SmartWallet``, or ``raw``: the code is in the
    steps (``SetCode``)."""
    contract: str
    """The contract in the source that ``Deploy`` means when it names none; empty for raw code."""
    setup: tuple[Step, ...]
    why: str
    """One sentence: what the case shows."""
    subject: str = "account"
    """The label of the account under test."""
    analysis: AnalysisResult = "inert"
    authority: str | None = None
    """The name of the question that may still be answered, when the account is inert all the same."""
    opcode: str | None = None
    """The acting instruction that must be among the findings."""
    opcodes: tuple[str, ...] = ()
    """Alternatives to ``opcode``, where the compilers differ."""
    confirmed: bool | None = None
    """Whether a witness can be confirmed by executing it; None where there is none to confirm."""
    verdict: VerdictResult = "irreversible"
    configurations: tuple[str, ...] = SOLIDITY
    reason: str | None = None
    """The reason that the analysis gives, where ``undecided``."""

    @property
    def tried(self) -> tuple[str, ...]:
        """By default one configuration of each compiler, another for another case; all in the full profile."""
        if FULL or len(self.configurations) < 3:
            return self.configurations
        return self.configurations[crc32(self.name.encode()) % 3 :: 3]


# ------------------------------------------------------------------------------------------------------ what was built


@dataclass(frozen=True)
class Account:
    code: bytes
    storage: Mapping[int, int] = field(default_factory=dict)
    balance: int = 0
    """Wei."""
    nonce: int = 0


@dataclass(frozen=True)
class Built:
    """A case after its steps: all accounts that have code, the one under test, and what the labels mean."""

    name: str
    configuration: str
    address: int
    """The account under test; it may have no code."""
    accounts: Mapping[int, Account]
    labels: Mapping[str, int]
    """Of the accounts that the steps made, and of the externally owned ones that they named."""

    @property
    def subject(self) -> Account:
        return self.accounts.get(self.address, Account(b""))

    @property
    def codes(self) -> dict[int, bytes]:
        """The code of all the other accounts that have any."""
        return {address: each.code for address, each in self.accounts.items() if address != self.address}


@cache
def load(configuration: str) -> dict[str, Built]:
    """The built cases of one configuration by name; empty where it has not been built."""
    path = BUILT / f"{configuration}.json"
    if not path.exists():
        return {}
    return {name: _read(name, configuration, entry) for name, entry in json.loads(path.read_bytes()).items()}


def _read(name: str, configuration: str, entry: Mapping[str, Any]) -> Built:
    accounts = {
        int(address, 16): Account(
            code=bytes.fromhex(each["code"][2:]),
            storage={int(slot, 16): int(value, 16) for slot, value in each["storage"].items()},
            balance=int(each["balance"]),
            nonce=each["nonce"],
        )
        for address, each in entry["accounts"].items()
    }
    labels = {label: int(address, 16) for label, address in entry["labels"].items()}
    return Built(name, configuration, int(entry["address"], 16), accounts, labels)


def private_key(label: str) -> bytes:
    """The key of the externally owned account ``label``: 32 bytes, known to everybody."""
    return sha256(f"account of a contract case: {label}".encode()).digest()


@cache
def account(label: str) -> int:
    """The address of the externally owned account ``label``."""
    from coincurve import PublicKey
    from eth_hash.auto import keccak

    public = PublicKey.from_valid_secret(private_key(label)).format(compressed=False)
    return int.from_bytes(keccak(public[1:])[12:])
