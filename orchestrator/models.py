"""The field's values: identifiers, CAIP names, statuses, block references. Pure, no input or output.

Identifiers of blockchains follow CAIP-2 (``eip155:31337``) and CAIP-10 (``eip155:31337:0x…``). Only the ``eip155``
namespace is supported; others (``solana``, ``tron``, ``starknet``) are refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NewType

from orchestrator.errors import SettingsError, UnsupportedChain

AccountId = NewType("AccountId", str)
"""The platform's UUID of an account, canonical lower-case text."""
CustomerId = NewType("CustomerId", str)
"""The platform's UUID of a customer, canonical lower-case text."""
Address = NewType("Address", str)
"""An EIP-55 checksummed address, ``0x`` and 40 hex digits."""
TxHash = NewType("TxHash", str)
"""``0x`` and 64 lower-case hex digits."""
BlockHash = NewType("BlockHash", str)
"""``0x`` and 64 lower-case hex digits."""
BlockNumber = NewType("BlockNumber", int)
Wei = NewType("Wei", int)

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CAIP2 = re.compile(r"([-a-z0-9]{3,8}):([-_a-zA-Z0-9]{1,32})")


class AccountStatus(StrEnum):
    """An account's status as the platform names it (API, "Account states")."""

    INITIATING = "initiating"
    PENDING = "pending"
    ACTIVE = "active"
    INACTIVE = "inactive"
    CLOSED = "closed"
    FAILED = "failed"


class CustomerStatus(StrEnum):
    """A customer's status as the platform names it. Only an active customer gets an account."""

    INITIATING = "initiating"
    SCREENING = "screening"
    VERIFYING = "verifying"
    REJECTED = "rejected"
    ACTIVE = "active"
    INACTIVE = "inactive"


class CardStatus(StrEnum):
    """A card's status as the platform names it."""

    ISSUING = "issuing"
    ISSUE_FAILED = "issue_failed"
    ACTIVE = "active"
    INACTIVE = "inactive"
    BLOCKED = "blocked"
    SUSPENDED = "suspended"
    TERMINATED = "terminated"


class WalletState(StrEnum):
    """The state of a smart wallet on the chain."""

    CREATED = "created"
    ACTIVE = "active"
    INACTIVE = "inactive"
    CLOSED = "closed"
    UNKNOWN = "unknown"
    """Of wallets whose profile knows no source of it."""


class Finality(StrEnum):
    """How settled a block is: the tag of the node that covers it."""

    LATEST = "latest"
    SAFE = "safe"
    FINALIZED = "finalized"


class OperationKind(StrEnum):
    """What can be asked for an account."""

    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    REACTIVATE = "reactivate"
    CLOSE = "close"


class Outcome(StrEnum):
    """Where an operation stands for its caller."""

    DONE = "done"
    FAILED = "failed"
    WAITING = "waiting"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block, by number and hash."""

    number: BlockNumber
    hash: BlockHash


@dataclass(frozen=True, slots=True)
class ChainId:
    """A CAIP-2 chain of the ``eip155`` namespace."""

    number: int

    def __str__(self) -> str:
        return f"eip155:{self.number}"

    @classmethod
    def parse(cls, text: str) -> ChainId:
        """``eip155:31337``. Raises UnsupportedChain for another namespace or a malformed text."""
        match = _CAIP2.fullmatch(text)
        if match is None:
            raise UnsupportedChain(f"expected a CAIP-2 chain id such as eip155:31337, got {text[:80]!r}")
        namespace, reference = match.groups()
        if namespace != "eip155":
            raise UnsupportedChain(
                f"chain namespace {namespace!r} is not supported: only eip155 (EVM chains) is, got {text[:80]!r}"
            )
        if not reference.isascii() or not reference.isdigit() or reference != str(int(reference)):
            raise UnsupportedChain(f"expected a decimal chain number after 'eip155:', got {reference!r}")
        return cls(int(reference))


@dataclass(frozen=True, slots=True)
class ChainAccount:
    """A CAIP-10 account: a chain and an EIP-55 address on it."""

    chain: ChainId
    address: Address

    def __str__(self) -> str:
        return f"{self.chain}:{self.address}"

    @classmethod
    def parse(cls, text: str) -> ChainAccount:
        """``eip155:31337:0x…`` in any letter case. Raises UnsupportedChain if it is not a CAIP-10 EVM account."""
        chain_text, separator, address = text.rpartition(":")
        if not separator:
            raise UnsupportedChain(f"expected a CAIP-10 account id such as eip155:31337:0x…, got {text[:80]!r}")
        chain = ChainId.parse(chain_text)
        try:
            return cls(chain, to_address(address))
        except ValueError as error:
            raise UnsupportedChain(f"in CAIP-10 account id {text[:120]!r}: {error}") from error


def to_address(text: str) -> Address:
    """The EIP-55 form of a hex address.

    Lower, upper and correctly mixed case are taken; a mixed case with a wrong EIP-55 checksum is refused, because it
    is the one sign of a mistyped address. Raises ValueError.
    """
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"expected 0x and 40 hex digits, got {text[:80]!r}")
    digits = text[2:]
    checksummed = checksum(digits.lower())
    if digits not in (digits.lower(), digits.upper()) and checksummed != text:
        raise ValueError(f"the EIP-55 checksum of {text} is wrong: expected {checksummed}")
    return checksummed


@lru_cache(4096)
def checksum(digits: str) -> Address:
    """EIP-55: 40 lower-case hex digits to the checksummed address."""
    from eth_hash.auto import keccak  # not for the command line's help, which imports this module

    digest = keccak(digits.encode()).hex()
    return Address("0x" + "".join([c.upper() if d > "7" else c for c, d in zip(digits, digest, strict=False)]))


def canonical_uuid(text: str) -> str:
    """A UUID's text (RFC 9562, section 4) in lower case. Raises ValueError.

    ``uuid.UUID`` takes much else for one: URNs, braces, digits of other scripts, white space in a digit's place.
    """
    if not _UUID.fullmatch(text):
        raise ValueError(f"expected a UUID, got {text[:60]!r}")
    return text.lower()


def to_uuid(text: str, what: str) -> str:
    """As ``canonical_uuid``. Raises SettingsError that names ``what`` the text was given as."""
    try:
        return canonical_uuid(text)
    except ValueError:
        raise SettingsError(f"expected a UUID as {what}, got {text[:80]!r}", code="not_a_uuid") from None
