"""Evidence is proven to the last byte or refused: account, slots, code and DELEGATECALL targets, against one hash."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import rlp
from eth_hash.auto import keccak
from trie import HexaryTrie

from orchestrator.closure.chains import EIP_6780_SINCE, NO_CALL_FROM_ZERO
from orchestrator.closure.judge import PROOF_CHECKS
from orchestrator.closure.proof.evidence import CodeKind, Evidence, Target, code_kind, prove
from orchestrator.errors import ProofInvalid
from orchestrator.models import ChainId, checksum

ACCOUNT, TARGET, EMPTY = (checksum(f"{number:040x}") for number in (0xAC0FFEE, 0x7A46E7, 0xE0E0E0))
CODE, OTHER_CODE = bytes.fromhex("5f545f5260205ff3"), bytes.fromhex("5f5ffd")
STORAGE = {0: 3, 7: 2**255, 2**200: 1}


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


class State:
    """Accounts with code and storage in one trie, and ``eth_getProof`` over it."""

    def __init__(self, accounts) -> None:
        self.accounts, self.storage = {}, {}
        self.trie = HexaryTrie({})
        for address, (code, slots) in accounts.items():
            storage = HexaryTrie({})
            for slot, value in slots.items():
                storage[keccak(slot.to_bytes(32, "big"))] = rlp.encode(value.to_bytes(32, "big").lstrip(b"\0"))
            self.storage[address] = (storage, slots)
            self.accounts[address] = [b"\x01", b"\x05", storage.root_hash, keccak(code)]
            self.trie[keccak(bytes.fromhex(address[2:]))] = rlp.encode(self.accounts[address])

    def proof(self, address, slots=()):
        account = self.accounts.get(address)
        nodes = self.trie.get_proof(keccak(bytes.fromhex(address[2:])))
        storage, values = self.storage.get(address, (HexaryTrie({}), {}))
        return {
            "address": address.lower(),
            "accountProof": [hexed(rlp.encode(node)) for node in nodes],
            "balance": "0x5" if account else "0x0",
            "nonce": "0x1" if account else "0x0",
            "codeHash": hexed(account[3] if account else keccak(b"")),
            "storageHash": hexed(account[2] if account else keccak(rlp.encode(b""))),
            "storageProof": [
                {
                    "key": hexed(slot.to_bytes(32, "big")),
                    "value": hex(values.get(slot, 0)),
                    "proof": [
                        hexed(rlp.encode(node)) for node in storage.get_proof(keccak(slot.to_bytes(32, "big"))) if node
                    ],
                }
                for slot in slots
            ],
        }


@pytest.fixture
def state():
    return State({ACCOUNT: (CODE, STORAGE), TARGET: (OTHER_CODE, {})})


@pytest.fixture
def header(state, hand_made):
    def make(**changes):
        fields = hand_made["header"](state.trie.root_hash, **changes)
        return {name: value for name, value in fields.items() if name not in ("uncles", "size")}

    return make


@pytest.fixture
def evidence(state, header):
    return Evidence(
        ChainId(1),
        ACCOUNT,
        header(),
        state.proof(ACCOUNT, (0, 7, 2**200, 9)),
        CODE,
        {TARGET: Target(state.proof(TARGET), OTHER_CODE), EMPTY: Target(state.proof(EMPTY), b"")},
    )


def test_what_follows_from_the_hash(evidence):
    checks = []
    proven = prove(evidence, evidence.header["hash"], checks)
    assert [(check.name, check.result) for check in checks] == [(name, "pass") for name in PROOF_CHECKS]
    assert proven.block.hash == evidence.header["hash"]
    assert (proven.exists, proven.nonce, proven.balance, proven.kind) == (True, 1, 5, CodeKind.CONTRACT)
    facts = proven.facts
    assert facts.address == int(ACCOUNT, 16)
    assert facts.storage == {**STORAGE, 9: 0}
    assert facts.codes == {int(TARGET, 16): OTHER_CODE, int(EMPTY, 16): b""}
    assert (facts.code, facts.complete, facts.permanent) == (CODE, False, True)


def _set(path, value):
    """A change of one member of the account's proof, by its path."""

    def change(evidence):
        proof = copy.deepcopy(evidence.account_proof)
        place = proof
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value(place[path[-1]]) if callable(value) else value
        return replace(evidence, account_proof=proof)

    return change


def _target(**changes):
    return lambda evidence: replace(
        evidence, targets={**evidence.targets, TARGET: replace(evidence.targets[TARGET], **changes)}
    )


def _twice(entries):
    return [*entries, entries[0]]


LIES = {
    "another header": (lambda e: replace(e, header={**e.header, "timestamp": "0x1"}), "block_hash"),
    "another state root": (lambda e: replace(e, header={**e.header, "stateRoot": hexed(bytes(32))}), "block_hash"),
    "no header": (lambda e: replace(e, header=None), "block_hash"),
    "a proof of another account": (_set(("address",), TARGET), "account_proof"),
    "another balance": (_set(("balance",), "0x6"), "account_proof"),
    "another code hash": (_set(("codeHash",), hexed(bytes(32))), "account_proof"),
    "no account proof": (_set(("accountProof",), []), "account_proof"),
    "a member of another type": (_set(("accountProof",), {"0": "0x"}), "account_proof"),
    "a slot twice": (_set(("storageProof",), _twice), "account_proof"),
    "slots that are no list": (_set(("storageProof",), {}), "account_proof"),
    "a key that is no number": (_set(("storageProof", 0, "key"), "0xzz"), "account_proof"),
    "another value": (_set(("storageProof", 0, "value"), "0x0"), "storage_proofs"),
    "a value for absence": (_set(("storageProof", 3, "value"), "0x1"), "storage_proofs"),
    "a slot's key for another's proof": (_set(("storageProof", 0, "key"), "0x" + "0" * 63 + "1"), "storage_proofs"),
    "other code": (lambda e: replace(e, code=OTHER_CODE), "code_hash"),
    "no code": (lambda e: replace(e, code=b""), "code_hash"),
    "a target's other code": (_target(code=CODE), "targets"),
    "a target's code left out": (_target(code=b""), "targets"),
    "a target's proof for another": (lambda e: _target(proof=e.targets[EMPTY].proof)(e), "targets"),
    "a target that is no object": (_target(proof=None), "targets"),
    "an address that is none": (lambda e: replace(e, targets={"x": e.targets[TARGET]}), "targets"),
    "a target that is nothing": (lambda e: replace(e, targets={TARGET: None}), "targets"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_told_by_the_check_that_found_it(evidence, lie):
    change, name = LIES[lie]
    checks = []
    with pytest.raises(ProofInvalid):
        prove(change(evidence), evidence.header["hash"], checks)
    assert [check.name for check in checks if check.result == "fail"] == [name]
    assert checks[-1].name == name, "nothing is checked after what failed"


@pytest.mark.parametrize("chain", [300, 324])
def test_a_chain_without_evm_bytecode_has_no_evidence(evidence, chain):
    checks = []
    with pytest.raises(ProofInvalid, match="does not run EVM bytecode") as caught:
        prove(replace(evidence, chain_id=ChainId(chain)), checks=checks)
    assert (caught.value.code, [check.name for check in checks]) == ("unsupported_chain", ["block_hash"])


def test_rules_of_a_fork_come_from_fields_that_were_hashed(evidence, header):
    """A gateway that fills in what its own form has, on a chain without Cancun or Amsterdam."""
    claimed = {**header(**LONDON), "parentBeaconBlockRoot": hexed(bytes(32)), "slotNumber": "0x5"}
    facts = prove(replace(evidence, header=claimed)).facts
    assert (facts.permanent, facts.amsterdam) == (False, False)
    there = header(blockAccessListHash=b"\x09" * 32, slotNumber=5)
    facts = prove(replace(evidence, header=there)).facts
    assert (facts.permanent, facts.amsterdam) == (True, True)
    assert not prove(evidence).facts.amsterdam


def test_another_block_than_the_one_that_was_meant(evidence):
    with pytest.raises(ProofInvalid, match="expected 0x"):
        prove(evidence, "0x" + "77" * 32)


def test_an_account_that_is_not_there(evidence, state):
    absent = checksum("00000000000000000000000000000000000a0b5e")
    proven = prove(replace(evidence, address=absent, account_proof=state.proof(absent, (0,)), code=b"", targets={}))
    assert (proven.exists, proven.kind, proven.facts) == (False, CodeKind.NONE, None)
    assert proven.code_hash == hexed(keccak(b""))


DESIGNATOR = bytes.fromhex("ef0100" + "ab" * 20)


@pytest.mark.parametrize(
    ("code", "address", "kind"),
    [
        (b"", 2**100, CodeKind.NONE),
        (b"\x00", 2**100, CodeKind.CONTRACT),
        (b"\xfe", 2**100, CodeKind.CONTRACT),
        (DESIGNATOR, 2**100, CodeKind.DELEGATED),
        (DESIGNATOR[:-1], 2**100, CodeKind.UNSUPPORTED),
        (DESIGNATOR + b"\0", 2**100, CodeKind.UNSUPPORTED),
        (b"\xef", 2**100, CodeKind.UNSUPPORTED),
        (b"\xef\x00\x01", 2**100, CodeKind.UNSUPPORTED),
        (b"\x00", 0xFFFF, CodeKind.SYSTEM),
        (b"", 1, CodeKind.SYSTEM),
        (b"\x00", 0x10000, CodeKind.CONTRACT),
    ],
)
def test_kinds_of_code(code, address, kind):
    assert code_kind(address, code, ChainId(1)) is kind


def test_a_delegation_names_its_delegate(hand_made):
    state = State({ACCOUNT: (DESIGNATOR, {})})
    evidence = Evidence(
        ChainId(1), ACCOUNT, hand_made["header"](state.trie.root_hash), state.proof(ACCOUNT), DESIGNATOR
    )
    proven = prove(evidence)
    assert (proven.kind, proven.facts) == (CodeKind.DELEGATED, None)
    assert proven.delegate == checksum("ab" * 20)


LONDON = dict.fromkeys(
    ("withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"), None
)


def test_permanence_needs_cancun_or_the_table(evidence, header):
    assert prove(evidence).permanence is not None
    old = replace(evidence, header=header(**LONDON))
    assert prove(old).permanence is None
    assert prove(old).facts.permanent is False
    for chain, since in EIP_6780_SINCE.items():
        for number, expected in ((since - 1, False), (since, True)):
            there = replace(evidence, chain_id=ChainId(chain), header=header(**LONDON, number=number))
            assert prove(there).facts.permanent is expected


@pytest.mark.parametrize(
    ("chain", "zero_caller"),
    [
        *((known, False) for known in (1, 11155111, 100, 31337)),
        *((other, True) for other in (137, 80002, 42220, 10, 8453, 250, 146, 5, 2**40)),
    ],
)
def test_a_call_may_come_from_0_but_on_the_chains_of_the_table(evidence, chain, zero_caller):
    """Celo, OP Stack chains and Fantom make such calls; of a chain that nobody looked up, nothing is known."""
    proven = prove(replace(evidence, chain_id=ChainId(chain)))
    assert proven.facts.zero_caller is zero_caller
    assert proven.no_zero_caller == NO_CALL_FROM_ZERO.get(chain)


@pytest.mark.parametrize("stub", ["fe", "01", "00", "60006000fd"])
def test_a_stub_of_a_precompile_is_no_contract_but_where_all_are_low(stub):
    """Of Arbitrum, Avalanche, Fantom and Moonbeam: what runs at such an address is not this code."""
    address, code = 0xD100EC << 136, bytes.fromhex(stub)
    assert code_kind(address, code, ChainId(146)) is CodeKind.SYSTEM
    assert code_kind(address, code + b"\x00", ChainId(146)) is CodeKind.CONTRACT
    assert code_kind(address, code, ChainId(1)) is CodeKind.CONTRACT, "all of Ethereum's precompiles are low"


def test_narrowed_to_what_was_read(evidence):
    account_proof = {**evidence.account_proof, "more": "of a node's own"}
    narrow = replace(evidence, account_proof=account_proof).narrowed([7, 0], [int(TARGET, 16)])
    assert [int(entry["key"], 16) for entry in narrow.account_proof["storageProof"]] == [0, 7]
    assert list(narrow.targets) == [TARGET]
    assert "more" not in narrow.account_proof
    proven = prove(narrow)
    assert proven.facts.storage == {0: 3, 7: 2**255}
    assert proven.facts.codes == {int(TARGET, 16): OTHER_CODE}
