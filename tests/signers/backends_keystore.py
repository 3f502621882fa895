"""The keystore's own files for the shared suite: the URI ``keystore:PRIVATE-KEY`` is taken by ``attach`` below."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.models import Address
from orchestrator.passwords import FixedPassword, PasswordSource, Secret
from orchestrator.ports.signers import KeyInfo
from orchestrator.signers.keyring import Keyring

NAME = "keystore"
KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
OTHER = "0f" * 32
PASSWORD = "correct-horse-battery-staple"


def unavailable() -> str | None:
    return None


@contextmanager
def under_test(folder: Path) -> Iterator[KeystoreUnderTest]:
    yield KeystoreUnderTest(folder)


class KeystoreUnderTest:
    """A folder with one key file. Its files stay where they are: trouble is made in the keyring that is looked at."""

    address = Address("0x2c7536E3605D9C16a7a3D7b1898e529396a65c23")  # of the web3.js documentation's example key
    cannot: Mapping[str, str] = {
        "lose_connection": "a file of the own machine has no connection",
        "hang": "a file of the own machine does not hang",
    }

    def __init__(self, folder: Path) -> None:
        self.uri = "keystore:"
        self.pin: PasswordSource = FixedPassword(Secret(PASSWORD))
        self.secrets = (KEY, PASSWORD)
        self._folder = folder
        self._file: Path | None = None
        self._before: bytes | None = None

    def attach(self, keyring: Keyring, name: str) -> KeyInfo:
        info = keyring.import_key(name, Secret(KEY))
        self._file = keyring.path / f"{name}.json"
        return info

    def lose_connection(self) -> None:
        raise AssertionError("cannot")

    def hang(self) -> None:
        raise AssertionError("cannot")

    def swap_key(self) -> None:
        """The file of another key, which says that it is the first key's."""
        assert self._file is not None
        self._before = self._file.read_bytes()
        other = Keyring(self._folder / "other", self.pin, work_factor=2**12)
        other.import_key("other", Secret(OTHER))
        document = json.loads((other.path / "other.json").read_text())
        first = json.loads(self._before)
        self._file.write_text(json.dumps(first | {"crypto": document["crypto"]}))

    def restore(self) -> None:
        if self._file is not None and self._before is not None:
            self._file.write_bytes(self._before)
