"""A refused call, as a value among results, and the error that it becomes where nothing goes on without its result."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.chain.node.refusals import PASSING, Kind, Meaning, classify
from orchestrator.errors import ChainError, ChainNonsense, ChainUnreachable
from orchestrator.foreign import shown

SHOWN: Final = 300
"""Characters of a node's words that are kept."""


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """A JSON-RPC error object: the node understood and refused. ``code`` is JSON-RPC's number, ``status`` HTTP's."""

    method: str
    code: int
    message: str
    status: int = 200

    def __str__(self) -> str:
        return f"{self.method} was refused with {self.code}: {self.message}"

    @property
    def meaning(self) -> Meaning:
        """What the refusal means, by ``refusals.TABLE``."""
        return classify(self.method, self.code, self.message, self.status)

    @property
    def kind(self) -> Kind:
        """The kind of ``meaning``."""
        return self.meaning.kind

    @property
    def busy(self) -> bool:
        """Whether the refusal says nothing about what was asked: the node was not able to look."""
        return self.kind in (Kind.RATE, Kind.UNWELL)

    @property
    def passing(self) -> bool:
        """Whether the same question may be answered later."""
        return self.kind in PASSING


def read_failure(error: Any, method: str, status: int, hide: Callable[[str], str] = shown) -> RpcFailure:
    """A JSON-RPC error object, or what some gateways put in its place: a text. Raises nothing.

    ``hide`` makes the node's words fit to be shown (``Transport.hide``).
    """
    if not isinstance(error, dict):
        error = {"message": error}
    code, message, data = error.get("code"), error.get("message"), error.get("data")
    if isinstance(code, str) and len(code) < 10 and re.fullmatch(r"-?[0-9]+", code):
        code = int(code)
    number = code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**31 else 0
    text = message[:4096] if isinstance(message, str) and message.strip() else "no reason given"
    if isinstance(data, dict) and isinstance(data.get("payload"), str):  # Tenderly's reason
        text = f"{text}: {data['payload'][:4096]}"
    return RpcFailure(method, number, hide(" ".join(text.split()))[:SHOWN], status)


def as_error(failure: RpcFailure, endpoint: str) -> ChainError:
    """The error of a refusal without which nothing goes on, with the node's words."""
    meaning = failure.meaning
    text = f"{endpoint}: {failure}"
    match meaning.kind:
        case Kind.RATE:
            return ChainUnreachable(text, code="rpc_overload")
        case Kind.BEHIND:
            return ChainUnreachable(text, code="chain_behind")
        case Kind.UNWELL:
            return ChainUnreachable(text)
        case Kind.PLAN:
            return ChainNonsense(text, code="rpc_plan")
        case Kind.PRUNED:
            return ChainNonsense(text, code="state_pruned", fix=f"{meaning.widen}." if meaning.widen else None)
        case Kind.RANGE | Kind.RESULTS:
            code = "logs_limited" if failure.method == "eth_getLogs" else "answer_too_large"
            return ChainNonsense(text, code=code)
        case Kind.KEY:
            fix = "Check the API key in ORCHESTRATOR_RPC_URL; the provider's console says whether it still holds."
            return ChainNonsense(text, code="rpc_refused", fix=fix)
        case _:
            return ChainNonsense(text, code="rpc_refused")
