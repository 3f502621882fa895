"""What logs, code and storage say about one wallet: where it was deployed, by whom, and in which state it is. No reads.

Sources are the factory's event ``SmartWalletCreated``, the wallet's ``StateChanged``, its code and its storage slot 0.
Where two of them differ, that is a Disagreement, and both sides are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from orchestrator.artifacts import Artifact
from orchestrator.chain.node import parse
from orchestrator.errors import ChainNonsense, Disagreement
from orchestrator.models import AccountId, Address, BlockRef, WalletState
from orchestrator.ports.chain import Deployment, StateChange
from orchestrator.ports.index import Log
from orchestrator.wallet.contract import Immutables, account_word, wallet_address, wallet_immutables

ZERO_ADDRESS: Final = Address("0x" + "0" * 40)
CREATED_TOPIC: Final = keccak(b"SmartWalletCreated(address,address,bytes16,address,bytes32,bytes32)")
STATE_TOPIC: Final = keccak(b"StateChanged(uint8,uint8)")


@dataclass(frozen=True, slots=True)
class WalletFactory:
    """A factory at ``address``, and the contract of the wallets that it makes."""

    address: Address
    artifact: Artifact

    def created(self, logs: Sequence[Log], account_id: AccountId) -> Log | None:
        """The account's ``SmartWalletCreated`` among the logs that were asked for; None while there is no wallet.

        Raises ChainNonsense for a log that was not asked for, Disagreement (``deployed_twice``) for two.
        """
        for log in logs:
            if (
                log.address != self.address
                or len(log.topics) != 4
                or log.topics[0] != CREATED_TOPIC
                or log.topics[3] != account_word(account_id)
                or len(log.data) != 96
            ):
                raise ChainNonsense(
                    f"SmartWalletCreated logs: asked for account {account_id} at factory {self.address}, "
                    f"got another log (transaction {log.tx_hash} of {log.address})"
                )
        if len(logs) > 1:
            where = ", ".join(f"transaction {log.tx_hash} in block {log.block.number}" for log in logs[:4])
            raise Disagreement(
                f"expected one SmartWalletCreated for account {account_id}, the chain has {len(logs)}: {where}",
                code="deployed_twice",
            )
        return logs[0] if logs else None

    def deployment(self, account_id: AccountId, wallet: Address, log: Log, code: bytes) -> Deployment:
        """The deployment that ``created`` found, with the code that is at the wallet's address now.

        Raises Disagreement (``wrong_factory``, ``wrong_escrow``), ChainNonsense.
        """
        event_owner = parse.word_address(log.topics[2], "SmartWalletCreated.owner")
        event_escrow = parse.word_address(log.data[:32], "SmartWalletCreated.escrow")
        values = wallet_immutables(self.artifact, code)
        if values is not None:
            for name, expected, actual in (
                ("factory", self.address, values.factory),
                ("escrow", event_escrow, values.escrow),
            ):
                if expected != actual:
                    raise Disagreement(
                        f"wallet {wallet}: expected the {name} {expected}, its code has {actual}",
                        code=f"wrong_{name}",
                    )
        known = values or Immutables(ZERO_ADDRESS, ZERO_ADDRESS, event_escrow, ZERO_ADDRESS, self.address)
        return Deployment(
            wallet=wallet,
            owner=known.owner,
            block=log.block,
            tx_hash=log.tx_hash,
            create2=wallet_address(self.artifact, known, account_id),
            event_owner=event_owner,
            code_matches=values is not None,
            code_hash="0x" + keccak(code).hex(),
            challenge_hash="0x" + log.data[64:].hex(),
        )


def state_of(logs: Sequence[Log]) -> StateChange | None:
    """The state that an account's logs end in, by their word alone; None where there are none, or the last one has no
    state that there is."""
    if not logs:
        return None
    changes = [log for log in logs if log.topics[0] == STATE_TOPIC]
    last = changes[-1] if changes else logs[0]
    number = int.from_bytes(last.topics[2], "big") if changes else 0
    return StateChange(WalletState.from_number(number), last.block, last.tx_hash) if number <= 3 else None


def last_change(deployment: Deployment, logs: Sequence[Log], stored: int, head: BlockRef) -> StateChange:
    """The last of the wallet's ``StateChanged`` logs up to ``head``; its creation while there is none.

    Raises Disagreement unless the logs are one chain of changes from Created (``state_logs_broken``) and end in the
    state that its storage has (``stored``; ``state_disagreement``). Raises ChainNonsense for logs of others.
    """
    wallet = deployment.wallet
    state = 0
    last = StateChange(WalletState.CREATED, deployment.block, deployment.tx_hash)
    for log in logs:
        if log.address != wallet or len(log.topics) != 3 or log.topics[0] != STATE_TOPIC:
            raise ChainNonsense(f"StateChanged logs: asked for those of {wallet}, got one of {log.address}")
        if not deployment.block.number <= log.block.number <= head.number:
            raise ChainNonsense(
                f"StateChanged logs: expected blocks {deployment.block.number} to {head.number}, got {log.block.number}"
            )
        before, after = (int.from_bytes(topic, "big") for topic in log.topics[1:])
        if before != state or after > 3:
            raise Disagreement(
                f"wallet {wallet}: the change in transaction {log.tx_hash} is from {before} to {after}, "
                f"after the logs before it the state was {state}",
                code="state_logs_broken",
            )
        state = after
        last = StateChange(WalletState.from_number(after), log.block, log.tx_hash)
    if stored != state:
        raise Disagreement(
            f"wallet {wallet}: its storage has the state {stored}, "
            f"its last StateChanged log (transaction {last.tx_hash}) says {state} ({last.state.value})",
            code="state_disagreement",
        )
    return last
