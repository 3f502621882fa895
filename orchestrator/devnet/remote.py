"""Drives a devnet that runs in another process: its chain by JSON-RPC, its platform by the simulator's own calls."""

from __future__ import annotations

from typing import Any

import httpx

from orchestrator.errors import ChainError, ChainUnreachable, PlatformError, PlatformUnreachable, SettingsError

_SECONDS = 30.0


class RemoteDevnet:
    """``rpc_url`` of its Anvil; ``admin_url`` and ``admin_token`` of its simulator, needed for faults only.

    Raises ChainUnreachable, PlatformUnreachable, ChainError or PlatformError with the other side's words.
    """

    def __init__(self, rpc_url: str, admin_url: str, admin_token: str) -> None:
        self._rpc_url = rpc_url
        self._admin_url = admin_url
        self._admin_token = admin_token

    def mine(self, blocks: int) -> dict[str, Any]:
        self._rpc("anvil_mine", hex(blocks))
        return self._heads()

    def finalize(self) -> dict[str, Any]:
        target = self._number("latest")
        while self._number("finalized") < target:
            self._rpc("anvil_mine", "0x1")
        return self._heads()

    def reorg(self, depth: int) -> dict[str, Any]:
        self._rpc("anvil_reorg", depth, [])
        return self._heads()

    def warp(self, seconds: int) -> dict[str, Any]:
        self._rpc("evm_increaseTime", seconds)
        self._rpc("anvil_mine", "0x1")
        return self._heads()

    def faults(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self._admin("GET", "/faults")
        return answer

    def order_fault(self, order: dict[str, Any]) -> None:
        self._admin("POST", "/faults", order)

    def clear_faults(self) -> None:
        self._admin("DELETE", "/faults")

    def _heads(self) -> dict[str, Any]:
        block = self._rpc("eth_getBlockByNumber", "latest", False)
        return {
            "block": {"number": int(block["number"], 16), "hash": block["hash"]},
            "timestamp": int(block["timestamp"], 16),
            "finalized": self._number("finalized"),
        }

    def _number(self, tag: str) -> int:
        return int(self._rpc("eth_getBlockByNumber", tag, False)["number"], 16)

    def _rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            answer = httpx.post(self._rpc_url, json=body, timeout=_SECONDS, trust_env=False).json()
        except (httpx.HTTPError, ValueError) as error:
            raise ChainUnreachable(f"the devnet's chain does not answer {method}: {type(error).__name__}") from error
        if "error" in answer:
            if method in ("anvil_reorg", "evm_increaseTime", "anvil_mine"):
                raise SettingsError(
                    f"the devnet's Anvil cannot do that: {answer['error'].get('message')}", code="usage"
                )
            raise ChainError(f"the node refuses {method}: {answer['error'].get('message')}; is it a devnet's Anvil?")
        return answer["result"]

    def _admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        if not self._admin_url or not self._admin_token:
            raise SettingsError(
                "missing setting: ORCHESTRATOR_DEVNET_URL and ORCHESTRATOR_DEVNET_TOKEN, as devnet up prints them",
                code="settings_missing",
            )
        headers = {"Authorization": f"Bearer {self._admin_token}"}
        try:
            answer = httpx.request(
                method, self._admin_url + path, json=body, headers=headers, timeout=_SECONDS, trust_env=False
            )
        except httpx.HTTPError as error:
            raise PlatformUnreachable(f"the devnet's platform does not answer: {type(error).__name__}") from error
        if answer.status_code == 400:
            raise SettingsError(f"the devnet's platform cannot do that: {_words(answer)}", code="usage")
        if answer.is_error:
            raise PlatformError(f"the devnet's platform refuses {method} {path}: {answer.text[:300]}")
        return answer.json() if answer.content else None


def _words(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]
