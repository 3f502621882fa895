"""The chain as the platform's operator uses it: plain JSON-RPC, calls of contracts, and signed transactions.

Knows nothing of jobs, nor of any contract but ERC-20: see :mod:`families`. ``eth_account`` and ``eth_abi`` are imported
when first used.
"""

from __future__ import annotations

import itertools
import ssl
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from orchestrator.artifacts import NAMES, load
from orchestrator.foreign import read_json
from orchestrator.process import lazy_py_ecc

_MAX_ANSWER_BYTES = 4 * 1024 * 1024

__all__ = ["CallReverted", "Chain", "ChainDown", "NonceUsed"]


class ChainDown(Exception):
    """The node did not answer, or not with JSON-RPC: a transient error."""


class NonceUsed(Exception):
    """Another transaction has taken this nonce; this one will never be mined."""


class CallReverted(Exception):
    """A call or transaction reverts; the message names the contract's error."""


def keccak(data: bytes) -> bytes:
    from eth_utils.crypto import keccak as keccak_256

    return keccak_256(data)


def encode(types: Sequence[str], values: Sequence[object]) -> bytes:
    """ABI-encoded values."""
    from eth_abi.abi import encode as encode_abi

    return encode_abi(types, values)


def account_bytes(account_id: str) -> bytes:
    """The 16 bytes of an account's UUID."""
    return uuid.UUID(account_id).bytes


def address_of(word: str) -> str:
    """The address (EIP-55) in a word that a call has answered."""
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address("0x" + word[-40:]))


def selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


def encode_call(signature: str, *values: object) -> str:
    """Call data for ``name(type,…)`` as 0x-hex."""
    types = signature[signature.index("(") + 1 : -1]
    return "0x" + (selector(signature) + encode(types.split(",") if types else [], values)).hex()


@cache
def _errors() -> dict[bytes, str]:
    names = {selector("Error(string)"): "Error(string)", selector("Panic(uint256)"): "Panic(uint256)"}
    for contract in NAMES:
        for item in load(contract).abi:
            if item["type"] == "error":
                signature = f"{item['name']}({','.join(part['type'] for part in item['inputs'])})"
                names[selector(signature)] = signature
    return names


def revert_reason(data: object) -> str:
    """The contract's error with its values, as far as it is known."""
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    if not isinstance(data, str) or len(data) < 10:
        return "without a reason"
    raw = bytes.fromhex(data[2:])
    signature = _errors().get(raw[:4])
    if signature is None:
        return f"unknown error 0x{raw[:4].hex()}"
    name, _, types = signature.partition("(")
    try:
        values = decode(types[:-1].split(","), raw[4:]) if types != ")" else ()
    except DecodingError:
        return signature
    return f"{name}({', '.join(str(value) for value in values)})"


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction that has not necessarily been sent."""

    nonce: int
    hash: str
    raw: str


class Chain:
    """One node, one operator key."""

    def __init__(self, rpc_url: str, operator_key: str) -> None:
        self.rpc_url = rpc_url
        self._key = operator_key
        # Without the system's certificates, whose loading takes longer than most calls: the node is on loopback.
        self._client = httpx.AsyncClient(timeout=30, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self._ids = itertools.count(1)
        self._operator: str | None = None

    async def stop(self) -> None:
        await self._client.aclose()

    @property
    def operator(self) -> str:
        """The operator's address (EIP-55)."""
        if self._operator is None:
            with lazy_py_ecc():
                from eth_account import Account

            self._operator = str(Account.from_key(self._key).address)
        return self._operator

    async def rpc(self, method: str, *parameters: object) -> Any:
        """One JSON-RPC call. Raises ChainDown, CallReverted, NonceUsed."""
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": parameters}
        try:
            body = (await self._client.post(self.rpc_url, json=request)).content
            answer = read_json(body, max_bytes=_MAX_ANSWER_BYTES)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ChainDown(f"{method}: {type(error).__name__}: {error}") from error
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise ChainDown(f"{method}: the node's answer is not JSON-RPC")
        if "error" not in answer:
            return answer["result"]
        problem = answer["error"]
        message = str(problem.get("message", "")) if isinstance(problem, dict) else str(problem)
        lowered = message.lower()
        if "nonce too low" in lowered or "replacement transaction underpriced" in lowered:
            raise NonceUsed(message)
        if "revert" in lowered or (isinstance(problem, dict) and problem.get("code") == 3):
            raise CallReverted(revert_reason(problem.get("data") if isinstance(problem, dict) else None))
        raise ChainDown(f"{method}: {message}")

    async def call(self, to: str, signature: str, *values: object) -> str:
        """``eth_call`` at the latest block, as 0x-hex."""
        return str(await self.rpc("eth_call", {"to": to, "data": encode_call(signature, *values)}, "latest"))

    # --- what the platform reads ---------------------------------------------------------------------------------

    async def has_code(self, address: str) -> bool:
        return len(str(await self.rpc("eth_getCode", address, "latest"))) > 2

    async def tokens_held(self, wallet: str, tokens: list[str]) -> list[str]:
        """Those of ``tokens`` of which the wallet has a balance; an address without code is none."""
        return [
            token
            for token in tokens
            if await self.has_code(token) and int(await self.call(token, "balanceOf(address)", wallet), 16)
        ]

    async def block_number(self) -> int:
        return int(await self.rpc("eth_blockNumber"), 16)

    async def receipt(self, tx_hash: str) -> dict[str, Any] | None:
        value = await self.rpc("eth_getTransactionReceipt", tx_hash)
        return value if isinstance(value, dict) else None

    # --- what the operator sends ---------------------------------------------------------------------------------

    async def sign(self, to: str | None, data: str) -> Signed:
        """Signs the operator's next transaction (EIP-1559) without sending it. One at a time: the nonce is the chain's.

        Raises CallReverted where the node foresees that it fails.
        """
        with lazy_py_ecc():
            from eth_account import Account

        call = {"from": self.operator, "data": data} | ({} if to is None else {"to": to})
        gas = int(await self.rpc("eth_estimateGas", call), 16)
        nonce = int(await self.rpc("eth_getTransactionCount", self.operator, "pending"), 16)
        head = await self.rpc("eth_getBlockByNumber", "latest", False)
        chain_id = int(await self.rpc("eth_chainId"), 16)
        tip = 10**9
        transaction = {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "gas": gas * 13 // 10 + 20_000,
            "maxPriorityFeePerGas": tip,
            "maxFeePerGas": 2 * int(head.get("baseFeePerGas", "0x0"), 16) + tip,
            "value": 0,
            "data": data,
        } | ({} if to is None else {"to": to})
        signed = Account.sign_transaction(transaction, self._key)
        return Signed(nonce, "0x" + bytes(signed.hash).hex(), "0x" + bytes(signed.raw_transaction).hex())

    async def send(self, raw: str) -> None:
        """Sends (again) a signed transaction; one that the node knows already is no error."""
        try:
            await self.rpc("eth_sendRawTransaction", raw)
        except ChainDown as error:
            lowered = str(error).lower()
            if "already known" not in lowered and "already imported" not in lowered:
                raise
