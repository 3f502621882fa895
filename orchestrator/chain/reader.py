"""Reads wallets off the chain: one account's wallet at ONE block, and what it holds.

Everything asked for a view is pinned by the head's hash (EIP-1898), or by its number where a node does not take hashes;
the head's hash is asked again after the logs, in the same batch, and a head that has moved means to read again.
Sources: the factory's event ``SmartWalletCreated``, the wallet's ``StateChanged``, its code and its storage slot 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_hash.auto import keccak

from orchestrator.artifacts import Artifact, load
from orchestrator.chain import parse
from orchestrator.chain.rpc import Call, Rpc, RpcFailure
from orchestrator.closure.wallet import STATE_SLOT, Immutables, account_word, wallet_address, wallet_immutables
from orchestrator.errors import ChainNonsense, ChainUnreachable, Disagreement
from orchestrator.models import AccountId, Address, BlockNumber, BlockRef, ChainId, WalletState, Wei
from orchestrator.ports import (
    ChainView,
    Deployment,
    Holdings,
    StateChange,
    TokenBalance,
    UnreadableToken,
)

ZERO_ADDRESS: Final = Address("0x" + "0" * 40)
CREATED_TOPIC: Final = keccak(b"SmartWalletCreated(address,address,bytes16,address,bytes32,bytes32)")
STATE_TOPIC: Final = keccak(b"StateChanged(uint8,uint8)")
TRANSFER_TOPIC: Final = keccak(b"Transfer(address,address,uint256)")
_BALANCE_OF: Final = keccak(b"balanceOf(address)")[:4]
_ATTEMPTS: Final = 4
"""Reads of a view before a head that keeps moving counts as trouble with the node."""
MAX_TOKENS: Final = 1000
"""Tokens whose balance is asked. Anyone can send any number of worthless tokens to a wallet."""


@dataclass(frozen=True, slots=True)
class _Heads:
    head: parse.Header
    safe: BlockNumber | None
    finalized: BlockNumber | None


class _Moved(Exception):
    """The head left the canonical chain between two reads: read again."""


class ChainReader:
    """Implements ``orchestrator.ports.Chain`` for wallets of one factory.

    ``from_block`` is the factory's block, where the search for its events begins. ``operator`` and ``escrow``, where
    given, must be those in the wallet's code, else ``view`` raises Disagreement. ``expected_chain``, where given, is
    compared with each view's node. Reads only.
    """

    def __init__(
        self,
        rpc: Rpc,
        factory: Address,
        *,
        artifact: Artifact | None = None,
        operator: Address | None = None,
        escrow: Address | None = None,
        from_block: int = 0,
        expected_chain: ChainId | None = None,
    ) -> None:
        self._rpc = rpc
        self._factory = factory
        self._artifact = artifact or load("SmartWallet")
        self._operator = operator
        self._escrow = escrow
        self._from_block = from_block
        self._expected_chain = expected_chain
        self._by_hash = True

    async def chain_id(self) -> ChainId:
        """The node's chain. Raises ChainUnreachable or ChainNonsense."""
        return await self._rpc.chain_id()

    async def close(self) -> None:
        """Ends the connections to the node."""
        await self._rpc.close()

    # --- the view -----------------------------------------------------------------------------------------------

    async def view(self, account_id: AccountId) -> ChainView:
        """The account's wallet at the head: 1 round trip while there is none, else 2.

        A deployment whose code is not the artifact's has ``code_matches`` False, and no ``change``: the storage of
        another contract means nothing. Raises Disagreement where two sources on the chain differ, and differ again at
        the next read: a node that is importing a block may answer for the head with the next block's storage (Anvil
        1.7.1 does, about once in 140 reads when every block changes the slot), and that is no matter for an operator.
        """
        disagreement: Disagreement | None = None
        for _ in range(_ATTEMPTS):
            try:
                return await self._view(account_id)
            except _Moved:
                continue
            except Disagreement as error:
                if disagreement is not None and disagreement.message == error.message:
                    raise
                disagreement = error
        if disagreement is not None:
            raise disagreement
        raise ChainUnreachable(
            f"{self._rpc.endpoint}: the chain's head was replaced during each of {_ATTEMPTS} reads", code="chain_moving"
        )

    async def _view(self, account_id: AccountId) -> ChainView:
        created = self._log_filter(self._factory, [CREATED_TOPIC, None, None, account_word(account_id)])
        first = await self._rpc.batch(
            [
                ("eth_chainId", []),
                *_HEAD_CALLS,
                ("eth_getLogs", [{**created, "toBlock": "latest"}]),
                ("eth_getCode", [self._factory, "latest"]),
            ]
        )
        self._check_chain(first[0])
        heads = self._heads(first[1:4])
        found = self._created(first[4], account_id)
        if found is None:
            factory = parse.data(self._rpc.demand(first[5]), "the factory's code")
            return ChainView(heads.head.block, heads.safe, heads.finalized, None, None, factory != b"")
        deployment, change = await self._wallet(account_id, created, found, heads.head.block)
        return ChainView(heads.head.block, heads.safe, heads.finalized, deployment, change)

    async def _wallet(
        self, account_id: AccountId, created: dict[str, Any], found: parse.Log, head: BlockRef
    ) -> tuple[Deployment, StateChange | None]:
        """Everything about the wallet at ``head``, in one round trip."""
        wallet = parse.word_address(found.topics[1], "SmartWalletCreated.wallet")
        to_block = hex(head.number)
        logs_created, logs_state, deployed_in, code_hex, word = await self._pinned(
            head,
            lambda at: [
                ("eth_getLogs", [{**created, "toBlock": to_block}]),
                ("eth_getLogs", [{**self._log_filter(wallet, [STATE_TOPIC]), "toBlock": to_block}]),
                ("eth_getBlockByNumber", [hex(found.block.number), False]),
                ("eth_getCode", [wallet, at]),
                ("eth_getStorageAt", [wallet, _word(STATE_SLOT), at]),
            ],
        )
        again = self._created(logs_created, account_id)
        block_now = self._optional_header(deployed_in, "the deployment's block")
        if again != found or block_now is None or block_now.block != found.block:
            raise _Moved
        code = parse.data(self._rpc.demand(code_hex), "eth_getCode")
        deployment = self._deployment(account_id, wallet, found, code)
        changes = parse.logs(self._rpc.demand(logs_state), "StateChanged logs")
        if not deployment.code_matches:
            return deployment, None
        stored = parse.quantity_or_word(self._rpc.demand(word), "eth_getStorageAt slot 0")
        return deployment, self._state(deployment, wallet, changes, stored & 0xFF, head)

    def _created(self, answer: Any, account_id: AccountId) -> parse.Log | None:
        logs = parse.logs(self._rpc.demand(answer), "SmartWalletCreated logs")
        for log in logs:
            if (
                log.address != self._factory
                or len(log.topics) != 4
                or log.topics[0] != CREATED_TOPIC
                or log.topics[3] != account_word(account_id)
                or len(log.data) != 96
            ):
                raise ChainNonsense(
                    f"SmartWalletCreated logs: asked for account {account_id} at factory {self._factory}, "
                    f"got another log (transaction {log.tx_hash} of {log.address})"
                )
        if len(logs) > 1:
            where = ", ".join(f"transaction {log.tx_hash} in block {log.block.number}" for log in logs[:4])
            raise Disagreement(
                f"expected one SmartWalletCreated for account {account_id}, the chain has {len(logs)}: {where}",
                code="deployed_twice",
            )
        return logs[0] if logs else None

    def _deployment(self, account_id: AccountId, wallet: Address, log: parse.Log, code: bytes) -> Deployment:
        event_owner = parse.word_address(log.topics[2], "SmartWalletCreated.owner")
        event_escrow = parse.word_address(log.data[:32], "SmartWalletCreated.escrow")
        values = wallet_immutables(self._artifact, code)
        if values is not None:
            for name, expected, actual in (
                ("factory", self._factory, values.factory),
                ("escrow", event_escrow, values.escrow),
                ("operator", self._operator, values.operator),
                ("escrow", self._escrow, values.escrow),
            ):
                if expected is not None and expected != actual:
                    raise Disagreement(
                        f"wallet {wallet}: expected the {name} {expected}, its code has {actual}",
                        code=f"wrong_{name}",
                    )
        matches = values is not None
        known = values or Immutables(ZERO_ADDRESS, ZERO_ADDRESS, event_escrow, ZERO_ADDRESS, self._factory)
        return Deployment(
            wallet=wallet,
            owner=known.owner,
            block=log.block,
            tx_hash=log.tx_hash,
            create2=wallet_address(self._artifact, known, account_id),
            event_owner=event_owner,
            code_matches=matches,
            code_hash="0x" + keccak(code).hex(),
            challenge_hash="0x" + log.data[64:].hex(),
        )

    def _state(
        self, deployment: Deployment, wallet: Address, logs: Sequence[parse.Log], stored: int, head: BlockRef
    ) -> StateChange:
        """The last change, if the logs are one chain of changes from Created and end in the stored state."""
        state = 0
        last = StateChange(WalletState.CREATED, deployment.block, deployment.tx_hash)
        for log in logs:
            if log.address != wallet or len(log.topics) != 3 or log.topics[0] != STATE_TOPIC:
                raise ChainNonsense(f"StateChanged logs: asked for those of {wallet}, got one of {log.address}")
            if not deployment.block.number <= log.block.number <= head.number:
                raise ChainNonsense(
                    f"StateChanged logs: expected blocks {deployment.block.number} to {head.number}, "
                    f"got {log.block.number}"
                )
            before, after = (int.from_bytes(topic, "big") for topic in log.topics[1:])
            if before != state or after > 3:
                raise Disagreement(
                    f"wallet {wallet}: the change in transaction {log.tx_hash} is from {before} to {after}, "
                    f"after the logs before it the state was {state}",
                    code="state_logs_broken",
                )
            state = after
            last = StateChange(WalletState.from_number(after), log.block, log.tx_hash)
        if stored != state:
            raise Disagreement(
                f"wallet {wallet}: its storage has the state {stored}, "
                f"its last StateChanged log (transaction {last.tx_hash}) says {state} ({last.state.value})",
                code="state_disagreement",
            )
        return last

    # --- other reads --------------------------------------------------------------------------------------------

    async def is_canonical(self, block: BlockRef) -> bool:
        """Whether the node's canonical chain has this hash at this number.

        Raises ChainUnreachable ``chain_behind`` where the node has no block of that number: then nobody can tell.
        """
        answer = await self._rpc.call("eth_getBlockByNumber", [hex(block.number), False])
        now = self._optional_header(answer, f"block {block.number}")
        if now is None:
            raise ChainUnreachable(
                f"{self._rpc.endpoint}: the node has no block {block.number}, which was seen before",
                code="chain_behind",
            )
        return now.block == block

    async def holdings(self, wallet: Address, named: tuple[Address, ...] = ()) -> Holdings:
        """Wei and ERC-20 balances above zero at the head, in 3 round trips (more for hundreds of tokens).

        Tokens are found by ``Transfer`` logs to the wallet since ``from_block``, so one that moves without logs is
        found only if ``named``. A token that reverts or answers nonsense is listed in ``unreadable``.
        """
        for _ in range(_ATTEMPTS):
            try:
                return await self._holdings(wallet, named)
            except _Moved:
                continue
        raise ChainUnreachable(
            f"{self._rpc.endpoint}: the chain's head was replaced during each of {_ATTEMPTS} reads", code="chain_moving"
        )

    async def _holdings(self, wallet: Address, named: tuple[Address, ...]) -> Holdings:
        head = self._heads(await self._rpc.batch(_HEAD_CALLS)).head.block
        to_wallet = [TRANSFER_TOPIC, None, bytes(12) + bytes.fromhex(wallet[2:])]
        incomplete: str | None = None
        tokens = dict.fromkeys(named)
        try:
            balance, transfers = await self._pinned(
                head,
                lambda at: [
                    ("eth_getBalance", [wallet, at]),
                    ("eth_getLogs", [{**self._log_filter(None, to_wallet), "toBlock": hex(head.number)}]),
                ],
            )
            found = parse.logs(self._rpc.demand(transfers), "Transfer logs")
            # ERC-721 has the same event with the id indexed: 4 topics. Its balance is asked the same way.
            tokens |= dict.fromkeys(log.address for log in found if log.topics[:1] == (TRANSFER_TOPIC,))
        except ChainNonsense as error:
            # Anyone can make this list as long as they like; the wallet's own balance must not depend on it.
            incomplete = f"the wallet's Transfer logs could not be read: {error.message}"
            (balance,) = await self._pinned(head, lambda at: [("eth_getBalance", [wallet, at])])
        if len(tokens) > MAX_TOKENS:
            incomplete = f"{len(tokens)} tokens were sent to the wallet, only {MAX_TOKENS} were asked for its balance"
        asked = list(tokens)[:MAX_TOKENS]
        balances, unreadable = await self._balances(wallet, asked, head)
        wei = Wei(parse.quantity(self._rpc.demand(balance), "eth_getBalance", 256))
        return Holdings(wei, balances, head, unreadable, incomplete)

    async def _balances(
        self, wallet: Address, tokens: Sequence[Address], head: BlockRef
    ) -> tuple[tuple[TokenBalance, ...], tuple[UnreadableToken, ...]]:
        if not tokens:
            return (), ()
        call_data = "0x" + (_BALANCE_OF + bytes(12) + bytes.fromhex(wallet[2:])).hex()
        answers = await self._pinned(
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

    # --- below: shared ------------------------------------------------------------------------------------------

    async def _pinned(self, block: BlockRef, calls: Any) -> list[Any]:
        """The answers to ``calls(at)`` at one block, with that block's hash asked before and after them.

        Raises _Moved if the block is no longer canonical.
        """
        at: Any = {"blockHash": block.hash, "requireCanonical": True} if self._by_hash else hex(block.number)
        again: Call = ("eth_getBlockByNumber", [hex(block.number), False])
        answers = await self._rpc.batch([again, *calls(at), again])
        for answer in (answers[0], answers[-1]):
            now = self._optional_header(answer, f"block {block.number}")
            if now is None or now.block != block:
                raise _Moved
        if self._by_hash and any(isinstance(a, RpcFailure) and a.code == -32602 for a in answers[1:-1]):
            # "Invalid params": a node without EIP-1898. By number, with the hash compared around it, is the next best.
            self._by_hash = False
            return await self._pinned(block, calls)
        return answers[1:-1]

    def _heads(self, answers: Sequence[Any]) -> _Heads:
        """Finalized, safe and latest, in this order: each was asked before the next, so they may not decrease."""
        finalized, safe, latest = answers
        if isinstance(latest, RpcFailure) or latest is None:
            raise ChainNonsense(f"{self._rpc.endpoint}: expected the latest block, got {latest or 'none'}")
        head = parse.header(latest, "the latest block")
        numbers: list[BlockNumber | None] = []
        for name, answer in (("finalized", finalized), ("safe", safe)):
            header = self._optional_header(answer, f"the {name} block")
            if header is not None and header.block.number > head.block.number:
                raise _Moved
            numbers.append(None if header is None else header.block.number)
        return _Heads(head, numbers[1], numbers[0])

    def _optional_header(self, answer: Any, what: str) -> parse.Header | None:
        """None where the node refuses (it does not know the tag) or has no such block."""
        return None if answer is None or isinstance(answer, RpcFailure) else parse.header(answer, what)

    def _check_chain(self, answer: Any) -> None:
        actual = ChainId(parse.quantity(self._rpc.demand(answer), "eth_chainId"))
        if self._expected_chain is not None and actual != self._expected_chain:
            raise ChainNonsense(
                f"{self._rpc.endpoint}: expected the chain {self._expected_chain}, the node is of {actual}",
                code="wrong_chain",
            )

    def _log_filter(self, address: Address | None, topics: Sequence[bytes | None]) -> dict[str, Any]:
        result: dict[str, Any] = {
            "fromBlock": hex(self._from_block),
            "topics": [None if topic is None else "0x" + topic.hex() for topic in topics],
        }
        return result if address is None else {**result, "address": address}


_HEAD_CALLS: Final[list[Call]] = [
    ("eth_getBlockByNumber", ["finalized", False]),
    ("eth_getBlockByNumber", ["safe", False]),
    ("eth_getBlockByNumber", ["latest", False]),
]


def _word(slot: int) -> str:
    return "0x" + slot.to_bytes(32, "big").hex()
