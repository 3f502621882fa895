"""Onboarding from a CSV file: finished after kills, nothing doubled, every wrong row named."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import random
import resource

import pytest

from orchestrator.blocking import BlockingOrchestrator
from tests.e2e.commands import kill, wait_for
from tests.profile import FULL
from tests.scripts.conftest import SCRIPTS

HEADER = "customer,currency,reference\n"


def written(path, *rows, header=HEADER):
    path.write_text(header + "".join(",".join(row) + "\n" for row in rows))
    return path


def results(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def created(office, scripts):
    """How many accounts of this test's journal the platform has."""
    with BlockingOrchestrator(scripts.settings()) as orchestrator:
        return [one for one in orchestrator.accounts(office.programme.customer_id) if one.reference is not None]


def test_rows_become_active_accounts_and_a_second_run_doubles_nothing(office, scripts):
    customer = office.programme.customer_id
    file = written(scripts.home / "new.csv", (customer, "EUR", "a-1"), (customer.upper(), "eur", "a-2"))
    foreseen = scripts.script("onboard.py", file, "--dry-run")
    assert (foreseen.code, foreseen.stdout) == (0, "2 to do\n"), foreseen.stderr
    assert not (scripts.home / "journal.db").exists()
    done = scripts.script("onboard.py", file, "--json")
    assert done.code == 0, done.stderr
    rows = results(scripts.home / "new.result.csv")
    assert [(row["row"], row["reference"], row["outcome"]) for row in rows] == [
        ("2", "a-1", "done"),
        ("3", "a-2", "done"),
    ]
    assert [row["account"] for row in rows] == [row["account"] for row in done.document["rows"]]
    assert "row 2 a-1: done" in done.stderr

    (scripts.home / "new.result.csv").unlink()  # the references alone are enough
    again = scripts.script("onboard.py", file, "--json")
    assert (again.code, again.document["rows"]) == (0, done.document["rows"])
    assert len(created(office, scripts)) == 2


def test_wrong_rows_are_named_and_the_rest_goes_on(office, scripts):
    customer = office.programme.customer_id
    stranger = "5df359f0-d299-40a1-8023-17c77a50144c"
    file = written(
        scripts.home / "mixed.csv",
        (customer, "EUR", "b-1"),
        ("nobody", "EUR", "b-2"),
        (customer, "EUX", "b-3"),
        (customer, "EUR", "b-4"),
        (customer, "EUR", "b-4"),
        (customer, "EUR", ""),
        (stranger, "EUR", "b-5"),
        (customer, "EUR", "b-6", "more"),
    )
    done = scripts.script("onboard.py", file)
    assert done.code == 1, done.stderr
    rows = {int(row["row"]): row for row in results(scripts.home / "mixed.result.csv")}
    assert {number: row["outcome"] for number, row in rows.items()} == {2: "done"} | dict.fromkeys(
        range(3, 10), "failed"
    )
    for number, words in {
        3: "column customer: expected",
        4: "column currency: expected a code of ISO 4217, got 'EUX'",
        5: "column reference: 'b-4' is in 2 rows",
        6: "column reference: 'b-4' is in 2 rows",
        7: "column reference: expected",
        8: "column customer: customer_not_found",
        9: "expected 3 columns",
    }.items():
        assert words in rows[number]["message"]
        assert any(line.startswith(f"row {number} ") and words in line for line in done.stderr.splitlines()), (
            done.stderr
        )
    assert [one.reference for one in created(office, scripts)] == ["b-1"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"customer,reference\n", "row 1: column currency is missing"),
        (b"", "row 1: column customer, currency, reference is missing"),
        (b"customer,currency,reference,currency\n", "column currency is there twice"),
        (b"customer,currency,reference\n\xff,,\n", "expected UTF-8"),
        (b'customer,currency,reference\n"a,b\n', "row 2: unexpected end of data"),
        (None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_before_anything_is_done(scripts, content, words):
    file = scripts.home / "bad.csv"
    if content is not None:
        file.write_bytes(content)
    done = scripts.script("onboard.py", file)
    assert (done.code, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (scripts.home / "bad.result.csv").exists()


def test_results_that_are_half_written_or_somebody_elses(office, scripts):
    customer = office.programme.customer_id
    file = written(scripts.home / "half.csv", (customer, "EUR", "c-1"))
    result = scripts.home / "half.result.csv"
    assert scripts.script("onboard.py", file).code == 0
    whole = result.read_bytes()
    for length in (0, 5, whole.index(b"\n") + 1, len(whole) - 30):
        result.write_bytes(whole[:length])
        assert scripts.script("onboard.py", file).code == 0
        assert result.read_bytes() == whole
    result.write_text("my notes\n")
    refused = scripts.script("onboard.py", file)
    assert (refused.code, result.read_text()) == (2, "my notes\n")
    assert "name one with --result" in refused.stderr
    assert len(created(office, scripts)) == 1


def test_results_that_cannot_be_written_are_seen_before_anything_is_created(office, scripts):
    file = written(scripts.home / "full.csv", (office.programme.customer_id, "EUR", "d-1"))
    done = scripts.script("onboard.py", file, "--result", "/dev/full/result.csv")
    assert done.code == 74
    assert not (scripts.home / "journal.db").exists()


def test_a_kill_in_the_middle_and_a_second_copy_meanwhile(office, scripts):
    customer = office.programme.customer_id
    count = 200 if FULL else 3
    file = written(scripts.home / "many.csv", *((customer, "EUR", f"e-{number}") for number in range(count)))
    result, journal = scripts.home / "many.result.csv", scripts.home / "journal.db"
    rng = random.Random(7)
    for turn in range(10 if FULL else 1):
        process = scripts.begin("onboard.py", file)
        wait_for(lambda p=process: (result.exists() and journal.exists()) or p.poll() is not None, what="the start")
        if turn == 0:
            second = scripts.script("onboard.py", file)
            assert second.code == 75
            assert "another copy" in second.stderr
        grown = journal.stat().st_size + rng.randrange(0, 4) * 8192
        wait_for(lambda p=process, size=grown: _size(journal) > size or p.poll() is not None, what="some progress")
        kill(process)
    done = scripts.script("onboard.py", file, "--json", seconds=280)
    assert done.code == 0, done.stderr
    assert [row["outcome"] for row in results(result)] == ["done"] * count
    assert len({row["account"] for row in results(result)}) == count
    assert len(created(office, scripts)) == count
    assert {one.status for one in created(office, scripts)} == {"active"}


def _size(journal):
    beside = journal.with_name(journal.name + "-wal")
    return journal.stat().st_size + (beside.stat().st_size if beside.exists() else 0)


def test_a_disk_that_fills_up_in_the_middle_leaves_the_results_of_before(scripts, monkeypatch):
    """The limit of a file's size (setrlimit(2)) stands for the disk's: writing fails half-way in the same manner."""
    monkeypatch.syspath_prepend(SCRIPTS)
    onboard = importlib.import_module("onboard")
    path = scripts.home / "results.csv"
    row = onboard.Row(2, "5df359f0-d299-40a1-8023-17c77a50144c", "EUR", "f-1")
    results = onboard.Results(path, [row])
    results.write()
    results.rows[2] = dataclasses.replace(row, outcome="failed", message="x" * 4096)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            results.write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(path)
    assert [one.name for one in scripts.home.iterdir()] == ["results.csv"]
    assert path.read_bytes() == before
