"""Imports that change how deep the whole process may recurse, and must not."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_IMPORTING: Final = threading.RLock()


@contextmanager
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
