"""Deploys the contracts of a devnet on a fresh Anvil: the factory, an escrow and a token."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.artifacts import load
from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.errors import ChainError
from orchestrator.models import Address, to_address

ENTRY_POINT = to_address("0x0000000071727De22E5E9d8BAf0edAc6f37da032")
"""The canonical EntryPoint 0.7 (ERC-4337). The devnet has none: the wallets only name it."""

OPERATOR = DEV_ACCOUNTS[0]
"""The platform's own account: it deploys and operates wallets."""
OWNER = DEV_ACCOUNTS[1]
"""The customer's account: the owner of the wallets, whose key the keystore manages."""
DEPLOYER = DEV_ACCOUNTS[9]
"""Deploys the contracts below and nothing else, so that their addresses are the same on each devnet."""


@dataclass(frozen=True, slots=True)
class Contracts:
    """Addresses of a devnet's contracts."""

    factory: Address
    escrow: Address
    token: Address


def deploy_contracts(anvil: Anvil) -> Contracts:
    """SIDE EFFECTS: three transactions, mined at once; no later reorganisation by ``anvil.control`` takes them.
    Raises ChainError if one fails."""
    from eth_abi.abi import encode

    arguments = encode(["address", "address"], [OPERATOR.address, ENTRY_POINT])
    made = Contracts(
        factory=_deploy(anvil, "SmartWalletFactory", arguments),
        escrow=_deploy(anvil, "TestEscrow", b""),
        token=_deploy(anvil, "TestToken", b""),
    )
    anvil.control.contracts = (made.factory, made.escrow, made.token)
    return made


def _deploy(anvil: Anvil, name: str, arguments: bytes) -> Address:
    data = "0x" + (load(name).bytecode + arguments).hex()
    transaction = anvil.rpc_sync("eth_sendTransaction", {"from": DEPLOYER.address, "data": data, "gas": hex(8_000_000)})
    anvil.rpc_sync("anvil_mine", "0x1")
    receipt = anvil.receipt_sync(transaction)
    if receipt["status"] != "0x1":
        raise ChainError(f"the devnet could not deploy {name}: receipt {receipt}", code="devnet_deployment")
    return to_address(receipt["contractAddress"])
