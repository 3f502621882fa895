"""The documented backup commands: what they write can be read by nobody else, whatever the reader's umask is."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
from contextlib import closing

from tests.docs.markdown import consoles


def test_a_documented_backup_is_for_its_user_alone(tmp_path):
    commands = [
        command.words for block in consoles("devnet") for command in block.commands() if ".backup(" in command.words
    ]
    assert len(commands) == 1
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database, database:
        database.execute("CREATE TABLE kept (one INTEGER)")
    before = os.umask(0o022)
    try:
        subprocess.run(["bash", "-c", commands[0]], cwd=tmp_path, check=True, timeout=60)
    finally:
        os.umask(before)
    backup = tmp_path / "backup.db"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with closing(sqlite3.connect(backup)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("kept",)]
