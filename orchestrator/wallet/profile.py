"""Wallet profiles: files that say what is known of a family of wallets, and how."""

from __future__ import annotations

from typing import Final

from orchestrator.wallet.reading import Profile

__all__ = ["BUILT_IN", "Profile", "load_profile"]

BUILT_IN: Final = ("smart-wallet", "smart-wallet-clone", "smart-wallet-proxy", "offblocks", "safe", "modular")
"""Profiles that the package ships."""


def load_profile(name_or_path: str) -> Profile:
    """A built-in profile by its name, or the file at a path. Raises SettingsError (``profile_unreadable``,
    ``profile_invalid``), with file, line and key."""
    raise NotImplementedError
