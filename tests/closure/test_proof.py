"""Account and storage proofs against a prover that shares no code with the verifier; and hostile ones."""

from __future__ import annotations

import contextlib
import copy

import pytest
import rlp
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.closure.proof import merkle
from orchestrator.closure.proof.header import verify_header
from orchestrator.closure.proof.state import one_spelling, verify_account, verify_code
from orchestrator.errors import ProofInvalid


def test_presence_and_absence(case):
    world = case.world
    state = verify_account(world.state_root, world.wallet, world.proof(), (0, 1, 2))
    assert state.exists
    assert (state.nonce, state.balance) == (1, 5)
    assert state.slots == {0: 3, 1: 0, 2: 0}
    verify_code(world.code, state.code_hash)
    nobody = "0x" + "ab" * 20
    answer = world.proof(nobody)
    absent = verify_account(world.state_root, nobody, answer, (0, 1, 2))
    assert not absent.exists
    assert absent.slots == {0: 0, 1: 0, 2: 0}
    zeros = {**answer, "codeHash": "0x" + "00" * 32, "storageHash": "0x" + "00" * 32}
    assert verify_account(world.state_root, nobody, zeros, (0, 1, 2)) == absent


def test_many_slots_in_a_deep_trie(hand_made):
    storage = {slot: slot * 7 + 1 for slot in range(300)}
    world = hand_made["world"]("0x" + "cd" * 20, b"\x00", storage)
    slots = (0, 7, 299, 300, 2**256 - 1)
    state = verify_account(world.state_root, world.wallet, world.proof(slots=slots), slots)
    assert state.slots == {0: 1, 7: 50, 299: 2094, 300: 0, 2**256 - 1: 0}


def test_the_empty_trie_with_and_without_the_empty_node(hand_made):
    """geth sends none, Anvil one; however many there are, they say nothing."""
    world = hand_made["world"]("0x" + "cd" * 20, b"\x00", {})
    answer = world.proof(slots=(0,))
    for nodes in ([], ["0x80"], ["0x80", "0x80"], ["0x"], None):
        answer["storageProof"][0]["proof"] = nodes
        assert verify_account(world.state_root, world.wallet, answer, (0,)).slots == {0: 0}
    answer["storageProof"][0]["proof"] = ["0xc0"]
    with pytest.raises(ProofInvalid, match="expected no node"):
        verify_account(world.state_root, world.wallet, answer, (0,))


SPELT = {
    "a nonce with a zero before it": (("nonce",), "0x01"),
    "a nonce as a word": (("nonce",), "0x" + "00" * 31 + "01"),
    "a nonce that is a JSON number": (("nonce",), 1),
    "a balance with a zero before it": (("balance",), "0x05"),
    "a balance that is a JSON number": (("balance",), 5),
    "upper-case digits": (("codeHash",), lambda value: "0x" + value[2:].upper()),
    "a key of two digits": (("storageProof", 2, "key"), "0x02"),
    "a key of one digit": (("storageProof", 2, "key"), "0x2"),
    "a key without digits": (("storageProof", 0, "key"), "0x"),
    "a key that is a JSON number": (("storageProof", 1, "key"), 1),
    "a value with a zero before it": (("storageProof", 0, "value"), "0x03"),
    "a value as a word": (("storageProof", 0, "value"), "0x" + "00" * 31 + "03"),
    "no digits for zero": (("storageProof", 1, "value"), "0x"),
    "two zeros for zero": (("storageProof", 1, "value"), "0x00"),
    "null for zero": (("storageProof", 1, "value"), None),
    "an empty node at the end": (("accountProof",), lambda nodes: [*nodes, "0x80"]),
    "an empty node at the end of a slot's": (("storageProof", 1, "proof"), lambda nodes: [*nodes, "0x80"]),
    "a member that nobody knows": (("extra",), "of a client's own"),
}


@pytest.mark.parametrize("kind", SPELT)
def test_the_proof_decides_and_not_the_spelling(case, kind):
    path, value = SPELT[kind]
    world = case.world
    plain = world.proof()
    answer = {**plain, "extra": None} if path == ("extra",) else plain
    answer = change(answer, path, value)
    assert verify_account(world.state_root, world.wallet, answer, (0, 1, 2)) == verify_account(
        world.state_root, world.wallet, plain, (0, 1, 2)
    )
    assert one_spelling(answer) == one_spelling(plain)


@pytest.mark.parametrize("nothing", ["0x0", "0x00", "0x", None, 0])
def test_an_account_that_is_absent_in_any_spelling_of_nothing(case, nothing):
    nobody = "0x" + "ab" * 20
    answer = {**case.world.proof(nobody), **dict.fromkeys(("nonce", "balance", "codeHash", "storageHash"), nothing)}
    assert not verify_account(case.world.state_root, nobody, answer, (0, 1, 2)).exists


def test_a_cleared_slot_that_is_kept_as_zero():
    """Anvil 1.7.1 keeps a cleared slot in the trie, with the value zero."""
    leaf = rlp.encode([b"\x20" + keccak(bytes(32)), rlp.encode(b"")])
    assert merkle.prove(keccak(leaf), bytes(32), [leaf], "test") == b"\x80"


def test_an_embedded_node_with_and_without_its_copy():
    # Two keys whose hashes share a nibble only: their leaves are long, so make a root by hand with a short one inside.
    key = b"\x01"
    path = keccak(key)
    first, second = path[0] >> 4, path[0] & 15
    inner = [b""] * 17
    leaf = rlp.encode([b"\x20" + path[1:], b"v"])
    inner[second] = keccak(leaf)
    root_node = [b""] * 17
    root_node[first] = keccak(rlp.encode(inner))
    nodes = [rlp.encode(root_node), rlp.encode(inner), leaf]
    assert merkle.prove(keccak(nodes[0]), key, nodes, "test") == b"v"
    short = [b""] * 17
    short[second] = b""
    root_node[first] = short
    encoded = rlp.encode(root_node)
    assert merkle.prove(keccak(encoded), key, [encoded], "test") is None
    assert merkle.prove(keccak(encoded), key, [encoded, rlp.encode(short)], "test") is None


def change(answer, path, value):
    changed = copy.deepcopy(answer)
    target = changed
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value(target[path[-1]]) if callable(value) else value
    return changed


HOSTILE = [
    (("accountProof",), lambda nodes: nodes[:-1], "ends after"),
    (("accountProof",), lambda nodes: [*nodes, nodes[0]], "the rest proves nothing"),
    (("accountProof",), lambda nodes: [*nodes, "0xzz"], "hex"),
    (("accountProof",), lambda nodes: nodes[::-1], "wrong hash"),
    (("accountProof",), lambda nodes: nodes * 40, "at most 65"),
    (("accountProof",), lambda nodes: ["0x" + "00" * 5000], "1024"),
    (("accountProof",), {}, "list"),
    (("accountProof", 0), 5, "hex"),
    (("accountProof",), [], "ends after"),
    (("address",), "0x" + "11" * 20, "expected 0x"),
    (("balance",), "0x6", "the proof shows 5, the node says 6"),
    (("balance",), "0x" + "f" * 65, "256 bits"),
    (("balance",), 6, "the proof shows 5, the node says 6"),
    (("balance",), -5, "hex number"),
    (("balance",), 5.0, "hex number"),
    (("balance",), True, "hex number"),
    (("balance",), "5", "hex number"),
    (("balance",), None, "the proof shows 5, the node says 0"),
    (("balance",), 2**5000, "a huge number"),
    (("nonce",), "0x" + "00" * 23 + "01" + "00" * 8, "64 bits"),
    (("codeHash",), None, "codeHash"),
    (("storageHash",), "0x", "storageHash"),
    (("accountProof",), None, "ends after"),
    (("codeHash",), "0x" + "11" * 32, "codeHash"),
    (("storageHash",), "0x" + "11" * 32, "storageHash"),
    (("storageProof",), lambda entries: entries[:-1], "expected 3 entries, got 2"),
    (("storageProof", 1), lambda _: "entry", "objects"),
    (("storageProof", 1, "key"), "0x" + "00" * 32, "once"),
    (("storageProof", 1, "key"), "0x9", "once"),
    (("storageProof", 0, "value"), "0x4", "the proof shows 0x3, the node says 0x4"),
    (("storageProof", 0, "proof"), [], "ends after"),
    (("storageProof", 0, "proof", 0), lambda node: node[:-1] + "5", "wrong hash"),
]


@pytest.mark.parametrize(("path", "value", "message"), HOSTILE)
def test_hostile_answers(case, path, value, message):
    answer = change(case.world.proof(), path, value)
    with pytest.raises(ProofInvalid, match=message):
        verify_account(case.world.state_root, case.world.wallet, answer, (0, 1, 2))


@pytest.mark.parametrize("answer", [None, [], "x", 5])
def test_answers_of_another_type(case, answer):
    with pytest.raises(ProofInvalid):
        verify_account(case.world.state_root, case.world.wallet, answer, (0,))
    with pytest.raises(ProofInvalid):
        verify_header(answer)


def test_other_code_than_proven():
    with pytest.raises(ProofInvalid, match="code: expected the hash"):
        verify_code(b"\x00", keccak(b"\x01"))


ITEMS = st.recursive(st.binary(max_size=40), lambda inner: st.lists(inner, max_size=18), max_leaves=40)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=1200), ITEMS.map(rlp.encode)), st.lists(st.binary(max_size=600), max_size=3))
def test_garbage_under_a_matching_root_hash_is_never_another_exception(node, more):
    """Even a node that has the right hash (a made-up state) must not get anything but an answer or a ProofInvalid."""
    with contextlib.suppress(ProofInvalid):
        merkle.prove(keccak(node), b"key", [node, *more], "test")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_as_an_account_is_never_another_exception(leaf):
    wallet = "0x" + "22" * 20
    node = rlp.encode([b"\x20" + keccak(bytes.fromhex(wallet[2:])), leaf])
    answer = {"address": wallet, "accountProof": ["0x" + node.hex()], "storageProof": []}
    with pytest.raises(ProofInvalid):
        verify_account(keccak(node), wallet, answer, ())


def test_deeply_nested_rlp_is_refused():
    node = b"\xc0"
    while len(node) < 1000:
        node = rlp.encode([rlp.decode(node)]) if len(node) < 60 else _wrap(node)
    with pytest.raises(ProofInvalid):
        merkle.prove(keccak(node), b"key", [node], "test")


def _wrap(payload: bytes) -> bytes:
    length = len(payload).to_bytes((len(payload).bit_length() + 7) // 8, "big")
    return bytes([0xF7 + len(length)]) + length + payload
