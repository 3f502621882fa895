"""What a challenge must fit: everything that the policy compares it with, and nothing that may be left out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.models import AccountId, ChainAccount
from orchestrator.policy import ChallengePolicy, KeyPolicy


class SigningOperation(StrEnum):
    """What a signature is asked for."""

    CREATION = "creation"
    DELETION = "deletion"


@dataclass(frozen=True, slots=True)
class ChallengeHistory:
    """What the journal knows of a challenge's digest. Both fields are required: None says that there was nothing."""

    fetched_for: tuple[str, str] | None
    """The account and the purpose that it was first fetched for."""
    signed_for: tuple[str, str] | None
    """The account and the purpose that a signature was intended for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a challenge must fit. Every field is required, so that nothing is left unchecked by being left out."""

    account_id: AccountId
    operation: SigningOperation
    signer: ChainAccount
    """The customer's wallet that would sign: its address, on the chain that it would sign for."""
    wallets: tuple[ChainAccount, ...]
    """The wallets that the key is bound to (``KeyInfo.wallets``)."""
    policy: ChallengePolicy
    """``policy.challenge`` of the ruleset in force."""
    key_policy: KeyPolicy
    """``policy.keys`` of the ruleset in force."""
    allowed_domains: frozenset[str]
    """Domains that hold where ``policy.challenge.domains`` names none (``Ruleset.domains``): authorities in lower case,
    such as ``api.offblocks.xyz`` or ``127.0.0.1:8080``. Compared whole; no wildcards."""
    now: datetime
    """Aware."""
    fetched_at: datetime
    """When the platform gave the challenge. Aware."""
    clock_skew: timedelta
    """How far the platform's clock may be ahead of ours."""
    history: ChallengeHistory
    """What the journal knows of this very digest."""
    known_accounts: frozenset[str]
    """Which of the UUIDs that the challenge names (``named_accounts``) are accounts in the journal, this one too."""
    intended: bool
    """Whether the journal already holds this signature, as an intent or made. Then the digest must be one intended for
    this account and purpose; otherwise one never intended."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "operation", SigningOperation(self.operation))
        for name in ("now", "fetched_at"):
            if getattr(self, name).utcoffset() is None:
                raise ValueError(f"{name} must carry a time zone, got {getattr(self, name).isoformat()}")
        if self.clock_skew < timedelta(0):
            raise ValueError(f"clock_skew must not be negative, got {self.clock_skew}")
        # A value of another type would be compared in another way: "x in text" matches parts of a domain.
        for name, wanted in _TYPES.items():
            if type(getattr(self, name)) is not wanted:
                raise TypeError(f"{name} must be a {wanted.__name__}, got {type(getattr(self, name)).__name__}")

    @property
    def max_age(self) -> timedelta:
        """How long after it was fetched or issued a challenge may be signed. The platform's challenges live 1 hour."""
        return timedelta(seconds=self.policy.max_age)

    @property
    def domains(self) -> frozenset[str]:
        """The domains that a message may name."""
        return frozenset(self.policy.domains) or self.allowed_domains

    @property
    def purpose(self) -> tuple[str, str]:
        """The account and the purpose, as the history has them."""
        return self.account_id, self.operation.value


_TYPES = {
    "account_id": str,
    "wallets": tuple,
    "policy": ChallengePolicy,
    "key_policy": KeyPolicy,
    "allowed_domains": frozenset,
    "history": ChallengeHistory,
    "known_accounts": frozenset,
    "intended": bool,
}
