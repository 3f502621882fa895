"""What all key files have in common: JSON that is hostile until it is checked, and our own member ``x-orchestrator``.

    "x-orchestrator": {"name": "alice", "disabled": false, "createdAt": "2026-01-01T00:00:00Z",
                       "wallets": ["eip155:1:0x…"]}

Other tools ignore that member. A file of another tool has none, and every fact in it is then absent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from orchestrator.errors import Disposition, KeyUnavailable, SettingsError, UnsupportedChain
from orchestrator.foreign import MalformedJson, read_json
from orchestrator.models import Address, ChainAccount, to_address

MAX_BYTES: Final = 16 * 1024
"""The largest key file that is read. A usual one is about 700 bytes."""
MAX_WALLETS: Final = 64
"""How many wallets a key can be bound to: one on each of so many chains."""
EXTENSION: Final = "x-orchestrator"


@dataclass(frozen=True, slots=True)
class Facts:
    """What we know of a key beside where it is."""

    name: str | None = None
    disabled: bool = False
    created_at: str | None = None
    """ISO-8601 UTC text."""
    wallets: tuple[ChainAccount, ...] = ()
    """What it may sign for; all of them have the key's own address."""

    def encode(self) -> dict[str, Any]:
        """The member ``x-orchestrator``."""
        return {
            "name": self.name,
            "disabled": self.disabled,
            "createdAt": self.created_at,
            "wallets": [str(wallet) for wallet in self.wallets],
        }


def new_facts(name: str, wallets: Sequence[ChainAccount]) -> Facts:
    """Of a key that is made now."""
    return Facts(name=name, created_at=now(), wallets=tuple(dict.fromkeys(wallets)))


def require_own(name: str, wallets: Sequence[ChainAccount], address: Address) -> None:
    """Raises SettingsError ``key_binding`` for too many wallets, or one with another address than the key's."""
    if len(set(wallets)) > MAX_WALLETS:
        raise SettingsError(
            f"key {name!r}: expected at most {MAX_WALLETS} wallets, got {len(set(wallets))}",
            code="key_binding",
        )
    for wallet in wallets:
        if wallet.address != address:
            raise SettingsError(
                f"key {name!r}: expected a wallet with the key's own address {address}, got {wallet}",
                code="key_binding",
            )


def now() -> str:
    """ISO-8601 UTC text, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def parse(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object of a key file; no member occurs twice. ``where`` names the file in errors.

    Raises KeyUnavailable, code ``keystore_unreadable``.
    """
    try:
        document = read_json(data, max_bytes=MAX_BYTES)
    except MalformedJson as error:
        # Its sentence has positions, numbers and a member's name only, never a value.
        unreadable(where, "a JSON document", f"one that {error}")
    if not isinstance(document, dict):
        unreadable(where, "a JSON object", kind_of(document))
    return document


def dump(document: dict[str, Any]) -> bytes:
    """The file's bytes: JSON with a line end."""
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode("ascii")


def facts(document: dict[str, Any], address: Address | None, where: str) -> Facts:
    """The member ``x-orchestrator``, checked; ``address`` is the key's, where the file says it. Raises as ``parse``."""
    extension = document.get(EXTENSION, {})
    if not isinstance(extension, dict):
        unreadable(where, f"an object {EXTENSION}", kind_of(extension))
    disabled = extension.get("disabled", False)
    if not isinstance(disabled, bool):
        unreadable(where, f"{EXTENSION}.disabled true or false", short(disabled))
    return Facts(
        name=optional_text(extension.get("name"), f"{EXTENSION}.name", where),
        disabled=disabled,
        created_at=optional_text(extension.get("createdAt"), f"{EXTENSION}.createdAt", where),
        wallets=_wallets(extension.get("wallets", []), address, where),
    )


def address(value: object, where: str) -> Address | None:
    """An address with or without 0x; None for null and for nothing. Raises as ``parse``."""
    if value is None:
        return None
    if not isinstance(value, str):
        unreadable(where, "address as text", kind_of(value))
    try:
        return to_address(value if value.startswith("0x") else "0x" + value)
    except ValueError as error:
        unreadable(where, "an address", str(error))


def optional_text(value: object, what: str, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        unreadable(where, f"{what} as text", kind_of(value))
    return value


def kind_of(value: object) -> str:
    return "nothing" if value is None else f"a JSON {type(value).__name__}"


def short(value: object) -> str:
    """A value for an error: at most 40 characters, ASCII."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() <= 64 else f"a number of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."


def unreadable(where: str, expected: str, actual: str, *, disposition: Disposition = Disposition.STOP) -> NoReturn:
    raise KeyUnavailable(
        f"{where}: expected {expected}, got {actual}", code="keystore_unreadable", disposition=disposition
    )


def _wallets(value: object, address: Address | None, where: str) -> tuple[ChainAccount, ...]:
    what = f"{EXTENSION}.wallets"
    if not isinstance(value, list):
        unreadable(where, f"{what} as a list", kind_of(value))
    if len(value) > MAX_WALLETS:
        unreadable(where, f"{what} of at most {MAX_WALLETS}", f"{len(value)}")
    found: list[ChainAccount] = []
    for text in value:
        if not isinstance(text, str):
            unreadable(where, f"{what} of texts", kind_of(text))
        try:
            wallet = ChainAccount.parse(text)
        except (UnsupportedChain, ValueError):
            unreadable(where, f"{what} of CAIP-10 account ids", short(text))
        if wallet.address != address:
            unreadable(where, f"{what} with the key's own address {address}", str(wallet))
        if wallet in found:
            unreadable(where, f"{what} without repetition", str(wallet))
        found.append(wallet)
    return tuple(found)
