"""Anvil's ten funded accounts, derived from its well-known mnemonic."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, overload

from orchestrator.models import checksum

__all__ = ["DEV_ACCOUNTS", "DevAccount"]


@dataclass(frozen=True, slots=True)
class DevAccount:
    """An account that Anvil funds at its start. The key is public knowledge: for local chains only."""

    address: str
    """EIP-55."""
    private_key: str = field(repr=False)
    """``0x`` and 64 hex digits."""


class _DevAccounts(Sequence[DevAccount]):
    """Anvil's ten accounts, derived on first use (BIP-39, BIP-32; path m/44'/60'/0'/0/i)."""

    def __len__(self) -> int:
        return 10

    @overload
    def __getitem__(self, index: int) -> DevAccount: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[DevAccount]: ...

    def __getitem__(self, index: int | slice) -> DevAccount | Sequence[DevAccount]:
        return _derive(len(self))[index]


DEV_ACCOUNTS: Final[Sequence[DevAccount]] = _DevAccounts()
"""Anvil's well-known accounts, each with 10,000 ether on a fresh node."""

_MNEMONIC: Final = "test test test test test test test test test test test junk"
_HARDENED: Final = 1 << 31


@cache
def _derive(count: int) -> tuple[DevAccount, ...]:
    seed = hashlib.pbkdf2_hmac("sha512", _MNEMONIC.encode(), b"mnemonic", 2048)
    node = hmac.digest(b"Bitcoin seed", seed, "sha512")
    for index in (44 | _HARDENED, 60 | _HARDENED, _HARDENED, 0):
        node = _child(node, index)
    return tuple(_account(_child(node, index)[:32]) for index in range(count))


def _child(node: bytes, index: int) -> bytes:
    """BIP-32's private child key derivation; a node is the key and then the chain code, 32 bytes each."""
    from coincurve import PrivateKey

    key = PrivateKey(node[:32])
    parent = b"\0" + node[:32] if index & _HARDENED else key.public_key.format(compressed=True)
    digest = hmac.digest(node[32:], parent + index.to_bytes(4, "big"), "sha512")
    return key.add(digest[:32]).secret + digest[32:]


def _account(secret: bytes) -> DevAccount:
    from coincurve import PrivateKey
    from eth_hash.auto import keccak

    public = PrivateKey(secret).public_key.format(compressed=False)
    return DevAccount(checksum(keccak(public[1:])[-20:].hex()), f"0x{secret.hex()}")
