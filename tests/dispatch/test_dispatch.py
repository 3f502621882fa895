"""Embedded dispatch: the lock that dies with its process, wake-ups, and timeouts."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.dispatch import operations as dispatching
from orchestrator.dispatch.embedded import EmbeddedDispatch, Wakes
from orchestrator.dispatch.locks import AccountLocks
from orchestrator.dispatch.operations import Operations, resolve
from orchestrator.errors import Disposition, JournalError, SettingsError
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle.decide import End, Halt, Wait
from orchestrator.models import AccountStatus, OperationKind
from tests.forked import Forked
from tests.lab import CUSTOMER, OWNER

ACCOUNT = "a0000000-0000-4000-8000-000000000001"
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
WAIT = Wait("the moon", SINCE, SINCE + timedelta(hours=1))

HOLDER = """
import asyncio, sys, time
from pathlib import Path
from orchestrator.dispatch.locks import AccountLocks

async def main():
    async with AccountLocks(Path(sys.argv[1])).hold(sys.argv[2], time.monotonic()):
        print("held", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the account's lock."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "locks"), ACCOUNT]
    with Forked(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


async def test_a_lock_dies_with_its_process(tmp_path, holder):
    locks = AccountLocks(tmp_path / "locks")
    with pytest.raises(JournalError) as raised:
        async with locks.hold(ACCOUNT, time.monotonic()):
            raise AssertionError("held twice")
    assert (raised.value.code, raised.value.disposition) == ("account_busy", Disposition.RETRY)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    async with locks.hold(ACCOUNT, time.monotonic()):  # at once: no lease has to run out
        pass


async def test_a_waiting_command_goes_on_when_the_holder_is_killed(tmp_path, holder):
    told: list[str] = []

    def waiting(what: str) -> None:
        told.append(what)
        os.kill(holder.pid, signal.SIGKILL)

    async with AccountLocks(tmp_path / "locks").hold(ACCOUNT, time.monotonic() + 60, waiting):
        assert told == ["another process to finish its work on this account"]


async def test_two_drivers_of_one_account_take_turns(tmp_path):
    inside: list[int] = []
    most = 0

    async def drive(number: int) -> None:
        nonlocal most
        async with AccountLocks(tmp_path).hold(ACCOUNT, time.monotonic() + 60):
            inside.append(number)
            most = max(most, len(inside))
            await asyncio.sleep(0)
            inside.remove(number)

    await asyncio.gather(*(drive(number) for number in range(5)))
    assert most == 1


async def test_accounts_do_not_wait_for_each_other(tmp_path):
    locks = AccountLocks(tmp_path)
    async with locks.hold("one", time.monotonic()), locks.hold("two", time.monotonic()):
        pass


async def test_a_lock_is_free_after_an_error_and_after_a_cancellation(tmp_path):
    locks = AccountLocks(tmp_path)
    for error in (ValueError, asyncio.CancelledError):
        with pytest.raises(error):
            async with locks.hold(ACCOUNT, time.monotonic()):
                raise error
    async with locks.hold(ACCOUNT, time.monotonic()):
        pass


async def test_a_folder_that_takes_no_locks(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError) as raised:
        async with AccountLocks(tmp_path / "file").hold(ACCOUNT, time.monotonic()):
            pass
    assert raised.value.code == "lock_unusable"


# --- driving -----------------------------------------------------------------


@dataclass
class Told:
    action: Wait | Halt | End
    trouble: None = None


class Scripted:
    """A runner that answers with these actions, the last one for ever."""

    def __init__(self, *actions) -> None:
        self.actions = list(actions)
        self.calls = 0
        self.called = asyncio.Event()

    async def advance(self, account_id, *, observed=None):
        self.calls += 1
        self.called.set()
        return Told(self.actions.pop(0) if len(self.actions) > 1 else self.actions[0])


def dispatch(runner, wakes, **options):
    return EmbeddedDispatch(runner, wakes, **({"poll_interval": 3600} | options))


@pytest.mark.parametrize("end", [End("done"), End("failed", "c", "m"), Halt("c", "m")])
async def test_an_end_ends_it(end):
    found = await dispatch(Scripted(end), Wakes()).drive(ACCOUNT, time.monotonic() + 60)
    assert found.action is end


async def test_a_timeout_reports_what_is_waited_for_since_when_until_when():
    runner, told = Scripted(WAIT), []
    driver = dispatch(runner, Wakes(), watch=lambda *what: told.append(what))
    found = await driver.drive(ACCOUNT, time.monotonic())
    assert found.action == WAIT
    assert runner.calls == 1
    assert told == [(ACCOUNT, WAIT, None)]


async def test_a_wake_up_cuts_the_wait_short(monkeypatch):
    monkeypatch.setattr("orchestrator.dispatch.embedded._FIRST_POLL", 3600)
    runner, wakes = Scripted(WAIT, End("done")), Wakes()
    driving = asyncio.create_task(dispatch(runner, wakes).drive(ACCOUNT, time.monotonic() + 3600))
    await runner.called.wait()
    wakes.wake("another account")
    wakes.wake(ACCOUNT)
    async with asyncio.timeout(30):
        assert (await driving).action == End("done")
    assert runner.calls == 2


async def test_a_wake_up_during_an_advance_is_not_lost(monkeypatch):
    monkeypatch.setattr("orchestrator.dispatch.embedded._FIRST_POLL", 3600)
    wakes = Wakes()

    class Woken(Scripted):
        async def advance(self, account_id, *, observed=None):
            if self.calls == 0:
                wakes.wake(account_id)
            return await super().advance(account_id)

    async with asyncio.timeout(30):
        found = await dispatch(Woken(WAIT, End("done")), wakes).drive(ACCOUNT, time.monotonic() + 3600)
    assert found.action == End("done")


async def test_nothing_is_left_of_accounts_that_nobody_drives():
    wakes = Wakes()
    wakes.wake("somebody")
    await dispatch(Scripted(End("done")), wakes).drive(ACCOUNT, time.monotonic())
    await dispatch(Scripted(WAIT), wakes).drive(ACCOUNT, time.monotonic())
    assert wakes._events == {}


async def test_no_more_than_so_many_at_once(monkeypatch):
    monkeypatch.setattr("orchestrator.dispatch.embedded._MOST_ADVANCING", 3)
    now = most = 0

    class Counted(Scripted):
        async def advance(self, account_id, *, observed=None):
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return await super().advance(account_id)

    driver = dispatch(Counted(End("done")), Wakes())
    await asyncio.gather(*(driver.drive(f"account-{number}", time.monotonic() + 60) for number in range(20)))
    assert most == 3


# --- deadlines -------------------------------------------------------------------------------------------------------


class Attempts:
    """Raises these one after the other, then succeeds."""

    def __init__(self, *errors: JournalError) -> None:
        self.errors = list(errors)
        self.told: list[str] = []

    async def one(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def patiently(self, seconds: float) -> str:
        until = time.monotonic() + seconds
        return await dispatching.patiently(self.one, until, poll_interval=0.01, watch=self.told.append)


def trouble(disposition: Disposition) -> JournalError:
    return JournalError(f"it is to {disposition}", code="c", disposition=disposition)


async def test_passing_trouble_is_waited_out_and_told():
    attempts = Attempts(trouble(Disposition.RETRY), trouble(Disposition.RETRY))
    assert await attempts.patiently(60) == "done"
    assert attempts.told == ["waiting for trouble to pass (it is to retry)"] * 2


@pytest.mark.parametrize(("disposition", "seconds"), [(Disposition.RETRY, 0), (Disposition.STOP, 60)])
async def test_trouble_at_the_deadline_and_trouble_that_stays_are_raised_at_once(disposition, seconds):
    attempts = Attempts(trouble(disposition), trouble(disposition))
    with pytest.raises(JournalError):
        await attempts.patiently(seconds)
    assert (len(attempts.errors), attempts.told) == (1, [])


async def test_what_hangs_is_cut_off_after_its_deadline(monkeypatch):
    monkeypatch.setattr(dispatching, "_GRACE", 0.0)
    with pytest.raises(TimeoutError):
        async with dispatching.cut_off(time.monotonic() - 1):
            await asyncio.Event().wait()


# --- where another machine writes first ----------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["run", "poll", "read_back", "resolve"])
def test_who_is_outrun_by_another_machine_reads_again(lab, tmp_path, call):
    """A lock is one machine's; of two that share a server both may observe an account at the same moment."""
    here = lab()
    account, append, outrun = here.create().id, here.journal.append, []
    if call == "resolve":
        here.begin(account, OperationKind.ACTIVATE)

    async def late(stream, new, **conditions):
        if not outrun:
            outrun.append(True)
            seen = e.PlatformObserved(
                customer_id=CUSTOMER,
                status=AccountStatus.INITIATING,
                wallet=None,
                owner=str(OWNER),
                updated_at=here.now,
            )
            await append(stream, [seen], after=len(await here.journal.read(stream)), at=here.now)
        return await append(stream, new, **conditions)

    here.journal.append = late
    locks = AccountLocks(tmp_path / "locks")
    operations = Operations(here.services, locks, Wakes(), poll_interval=0.1, watch=lambda *_: None)
    match call:
        case "run":
            here.run(operations.run(account, OperationKind.ACTIVATE, time.monotonic()))
        case "resolve":
            told = resolve(here.journal, locks, account, "abandon", reason="r", by="b", reconcile=None)
            assert here.run(told)[0].operation.ended is not None
        case _:
            here.run(getattr(operations, call)(account))
    assert outrun
    assert here.state(account).status is not None
