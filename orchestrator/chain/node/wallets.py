"""What logs, code and storage say about one wallet: where it was deployed, by whom, and in which state it is. No reads.

Which sources there are, and what their answers mean, the wallet's profile says (``orchestrator.wallet``). Where two of
them differ on the state, that is a Disagreement, and both sides are named; where they differ on code, address or owner,
the findings show it, and ``lifecycle.decide`` says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.errors import ChainNonsense, Disagreement
from orchestrator.models import AccountId, Address, BlockRef, WalletState
from orchestrator.ports.chain import Deployment, Known, StateChange
from orchestrator.ports.index import Log
from orchestrator.wallet.findings import Created
from orchestrator.wallet.reading import Profile


def created_by(profile: Profile, factory: Address, log: Log) -> Created | None:
    """The wallet that the factory says in this log to have made; None of any other log."""
    if log.address != factory or log.topics[:1] != (profile.created_topic,):
        return None
    return profile.created(log)


def the_creation(
    profile: Profile, factory: Address, logs: Sequence[Log], account_id: AccountId, wallet: Address | None
) -> tuple[Log, Created] | None:
    """The one creation among the logs that were asked for: of the account, or of its wallet where the event does not
    name the account. None while there is none.

    Raises ChainNonsense for a log that was not asked for, Disagreement (``deployed_twice``) for two.
    """
    found = []
    for log in logs:
        created = created_by(profile, factory, log)
        asked = created is not None and (created.wallet == wallet if wallet else created.account == account_id)
        if created is None or not asked:
            raise ChainNonsense(
                f"the factory's logs: asked for the wallet of account {account_id} at factory {factory}, "
                f"got another log (transaction {log.tx_hash} of {log.address})"
            )
        found.append((log, created))
    if len(found) > 1:
        where = ", ".join(f"transaction {log.tx_hash} in block {log.block.number}" for log, _ in found[:4])
        raise Disagreement(
            f"expected one wallet made for account {account_id}, the chain has {len(found)}: {where}",
            code="deployed_twice",
        )
    return found[0] if found else None


def state_of(profile: Profile, logs: Sequence[Log]) -> StateChange | None:
    """The state that an account's logs end in, by their word alone; None where there are none, or the last one has no
    state that there is."""
    if not logs:
        return None
    changes = [log for log in logs if log.topics[0] == profile.state_topic]
    last = changes[-1] if changes else logs[0]
    told = profile.changed(last) if changes else None
    state = profile.initial if not changes else None if told is None else profile.state(told[1])
    return None if state is None else StateChange(state, last.block, last.tx_hash)


def last_change(
    profile: Profile, deployment: Deployment, logs: Sequence[Log], stored: int | None, head: BlockRef
) -> StateChange:
    """The last of the wallet's state events up to ``head``; its creation while there is none.

    Raises Disagreement unless the logs are one chain of changes (``state_logs_broken``) and end in the state that its
    storage has (``stored``; ``state_disagreement``). Raises ChainNonsense for logs of others.
    """
    wallet, state = deployment.wallet, profile.initial
    last = StateChange(state, deployment.block, deployment.tx_hash)
    for log in logs:
        if log.address != wallet or log.topics[:1] != (profile.state_topic,):
            raise ChainNonsense(f"the wallet's logs: asked for those of {wallet}, got one of {log.address}")
        if not deployment.block.number <= log.block.number <= head.number:
            raise ChainNonsense(
                f"the wallet's logs: expected blocks {deployment.block.number} to {head.number}, got {log.block.number}"
            )
        told = profile.changed(log)
        if told is None:
            raise ChainNonsense(f"the wallet's logs: that of transaction {log.tx_hash} has not the event's form")
        before, after = told
        known = profile.state(after)
        if known is None or (before is not None and profile.state(before) is not state):
            raise Disagreement(
                f"wallet {wallet}: the change in transaction {log.tx_hash} is from {before} to {after}, "
                f"after the logs before it the state was {state.value}",
                code="state_logs_broken",
            )
        state = known
        last = StateChange(state, log.block, log.tx_hash)
    if stored is not None and profile.state(stored) is not state:
        raise Disagreement(
            f"wallet {wallet}: its storage has the state {stored}, "
            f"its last event (transaction {last.tx_hash}) says {state.value}",
            code="state_disagreement",
        )
    return last


def stored_change(
    profile: Profile, deployment: Deployment, stored: int | None, known: Known, head: BlockRef
) -> StateChange:
    """The state of a wallet that has no event of it: since it is known to be that, else since the head: what was
    between the deployment and now, nobody tells. Raises Disagreement ``state_disagreement`` for a state that the
    profile does not name."""
    state = profile.state(stored) if stored is not None else WalletState.UNKNOWN
    if state is None:
        raise Disagreement(
            f"wallet {deployment.wallet}: its storage has the state {stored}, which the profile {deployment.profile} "
            "does not name",
            code="state_disagreement",
        )
    if known.change is not None and known.change.state is state:
        return known.change
    if deployment.block == head:
        return StateChange(state, head, deployment.tx_hash)
    return StateChange(state, head, None)
