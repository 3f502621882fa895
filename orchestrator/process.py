"""What holds for the whole process: how deep it may recurse, and that its memory stays out of core dumps."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import resource
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

_PR_SET_DUMPABLE: Final = 4
_IMPORTING: Final = threading.RLock()
_PY_ECC: Final[dict[str, dict[str, int | None]]] = {
    "py_ecc.bls": {"G2ProofOfPossession": None},
    "py_ecc.bls12_381": {"curve_order": 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001},
    "py_ecc.secp256k1": {"N": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141},
}
"""The orders of the two groups, and an object that is used by key files of validators only."""


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
def lazy_py_ecc() -> Iterator[None]:
    """Around an import of web3 or eth_account, which import py_ecc for key files of validators (EIP-2335).

    No such file is read here, and py_ecc takes half of the import's time and sets the recursion limit to 100,000: more
    than the stack holds, so that whatever recurses over hostile text would end the process instead of raising
    RecursionError. It is imported when one of its functions is called; the limit is put back. One thread at a time, so
    that none takes another's passing limit for the one to put back.
    """
    with _IMPORTING:
        limit = sys.getrecursionlimit()
        stand_ins = {name: _LazyModule(name) for name in _PY_ECC if name not in sys.modules}
        sys.modules.update(stand_ins)
        try:
            yield
        finally:
            for name, module in stand_ins.items():
                if sys.modules.get(name) is module:
                    del sys.modules[name]
            sys.setrecursionlimit(limit)


class _LazyModule(ModuleType):
    """Has what eth_keyfile takes from a module of py_ecc when it is imported; all else is the module's own."""

    def __getattr__(self, name: str) -> Any:
        known = _PY_ECC[self.__name__]
        if name in known:
            return known[name] or _Lazy(self.__name__, name)
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_loaded(self.__name__), name)


class _Lazy:
    """An object of a module, which is imported when the first attribute of the object is asked for."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_loaded(self._module), self._name), name)


def _loaded(name: str) -> ModuleType:
    with _IMPORTING:
        if isinstance(sys.modules.get(name), _LazyModule):
            del sys.modules[name]
        return importlib.import_module(name)
