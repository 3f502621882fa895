"""Reads wallets off the chain: one account's wallet at ONE block, and what it holds.

Here is what is asked, and in which order. That all answers are of one block is ``head``'s part, what they mean about a
wallet ``wallets``'. Where the wallet's logs are, the index says that ``follower`` keeps; what it says is held against
code and storage at the head, and where it does not fit, or there is nothing, the account's own logs are asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from eth_hash.auto import keccak

from orchestrator.artifacts import load
from orchestrator.chain.node import parse
from orchestrator.chain.node.follower import Follower
from orchestrator.chain.node.head import ATTEMPTS, HEAD_CALLS, HeadReads, Moved, Query, optional_header
from orchestrator.chain.node.logs import LogSearch, Topics
from orchestrator.chain.node.rpc import Rpc, RpcFailure
from orchestrator.chain.node.together import Together
from orchestrator.chain.node.transport import NoAnswerInTime
from orchestrator.chain.node.wallets import CREATED_TOPIC, STATE_TOPIC, WalletFactory, last_change, state_of
from orchestrator.errors import ChainError, ChainNonsense, ChainUnreachable, Disagreement
from orchestrator.models import AccountId, Address, BlockRef, ChainId, Wei
from orchestrator.ports.chain import (
    ChainView,
    Deployment,
    Holdings,
    Known,
    StateChange,
    TokenBalance,
    UnreadableToken,
)
from orchestrator.ports.index import AccountLog, ChainIndex, Log
from orchestrator.wallet.contract import STATE_SLOT, account_word, address_word

_STATE_WORD: Final = "0x" + STATE_SLOT.to_bytes(32, "big").hex()
TRANSFER_TOPIC: Final = keccak(b"Transfer(address,address,uint256)")
_BALANCE_OF: Final = keccak(b"balanceOf(address)")[:4]
MAX_TOKENS: Final = 1000
"""Tokens whose balance is asked. Anyone can send any number of worthless tokens to a wallet."""
_TOGETHER: Final = 50
"""Tokens whose balance is asked in one go, behind the named ones."""
_UNLISTED: Final = frozenset({"logs_limited", "chain_unreachable", "chain_nonsense", "rpc_refused", "rpc_plan"})
"""Errors of a search for transfers that may last for as long as somebody wishes; the others are waited out."""


class ChainReader:
    """Implements ``orchestrator.ports.chain.Chain`` for wallets of one factory.

    ``from_block`` is the factory's block, where its events begin; ``index`` opens the index of a name. The rest is as
    of ``Follower``. Reads only, but for the index.
    """

    def __init__(
        self,
        rpc: Rpc,
        factory: Address,
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
        self._factory = WalletFactory(factory, load("SmartWallet"))
        self._factory_exists = False
        self._looking = asyncio.Lock()
        self.follower = Follower(
            rpc, factory, index, from_block=from_block, confirmations=confirmations, interval=interval
        )
        """Keeps the index; reads for ``news`` when it is asked to, and for a whole service once it is started."""

    async def chain_id(self) -> ChainId:
        """The node's chain. Raises ChainUnreachable or ChainNonsense."""
        return await self.follower.chain_id()

    async def close(self) -> None:
        """Ends the connections to the node."""
        await self._rpc.close()

    async def news(self, account_id: AccountId, known: Known, confirmations: int) -> ChainView | None:
        """None where the index has nothing that is not known: no round trip, but for the poll that all share."""
        heads, _, logs = await self.follower.logs(account_id, self.follower.interval)
        if not logs:
            await self._look_for_factory()
            if not self._factory_exists:
                return ChainView(heads.head, heads.safe, heads.finalized, None, None, factory_exists=False)
        created = next((one.log.block for one in logs if one.creates is not None), None)
        change = state_of([one.log for one in logs])
        now = ChainView(heads.head, heads.safe, heads.finalized, None, None)
        final = change is not None and now.is_final(change.block, confirmations)
        if (created, change, final) == (known.deployed, known.change, known.final):
            return None
        return await self._read(account_id, self.follower.interval)

    async def view(self, account_id: AccountId) -> ChainView:
        """The account's wallet at the head, in 3 round trips at most where the node takes any range.

        A deployment whose code is not the artifact's has ``code_matches`` False, and no ``change``: the storage of
        another contract means nothing. Raises Disagreement where two sources on the chain differ, and differ again at
        the next read, which asks for the account's own logs: a node that is importing a block may answer for the head
        with the next block's storage (Anvil 1.7.1 does, about once in 140 reads when every block changes the slot), and
        no operator has to see that.
        """
        return await self._read(account_id, 0.0)

    async def _read(self, account_id: AccountId, age: float) -> ChainView:
        """``view``, at a head that was read so many seconds ago at most if it is still there."""
        disagreement: Disagreement | None = None
        for attempt in range(ATTEMPTS):
            try:
                search = disagreement is not None or attempt >= 2
                return await self._view(account_id, age if attempt == 0 else 0.0, search=search)
            except Moved:
                continue
            except Disagreement as error:
                if disagreement is not None and disagreement.message == error.message:
                    raise
                disagreement = error
        raise disagreement or self._reads.moving()

    async def _view(self, account_id: AccountId, age: float, *, search: bool) -> ChainView:
        heads, version, logs = await self.follower.logs(account_id, age)
        if any(one.log.block.number > heads.head.number for one in logs):
            raise Moved  # the node lags behind what another process has read from it
        if search or not logs:
            found = await self._search(account_id, heads.head)
            if found != logs:
                await self.follower.mend(version, account_id, found)
            logs = found
        created = self._factory.created([one.log for one in logs if one.creates is not None], account_id)
        if created is None:
            await self._look_for_factory()
            return ChainView(heads.head, heads.safe, heads.finalized, None, None, self._factory_exists)
        changes = [one.log for one in logs if one.creates is None]
        deployment, change = await self._wallet(account_id, created, changes, heads.head)
        return ChainView(heads.head, heads.safe, heads.finalized, deployment, change)

    async def _search(self, account_id: AccountId, head: BlockRef) -> list[AccountLog]:
        """The account's own logs, asked for by its topic and by its wallet's address: what the index should have."""
        found = await self._searches.logs(
            self._factory.address, _created_topics(account_id), self._from_block, head.number
        )
        created = self._factory.created(found, account_id)
        if created is None:
            return []
        wallet = parse.word_address(created.topics[1], "SmartWalletCreated.wallet")
        changes = await self._searches.logs(wallet, [STATE_TOPIC], created.block.number, head.number)
        logs = [AccountLog(account_id, created, wallet), *(AccountLog(account_id, log) for log in changes)]
        return sorted(logs, key=lambda one: (one.log.block.number, one.log.index))

    async def _wallet(
        self, account_id: AccountId, created: Log, changes: Sequence[Log], head: BlockRef
    ) -> tuple[Deployment, StateChange | None]:
        """Everything about the wallet at ``head``, in one round trip."""
        wallet = parse.word_address(created.topics[1], "SmartWalletCreated.wallet")
        blocks = {log.block.number: log.block for log in (created, *changes[-1:])}
        code_hex, word, *headers = await self._together.pinned(
            head,
            lambda at: [
                ("eth_getCode", [wallet, at]),
                ("eth_getStorageAt", [wallet, _STATE_WORD, at]),
                *(("eth_getBlockByNumber", [hex(number), False]) for number in blocks),
            ],
        )
        for block, answer in zip(blocks.values(), headers, strict=True):
            now = optional_header(answer, f"block {block.number}")
            if now is None or now.block != block:
                raise Moved
        code = parse.data(self._rpc.demand(code_hex), "eth_getCode")
        deployment = self._factory.deployment(account_id, wallet, created, code)
        if not deployment.code_matches:
            return deployment, None
        stored = parse.quantity_or_word(self._rpc.demand(word), "eth_getStorageAt slot 0")
        return deployment, last_change(deployment, changes, stored & 0xFF, head)

    async def _look_for_factory(self) -> None:
        """Once it was there, it is there for good: what its code is does not matter here."""
        async with self._looking:
            if not self._factory_exists:
                answer = await self._rpc.call("eth_getCode", [self._factory.address, "latest"])
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
                return await _holdings(self._reads, wallet, named, self._from_block)
            except Moved:
                continue
        raise self._reads.moving()


def _created_topics(account_id: AccountId) -> Topics:
    return [CREATED_TOPIC, None, None, account_word(account_id)]


async def _holdings(reads: HeadReads, wallet: Address, named: tuple[Address, ...], from_block: int) -> Holdings:
    head = reads.heads(await reads.rpc.batch(HEAD_CALLS)).head
    to_wallet = Query(None, [TRANSFER_TOPIC, None, address_word(wallet)], from_block)
    incomplete: str | None = None
    tokens = dict.fromkeys(named)
    (balance,) = await reads.pinned(head, lambda at: [("eth_getBalance", [wallet, at])])
    try:
        ((transfers,), _) = await reads.pinned_logs(head, [to_wallet], lambda _: [])
        # ERC-721 has the same event with the id indexed: 4 topics. Its balance is asked the same way.
        tokens |= dict.fromkeys(log.address for log in transfers if log.topics[:1] == (TRANSFER_TOPIC,))
    except ChainError as error:
        if error.code not in _UNLISTED:
            raise
        # Anyone can make this list as long as they like; nothing that is decided must depend on it.
        incomplete = f"the wallet's Transfer logs could not be read: {error.message}"
    if len(tokens) > MAX_TOKENS:
        incomplete = f"{len(tokens)} tokens were sent to the wallet, only {MAX_TOKENS} were asked for its balance"
    asked = list(tokens)[:MAX_TOKENS]
    balances, unreadable = await _balances(reads, wallet, asked, len(set(named)), head)
    wei = Wei(parse.quantity(reads.rpc.demand(balance), "eth_getBalance", 256))
    return Holdings(wei, balances, head, unreadable, incomplete)


async def _balances(
    reads: HeadReads, wallet: Address, tokens: Sequence[Address], trusted: int, head: BlockRef
) -> tuple[tuple[TokenBalance, ...], tuple[UnreadableToken, ...]]:
    """The balances above zero; the first ``trusted`` tokens are those that the settings name."""
    if not tokens:
        return (), ()
    answers: list[Any] = []
    groups = [tokens[:trusted]] if trusted else []
    groups += [tokens[start : start + _TOGETHER] for start in range(trusted, len(tokens), _TOGETHER)]
    for group in groups:
        answers += await _ask_balances(reads, wallet, group, head)
    balances: list[TokenBalance] = []
    unreadable: list[UnreadableToken] = []
    for number, (token, answer) in enumerate(zip(tokens, answers, strict=True)):
        if isinstance(answer, RpcFailure) and (answer.busy or (number < trusted and answer.passing)):
            reads.rpc.demand(answer)
        if isinstance(answer, RpcFailure):
            unreadable.append(UnreadableToken(token, f"balanceOf failed: {answer.message}"))
            continue
        try:
            word = parse.data(answer, "balanceOf", length=32)
        except ChainNonsense as error:
            unreadable.append(UnreadableToken(token, error.message))
            continue
        if any(word):
            balances.append(TokenBalance(token, int.from_bytes(word, "big")))
    return tuple(balances), tuple(unreadable)


async def _ask_balances(reads: HeadReads, wallet: Address, tokens: Sequence[Address], head: BlockRef) -> list[Any]:
    data = "0x" + (_BALANCE_OF + address_word(wallet)).hex()
    try:
        return await reads.pinned(head, lambda at: [("eth_call", [{"to": one, "data": data}, at]) for one in tokens])
    except NoAnswerInTime as error:  # the code of others runs here, for as long as it likes
        return [RpcFailure("eth_call", 0, error.message)] * len(tokens)
