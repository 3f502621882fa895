"""A factory on a real Anvil, the wallet's whole life by plain transactions, and a node that lies."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession, web
from coincurve import PrivateKey
from eth_abi import encode
from eth_hash.auto import keccak

from orchestrator.artifacts import load
from orchestrator.chain.examination.examiner import examine
from orchestrator.chain.node.reader import ChainReader
from orchestrator.chain.node.rpc import Rpc
from orchestrator.closure.certificate.builder import AccountRecord, build_certificate
from orchestrator.devnet.anvil import Anvil
from orchestrator.devnet.dev_accounts import DEV_ACCOUNTS
from orchestrator.journal.store import Journal
from orchestrator.models import AccountId, AccountStatus, Address, ChainAccount, CustomerId, TxHash, to_address
from orchestrator.ports.platform import PlatformAccount
from tests.chain.model_node import SMART_WALLET

OPERATOR, OWNER, OTHER = (DEV_ACCOUNTS[index] for index in range(3))
ENTRY_POINT = "0x0000000071727De22E5E9d8BAf0edAc6f37da032"


def call_data(signature: str, *values) -> str:
    """``name(type,…)`` and its arguments as call data."""
    inner = signature[signature.index("(") + 1 : -1]
    types = inner.split(",") if inner else []
    return "0x" + (keccak(signature.encode())[:4] + encode(types, values)).hex()


def personal_sign(private_key: str, message: bytes) -> bytes:
    digest = keccak(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)
    signature = PrivateKey(bytes.fromhex(private_key[2:])).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes([27 + signature[64]])


@dataclass
class Wallets:
    """The platform's part, played by hand: the operator's and the owner's transactions."""

    anvil: Anvil
    factory: Address = field(init=False)
    escrow: Address = field(init=False)

    async def set_up(self) -> Wallets:
        arguments = encode(["address", "address"], [OPERATOR.address, ENTRY_POINT])
        self.factory = await self.create("SmartWalletFactory", arguments)
        self.escrow = await self.create("TestEscrow")
        return self

    async def create(self, name: str, arguments: bytes = b"") -> Address:
        receipt = await self.send(None, "0x" + (load(name).bytecode + arguments).hex())
        return to_address(receipt["contractAddress"])

    async def send(self, to: str | None, data: str = "0x", *, sender: str = OPERATOR.address, value: int = 0) -> dict:
        transaction = {"from": sender, "data": data, "value": hex(value), "gas": hex(10_000_000)}
        if to is not None:
            transaction["to"] = to
        tx_hash = await self.anvil.rpc("eth_sendTransaction", transaction)
        # Anvil answers before its miner is done: the call is repeated until the receipt is there.
        async with asyncio.timeout(20):
            receipt = None
            while receipt is None:
                receipt = await self.anvil.rpc("eth_getTransactionReceipt", tx_hash)
        assert receipt["status"] == "0x1", receipt
        return receipt

    async def deploy(self, account_id: AccountId, challenge: bytes = b"creation") -> tuple[Address, TxHash]:
        data = call_data(
            "deploySmartWallet(address,address,bytes16,bytes32)",
            OWNER.address,
            self.escrow,
            uuid.UUID(account_id).bytes,
            keccak(challenge),
        )
        receipt = await self.send(self.factory, data)
        (created,) = (log for log in receipt["logs"] if log["address"] == self.factory.lower())
        return to_address("0x" + created["topics"][1][26:]), TxHash(receipt["transactionHash"])

    async def activate(self, wallet: Address, challenge: bytes = b"creation") -> TxHash:
        signature = personal_sign(OWNER.private_key, challenge)
        return await self.do(wallet, "activate(bytes,bytes)", challenge, signature)

    async def close(self, wallet: Address, tokens: tuple[str, ...] = (), challenge: bytes = b"deletion") -> TxHash:
        await self.do(wallet, "commitChallenge(uint8,bytes32)", 1, keccak(challenge))
        signature = personal_sign(OWNER.private_key, challenge)
        return await self.do(wallet, "close(bytes,bytes,address[])", challenge, signature, tokens)

    async def do(self, wallet: str, signature: str, *values, sender: str = OPERATOR.address) -> TxHash:
        receipt = await self.send(wallet, call_data(signature, *values), sender=sender)
        return TxHash(receipt["transactionHash"])


@pytest.fixture
def account_id() -> AccountId:
    return AccountId(str(uuid.uuid4()))


@pytest.fixture
async def anvil():
    async with Anvil() as node:
        yield node


@pytest.fixture
async def wallets(anvil) -> Wallets:
    return await Wallets(anvil).set_up()


@pytest.fixture
async def rpc(anvil):
    async with Rpc(anvil.url) as rpc:
        yield rpc


@pytest.fixture
async def journal():
    async with await Journal.missing() as journal:
        yield journal


@pytest.fixture
def reader(rpc, wallets, journal) -> ChainReader:
    return ChainReader(rpc, wallets.factory, SMART_WALLET, journal.chain_index)


class LyingNode:
    """A proxy before a node that can change each answer, or answer something else altogether."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.change = lambda request, answer: answer
        """From one JSON-RPC request and the node's answer object to the answer that is given."""
        self.ask = lambda request: request
        """From one request to the one that the node is asked."""
        self.raw = None
        """Instead: from the HTTP request to a whole HTTP response."""
        self.gate = lambda calls: None
        """From the calls of one HTTP request to the response in the place of the node's, or None."""
        self.requests: list[dict] = []
        self.url = ""

    async def start(self) -> LyingNode:
        self._client = ClientSession()
        server = web.Application()
        server.router.add_post("/{rest:.*}", self._serve)
        self._runner = web.AppRunner(server, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.raw is not None:
            return await self.raw(request)
        asked = await request.json()
        calls = asked if isinstance(asked, list) else [asked]
        self.requests += calls
        if (refused := self.gate(calls)) is not None:
            return refused
        async with self._client.post(self.target, json=[self.ask(call) for call in calls]) as response:
            answers = {answer["id"]: answer for answer in await response.json(content_type=None)}
        given = [self.change(call, answers[call["id"]]) for call in calls]
        return web.json_response(given if isinstance(asked, list) else given[0])


@pytest.fixture
async def liar(anvil):
    node = await LyingNode(anvil.url).start()
    yield node
    await node.stop()


@pytest.fixture
async def liar_rpc(liar):
    """Without patience: what a node says stays said."""
    async with Rpc(liar.url, timeout=20, patience=0) as rpc:
        yield rpc


@pytest.fixture
def certify(rpc):
    """Makes the certificate of a wallet that is closed and final."""

    async def make(reader: ChainReader, wallet: Address, account_id: AccountId) -> bytes:
        now = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
        customer = CustomerId(str(uuid.uuid4()))
        examination = await examine(rpc, wallet)
        assert examination.evidence is not None, examination.verdict.detail
        platform = PlatformAccount(account_id, customer, AccountStatus.CLOSED, None, ("EUR",), now, now)
        owner = ChainAccount(await reader.chain_id(), Address(OWNER.address))
        record = AccountRecord(platform, owner, await reader.view(account_id), reader.profile, reader.factory)
        return build_certificate(examination.evidence, examination.verdict, account=record)

    return make
