"""The same calls on Anvil, as transactions: another path through another program, and Osaka's rules.

What each did is read from the node's own account of it, ``prestateTracer``'s difference. (The storage's hash from
``eth_getProof`` will not do: in Anvil's trie a slot that was written stays, even with a zero.)
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from orchestrator.devnet.anvil import Anvil

from .programs import Program
from .world import ATTACKERS, RICH, TRAP_SLOT, RealCall, attacker, hexed


@dataclass(frozen=True, slots=True)
class OnAnvil:
    changes: tuple[str, ...]
    succeeded: int


class AnvilWorld:
    """A running node; each program is set up by ``anvil_set…`` and taken back by a snapshot."""

    def __init__(self, anvil: Anvil) -> None:
        self.anvil = anvil
        self._client = httpx.AsyncClient(trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), timeout=60)
        self._snapshot: str | None = None

    async def __aenter__(self) -> Self:
        self._snapshot = await self._ask("evm_snapshot")
        await self._ask("anvil_autoImpersonateAccount", True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ask("anvil_autoImpersonateAccount", False)
        await self._ask("evm_revert", self._snapshot)
        await self._client.aclose()

    async def run(self, program: Program, calls: Iterable[RealCall]) -> OnAnvil:
        """Executes the calls, one after the other and without taking any back: an inert account does not mind."""
        start = await self._ask("evm_snapshot")
        await self._set_up(program)
        changes: list[str] = []
        succeeded = 0
        for call in calls:
            receipt = await self._send(call)
            if receipt is None:
                continue
            succeeded += receipt["status"] == "0x1"
            tracer = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
            changed = await self._ask("debug_traceTransaction", receipt["transactionHash"], tracer)
            changes += [f"{what} by {call}" for what in _changes(program.address, changed["pre"], changed["post"])]
        await self._ask("evm_revert", start)
        return OnAnvil(tuple(changes), succeeded)

    async def _set_up(self, program: Program) -> None:
        codes = {**program.codes, program.address: program.code, **dict.fromkeys(ATTACKERS, attacker(program.address))}
        rows: list[tuple[Any, ...]] = []
        for address, code in codes.items():
            rows += [("anvil_setCode", hexed(address), "0x" + code.hex()), ("anvil_setNonce", hexed(address), "0x1")]
        for slot, value in program.storage.items():
            rows.append(("anvil_setStorageAt", hexed(program.address), f"0x{slot:064x}", f"0x{value:064x}"))
        rows.append(("anvil_setBalance", hexed(program.address), hex(10**9)))
        rows += [("anvil_setBalance", hexed(address), hex(RICH)) for address in ATTACKERS]
        for row in rows:
            await self._ask(*row)

    async def _send(self, call: RealCall) -> dict[str, Any] | None:
        """The receipt; None where the node refuses the transaction (too little gas for its data, for one)."""
        await self._ask("anvil_setBalance", hexed(call.sender), hex(RICH))
        transaction = {
            "from": hexed(call.sender), "to": hexed(call.to), "data": "0x" + call.data.hex(),
            "value": hex(call.value), "gas": hex(call.gas),
        }  # fmt: skip
        answer = await self._post("eth_sendTransaction", transaction)
        if "error" in answer:
            return None
        before = int(await self._ask("eth_blockNumber"), 16)
        await self._ask("evm_mine")
        await self._ask("evm_mine")
        async with asyncio.timeout(60):
            while True:  # the node may answer before its blocks are there
                there = int(await self._ask("eth_blockNumber"), 16) >= before + 2
                receipt = await self._ask("eth_getTransactionReceipt", answer["result"])
                if receipt is not None:
                    return dict(receipt)
                if there:  # taken into the pool, and into no block: more gas than a transaction may have (EIP-7825)
                    await self._ask("anvil_dropTransaction", answer["result"])
                    return None

    async def _ask(self, method: str, *params: Any) -> Any:
        answer = await self._post(method, *params)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    async def _post(self, method: str, *params: Any) -> dict[str, Any]:
        response = await self._client.post(
            self.anvil.url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        )
        return dict(response.json())


def _changes(account: int, pre: dict[str, Any], post: dict[str, Any]) -> list[str]:
    """What an inert account cannot have done, of all that a transaction did."""
    before, after = pre.get(hexed(account), {}), post.get(hexed(account), {})
    found = [f"its {what} changed" for what in ("nonce", "code", "storage") if what in after]
    if before.get("storage"):  # a slot that became zero is only there
        found.append("its storage changed")
    if int(after.get("balance", before.get("balance", "0x0")), 16) < int(before.get("balance", "0x0"), 16):
        found.append("its balance fell")
    found += [
        "a trap went off" for at in ATTACKERS if f"0x{TRAP_SLOT:064x}" in post.get(hexed(at), {}).get("storage", {})
    ]
    return found
