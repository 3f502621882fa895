"""What the wallet's code and address say: its five immutables, its CREATE2 address, and its storage. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from orchestrator.artifacts import Artifact
from orchestrator.models import AccountId, Address, checksum

STATE_SLOT: Final = 0
"""State in the lowest byte, the session key in the next 20."""
CLOSED_SLOTS: Final[tuple[tuple[int, int, str], ...]] = (
    (0, 3, "state Closed (3) in the lowest byte, no session key above it"),
    (1, 0, "no creation challenge is committed"),
    (2, 0, "no deletion challenge is committed"),
)
"""Slot, value and meaning of all storage of a closed wallet."""


@dataclass(frozen=True, slots=True)
class Immutables:
    """The constructor's values in a wallet's code, and the factory, which was its ``msg.sender``."""

    owner: Address
    operator: Address
    escrow: Address
    entry_point: Address
    factory: Address


def wallet_immutables(artifact: Artifact, code: bytes) -> Immutables | None:
    """The immutables in a wallet's runtime code; None if it is not the artifact's code, or one is no address."""
    if not artifact.matches(code):
        return None
    try:
        values = artifact.immutables(code)
    except ValueError:
        return None
    words = [values[name] for name in ("owner", "operator", "escrow", "entryPoint", "factory")]
    if any(len(word) != 32 or any(word[:12]) for word in words):
        return None
    return Immutables(*(checksum(word[12:].hex()) for word in words))


def address_word(address: Address) -> bytes:
    """An address as a word of the contract ABI: 32 bytes, padded on the left."""
    return bytes(12) + bytes.fromhex(address[2:])


def account_word(account_id: AccountId) -> bytes:
    """An account's UUID as ``bytes16`` in a word: 16 bytes, padded on the right. Also the event's indexed topic."""
    return bytes.fromhex(account_id.replace("-", "")) + bytes(16)


def word_account(word: bytes) -> AccountId:
    """The account of an ``account_word``, whatever stands behind its 16 bytes."""
    digits = word[:16].hex()
    return AccountId("-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])))


def wallet_salt(owner: Address, account_id: AccountId) -> bytes:
    """The factory's salt: ``keccak256(abi.encode(owner, accountId))``."""
    return keccak(address_word(owner) + account_word(account_id))


def wallet_init_code(artifact: Artifact, values: Immutables) -> bytes:
    """The wallet's creation code with its constructor arguments."""
    arguments = (values.owner, values.operator, values.escrow, values.entry_point)
    return artifact.bytecode + b"".join(address_word(argument) for argument in arguments)


def create2_address(factory: Address, salt: bytes, init_code: bytes) -> Address:
    """EIP-1014: the last 20 bytes of ``keccak256(0xff ++ factory ++ salt ++ keccak256(init_code))``."""
    digest = keccak(b"\xff" + bytes.fromhex(factory[2:]) + salt + keccak(init_code))
    return checksum(digest[12:].hex())


def wallet_address(artifact: Artifact, values: Immutables, account_id: AccountId) -> Address:
    """Where the factory deploys the wallet of an account with these values."""
    return create2_address(values.factory, wallet_salt(values.owner, account_id), wallet_init_code(artifact, values))
