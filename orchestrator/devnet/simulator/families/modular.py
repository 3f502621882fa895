"""The modular account (ERC-7579): the states of ``SmartWallet``, and a factory that keeps no register."""

from __future__ import annotations

from collections.abc import Sequence

from ..chain import account_bytes, address_of, encode, keccak
from .family import ENTRY_POINT, Creation, Sent
from .smart_wallet import StatesOfSmartWallet


class ModularFamily(StatesOfSmartWallet):
    """``ModularWallet``. The platform installs no module: that is the owner's affair."""

    name = "modular"

    @classmethod
    def creations(cls, operator: str) -> Sequence[Creation]:
        return [Creation("ModularWalletFactory", lambda _: encode(["address", "address"], [operator, ENTRY_POINT]))]

    def deploy(self, owner: str, account_id: str, challenge: bytes, number: int = 0) -> Sent:
        return Sent.of(
            self.factory,
            "deployModularWallet(address,bytes16,bytes32,bytes32)",
            owner,
            account_bytes(account_id),
            _salt(account_id, number),
            keccak(challenge),
        )

    async def predict(self, owner: str, account_id: str, number: int = 0) -> str:
        signature = "predictModularWallet(address,bytes32)"
        return address_of(await self.chain.call(self.factory, signature, owner, _salt(account_id, number)))


def _salt(account_id: str, number: int) -> bytes:
    return keccak(account_bytes(account_id) + bytes([number]))
