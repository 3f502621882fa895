"""What is known of a challenge from before: whom it was fetched for, and whether it was signed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChallengeHistory:
    """What the journal knows of a challenge's digest. Both fields are required: None says that there was nothing."""

    fetched_for: tuple[str, str] | None
    """The account and the purpose that it was first fetched for."""
    signed_for: tuple[str, str] | None
    """The account and the purpose that a signature was intended for."""
