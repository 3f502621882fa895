"""What steps work with: the outside systems (``Services``), and one account with its state (``AccountSession``)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from orchestrator.lifecycle.events import PlatformObserved
from orchestrator.lifecycle.fold import AccountState, Operation, fold
from orchestrator.lifecycle.recorded import Event
from orchestrator.lifecycle.stages import Parameters
from orchestrator.models import AccountId, Address, ChainAccount, CustomerId, TxHash
from orchestrator.people import ANONYMOUS, Signatory
from orchestrator.policy import Ruleset
from orchestrator.ports.chain import Chain, ChainView, Examined, Holdings, Known, Prover, StateChange
from orchestrator.ports.journal import CountLimit, Journal
from orchestrator.ports.platform import Platform, PlatformAccount, PlatformCard, PlatformCustomer
from orchestrator.ports.signers import Keyring, SigningLog


class Checked(Protocol):
    """What a stored certificate's bytes show, offline."""

    @property
    def valid(self) -> bool: ...

    @property
    def verdict(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def detail(self) -> str: ...


class Certifier(Protocol):
    """Makes, files, checks and revokes the certificates of proven closures."""

    @property
    def key(self) -> str | None:
        """The name of the key that signs certificates, None where none does."""
        ...

    def address(self) -> Address | None:
        """That key's address, read now. Raises KeyUnavailable if the key is not there."""
        ...

    def ready(self) -> None:
        """Raises KeyUnavailable if the key that is to sign certificates is not there."""
        ...

    def certify(
        self,
        *,
        account: PlatformAccount,
        owner: ChainAccount,
        view: ChainView,
        examined: Examined,
        left: Holdings,
        cards: Sequence[PlatformCard],
    ) -> bytes:
        """The certificate's canonical bytes."""
        ...

    def write(self, account_id: AccountId, certificate: bytes) -> str:
        """Writes the file; returns its path."""
        ...

    def check(self, certificate: bytes) -> Checked:
        """Verifies a certificate's bytes again, offline."""
        ...

    def revoke(self, path: str, sha256: str) -> None:
        """Marks the file of a revoked certificate, if it is still there. Done again, it does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """The outside systems, the clock and the parameters. One per process."""

    platform: Platform
    chain: Chain
    prover: Prover
    keyring: Keyring
    journal: Journal
    certifier: Certifier
    clock: Callable[[], datetime]
    parameters: Parameters
    ruleset: Ruleset
    """What this process' settings ask for; nothing is done before it is the one in force."""
    signing_log: SigningLog
    actor: str
    """Who runs this process: ``os:NAME``."""
    signatory: Signatory = ANONYMOUS
    """The person who runs it, where she can prove it: what takes an approval is asked for in her name."""
    tokens: tuple[Address, ...] = ()
    adopted: set[str] = field(default_factory=set)
    """Hashes of rulesets that this process has seen in force."""
    unsent: set[str] = field(default_factory=set)
    """Idempotency keys of journaled creations whose last request, by this process, was surely not processed."""
    customers: dict[CustomerId, PlatformCustomer] = field(default_factory=dict)
    """Customers read so far: the wallet of a customer never changes."""

    async def customer(self, customer_id: CustomerId) -> PlatformCustomer:
        if customer_id not in self.customers:
            self.customers[customer_id] = await self.platform.customer(customer_id)
        return self.customers[customer_id]


@dataclass(slots=True)
class AccountSession:
    """One account while it is worked on: its state is always the fold of what is in the journal."""

    account_id: AccountId
    state: AccountState
    length: int
    services: Services
    confirmations: int | None = None
    """By how many what is final was judged when it was last read back here; None before that."""
    chain_read: bool = False
    """Whether the chain itself was read then; else its index had nothing that was not known."""

    @classmethod
    async def load(cls, account_id: AccountId, services: Services) -> AccountSession:
        recorded = await services.journal.read(account_id)
        return cls(account_id, fold(recorded), len(recorded), services)

    @property
    def op(self) -> Operation:
        if self.state.operation is None:
            raise AssertionError(f"account {self.account_id} has no operation to work on")
        return self.state.operation

    @property
    def known(self) -> Known:
        """What is known of the account's wallet."""
        deployed, wallet = self.state.deployed, self.state.wallet
        tx_hash = None if wallet is None or wallet.tx_hash is None else TxHash(wallet.tx_hash)
        return Known(
            claimed=claim_of(self.state.platform),
            profile=None if deployed is None else deployed.profile,
            deployed=None if deployed is None else deployed.block.ref,
            change=None if wallet is None else StateChange(wallet.state, wallet.block.ref, tx_hash),
            final=wallet is not None and wallet.final,
        )

    def now(self) -> datetime:
        return self.services.clock()

    async def record(
        self, *events: Event, unchanged: Mapping[str, int] | None = None, limits: Sequence[CountLimit] = ()
    ) -> None:
        """SIDE EFFECTS: commits the events to the journal, then folds them into the state.

        ``unchanged``: other streams and the length that each must still have. Raises JournalError.
        """
        recorded = await self.services.journal.append(
            self.account_id, list(events), after=self.length, at=self.now(), unchanged=unchanged or {}, limits=limits
        )
        self.length += len(recorded)
        self.state = fold(recorded, self.state)


def claim_of(platform: PlatformObserved | None) -> Address | None:
    """The wallet that the platform names, if it is on the chain of the customer's own."""
    if platform is None or platform.wallet is None:
        return None
    claim = ChainAccount.parse(platform.wallet)
    return claim.address if claim.chain == ChainAccount.parse(platform.owner).chain else None


def new_idempotency_key() -> str:
    """A fresh idempotency key (a random UUID)."""
    return str(uuid.uuid4())
