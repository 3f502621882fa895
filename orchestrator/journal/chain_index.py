"""The index of a chain in the journal's database. Implements ``ports.index.ChainIndex``.

A process advances it from the version that it has seen, or not at all: so any number of processes follow one chain in
one database, and what the fastest has read the others take over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from orchestrator.journal.schema import chain_blocks, chain_cursors, chain_logs
from orchestrator.journal.transactions import Database
from orchestrator.models import AccountId, Address, BlockHash, BlockNumber, BlockRef, TxHash
from orchestrator.ports.index import AccountLog, Advance, KeptBlock, Log, Position

_MOST_NAMES: Final = 500
"""Values in one query."""


class StoredIndex:
    """The rows of one name: of one factory's wallets on one chain, from one block on."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    async def position(self) -> Position:
        def work(connection: sa.Connection) -> Position:
            cursor = connection.execute(self._of(chain_cursors)).first()
            if cursor is None:
                return Position()
            blocks = connection.execute(self._of(chain_blocks).order_by(chain_blocks.c.number))
            return Position(
                cursor.version,
                _block(cursor.number, cursor.hash),
                None if cursor.finalized_number is None else _block(cursor.finalized_number, cursor.finalized_hash),
                tuple(KeptBlock(_block(row.number, row.hash), BlockHash(row.parent)) for row in blocks),
            )

        return await self._database.read(work, snapshot=True)

    async def advance(self, seen: int, step: Advance) -> frozenset[AccountId] | None:
        finalized = step.finalized
        cursor = {
            "number": step.head.number,
            "hash": step.head.hash,
            "finalized_number": None if finalized is None else finalized.number,
            "finalized_hash": None if finalized is None else finalized.hash,
        }
        blocks = [
            {"name": self._name, "number": kept.block.number, "hash": kept.block.hash, "parent": kept.parent}
            for kept in step.blocks
        ]
        logs = [self._row(log) for log in step.logs]

        def work(connection: sa.Connection) -> frozenset[AccountId] | None:
            if not self._take(connection, seen, cursor):
                return None
            # Without a cursor there is nothing to go on from, whatever rows are left of it.
            ancestor = -1 if seen == 0 else step.ancestor
            above = self._of(chain_logs, chain_logs.c.account_id).where(chain_logs.c.number > ancestor)
            dropped = frozenset(AccountId(name) for name in connection.execute(above.distinct()).scalars())
            if dropped:
                self._delete(connection, chain_logs, chain_logs.c.number > ancestor)
            outside = sa.or_(chain_blocks.c.number > ancestor, chain_blocks.c.number < step.oldest)
            self._delete(connection, chain_blocks, outside)
            self._clear(connection, [row for row in logs if row["number"] <= ancestor])
            for table, rows in ((chain_blocks, blocks), (chain_logs, logs)):
                if rows:
                    connection.execute(table.insert(), rows)
            return dropped

        return await self._database.write(work)

    async def mend(self, seen: int, account_id: AccountId, logs: Sequence[AccountLog]) -> bool:
        rows = [self._row(log) for log in logs]

        def work(connection: sa.Connection) -> bool:
            if not self._take(connection, seen, {}):
                return False
            self._delete(connection, chain_logs, chain_logs.c.account_id == account_id)
            self._clear(connection, rows)
            if rows:
                connection.execute(chain_logs.insert(), rows)
            return True

        return await self._database.write(work)

    async def logs(self, account_id: AccountId) -> tuple[int, list[AccountLog]]:
        query = self._of(chain_logs).where(chain_logs.c.account_id == account_id)

        def work(connection: sa.Connection) -> tuple[int, list[AccountLog]]:
            version = connection.execute(self._of(chain_cursors, chain_cursors.c.version)).scalar_one_or_none()
            return version or 0, _logs(connection, query)

        return await self._database.read(work, snapshot=True)

    async def between(self, first: int, last: int) -> list[AccountLog]:
        query = self._of(chain_logs).where(chain_logs.c.number.between(first, last))
        return await self._database.read(lambda connection: _logs(connection, query))

    async def accounts_of(self, wallets: Sequence[Address]) -> dict[Address, AccountId]:
        def work(connection: sa.Connection) -> dict[Address, AccountId]:
            found: dict[Address, AccountId] = {}
            for start in range(0, len(wallets), _MOST_NAMES):
                some = wallets[start : start + _MOST_NAMES]
                query = self._of(chain_logs, chain_logs.c.wallet, chain_logs.c.account_id)
                for row in connection.execute(query.where(chain_logs.c.wallet.in_(some))):
                    found[Address(row.wallet)] = AccountId(row.account_id)
            return found

        return await self._database.read(work) if wallets else {}

    # --- inside --------------------------------------------------------------------------------------------------

    def _take(self, connection: sa.Connection, seen: int, values: dict[str, Any]) -> bool:
        """Makes the version one more, if it is ``seen``. Writers go one at a time, so what is read here stays."""
        version = connection.execute(self._of(chain_cursors, chain_cursors.c.version)).scalar_one_or_none()
        if (version or 0) != seen:
            return False
        if version is None:
            connection.execute(chain_cursors.insert(), {"name": self._name, "version": 1, **values})
        else:
            mine = chain_cursors.update().where(chain_cursors.c.name == self._name)
            connection.execute(mine.values(version=seen + 1, **values))
        return True

    def _of(self, table: sa.Table, *columns: sa.Column[Any]) -> sa.Select[Any]:
        return sa.select(*columns or table.columns).where(table.c.name == self._name)

    def _delete(self, connection: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> None:
        connection.execute(table.delete().where(table.c.name == self._name, *where))

    def _clear(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Makes room for these logs."""
        for row in rows:
            same = (chain_logs.c.number == row["number"], chain_logs.c.place == row["place"])
            self._delete(connection, chain_logs, *same)

    def _row(self, one: AccountLog) -> dict[str, Any]:
        return {
            "name": self._name,
            "number": one.log.block.number,
            "place": one.log.index,
            "hash": one.log.block.hash,
            "account_id": one.account_id,
            "address": one.log.address,
            "topics": b"".join(one.log.topics),
            "data": one.log.data,
            "tx_hash": one.log.tx_hash,
            "wallet": one.creates,
        }


def _block(number: int, digest: str) -> BlockRef:
    return BlockRef(BlockNumber(number), BlockHash(digest))


def _logs(connection: sa.Connection, query: sa.Select[Any]) -> list[AccountLog]:
    return [_log(row) for row in connection.execute(query.order_by(chain_logs.c.number, chain_logs.c.place))]


def _log(row: Any) -> AccountLog:
    topics = tuple(bytes(row.topics[start : start + 32]) for start in range(0, len(row.topics), 32))
    log = Log(
        Address(row.address), topics, bytes(row.data), _block(row.number, row.hash), TxHash(row.tx_hash), row.place
    )
    return AccountLog(AccountId(row.account_id), log, None if row.wallet is None else Address(row.wallet))
