"""The wallet in the platform's documented shape. Nothing on the chain names an account, binds a challenge, or tells of
a change of state by an event; the wallet is active by its deployment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..chain import account_bytes, address_of, encode, encode_call, keccak
from .family import Creation, Family, Sent, State

_STATES: Final = (State.ACTIVE, State.INACTIVE, State.CLOSED)
_ARGUMENTS: Final = "(address,address,address,uint256)"


class OffBlocksFamily(Family):
    """``OffBlocksSmartWallet``, deployed by a factory behind an ERC-1967 proxy."""

    name = "offblocks"

    @classmethod
    def creations(cls, operator: str) -> Sequence[Creation]:
        initialize = bytes.fromhex(encode_call("initialize(address)", operator)[2:])
        return [
            Creation("OffBlocksSmartWalletFactory", lambda _: b""),
            Creation("ERC1967Proxy", lambda implementation: encode(["address", "bytes"], [implementation, initialize])),
        ]

    def deploy(self, owner: str, account_id: str, challenge: bytes, number: int = 0) -> Sent:  # noqa: ARG002
        return Sent.of(self.factory, f"deploySmartWallet{_ARGUMENTS}", *self._arguments(owner, account_id, number))

    async def predict(self, owner: str, account_id: str, number: int = 0) -> str:
        arguments = self._arguments(owner, account_id, number)
        return address_of(await self.chain.call(self.factory, f"predictSmartWallet{_ARGUMENTS}", *arguments))

    def suspend(self, wallet: str) -> Sent | None:
        return Sent.of(wallet, "pause()")

    def resume(self, wallet: str) -> Sent | None:
        return Sent.of(wallet, "unpause()")

    def close(self, wallet: str, challenge: bytes, signature: bytes, tokens: Sequence[str]) -> Sent | None:
        return Sent.of(wallet, "lock(bytes,bytes,address[])", challenge, signature, tokens)

    async def state(self, wallet: str) -> State:
        return _STATES[int(await self.chain.call(wallet, "status()"), 16)]

    def _arguments(self, owner: str, account_id: str, number: int) -> tuple[str, str, str, int]:
        """The salt is the platform's own affair: the same each time, and nobody else sees an account in it."""
        salt = keccak(b"salt" + account_bytes(account_id) + bytes([number]))
        return owner, self.escrow, self.factory, int.from_bytes(salt, "big")
