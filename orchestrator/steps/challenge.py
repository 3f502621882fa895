"""Fetches the challenge that the platform offers, and signs it with the customer's key if policy allows."""

from __future__ import annotations

import asyncio

from orchestrator.challenge.decode import Challenge
from orchestrator.challenge.policy import Expectation, SigningOperation, check
from orchestrator.errors import PolicyRefused
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Action, Halt, Wait
from orchestrator.lifecycle.fold import PURPOSE
from orchestrator.models import AccountStatus, OperationKind
from orchestrator.steps.observe import owner_of
from orchestrator.steps.submit import offered_challenge
from orchestrator.steps.world import Working


async def fetch_challenge(working: Working) -> Action | None:
    """Journals the challenge on offer, byte for byte. A signature of another one lapses by that."""
    op = working.op
    purpose = PURPOSE[op.kind]
    challenge = await offered_challenge(working)
    if challenge is None:
        return _nothing_offered(working)
    if challenge.digest in working.state.dead_digests:
        return _wait(working, "another challenge than the one whose signature it refused")
    news: list[e.Event] = []
    if op.signed is not None and op.signed.digest != challenge.digest:
        news.append(e.ChallengeLapsed(digest=op.signed.digest))
    news.append(
        e.ChallengeFetched(
            purpose=purpose, challenge=challenge.issued, kind=challenge.kind.value, digest=challenge.digest
        )
    )
    await working.record(*news)
    return None


def _nothing_offered(working: Working) -> Action:
    state, op = working.state, working.op
    if op.kind is OperationKind.CLOSE and state.status is AccountStatus.CLOSED:
        chain = state.wallet.state.value if state.wallet else "no wallet"
        return Halt(
            "closed_without_chain",
            f"the platform says closed and offers no deletion challenge, the chain says {chain}: a wallet closes only "
            "with its owner's signature, so the platform closed the account by itself and the contract is not disabled",
        )
    return _wait(working, "a deletion challenge" if op.kind is OperationKind.CLOSE else "a creation challenge")


def _wait(working: Working, what: str) -> Action:
    since = working.op.touched_at or working.op.started_at
    until = since + working.world.rules.patience
    if working.now() >= until:
        return Halt("overdue", f"waited since {since:%Y-%m-%dT%H:%M:%SZ} for the platform to offer {what}")
    return Wait(f"the platform to offer {what}", since, until)


async def sign(working: Working) -> Action | None:
    """SIDE EFFECTS: journals the signature before it goes anywhere. Raises KeyUnavailable, SigningError."""
    op = working.op
    if op.challenge is None or op.challenge_at is None:
        raise AssertionError("a challenge is fetched before it is signed")
    purpose = PURPOSE[op.kind]
    challenge = Challenge.parse(op.challenge.challenge)
    owner = owner_of(working)
    try:
        check(
            challenge,
            Expectation(
                account_id=working.account_id,
                operation=SigningOperation(purpose),
                signer=owner,
                now=working.now(),
                fetched_at=op.challenge_at,
                max_age=working.world.rules.challenge_life,
                clock_skew=working.world.rules.clock_skew,
                allowed_domains=frozenset(working.world.challenge_domains),
            ),
        )
    except PolicyRefused as refused:
        return Halt(refused.code, refused.message)
    signer = working.world.keyring.signer_for(owner.address)
    signature = await asyncio.to_thread(signer.sign_message, challenge.decoded)
    await working.record(
        e.ChallengeSigned(purpose=purpose, digest=challenge.digest, signer=str(owner), signature="0x" + signature.hex())
    )
    return None
