"""Python programs that start in milliseconds: forked from a process that has imported already what they import.

An interpreter that starts by itself takes 1 to 2 s of processor time for its imports, and the suite needs some hundred.
What a program is put to is the same here: it is a process of its own, with its environment and its streams, that can be
killed. Only tests of the start itself (imports, encodings, streams that are closed) need an interpreter.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.forked_imports"])


class Forked(subprocess.Popen):
    """As ``subprocess.Popen``, for ``[sys.executable, "-m", MODULE, …]``, ``"-c", CODE`` and a file."""

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *more):
        (_, _, _, stdin, parent_in, parent_out, stdout, parent_error, stderr, _, _, _, _, _, own_session, *_) = more
        words = [os.fspath(word) for word in args]
        assert words[0] == sys.executable, words
        given = [own if fd == -1 else fd for own, fd in enumerate((stdin, stdout, stderr))]
        told = ([_Stream(fd) for fd in given], words[1:], dict(os.environ if env is None else env), cwd or Path.cwd())
        self._forked = CONTEXT.Process(target=_program, args=(*told, own_session), daemon=True)
        try:
            self._forked.start()
        finally:
            self._close_pipe_fds(stdin, parent_in, parent_out, stdout, parent_error, stderr)
        self.pid = self._forked.pid
        self._child_created = True

    def _internal_poll(self, _deadstate: Any = None, **_: Any) -> int | None:
        if self.returncode is None:
            self.returncode = self._forked.exitcode
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            self._forked.join(timeout)
            if self._internal_poll() is None:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode


def run(
    arguments: Sequence[Any],
    *,
    input: str = "",  # noqa: A002  (as subprocess calls it)
    timeout: float = 120,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` with text, both streams captured."""
    pipe = subprocess.PIPE
    with Forked(arguments, stdin=pipe, stdout=pipe, stderr=pipe, text=True, **options) as process:
        try:
            out, error = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


class _Stream:
    """A descriptor on its way into the process that is being started."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _detached, (DupFd(self.descriptor),)


def _detached(given: Any) -> int:
    return given.detach()


def _program(
    streams: Sequence[int], words: list[str], environment: Mapping[str, str], folder: Path, own_session: bool
) -> None:
    if own_session:
        os.setsid()
    for own, descriptor in enumerate(streams):
        os.dup2(descriptor, own)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.modules.pop(words[1], None)
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).resolve().parent))  # as the interpreter does
        runpy.run_path(words[0], run_name="__main__")
