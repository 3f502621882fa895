"""The one door to JSON-RPC: one node, or a list of them, of which the next is asked while one is unwell.

Requests go out in batches, so that a question costs a constant number of round trips. Answers are handed on raw and
are read by ``chain.node.parse``: a hostile answer is trusted for nothing before its type is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

from orchestrator.chain.node.endpoint import Call, Endpoint, Limits
from orchestrator.chain.node.failure import RpcFailure, as_error
from orchestrator.chain.node.parse import quantity
from orchestrator.chain.node.transport import Transport
from orchestrator.errors import SettingsError
from orchestrator.models import ChainId

__all__ = ["Call", "Rpc", "RpcFailure"]

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""The greatest answer that is read: a batch of 100 codes, or some 40,000 logs."""
_UNWELL_SECONDS: Final = 30.0
"""For which another endpoint is asked first."""


class Rpc:
    """A chain's JSON-RPC, over HTTP.

    ``url``: one, or several in the order of preference. ``timeout`` is in seconds and for one round trip;
    ``batch_size`` is the most calls in one HTTP request to begin with (``Endpoint`` finds out what a node takes);
    ``patience``: seconds that passing trouble is waited out within a call. Only reads are made. Must be closed; it
    belongs to one event loop from its first call until then. Raises SettingsError for a URL that is none.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        timeout: float = 10.0,
        batch_size: int = 100,
        patience: float = 5.0,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        urls = (url,) if isinstance(url, str) else tuple(url)
        if not urls:
            raise SettingsError("expected the URL of a node, got an empty list")
        self.endpoints: Final = tuple(
            Endpoint(
                Transport(one, timeout=timeout, max_answer_bytes=max_answer_bytes),
                batch_size=batch_size,
                patience=patience,
                max_answer_bytes=max_answer_bytes,
            )
            for one in urls
        )
        self._active = self.endpoints[0]
        self._unwell: dict[str, float] = {}

    @property
    def endpoint(self) -> str:
        """Scheme, host and port of the endpoint that answered last."""
        return self._active.name

    @property
    def limits(self) -> Limits:
        """What the endpoint that answered last takes."""
        return self._active.limits

    @property
    def latency(self) -> float | None:
        """Seconds of the last round trip, without what was imported or set up for it."""
        return self._active.transport.traffic.last

    @property
    def round_trips(self) -> int:
        """HTTP requests sent so far, to all endpoints."""
        return sum(one.transport.traffic.requests for one in self.endpoints)

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The raw results in the order of the calls; a call that the node refused has an RpcFailure in its place.

        Raises ChainUnreachable (no answer, timeout, overload) or ChainNonsense (no valid JSON-RPC answer).
        """
        return await self._active.batch(calls)

    async def call(self, method: str, params: list[Any]) -> Any:
        """One raw result. Raises ChainUnreachable, or ChainNonsense where the node refuses."""
        return self.demand(await self.call_or_failure(method, params))

    async def call_or_failure(self, method: str, params: list[Any]) -> Any:
        """One raw result, or the RpcFailure where the node refuses."""
        (result,) = await self.batch([(method, params)])
        return result

    def demand(self, result: Any) -> Any:
        """The result, unless it is a refusal: then raises its error with the node's words, ChainUnreachable where it
        may pass."""
        if isinstance(result, RpcFailure):
            raise as_error(result, self.endpoint)
        return result

    async def chain_id(self) -> ChainId:
        """``eth_chainId``."""
        return ChainId(quantity(await self.call("eth_chainId", []), f"{self.endpoint}: eth_chainId"))

    async def close(self) -> None:
        """Ends the connections."""
        for one in self.endpoints:
            await one.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
