"""Backs up the journal, the keystore with its signing log, and the settings
without their secrets, into a new folder of FOLDER that is named by the time.

The copy of the journal is verified, and manifest.json says its head, its
events and each file's SHA-256. The keystore's password is not in it: keep it
apart. A backup is whole or not there. PostgreSQL is dumped by pg_dump.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from _common import (
    DONE,
    FAILED,
    UNWRITTEN,
    Refused,
    answer,
    command,
    make_folder,
    only_copy,
    parser,
    script,
    settings,
    write_whole,
)
from pydantic import SecretStr

from orchestrator import Settings

_TRIES = 10
_SQLITE = "sqlite:///"


def copy_keystore(source: Path, target: Path) -> str:
    """A copy for this user alone, without locks; returns one digest over all of it. Raises OSError."""
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(".lock", ".*.tmp"))
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)
    return hashlib.sha256(json.dumps(digests(target)).encode()).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def copy_journal(url: str, folder: Path) -> Path:
    """The journal as it is at one moment. Raises Refused, OSError."""
    if not url.startswith(_SQLITE):
        return _dump(url, folder / "journal.pgdump")
    source, target = Path(url.removeprefix(_SQLITE)), folder / "journal.db"
    if not source.is_file():
        raise Refused(f"{source}: there is no journal there")
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as live,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete by itself
    except sqlite3.Error as error:
        raise Refused(f"{source}: cannot be copied to {target}: {error}", UNWRITTEN) from None
    return target


def _dump(url: str, target: Path) -> Path:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    bare = urlunsplit(("postgresql", user + host, parts.path, parts.query, ""))
    password = {"PGPASSWORD": unquote(parts.password)} if parts.password else {}  # other users can read arguments
    try:
        subprocess.run(("pg_dump", "--format=custom", f"--file={target}", bare), check=True, env=os.environ | password)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Refused(f"pg_dump: {error.strerror if isinstance(error, OSError) else error}", UNWRITTEN) from None
    target.chmod(0o600)
    return target


def without_secrets(given: Settings) -> dict[str, Any]:
    """The settings that are no secrets and cannot have one in them, as URLs of nodes and databases can."""
    hidden = {name for name, field in type(given).model_fields.items() if not field.repr or "url" in name}
    hidden |= {name for name in type(given).model_fields if isinstance(getattr(given, name), SecretStr)}
    return {name: value for name, value in given.model_dump(mode="json").items() if name not in hidden}


def back_up(given: Settings, folder: Path) -> Path:
    """Journal and keystore of one moment: copied again where somebody signed meanwhile. Raises Refused, OSError."""
    for _ in range(_TRIES):
        before = copy_keystore(given.keystore, folder / "keystore")
        journal = copy_journal(given.database_url, folder)
        after = copy_keystore(given.keystore, folder / "again")
        shutil.rmtree(folder / "again")
        if before == after:
            return journal
        shutil.rmtree(folder / "keystore")
        journal.unlink()
    raise Refused(
        "somebody signs all the time: no copy of journal and keystore of one moment was got; run it again", 75
    )


def main() -> int:
    cli = parser(__doc__, "scripts/backup.py /var/backups/orchestrator")
    cli.add_argument("folder", metavar="FOLDER", type=Path)
    options = cli.parse_args()
    given = settings(options)
    target: Path = options.folder / datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    if not given.keystore.is_dir():
        raise Refused(f"{given.keystore}: there is no keystore there")
    if options.dry_run:
        answer(options, {"backup": str(target)}, [f"would copy the journal and {given.keystore} to {target}"])
        return DONE
    make_folder(options.folder)
    with only_copy(options.folder / "backup"):
        for left in options.folder.glob(".backup-*"):
            shutil.rmtree(left)  # of one that was killed
        working = options.folder / f".backup-{os.getpid()}"
        try:
            working.mkdir(mode=0o700)
            journal = back_up(given, working)
            write_whole(working / "settings.json", json.dumps(without_secrets(given), indent=2) + "\n")
            found = verified(options, journal) if journal.suffix == ".db" else {}
            at = datetime.now(UTC).isoformat(timespec="seconds")
            manifest: dict[str, Any] = {"at": at, **found, "files": digests(working)}
            write_whole(working / "manifest.json", json.dumps(manifest, indent=2) + "\n")
            working.rename(target)
        finally:
            shutil.rmtree(working, ignore_errors=True)
    what = f"{manifest.get('events', 'its')} events, head {manifest.get('head', 'not read')}"
    answer(options, manifest | {"backup": str(target)}, [f"{target}: {what}"])
    return DONE


def verified(options: Any, journal: Path) -> dict[str, Any]:
    """What ``orchestrator journal --verify`` says of a copy. Raises Refused."""
    code, found = command(
        options, "journal", "--verify", environment={"ORCHESTRATOR_DATABASE_URL": f"{_SQLITE}{journal.absolute()}"}
    )
    if code or found is None:
        raise Refused(f"the journal is not whole: {found}", FAILED)
    return {"events": found["events"], "head": found["head"]}


if __name__ == "__main__":
    script(main)
