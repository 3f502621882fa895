"""What a step may ask of the platform; ``orchestrator.platform`` answers it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from orchestrator.errors import MalformedAnswer, UnsupportedChain
from orchestrator.models import AccountId, AccountStatus, CardStatus, ChainAccount, CustomerId

_NEVER_AGAIN: Final = frozenset({CardStatus.ISSUE_FAILED, CardStatus.TERMINATED})
"""States of cards that nothing leads out of."""


@dataclass(frozen=True, slots=True)
class PlatformAccount:
    """An account as the platform has it. ``wallet`` is its CAIP-10 ``chainId``, None until it is deployed.

    One that is ``odd`` can be shown; whoever acts on an account asks for its ``known_status`` first.
    """

    id: AccountId
    customer_id: CustomerId
    status: AccountStatus | str
    """The platform's own word, where it is none that is known."""
    wallet: ChainAccount | None
    currencies: tuple[str, ...]
    """Empty where the platform names none: they are optional."""
    created_at: datetime
    updated_at: datetime
    odd: tuple[str, ...] = ()
    """What of it is outside of the platform's documentation: each field with what was expected and what came."""
    unsupported_chain: bool = False
    """Whether all that is odd is ``chainId``: malformed, or of another CAIP namespace than eip155."""

    def known_status(self) -> AccountStatus:
        """Raises MalformedAnswer for an account that is odd; UnsupportedChain where that is all."""
        if not self.odd and isinstance(self.status, AccountStatus):
            return self.status
        message = f"account {self.id}: {'; '.join(self.odd)}: nothing is done with it"
        if self.unsupported_chain:
            raise UnsupportedChain(message)
        raise MalformedAnswer(message)


@dataclass(frozen=True, slots=True)
class PlatformCustomer:
    """A customer as the platform has it. ``wallet`` is the customer's own account: the owner of its smart wallets."""

    id: CustomerId
    status: str
    """One of ``CustomerStatus``, or a word of the platform's that is not known."""
    wallet: ChainAccount


@dataclass(frozen=True, slots=True)
class PlatformCard:
    """A card of an account."""

    id: str
    status: str
    """One of ``CardStatus``, or a word of the platform's that is not known: such a card counts as live."""

    @property
    def ends_with_account(self) -> bool:
        """Whether there is something of it that closing its account ends."""
        return self.status not in _NEVER_AGAIN

    @property
    def is_left(self) -> bool:
        """Whether it is more than deactivated, as every card of a closed account must be."""
        return self.ends_with_account and self.status != CardStatus.INACTIVE


@dataclass(frozen=True, slots=True)
class Submission:
    """A signed challenge on its way to the platform. ``challenge`` is the issued Base64 text, byte for byte."""

    signer: ChainAccount
    challenge: str
    signature: bytes
    """65 bytes r, s, v (27 or 28)."""


Permit = Callable[[], AbstractAsyncContextManager[None]]
"""Asked anew right before each time that a signature is sent, a repeat included: it raises what forbids that, and is
held until that request is over."""


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
        """A challenge to sign, Base64 as issued; None where there is none. It invalidates every one before it: asked
        only for what will be signed."""
        ...

    async def submit(
        self, account_id: AccountId, submission: Submission, *, key: str, permit: Permit
    ) -> PlatformAccount | None:
        """Raises what ``permit`` raises; an earlier try of the same call may have arrived then."""
        ...

    async def deactivate(self, account_id: AccountId, *, key: str) -> PlatformAccount | None: ...

    async def reactivate(self, account_id: AccountId, *, key: str) -> PlatformAccount | None: ...

    async def close(self, account_id: AccountId, *, key: str) -> PlatformAccount | None: ...
