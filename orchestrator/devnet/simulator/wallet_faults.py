"""What a platform can do wrong with wallets on the chain, in ways that its API does not show.

Where no contract would lend itself to it, Anvil's own calls change the state.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from orchestrator.artifacts import load
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS

from .chain import Chain, account_bytes, address_of, keccak
from .families import Family

__all__ = ["another_factory", "confuse_register", "impossible", "upgrade"]

_SENDER: Final = DEV_ACCOUNTS[8].address
"""Neither the operator, whose nonces the platform counts, nor who has deployed the devnet's contracts."""


def impossible(kind: str, family: type[Family]) -> str | None:
    """Why wallets of this family cannot be done that wrong; None if they can."""
    if kind == "deploy_twice" and family.factory_refuses_a_second:
        return "its factory refuses a second wallet"
    if kind == "confuse_register" and family.registry_slot is None:
        return "its factory has no register of accounts"
    if kind == "upgrade_implementation" and family.upgradable_slot is None:
        return "no slot of its wallets names an implementation"
    return None


async def another_factory(family: Family) -> Family:
    """The family with a factory that is new, of the same code and the same operator."""
    factory = ""
    for creation in family.creations(family.chain.operator):
        data = load(creation.artifact).bytecode + creation.arguments(factory)
        transaction = {"from": _SENDER, "data": "0x" + data.hex(), "gas": hex(8_000_000)}
        receipt = await _mined(family.chain, str(await family.chain.rpc("eth_sendTransaction", transaction)))
        factory = address_of(receipt["contractAddress"])
    return type(family)(family.chain, factory, family.escrow)


async def confuse_register(family: Family, account_id: str) -> None:
    """Lets the factory's register name the escrow as the account's wallet."""
    if family.registry_slot is None:
        raise AssertionError("impossible, as the order of the fault has said")
    place = keccak(account_bytes(account_id) + bytes(16) + family.registry_slot.to_bytes(32, "big"))
    await _store(family.chain, family.factory, "0x" + place.hex(), family.escrow)


async def upgrade(family: Family, wallet: str) -> None:
    """Lets the wallet's proxy name another implementation: the same code at another address."""
    if family.upgradable_slot is None:
        raise AssertionError("impossible, as the order of the fault has said")
    place = f"0x{family.upgradable_slot:064x}"
    before = "0x" + str(await family.chain.rpc("eth_getStorageAt", wallet, place, "latest"))[-40:]
    code = await family.chain.rpc("eth_getCode", before, "latest")
    after = "0x" + keccak(bytes.fromhex(before[2:]))[-20:].hex()
    await family.chain.rpc("anvil_setCode", after, code)
    await _store(family.chain, wallet, place, after)


async def _store(chain: Chain, contract: str, place: str, address: str) -> None:
    await chain.rpc("anvil_setStorageAt", contract, place, "0x" + address[2:].rjust(64, "0"))
    await chain.rpc("anvil_mine", "0x1")  # what was put is in the state of the next block


async def _mined(chain: Chain, tx_hash: str) -> dict[str, Any]:
    while (receipt := await chain.receipt(tx_hash)) is None:  # noqa: ASYNC110  # only the node knows
        await asyncio.sleep(0.05)
    return receipt
