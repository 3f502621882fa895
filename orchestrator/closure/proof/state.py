"""Checks what a node says about a block, an account and its storage against the block's hash. Pure, no network.

Header: the RLP list of its fields (Yellow Paper 4.4.3; EIP-1559, 4895, 4844, 4788, 7685 each add some at the end).
Account and storage: ``eth_getProof``'s answer (EIP-1186). Every failure is a ProofInvalid with field, expected and
actual; nothing that a node can send raises anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eth_hash.auto import keccak

from orchestrator.closure.proof.merkle import EMPTY_ROOT, Item, decode, encode, prove
from orchestrator.errors import ProofInvalid
from orchestrator.models import Address, BlockHash, BlockNumber, BlockRef

EMPTY_CODE_HASH: Final = keccak(b"")
MAX_NODES: Final = 65
"""A key has 64 nibbles, so a path has at most 64 branches and a leaf."""
MAX_NODE_BYTES: Final = 1024
"""A branch is at most 17 hashes, 532 bytes; a leaf holds an account, some 110 bytes, and its path."""
MAX_SLOTS: Final = 1024
"""More storage slots than any question of this project has."""

# Name, and the length in bytes; None is a quantity, negative the greatest length allowed.
_REQUIRED: Final[tuple[tuple[str, int | None], ...]] = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", None),
    ("number", None),
    ("gasLimit", None),
    ("gasUsed", None),
    ("timestamp", None),
    ("extraData", -1024),
    ("mixHash", 32),
    ("nonce", 8),
)
# In the order of the forks: a header has all of them up to its fork, none after.
_OPTIONAL: Final[tuple[tuple[str, int | None], ...]] = (
    ("baseFeePerGas", None),  # London, EIP-1559
    ("withdrawalsRoot", 32),  # Shanghai, EIP-4895
    ("blobGasUsed", None),  # Cancun, EIP-4844
    ("excessBlobGas", None),
    ("parentBeaconBlockRoot", 32),  # Cancun, EIP-4788
    ("requestsHash", 32),  # Prague, EIP-7685; Osaka adds none
)
HEADER_FIELDS: Final = tuple(name for name, _ in _REQUIRED + _OPTIONAL)
"""All header fields that this release knows, in the order of their RLP list."""

_HEX: Final = re.compile(r"0x[0-9a-fA-F]*")
_QUANTITY: Final = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]*)")


@dataclass(frozen=True, slots=True)
class ProvenHeader:
    """A header whose fields hash to ``hash``. Whether that hash is in the canonical chain is another question."""

    number: BlockNumber
    hash: BlockHash
    state_root: bytes
    timestamp: int
    """Seconds since 1970."""
    has_cancun: bool
    """Whether it has the fields of Cancun, the fork of EIP-6780."""

    @property
    def block(self) -> BlockRef:
        return BlockRef(self.number, self.hash)


@dataclass(frozen=True, slots=True)
class ProvenState:
    """An account and some of its storage, as the state root has them."""

    exists: bool
    """False if the state has no such account: all else is then empty."""
    nonce: int
    balance: int
    """In wei."""
    code_hash: bytes
    storage_root: bytes
    slots: Mapping[int, int] = field(default_factory=dict)


def header_fields(block: Mapping[str, Any]) -> dict[str, Any]:
    """The header's fields and the hash out of a node's block, as the node gave them; the rest of the block is left."""
    return {name: block[name] for name in (*HEADER_FIELDS, "hash") if block.get(name) is not None}


def verify_header(header: Mapping[str, Any], *, expected_hash: str | None = None) -> ProvenHeader:
    """The header in a node's JSON form, if ``keccak256(rlp(header))`` is its ``hash`` (and the expected one).

    Raises ProofInvalid. Chains whose headers have other fields than Ethereum's fail here, by the hash.
    """
    if not isinstance(header, Mapping):
        raise ProofInvalid(f"header: expected an object, got {_show(header)}")
    values: list[Item] = [_header_value(header, name, length) for name, length in _REQUIRED]
    missing: str | None = None
    for name, length in _OPTIONAL:
        if header.get(name) is None:
            missing = missing or name
        elif missing is not None:
            raise ProofInvalid(f"header: has {name} but not {missing}, which an earlier fork added")
        else:
            values.append(_header_value(header, name, length))
    stated = _data(header.get("hash"), "header.hash", 32)
    actual = keccak(encode(values))
    if actual != stated:
        raise ProofInvalid(f"header.hash: the fields hash to 0x{actual.hex()}, the header says 0x{stated.hex()}")
    if expected_hash is not None and actual != _data(expected_hash, "expected hash", 32):
        raise ProofInvalid(f"header.hash: expected {expected_hash}, got 0x{actual.hex()}")
    return ProvenHeader(
        number=BlockNumber(_quantity(header["number"], "header.number", 64)),
        hash=BlockHash("0x" + actual.hex()),
        state_root=_data(header["stateRoot"], "header.stateRoot", 32),
        timestamp=_quantity(header["timestamp"], "header.timestamp", 64),
        has_cancun=header.get("parentBeaconBlockRoot") is not None,
    )


def verify_account(
    state_root: bytes, address: Address | str, answer: Mapping[str, Any], slots: Sequence[int] = ()
) -> ProvenState:
    """What ``eth_getProof``'s answer proves about an account at this state root: presence or absence, and the slots.

    The proof must be for this address and exactly these slots (in any order), and each stated value must be the proven
    one. Raises ProofInvalid.
    """
    if not isinstance(answer, Mapping):
        raise ProofInvalid(f"proof: expected an object, got {_show(answer)}")
    wanted = _data(address, "address", 20)
    stated_address = _data(answer.get("address"), "proof.address", 20)
    if stated_address != wanted:
        raise ProofInvalid(f"proof.address: expected 0x{wanted.hex()}, got 0x{stated_address.hex()}")
    nodes = _nodes(answer.get("accountProof"), "accountProof")
    leaf = prove(state_root, wanted, nodes, "accountProof")
    state = _absent() if leaf is None else _account(leaf)
    _compare_account(answer, state)
    return ProvenState(
        exists=state.exists,
        nonce=state.nonce,
        balance=state.balance,
        code_hash=state.code_hash,
        storage_root=state.storage_root,
        slots=_verify_slots(state.storage_root, answer.get("storageProof"), slots),
    )


def verify_code(code: bytes, code_hash: bytes) -> None:
    """Raises ProofInvalid unless ``keccak256(code)`` is the proven code hash."""
    actual = keccak(code)
    if actual != code_hash:
        raise ProofInvalid(f"code: expected the hash 0x{code_hash.hex()}, got 0x{actual.hex()} of {len(code)} bytes")


# --- the account and its storage -----------------------------------------------------------------------------------


def _absent() -> ProvenState:
    return ProvenState(False, 0, 0, EMPTY_CODE_HASH, EMPTY_ROOT)


def _account(leaf: bytes) -> ProvenState:
    """Yellow Paper 4.1: the RLP list of nonce, balance, storage root and code hash."""
    items = decode(leaf, "accountProof: the account")
    fields = [item for item in items if isinstance(item, bytes)] if isinstance(items, list) else []
    if len(fields) != 4 or len(items) != 4:
        raise ProofInvalid("accountProof: the account is not a list of nonce, balance, storage root and code hash")
    nonce, balance, storage_root, code_hash = fields
    if len(storage_root) != 32 or len(code_hash) != 32:
        raise ProofInvalid(
            "accountProof: expected a storage root and a code hash of 32 bytes, "
            f"got {len(storage_root)} and {len(code_hash)}"
        )
    return ProvenState(
        True,
        _integer(nonce, 8, "accountProof: nonce"),
        _integer(balance, 32, "accountProof: balance"),
        code_hash,
        storage_root,
    )


def _compare_account(answer: Mapping[str, Any], state: ProvenState) -> None:
    for name, bits, proven in (("nonce", 64, state.nonce), ("balance", 256, state.balance)):
        stated = _quantity(answer.get(name), f"proof.{name}", bits)
        if stated != proven:
            raise ProofInvalid(f"proof.{name}: the proof shows {proven}, the node says {stated}")
    for name, root in (("storageHash", state.storage_root), ("codeHash", state.code_hash)):
        stated_root = _data(answer.get(name), f"proof.{name}", 32)
        # Some nodes write zeros for an account that does not exist.
        if stated_root != root and (state.exists or any(stated_root)):
            raise ProofInvalid(f"proof.{name}: the proof shows 0x{root.hex()}, the node says 0x{stated_root.hex()}")


def _verify_slots(storage_root: bytes, entries: Any, slots: Sequence[int]) -> dict[int, int]:
    if len(slots) > MAX_SLOTS or len(set(slots)) != len(slots) or any(not 0 <= slot < 2**256 for slot in slots):
        raise AssertionError(f"expected at most {MAX_SLOTS} different slots of 32 bytes, got {len(slots)}")
    if not isinstance(entries, list) or len(entries) != len(slots):
        actual = f"{len(entries)}" if isinstance(entries, list) else _show(entries)
        raise ProofInvalid(f"storageProof: expected {len(slots)} entries, got {actual}")
    values: dict[int, int] = {}
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise ProofInvalid(f"storageProof: expected objects, got {_show(entry)}")
        slot = _slot_key(entry.get("key"))
        if slot not in slots or slot in values:
            raise ProofInvalid(f"storageProof.key: expected each of the slots {list(slots)[:8]} once, got {slot:#x}")
        what = f"storageProof[{slot:#x}]"
        leaf = prove(storage_root, slot.to_bytes(32, "big"), _nodes(entry.get("proof"), what), what)
        proven = 0 if leaf is None else _storage_value(leaf, what)
        stated = _quantity_or_word(entry.get("value"), f"{what}.value")
        if stated != proven:
            raise ProofInvalid(f"{what}.value: the proof shows {proven:#x}, the node says {stated:#x}")
        values[slot] = proven
    return values


def _storage_value(leaf: bytes, what: str) -> int:
    item = decode(leaf, what)
    if not isinstance(item, bytes):
        raise ProofInvalid(f"{what}: expected a stored number, got a list")
    # Ethereum never stores a zero. Anvil 1.7.1 does, for a slot that was cleared: a zero proven by presence.
    return _integer(item, 32, what)


# --- hostile values ------------------------------------------------------------------------------------------------


def _header_value(header: Mapping[str, Any], name: str, length: int | None) -> bytes:
    what = f"header.{name}"
    if length is None:
        number = _quantity(header.get(name), what, 256)
        return number.to_bytes((number.bit_length() + 7) // 8, "big")
    return _data(header.get(name), what, length)


def _nodes(value: Any, what: str) -> list[bytes]:
    if not isinstance(value, list) or len(value) > MAX_NODES:
        actual = f"{len(value)} of them" if isinstance(value, list) else _show(value)
        raise ProofInvalid(f"{what}: expected a list of at most {MAX_NODES} nodes, got {actual}")
    return [_data(node, f"{what}[{index}]", -MAX_NODE_BYTES) for index, node in enumerate(value)]


def _data(value: Any, what: str, length: int) -> bytes:
    """Hex data of ``length`` bytes; a negative length is the greatest allowed."""
    limit = abs(length)
    if not isinstance(value, str) or len(value) > 2 + 2 * limit or not _HEX.fullmatch(value) or len(value) % 2:
        raise ProofInvalid(f"{what}: expected 0x and hex of at most {limit} bytes, got {_show(value)}")
    data = bytes.fromhex(value[2:])
    if length >= 0 and len(data) != length:
        raise ProofInvalid(f"{what}: expected {length} bytes, got {len(data)}")
    return data


def _quantity(value: Any, what: str, bits: int) -> int:
    if not isinstance(value, str) or len(value) > 2 + bits // 4 or not _QUANTITY.fullmatch(value):
        raise ProofInvalid(f"{what}: expected a hex number of at most {bits} bits, got {_show(value)}")
    return int(value, 16)


def _quantity_or_word(value: Any, what: str) -> int:
    """Nodes write a storage value as a number (geth, Anvil) or as 32 bytes."""
    if isinstance(value, str) and len(value) == 66 and _HEX.fullmatch(value):
        return int(value, 16)
    return _quantity(value, what, 256)


def _slot_key(value: Any) -> int:
    return _quantity_or_word(value, "storageProof.key")


def _integer(data: bytes, limit: int, what: str) -> int:
    if len(data) > limit or data[:1] == b"\0":
        raise ProofInvalid(f"{what}: expected a number of at most {limit} bytes without leading zeros, got {len(data)}")
    return int.from_bytes(data, "big")


def _show(value: Any) -> str:
    """A hostile value for a message: its type and a short beginning, never its whole."""
    if value is None or isinstance(value, bool | int):
        return repr(value)[:60] if not isinstance(value, int) or abs(value) < 2**256 else "a huge number"
    if isinstance(value, str):
        return repr(value[:60]) + ("…" if len(value) > 60 else "")
    return f"a {type(value).__name__}"
