"""Wallets of all families on one chain, for tests of the library."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.devnet.contracts import deploy_contracts
from orchestrator.models import ChainAccount
from tests.safe import install

LIVES = ["offblocks", "smart-wallet-clone", "smart-wallet-proxy", "modular"]


def deployed_on(anvil):
    """The contracts of each family by its name, and Safe's."""
    made = {name: deploy_contracts(anvil, name) for name in LIVES}
    return made | {"safe": replace(made["offblocks"], factory=install(anvil), wallet="safe")}


def of(*names):
    return pytest.mark.parametrize("contracts", names, indirect=True)


async def activated(orchestrator, devnet):
    account = await orchestrator.create_account(devnet.programme.customer_id, "EUR")
    report = await orchestrator.activate(account.account_id, timeout=60)
    assert (report.outcome, report.status, report.error) == ("done", "active", None)
    return account.account_id, ChainAccount.parse(report.address).address


async def sent(devnet, sender, to, data):
    """The receipt of a transaction; without ``to`` it deploys a contract."""
    call = {"from": sender.address, "data": data, "gas": hex(3_000_000)} | ({"to": to} if to else {})
    receipt = await devnet.anvil.rpc("eth_getTransactionReceipt", await devnet.anvil.rpc("eth_sendTransaction", call))
    assert receipt["status"] == "0x1"
    return receipt


async def events(orchestrator, account, kind):
    return [one.event for one in await orchestrator.journal.read(account) if one.event.type == kind]
