"""The two ends of a closure: what is left before it (preflight), and the proof after it."""

from __future__ import annotations

from orchestrator.challenge.decode import Challenge
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Action
from orchestrator.models import AccountStatus, Address, ChainId
from orchestrator.steps.world import Working


async def preflight(working: Working) -> Action | None:
    """Journals the money and the cards that are left. Reads only.

    Of an account that still awaits its creation signature, the creation challenge is journaled too, so that it can
    never be taken for the deletion challenge.
    """
    world, deployed = working.world, working.state.deployed
    world.certifier.ready()
    news: list[e.Event] = []
    if working.state.status is AccountStatus.INITIATING:
        issued = await world.platform.challenge(working.account_id)
        if issued is not None:
            challenge = Challenge.parse(issued)
            news.append(
                e.ChallengeFetched(
                    purpose="creation", challenge=issued, kind=challenge.kind.value, digest=challenge.digest
                )
            )
    wei, tokens = 0, {}
    if deployed is not None:
        holdings = await world.chain.holdings(Address(deployed.wallet), world.tokens)
        wei = int(holdings.wei)
        tokens = {balance.token: str(balance.amount) for balance in holdings.tokens}
    cards = {card.id: card.status for card in await world.platform.cards(working.account_id)}
    await working.record(*news, e.PreflightTaken(wei=str(wei), tokens=tokens, cards=cards))
    return None


async def prove(working: Working) -> Action | None:
    """Proves state and code of the closed wallet at the finalized block and keeps the certificate.

    SIDE EFFECTS: stores the certificate in the journal's database and writes its file, then journals the proof.
    """
    world, deployed = working.world, working.state.deployed
    if deployed is None:
        raise AssertionError("a wallet is seen closed before its closure is proven")
    wallet = Address(deployed.wallet)
    proven = await world.chain.prove(wallet, world.certifier.proven_slots)
    certificate = world.certifier.certify(
        chain=ChainId.parse(deployed.chain_id),
        account=await world.platform.account(working.account_id),
        view=await world.chain.view(working.account_id),
        proven=proven,
        left=await world.chain.holdings(wallet, world.tokens),
        cards=await world.platform.cards(working.account_id),
    )
    sha256 = await world.journal.keep_certificate(working.account_id, certificate)
    path = world.certifier.write(working.account_id, certificate)
    await working.record(
        e.ClosureProven(
            claim="state_proven",
            block=e.BlockFact(number=proven.block.number, hash=proven.block.hash),
            code_hash=deployed.code_hash,
            certificate_sha256=sha256,
            certificate=path,
        )
    )
    return None
