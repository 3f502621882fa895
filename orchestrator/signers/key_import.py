"""Private keys to import: as text, and in key files of other tools."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from coincurve import PrivateKey

from orchestrator.eip191 import ORDER
from orchestrator.errors import KeyUnavailable, SettingsError
from orchestrator.passwords import PasswordSource, Secret
from orchestrator.signers import document, secret_storage

_PRIVATE_KEY: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")


def parse_private_key(private_key: Secret, name: str) -> PrivateKey:
    """64 hexadecimal digits, 0x allowed. Raises SettingsError, code ``private_key_malformed``, without showing them."""
    text = private_key.reveal().strip()
    match = _PRIVATE_KEY.fullmatch(text)
    if match is None:
        actual = f"{len(text)} other characters" if text else "nothing"
        raise SettingsError(
            f"private key for {name!r}: expected 64 hexadecimal digits, got {actual}", code="private_key_malformed"
        )
    number = int(match[1], 16)
    if not 0 < number < ORDER:
        raise SettingsError(
            f"private key for {name!r}: expected a number from 1 to the order of secp256k1, got one outside",
            code="private_key_malformed",
        )
    return PrivateKey(number.to_bytes(32, "big"))


def open_file(path: Path, password: PasswordSource) -> PrivateKey:
    """The key in a Web3 Secret Storage file. Raises KeyUnavailable: ``keystore_unreadable``, ``wrong_password``."""
    where = f"key file {path}"
    try:
        with path.open("rb") as source:
            data = source.read(document.MAX_BYTES + 1)
    except OSError as error:
        raise KeyUnavailable(f"{where} cannot be read: {error.strerror}", code="keystore_unreadable") from None
    if len(data) > document.MAX_BYTES:
        raise KeyUnavailable(
            f"{where}: expected at most {document.MAX_BYTES} bytes, got more", code="keystore_unreadable"
        )
    file = secret_storage.decode(data, where)
    return secret_storage.decrypt(file, password.password(where), where)
