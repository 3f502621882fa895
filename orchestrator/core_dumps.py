"""Keeps the memory of this process out of core dumps: what a key file protects on disk lies open in memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import resource
import sys

_PR_SET_DUMPABLE = 4


@functools.cache
def forbid() -> None:
    """SIDE EFFECTS: for the whole process and for good: no core file (RLIMIT_CORE 0) and, on Linux, not dumpable
    (prctl(2), PR_SET_DUMPABLE), which also keeps other processes of the same user from reading its memory (ptrace(2)).

    Called by the command line at its start, and in any process that comes to hold settings with a secret in them, or a
    ``Secret``. Done once; children
    that are executed get their own flag back. Where the system refuses, nothing happens: it is one wall of several.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
