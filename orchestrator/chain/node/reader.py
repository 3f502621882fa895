"""Reads wallets off the chain: one account's wallet at ONE block, and what it holds.

Here is what is asked, and in which order. That all answers are of one block is ``head``'s part, what they mean about a
wallet ``wallets``'. Where the wallet's logs are, the index says that ``follower`` keeps; what it says is held against
code and storage at the head, and where it does not fit, or there is nothing, the account's own logs are asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.chain.node import parse
from orchestrator.chain.node.follower import Follower
from orchestrator.chain.node.head import ATTEMPTS, HeadReads, Moved, optional_header
from orchestrator.chain.node.holdings import read_holdings
from orchestrator.chain.node.logs import LogSearch
from orchestrator.chain.node.reads import answer_of, call_of
from orchestrator.chain.node.rpc import Rpc
from orchestrator.chain.node.together import Together
from orchestrator.chain.node.wallets import last_change, state_of, stored_change, the_creation
from orchestrator.errors import ChainUnreachable, Disagreement
from orchestrator.models import AccountId, Address, BlockRef, ChainId
from orchestrator.ports.chain import (
    UNKNOWN,
    ChainView,
    Deployment,
    Holdings,
    Known,
    StateChange,
)
from orchestrator.ports.index import AccountLog, ChainIndex, Log
from orchestrator.wallet.findings import Created, Read
from orchestrator.wallet.reading import Profile


class ChainReader:
    """Implements ``orchestrator.ports.chain.Chain`` for the wallets of one factory, which are as ``profile`` says.

    ``from_block`` is the factory's block, where its events begin; ``index`` opens the index of a name. The rest is as
    of ``Follower``. Reads only, but for the index.
    """

    def __init__(
        self,
        rpc: Rpc,
        factory: Address,
        profile: Profile,
        index: Callable[[str], ChainIndex],
        *,
        from_block: int = 0,
        confirmations: int = 1,
        interval: float = 1.0,
    ) -> None:
        self._rpc = rpc
        self._from_block = from_block
        self._reads = HeadReads(rpc)
        self._together = Together(self._reads)
        self._searches = LogSearch(rpc)
        self.factory = factory
        self.profile = profile
        self._factory_exists = False
        self._looking = asyncio.Lock()
        self.follower = Follower(
            rpc, factory, profile, index, from_block=from_block, confirmations=confirmations, interval=interval
        )
        """Keeps the index; reads for ``news`` when it is asked to, and for a whole service once it is started."""

    @property
    def needs_claim(self) -> bool:
        """Whether the profile locates a wallet by the platform's word."""
        return self.profile.located_by == "platform"

    async def chain_id(self) -> ChainId:
        """The node's chain. Raises ChainUnreachable or ChainNonsense."""
        return await self.follower.chain_id()

    async def close(self) -> None:
        """Ends the connections to the node."""
        await self._rpc.close()

    async def news(self, account_id: AccountId, known: Known, confirmations: int) -> ChainView | None:
        """None where the index has nothing that is not known: no round trip, but for the poll that all share. A wallet
        of whose state no event tells, or that a registry names, is read each time."""
        told = self.profile.state_topic is not None and self.profile.located_by != "registry"
        if not told or (known.deployed is not None and known.profile != self.profile.id):
            return await self._read(account_id, known, self.follower.interval)
        key = self._key(account_id, known.claimed)
        heads, _, logs = await self.follower.logs(key, self.follower.interval)
        if not logs:
            await self._look_for_factory()
            if not self._factory_exists:
                return ChainView(heads.head, heads.safe, heads.finalized, None, None, factory_exists=False)
        created = next((one.log.block for one in logs if one.creates is not None), None)
        change = state_of(self.profile, [one.log for one in logs])
        now = ChainView(heads.head, heads.safe, heads.finalized, None, None)
        final = change is not None and now.is_final(change.block, confirmations)
        if (created, change, final) == (known.deployed, known.change, known.final):
            return None
        return await self._read(account_id, known, self.follower.interval)

    async def view(self, account_id: AccountId, known: Known = UNKNOWN) -> ChainView:
        """The account's wallet at the head, in 3 round trips at most where the node takes any range; in one or two more
        for a proxy.

        A deployment whose code the profile does not accept has no ``change``: the storage of another contract means
        nothing. Raises Disagreement where two sources on the chain differ, and differ again at the next read, which
        asks for the account's own logs: a node that is importing a block may answer for the head with the next block's
        storage (Anvil 1.7.1 does, about once in 140 reads when every block changes the slot), and no operator has to
        see that.
        """
        return await self._read(account_id, known, 0.0)

    def _key(self, account_id: AccountId, wallet: Address | None) -> AccountId:
        """What the index has the account's logs under: its id, or its wallet's address where no event has the id."""
        if self.profile.located_by == "event" or wallet is None:
            return account_id
        self.follower.name(AccountId(wallet), account_id)
        return AccountId(wallet)

    async def _read(self, account_id: AccountId, known: Known, age: float) -> ChainView:
        """``view``, at a head that was read so many seconds ago at most if it is still there."""
        disagreement: Disagreement | None = None
        for attempt in range(ATTEMPTS):
            try:
                search = disagreement is not None or attempt >= 2
                return await self._view(account_id, known, age if attempt == 0 else 0.0, search=search)
            except Moved:
                continue
            except Disagreement as error:
                if disagreement is not None and disagreement.message == error.message:
                    raise
                disagreement = error
        raise disagreement or self._reads.moving()

    async def _view(self, account_id: AccountId, known: Known, age: float, *, search: bool) -> ChainView:
        wallet = await self._named_wallet(account_id, known, age)
        heads, version, logs = await self.follower.logs(self._key(account_id, wallet), age)
        if any(one.log.block.number > heads.head.number for one in logs):
            raise Moved  # the node lags behind what another process has read from it
        if search or not logs:
            found = await self._search(account_id, wallet, heads.head)
            if found != logs:
                await self.follower.mend(version, self._key(account_id, wallet), found)
            logs = found
        made = [one.log for one in logs if one.creates is not None]
        creation = the_creation(self.profile, self.factory, made, account_id, wallet)
        nothing = ChainView(heads.head, heads.safe, heads.finalized, None, None)
        if creation is None and wallet is None:
            await self._look_for_factory()
            return replace(nothing, factory_exists=self._factory_exists)
        changes = [one.log for one in logs if one.creates is None]
        found_here = await self._wallet(account_id, wallet, creation, changes, known, heads.head)
        return nothing if found_here is None else replace(nothing, deployment=found_here[0], change=found_here[1])

    async def _named_wallet(self, account_id: AccountId, known: Known, age: float) -> Address | None:
        """The wallet that the registry or the platform names; None where the factory's event has to, or nobody does
        yet."""
        if self.profile.located_by != "registry":
            return known.claimed if self.profile.located_by == "platform" else None
        read = self.profile.registry_read(account_id, self.factory)
        assert read is not None, "a profile that locates by a registry names its getter"
        head = (await self.follower.fresh(age)).head
        return self.profile.registered((await self._answers(head, [read]))[0][read])

    async def _search(self, account_id: AccountId, wallet: Address | None, head: BlockRef) -> list[AccountLog]:
        """The account's own logs, asked for by its topic and by its wallet's address: what the index should have."""
        topics, key = self.profile.created_topics(account_id, wallet), self._key(account_id, wallet)
        logs: list[AccountLog] = []
        if topics is not None:
            found = await self._searches.logs(self.factory, topics, self._from_block, head.number)
            if wallet is not None:  # where it is no topic, others are among them
                found = [log for log in found if (made := self.profile.created(log)) and made.wallet == wallet]
            creation = the_creation(self.profile, self.factory, found, account_id, wallet)
            if creation is None:
                return []
            wallet = creation[1].wallet
            logs.append(AccountLog(key, creation[0], wallet))
        if self.profile.state_topic is not None and wallet is not None:
            first = logs[0].log.block.number if logs else self._from_block
            changes = await self._searches.logs(wallet, [self.profile.state_topic], first, head.number)
            logs += [AccountLog(key, log) for log in changes]
        return sorted(logs, key=lambda one: (one.log.block.number, one.log.index))

    async def _wallet(
        self,
        account_id: AccountId,
        named: Address | None,
        creation: tuple[Log, Created] | None,
        changes: Sequence[Log],
        known: Known,
        head: BlockRef,
    ) -> tuple[Deployment, StateChange | None] | None:
        """Everything about the wallet at ``head``, in one round trip, or two for a proxy. None while there is no code,
        and nobody but the platform names it."""
        created = None if creation is None else creation[1]
        wallet = named if created is None else created.wallet
        assert wallet is not None, "one of the two names it"
        log = None if creation is None else creation[0]
        told = self.profile.state_topic is not None
        since = (None if log else known.deployed, None if told or not known.change else known.change.block)
        seen = [block for block in since if block is not None]
        logged = {one.block.number: one.block for one in (*([log] if log else ()), *changes[-1:])}
        blocks = {block.number: block for block in seen if block.number <= head.number} | logged
        reads = self.profile.first_reads(account_id, wallet, self.factory, created)
        answers, there = await self._answers(head, reads, list(blocks.values()))
        if any(block not in there for block in logged.values()):
            raise Moved
        while more := self.profile.more_reads(wallet, answers):
            answers |= (await self._answers(head, more))[0]
        code = answers[Read("code", wallet)] or b""
        if not code and creation is None:
            return None
        found = self.profile.findings(account_id, wallet, self.factory, created, answers)
        first = known.deployed if known.deployed in there else None
        deployment = Deployment(
            wallet=wallet,
            block=log.block if log is not None else first or head,
            tx_hash=log.tx_hash if log is not None else None,
            code_hash=found.code_hash,
            profile=self.profile.id,
            findings=found.findings,
            unchecked=self.profile.unchecked,
        )
        if not deployment.code_accepted:
            return deployment, None
        if told:
            return deployment, last_change(self.profile, deployment, changes, found.stored, head)
        kept = known.change if known.change is not None and known.change.block in (*there, deployment.block) else None
        known = replace(known, deployed=first if log is None else known.deployed, change=kept)
        return deployment, stored_change(self.profile, deployment, found.stored, known, head)

    async def _answers(
        self, head: BlockRef, reads: Sequence[Read], blocks: Sequence[BlockRef] = ()
    ) -> tuple[dict[Read, bytes | None], list[BlockRef]]:
        """What the node answers to these reads at ``head``, and which of the blocks are canonical."""
        answers = await self._together.pinned(
            head,
            lambda at: [
                *(call_of(read, at) for read in reads),
                *(("eth_getBlockByNumber", [hex(block.number), False]) for block in blocks),
            ],
        )
        there = []
        for block, answer in zip(blocks, answers[len(reads) :], strict=True):
            now = optional_header(answer, f"block {block.number}")
            if now is not None and now.block == block:
                there.append(block)
        return {read: answer_of(self._rpc, read, one) for read, one in zip(reads, answers, strict=False)}, there

    async def _look_for_factory(self) -> None:
        """Once it was there, it is there for good: what its code is does not matter here."""
        async with self._looking:
            if not self._factory_exists:
                answer = await self._rpc.call("eth_getCode", [self.factory, "latest"])
                self._factory_exists = parse.data(answer, "the factory's code") != b""

    async def is_canonical(self, block: BlockRef) -> bool:
        """Whether the node's canonical chain has this hash at this number.

        Raises ChainUnreachable ``chain_behind`` where the node has no block of that number: then it is not known.
        """
        answer = await self._rpc.call("eth_getBlockByNumber", [hex(block.number), False])
        now = optional_header(answer, f"block {block.number}")
        if now is None:
            raise ChainUnreachable(
                f"{self._rpc.endpoint}: the node has no block {block.number}, which was seen before",
                code="chain_behind",
            )
        return now.block == block

    async def holdings(self, wallet: Address, named: tuple[Address, ...] = ()) -> Holdings:
        """Wei and ERC-20 balances above zero at the head, in 4 round trips (more for hundreds of tokens).

        Tokens are found by ``Transfer`` logs to the wallet since ``from_block``, so one that moves without logs is
        found only if ``named``. A token that reverts or answers nonsense is listed in ``unreadable``. Named ones are
        asked by themselves, so that no other keeps theirs from being read, and passing trouble of theirs is raised.
        """
        for _ in range(ATTEMPTS):
            try:
                return await read_holdings(self._reads, wallet, named, self._from_block)
            except Moved:
                continue
        raise self._reads.moving()
