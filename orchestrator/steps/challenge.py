"""Fetches the challenge that is to be signed.

The one that came with the account's creation is used while there is time left to sign and submit it. The platform is
asked for another only when that is going to be signed, because asking invalidates every one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from orchestrator.challenge.decode import Challenge
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Action, Halt, Wait
from orchestrator.lifecycle.fold import PURPOSE
from orchestrator.lifecycle.recorded import Event, Recorded
from orchestrator.models import AccountStatus, OperationKind
from orchestrator.ports.journal import Journal
from orchestrator.session import AccountSession

TO_SIGN_AND_SUBMIT: Final = timedelta(minutes=2)
"""What a challenge that is taken must have left of its life: 10 s for a remote signer, and a submission that is
repeated twice with 30 s for each answer. One that ends on the way costs a signature, and another is asked for then."""


async def fetch_challenge(session: AccountSession) -> Action | None:
    """Journals a challenge, byte for byte. A signature of another one lapses by that, as does one that was intended."""
    op, state = session.op, session.state
    if op.kind is OperationKind.CLOSE and state.status is AccountStatus.INITIATING:
        # Nothing is deployed that could end, and a challenge offered now might be the one that deploys.
        return _wait(session, "the platform to close the account, which has no contract yet")
    created = await _from_creation(session)
    if created is not None:
        await _record(session, *created)
        return None
    return await ask_for_challenge(session)


async def ask_for_challenge(session: AccountSession, *also: Event) -> Action | None:
    """Asks the platform for a challenge that is signed next, and journals it after ``also``; what is to be done where
    none is offered. SIDE EFFECTS: every challenge of the account before it is dead."""
    op, state = session.op, session.state
    issued = await session.services.platform.challenge(session.account_id)
    challenge = Challenge.parse(issued) if issued is not None else None
    # A creation challenge that is still offered is never signed for a closure: it would deploy, not close.
    if challenge is None or (op.kind is OperationKind.CLOSE and challenge.digest in state.digests):
        return _nothing_offered(session)
    if challenge.digest in state.dead_digests:
        return _wait(session, "the platform to offer another challenge than the one whose signature it refused")
    await _record(session, challenge, None, *also)
    return None


async def unsigned_of_creation(
    journal: Journal, account_id: str, now: datetime, life: timedelta, skew: timedelta
) -> tuple[Challenge, datetime] | None:
    """The challenge that came with the account's creation here, and since when it may have lived; None where there is
    none, or less of its ``life`` is left than ``TO_SIGN_AND_SUBMIT`` (than half of it, where that is shorter: another
    one would hardly have more). Reads only."""
    stream = (await journal.creation_streams(account_id)).get(account_id)
    found = _answered(await journal.read(stream)) if stream is not None else None
    if found is None or not -skew <= now - found[1] < life - min(TO_SIGN_AND_SUBMIT, life / 2):
        return None
    return Challenge.parse(found[0]), found[1]


def _answered(recorded: Sequence[Recorded]) -> tuple[str, datetime] | None:
    """The challenge in the answer to a creation. It may have lived since the first request under the answered key,
    because a repeat gets the answer that was stored for that one."""
    since: dict[str, datetime] = {}
    key = ""
    for item in recorded:
        match item.event:
            case e.CreationIntended():
                key = item.event.key
                since.setdefault(key, item.at)
            case e.CreationAnswered(challenge=str(challenge)):
                return challenge, since.get(key, item.at)
            case _:
                pass
    return None


async def _from_creation(session: AccountSession) -> tuple[Challenge, datetime] | None:
    """The challenge of the creation, if it is fresh and no other was asked for since."""
    op, state, services = session.op, session.state, session.services
    if op.kind is not OperationKind.ACTIVATE or state.digests:
        return None
    allowed = timedelta(seconds=services.ruleset.policy.challenge.max_age)
    life = min(services.parameters.challenge_life, allowed)
    return await unsigned_of_creation(
        services.journal, session.account_id, session.now(), life, services.parameters.clock_skew
    )


async def _record(session: AccountSession, challenge: Challenge, issued_at: datetime | None, *also: Event) -> None:
    op = session.op
    news: list[Event] = [*also]
    live = op.signed or op.intended
    if live is not None and live.digest != challenge.digest:
        news.append(e.ChallengeLapsed(digest=live.digest))
    news.append(
        e.ChallengeFetched(
            purpose=PURPOSE[op.kind],
            challenge=challenge.issued,
            kind=challenge.kind.value,
            digest=challenge.digest,
            issued_at=issued_at,
        )
    )
    await session.record(*news)


def _nothing_offered(session: AccountSession) -> Action:
    state, op = session.state, session.op
    if op.kind is OperationKind.CLOSE and state.status is AccountStatus.CLOSED:
        chain = state.wallet.state.value if state.wallet else "no wallet"
        return Halt(
            "closed_without_chain",
            f"the platform says closed and offers no deletion challenge, the chain says {chain}: a wallet closes only "
            "with its owner's signature, so the platform closed the account by itself and the contract is not disabled",
        )
    what = "a deletion challenge" if op.kind is OperationKind.CLOSE else "a creation challenge"
    return _wait(session, f"the platform to offer {what}")


def _wait(session: AccountSession, what: str) -> Action:
    since = session.op.touched_at or session.op.started_at
    until = since + session.services.parameters.patience
    if session.now() >= until:
        return Halt("overdue", f"waited since {since:%Y-%m-%dT%H:%M:%SZ} for {what}")
    return Wait(what, since, until)
