"""What a step may ask of the platform; ``orchestrator.platform`` answers it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from orchestrator.models import AccountId, AccountStatus, ChainAccount, CustomerId


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
        """The current challenge, Base64 as issued; None where none is offered (404 or 409 of this path)."""
        ...

    async def submit(
        self, account_id: AccountId, submission: Submission, *, key: str, permit: Permit
    ) -> PlatformAccount | None:
        """Raises what ``permit`` raises; an earlier try of the same call may have arrived then."""
        ...

    async def deactivate(self, account_id: AccountId, *, key: str) -> PlatformAccount | None: ...

    async def reactivate(self, account_id: AccountId, *, key: str) -> PlatformAccount | None: ...

    async def close(self, account_id: AccountId, *, key: str) -> PlatformAccount | None: ...
