"""What is read of a wallet, and what the answers were found to say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from orchestrator.models import AccountId, Address

Check = Literal["code", "proxy_code", "address", "owner", "challenge", "factory", "admin", "implementation"]
Unchecked = Literal[
    "proxy_code", "beacon", "libraries", "factory", "account", "create2", "owner", "challenge", "state", "closed_slots"
]
"""What a profile does not check. ``beacon``: whoever owns the beacon changes the code, and no proof rules that out.
``libraries``: the code calls libraries whose addresses are masked."""

NOT_CHECKED: Final[Mapping[str, str]] = {
    "account": "nothing but the platform's word ties this wallet to the account",
    "factory": "whether the factory has made the wallet",
    "create2": "whether the wallet's address follows from factory, salt and code (EIP-1014)",
    "proxy_code": "the proxy's own code; that of its implementation is compared",
    "libraries": "the libraries that the code is linked with",
    "beacon": "whoever owns the beacon can replace the code: such a closure is never proven",
    "owner": "who owns the wallet",
    "challenge": "which challenge the wallet was given",
    "state": "the wallet's state: the platform's word decides up to the proof",
    "closed_slots": "what closing leaves in storage",
}
"""What is not known where a profile does not check it, for people."""


class EventLog(Protocol):
    """What is needed of an event's log (``orchestrator.ports.index.Log`` is one)."""

    @property
    def topics(self) -> tuple[bytes, ...]: ...

    @property
    def data(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Read:
    """One read at the pinned block. ``data``: a slot's key of 32 bytes, or what a call is given."""

    kind: Literal["code", "slot", "call"]
    address: Address
    data: bytes = b""


Answers = Mapping[Read, bytes | None]
"""What was answered: code, a slot's 32 bytes, what a call returned. None: the call reverted."""


@dataclass(frozen=True, slots=True)
class Created:
    """What the factory's event says of one wallet. ``values``: every argument by its name, as ``abi.Event.decode``
    gives it."""

    wallet: Address
    owner: Address | None = None
    account: AccountId | None = None
    challenge: str | None = None
    """keccak256 of the creation challenge, 0x and 64 hex digits."""
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one source says of a wallet."""

    check: Check
    source: str
    """For people: ``the code``, ``the factory's event``, ``CREATE2``, ``the registry``, ``slot 0``, ``owner()``."""
    value: str
    """Code: the accepted name; addresses in EIP-55's form, a list of owners joined by commas; a challenge as 0x and
    hex. Empty: the code is none of the accepted ones, or the source answered nothing that can be used."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found of one wallet at one block."""

    findings: tuple[Finding, ...]
    code_hash: str
    """keccak256 of the code at the wallet's own address."""
    implementation: Address | None = None
    admin: Address | None = None
    """Of an ERC-1967 proxy; None where its slot is empty, too."""
    stored: int | None = None
    """The state's number by slot or getter. None: neither is known, or the code is none of the accepted ones."""
