"""A block, an account and its storage made by hand with the library ``trie``: what the proofs are tested on offline.

The prover here (``trie``, ``rlp``) shares no code with the verifier that it tests.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import rlp
from coincurve import PrivateKey
from eth_hash.auto import keccak
from trie import HexaryTrie

from orchestrator.artifacts import load
from orchestrator.closure.certificate.builder import AccountRecord
from orchestrator.closure.certificate.rerun import rerun
from orchestrator.closure.proof.evidence import Evidence, Target
from orchestrator.closure.proof.header import verify_header
from orchestrator.closure.verdict import Verdict
from orchestrator.models import (
    AccountId,
    AccountStatus,
    Address,
    BlockHash,
    BlockNumber,
    BlockRef,
    ChainAccount,
    ChainId,
    CustomerId,
    TxHash,
    WalletState,
    checksum,
)
from orchestrator.ports.chain import ChainView, Deployment, StateChange
from orchestrator.ports.platform import PlatformAccount
from orchestrator.wallet.contract import Immutables, address_word, wallet_address
from orchestrator.wallet.findings import Finding
from orchestrator.wallet.profile import load_profile

ACCOUNT = AccountId("0b7c1a52-6f0e-4f43-9d55-6b1f0f5b7a01")
CUSTOMER = CustomerId("7f1d1d2e-1111-4222-8333-444455556666")


def address(number: int) -> Address:
    return checksum(f"{number:040x}")


VALUES = Immutables(address(0xA1), address(0xA2), address(0xA3), address(0xA4), address(0xA5))


class KeySigner:
    """A certificate key: orchestrator.ports.Signer by a bare coincurve key."""

    name = "test"

    def __init__(self, secret: bytes = b"\x11" * 32) -> None:
        self.key = PrivateKey(secret)
        self.address = checksum(keccak(self.key.public_key.format(compressed=False)[1:])[12:].hex())

    def sign_message(self, message: bytes) -> bytes:
        digest = keccak(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)
        signature = self.key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([27 + signature[64]])


def wallet_code(values: Immutables = VALUES) -> bytes:
    """The shipped wallet's runtime code with these immutables."""
    artifact = load("SmartWallet")
    code = bytearray(artifact.deployed_bytecode)
    for name, value in (
        ("owner", values.owner),
        ("operator", values.operator),
        ("escrow", values.escrow),
        ("entryPoint", values.entry_point),
        ("factory", values.factory),
    ):
        for start, length in artifact.immutable_references[name]:
            code[start : start + length] = address_word(value)
    return bytes(code)


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def make_header(state_root: bytes, **changes: Any) -> dict[str, Any]:
    """A header of Prague in a node's JSON form, with its hash; a field of None is left out."""
    fields: dict[str, Any] = {
        "parentHash": b"\x01" * 32,
        "sha3Uncles": keccak(rlp.encode([])),
        "miner": b"\x02" * 20,
        "stateRoot": state_root,
        "transactionsRoot": b"\x03" * 32,
        "receiptsRoot": b"\x04" * 32,
        "logsBloom": bytes(256),
        "difficulty": 0,
        "number": 100,
        "gasLimit": 30_000_000,
        "gasUsed": 21_000,
        "timestamp": 1_800_000_000,
        "extraData": b"",
        "mixHash": b"\x05" * 32,
        "nonce": bytes(8),
        "baseFeePerGas": 7,
        "withdrawalsRoot": b"\x06" * 32,
        "blobGasUsed": 0,
        "excessBlobGas": 0,
        "parentBeaconBlockRoot": b"\x07" * 32,
        "requestsHash": b"\x08" * 32,
        **changes,
    }
    present = {name: value for name, value in fields.items() if value is not None}
    items = [
        value if isinstance(value, bytes) else value.to_bytes((value.bit_length() + 7) // 8, "big")
        for value in present.values()
    ]
    shown = {name: hexed(value) if isinstance(value, bytes) else hex(value) for name, value in present.items()}
    return {**shown, "hash": hexed(keccak(rlp.encode(items))), "uncles": [], "size": "0x1"}


@dataclass
class World:
    """A state with some accounts; one of them is the wallet."""

    wallet: Address
    code: bytes
    storage: dict[int, int]
    others: int = 200
    codes: dict[Address, bytes] = field(default_factory=dict)
    """Further contracts, without storage."""

    def __post_init__(self) -> None:
        self.storage_trie = HexaryTrie({})
        for slot, value in self.storage.items():
            if value:
                number = value.to_bytes((value.bit_length() + 7) // 8, "big")
                self.storage_trie[keccak(slot.to_bytes(32, "big"))] = rlp.encode(number)
        self.account = [b"\x01", b"\x05", self.storage_trie.root_hash, keccak(self.code)]
        self.state_trie = HexaryTrie({})
        for number in range(self.others):
            key = keccak((0x1000 + number).to_bytes(20, "big"))
            self.state_trie[key] = rlp.encode([b"", b"\x09", keccak(rlp.encode(b"")), keccak(b"")])
        for other, code in self.codes.items():
            self.state_trie[_key(other)] = rlp.encode([b"\x01", b"", keccak(rlp.encode(b"")), keccak(code)])
        self.state_trie[keccak(bytes.fromhex(self.wallet[2:]))] = rlp.encode(self.account)
        self.state_root = self.state_trie.root_hash

    def target(self, of: Address) -> Target:
        """One of ``codes``, as a DELEGATECALL target."""
        empty = hexed(keccak(rlp.encode(b"")))
        answer = {**self.proof(of, ()), "nonce": "0x1", "codeHash": hexed(keccak(self.codes[of])), "storageHash": empty}
        return Target(answer, self.codes[of])

    def evidence(self, header: dict[str, Any], slots: tuple[int, ...] = (0, 1, 2), *targets: Address) -> Evidence:
        """All that a verdict on the wallet rests on."""
        return Evidence(
            ChainId(31337),
            self.wallet,
            verify_header(header).fields,
            self.proof(slots=slots),
            self.code,
            {target: self.target(target) for target in targets},
        )

    def proof(self, of: Address | None = None, slots: tuple[int, ...] = (0, 1, 2)) -> dict[str, Any]:
        """``eth_getProof``'s answer as geth gives it."""
        who = of or self.wallet
        exists = who == self.wallet
        return {
            "address": who.lower(),
            "accountProof": [hexed(rlp.encode(node)) for node in self.state_trie.get_proof(_key(who))],
            "balance": "0x5" if exists else "0x0",
            "nonce": "0x1" if exists else "0x0",
            "codeHash": hexed(self.account[3] if exists else keccak(b"")),
            "storageHash": hexed(self.account[2] if exists else keccak(rlp.encode(b""))),
            "storageProof": [
                {
                    "key": hexed(slot.to_bytes(32, "big")),
                    "value": hex(self.storage.get(slot, 0) if exists else 0),
                    "proof": [
                        hexed(rlp.encode(node))
                        for node in (self.storage_trie.get_proof(keccak(slot.to_bytes(32, "big"))) if exists else ())
                        if node
                    ],
                }
                for slot in slots
            ],
        }


def _key(who: Address) -> bytes:
    return keccak(bytes.fromhex(who[2:]))


def closed_world(**storage: int) -> World:
    wallet = wallet_address(load("SmartWallet"), VALUES, ACCOUNT)
    return World(wallet, wallet_code(), {0: 3, **{int(slot[1:]): value for slot, value in storage.items()}})


@dataclass
class Case:
    """All that a certificate is built from, to be changed by a test."""

    world: World
    header: dict[str, Any]
    evidence: Evidence
    verdict: Verdict
    view: ChainView
    platform: PlatformAccount

    @property
    def account(self) -> AccountRecord:
        owner = ChainAccount(ChainId(31337), VALUES.owner)
        return AccountRecord(self.platform, owner, self.view, load_profile("smart-wallet"), VALUES.factory)

    @property
    def block(self) -> BlockRef:
        return BlockRef(BlockNumber(100), BlockHash(self.header["hash"]))


def make_case(world: World | None = None) -> Case:
    world = world or closed_world()
    header = make_header(world.state_root)
    block = BlockRef(BlockNumber(100), BlockHash(header["hash"]))
    deployed = BlockRef(BlockNumber(10), BlockHash("0x" + "0a" * 32))
    closed = BlockRef(BlockNumber(90), BlockHash("0x" + "0b" * 32))
    deployment = Deployment(
        wallet=world.wallet,
        block=deployed,
        tx_hash=TxHash("0x" + "0c" * 32),
        code_hash=hexed(keccak(world.code)),
        profile="smart-wallet",
        findings=(Finding("owner", "the code", VALUES.owner),),
    )
    moment = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    return Case(
        world,
        header,
        world.evidence(header),
        rerun(world.evidence(header), block).verdict,
        ChainView(
            block,
            BlockNumber(100),
            BlockNumber(100),
            deployment,
            StateChange(WalletState.CLOSED, closed, TxHash("0x" + "0e" * 32)),
        ),
        PlatformAccount(ACCOUNT, CUSTOMER, AccountStatus.CLOSED, None, ("EUR",), moment, moment),
    )


@pytest.fixture(scope="session")
def _case() -> Case:
    return make_case()


@pytest.fixture
def case(_case) -> Case:
    return copy.deepcopy(_case)


@pytest.fixture
def signer() -> KeySigner:
    return KeySigner()


@pytest.fixture(scope="session")
def hand_made():
    """The builders of this file, for tests that need another block or another state."""
    return {"header": make_header, "world": World, "closed": closed_world, "case": make_case, "code": wallet_code}
