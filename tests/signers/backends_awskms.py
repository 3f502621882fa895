"""AWS KMS for the shared suite: the local stand-in, which really signs digests (``kms_stand_in``)."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.models import Address
from orchestrator.passwords import NoPassword, PasswordSource
from orchestrator.signers.backends import ecdsa

NAME = "awskms"
ALIAS = "alias/under-test"


def unavailable() -> str | None:
    if importlib.util.find_spec("botocore") is None:
        return 'botocore is not installed: pip install "offblocks-orchestrator[aws]"'
    return None


@contextmanager
def under_test(folder: Path) -> Iterator[AwsKmsUnderTest]:
    stand_in_module = _stand_in()
    with stand_in_module.KmsStandIn() as stand_in:
        before = {name: os.environ.get(name) for name in stand_in.environment}
        os.environ.update(stand_in.environment)
        try:
            yield AwsKmsUnderTest(stand_in_module, stand_in)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class AwsKmsUnderTest:
    """A running stand-in with one key behind an alias."""

    cannot: Mapping[str, str] = {}

    def __init__(self, module: ModuleType, stand_in: Any) -> None:
        self._module = module
        self._stand_in = stand_in
        self._key = stand_in.add(ALIAS.removeprefix("alias/"))
        self.uri: str = stand_in.uri(ALIAS)
        self.address: Address = ecdsa.address_of_point(self._key.point, "the stand-in's key")
        self.pin: PasswordSource = NoPassword()
        self.secrets: tuple[str, ...] = (stand_in.access_key, stand_in.secret_key, stand_in.session_token)

    def lose_connection(self) -> None:
        self._stand_in.fault = self._module.drop
        self._stand_in.break_connections()

    def hang(self) -> None:
        self._stand_in.fault = self._module.hang

    def swap_key(self) -> None:
        """The alias now points to another key, as an administrator there can make it do."""
        self._stand_in.aliases[ALIAS] = self._stand_in.add().id

    def restore(self) -> None:
        self._stand_in.fault = None
        self._stand_in.aliases[ALIAS] = self._key.id
        self._stand_in.release.set()


def _stand_in() -> ModuleType:
    """The module beside this one, whichever way this one was loaded (a test, a script)."""
    name = "_signers_tests_kms_stand_in"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("kms_stand_in.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
