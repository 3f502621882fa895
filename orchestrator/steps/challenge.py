"""Fetches the challenge that the platform offers."""

from __future__ import annotations

from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Action, Halt, Wait
from orchestrator.lifecycle.fold import PURPOSE
from orchestrator.lifecycle.recorded import Event
from orchestrator.models import AccountStatus, OperationKind
from orchestrator.session import AccountSession
from orchestrator.steps.submit import offered_challenge


async def fetch_challenge(session: AccountSession) -> Action | None:
    """Journals the challenge on offer, byte for byte. A signature of another one lapses by that."""
    op = session.op
    purpose = PURPOSE[op.kind]
    challenge = await offered_challenge(session)
    if challenge is None:
        return _nothing_offered(session)
    if challenge.digest in session.state.dead_digests:
        return _wait(session, "another challenge than the one whose signature it refused")
    news: list[Event] = []
    live = op.signed or op.intended
    if live is not None and live.digest != challenge.digest:
        news.append(e.ChallengeLapsed(digest=live.digest))
    news.append(
        e.ChallengeFetched(
            purpose=purpose, challenge=challenge.issued, kind=challenge.kind.value, digest=challenge.digest
        )
    )
    await session.record(*news)
    return None


def _nothing_offered(session: AccountSession) -> Action:
    state, op = session.state, session.op
    if op.kind is OperationKind.CLOSE and state.status is AccountStatus.CLOSED:
        chain = state.wallet.state.value if state.wallet else "no wallet"
        return Halt(
            "closed_without_chain",
            f"the platform says closed and offers no deletion challenge, the chain says {chain}: a wallet closes only "
            "with its owner's signature, so the platform closed the account by itself and the contract is not disabled",
        )
    return _wait(session, "a deletion challenge" if op.kind is OperationKind.CLOSE else "a creation challenge")


def _wait(session: AccountSession, what: str) -> Action:
    since = session.op.touched_at or session.op.started_at
    until = since + session.services.parameters.patience
    if session.now() >= until:
        return Halt("overdue", f"waited since {since:%Y-%m-%dT%H:%M:%SZ} for the platform to offer {what}")
    return Wait(f"the platform to offer {what}", since, until)
