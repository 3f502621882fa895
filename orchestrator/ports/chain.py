"""What a step may ask of the chain, and of the proof that a contract is closed; ``orchestrator.chain`` answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from orchestrator.models import AccountId, Address, BlockNumber, BlockRef, ChainId, Finality, TxHash, WalletState, Wei
from orchestrator.wallet.findings import Finding


@dataclass(frozen=True, slots=True)
class Deployment:
    """An account's wallet, and what each source that its profile knows says of it."""

    wallet: Address
    block: BlockRef
    """Of its creation; where the profile knows no event of that, where it was first seen."""
    tx_hash: TxHash | None
    code_hash: str
    """keccak256 of the code at its address, 0x and 64 hex digits."""
    profile: str
    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...] = ()

    def said(self, check: str, source: str | None = None) -> str | None:
        """What the first source says (or that one); None where there is none."""
        values = (one.value for one in self.findings if one.check == check and source in (None, one.source))
        return next(values, None)

    @property
    def code_accepted(self) -> bool:
        """Whether all code that was looked at is the profile's."""
        return all(one.value for one in self.findings if one.check in ("code", "proxy_code"))


@dataclass(frozen=True, slots=True)
class StateChange:
    """The wallet's state now, and the block and transaction that made it so. Where no event tells of a change: the
    block at which it was first read, and no transaction."""

    state: WalletState
    block: BlockRef
    tx_hash: TxHash | None


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
    """What is known already of an account's wallet. Nothing, at first."""

    claimed: Address | None = None
    """The address that the platform names."""
    profile: str | None = None
    """Under which profile the rest was read."""
    deployed: BlockRef | None = None
    """The block of its deployment."""
    change: StateChange | None = None
    final: bool = False
    """Whether that change is."""


UNKNOWN: Final = Known()


class Chain(Protocol):
    """The RPC node. All reads raise ChainUnreachable, ChainNonsense or ProofInvalid; nothing is written to it."""

    @property
    def needs_claim(self) -> bool:
        """Whether nothing but the address that the platform names tells which wallet an account's is."""
        ...

    async def chain_id(self) -> ChainId: ...

    async def news(self, account_id: AccountId, known: Known, confirmations: int) -> ChainView | None:
        """``view``, if there may be more to see than what is known; None where an index of the chain has nothing else,
        which costs the node nothing."""
        ...

    async def view(self, account_id: AccountId, known: Known = UNKNOWN) -> ChainView:
        """The wallet of an account by its profile, all at one block. Of what is known only the claim, and the blocks at
        which something was first seen, are of interest."""
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
