"""The events of one factory's wallets, read for all of them at once: of one block by its hash, or of a range.

Which events these are, the wallets' profile says. A log's account is the one that the factory's event names; where it
names none, the wallet's address stands for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from orchestrator.chain.node import parse
from orchestrator.chain.node.head import Moved, optional_header
from orchestrator.chain.node.logs import LogSearch
from orchestrator.chain.node.parse import Header
from orchestrator.chain.node.rpc import Call, Rpc, RpcFailure
from orchestrator.chain.node.wallets import created_by
from orchestrator.errors import ChainError, ChainNonsense
from orchestrator.models import AccountId, Address
from orchestrator.ports.index import AccountLog, ChainIndex, Log
from orchestrator.wallet.findings import Created
from orchestrator.wallet.reading import Profile

_MOST_AGAIN: Final = 90
"""Blocks that are asked again by their hash: one round trip."""
_MOST_NAMED: Final = 500
"""Contracts in one search. Geth takes 1,000 (``--rpc.logquerylimit``)."""
_TOO_MANY: Final = frozenset({"logs_limited", "rpc_refused", "answer_unreadable"})
"""What a search ends with that a node refuses, of one block too."""
_NAMED_FOR: Final = 3600.0
"""Seconds until it is asked without names again."""


class WalletEvents:
    """Reads the logs of all wallets of one factory. A state's change is asked for by its topic alone, since the wallets
    are too many to be named; what other contracts log under it is left out."""

    def __init__(self, rpc: Rpc, factory: Address, profile: Profile) -> None:
        self._rpc = rpc
        self._search = LogSearch(rpc)
        self._factory = factory
        self._profile = profile
        self._alone = factory if profile.state_topic is None else None
        """Who logs what is asked for: the factory alone, or (None) the wallets, too, which are too many to be named."""
        self._topics = [topic for topic in (profile.created_topic, profile.state_topic) if topic is not None]
        self._named_until = float("-inf")

    async def of_block(self, header: Header, index: ChainIndex) -> list[AccountLog]:
        """The logs of one block, asked for by its hash (EIP-234): a node that does not have it yet says so, where a
        range beyond its head would be empty. By number where the node does not take hashes. Raises Moved."""
        if not self._topics:
            return []
        again: Call = ("eth_getBlockByNumber", [hex(header.block.number), False])
        by_hash, now = await self._rpc.batch([self._by_hash(header), again])
        if not self._named and not isinstance(by_hash, RpcFailure):
            return await self._of_accounts(self._of({header.block.number: header}, await _logs(by_hash)), index)
        there = optional_header(now, f"block {header.block.number}")
        if there is None or there.block != header.block:
            raise Moved
        return await self.of_range(header.block.number, [header], index)

    async def of_range(self, first: int, headers: Sequence[Header], index: ChainIndex) -> list[AccountLog]:
        """The logs of the blocks from ``first`` to the last header's. Of the blocks whose header is given, each log
        must be of that hash; one whose filter has our topics, and of which there is no log, is asked again by its hash.
        Raises Moved."""
        last = headers[-1].block.number
        if not self._topics:
            return []
        by_number: dict[int, Header] = {header.block.number: header for header in headers}
        found = self._of(by_number, await self._between(first, last, index))
        return await self._of_accounts(found + await self._again(by_number, found), index)

    async def between(self, first: int, last: int, index: ChainIndex) -> list[AccountLog]:
        """The logs of a range. Of which chain's blocks they are is the caller's to compare."""
        if not self._topics:
            return []
        return await self._of_accounts(self._of({}, await self._between(first, last, index)), index)

    async def _between(self, first: int, last: int, index: ChainIndex) -> list[Log]:
        if not self._named:
            try:
                return await self._search.logs(self._alone, [self._topics], first, last)
            except ChainError as error:
                if error.code not in _TOO_MANY:
                    raise
                self._named_until = time.monotonic() + _NAMED_FOR
        if self._alone is not None:
            return await self._of_contracts([self._alone], first, last)
        wallets = [one.creates for one in await index.between(0, last) if one.creates is not None]
        found = await self._of_contracts([self._factory, *wallets], first, last)
        made = {created.wallet for log in found if (created := self._created(log))} - {*wallets}
        return found + await self._of_contracts(sorted(made), first, last)

    async def _of_contracts(self, contracts: Sequence[Address], first: int, last: int) -> list[Log]:
        found: list[Log] = []
        for start in range(0, len(contracts), _MOST_NAMED):
            found += await self._search.logs(contracts[start : start + _MOST_NAMED], [self._topics], first, last)
        return found

    @property
    def _named(self) -> bool:
        """Whether the contracts are named in a search. Some nodes ask for that; and anybody can log a change of state,
        as often as a block has room for, so that a search without has more results than a node gives."""
        return time.monotonic() < self._named_until

    async def _again(self, headers: dict[int, Header], found: Sequence[Log]) -> list[Log]:
        """The logs of the blocks that ought to have some by their filter: a node behind a balancer may not have had the
        end of the range yet, and leave out what it does not have."""
        created, changed = self._profile.created_topic, self._profile.state_topic
        there = {(log.topics[0], log.block.number) for log in found}
        factory = bytes.fromhex(self._factory[2:])
        suspected = [
            header
            for number, header in headers.items()
            if (created and (created, number) not in there and header.may_have(factory, created))
            or (changed and (changed, number) not in there and header.may_have(changed))
        ][-_MOST_AGAIN:]
        if not suspected or self._named:
            return []
        answers = await self._rpc.batch([self._by_hash(header) for header in suspected])
        more: list[Log] = []
        places = {(log.block.number, log.index) for log in found}
        for header, answer in zip(suspected, answers, strict=True):
            if not isinstance(answer, RpcFailure):
                logs = self._of({header.block.number: header}, await _logs(answer))
                more += [log for log in logs if (log.block.number, log.index) not in places]
        return more

    def _of(self, headers: dict[int, Header], logs: Sequence[Log]) -> list[Log]:
        """The logs, all of which must be of what was asked for. Raises Moved, ChainNonsense."""
        for log in logs:
            header = headers.get(log.block.number)
            if header is not None and log.block != header.block:
                raise Moved
            if not log.topics or log.topics[0] not in self._topics:
                raise ChainNonsense(f"{self._rpc.endpoint}: asked for the wallets' logs, got one of {log.address}")
        return list(logs)

    async def _of_accounts(self, logs: Sequence[Log], index: ChainIndex) -> list[AccountLog]:
        """Those of the logs that are of a wallet of this factory, with its account."""
        changed = [log for log in logs if log.topics[0] == self._profile.state_topic]
        accounts = await index.accounts_of(list({log.address for log in changed}))
        found = []
        for log in logs:
            created = self._created(log)
            if created is not None:
                account_id = created.account or AccountId(created.wallet)
                accounts[created.wallet] = account_id
                found.append(AccountLog(account_id, log, created.wallet))
        found += [AccountLog(accounts[log.address], log) for log in changed if log.address in accounts]
        return sorted(found, key=lambda one: (one.log.block.number, one.log.index))

    def _created(self, log: Log) -> Created | None:
        """The wallet that the factory says in it to have made."""
        return created_by(self._profile, self._factory, log)

    def _by_hash(self, header: Header) -> Call:
        topics = ["0x" + topic.hex() for topic in self._topics]
        question = {"blockHash": header.block.hash, "topics": [topics]}
        return ("eth_getLogs", [question if self._alone is None else {**question, "address": self._alone}])


async def _logs(answer: Any) -> list[Log]:
    return await parse.many_logs(answer, "the wallets' logs")
