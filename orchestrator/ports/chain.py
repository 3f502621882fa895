"""What a step may ask of the chain, and of the proof that a contract is closed; ``orchestrator.chain`` answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.models import AccountId, Address, BlockNumber, BlockRef, ChainId, Finality, TxHash, WalletState, Wei


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
    could not be read."""

    wei: Wei
    tokens: tuple[TokenBalance, ...]
    block: BlockRef
    unreadable: tuple[UnreadableToken, ...] = ()
    incomplete: str | None = None
    """Why tokens may be missing from the list, or None."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known already of an account's wallet."""

    deployed: BlockRef | None
    """The block of its deployment."""
    change: StateChange | None
    final: bool
    """Whether that change is."""


class Chain(Protocol):
    """The RPC node. All reads raise ChainUnreachable, ChainNonsense or ProofInvalid; nothing is written to it."""

    async def chain_id(self) -> ChainId: ...

    async def news(self, account_id: AccountId, known: Known, confirmations: int) -> ChainView | None:
        """``view``, if there may be more to see than what is known; None where an index of the chain has nothing else,
        which costs the node nothing."""
        ...

    async def view(self, account_id: AccountId) -> ChainView:
        """The wallet of an account by the factory's event, all at one block."""
        ...

    async def is_canonical(self, block: BlockRef) -> bool: ...

    async def holdings(self, wallet: Address, named: tuple[Address, ...] = ()) -> Holdings: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Examined:
    """What the examination of a contract at a finalized block came to (``orchestrator verify-closure``).

    The prover's own (``closure.verdict.Certifiable``) carries what a certificate is made of, too.
    """

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
    transient: bool
    """Whether trouble with the node kept it from a verdict, so that asking again may bring one."""


class Prover(Protocol):
    """Proves that a contract is disabled for ever, or says why that cannot be said."""

    async def examine(self, wallet: Address) -> Examined:
        """Raises nothing for what a node does: that is an ``inconclusive`` verdict. Reads only."""
        ...

    async def close(self) -> None: ...
