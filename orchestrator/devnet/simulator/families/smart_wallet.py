"""This project's own wallet, deployed as it is or behind a clone or a proxy: the factories are called alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from ..chain import account_bytes, address_of, encode, keccak
from .family import ENTRY_POINT, Creation, Family, Sent, State

_DELETION: Final = 1
_STATES: Final = (State.CREATED, State.ACTIVE, State.INACTIVE, State.CLOSED)


class StatesOfSmartWallet(Family):
    """The part of a life that ``SmartWallet`` and the modular account have in common."""

    def activate(self, wallet: str, challenge: bytes, signature: bytes) -> Sent | None:
        return Sent.of(wallet, "activate(bytes,bytes)", challenge, signature)

    def suspend(self, wallet: str) -> Sent | None:
        return Sent.of(wallet, "deactivate()")

    def resume(self, wallet: str) -> Sent | None:
        return Sent.of(wallet, "reactivate()")

    def commit(self, wallet: str, challenge: bytes) -> Sent | None:
        return Sent.of(wallet, "commitChallenge(uint8,bytes32)", _DELETION, keccak(challenge))

    async def committed(self, wallet: str, challenge: bytes) -> bool:
        wanted = await self.chain.call(wallet, "computeCommitment(uint8,bytes32)", _DELETION, keccak(challenge))
        return await self.chain.call(wallet, "challengeCommitment(uint8)", _DELETION) == wanted

    def close(self, wallet: str, challenge: bytes, signature: bytes, tokens: Sequence[str]) -> Sent | None:
        return Sent.of(wallet, "close(bytes,bytes,address[])", challenge, signature, tokens)

    async def state(self, wallet: str) -> State:
        return _STATES[int(await self.chain.call(wallet, "state()"), 16)]


class SmartWalletFamily(StatesOfSmartWallet):
    """``SmartWallet``, deployed as it is."""

    name = "smart-wallet"
    factory_refuses_a_second = True
    registry_slot = 0
    artifact: ClassVar[str] = "SmartWalletFactory"

    @classmethod
    def creations(cls, operator: str) -> Sequence[Creation]:
        return [Creation(cls.artifact, lambda _: encode(["address", "address"], [operator, ENTRY_POINT]))]

    def deploy(self, owner: str, account_id: str, challenge: bytes, number: int = 0) -> Sent:  # noqa: ARG002
        return Sent.of(
            self.factory,
            "deploySmartWallet(address,address,bytes16,bytes32)",
            owner,
            self.escrow,
            account_bytes(account_id),
            keccak(challenge),
        )

    async def predict(self, owner: str, account_id: str, number: int = 0) -> str:  # noqa: ARG002
        signature = "predictSmartWallet(address,address,bytes16)"
        return address_of(await self.chain.call(self.factory, signature, owner, self.escrow, account_bytes(account_id)))


class CloneFamily(SmartWalletFamily):
    """``SmartWallet`` behind an ERC-1167 clone."""

    name = "smart-wallet-clone"
    artifact = "CloneWalletFactory"


class ProxyFamily(SmartWalletFamily):
    """``SmartWallet`` behind an ERC-1967 proxy without an admin."""

    name = "smart-wallet-proxy"
    upgradable_slot = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
    artifact = "ProxyWalletFactory"
