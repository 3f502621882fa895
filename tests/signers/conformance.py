"""What every back end must keep to, and what its tests bring: one suite (test_conformance.py) for all of them.

A module ``tests/signers/backends_NAME.py`` brings one back end::

    NAME = "pkcs11"                                   # as KeyInfo.backend

    def unavailable() -> str | None: ...              # why it cannot run here (not installed), else None

    @contextmanager
    def under_test(folder: Path) -> Iterator[BackendUnderTest]: ...   # an empty private folder for what it needs

It starts the real thing (a token, a server, a node), makes one key in it, and ends it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, cast

from orchestrator.models import Address
from orchestrator.passwords import PasswordSource
from tests.profile import FULL

TIMEOUT = 1.0
"""Seconds that the keyring under test gives a back end (``open_backend(…, timeout=TIMEOUT)``)."""
BACKENDS = ("keystore", "pkcs11", "awskms", "rpc")


class BackendUnderTest(Protocol):
    """One running back end with one key. Its trouble is switched on and off by the suite."""

    @property
    def uri(self) -> str:
        """Where the key is, for ``Keyring.attach``."""
        ...

    @property
    def address(self) -> Address:
        """Of the key, known from elsewhere than the back end's own code where that can be."""
        ...

    @property
    def pin(self) -> PasswordSource:
        """What ``open_backend`` gets as ``pin`` (and the keyring as its passwords)."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts (PIN, access key, header) that must appear in no repr and no error."""
        ...

    @property
    def cannot(self) -> Mapping[str, str]:
        """Which of ``lose_connection``, ``hang``, ``swap_key`` the real thing cannot be made to do, and why not."""
        ...

    def lose_connection(self) -> None:
        """What is open breaks, and nothing answers until ``restore``: token pulled, server away."""
        ...

    def hang(self) -> None:
        """It takes requests and answers none until ``restore``."""
        ...

    def swap_key(self) -> None:
        """From now on it signs with another key, under the same name; what it tells about the key may change too."""
        ...

    def restore(self) -> None:
        """It answers again, with the first key. Without trouble before it: nothing happens."""
        ...


class BackendModule(Protocol):
    """A module ``backends_NAME``."""

    NAME: str

    def unavailable(self) -> str | None: ...

    def under_test(self, folder: Path) -> AbstractContextManager[BackendUnderTest]: ...


def backend_module(name: str) -> BackendModule:
    """The module that brings the back end ``name``. Raises ModuleNotFoundError."""
    return cast("BackendModule", importlib.import_module(f"tests.signers.backends_{name}"))


def must_run() -> bool:
    """Whether a back end that is not there is a failure (the full profile) instead of a skipped test."""
    return FULL
