"""Headers, account and storage proofs against a prover that shares no code with the verifier; and hostile ones."""

from __future__ import annotations

import contextlib
import copy

import pytest
import rlp
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.closure.proof import merkle
from orchestrator.closure.proof.state import header_fields, verify_account, verify_code, verify_header
from orchestrator.errors import ProofInvalid

# Ethereum's genesis block, and block 1: headers before London, from any archive of the chain.
GENESIS = {
    "hash": "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    "parentHash": "0x" + "00" * 32,
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": "0x" + "00" * 20,
    "stateRoot": "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
    "transactionsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "receiptsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "logsBloom": "0x" + "00" * 256,
    "difficulty": "0x400000000",
    "number": "0x0",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x0",
    "extraData": "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
    "mixHash": "0x" + "00" * 32,
    "nonce": "0x0000000000000042",
}


def test_the_genesis_block_of_ethereum():
    proven = verify_header(GENESIS)
    assert proven.number == 0
    assert not proven.has_cancun


def test_a_header_of_prague(case):
    proven = verify_header(case.header)
    assert (proven.number, proven.hash) == (100, case.header["hash"])
    assert proven.state_root == case.world.state_root
    assert proven.has_cancun


@pytest.mark.parametrize(
    "without",
    [
        ("requestsHash",),
        ("requestsHash", "parentBeaconBlockRoot", "excessBlobGas", "blobGasUsed"),
        (
            "requestsHash",
            "parentBeaconBlockRoot",
            "excessBlobGas",
            "blobGasUsed",
            "withdrawalsRoot",
            "baseFeePerGas",
        ),
    ],
)
def test_headers_of_earlier_forks_with_null_for_what_they_lack(hand_made, without):
    header = hand_made["header"](b"\x0f" * 32, **dict.fromkeys(without))
    assert verify_header({**header, **dict.fromkeys(without)}).hash == header["hash"]


def test_a_hole_in_the_forks_is_refused(case):
    with pytest.raises(ProofInvalid, match="has blobGasUsed but not withdrawalsRoot"):
        verify_header({**case.header, "withdrawalsRoot": None})


def test_each_field_of_the_header_counts(case):
    for name in header_fields(case.header):
        value = case.header[name]
        changed = {**case.header, name: value[:-1] + ("1" if value[-1] != "1" else "2") if value != "0x" else "0x00"}
        with pytest.raises(ProofInvalid, match="header"):
            verify_header(changed)
        with pytest.raises(ProofInvalid, match="header"):
            verify_header({other: v for other, v in case.header.items() if other != name})


def test_another_block_than_expected_shows_both(case):
    with pytest.raises(ProofInvalid, match=f"expected 0x{'11' * 32}, got {case.header['hash']}"):
        verify_header(case.header, expected_hash="0x" + "11" * 32)


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
    world = hand_made["world"]("0x" + "cd" * 20, b"\x00", {})
    for nodes in ([], ["0x80"]):
        answer = world.proof(slots=(0,))
        answer["storageProof"][0]["proof"] = nodes
        assert verify_account(world.state_root, world.wallet, answer, (0,)).slots == {0: 0}
    answer["storageProof"][0]["proof"] = ["0x80", "0x80"]
    with pytest.raises(ProofInvalid):
        verify_account(world.state_root, world.wallet, answer, (0,))


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
    (("accountProof",), None, "list"),
    (("accountProof",), {}, "list"),
    (("accountProof", 0), 5, "hex"),
    (("accountProof",), [], "ends after"),
    (("address",), "0x" + "11" * 20, "expected 0x"),
    (("balance",), "0x6", "the proof shows 5, the node says 6"),
    (("balance",), "0x" + "f" * 65, "256 bits"),
    (("balance",), 5, "hex number"),
    (("balance",), 2**5000, "a huge number"),
    (("nonce",), "0x01", "hex number"),
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
