"""Reads both sides back, the chain first and then the platform, and journals what is new.

The order matters: the platform's word is then never older than the chain's, so that "active there, nothing here" can
only mean that the chain is to be waited for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from orchestrator.authorization.gate import reading_in_force
from orchestrator.errors import ChainUnreachable, SettingsError
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.fold import PURPOSE
from orchestrator.lifecycle.recorded import Event
from orchestrator.models import (
    AccountStatus,
    BlockRef,
    ChainAccount,
    ChainId,
    OperationKind,
    WalletState,
)
from orchestrator.ports.chain import ChainView, Known
from orchestrator.ports.platform import PlatformAccount
from orchestrator.session import AccountSession, claim_of

_LATER = 3
"""How often the chain is read anew because the platform says something else meanwhile."""


async def observe(session: AccountSession, *, read_chain: bool = False) -> None:
    """``read_chain``: the chain itself is read, even where its index has nothing new. SIDE EFFECTS: journals changed
    facts, those taken back by a reorg included.

    Raises SettingsError ``wrong_chain`` if the node serves another chain than the customer's wallet is on, and
    MalformedAnswer for an account that is odd.
    """
    chain = session.services.chain
    depth, in_force = await reading_in_force(session.services)
    chain_id = await chain.chain_id()
    known = session.known
    view: ChainView | None = None
    if in_force:  # what another wallet profile than the one in force would say is nobody's business
        view = await (chain.view(session.account_id, known) if read_chain else _chain_view(session, known, depth))
    platform = await _platform_word(session, chain_id)
    if in_force and view is None and session.state.deployed is None and platform.status is AccountStatus.CLOSED:
        view = await chain.view(session.account_id, known)  # that there is no wallet decides now
    for _ in range(_LATER):
        later = _read_later(session, platform, known) if in_force else None
        if later is None:
            break
        view = await chain.view(session.account_id, later)
        said, platform = platform, await _platform_word(session, chain_id)
        if (platform.status, platform.wallet) == (said.status, said.wallet):
            break
    if view is not None and not view.factory_exists:
        raise SettingsError(
            f"wrong factory: {chain_id} has no contract at the address in ORCHESTRATOR_FACTORY, so no wallet can ever "
            "be seen to be deployed by it",
            code="wrong_factory",
        )
    if view is not None:
        await _withdraw_reorged(session, view)
        _require_the_wallet(session, view)
    news: list[Event] = [platform] if platform != session.state.platform else []
    session.confirmations, session.chain_read = depth if in_force else None, view is not None
    if view is not None:
        news += _chain_news(session, view, chain_id, depth)
    if news:
        await session.record(*news)
    await _notice_no_effect(session)


async def _platform_word(session: AccountSession, chain_id: ChainId) -> e.PlatformObserved:
    """What the platform says now. An old answer is a replica's that lags, unless it is given twice: then it is the
    truth, whatever its time. Raises SettingsError ``wrong_chain``."""
    account = await session.services.platform.account(session.account_id)
    customer = await session.services.customer(account.customer_id)
    if customer.wallet.chain != chain_id:
        raise SettingsError(
            f"wrong chain: customer {customer.id} has its wallet on {customer.wallet.chain}, the node at "
            f"ORCHESTRATOR_RPC_URL serves {chain_id}",
            code="wrong_chain",
        )
    said, before = _platform_observation(account, str(customer.wallet)), session.state.platform
    if before is None or not _older(said, before, session):
        return said
    again = _platform_observation(await session.services.platform.account(session.account_id), str(customer.wallet))
    return again if again == said or not _older(again, before, session) else before


def _require_the_wallet(session: AccountSession, view: ChainView) -> None:
    """A wallet that was there is there: no source may lose it. Raises ChainUnreachable ``wallet_vanished`` (retry): a
    node or a platform that lags looks the same for a while."""
    deployed = session.state.deployed
    if deployed is not None and view.deployment is None:
        raise ChainUnreachable(
            f"the wallet {deployed.wallet} was found in block {deployed.block.number}, which is still canonical, and "
            f"at block {view.head.number} no source names a wallet of this account",
            code="wallet_vanished",
        )


async def _chain_view(session: AccountSession, known: Known, depth: int) -> ChainView | None:
    """What the chain shows now; None where nothing has happened to what is known. A certificate's block is in no index:
    whether it is canonical is read."""
    if session.state.closure is not None:
        return await session.services.chain.view(session.account_id, known)
    return await session.services.chain.news(session.account_id, known, depth)


def _read_later(session: AccountSession, platform: e.PlatformObserved, known: Known) -> Known | None:
    """Where the platform's new word needs a chain that is read after it: what is known then; else None. So it is where
    nothing but that word tells which the wallet is; and where nothing on the chain tells the wallet's state, what the
    platform calls changed may have changed in any block up to then."""
    before, wallet = session.state.platform, session.state.wallet
    claimed = claim_of(platform)
    silent = wallet is not None and wallet.state is WalletState.UNKNOWN
    changed = before is None or before.status is not platform.status
    if silent and changed:
        return replace(known, claimed=claimed, change=None)
    if claimed != known.claimed and session.services.chain.needs_claim:
        return replace(known, claimed=claimed)
    return None


def _platform_observation(account: PlatformAccount, owner: str) -> e.PlatformObserved:
    return e.PlatformObserved(
        customer_id=account.customer_id,
        status=account.known_status(),
        wallet=str(account.wallet) if account.wallet else None,
        owner=owner,
        updated_at=account.updated_at,
    )


def _older(answer: e.PlatformObserved, known: e.PlatformObserved, session: AccountSession) -> bool:
    """Whether an answer is older than what is known. A known time that is yet to come means nothing: measured by it,
    every later answer would be an old one."""
    latest = session.now() + session.services.parameters.clock_skew
    return known.updated_at <= latest and answer.updated_at < known.updated_at


def _chain_news(session: AccountSession, view: ChainView, chain_id: ChainId, depth: int) -> list[Event]:
    news: list[Event] = []
    if view.deployment is not None:
        found = view.deployment
        deployed = e.WalletDeployed(
            chain_id=str(chain_id),
            wallet=found.wallet,
            owner=_one(found.said("owner")),
            event_owner=found.said("owner", "the factory's event"),
            create2=found.said("address", "CREATE2"),
            code_matches=found.code_accepted,
            code_hash=found.code_hash,
            challenge_hash=found.said("challenge"),
            block=_block(found.block),
            tx_hash=found.tx_hash,
            profile=found.profile,
            findings=found.findings,
            unchecked=found.unchecked,
        )
        if deployed != session.state.deployed:
            news.append(deployed)
    if view.change is not None:
        block = view.change.block
        seen = e.WalletStateSeen(
            state=view.change.state,
            block=_block(block),
            tx_hash=view.change.tx_hash,
            finality=view.finality(block).value,
            final=view.is_final(block, depth),
        )
        if seen != session.state.wallet:
            news.append(seen)
    return news


def _one(owner: str | None) -> str | None:
    """The owner, if there is one and no list."""
    return owner if owner and "," not in owner else None


async def _withdraw_reorged(session: AccountSession, view: ChainView) -> None:
    """Takes back facts whose block is no longer canonical. Costs nothing while the view confirms what is known."""
    state = session.state
    confirmed = {view.deployment.block if view.deployment else None, view.change.block if view.change else None}
    resting: list[tuple[e.BlockFact, bool]] = []
    if state.deployed is not None:
        settled = (
            state.wallet is not None and state.wallet.final and state.wallet.block.number >= state.deployed.block.number
        )
        resting.append((state.deployed.block, settled))
    if state.wallet is not None:
        resting.append((state.wallet.block, state.wallet.final))
    if state.closure is not None:
        resting.append((state.closure.block, True))
    for fact, _ in sorted(resting, key=lambda pair: pair[0].number):
        block = fact.ref
        if block in confirmed:
            continue
        if fact.number > view.head.number:  # absence is no reorg, not even of a final block: nodes lag and resync
            raise ChainUnreachable(
                f"the node is behind: its head is block {view.head.number}, block {fact.number} was seen before",
                code="chain_behind",
            )
        if not await session.services.chain.is_canonical(block):
            # Later blocks are children of this one or gone with it: one withdrawal takes back all above it.
            lost_final = any(final for later, final in resting if later.number >= fact.number)
            await _take_back(session, e.ChainFactsWithdrawn(block=fact, was_final=lost_final))
            return


async def _take_back(session: AccountSession, withdrawn: e.ChainFactsWithdrawn) -> None:
    """SIDE EFFECTS: journals the withdrawal, and a certificate that rested on the block as revoked; then marks its
    file."""
    closure, deployed = session.state.closure, session.state.deployed
    if closure is None or closure.block.number < withdrawn.block.number:
        await session.record(withdrawn)
        return
    revoked = e.CertificateRevoked(
        certificate_sha256=closure.certificate_sha256,
        certificate=closure.certificate,
        block=closure.block,
        chain_id=closure.chain_id or (deployed.chain_id if deployed else None),
        address=closure.address or (deployed.wallet if deployed else None),
    )
    await session.record(withdrawn, revoked)
    session.services.certifier.revoke(revoked.certificate, revoked.certificate_sha256)


async def _notice_no_effect(session: AccountSession) -> None:
    """A platform that took a signature may have lost it, or may have refused it later. Which, nobody can look up: the
    challenge on offer is not asked for, since that would end the one that is signed. So after a while the signature is
    submitted again, for the platform to say whether it has it; and if it has, and nothing comes of it for longer still,
    it is given up.

    Noticed only while the account still stands where the signature should have moved it from.
    """
    op, parameters = session.state.operation, session.services.parameters
    if op is None or op.ended is not None or op.signed is None or op.signed.accepted_at is None:
        return
    if not _still_unmoved(session):
        return
    waited = session.now() - op.signed.accepted_at
    if waited < -parameters.clock_skew:
        # The clock was set back. How long it has been is unknown, so the time begins again: taken as over, it would let
        # another signature be made beside one that takes effect just now.
        found: Literal["already_signed", "unclear"] = "already_signed" if op.signed.confirmed else "unclear"
        await session.record(e.SubmissionAccepted(digest=op.signed.digest, found=found))
    elif not op.signed.confirmed:
        if waited >= parameters.effect:
            await session.record(e.SubmissionIneffective(digest=op.signed.digest))
    elif waited >= parameters.given_up:
        hours = parameters.given_up.total_seconds() / 3600
        await session.record(
            e.SubmissionRefused(
                digest=op.signed.digest,
                code="signature_without_effect",
                message=f"the platform says that it has the signature, and {hours:.0f} hours later the account was "
                f"{session.state.status} as before",
            )
        )


def _still_unmoved(session: AccountSession) -> bool:
    op, status, wallet = session.op, session.state.status, session.state.wallet
    if op.kind not in PURPOSE:
        return False
    if op.kind is OperationKind.CLOSE:
        return (wallet is None or wallet.state is not WalletState.CLOSED) and status in (
            AccountStatus.INITIATING,
            AccountStatus.ACTIVE,
            AccountStatus.INACTIVE,
        )
    return status is AccountStatus.INITIATING and wallet is None


def owner_of(session: AccountSession) -> ChainAccount:
    """The wallet of the account's customer: the owner of its smart wallet, and the only one who may sign for it."""
    if session.state.platform is None:
        raise AssertionError("the platform's word is read before anything is signed")
    return ChainAccount.parse(session.state.platform.owner)


def _block(block: BlockRef) -> e.BlockFact:
    return e.BlockFact(number=block.number, hash=block.hash)
