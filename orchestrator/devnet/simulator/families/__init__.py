"""Families of wallets: what the platform's operator does with one, and how its contracts are called.

The rest of the simulator names no function of a contract. Another family is a module here, and its name in
``FAMILIES``; or a class of a test's own, given to ``SimulatorConfig.family``.
"""

from __future__ import annotations

from typing import Final

from .family import Creation, Family, Sent, State
from .modular import ModularFamily
from .offblocks import OffBlocksFamily
from .smart_wallet import CloneFamily, ProxyFamily, SmartWalletFamily

__all__ = ["FAMILIES", "Creation", "Family", "Sent", "SmartWalletFamily", "State"]

FAMILIES: Final[dict[str, type[Family]]] = {
    family.name: family for family in (SmartWalletFamily, OffBlocksFamily, CloneFamily, ProxyFamily, ModularFamily)
}
"""By the name of the family's profile."""
