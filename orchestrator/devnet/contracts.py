"""Deploys the contracts of a devnet on a fresh Anvil: the factory, an escrow and a token."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.artifacts import load
from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.devnet.simulator.families import FAMILIES, Family
from orchestrator.errors import ChainError, SettingsError
from orchestrator.models import Address, to_address

DEFAULT_WALLET = "smart-wallet"
"""The family of a devnet's wallets where none is chosen."""
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
    wallet: str = DEFAULT_WALLET
    """The name of the family whose factory it is."""

    @property
    def family(self) -> type[Family]:
        """Raises SettingsError if there is none of that name."""
        return family_of(self.wallet)


def family_of(wallet: str) -> type[Family]:
    """The family of that name. Raises SettingsError."""
    if wallet not in FAMILIES:
        raise SettingsError(f"no family of wallets is named {wallet!r}; there are {', '.join(FAMILIES)}", code="usage")
    return FAMILIES[wallet]


def deploy_contracts(anvil: Anvil, wallet: str = DEFAULT_WALLET) -> Contracts:
    """The factory of the family ``wallet``, an escrow and a token.

    SIDE EFFECTS: three or four transactions, mined at once; no later reorganisation by ``anvil.control`` takes them.
    Raises ChainError if one fails, SettingsError if there is no such family."""
    previous = ""
    for creation in family_of(wallet).creations(OPERATOR.address):
        previous = _deploy(anvil, creation.artifact, creation.arguments(previous))
    made = Contracts(
        factory=to_address(previous),
        escrow=_deploy(anvil, "TestEscrow", b""),
        token=_deploy(anvil, "TestToken", b""),
        wallet=wallet,
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
