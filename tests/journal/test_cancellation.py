"""A cancelled caller leaves nothing behind: no transaction, no lock, no thread that goes on for ever."""

import asyncio
import contextlib
import gc
import random
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from orchestrator.journal import transactions
from orchestrator.journal.store import Journal
from tests.forked import Forked
from tests.profile import FULL

from .facts import NOW, STARTED

CANCELLED = 1000 if FULL else 30

OTHER = """
import asyncio, sys
from datetime import UTC, datetime
from orchestrator.journal import transactions
from orchestrator.journal.store import Journal
from orchestrator.lifecycle.events import OperationHalted

transactions._WAIT = 1.0  # seconds that each of these writes may wait for the others'

async def main():
    async with await Journal.open(sys.argv[1]) as journal:
        asked, number = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read), 0
        print("ready", flush=True)
        while not asked.done():
            event = OperationHalted(code=str(number), message="m")
            await journal.append("other", [event], after=number, at=datetime.now(UTC))
            number += 1
        print(number)

asyncio.run(main())
"""


@contextlib.contextmanager
def no_collector():
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def append(journal: Journal, stream: str):
    return await journal.append(stream, [STARTED], after=0, at=NOW)


@contextlib.asynccontextmanager
async def held(journal: Journal):
    """A transaction of the journal that holds the write lock."""
    begun, ends = threading.Event(), threading.Event()

    def work(_: sa.Connection) -> None:
        begun.set()
        ends.wait(60)

    holding = asyncio.create_task(journal._database.write(work))
    try:
        await asyncio.to_thread(begun.wait, 60)
        yield holding
    finally:
        ends.set()
        with contextlib.suppress(asyncio.CancelledError):
            await holding


async def turns(count: int = 5) -> None:
    """Lets the tasks of this loop go as far as they can."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.both_databases
async def test_writes_cancelled_at_random_moments_hold_nobody_up(journal, database):
    """Another process writes all the while and never waits for more than a second; nothing is half-written."""
    randomness, told = random.Random(1), 0
    with (
        Forked(
            [sys.executable, "-c", OTHER, database.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other,
        no_collector(),
    ):
        assert await asyncio.to_thread(other.stdout.readline) == "ready\n"
        cancelled = number = 0
        while cancelled < CANCELLED:
            task = asyncio.create_task(append(journal, f"s{number}"))
            asyncio.get_running_loop().call_later(randomness.random() * 0.02, task.cancel)
            try:
                told += len(await task)
            except asyncio.CancelledError:
                cancelled += 1
            number += 1
            assert other.poll() is None, "the other process was kept from writing for a second"
        others = int((await asyncio.to_thread(other.communicate))[0])
    assert other.returncode == 0
    checked = await journal.verify()
    assert checked.valid
    assert others > 0
    assert told <= checked.events - others <= told + cancelled


@pytest.mark.both_databases
async def test_cancelled_while_another_process_has_the_lock_it_leaves_at_once_and_writes_nothing(journal, database):
    async with await Journal.open(database.url) as other:
        async with held(other):
            task = asyncio.create_task(append(journal, "a"))
            await asyncio.to_thread(lambda: None)
            await turns()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await append(other, "b")
        await append(journal, "c")
        assert await journal.streams() == ["b", "c"]


async def test_cancelled_in_the_queue_it_leaves_at_once_and_writes_nothing(journal):
    async with held(journal) as holding:
        tasks = [asyncio.create_task(append(journal, name)) for name in "abc"]
        await turns()
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        assert not holding.done()
    await asyncio.gather(tasks[0], tasks[2])
    assert await journal.streams() == ["a", "c"]


async def test_cancelled_within_the_transaction_it_stays_until_that_has_ended(journal):
    """However often it is cancelled: what the caller reads next is what was written."""
    async with held(journal) as holding:
        for _ in range(3):
            holding.cancel()
            await turns()
            assert not holding.done()
    assert holding.cancelled()


async def test_writers_of_one_process_go_in_the_order_in_which_they_asked(journal):
    async with held(journal):
        tasks = [asyncio.create_task(append(journal, f"s{number}")) for number in range(50)]
        await turns()
    assert [written[0].seq for written in await asyncio.gather(*tasks)] == list(range(1, 51))


async def test_a_queue_that_waits_for_a_lock_gives_up_as_one(journal, database, monkeypatch):
    """Not one after the other, each after a wait of its own."""
    async with await Journal.open(database.url) as other, held(other):
        monkeypatch.setattr(transactions, "_WAIT", 0.3)
        async with asyncio.timeout(10):
            found = await asyncio.gather(*(append(journal, f"s{n}") for n in range(60)), return_exceptions=True)
    assert {getattr(error, "code", None) for error in found} == {"journal_busy"}


async def test_a_read_that_nobody_waits_for_ends(journal):
    begun = threading.Event()

    def work(connection: sa.Connection) -> None:
        while True:
            connection.execute(sa.text("SELECT 1"))
            begun.set()

    reading = asyncio.create_task(journal._database.read(work))
    await asyncio.to_thread(begun.wait, 60)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await journal.close()  # which waits for all threads


async def test_a_cancelled_opening_leaves_no_lock(database):
    """Migrations too are a transaction."""
    for turn in range(30):
        opening = asyncio.create_task(Journal.open(database.url))
        await turns(turn)
        if turn % 3 == 0:
            await asyncio.to_thread(lambda: None)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).close()
    async with await Journal.open(database.url) as journal:
        await append(journal, "a")
        assert (await journal.verify()).valid
