"""A damaged file is told as what it is, by every way to it, and nothing is signed on it."""

import asyncio
import shutil
import sqlite3
from contextlib import closing

import pytest

from orchestrator.authorization.restore_guard import restore_finding
from orchestrator.errors import Disposition, JournalError
from orchestrator.journal.store import Journal
from orchestrator.policy import KeyPolicy
from orchestrator.ports.signers import LogEntry
from orchestrator.runbook import advice
from orchestrator.signers.signing_log import FileSigningLog
from tests.profile import FULL

from .facts import KEYSTORE, NOW, STARTED, fetched, intended, signed

PAGE = 4096


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a journal of 160 events."""
    path = tmp_path_factory.mktemp("whole") / "journal.db"

    async def write() -> None:
        async with await Journal.open(f"sqlite:///{path}") as journal:
            for number in range(40):
                digest = f"digest-{number}"
                facts = [STARTED, fetched(digest), intended(digest), signed(digest)]
                await journal.append(f"account-{number}", facts, after=0, at=NOW)

    asyncio.run(write())
    return path.read_bytes()


def zeroed(page: int):
    return lambda data: data[: (page - 1) * PAGE] + bytes(PAGE) + data[page * PAGE :]


CUTS = {
    "a byte": lambda data: data[:-1],
    "100 bytes": lambda data: data[:-100],
    "nearly a page": lambda data: data[: -PAGE + 10],
    "a page": lambda data: data[:-PAGE],
    "three pages": lambda data: data[: -3 * PAGE],
    "half": lambda data: data[: len(data) // 2],
    **{f"page {number} of zeros": zeroed(number) for number in range(2, 36) if FULL or number % 5 == 0},
}


async def refused(call) -> None:
    with pytest.raises(JournalError) as raised:
        await call()
    assert (raised.value.code, raised.value.disposition) == ("journal_damaged", Disposition.OPERATOR)
    assert "backup" in advice(raised.value)


@pytest.mark.parametrize("cut", CUTS)
async def test_nothing_is_signed_on_a_damaged_file(whole, tmp_path, cut):
    path = tmp_path / "journal.db"
    path.write_bytes(CUTS[cut](whole))

    async def sign() -> None:
        async with await Journal.open(f"sqlite:///{path}") as journal:
            await restore_finding(journal, FileSigningLog(tmp_path), KEYSTORE, KeyPolicy())

    async def verify() -> None:
        async with await Journal.open(f"sqlite:///{path}") as journal:
            await journal.verify()

    await refused(sign)
    await refused(verify)


@pytest.mark.parametrize("cut", [name for name in CUTS if "zeros" not in name])
async def test_a_cut_file_is_not_opened(whole, tmp_path, cut):
    """What is written to it would mend its length, and with it hide what was lost."""
    path = tmp_path / "journal.db"
    path.write_bytes(CUTS[cut](whole))
    await refused(lambda: Journal.open(f"sqlite:///{path}"))
    assert path.read_bytes() == CUTS[cut](whole)


async def test_a_cut_under_an_open_journal(whole, tmp_path):
    path = tmp_path / "journal.db"
    path.write_bytes(whole)
    async with await Journal.open(f"sqlite:///{path}") as journal:
        await journal.require_whole()
        with path.open("r+b") as file:
            file.truncate(len(whole) - 100)
        await refused(journal.require_whole)


@pytest.mark.parametrize("back", [0, 1, 30])
async def test_an_event_near_the_end_that_is_another(whole, tmp_path, back):
    path = tmp_path / "journal.db"
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET at = ? WHERE seq = ?", ("2026-01-01T00:00:00.000001Z", 160 - back))
        connection.commit()
    async with await Journal.open(f"sqlite:///{path}") as journal:
        await refused(journal.require_whole)
        assert (await journal.verify()).first_bad == 160 - back


async def test_the_end_of_a_short_journal_is_whole(tmp_path):
    async with await Journal.open(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        for number in range(3):
            await journal.require_whole()
            await journal.append("a", [STARTED], after=number, at=NOW)


async def test_a_cut_log_of_sqlite_loses_what_was_signed_and_the_keystore_s_log_tells(tmp_path):
    """What is left of a write-ahead log is a whole, shorter journal: only what is kept elsewhere can tell."""
    path, copy, log = tmp_path / "journal.db", tmp_path / "copy.db", FileSigningLog(tmp_path / "keys")
    async with await Journal.open(f"sqlite:///{path}") as journal:
        await journal.append("a", [STARTED, fetched("d")], after=0, at=NOW)
        before = path.with_name("journal.db-wal").stat().st_size
        intent = (await journal.append("a", [intended("d")], after=2, at=NOW))[0]
        log.note(
            await journal.identity(),
            LogEntry(
                epoch=0, seq=intent.seq, hash=intent.hash, account_id="a", purpose="creation", digest="d",
                signer="eip155:1:0x", key="alice", at="2026-01-01T00:00:00Z",
            ),
        )  # fmt: skip
        await journal.append("a", [signed("d")], after=3, at=NOW)
        assert await restore_finding(journal, log, KEYSTORE, KeyPolicy()) is None
        shutil.copy(path, copy)
        copy.with_name("copy.db-wal").write_bytes(path.with_name("journal.db-wal").read_bytes()[: before + 100])
    async with await Journal.open(f"sqlite:///{copy}") as journal:
        assert len(await journal.read("a")) == 2
        assert "restored from an older backup" in (await restore_finding(journal, log, KEYSTORE, KeyPolicy()) or "")
