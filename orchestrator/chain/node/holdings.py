"""What a wallet holds at the chain's head: wei, and the ERC-20 tokens that were ever sent to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from eth_hash.auto import keccak

from orchestrator.chain.node import parse
from orchestrator.chain.node.head import ATTEMPTS, HEAD_CALLS, HeadReads, Moved
from orchestrator.chain.node.rpc import RpcFailure
from orchestrator.errors import ChainNonsense
from orchestrator.models import Address, BlockRef, Wei
from orchestrator.ports.chain import Holdings, TokenBalance, UnreadableToken
from orchestrator.wallet.contract import address_word

TRANSFER_TOPIC: Final = keccak(b"Transfer(address,address,uint256)")
_BALANCE_OF: Final = keccak(b"balanceOf(address)")[:4]
MAX_TOKENS: Final = 1000
"""Tokens whose balance is asked. Anyone can send any number of worthless tokens to a wallet."""


async def read_holdings(reads: HeadReads, wallet: Address, named: tuple[Address, ...]) -> Holdings:
    """As ``ChainReader.holdings``."""
    for _ in range(ATTEMPTS):
        try:
            return await _holdings(reads, wallet, named)
        except Moved:
            continue
    raise reads.moving()


async def _holdings(reads: HeadReads, wallet: Address, named: tuple[Address, ...]) -> Holdings:
    head = reads.heads(await reads.rpc.batch(HEAD_CALLS)).head
    to_wallet = [TRANSFER_TOPIC, None, address_word(wallet)]
    incomplete: str | None = None
    tokens = dict.fromkeys(named)
    try:
        balance, transfers = await reads.pinned(
            head, lambda at: [("eth_getBalance", [wallet, at]), reads.logs(None, to_wallet, hex(head.number))]
        )
        found = await parse.many_logs(reads.rpc.demand(transfers), "Transfer logs")
        # ERC-721 has the same event with the id indexed: 4 topics. Its balance is asked the same way.
        tokens |= dict.fromkeys(log.address for log in found if log.topics[:1] == (TRANSFER_TOPIC,))
    except ChainNonsense as error:
        # Anyone can make this list as long as they like; the wallet's own balance must not depend on it.
        incomplete = f"the wallet's Transfer logs could not be read: {error.message}"
        (balance,) = await reads.pinned(head, lambda at: [("eth_getBalance", [wallet, at])])
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
    call_data = "0x" + (_BALANCE_OF + address_word(wallet)).hex()
    answers = await reads.pinned(
        head, lambda at: [("eth_call", [{"to": token, "data": call_data}, at]) for token in tokens]
    )
    balances: list[TokenBalance] = []
    unreadable: list[UnreadableToken] = []
    for token, answer in zip(tokens, answers, strict=True):
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
