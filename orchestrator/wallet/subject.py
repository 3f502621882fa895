"""One account's wallet, as what a getter, a slot's key or a salt may name. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from orchestrator.models import AccountId, Address
from orchestrator.wallet import abi
from orchestrator.wallet.contract import account_word, word_account

ACCOUNT_TYPES: Final = ("bytes16", "bytes32", "uint128", "uint256", "string")
"""How an account's UUID is encoded: its 16 bytes (in ``bytes32`` the first ones), its number, its text."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def account_value(account_id: AccountId, kind: str) -> object:
    """An account's UUID as a value of one of ``ACCOUNT_TYPES``."""
    raw = account_word(account_id)
    if kind == "string":
        return str(account_id)
    return int.from_bytes(raw[:16], "big") if kind.startswith("uint") else raw[: int(kind[5:])]


def value_account(value: object) -> AccountId | None:
    """The account of ``account_value``; None for what no account's UUID gives."""
    if isinstance(value, str):
        return AccountId(value) if _UUID.fullmatch(value) else None
    if isinstance(value, int) and 0 <= value < 1 << 128:
        return word_account(value.to_bytes(16, "big"))
    if isinstance(value, bytes) and len(value) in (16, 32) and not any(value[16:]):
        return word_account(value)
    return None


def literal(text: str, kind: str) -> object:
    """A value that a profile writes as ``0x…``: bytes, a number, an address. Raises ValueError."""
    raw = bytes.fromhex(text[2:])
    if kind == "bytes":
        return raw
    size = int(kind[5:]) if re.fullmatch(r"bytes\d+", kind) else 20 if kind == "address" else len(raw)
    if abi.is_dynamic(kind) or len(raw) != size:
        raise ValueError(f"{text[:80]} is no {kind}")
    return abi.decode([kind], raw.ljust(32, b"\0") if kind.startswith("bytes") else raw.rjust(32, b"\0"))[0]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a getter, a slot's key or a salt may name: the account, its wallet, the factory, the owner by the event."""

    account: AccountId
    wallet: Address
    factory: Address
    owner: Address | None = None

    def value(self, name: str, kind: str) -> object:
        """Raises ValueError for an owner whom no event has named."""
        if name == "account":
            return account_value(self.account, kind)
        found = {"wallet": self.wallet, "factory": self.factory, "owner": self.owner}[name]
        if found is None:
            raise ValueError("no event has named the owner")
        return found

    def key(self, name: str, kind: str) -> bytes:
        """As a mapping's key: a word, or a text's bytes (Solidity, "Layout of State Variables in Storage")."""
        return str(self.account).encode() if kind == "string" else abi.word(kind, self.value(name, kind))


def at(place: str, subject: Subject) -> Address:
    """Whose slot or getter it is."""
    return subject.wallet if place == "wallet" else subject.factory if place == "factory" else Address(place)
