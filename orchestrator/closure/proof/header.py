"""A block's header against the block's hash: the fields of the forks that are known, in their order. Pure.

The header is the RLP list of its fields (Yellow Paper 4.4.3), at whose end forks add some: EIP-1559, 4895, 4844, 4788,
7685, 7928 and 7843. Which of them a header has is not asked of its names but of its hash: the forks are tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from eth_hash.auto import keccak

from orchestrator.closure.proof.merkle import Item, encode
from orchestrator.closure.proof.spelling import data, fixed, number, show
from orchestrator.errors import ProofInvalid
from orchestrator.models import BlockHash, BlockNumber, BlockRef

MAX_EXTRA_DATA: Final = 1 << 16
"""Bytes of ``extraData``: Ethereum's has 32; the first block of an epoch on BNB Smart Chain had 1,709."""


class Fork(IntEnum):
    """The forks that added fields to the header, in their order."""

    FRONTIER = 0
    LONDON = 1
    SHANGHAI = 2
    CANCUN = 3
    PRAGUE = 4
    AMSTERDAM = 5

    @property
    def names(self) -> str:
        """All forks whose headers have the same fields, in words."""
        return _NAMES[self]


_NAMES: Final = {
    Fork.FRONTIER: "a fork before London",
    Fork.LONDON: "London or Paris",
    Fork.SHANGHAI: "Shanghai",
    Fork.CANCUN: "Cancun",
    Fork.PRAGUE: "Prague or Osaka",
    Fork.AMSTERDAM: "Amsterdam",
}

_NUMBER: Final = 0
_DATA: Final = -1
# Name, and the length in bytes, or which of the two it is.
_FIELDS: Final[Mapping[Fork, tuple[tuple[str, int], ...]]] = {
    Fork.FRONTIER: (
        ("parentHash", 32),
        ("sha3Uncles", 32),
        ("miner", 20),
        ("stateRoot", 32),
        ("transactionsRoot", 32),
        ("receiptsRoot", 32),
        ("logsBloom", 256),
        ("difficulty", _NUMBER),
        ("number", _NUMBER),
        ("gasLimit", _NUMBER),
        ("gasUsed", _NUMBER),
        ("timestamp", _NUMBER),
        ("extraData", _DATA),
        ("mixHash", 32),
        ("nonce", 8),
    ),
    Fork.LONDON: (("baseFeePerGas", _NUMBER),),  # EIP-1559
    Fork.SHANGHAI: (("withdrawalsRoot", 32),),  # EIP-4895
    Fork.CANCUN: (("blobGasUsed", _NUMBER), ("excessBlobGas", _NUMBER), ("parentBeaconBlockRoot", 32)),  # 4844, 4788
    Fork.PRAGUE: (("requestsHash", 32),),  # EIP-7685; Osaka adds none
    Fork.AMSTERDAM: (("blockAccessListHash", 32), ("slotNumber", _NUMBER)),  # EIP-7928, 7843
}
_BESIDE: Final = frozenset({"hash", "size", "totalDifficulty", "transactions", "uncles", "withdrawals"})
"""Members of a node's block that no chain's header has."""
_SHOWN: Final = 16


@dataclass(frozen=True, slots=True)
class ProvenHeader:
    """A header whose fields hash to ``hash``. Whether that hash is in the canonical chain is another question."""

    number: BlockNumber
    hash: BlockHash
    state_root: bytes
    timestamp: int
    """Seconds since 1970."""
    fork: Fork
    """The one whose fields it has."""
    fields: Mapping[str, str]
    """They and the hash, in JSON-RPC's own spelling."""

    @property
    def block(self) -> BlockRef:
        return BlockRef(self.number, self.hash)


def verify_header(block: Mapping[str, Any], *, expected_hash: str | None = None) -> ProvenHeader:
    """The header in a node's block, if its fields by some fork hash to the block's ``hash`` (and the expected one).

    Raises ProofInvalid; where no fork's fields hash to it, the message names the members that none of them has.
    """
    if not isinstance(block, Mapping):
        raise ProofInvalid(f"header: expected an object, got {show(block)}")
    if block.get("hash") is None:
        raise ProofInvalid("header.hash: expected the block's hash, got none")
    stated = fixed(block["hash"], "header.hash", 32)
    if expected_hash is not None and stated != fixed(expected_hash, "expected hash", 32):
        raise ProofInvalid(f"header.hash: expected {expected_hash}, got 0x{stated.hex()}")
    newest, items, lengths = Fork.FRONTIER, [], []
    for fork, fields in _FIELDS.items():
        items += [_item(block, name, kind) for name, kind in fields]
        lengths.append(len(items))
        if any(block.get(name) is not None for name, _ in fields):
            newest = fork
    for fork in reversed(Fork):
        header = items[: lengths[fork]]
        if keccak(encode(header)) == stated:
            return _proven(header, stated, fork)
    raise _mismatch(block, keccak(encode(items[: lengths[newest]])), stated, newest)


def _item(block: Mapping[str, Any], name: str, kind: int) -> Item:
    value, what = block.get(name), f"header.{name}"
    if kind == _DATA:
        return data(value, what, MAX_EXTRA_DATA)
    if kind == _NUMBER:
        read = number(value, what, 256)
        return read.to_bytes((read.bit_length() + 7) // 8, "big")
    return fixed(value, what, kind)


def _proven(header: list[Item], hash_: bytes, fork: Fork) -> ProvenHeader:
    fields: dict[str, str] = {}
    names = (field for later, added in _FIELDS.items() if later <= fork for field in added)
    for (name, kind), item in zip(names, header, strict=True):
        assert isinstance(item, bytes)
        fields[name] = hex(int.from_bytes(item, "big")) if kind == _NUMBER else "0x" + item.hex()
    fields["hash"] = "0x" + hash_.hex()
    return ProvenHeader(
        number=BlockNumber(number(fields["number"], "header.number", 64)),
        hash=BlockHash(fields["hash"]),
        state_root=bytes.fromhex(fields["stateRoot"][2:]),
        timestamp=number(fields["timestamp"], "header.timestamp", 64),
        fork=fork,
        fields=fields,
    )


def _mismatch(block: Mapping[str, Any], actual: bytes, stated: bytes, fork: Fork) -> ProofInvalid:
    known = {name for fields in _FIELDS.values() for name, _ in fields} | _BESIDE
    unknown = [show(str(name)[:60])[1:-1] for name in block if name not in known]
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    left_out = f"left out, as no header of Ethereum's has them: {', '.join(unknown[:_SHOWN])}{more}"
    return ProofInvalid(
        f"header.hash: the header says 0x{stated.hex()}, and by no known fork its fields hash to that "
        f"(by {fork.names}: 0x{actual.hex()}); {left_out if unknown else 'nothing was left out'}"
    )
