"""The narrow ports between the runner and the outside: what a step may ask of the platform, the chain and a signer.

Each port has one implementation that alone imports its library (``orchestrator.platform``, ``orchestrator.chain``,
``orchestrator.signers``, ``orchestrator.journal``). Values only, no foreign types.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from orchestrator.challenge.history import ChallengeHistory as ChallengeHistory  # noqa: PLC0414
from orchestrator.models import (
    AccountId,
    AccountStatus,
    Address,
    BlockNumber,
    BlockRef,
    ChainAccount,
    ChainId,
    CustomerId,
    Finality,
    TxHash,
    WalletState,
    Wei,
)

# --- the platform --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlatformAccount:
    """An account as the platform has it. ``wallet`` is its CAIP-10 ``chainId``, None until it is deployed."""

    id: AccountId
    customer_id: CustomerId
    status: AccountStatus
    wallet: ChainAccount | None
    currencies: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PlatformCustomer:
    """A customer as the platform has it. ``wallet`` is the customer's own account: the owner of its smart wallets."""

    id: CustomerId
    status: str
    wallet: ChainAccount


@dataclass(frozen=True, slots=True)
class PlatformCard:
    """A card of an account."""

    id: str
    status: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A signed challenge on its way to the platform. ``challenge`` is the issued Base64 text, byte for byte."""

    signer: ChainAccount
    challenge: str
    signature: bytes
    """65 bytes r, s, v (27 or 28)."""


class Platform(Protocol):
    """The platform's calls (platform API). All raise PlatformError's subclasses; a modifying call takes the
    idempotency key (UUID text) that the caller journaled before, and is never repeated blindly inside."""

    async def account(self, account_id: AccountId) -> PlatformAccount: ...

    async def accounts(self) -> list[PlatformAccount]: ...

    async def customer_accounts(self, customer_id: CustomerId) -> list[PlatformAccount]: ...

    async def customer(self, customer_id: CustomerId) -> PlatformCustomer: ...

    async def cards(self, account_id: AccountId) -> list[PlatformCard]: ...

    async def create_account(
        self, customer_id: CustomerId, currency: str, *, key: str
    ) -> tuple[PlatformAccount, str | None]:
        """The account, and the Base64 challenge where the answer carries one."""
        ...

    async def challenge(self, account_id: AccountId) -> str | None:
        """The current challenge, Base64 as issued; None where none is offered (404 or 409 of this path)."""
        ...

    async def submit(self, account_id: AccountId, submission: Submission, *, key: str) -> PlatformAccount | None: ...

    async def deactivate(self, account_id: AccountId, *, key: str) -> PlatformAccount | None: ...

    async def activate(self, account_id: AccountId, *, key: str) -> PlatformAccount | None: ...

    async def close(self, account_id: AccountId, *, key: str) -> PlatformAccount | None: ...


# --- the chain -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the factory's event and the code at its address say about an account's wallet."""

    wallet: Address
    owner: Address
    """The owner in the code's immutables."""
    block: BlockRef
    tx_hash: TxHash
    create2: Address
    """The address recomputed from factory, salt and init code (EIP-1014)."""
    event_owner: Address
    code_matches: bool
    """Whether the code, with immutables masked, equals the artifact's."""
    code_hash: str
    challenge_hash: str
    """keccak256 of the creation challenge that the factory was given, 0x and 64 hex digits."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """The wallet's state now, and the block and transaction that made it so."""

    state: WalletState
    block: BlockRef
    tx_hash: TxHash


@dataclass(frozen=True, slots=True)
class ChainView:
    """One account's wallet, read at ONE block (``head``)."""

    head: BlockRef
    safe: BlockNumber | None
    finalized: BlockNumber | None
    """None where the node does not know the tag ``finalized``."""
    deployment: Deployment | None
    change: StateChange | None
    factory_exists: bool = True
    """Whether there is any code at the factory's address."""

    def finality(self, block: BlockRef) -> Finality:
        if self.finalized is not None and block.number <= self.finalized:
            return Finality.FINALIZED
        if self.safe is not None and block.number <= self.safe:
            return Finality.SAFE
        return Finality.LATEST

    def is_final(self, block: BlockRef, confirmations: int) -> bool:
        """At or below the node's ``finalized`` block (where it has that tag) AND at least ``confirmations`` deep.

        A block that is the head itself is 1 deep.
        """
        deep = self.head.number - block.number + 1 >= confirmations
        return deep and (self.finalized is None or block.number <= self.finalized)


@dataclass(frozen=True, slots=True)
class TokenBalance:
    token: Address
    amount: int


@dataclass(frozen=True, slots=True)
class UnreadableToken:
    """A token whose balance could not be read; it may hold something."""

    token: Address
    reason: str


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a wallet holds at a block: wei, ERC-20 tokens (found by Transfer logs to it, and the named ones), and what
    could not be told."""

    wei: Wei
    tokens: tuple[TokenBalance, ...]
    block: BlockRef
    unreadable: tuple[UnreadableToken, ...] = ()
    incomplete: str | None = None
    """Why tokens may be missing from the list, or None."""


class Chain(Protocol):
    """The RPC node. All reads raise ChainUnreachable, ChainNonsense or ProofInvalid; nothing is written."""

    async def chain_id(self) -> ChainId: ...

    async def view(self, account_id: AccountId) -> ChainView:
        """The wallet of an account by the factory's event, all at one block."""
        ...

    async def is_canonical(self, block: BlockRef) -> bool: ...

    async def holdings(self, wallet: Address, named: tuple[Address, ...] = ()) -> Holdings: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Examined:
    """What the examination of a contract at a finalized block came to (``orchestrator verify-closure``)."""

    verdict: Literal["irreversible", "reversible", "inconclusive"]
    analysis: Literal["inert", "acting", "undecided", "not_run"]
    reason: str
    """A stable code: why this verdict and no other."""
    detail: str
    """The same in a sentence, with the witness where there is one."""
    chain: ChainId | None
    """None, as ``block`` and ``code_hash``, where the examination did not come so far."""
    block: BlockRef | None
    code_hash: str | None
    states: int
    steps: int
    passing: bool
    """Whether trouble with the node kept it from a verdict, so that asking again may bring one."""
    examination: Any
    """All of it, for whoever makes the certificate; opaque to steps."""


class Prover(Protocol):
    """Proves that a contract is disabled for ever, or says why that cannot be said."""

    async def examine(self, wallet: Address) -> Examined:
        """Raises nothing for what a node does: that is an ``inconclusive`` verdict. Reads only."""
        ...

    async def close(self) -> None: ...


# --- keys ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is known about a managed key without its password."""

    name: str
    address: Address
    backend: str
    """``keystore``, ``pkcs11``, ``awskms`` or ``rpc``."""
    disabled: bool
    wallets: tuple[ChainAccount, ...] = ()
    """The customer's wallets (CAIP-10) that it may sign for; their address is the key's own."""
    uri: str | None = None
    """Where the key is, for keys that are not in the keystore's own files. Holds no secret."""
    created_at: str | None = None
    """ISO-8601 UTC text; None where the file does not say."""


class Signer(Protocol):
    """One managed key. It sees only EIP-191 personal messages that policy has allowed."""

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> Address: ...

    def sign_message(self, message: bytes) -> bytes:
        """65 bytes r, s, v (27 or 28, low s) over EIP-191's personal message. Blocks; safe from several threads.

        The caller compares what the signature recovers to with ``address`` (``orchestrator.eip191.require``), once for
        all back ends. Raises KeyUnavailable (retry: throttled, connection lost, timeout; stop: denied, wrong password,
        unreadable file; operator: the key is not the one that it was) or SigningError.
        """
        ...


class Keyring(Protocol):
    """The managed keys."""

    @property
    def id(self) -> str:
        """Tells this folder of keys from any other, also from a copy made before it was used (UUID text)."""
        ...

    def key_for(self, address: Address) -> KeyInfo:
        """The key with this address, an enabled one if there are several. Raises KeyUnavailable ``key_not_found``."""
        ...

    def signer_for(self, address: Address) -> Signer:
        """The enabled key with this address. Raises KeyUnavailable that names the address and the folder."""
        ...

    def bind(self, name: str, wallet: ChainAccount) -> KeyInfo:
        """Lets the key sign for one more wallet. Raises SettingsError ``key_binding`` if the address is another."""
        ...


# --- what was signed -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line of the log beside the keystore: what was about to be signed for which journal."""

    epoch: int
    """0, and one more after each reconciliation."""
    seq: int
    """The place of the ``signing_intended`` (or ``journal_reconciled``) event in the journal."""
    hash: str
    """That event's hash."""
    account_id: str
    purpose: str
    digest: str
    """Empty on the line of a reconciliation."""
    signer: str
    """CAIP-10."""
    key: str
    at: str
    """ISO-8601 UTC."""


class SigningLog(Protocol):
    """Beside the keystore and outside the database: shows that either of them is older than what was signed."""

    def journals(self) -> frozenset[str]:
        """Ids of the journals that this keystore has signed for."""
        ...

    def entries(self, journal: str) -> list[LogEntry]: ...

    def last(self, journal: str) -> LogEntry | None:
        """Of the newest epoch the entry with the highest ``seq``."""
        ...

    def note(self, journal: str, entry: LogEntry) -> None:
        """SIDE EFFECTS: appends the entry, on disk before this returns. Raises KeyUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """A line of the signing history: an intended signature, made or not."""

    account_id: str
    purpose: str
    digest: str
    signer: str | None
    key: str | None
    at: str | None
    """ISO-8601 UTC."""
    made: bool
    live: bool


@dataclass(frozen=True, slots=True)
class CountLimit:
    """At most ``most`` intended signatures since ``since``, of ``key`` or (None) of all keys."""

    key: str | None
    since: datetime
    most: int
    text: str
    """For the error: ``100 signatures in 3600 s by key alice``."""
