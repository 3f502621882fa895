"""Reads wallets off the chain: one account's wallet at ONE block, and what it holds.

Here is what is asked, and in which order. That all answers are of one block is ``head``'s part, what they mean about a
wallet ``wallets``'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth_hash.auto import keccak

from orchestrator.artifacts import load
from orchestrator.chain.node import parse
from orchestrator.chain.node.head import ATTEMPTS, HEAD_CALLS, HeadReads, Moved, Query, optional_header
from orchestrator.chain.node.logs import LogSearch, log_call
from orchestrator.chain.node.rpc import Call, Rpc, RpcFailure
from orchestrator.chain.node.transport import NoAnswerInTime
from orchestrator.chain.node.wallets import CREATED_TOPIC, STATE_TOPIC, WalletFactory, last_change
from orchestrator.errors import ChainError, ChainNonsense, ChainUnreachable, Disagreement
from orchestrator.models import AccountId, Address, BlockRef, ChainId, Wei
from orchestrator.ports.chain import ChainView, Deployment, Holdings, StateChange, TokenBalance, UnreadableToken
from orchestrator.wallet.contract import STATE_SLOT, account_word, address_word

_STATE_WORD: Final = "0x" + STATE_SLOT.to_bytes(32, "big").hex()
TRANSFER_TOPIC: Final = keccak(b"Transfer(address,address,uint256)")
_BALANCE_OF: Final = keccak(b"balanceOf(address)")[:4]
MAX_TOKENS: Final = 1000
"""Tokens whose balance is asked. Anyone can send any number of worthless tokens to a wallet."""
_TOGETHER: Final = 50
"""Tokens whose balance is asked in one go, the named ones first."""
_UNLISTED: Final = frozenset({"logs_limited", "chain_unreachable", "chain_nonsense", "rpc_refused", "rpc_plan"})
"""Errors of a search for transfers that may last for as long as somebody wishes; the others are waited out."""


class ChainReader:
    """Implements ``orchestrator.ports.chain.Chain`` for wallets of one factory.

    ``from_block`` is the factory's block, where the search for its events begins. Reads only.
    """

    def __init__(self, rpc: Rpc, factory: Address, *, from_block: int = 0) -> None:
        self._rpc = rpc
        self._reads = HeadReads(rpc)
        self._from_block = from_block
        self._factory = WalletFactory(factory, load("SmartWallet"))

    async def chain_id(self) -> ChainId:
        """The node's chain. Raises ChainUnreachable or ChainNonsense."""
        return await self._rpc.chain_id()

    async def close(self) -> None:
        """Ends the connections to the node."""
        await self._rpc.close()

    async def view(self, account_id: AccountId) -> ChainView:
        """The account's wallet at the head: 1 round trip while there is none, else 2.

        A deployment whose code is not the artifact's has ``code_matches`` False, and no ``change``: the storage of
        another contract means nothing. Raises Disagreement where two sources on the chain differ, and differ again at
        the next read: a node that is importing a block may answer for the head with the next block's storage (Anvil
        1.7.1 does, about once in 140 reads when every block changes the slot), and no operator has to see that.
        """
        disagreement: Disagreement | None = None
        for _ in range(ATTEMPTS):
            try:
                return await self._view(account_id)
            except Moved:
                continue
            except Disagreement as error:
                if disagreement is not None and disagreement.message == error.message:
                    raise
                disagreement = error
        raise disagreement or self._reads.moving()

    async def _view(self, account_id: AccountId) -> ChainView:
        created = Query(self._factory.address, _created_topics(account_id), self._from_block)
        factory: Call = ("eth_getCode", [self._factory.address, "latest"])
        if self._rpc.limits.span is None:
            logs = log_call(created.address, created.topics, created.first_block, "latest")
            *head_answers, factory_code, answer = await self._rpc.batch([*HEAD_CALLS, factory, logs])
        else:  # the node limits searches: how many blocks there are must be known first
            *head_answers, factory_code = await self._rpc.batch([*HEAD_CALLS, factory])
            answer = None
        heads = self._reads.heads(head_answers)
        found = await self._found(created, heads.head, answer, account_id)
        if found is None:
            code = parse.data(self._rpc.demand(factory_code), "the factory's code")
            return ChainView(heads.head, heads.safe, heads.finalized, None, None, code != b"")
        deployment, change = await self._wallet(account_id, found, created, heads.head)
        return ChainView(heads.head, heads.safe, heads.finalized, deployment, change)

    async def _found(self, query: Query, head: BlockRef, answer: Any, account_id: AccountId) -> parse.Log | None:
        """The account's ``SmartWalletCreated``: from the answer that lists all, or searched in pieces."""
        search = LogSearch(self._rpc)
        if isinstance(answer, RpcFailure) and query.first_block <= head.number:
            search.shorten(query.first_block, head.number, answer)
        if isinstance(answer, RpcFailure) or answer is None:
            logs = await search.logs(query.address, query.topics, query.first_block, head.number)
        else:
            logs = await parse.many_logs(answer, "SmartWalletCreated logs")
        return self._factory.created(logs, account_id)

    async def _wallet(
        self, account_id: AccountId, found: parse.Log, created: Query, head: BlockRef
    ) -> tuple[Deployment, StateChange | None]:
        """Everything about the wallet at ``head``, in one round trip where the node does not limit searches."""
        wallet = parse.word_address(found.topics[1], "SmartWalletCreated.wallet")
        states = Query(wallet, [STATE_TOPIC], found.block.number)
        (created_now, changes), (deployed_in, code_hex, word) = await self._reads.pinned_logs(
            head,
            [created, states],
            lambda at: [
                ("eth_getBlockByNumber", [hex(found.block.number), False]),
                ("eth_getCode", [wallet, at]),
                ("eth_getStorageAt", [wallet, _STATE_WORD, at]),
            ],
        )
        again = self._factory.created(created_now, account_id)
        block_now = optional_header(deployed_in, "the deployment's block")
        if again != found or block_now is None or block_now.block != found.block:
            raise Moved
        code = parse.data(self._rpc.demand(code_hex), "eth_getCode")
        deployment = self._factory.deployment(account_id, wallet, found, code)
        if not deployment.code_matches:
            return deployment, None
        stored = parse.quantity_or_word(self._rpc.demand(word), "eth_getStorageAt slot 0")
        return deployment, last_change(deployment, changes, stored & 0xFF, head)

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
        found only if ``named``. A token that reverts or answers nonsense is listed in ``unreadable``.
        """
        for _ in range(ATTEMPTS):
            try:
                return await _holdings(self._reads, wallet, named, self._from_block)
            except Moved:
                continue
        raise self._reads.moving()


def _created_topics(account_id: AccountId) -> list[bytes | None]:
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
    balances, unreadable = await _balances(reads, wallet, asked, head)
    wei = Wei(parse.quantity(reads.rpc.demand(balance), "eth_getBalance", 256))
    return Holdings(wei, balances, head, unreadable, incomplete)


async def _balances(
    reads: HeadReads, wallet: Address, tokens: Sequence[Address], head: BlockRef
) -> tuple[tuple[TokenBalance, ...], tuple[UnreadableToken, ...]]:
    if not tokens:
        return (), ()
    answers: list[Any] = []
    for start in range(0, len(tokens), _TOGETHER):
        answers += await _ask_balances(reads, wallet, tokens[start : start + _TOGETHER], head)
    balances: list[TokenBalance] = []
    unreadable: list[UnreadableToken] = []
    for token, answer in zip(tokens, answers, strict=True):
        if isinstance(answer, RpcFailure) and answer.busy:
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
