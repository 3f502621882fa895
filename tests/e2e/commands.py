"""Runs the command line as a user does: a process, an environment, a document on stdout."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from orchestrator.settings import Settings, load_settings
from tests import forked

COMMAND = (sys.executable, "-m", "orchestrator.cli.main")


@dataclass(frozen=True)
class Finished:
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        lines = self.stdout.splitlines()
        assert len(lines) == 1, f"expected one document, got {self.stdout!r}; stderr: {self.stderr}"
        return json.loads(lines[0])


def here(*arguments: str, environment: dict[str, str], stdin: str = "") -> Finished:
    """A command in this process: the same entry, without the seconds that an interpreter takes to start."""
    from orchestrator.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch("sys.stdin", io.StringIO(stdin)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main(list(arguments))
        except SystemExit as ended:
            return Finished(int(ended.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("main() always exits")


class CommandLine:
    """Commands with a devnet's environment, a home and a journal of the test's own."""

    def __init__(self, environment: dict[str, str], home: Path) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.environment = {
            **kept,
            **environment,
            "HOME": str(home),
            "ORCHESTRATOR_DATABASE_URL": f"sqlite:///{home / 'journal.db'}",
            "ORCHESTRATOR_CERTIFICATES": str(home / "certificates"),
            "ORCHESTRATOR_POLL_INTERVAL": "0.1",
        }

    def run(self, *arguments: str, stdin: str = "", seconds: float = 120, **environment: str) -> Finished:
        done = forked.run([*COMMAND, *arguments], env={**self.environment, **environment}, input=stdin, timeout=seconds)
        return Finished(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str, expect: int = 0, **options: Any) -> dict[str, Any]:
        done = self.here("--json", *arguments, **options)
        assert done.code == expect, f"exit {done.code}, expected {expect}: {done.stdout} {done.stderr}"
        return done.document

    def here(self, *arguments: str, stdin: str = "", **environment: str) -> Finished:
        """As ``run``, in this process."""
        return here(*arguments, environment=self.environment | environment, stdin=stdin)

    def settings(self) -> Settings:
        """The same settings, for the library in this process."""
        return load_settings(self.environment)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return forked.Forked(
            [*COMMAND, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def kill(process: subprocess.Popen[str]) -> None:
    """Kills with -9, and waits for the end."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def wait_for(condition: Any, *, seconds: float = 60, what: str) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")
