"""The parts of a wallet profile, each with what it reads and what it makes of the answers. Pure.

``profile.py`` makes them from a document that it has checked, so that nothing here can fail for what the profile says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, cast

from eth_hash.auto import keccak

from orchestrator.artifacts import Artifact
from orchestrator.models import Address, WalletState, checksum
from orchestrator.wallet import abi
from orchestrator.wallet.contract import create2_address
from orchestrator.wallet.findings import Answers, Created, EventLog, Read
from orchestrator.wallet.proxies import word_address
from orchestrator.wallet.subject import Subject, at, value_account

NOTHING: Final = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
"""keccak256 of nothing."""


@dataclass(frozen=True, slots=True)
class Release:
    """A contract that is accepted."""

    name: str
    code_hash: str
    artifact: Artifact | None

    def is_code(self, code: bytes) -> bool:
        """Whether this runtime code is the contract's, whatever its immutables; no code is nobody's."""
        if self.artifact is not None:
            return self.artifact.matches(code)
        return "0x" + keccak(code).hex() == self.code_hash

    def immutables(self, code: bytes) -> Mapping[str, bytes]:
        """The immutables' words by name. Raises ValueError where the copies of one differ."""
        return {} if self.artifact is None else self.artifact.immutables(code)


@dataclass(frozen=True, slots=True)
class EventRule:
    """The factory's event, and which of its arguments is what."""

    signature: abi.Signature
    wallet: str
    owner: str | None
    account: str | None
    challenge: str | None

    def read(self, log: EventLog) -> Created | None:
        try:
            values = self.signature.decode(log.topics, log.data)
        except ValueError:
            return None
        account = value_account(values[self.account]) if self.account else None
        if self.account and account is None:
            return None
        return Created(
            wallet=cast("Address", values[self.wallet]),
            owner=cast("Address", values[self.owner]) if self.owner else None,
            account=account,
            challenge="0x" + cast("bytes", values[self.challenge]).hex() if self.challenge else None,
            values=MappingProxyType(values),
        )

    def searched_by(self) -> Literal["account", "wallet"] | None:
        """What one account's log is searched for by: an argument that is indexed, the account's first."""
        for name, called in (("account", self.account), ("wallet", self.wallet)):
            argument = self.signature.argument(called) if called else None
            if argument is not None and argument.indexed:
                return cast("Literal['account', 'wallet']", name)
        return None

    def topics(self, subject: Subject) -> list[bytes | None]:
        name = self.searched_by()
        called = {"account": self.account, "wallet": self.wallet, None: None}[name]
        topics: list[bytes | None] = [self.signature.topic]
        for argument in self.signature.arguments:
            if argument.indexed:
                wanted = argument.name == called and name is not None
                topics.append(abi.word(argument.type, subject.value(name or "", argument.type)) if wanted else None)
        while topics[-1] is None:
            topics.pop()
        return topics


@dataclass(frozen=True, slots=True)
class Getter:
    """A call that returns one value. ``at``: whose."""

    signature: abi.Signature
    at: str

    @property
    def label(self) -> str:
        return f"{self.signature.name}()"

    @property
    def returns(self) -> str:
        return self.signature.returns[0].type

    def read(self, subject: Subject) -> Read | None:
        """None where it needs an owner, and no event has named one."""
        try:
            values = {each.name: subject.value(each.name, each.type) for each in self.signature.arguments}
        except ValueError:
            return None
        return Read("call", at(self.at, subject), self.signature.call(values))

    def value(self, subject: Subject, answers: Answers) -> object:
        """None where the call reverted or returned something else."""
        read = self.read(subject)
        return self.returned(answers.get(read) if read is not None else None)

    def returned(self, answer: bytes | None) -> object:
        try:
            return None if answer is None else self.signature.returned(answer)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Slot:
    """A storage slot; of a mapping where it has a ``key``."""

    number: int
    key: str | None = None
    key_type: str = "address"
    at: str = "wallet"
    called: str = ""

    @property
    def label(self) -> str:
        if self.called:
            return self.called
        number = str(self.number) if self.number < 1 << 32 else f"{self.number:#x}"
        return f"slot {number}" + (f"[{self.key}]" if self.key else "")

    def read(self, subject: Subject) -> Read:
        slot = self.number.to_bytes(32, "big")
        if self.key is not None:
            slot = keccak(subject.key(self.key, self.key_type) + slot)
        return Read("slot", at(self.at, subject), slot)

    def read_of(self, wallet: Address) -> Read:
        """Of a slot of the wallet's own that is in no mapping."""
        return Read("slot", wallet, self.number.to_bytes(32, "big"))

    def value(self, subject: Subject, answers: Answers) -> bytes | None:
        """The 32 bytes; None where there is no such answer."""
        answer = answers.get(self.read(subject))
        return answer if answer is not None and len(answer) == 32 else None


MOST_OWNERS: Final = 256
"""Owners of one wallet; a list that is longer is none."""


@dataclass(frozen=True, slots=True)
class OwnerRule:
    """One source of the owner: an immutable's name, a place in a clone's immutable arguments, a slot, a getter of one
    owner or of several."""

    source: str | int | Slot | Getter
    offset: int = 0
    size: int = 20
    renounced: bool = False

    @property
    def label(self) -> str:
        return "the code" if isinstance(self.source, str | int) else self.source.label

    def read(self, subject: Subject) -> Read | None:
        return None if isinstance(self.source, str | int) else self.source.read(subject)

    def value(self, subject: Subject, immutables: Mapping[str, bytes], appended: bytes, answers: Answers) -> str:
        """The owner, or several joined by commas; empty for what is none."""
        if isinstance(self.source, int):
            found = appended[self.source : self.source + 20]
            return checksum(found.hex()) if len(found) == 20 else ""
        if isinstance(self.source, str):
            return word_address(immutables.get(self.source)) or ""
        if isinstance(self.source, Slot):
            word = self.source.value(subject, answers)
            if word is not None and self.size == 20:
                word = bytes(12) + word[12 - self.offset : 32 - self.offset]
            return word_address(word) or ""
        value = self.source.value(subject, answers)
        if isinstance(value, list):
            return ",".join(value) if len(value) <= MOST_OWNERS else ""
        return cast("str", value or "")


@dataclass(frozen=True, slots=True)
class StateRule:
    """The sources of the state, and what its numbers mean."""

    event: abi.Signature | None
    before: str | None
    after: str | None
    slot: Slot | None
    mask: int
    getter: Getter | None
    numbers: Mapping[int, WalletState]

    def by_slot(self, subject: Subject, answers: Answers) -> int | None:
        word = self.slot.value(subject, answers) if self.slot else None
        shift = (self.mask & -self.mask).bit_length() - 1
        return None if word is None else (int.from_bytes(word, "big") & self.mask) >> shift

    def by_getter(self, subject: Subject, answers: Answers) -> int | None:
        value = self.getter.value(subject, answers) if self.getter else None
        return None if value is None else int(cast("int", value))

    def changed(self, log: EventLog) -> tuple[int | None, int] | None:
        if self.event is None or self.after is None:
            return None
        try:
            values: dict[str, Any] = self.event.decode(log.topics, log.data)
        except ValueError:
            return None
        return (int(values[self.before]) if self.before else None), int(values[self.after])


Values = Callable[[str, str], object]
"""A value by its name, as one of a type. Raises ValueError where it is not known."""


@dataclass(frozen=True, slots=True)
class Create2Rule:
    """EIP-1014. ``init_code`` None: that of an ERC-1167 clone. A salt without types is one value's word."""

    salt: tuple[str, ...]
    types: tuple[str, ...]
    hashed: bool
    packed: bool
    init_code: Artifact | None
    arguments: tuple[str, ...]
    argument_types: tuple[str, ...]

    def address(self, factory: Address, values: Values, clone: bytes | None) -> Address:
        """``clone``: a clone's init code. Raises ValueError where something is not known."""
        found = [values(name, kind) for name, kind in zip(self.salt, self.types, strict=True)]
        encoded = (abi.packed if self.packed else abi.encode)(self.types, found)
        if self.init_code is not None:
            arguments = [values(name, kind) for name, kind in zip(self.arguments, self.argument_types, strict=True)]
            init_code = self.init_code.bytecode + abi.encode(self.argument_types, arguments)
        elif clone is not None:
            init_code = clone
        else:
            raise ValueError("what made this clone is not known")
        return create2_address(factory, keccak(encoded) if self.hashed else encoded, init_code)
