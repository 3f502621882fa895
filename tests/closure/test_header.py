"""Headers of real chains hash to their hash, in whatever spelling; what does not says which members were left out.

``real_headers.json``: as nodes gave them, without transactions. BNB Smart Chain's testnet and its hashes are from the
RLP of consecutive headers; all others have the hash that the node stated.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rlp
from eth_hash.auto import keccak

from orchestrator.closure.proof.header import MAX_EXTRA_DATA, Fork, verify_header
from orchestrator.errors import ProofInvalid

REAL = json.loads((Path(__file__).parent / "real_headers.json").read_text())
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
REAL["mainnet, the genesis block"] = GENESIS
FORKS = {
    "mainnet, the genesis block": Fork.FRONTIER,
    "mainnet, Cancun": Fork.CANCUN,
    "mainnet, Prague": Fork.PRAGUE,
    "mainnet, Osaka": Fork.PRAGUE,
    "a devnet of reth 2.7.0, the last block before Amsterdam": Fork.PRAGUE,
    "a devnet of reth 2.7.0, Amsterdam": Fork.AMSTERDAM,
    "BNB Smart Chain": Fork.FRONTIER,
    "BNB Smart Chain, an epoch's first block": Fork.FRONTIER,
    "BNB Smart Chain's testnet, Cancun, an epoch's first block": Fork.CANCUN,
    "BNB Smart Chain's testnet, Prague": Fork.PRAGUE,
    "Polygon PoS": Fork.LONDON,
    "Arbitrum One": Fork.LONDON,
    "OP Mainnet": Fork.PRAGUE,
}
NUMBERS = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "slotNumber"}
NUMBERS |= {"blobGasUsed", "excessBlobGas"}
AMSTERDAM = REAL["a devnet of reth 2.7.0, Amsterdam"]
EPOCH = REAL["BNB Smart Chain, an epoch's first block"]


def hash_of(fields):
    """Of canonical fields, without the code under test."""
    items = [
        int(value, 16).to_bytes(32, "big").lstrip(b"\0") if name in NUMBERS else bytes.fromhex(value[2:])
        for name, value in fields.items()
    ]
    return "0x" + keccak(rlp.encode(items)).hex()


def test_every_real_header_has_its_fork():
    assert set(FORKS) == set(REAL)
    assert len(EPOCH["extraData"]) == 2 + 2 * 1709


@pytest.mark.parametrize("name", FORKS)
def test_a_real_header_hashes_to_its_hash(name):
    header = REAL[name]
    proven = verify_header(header, expected_hash=header["hash"])
    assert proven.fork is FORKS[name]
    assert (proven.number, proven.hash) == (int(header["number"], 16), header["hash"])
    assert proven.state_root.hex() == header["stateRoot"][2:]
    assert proven.fields == {field: header[field] for field in proven.fields}, "real nodes spell as JSON-RPC says"
    assert verify_header(proven.fields) == proven


def _padded(value):
    return "0x0" + value[2:]


SPELT = {
    "difficulty with two zeros": {"difficulty": "0x00"},
    "difficulty without digits": {"difficulty": "0x"},
    "difficulty null": {"difficulty": None},
    "difficulty left out": {"difficulty": ...},
    "difficulty a JSON number": {"difficulty": 0},
    "gas used without digits": {"gasUsed": "0x"},
    "number with a zero before it": {"number": _padded},
    "number as a word": {"number": lambda value: f"0x{int(value, 16):064x}"},
    "number a JSON number": {"number": lambda value: int(value, 16)},
    "timestamp a JSON number": {"timestamp": lambda value: int(value, 16)},
    "blob gas null": {"blobGasUsed": None, "excessBlobGas": None},
    "nonce of one digit": {"nonce": "0x0"},
    "nonce null": {"nonce": None},
    "nonce a JSON number": {"nonce": 0},
    "a bloom of zeros left out": {"logsBloom": ...},
    "a base fee with a zero before it": {"baseFeePerGas": _padded},
    "slot number with a zero before it": {"slotNumber": _padded},
    "slot number a JSON number": {"slotNumber": lambda value: int(value, 16)},
    "upper-case digits": {"stateRoot": lambda value: "0x" + value[2:].upper()},
    "a checksummed miner": {"miner": "0x8943545177806ED17B9F23F0a21ee5948eCaa776"},
    "members that nobody knows": {"l1BlockNumber": "0x1", "author": None, "sealFields": []},
    "an extra member that is no text": {"1": {"a": []}},
}


@pytest.mark.parametrize("kind", SPELT)
def test_the_hash_decides_and_not_the_spelling(kind):
    header = dict(AMSTERDAM)
    for name, value in SPELT[kind].items():
        if value is ...:
            del header[name]
        else:
            header[name] = value(header[name]) if callable(value) else value
    assert verify_header(header) == verify_header(AMSTERDAM)


@pytest.mark.parametrize(
    "later",
    [
        {"withdrawalsRoot": "0x" + "11" * 32},
        {"blobGasUsed": "0x0", "excessBlobGas": "0x0", "parentBeaconBlockRoot": "0x" + "00" * 32},
        {"requestsHash": "0x" + "00" * 32, "slotNumber": "0x5"},
    ],
)
def test_members_of_a_later_fork_that_the_hash_does_not_have_are_none_of_the_header(later):
    """Some gateways fill in what their own form has. Rules of a fork are only taken from fields that were hashed."""
    proven = verify_header({**REAL["Polygon PoS"], **later})
    assert (proven.fork, "slotNumber" in proven.fields) == (Fork.LONDON, False)


@pytest.mark.parametrize("name", ["mainnet, Cancun", "a devnet of reth 2.7.0, Amsterdam", "Polygon PoS"])
def test_each_field_of_the_header_counts(name):
    header = REAL[name]
    for field, value in verify_header(header).fields.items():
        with pytest.raises(ProofInvalid, match="header"):
            verify_header({**header, field: value[:-1] + ("1" if value[-1] != "1" else "2")})
        if int(value, 16) != 0:
            with pytest.raises(ProofInvalid, match="header"):
                verify_header({other: v for other, v in header.items() if other != field})


@pytest.mark.parametrize("without", [*Fork][1:])
def test_headers_of_earlier_forks_with_null_for_what_they_lack(without):
    added = ("baseFeePerGas", "withdrawalsRoot", "blobGasUsed excessBlobGas parentBeaconBlockRoot", "requestsHash")
    added = (*added, "blockAccessListHash slotNumber")
    lacking = [name for names in added[without - 1 :] for name in names.split()]
    fields = verify_header(AMSTERDAM).fields
    hash_ = hash_of({name: value for name, value in fields.items() if name not in (*lacking, "hash")})
    for header in ({**fields, **dict.fromkeys(lacking)}, {n: v for n, v in fields.items() if n not in lacking}):
        proven = verify_header({**header, "hash": hash_})
        assert (proven.hash, proven.fork) == (hash_, without - 1)


def test_a_header_that_does_not_hash_names_what_was_left_out():
    """Avalanche's C-Chain has fields of its own: its header is none of Ethereum's, and the members say which."""
    foreign = {"extDataHash": "0x" + "56" * 32, "extDataGasUsed": "0x0", "blockGasCost": "0x0", "size": "0x1"}
    header = {**REAL["mainnet, Cancun"], **foreign, "hash": "0x" + "44" * 32}
    with pytest.raises(ProofInvalid) as caught:
        verify_header(header)
    assert caught.value.message.endswith(
        "left out, as no header of Ethereum's has them: extDataHash, extDataGasUsed, blockGasCost"
    )
    assert f"by Cancun: {REAL['mainnet, Cancun']['hash']}" in caught.value.message
    with pytest.raises(ProofInvalid, match="nothing was left out"):
        verify_header({**AMSTERDAM, "hash": "0x" + "44" * 32})


def test_the_names_that_are_shown_are_few_and_on_one_line():
    header = {**AMSTERDAM, "hash": "0x" + "44" * 32, **{f"x\n{n}" * 50: 0 for n in range(500)}}
    with pytest.raises(ProofInvalid, match="and 484 more") as caught:
        verify_header(header)
    assert len(caught.value.message) < 2500
    assert "\n" not in caught.value.message


HOSTILE = [
    ("number", "0xzz"),
    ("number", "12"),
    ("number", -1),
    ("number", 1.0),
    ("number", True),
    ("number", "0x" + "0" * 65),
    ("number", 2**4000),
    ("number", []),
    ("stateRoot", "0x" + "11" * 33),
    ("stateRoot", {}),
    ("extraData", "0x0"),
    ("extraData", 5),
    ("extraData", "0x" + "00" * (MAX_EXTRA_DATA + 1)),
    ("hash", None),
    ("hash", "0x" + "11" * 33),
    ("slotNumber", "soon"),
]


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_what_is_no_value_at_all_is_refused_by_name(name, value):
    with pytest.raises(ProofInvalid, match=f"header.{name}: expected"):
        verify_header({**AMSTERDAM, name: value})


def test_extra_data_of_64_kib():
    fields = {**GENESIS, "extraData": "0x" + "ab" * MAX_EXTRA_DATA}
    fields = {name: fields[name] for name in verify_header(GENESIS).fields}
    del fields["hash"]
    fields["hash"] = hash_of(fields)
    assert verify_header(fields).hash == fields["hash"]


def test_a_number_that_is_hashed_and_no_number_of_a_block(hand_made):
    with pytest.raises(ProofInvalid, match=r"header.number: expected a hex number of at most 64 bits"):
        verify_header(hand_made["header"](bytes(32), number=2**64))


def test_another_block_than_expected_shows_both():
    with pytest.raises(ProofInvalid, match=f"expected 0x{'11' * 32}, got {AMSTERDAM['hash']}"):
        verify_header(AMSTERDAM, expected_hash="0x" + "11" * 32)
