"""A node in memory: a chain of blocks that hold the wallets' logs, and what nodes do to those who read them."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field

from eth_hash.auto import keccak

from orchestrator.chain.node.rpc import Rpc, RpcFailure
from orchestrator.models import AccountId, Address, checksum
from orchestrator.wallet.contract import account_word, address_word
from orchestrator.wallet.profile import load_profile

SMART_WALLET = load_profile("smart-wallet")

CHAIN = 31337
ESCROW = bytes(12) + b"\xee" * 20
NO_BLOOM = bytes(256)


def account(number: int) -> AccountId:
    return AccountId(str(uuid.UUID(int=number + 1)))


def wallet(number: int) -> Address:
    return checksum(hashlib.sha256(b"wallet%d" % number).digest()[:20].hex())


def bloom_of(logs: list[dict]) -> bytes:
    bits = 0
    for log in logs:
        for text in (log["address"], *log["topics"]):
            digest = keccak(bytes.fromhex(text[2:]))
            for at in (0, 2, 4):
                bits |= 1 << int.from_bytes(digest[at : at + 2], "big") % 2048
    return bits.to_bytes(256, "big")


@dataclass
class Block:
    number: int
    hash: str
    parent: str
    logs: list[dict]


@dataclass
class ModelNode:
    """``range_limit``: blocks in one search. ``hides``: searches by range leave all logs out. ``lags``: by how many
    blocks the head is behind. ``finality``: how far ``finalized`` is behind the head, None: an unknown tag."""

    factory: Address
    finality: int | None = 8
    range_limit: int | None = None
    asks_for_names: bool = False
    hides: bool = False
    lags: int = 0
    blooms: bool = True
    blocks: list[Block] = field(default_factory=list)
    requests: int = 0
    calls: list[tuple[str, list]] = field(default_factory=list)
    _salt: int = 0

    def __post_init__(self) -> None:
        self.mine()

    # --- the chain -----------------------------------------------------------------------------------------------

    def mine(self, *events: tuple[int, int | None], count: int = 1) -> None:
        """``count`` blocks, the last one with these events: an account's number, and the state that its wallet takes;
        None: its creation, -1: a log of the same topic by a contract that is no wallet. What no chain can do is left
        out: a wallet that changes before it is created, or is created twice."""
        created = {account_of(log) for block in self.blocks for log in block.logs if log["address"] == self.factory}
        possible = []
        for number, state in events:
            if state == -1 or (state is None) != (account(number) in created):
                possible.append((number, state))
                created |= {account(number)} if state is None else set()
        for left in reversed(range(count)):
            number, parent = len(self.blocks), self.blocks[-1].hash if self.blocks else "0x" + "00" * 32
            digest = "0x" + hashlib.sha256(f"{parent}{number}{self._salt}".encode()).hexdigest()
            logs = [] if left else [self._log(at, *event) for at, event in enumerate(possible)]
            for log in logs:
                tx_hash = hashlib.sha256(f"{digest}{log['logIndex']}".encode()).hexdigest()
                log.update(blockNumber=hex(number), blockHash=digest, transactionHash=f"0x{tx_hash}")
            self.blocks.append(Block(number, digest, parent, logs))

    def drop(self, depth: int) -> None:
        """The newest blocks go; what is mined from here on has other hashes."""
        self._salt += 1
        del self.blocks[max(1, len(self.blocks) - depth) :]

    def _log(self, at: int, number: int, state: int | None) -> dict:
        if state is None:
            topics = [
                SMART_WALLET.created_topic,
                address_word(wallet(number)),
                bytes(12) + b"\x0a" * 20,
                account_word(account(number)),
            ]
            address, data = self.factory, ESCROW + bytes(64)
        else:
            topics = [SMART_WALLET.state_topic, bytes(32), abs(state).to_bytes(32, "big")]
            address, data = wallet(number) if state >= 0 else checksum("cc" * 20), b""
        return {
            "address": address,
            "topics": ["0x" + topic.hex() for topic in topics],
            "data": "0x" + data.hex(),
            "logIndex": hex(at),
            "removed": False,
        }

    def expected(self) -> list[tuple[str, int, str, int]]:
        """What an index of this chain has: account, block, its hash, the log's place."""
        wallets = {wallet(number): account(number) for number in range(64)}
        found, created = [], set()
        for block in self.blocks:
            for log in block.logs:
                if log["address"] == self.factory:
                    created.add(account_of(log))
            for log in block.logs:
                name = account_of(log) if log["address"] == self.factory else wallets.get(log["address"])
                if name in created:
                    found.append((name, block.number, block.hash, int(log["logIndex"], 16)))
        return found

    # --- the node ------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Block:
        return self.blocks[max(0, len(self.blocks) - 1 - self.lags)]

    def answer(self, method: str, params: list):
        """A result, or (code, message)."""
        self.calls.append((method, params))
        if method == "eth_chainId":
            return hex(CHAIN)
        if method == "eth_getBlockByNumber":
            return self._block(params[0])
        if method == "eth_getCode":
            return "0x01"
        assert method == "eth_getLogs", method
        return self._search(params[0])

    def _block(self, tag: str):
        head = self.head.number
        if tag in ("finalized", "safe") and self.finality is None:
            return (-32602, "unknown tag")
        number = {"latest": head, "safe": head, "finalized": max(0, head - (self.finality or 0))}.get(tag)
        number = int(tag, 16) if number is None else number
        if number > head:
            return None
        block = self.blocks[number]
        return {
            "number": hex(number),
            "hash": block.hash,
            "parentHash": block.parent,
            "timestamp": hex(number),
            "logsBloom": "0x" + (bloom_of(block.logs) if self.blooms and block.logs else NO_BLOOM).hex(),
        }

    def _search(self, query: dict):
        if self.asks_for_names and "address" not in query:
            return (-32701, "Please specify an address in your request")
        if "blockHash" in query:
            found = [block for block in self.blocks[: self.head.number + 1] if block.hash == query["blockHash"]]
            if not found:
                return (-32000, "unknown block")
            return [log for log in found[0].logs if _wanted(query, log)]
        first, last = int(query["fromBlock"], 16), min(int(query["toBlock"], 16), self.head.number)
        if self.range_limit is not None and last - first >= self.range_limit:
            return (-32005, f"block range is limited to {self.range_limit} blocks")
        logs = [] if self.hides else [log for block in self.blocks[first : last + 1] for log in block.logs]
        return [log for log in logs if _wanted(query, log)]


def account_of(log: dict) -> AccountId:
    return AccountId(str(uuid.UUID(hex=log["topics"][3][2:34])))


def _wanted(query: dict, log: dict) -> bool:
    named = query.get("address", log["address"])
    if log["address"] not in ([named] if isinstance(named, str) else named):
        return False
    for asked, has in zip(query["topics"], log["topics"], strict=False):
        if asked is not None and has not in ([asked] if isinstance(asked, str) else asked):
            return False
    return True


class ModelRpc(Rpc):
    """An Rpc without HTTP: each batch is one round trip to the model."""

    def __init__(self, node: ModelNode) -> None:
        super().__init__("http://model.invalid")
        self.node = node

    async def batch(self, calls):
        self.node.requests += 1
        answers = [self.node.answer(*call) for call in calls]
        return [
            RpcFailure(method, *answer) if isinstance(answer, tuple) else answer
            for (method, _), answer in zip(calls, answers, strict=True)
        ]
