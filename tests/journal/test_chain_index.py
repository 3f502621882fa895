"""The index of a chain in both databases: what is kept, and that of several writers one wins."""

import asyncio

import pytest

from orchestrator.models import AccountId, BlockHash, BlockNumber, BlockRef, TxHash, checksum
from orchestrator.ports.index import AccountLog, Advance, KeptBlock, Log, Position

A, B = AccountId("a"), AccountId("b")
WALLET = checksum("ab" * 20)


def block(number, fork=0):
    return BlockRef(BlockNumber(number), BlockHash(f"0x{number:02x}{fork:062x}"))


def log(account, number, place=0, creates=None, fork=0):
    topics = (b"\x01" * 32, b"\x02" * 32)
    return AccountLog(account, Log(WALLET, topics, b"data", block(number, fork), TxHash("0xcc"), place), creates)


def step(ancestor, number, *logs, oldest=0, finalized=None, fork=0):
    blocks = [KeptBlock(block(at, fork), block(at - 1, fork).hash) for at in range(ancestor + 1, number + 1)]
    return Advance(ancestor, block(number, fork), finalized, blocks, logs, oldest)


@pytest.fixture
def index(journal):
    return journal.chain_index("eip155:1:0xfactory")


async def test_it_begins_with_nothing_and_keeps_what_it_is_given(index, journal):
    assert await index.position() == Position()
    assert await index.logs(A) == (0, [])
    logs = [log(A, 1, creates=WALLET), log(B, 2, 0), log(A, 2, 1)]
    assert await index.advance(0, step(-1, 3, *logs, finalized=block(1))) == frozenset()
    position = await index.position()
    assert (position.version, position.head, position.finalized) == (1, block(3), block(1))
    assert [kept.block for kept in position.blocks] == [block(at) for at in range(4)]
    assert await index.logs(A) == (1, [logs[0], logs[2]])
    assert await index.between(2, 3) == logs[1:]
    assert await index.accounts_of([WALLET, checksum("cd" * 20)]) == {WALLET: A}
    assert await journal.chain_index("eip155:1:0xother").position() == Position()


async def test_what_is_above_the_ancestor_goes_and_its_accounts_are_named(index):
    await index.advance(0, step(-1, 3, log(A, 1), log(B, 3)))
    assert await index.advance(1, step(1, 4, log(A, 3, fork=1), fork=1)) == {B}
    position = await index.position()
    assert [kept.block for kept in position.blocks] == [block(0), block(1), *(block(at, 1) for at in (2, 3, 4))]
    assert await index.between(0, 9) == [log(A, 1), log(A, 3, fork=1)]
    await index.advance(2, step(4, 5, oldest=3, fork=1))
    assert [kept.block.number for kept in (await index.position()).blocks] == [3, 4, 5]


async def test_of_several_who_have_seen_the_same_one_advances_it(index):
    await index.advance(0, step(-1, 1))
    found = await asyncio.gather(*(index.advance(1, step(1, 2, log(A, 2, place))) for place in range(8)))
    assert sorted(done is not None for done in found) == [False] * 7 + [True]
    version, logs = await index.logs(A)
    assert (version, len(logs)) == (2, 1)
    assert not await index.mend(1, A, [])
    assert await index.position() == await index.position()


async def test_without_its_cursor_it_begins_anew(index, database):
    await index.advance(0, step(-1, 3, log(A, 1)))
    database.execute("DELETE FROM chain_cursors")
    assert await index.position() == Position()
    assert await index.advance(1, step(3, 4)) is None
    assert await index.advance(0, step(2, 4, log(B, 2))) == {A}
    assert await index.between(0, 9) == [log(B, 2)]


async def test_one_accounts_logs_are_put_right(index):
    await index.advance(0, step(-1, 3, log(A, 1), log(B, 2), log(A, 3, 4)))
    assert await index.mend(1, A, [log(A, 1, creates=WALLET), log(A, 2)])
    assert await index.logs(A) == (2, [log(A, 1, creates=WALLET), log(A, 2)])
    assert await index.logs(B) == (2, []), "two logs of one place: the one that was read last"
    await index.advance(2, step(3, 3, log(B, 3)))
    assert await index.between(0, 9) == [log(A, 1, creates=WALLET), log(A, 2), log(B, 3)]
