"""The two ends of a closure: what is left before it (preflight), and the proof after it."""

from __future__ import annotations

from orchestrator.authorization.gate import certificate_wait
from orchestrator.errors import ChainUnreachable
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import Action, Halt
from orchestrator.models import Address
from orchestrator.ports.chain import Examined
from orchestrator.session import AccountSession
from orchestrator.steps.observe import owner_of


async def preflight(session: AccountSession) -> Action | None:
    """Journals the money and the cards that are left, and which tokens could not be listed or read. Reads only."""
    services, deployed = session.services, session.state.deployed
    services.certifier.ready()
    wei, tokens, unlisted, unreadable = 0, {}, None, {}
    if deployed is not None:
        holdings = await services.chain.holdings(Address(deployed.wallet), services.tokens)
        wei = int(holdings.wei)
        tokens = {balance.token: str(balance.amount) for balance in holdings.tokens}
        unlisted = holdings.incomplete
        unreadable = {one.token: one.reason for one in holdings.unreadable}
    found = await services.platform.cards(session.account_id)
    cards = {card.id: card.status for card in found if card.ends_with_account}
    taken = e.PreflightTaken(wei=str(wei), tokens=tokens, cards=cards, unlisted=unlisted, unreadable=unreadable)
    await session.record(taken)
    return None


async def prove(session: AccountSession) -> Action | None:
    """Proves at the finalized block that no call can ever change the closed wallet, and keeps the certificate.

    Any other verdict than ``irreversible`` is for an operator to decide. Raises ChainUnreachable while the node is in
    trouble or behind. SIDE EFFECTS: stores the certificate in the journal's database and writes its file, then
    journals the proof.
    """
    services, deployed, seen = session.services, session.state.deployed, session.state.wallet
    if deployed is None or seen is None:
        raise AssertionError("a wallet is seen closed before its closure is proven")
    stop = await certificate_wait(services, deployed.chain_id)
    if stop is not None:
        return stop
    wallet = Address(deployed.wallet)
    examined = await services.prover.examine(wallet)
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
    account = await services.platform.account(session.account_id)
    view = await services.chain.view(session.account_id, session.known)
    left = await services.chain.holdings(wallet, services.tokens)
    cards = await services.platform.cards(session.account_id)
    async with services.journal.in_flight():
        stop = await certificate_wait(services, deployed.chain_id)  # again, because the proof took its time
        if stop is not None:
            return stop
        certificate = services.certifier.certify(
            account=account, owner=owner_of(session), view=view, examined=examined, left=left, cards=cards
        )
    sha256 = await services.journal.keep_certificate(session.account_id, certificate)
    path = services.certifier.write(session.account_id, certificate)
    await session.record(
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
            signed_by=services.certifier.key,
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
