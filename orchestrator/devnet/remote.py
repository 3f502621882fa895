"""A devnet that runs in another process: where a command finds it, and how it is driven.

It is found by a file in this user's state directory. Its chain is driven by JSON-RPC, its platform by the simulator's
own calls.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

from orchestrator import files
from orchestrator.devnet.control import ChainControl
from orchestrator.errors import ChainError, ChainUnreachable, PlatformError, PlatformUnreachable, SettingsError
from orchestrator.foreign import MalformedJson, read_json
from orchestrator.settings import state_directory

_SECONDS = 30.0
_MAX_BYTES = 1024 * 1024


class RemoteDevnet:
    """``rpc_url`` of its Anvil; ``admin_url`` and ``admin_token`` of its simulator, needed for faults and ``resubmit``
    only; ``contracts``: those which no reorganisation may take.

    Raises ChainUnreachable, PlatformUnreachable, ChainError or PlatformError with the other side's words, and
    SettingsError for what cannot be meant.
    """

    def __init__(self, rpc_url: str, admin_url: str, admin_token: str, *, contracts: Iterable[str] = ()) -> None:
        self._rpc_url = rpc_url
        self._admin_url = admin_url
        self._admin_token = admin_token
        self.control = ChainControl(self._rpc, contracts=contracts)

    def runs(self) -> bool:
        """Whether the simulator answers, and to this token."""
        try:
            self.faults()
        except (PlatformError, PlatformUnreachable):
            return False
        return True

    def resubmit(self) -> dict[str, Any]:
        """The platform's operator sends again what the chain has lost: ``{"accounts": [ID, …]}``, whose it was."""
        answer: dict[str, Any] = self._admin("POST", "/resubmit", {})
        return answer

    def faults(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self._admin("GET", "/faults")
        return answer

    def departures(self) -> list[dict[str, str]]:
        """Where a client, a receiver of webhooks or the simulator itself has left the published API."""
        answer: list[dict[str, str]] = self._admin("GET", "/departures")
        return answer

    def order_fault(self, order: dict[str, Any]) -> None:
        self._admin("POST", "/faults", order)

    def clear_faults(self) -> None:
        self._admin("DELETE", "/faults")

    def _rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            answer = _read(httpx.post(self._rpc_url, json=body, timeout=_SECONDS, trust_env=False))
        except (httpx.HTTPError, ValueError) as error:
            raise ChainUnreachable(f"the devnet's chain does not answer {method}: {type(error).__name__}") from error
        if not isinstance(answer, dict) or not ("result" in answer or isinstance(answer.get("error"), dict)):
            raise ChainError(f"the devnet's chain: its answer to {method} is not JSON-RPC")
        if "error" in answer:
            raise ChainError(
                f"the node refuses {method}: {answer['error'].get('message')}; is it a devnet's Anvil?",
                code="rpc_error",
            )
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
        try:
            return _read(answer) if answer.content else None
        except ValueError as error:
            raise PlatformError(f"the devnet's platform: its answer to {method} {path} {error}") from None


def _read(answer: httpx.Response) -> Any:
    return read_json(answer.content, max_bytes=_MAX_BYTES)


def _words(answer: httpx.Response) -> str:
    try:
        return str(_read(answer)["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def _file() -> Path:
    return state_directory() / "devnet.json"


@contextlib.contextmanager
def announced(document: dict[str, Any]) -> Iterator[None]:
    """While this lasts, :func:`found` gives ``document``; of several devnets, that of the one started last.

    SIDE EFFECTS: a file (0600: it has the devnet's secrets), which a killed process leaves behind. Raises OSError,
    KeyUnavailable ``keystore_unwritable`` if it cannot be written.
    """
    file, text = _file(), json.dumps(document)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.replace(file, text.encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if file.read_text() == text:
                file.unlink()


def found() -> dict[str, Any] | None:
    """What the devnet that was started last has announced; None without one. It may have been killed: ask it."""
    try:
        document = read_json(_file().read_bytes(), max_bytes=_MAX_BYTES)
    except (OSError, MalformedJson):
        return None
    return document if isinstance(document, dict) else None
