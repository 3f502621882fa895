"""What the simulator needs of a family of wallets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final

from ..chain import Chain, encode_call

ENTRY_POINT: Final = "0x0000000071727De22E5E9d8BAf0edAc6f37da032"
"""The canonical EntryPoint 0.7 (ERC-4337). A devnet has none: the wallets only name it."""


class State(Enum):
    """A wallet's state, as the platform speaks of it."""

    CREATED = "created"
    ACTIVE = "active"
    INACTIVE = "inactive"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that the operator sends. ``step`` is the function's name: a transaction is found again by it."""

    step: str
    to: str
    data: str

    @classmethod
    def of(cls, to: str, signature: str, *values: object) -> Sent:
        return cls(signature.partition("(")[0], to, encode_call(signature, *values))


@dataclass(frozen=True, slots=True)
class Creation:
    """A contract to be deployed: ``arguments`` gives those of its constructor, ABI-encoded, from the address of the
    contract that was deployed before it (empty for the first)."""

    artifact: str
    arguments: Callable[[str], bytes]


class Family(ABC):
    """One family on one chain. Addresses are 0x-hex, ``account_id`` is the platform's UUID."""

    name: ClassVar[str]
    """Of the family's profile."""
    factory_refuses_a_second: ClassVar[bool] = False
    """Whether the factory refuses to deploy a second wallet for one account."""
    registry_slot: ClassVar[int | None] = None
    """The storage slot of the factory's mapping from account to wallet, where it has one."""
    upgradable_slot: ClassVar[int | None] = None
    """The storage slot of a wallet that names its implementation, where it is a proxy of that kind."""

    def __init__(self, chain: Chain, factory: str, escrow: str) -> None:
        self.chain = chain
        self.factory = factory
        self.escrow = escrow

    @classmethod
    @abstractmethod
    def creations(cls, operator: str) -> Sequence[Creation]:
        """The contracts of a new factory that ``operator`` operates, in their order: the last one is the factory."""

    @abstractmethod
    def deploy(self, owner: str, account_id: str, challenge: bytes, number: int = 0) -> Sent:
        """Deploys the account's wallet. ``number``: another than 0 deploys another one for it."""

    @abstractmethod
    async def predict(self, owner: str, account_id: str, number: int = 0) -> str:
        """The address (EIP-55) at which :meth:`deploy` makes the wallet, or has made it."""

    def activate(self, wallet: str, challenge: bytes, signature: bytes) -> Sent | None:  # noqa: ARG002
        """What activates a deployed wallet; None where it is active by its deployment."""
        return None

    @abstractmethod
    def suspend(self, wallet: str) -> Sent | None:
        """None where nothing on the chain can be suspended."""

    @abstractmethod
    def resume(self, wallet: str) -> Sent | None:
        """Undoes :meth:`suspend`."""

    def commit(self, wallet: str, challenge: bytes) -> Sent | None:  # noqa: ARG002
        """What binds a deletion challenge to the wallet; None where nothing on the chain does."""
        return None

    async def committed(self, wallet: str, challenge: bytes) -> bool:  # noqa: ARG002
        """Whether the wallet holds the commitment to this deletion challenge."""
        return True

    @abstractmethod
    def close(self, wallet: str, challenge: bytes, signature: bytes, tokens: Sequence[str]) -> Sent | None:
        """Closes the wallet by the owner's signature, and hands the tokens back; None where nothing can be closed."""

    @abstractmethod
    async def state(self, wallet: str) -> State:
        """As the chain tells it; ``ACTIVE`` where it tells none."""
