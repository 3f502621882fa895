"""Checks what a node says about an account and its storage against a block's state root. Pure, no network.

``eth_getProof``'s answer (EIP-1186). Every failure is a ProofInvalid with field, expected and actual; nothing that a
node can send raises anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eth_hash.auto import keccak

from orchestrator.closure.proof.merkle import EMPTY_NODE, EMPTY_ROOT, decode, prove
from orchestrator.closure.proof.spelling import data, fixed, number, show
from orchestrator.errors import ProofInvalid
from orchestrator.models import Address

EMPTY_CODE_HASH: Final = keccak(b"")
MAX_NODES: Final = 65
"""A key has 64 nibbles, so a path has at most 64 branches and a leaf."""
MAX_NODE_BYTES: Final = 1024
"""A branch is at most 17 hashes, 532 bytes; a leaf holds an account, some 110 bytes, and its path."""
MAX_SLOTS: Final = 1024
"""More storage slots than any question of this project has."""


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


def verify_account(
    state_root: bytes, address: Address | str, answer: Mapping[str, Any], slots: Sequence[int] = ()
) -> ProvenState:
    """What ``eth_getProof``'s answer proves about an account at this state root: presence or absence, and the slots.

    The proof must be for this address and exactly these slots (in any order), and each stated value must be the proven
    one, in whatever spelling. Raises ProofInvalid.
    """
    if not isinstance(answer, Mapping):
        raise ProofInvalid(f"proof: expected an object, got {show(answer)}")
    wanted = fixed(address, "address", 20)
    stated_address = fixed(answer.get("address"), "proof.address", 20)
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
        stated = number(answer.get(name), f"proof.{name}", bits)
        if stated != proven:
            raise ProofInvalid(f"proof.{name}: the proof shows {proven}, the node says {stated}")
    for name, root, empty in (
        ("storageHash", state.storage_root, EMPTY_ROOT),
        ("codeHash", state.code_hash, EMPTY_CODE_HASH),
    ):
        stated_root = fixed(answer.get(name), f"proof.{name}", 32)
        # Some nodes write zeros, or null, for what is empty.
        if stated_root != root and (root != empty or any(stated_root)):
            raise ProofInvalid(f"proof.{name}: the proof shows 0x{root.hex()}, the node says 0x{stated_root.hex()}")


def _verify_slots(storage_root: bytes, entries: Any, slots: Sequence[int]) -> dict[int, int]:
    if len(slots) > MAX_SLOTS or len(set(slots)) != len(slots) or any(not 0 <= slot < 2**256 for slot in slots):
        raise AssertionError(f"expected at most {MAX_SLOTS} different slots of 32 bytes, got {len(slots)}")
    if not isinstance(entries, list) or len(entries) != len(slots):
        actual = f"{len(entries)}" if isinstance(entries, list) else show(entries)
        raise ProofInvalid(f"storageProof: expected {len(slots)} entries, got {actual}")
    values: dict[int, int] = {}
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise ProofInvalid(f"storageProof: expected objects, got {show(entry)}")
        slot = number(entry.get("key"), "storageProof.key", 256)
        if slot not in slots or slot in values:
            raise ProofInvalid(f"storageProof.key: expected each of the slots {list(slots)[:8]} once, got {slot:#x}")
        what = f"storageProof[{slot:#x}]"
        leaf = prove(storage_root, slot.to_bytes(32, "big"), _nodes(entry.get("proof"), what), what)
        proven = 0 if leaf is None else _storage_value(leaf, what)
        stated = number(entry.get("value"), f"{what}.value", 256)
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


def _integer(item: bytes, limit: int, what: str) -> int:
    if len(item) > limit or item[:1] == b"\0":
        raise ProofInvalid(f"{what}: expected a number of at most {limit} bytes without leading zeros, got {len(item)}")
    return int.from_bytes(item, "big")


# --- what a node wrote ---------------------------------------------------------------------------------------------


def one_spelling(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The members of ``eth_getProof``'s answer that are checked, as JSON-RPC spells them, slots in their order.

    Raises ProofInvalid where one cannot be read.
    """
    return {
        "address": "0x" + fixed(answer.get("address"), "proof.address", 20).hex(),
        "accountProof": _hexed(answer.get("accountProof"), "accountProof"),
        "balance": hex(number(answer.get("balance"), "proof.balance", 256)),
        "codeHash": "0x" + fixed(answer.get("codeHash"), "proof.codeHash", 32).hex(),
        "nonce": hex(number(answer.get("nonce"), "proof.nonce", 64)),
        "storageHash": "0x" + fixed(answer.get("storageHash"), "proof.storageHash", 32).hex(),
        "storageProof": [
            {
                "key": f"0x{slot:064x}",
                "value": hex(number(entry.get("value"), "storageProof.value", 256)),
                "proof": _hexed(entry.get("proof"), f"storageProof[{slot:#x}]"),
            }
            for slot, entry in sorted(
                zip(storage_keys(answer), answer["storageProof"], strict=True), key=lambda pair: pair[0]
            )
        ],
    }


def storage_keys(answer: Mapping[str, Any]) -> list[int]:
    """The slots that ``eth_getProof``'s answer has, unproven, in its order. Raises ProofInvalid."""
    entries = answer.get("storageProof") if isinstance(answer, Mapping) else None
    if not isinstance(entries, list) or len(entries) > MAX_SLOTS:
        raise ProofInvalid(f"storageProof: expected a list of at most {MAX_SLOTS} entries")
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise ProofInvalid("storageProof: expected objects")
    slots = [number(entry.get("key"), "storageProof.key", 256) for entry in entries]
    if len(set(slots)) != len(slots):
        raise ProofInvalid("storageProof.key: expected each slot once")
    return slots


def _nodes(value: Any, what: str) -> list[bytes]:
    """A proof's nodes, without empty ones: on the path from a root that is not empty there is none."""
    nodes = [] if value is None else value
    if not isinstance(nodes, list) or len(nodes) > MAX_NODES:
        actual = f"{len(nodes)} of them" if isinstance(nodes, list) else show(nodes)
        raise ProofInvalid(f"{what}: expected a list of at most {MAX_NODES} nodes, got {actual}")
    read = [data(node, f"{what}[{index}]", MAX_NODE_BYTES) for index, node in enumerate(nodes)]
    return [node for node in read if node not in (b"", EMPTY_NODE)]


def _hexed(value: Any, what: str) -> list[str]:
    return ["0x" + node.hex() for node in _nodes(value, what)]
