"""Whose contract it is: what ties a proven account on a chain to an account of the platform. Pure.

Recomputed here: that the code is a released wallet's (immutables masked), that factory, owner, account and init code
give its address (EIP-1014), that its owner is the customer's wallet, that its storage says closed. As reported only:
the platform's record, and the two transactions (``chain.node.canonical`` asks nodes about the closing one).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.artifacts import Artifact
from orchestrator.closure.certificate.report import Checklist, Failed
from orchestrator.errors import UnsupportedChain
from orchestrator.models import AccountId, BlockRef, ChainAccount
from orchestrator.wallet.contract import CLOSED_SLOTS, Immutables, wallet_address, wallet_immutables, wallet_salt
from orchestrator.wallet.releases import masked_hash, recognise, released


class Attribution:
    """The checks of an account section; of a version 1 certificate, whose members stand at the top."""

    def __init__(self, account: Mapping[str, Any], chain_id: str, address: str, code: bytes) -> None:
        self._account = account
        self._chain_id = chain_id
        self._address = address
        self._code = code
        self._artifact: Artifact | None = None
        self._values: Immutables | None = None

    def run(self, checks: Checklist, block: BlockRef | None, slots: Mapping[int, int] | None) -> None:
        """``block`` and ``slots`` are the proven ones; None if there are none."""
        code = checks.check("wallet_code", self._check_code)
        checks.check("deployment", self._check_deployment, code)
        if "owner" in self._account["platform"]:
            checks.check("owner", self._check_owner, code)
        checks.check("create2_address", self._check_create2, code)
        if slots is not None:
            checks.check("closed_state", lambda: _check_closed(slots), code)
        checks.check("account_record", lambda: check_record(self._account, block), block is not None)
        checks.skip("closing_transaction", "as reported by a node when this was made; --rpc-url asks one again")

    def _check_code(self) -> str:
        artifact = recognise(self._code)
        if artifact is None:
            raise Failed(f"the code, with immutables masked, is none of the {len(released())} released wallets'")
        stated = self._account.get("contract")
        if stated is not None and stated != contract(artifact):
            raise Failed(f"the code is {artifact.name} {masked_hash(artifact)}, the certificate says otherwise")
        self._artifact, self._values = artifact, wallet_immutables(artifact, self._code)
        if self._values is None:
            raise Failed(f"the code, with immutables masked, is not that of {artifact.name}")
        return f"{artifact.name} {masked_hash(artifact)[:18]}…, immutables masked"

    def _check_deployment(self) -> str:
        assert self._values is not None
        stated = self._account["deployment"]
        for name, actual in named(self._values).items():
            if stated[name] != actual:
                raise Failed(f"the certificate says {name} {stated[name]}, the code has {actual}")
        return f"owner {self._values.owner}, factory {self._values.factory}, as in the code"

    def _check_owner(self) -> str:
        assert self._values is not None
        stated = self._account["platform"]["owner"]
        try:
            owner = ChainAccount.parse(stated)
        except UnsupportedChain as error:
            raise Failed(error.message) from error
        if str(owner.chain) != self._chain_id or owner.address != self._values.owner:
            raise Failed(
                f"the customer's wallet is {stated}, the code has the owner {self._chain_id}:{self._values.owner}"
            )
        return f"the code's owner is the customer's wallet {stated} (as the platform reports it)"

    def _check_create2(self) -> str:
        assert self._values is not None
        assert self._artifact is not None
        account = AccountId(self._account["platform"]["accountId"])
        salt = "0x" + wallet_salt(self._values.owner, account).hex()
        if self._account["deployment"]["salt"] != salt:
            raise Failed(f"the salt of owner and account is {salt}, got {self._account['deployment']['salt']}")
        address = wallet_address(self._artifact, self._values, account)
        if address != self._address:
            raise Failed(f"account {account} has its wallet at {address}, the certificate is for another address")
        return f"the wallet of account {account}: factory, owner, account and init code give this address (EIP-1014)"


def check_record(account: Mapping[str, Any], block: BlockRef | None) -> str:
    """Deployment, closing and proof are in this order. Raises Failed."""
    assert block is not None
    deployed, closed = account["deployment"]["block"]["number"], account["closing"]["block"]
    if not deployed <= closed["number"] <= block.number:
        raise Failed(
            f"expected deployment, closing and proof in this order, got the blocks {deployed}, "
            f"{closed['number']}, {block.number}"
        )
    if closed["number"] == block.number and closed["hash"] != block.hash:
        raise Failed(f"block {block.number} has two hashes: {closed['hash']} and {block.hash}")
    return f"closed in block {closed['number']}, proven at block {block.number}; platform: closed (as reported)"


def contract(artifact: Artifact) -> dict[str, str]:
    """How a certificate names the contract that the wallet is."""
    return {"name": artifact.name, "maskedCodeHash": masked_hash(artifact)}


def named(values: Immutables) -> dict[str, str]:
    """A wallet's immutables by the names of the certificate."""
    return {
        "owner": values.owner,
        "operator": values.operator,
        "escrow": values.escrow,
        "entryPoint": values.entry_point,
        "factory": values.factory,
    }


def _check_closed(slots: Mapping[int, int]) -> str:
    """Of a released wallet: those of its slots that were proven are as closing leaves them; the state is one."""
    shown = []
    for slot, value, meaning in CLOSED_SLOTS:
        if slot not in slots and slot != 0:
            continue
        if slots.get(slot) != value:
            proven = "not proven" if slot not in slots else f"{slots[slot]:#x}"
            raise Failed(f"slot {slot}: expected {value:#x} ({meaning}), proven is {proven}")
        shown.append(meaning)
    return "proven storage is that of a closed wallet: " + "; ".join(shown)
