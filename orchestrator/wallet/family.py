"""What a wallet profile knows of a family of wallets, and what it leaves out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.models import Address
from orchestrator.wallet import abi
from orchestrator.wallet.findings import NOT_CHECKED, Answers, Check, Read, Unchecked
from orchestrator.wallet.proxies import ADMIN_SLOT, BEACON_SLOT, read_clone, word_address
from orchestrator.wallet.rules import Create2Rule, EventRule, Getter, OwnerRule, Release, Slot, StateRule

ZERO: Final = Address("0x" + "0" * 40)
ADMIN: Final = Slot(ADMIN_SLOT, called="the admin slot (ERC-1967)")
BEACON: Final = Slot(BEACON_SLOT, called="the beacon slot (ERC-1967)")
EVENT: Final = "the factory's event"
_IMPLEMENTATION: Final = "implementation() returns (address)"


@dataclass(frozen=True, slots=True)
class Family:
    """The parts of a profile (``orchestrator.wallet.reading.Profile`` reads with them)."""

    name: str
    title: str
    sha256: str
    """Of what it says (``profile.py``), 64 hex digits."""
    kind: Literal["direct", "erc1167", "erc1967", "beacon", "slot"]
    implementation_slot: Slot
    """Of kinds ``erc1967`` and ``slot``."""
    accepts: tuple[Release, ...]
    proxies: tuple[Release, ...]
    factory_immutable: str | None
    located_by: Literal["event", "registry", "platform"]
    event: EventRule | None
    registry: Getter | None
    create2: Create2Rule | None
    owners: tuple[OwnerRule, ...]
    states: StateRule | None
    closed_slots: tuple[tuple[int, int, str], ...]
    """What closing leaves in storage: slot, value, meaning."""

    @property
    def unchecked(self) -> tuple[Unchecked, ...]:
        """What this profile does not check."""
        registry = self.registry is not None and self.registry.returns == "bool"
        contracts = [release.artifact for release in (*self.accepts, *self.proxies)]
        missing: dict[Unchecked, bool] = {
            "proxy_code": self.kind in ("erc1967", "beacon", "slot") and not self.proxies,
            "beacon": self.kind == "beacon",
            "libraries": any(contract is not None and contract.link_references for contract in contracts),
            "factory": self.event is None and not registry,
            "account": self.tie is not None,
            "create2": self.create2 is None,
            "owner": not self.owners and (self.event is None or self.event.owner is None),
            "challenge": self.event is None or self.event.challenge is None,
            "state": self.states is None,
            "closed_slots": not self.closed_slots,
        }
        return tuple(name for name, applies in missing.items() if applies)

    @property
    def tie(self) -> str | None:
        """None, or the sentence that nothing but the platform's word ties the wallet to the account: no event that
        names the account, no registry that is asked for it, no CREATE2 address that depends on it."""
        by_event = self.event is not None and self.event.account is not None
        by_registry = self.registry is not None and (
            self.registry.returns == "address" and self.registry.signature.argument("account") is not None
        )
        by_address = self.create2 is not None and "account" in (*self.create2.salt, *self.create2.arguments)
        return None if by_event or by_registry or by_address else NOT_CHECKED["account"]

    def sources(self) -> dict[tuple[Check, str], bool]:
        """Every (check, source) that a closed wallet has a finding of; False: where closing may leave none."""
        found: list[tuple[Check, str]] = [("code", "the code")]
        if self.kind == "erc1167" or (self.kind != "direct" and self.proxies):
            found.append(("proxy_code", "the code"))
        if self.kind != "direct":
            found.append(("implementation", self.implementation_source))
        if self.kind == "erc1967":
            found.append(("admin", ADMIN.label))
        if self.event is not None:
            found += [("address", EVENT), ("factory", EVENT)]
            found += [("owner", EVENT)] if self.event.owner is not None else []
            found += [("challenge", EVENT)] if self.event.challenge is not None else []
        if self.registry is not None and self.registry.returns == "bool":
            found.append(("factory", self.registry.label))
        elif self.registry is not None:
            found.append(("address", "the registry"))
        if self.create2 is not None:
            found.append(("address", "CREATE2"))
        owners: list[tuple[tuple[Check, str], bool]] = [
            (("owner", one.label), not one.renounced) for one in self.owners
        ]
        return {**dict(owners), **dict.fromkeys(found, True)}

    def beacon(self, wallet: Address, answers: Answers) -> Read | None:
        """The call that tells a beacon's implementation; None while the beacon is not known, or there is none."""
        beacon = word_address(answers.get(BEACON.read_of(wallet)))
        data = abi.Signature.parse(_IMPLEMENTATION).call({})
        return Read("call", beacon, data) if beacon is not None and beacon != ZERO else None

    def implementation(self, wallet: Address, answers: Answers) -> Address | None:
        """Where the wallet's code is; None where that cannot be read, and for a wallet that has its own."""
        if self.kind == "direct":
            return None
        if self.kind == "erc1167":
            clone = read_clone(answers.get(Read("code", wallet)) or b"")
            return clone.implementation if clone else None
        if self.kind == "beacon":
            call = self.beacon(wallet, answers)
            return word_address(answers.get(call)) if call is not None else None
        return word_address(answers.get(self.implementation_slot.read_of(wallet)))

    @property
    def implementation_source(self) -> str:
        """For people: where ``implementation`` has it from."""
        if self.kind == "beacon":
            return "the beacon"
        return "the code" if self.kind == "erc1167" else self.implementation_slot.label
