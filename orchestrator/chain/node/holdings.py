"""What a wallet holds: wei, and the ERC-20 tokens that its Transfer logs and the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth_hash.auto import keccak

from orchestrator.chain.node import parse
from orchestrator.chain.node.head import HEAD_CALLS, HeadReads, Query
from orchestrator.chain.node.rpc import RpcFailure
from orchestrator.chain.node.transport import NoAnswerInTime
from orchestrator.errors import ChainError, ChainNonsense
from orchestrator.models import Address, BlockRef, Wei
from orchestrator.ports.chain import Holdings, TokenBalance, UnreadableToken
from orchestrator.wallet.contract import address_word

TRANSFER_TOPIC: Final = keccak(b"Transfer(address,address,uint256)")
_BALANCE_OF: Final = keccak(b"balanceOf(address)")[:4]
MAX_TOKENS: Final = 1000
"""Tokens whose balance is asked. Anyone can send any number of worthless tokens to a wallet."""
_TOGETHER: Final = 50
"""Tokens whose balance is asked in one go, behind the named ones."""
_UNLISTED: Final = frozenset({"logs_limited", "chain_unreachable", "chain_nonsense", "rpc_refused", "rpc_plan"})
"""Errors of a search for transfers that may last for as long as somebody wishes; the others are waited out."""


async def read_holdings(reads: HeadReads, wallet: Address, named: tuple[Address, ...], from_block: int) -> Holdings:
    """As ``ports.chain.Chain.holdings``, once. Raises Moved besides."""
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
