"""What is unfinished, and the schedule of looks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.models import OperationKind
from orchestrator.service.backlog import Backlog, Schedule

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_the_backlog_follows_what_is_started_and_ended_by_anyone(tmp_path: Path) -> None:
    async with await Journal.open(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        backlog = Backlog(journal)
        assert await backlog.follow() == set()
        intended = e.CreationIntended(reference="r", customer_id="c", currency="EUR", key="k")
        await journal.append("reference:r", [intended], after=0, at=NOW)
        await journal.append("account", [e.OperationStarted(operation=OperationKind.CLOSE)], after=0, at=NOW)
        assert await backlog.follow() == {"account", "reference:r"}
        assert backlog.creations["reference:r"] == intended
        assert await backlog.follow() == set(), "nothing is new"
        await journal.append("account", [e.OperationEnded(outcome="done")], after=1, at=NOW)
        await journal.append("reference:r", [e.CreationAnswered(account_id="account")], after=1, at=NOW)
        assert await backlog.follow() == set()
        assert "account" not in backlog
        assert "reference:r" not in backlog
        again = [e.OperationStarted(operation=OperationKind.CLOSE), e.OperationEnded(outcome="failed")]
        await journal.append("account", again, after=2, at=NOW)
        assert await backlog.follow() == set(), "started and ended between two readings"


async def test_what_people_decide_wakes_the_account_and_what_is_for_all_wakes_all(tmp_path: Path) -> None:
    async with await Journal.open(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        backlog = Backlog(journal)
        for name in ("one", "other"):
            await journal.append(name, [e.OperationStarted(operation=OperationKind.CLOSE)], after=0, at=NOW)
        await backlog.follow()
        await journal.append("one", [e.OperatorResolved(decision="retry", reason="r", by="b")], after=1, at=NOW)
        await journal.append("ended", [e.OperatorResolved(decision="retry", reason="r", by="b")], after=0, at=NOW)
        assert await backlog.follow() == {"one"}
        await journal.append("other", [e.OperationContinued()], after=1, at=NOW)
        assert await backlog.follow() == set()
        resumed = o.SigningResumed(stop="s", people=("a", "b"))
        await journal.append(DECISIONS_STREAM, [resumed], after=0, at=NOW)
        assert await backlog.follow() == {"one", "other"}


async def test_the_backlog_reads_more_than_a_page(tmp_path: Path) -> None:
    async with await Journal.open(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        many = [e.OperationStarted(operation=OperationKind.CLOSE)] + [e.OperationContinued()] * 1500
        await journal.append("account", [*many, e.OperationEnded(outcome="done")], after=0, at=NOW)
        backlog = Backlog(journal)
        assert await backlog.follow() == set()


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 50))), st.integers(0, 50))
def test_a_schedule_gives_each_name_once_at_its_earliest_time(orders: list[tuple[str, int]], now: int) -> None:
    schedule = Schedule()
    for name, due in orders:
        schedule.at(name, due)
    earliest = {name: min(due for other, due in orders if other == name) for name, _ in orders}
    assert schedule.next() == (min(earliest.values()) if earliest else None)
    taken = []
    while (name := schedule.take(now)) is not None:
        taken.append(name)
    assert sorted(taken) == sorted(name for name, due in earliest.items() if due <= now)
    assert [earliest[name] for name in taken] == sorted(earliest[name] for name in taken)
    left = [due for due in earliest.values() if due > now]
    assert schedule.next() == (min(left) if left else None)
