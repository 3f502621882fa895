"""Backups that are whole, and the drill: what they are good for, and what an old one is not."""

from __future__ import annotations

import shutil
import sqlite3
import stat

from orchestrator.blocking import BlockingOrchestrator


def test_a_backup_is_restored_and_an_older_one_refuses_to_sign(office, scripts):
    def active():
        with BlockingOrchestrator(scripts.settings()) as orchestrator:
            account = orchestrator.create_account(office.programme.customer_id, "EUR").account_id
            assert orchestrator.activate(account, timeout=60).outcome == "done"

    folder = scripts.home / "backups"
    assert scripts.script("backup.py", folder).code == 2  # no journal yet
    assert [path.name for path in folder.iterdir()] == [".backup.lock"]
    active()
    (folder / ".backup-1").mkdir()  # of one that was killed
    first = scripts.script("backup.py", folder, "--json")
    assert first.code == 0, first.stderr
    (made,) = folder.glob("*Z")
    assert not list(folder.glob(".backup-*"))
    text = (made / "settings.json").read_text()
    for secret in ("ORCHESTRATOR_API_SECRET", "ORCHESTRATOR_RPC_URL", "ORCHESTRATOR_DATABASE_URL"):
        assert scripts.environment[secret] not in text
    files = [path for path in made.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert any(".signing" in str(path) for path in files)
    alone = scripts.script("restore_drill.py", made)
    assert alone.code == 3, alone.stdout
    assert "not tried an older copy refuses to sign: there is no older backup" in " ".join(alone.stdout.split())

    made.rename(folder / "2026-01-01T000000Z")
    active()
    second = scripts.script("backup.py", folder, "--json").document
    assert second["events"] > first.document["events"]
    done = scripts.script("restore_drill.py", second["backup"], "--json")
    assert done.code == 0, done.stdout + done.stderr
    assert "the database was restored from an older backup" in done.document["findings"][-1]["detail"]

    damaged = folder / "damaged"
    shutil.copytree(second["backup"], damaged)
    with sqlite3.connect(damaged / "journal.db") as database:
        database.execute("CREATE TABLE stray (x)")
    database.close()
    broken = scripts.script("restore_drill.py", damaged, "--older", folder / "2026-01-01T000000Z")
    assert broken.code == 1
    assert "FAIL      every file is as it was: journal.db" in broken.stdout


def test_what_is_no_backup_is_refused(scripts):
    done = scripts.script("restore_drill.py", scripts.home)
    assert done.code == 2
    assert "manifest.json" in done.stderr
