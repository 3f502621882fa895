"""The journal on PostgreSQL: what only a server can do, or fail at. Everything else is tested on both databases."""

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from orchestrator.errors import Disposition, JournalError, OrchestratorError, SettingsError
from orchestrator.journal import postgres, transactions
from orchestrator.journal.database import lock_name, open_database, server_url
from orchestrator.journal.store import Journal
from tests.forked import Forked

from .facts import NOW, STARTED
from .postgres import PASSWORD


@pytest.fixture
def url(postgres_server):
    return postgres_server.new_database()


@pytest.fixture
async def journal(url):
    async with await Journal.open(url) as opened:
        yield opened


def name_of(url: str) -> str:
    return server_url(url).database


# --- durability and order --------------------------------------------------------------------------------------------


def shown(connection: sa.Connection) -> str:
    return connection.execute(sa.text("SHOW synchronous_commit")).scalar_one()


async def test_writers_are_durable_and_go_one_at_a_time(journal):
    """The server's own defaults are the opposite of all three."""

    def work(connection: sa.Connection) -> None:
        for setting, expected in (("synchronous_commit", "on"), ("transaction_isolation", "read committed")):
            assert connection.execute(sa.text(f"SHOW {setting}")).scalar_one() == expected
        waits = connection.execute(sa.text("SELECT setting::int FROM pg_settings WHERE name = 'lock_timeout'"))
        assert 25_000 < waits.scalar_one() <= 30_000
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()"
        assert connection.execute(sa.text(locks)).scalar_one() == 1

    await journal._database.write(work)
    assert await journal._database.read(shown) == "off", "as it was"


async def test_a_server_that_asks_for_more_keeps_it(journal, url, postgres_server):
    postgres_server.run(f"ALTER DATABASE {name_of(url)} SET synchronous_commit = 'remote_apply'")
    async with await Journal.open(url) as again:
        assert await again._database.write(shown) == "remote_apply"


async def test_verifying_sees_one_moment(journal):
    await journal.append("a", [STARTED], after=0, at=NOW)
    loop = asyncio.get_running_loop()

    def work(connection: sa.Connection) -> list[int]:
        count = sa.text("SELECT count(*) FROM events")
        before = connection.execute(count).scalar_one()
        appending = journal.append("b", [STARTED], after=0, at=NOW)
        asyncio.run_coroutine_threadsafe(appending, loop).result()
        return [before, connection.execute(count).scalar_one()]

    assert await journal._database.read(work, snapshot=True) == [1, 1]
    assert (await journal.head())[0] == 2


# --- databases that are none -----------------------------------------------------------------------------------------


async def test_another_program_s_database_is_left_alone(url, postgres_server):
    postgres_server.run("CREATE TABLE customers (id int)", name_of(url))
    with pytest.raises(SettingsError) as raised:
        await open_database(url)
    assert raised.value.code == "database_foreign"
    tables = postgres_server.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name_of(url))
    assert tables == [("customers",)]


async def test_a_newer_release_s_database(journal, url, postgres_server):
    postgres_server.run("UPDATE alembic_version SET version_num = '9999'", name_of(url))
    with pytest.raises(SettingsError) as raised:
        await open_database(url)
    assert raised.value.code == "database_newer"


async def test_a_user_who_may_not(journal, url, postgres_server):
    postgres_server.run(f"CREATE ROLE reader_{name_of(url)} LOGIN PASSWORD '{PASSWORD}'")
    other = url.replace("postgres:", f"reader_{name_of(url)}:", 1)
    with pytest.raises(SettingsError) as raised:
        await open_database(other)
    assert raised.value.code == "database_unusable"
    assert "permission denied" in raised.value.message


async def test_several_processes_make_one_database(url):
    code = (
        "import asyncio, sys\nfrom orchestrator.journal.store import Journal\n"
        "async def main():\n    async with await Journal.open(sys.argv[1]) as journal:\n"
        "        print(await journal.identity())\n"
        "sys.stdin.readline()\nasyncio.run(main())"
    )
    command = [sys.executable, "-c", code, url]
    racers = [Forked(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in racers:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = {process.communicate()[0] for process in racers}
    assert [process.returncode for process in racers] == [0] * 3
    assert len(told) == 1


# --- secrets ---------------------------------------------------------------------------------------------------------

WRONG = "hunter2-and-more"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((PASSWORD, WRONG), "database_unusable"),
        (("/postgres?", "/nowhere?"), "database_unusable"),
        (("postgres:", "nobody:"), "database_unusable"),
        (("host=/", f"sslpassword={WRONG}&host=/nowhere/"), "journal_unreachable"),
        (("host=/", f"password={WRONG}&host=/nowhere/"), "journal_unreachable"),
        (("host=/", f"{WRONG}=1&host=/"), "database_unusable"),
        (("@/", "@127.0.0.1:1/"), "journal_unreachable"),
        (("@/", "@127.0.0.1:99999/"), "database_unusable"),
        (("host=/", "sslmode=what&host=/"), "database_unusable"),
    ],
)
async def test_no_password_in_an_error(postgres_server, change, code, caplog):
    caplog.set_level(logging.DEBUG)
    url = postgres_server.url().replace(*change, 1)
    if "127.0.0.1" in url:
        url = url.partition("?")[0]
    with pytest.raises(OrchestratorError) as raised:
        await open_database(url)
    assert raised.value.code == code
    chain, error = [], raised.value
    while error is not None and not error.__suppress_context__:
        chain.append(error)
        error = error.__cause__ or error.__context__
    chain.append(error)
    for text in (*map(str, chain), *map(repr, chain), caplog.text):
        assert PASSWORD not in text
        assert WRONG not in text or WRONG in change[1].partition("=")[0]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h:port/d",
        "postgresql://u:hunter2@h:1:2/d",
        "postgresql://u:hunter2@127.0.0.1/d?port=hunter2",
        f"postgresql://u:hunter2@{'a' * 300}/d",
        "postgresql://u:hunter2@\ud800/d",
    ],
)
async def test_urls_that_are_none(url):
    with pytest.raises(SettingsError) as raised:
        await open_database(url)
    assert raised.value.code == "database_url"
    assert "hunter2" not in raised.value.message


def test_locks_are_named_without_the_password():
    name = lock_name("postgresql://u:one@host/d")
    assert name == lock_name("postgres://u:two@host/d")
    assert name == lock_name("postgresql://u@host/d?password=three")
    assert len({name, lock_name("postgresql://u:one@host/e"), lock_name("postgresql://u:one@other/d")}) == 3
    assert lock_name("sqlite:////tmp/x") is None


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match=r'pip install "offblocks-orchestrator\[postgres\]"') as raised:
        postgres.postgres_engine(server_url("postgresql://u@host/d"))
    assert raised.value.code == "extra_missing"


# --- lost connections ------------------------------------------------------------------------------------------------


def cut_all(server, url: str) -> None:
    server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(url)}'")


async def test_an_idle_connection_that_was_cut_is_no_trouble(journal, url, postgres_server):
    await journal.append("a", [STARTED], after=0, at=NOW)
    cut_all(postgres_server, url)
    await journal.append("a", [STARTED], after=1, at=NOW)
    assert len(await journal.read("a")) == 2


async def test_cut_before_the_commit_is_surely_not_written(journal, url, postgres_server):
    def cut_in_the_middle(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO claims VALUES ('a', 's')"))
        cut_all(postgres_server, url)
        connection.execute(sa.text("INSERT INTO claims VALUES ('b', 's')"))

    with pytest.raises(JournalError) as raised:
        await journal._database.write(cut_in_the_middle)
    assert (raised.value.code, raised.value.disposition) == ("journal_unreachable", Disposition.RETRY)
    assert await journal.claimed_accounts() == set()
    await journal.append("a", [STARTED], after=0, at=NOW)


async def test_a_silent_writer_is_ended_and_others_go_on(journal, url, monkeypatch):
    monkeypatch.setattr(postgres, "_BEGIN_WRITE", postgres._BEGIN_WRITE.replace("'60s'", "'200ms'"))

    loop = asyncio.get_running_loop()
    async with await Journal.open(url) as other:

        def go_silent(connection: sa.Connection) -> None:
            appending = other.append("a", [STARTED], after=0, at=NOW)
            asyncio.run_coroutine_threadsafe(appending, loop).result()
            connection.execute(sa.text("INSERT INTO claims VALUES ('a', 's')"))

        with pytest.raises(JournalError) as raised:
            await journal._database.write(go_silent)
    assert (raised.value.code, raised.value.disposition) == ("journal_unreachable", Disposition.RETRY)
    assert len(await journal.read("a")) == 1


class Proxy:
    """Between the journal and the server. Once ``cut`` is set, the next COMMIT goes to the server or not (``arrives``),
    and the connection is lost before its answer. Once ``silent`` is set, nothing comes through any more."""

    def __init__(self, server, folder, *, arrives: bool) -> None:
        self._target = next((server.folder / "socket").glob(".s.PGSQL.*[0-9]"))
        self._arrives = arrives
        self.cut = self.silent = False
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / self._target.name))
        self._listener.listen()

    def __enter__(self) -> "Proxy":
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in (self._listener, *self._sockets):
            one.close()

    def _run(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                upstream = socket.socket(socket.AF_UNIX)
                self._sockets += [client, upstream]
                upstream.connect(str(self._target))
                self._run(self._pump, client, upstream, self._arrives)
                self._run(self._pump, upstream, client, False)

    def _pump(self, source: socket.socket, target: socket.socket, passed: bool) -> None:
        """Both ways: the command on its way there, the command's tag on its way back."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                last = self.cut and b"COMMIT\x00" in data
                if (passed or not last) and not self.silent:
                    target.sendall(data)
                if last and not passed:
                    break
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("arrives", [True, False])
async def test_cut_while_committing_is_uncertain(url, postgres_server, tmp_path_factory, arrives):
    folder = tmp_path_factory.mktemp("p")
    proxied = url.partition("?")[0] + f"?host={folder}"
    with Proxy(postgres_server, folder, arrives=arrives) as proxy:
        async with await Journal.open(proxied) as journal:
            await journal.append("a", [STARTED], after=0, at=NOW)
            proxy.cut = True
            with pytest.raises(JournalError) as raised:
                await journal.append("a", [STARTED], after=1, at=NOW)
            proxy.cut = False
            assert (raised.value.code, raised.value.disposition) == ("journal_uncertain", Disposition.RETRY)
            # What a caller does next: it reads again.
            assert len(await journal.read("a")) == (2 if arrives else 1)
            await journal.append("a", [STARTED], after=2 if arrives else 1, at=NOW)
            assert (await journal.verify()).valid


async def test_a_server_that_has_gone_silent_holds_no_cancelled_caller(
    journal, url, postgres_server, tmp_path_factory, monkeypatch
):
    monkeypatch.setattr(transactions, "_PATIENCE", 0.1)
    folder = tmp_path_factory.mktemp("p")
    begun = threading.Event()
    with Proxy(postgres_server, folder, arrives=True) as proxy:

        def work(connection: sa.Connection) -> None:
            proxy.silent = True
            begun.set()
            connection.execute(sa.text("INSERT INTO claims VALUES ('a', 's')"))

        async with await Journal.open(f"{url.partition('?')[0]}?host={folder}") as proxied:
            writing = asyncio.create_task(proxied._database.write(work))
            await asyncio.to_thread(begun.wait, 60)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            await journal.append("a", [STARTED], after=0, at=NOW)  # the server has rolled back, and its lock is free
            assert await journal.claimed_accounts() == set()
            proxy.silent = False
            await proxied.append("a", [STARTED], after=1, at=NOW)


async def test_a_server_that_is_gone_and_comes_back_elsewhere(url, postgres_server):
    """Nothing is listening at the folder any more: passing trouble, and not a setting that is wrong."""
    nowhere = url.partition("?")[0] + "?host=/tmp/nothing-here"
    with pytest.raises(JournalError) as raised:
        await open_database(nowhere)
    assert (raised.value.code, raised.value.disposition) == ("journal_unreachable", Disposition.RETRY)
