"""The two ends of a closure: what is left before it (preflight), and the proof after it."""

from __future__ import annotations

from orchestrator.challenge.decode import Challenge
from orchestrator.errors import ChainUnreachable
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Action, Halt
from orchestrator.lifecycle.recorded import Event
from orchestrator.models import AccountStatus, Address
from orchestrator.ports.chain import Examined
from orchestrator.steps.gate import certificate_wait
from orchestrator.steps.observe import owner_of
from orchestrator.steps.world import Working


async def preflight(working: Working) -> Action | None:
    """Journals the money and the cards that are left. Reads only.

    Of an account that still awaits its creation signature, the creation challenge is journaled too, so that it can
    never be taken for the deletion challenge.
    """
    world, deployed = working.world, working.state.deployed
    world.certifier.ready()
    news: list[Event] = []
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
    """Proves at the finalized block that no call can ever change the closed wallet, and keeps the certificate.

    Any other verdict than ``irreversible`` is an operator's matter. Raises ChainUnreachable while the node is in
    trouble or behind. SIDE EFFECTS: stores the certificate in the journal's database and writes its file, then
    journals the proof.
    """
    world, deployed, seen = working.world, working.state.deployed, working.state.wallet
    if deployed is None or seen is None:
        raise AssertionError("a wallet is seen closed before its closure is proven")
    stop = await certificate_wait(world, deployed.chain_id)
    if stop is not None:
        return stop
    wallet = Address(deployed.wallet)
    examined = await world.prover.examine(wallet)
    if examined.transient:
        raise ChainUnreachable(f"proving the closure: {examined.detail}", code=examined.reason)
    if examined.block is not None and examined.block.number < seen.block.number:
        raise ChainUnreachable(
            f"the node is behind: its finalized block is {examined.block.number}, the wallet closed in block "
            f"{seen.block.number}, which was final before",
            code="chain_behind",
        )
    if examined.verdict != "irreversible" or examined.block is None or examined.code_hash is None:
        return Halt("closure_not_proven", not_proven(wallet, examined))
    account = await world.platform.account(working.account_id)
    view = await world.chain.view(working.account_id)
    left = await world.chain.holdings(wallet, world.tokens)
    cards = await world.platform.cards(working.account_id)
    async with world.journal.in_flight():
        stop = await certificate_wait(world, deployed.chain_id)  # again, because the proof took its time
        if stop is not None:
            return stop
        certificate = world.certifier.certify(
            account=account, owner=owner_of(working), view=view, examined=examined, left=left, cards=cards
        )
    sha256 = await world.journal.keep_certificate(working.account_id, certificate)
    path = world.certifier.write(working.account_id, certificate)
    await working.record(
        e.ClosureProven(
            claim="irreversible",
            verdict="irreversible",
            reason=examined.reason,
            analysis="inert",
            states=examined.states,
            steps=examined.steps,
            chain_id=deployed.chain_id,
            address=wallet,
            block=e.BlockFact(number=examined.block.number, hash=examined.block.hash),
            code_hash=examined.code_hash,
            certificate_sha256=sha256,
            certificate=path,
            signed_by=world.certifier.key,
        )
    )
    return None


def not_proven(wallet: Address, examined: Examined) -> str:
    """The message of ``closure_not_proven``: expected, actual, and the witness."""
    where = "" if examined.block is None else f" at block {examined.block.number}"
    return (
        f"{wallet}{where}: expected the verdict irreversible, got {examined.verdict} ({examined.analysis}, "
        f"{examined.reason}): {examined.detail}"
    )
