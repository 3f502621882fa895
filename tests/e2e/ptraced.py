"""Runs the command line in a child, and kills it (SIGKILL) at an exact one of its writes, fsyncs and sends.

SQLite writes and syncs in C, where nothing in Python can come in between, so the child is traced by the kernel
(ptrace(2)): it stops at each of these system calls, in the order in which all of its threads make them, and a filter
(seccomp(2)) lets all others pass at full speed. A child is forked from this process, which has imported everything, so
a run takes no time to start.

    python -m tests.e2e.ptraced    a job a line on stdin, its result a line on stdout, both JSON; first of all it says
                                   whether this machine lets it trace: true or false

A job: ``arguments``, ``environment``, ``output`` (a file for stdout), ``folders`` (writes below these count), ``ports``
(the name of each TCP port of which sends count), ``kill`` (a place, which of its occurrences, from 1, and ``before`` or
``after``; or null).
A result: ``places`` (what was done, and to what, in order), ``code`` (the exit code; null where it was killed).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import platform
import signal
import struct
import sys
from pathlib import Path
from typing import Any

import orchestrator

_SEIZE, _INTERRUPT, _CONTINUE, _SYSCALL, _LISTEN, _SYSCALL_INFO = 0x4206, 0x4207, 7, 24, 0x4208, 0x420E
_OPTIONS = 0x1 | 0x8 | 0x80 | 0x100000  # TRACESYSGOOD, TRACECLONE, TRACESECCOMP, EXITKILL
_STOP_EVENT, _SECCOMP_EVENT = 128, 7
_ALL = 0x40000000  # __WALL: threads, too
_NUMBERS = {
    "x86_64": {1: "write", 18: "write", 20: "write", 44: "send", 46: "send", 74: "fsync", 75: "fsync"},
    "aarch64": {64: "write", 68: "write", 66: "write", 206: "send", 211: "send", 82: "fsync", 83: "fsync"},
}
"""write, pwrite64, writev, sendto, sendmsg, fsync, fdatasync."""


class _Info(ctypes.Structure):
    """``struct ptrace_syscall_info``, as far as it is used."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
        ("more", ctypes.c_uint64),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, task: int, address: int = 0, data: int = 0) -> None:
    if _libc.ptrace(request, task, address, data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class _Program(ctypes.Structure):
    """``struct sock_fprog``: a filter in BPF."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _filter() -> None:
    """SIDE EFFECTS: from here on this process stops for its tracer at the calls of the table."""
    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    numbers = sorted(_NUMBERS[platform.machine()])
    code = [(load, 0, 0, 0)]
    code += [(equal, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    code += [(give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x7FF00000)]  # SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE
    text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    program = _Program(len(code), ctypes.addressof(text))
    _libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if _libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "no filter")


def usable() -> bool:
    """Whether this machine has such calls, and lets a parent trace its child."""
    if sys.platform != "linux" or platform.machine() not in _NUMBERS:
        return False
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        _ptrace(_SEIZE, child, 0, _OPTIONS)
    except OSError:
        return False
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, _ALL)
    return True


def _peer(child: int, link: str) -> int | None:
    """The TCP port at the other end of ``socket:[INODE]``."""
    inode = link[len("socket:[") : -1]
    for line in Path(f"/proc/{child}/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        if parts[9] == inode:
            return int(parts[2].rpartition(":")[2], 16)
    return None


class _Traced:
    def __init__(self, child: int, job: dict[str, Any]) -> None:
        self._child = child
        self._folders = [os.path.realpath(folder) for folder in job["folders"]]
        self._ports = job["ports"]
        self._place, self._which, self._when = job["kill"] or (None, 0, "")
        self._calls = _NUMBERS[platform.machine()]
        self._info = _Info()
        self._peers: dict[str, str | None] = {}
        self.places: list[str] = []

    def run(self) -> int | None:
        while True:
            task, status = os.waitpid(-1, _ALL)
            if os.WIFSTOPPED(status):
                self._stopped(task, status)
            elif task == self._child:  # the last of its threads
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None

    def _stopped(self, task: int, status: int) -> None:
        event, sent = status >> 16, os.WSTOPSIG(status)
        passed, request = 0, _CONTINUE
        if event == _SECCOMP_EVENT:
            request = self._call(task)
        elif event == _STOP_EVENT:
            request = _LISTEN if sent in (signal.SIGSTOP, signal.SIGTSTP) else _CONTINUE
        elif sent == signal.SIGTRAP | 0x80:  # the exit of the call to kill after
            os.kill(self._child, signal.SIGKILL)
        elif not event:
            passed = sent
        with contextlib.suppress(ProcessLookupError):  # it was killed meanwhile
            _ptrace(request, task, 0, passed)

    def _call(self, task: int) -> int:
        """How to go on at the entry of a call."""
        info = self._info
        try:
            _ptrace(_SYSCALL_INFO, task, ctypes.sizeof(info), ctypes.addressof(info))
        except ProcessLookupError:
            return _CONTINUE
        target = self._target(info.arguments[0])
        if target is None:
            return _CONTINUE
        place = f"{self._calls[info.number]} {target}"
        self.places.append(place)
        if place != self._place or self.places.count(place) != self._which:
            return _CONTINUE
        if self._when == "before":
            os.kill(self._child, signal.SIGKILL)
        return _SYSCALL

    def _target(self, descriptor: int) -> str | None:
        try:
            link = str(Path(f"/proc/{self._child}/fd/{descriptor}").readlink())
        except OSError:
            return None
        if link.startswith("socket:"):
            if link not in self._peers:  # the table of all connections takes the kernel long to write
                self._peers[link] = self._ports.get(str(_peer(self._child, link)))
            return self._peers[link]
        if not any(link.startswith(f"{folder}/") for folder in self._folders):
            return None
        name = Path(link).name
        for end, what in ((".jsonl", "signing log"), (".lock", "lock"), (".tmp", "new file")):
            if name.endswith(end):
                return what
        return "new file" if name.startswith(".") and ".json." in name else name


def _become(job: dict[str, Any]) -> int:
    from orchestrator import process
    from orchestrator.cli.main import main

    process.forbid_core_dumps = lambda: None  # type: ignore[assignment]  # what cannot be dumped cannot be looked at either
    os.environ.clear()
    os.environ.update(job["environment"])
    output, nothing = Path(job["output"]), Path(os.devnull)
    with (
        output.open("w") as sys.stdout,
        output.with_suffix(".err").open("w") as sys.stderr,
        nothing.open() as sys.stdin,
    ):
        try:
            main(job["arguments"])
        except SystemExit as ended:
            return int(ended.code or 0)
    raise AssertionError("main() always exits")


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Forks a child for the job; see above."""
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready, 1)
        try:
            _filter()
            os._exit(_become(job))
        finally:
            os._exit(99)
    os.close(ready)
    try:
        _ptrace(_SEIZE, child, 0, _OPTIONS)
        _ptrace(_INTERRUPT, child)
        os.write(go, b"!")
        traced = _Traced(child, job)
        return {"code": traced.run(), "places": traced.places}
    finally:
        os.close(go)


def serve() -> None:
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if ".migrations" not in module.name:  # alembic runs those
            with contextlib.suppress(ImportError):  # what an extra is missing for
                importlib.import_module(module.name)
    for name in ("alembic.command", "httpx_aiohttp", "sqlalchemy.dialects.sqlite.pysqlite", "web3"):
        importlib.import_module(name)
    gc.freeze()  # the children share this memory
    _say(usable())
    for line in sys.stdin:
        _say(run(json.loads(line)))


def _say(what: Any) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve()
