"""What holds for the whole process: how deep it may recurse, and that its memory stays out of core dumps."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import resource
import sys
import threading
from collections.abc import Iterator
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_IMPORTING: Final = threading.RLock()


@functools.cache
def forbid_core_dumps() -> None:
    """SIDE EFFECTS: for the whole process and for good: no core file (RLIMIT_CORE 0) and, on Linux, not dumpable
    (prctl(2), PR_SET_DUMPABLE), which also keeps other processes of the same user from reading its memory (ptrace(2)).
    What a key file protects on disk lies open in memory.

    Called by the command line at its start, and in any process that comes to hold settings with a secret in them, or a
    ``Secret``. Done once; children that are executed get their own flag back. Where the system refuses, nothing
    happens: it is one wall of several.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@contextlib.contextmanager
def kept_recursion_limit() -> Iterator[None]:
    """Around an import of web3 or eth_account: both import py_ecc, which sets the recursion limit to 100,000.

    That is more than the stack holds: whatever recurses over hostile text would then end the process instead of raising
    RecursionError. One thread at a time, so that none takes another's passing limit for the one to put back.
    """
    with _IMPORTING:
        limit = sys.getrecursionlimit()
        try:
            yield
        finally:
            sys.setrecursionlimit(limit)
