"""A child process that surely ends, when its parent is killed with -9 too.

A watchdog (a shell that waits on a pipe) ends the child when the parent's end of the pipe closes. Linux's
PR_SET_PDEATHSIG would be shorter, but it fires when the THREAD that forked ends, so a child started from a worker
thread would die early; and it needs a preexec function, which is unsafe beside threads.
"""

from __future__ import annotations

import contextlib
import subprocess
from typing import IO, Final

__all__ = ["Child"]

_STOP_TIMEOUT: Final = 10.0
"""Seconds between asking the child to end and killing it: Anvil writes its state file first."""

# Waits for the child's process id, then for a line (an orderly end) or for the end of the pipe (the parent is gone).
_WATCHDOG: Final = """
read -r pid || exit 0
read -r line && exit 0
kill "$pid" 2>/dev/null || exit 0
for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; kill -0 "$pid" 2>/dev/null || exit 0; done
kill -9 "$pid" 2>/dev/null
"""


class Child:
    """A running child. SIDE EFFECTS: two processes, the child and its watchdog."""

    def __init__(self, command: list[str], output: IO[bytes]) -> None:
        """Starts ``command``; its stdout and stderr go to ``output``."""
        with contextlib.ExitStack() as undo:
            self.watchdog = _start(["/bin/sh", "-c", _WATCHDOG], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            undo.callback(_end_watchdog, self.watchdog)
            self.process = _start(command, stdin=subprocess.DEVNULL, stdout=output)
            undo.callback(_end, self.process)
            _write_line(self.watchdog, str(self.process.pid))
            self._undo = undo.pop_all()

    def end(self) -> None:
        """Asks the child to end, then kills it; returns when it and its watchdog are gone."""
        self._undo.close()


def _start(command: list[str], *, stdin: int, stdout: int | IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in a terminal is for the parent, which then ends its child in order.
    return subprocess.Popen(  # noqa: S603 - arguments of this module
        command, stdin=stdin, stdout=stdout, stderr=subprocess.STDOUT, start_new_session=True
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _write_line(watchdog: subprocess.Popen[bytes], line: str) -> None:
    assert watchdog.stdin is not None
    watchdog.stdin.write(f"{line}\n".encode())
    watchdog.stdin.flush()


def _end_watchdog(watchdog: subprocess.Popen[bytes]) -> None:
    """Runs after the child is gone: the line says to the watchdog that nothing is left to end."""
    with contextlib.suppress(BrokenPipeError):
        _write_line(watchdog, "ended")
    assert watchdog.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        watchdog.stdin.close()
    watchdog.wait()
