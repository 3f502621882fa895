"""The one door to JSON-RPC: one node, or a list of them, of which the next is asked while one is unwell.

Requests go out in batches, so that a question costs a constant number of round trips. Answers are handed on raw and
are read by ``chain.node.parse``: a hostile answer is trusted for nothing before its type is known.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Self

from orchestrator.chain.node.endpoint import Call, Endpoint, Limits, passing
from orchestrator.chain.node.failure import RpcFailure, as_error
from orchestrator.chain.node.parse import header, quantity
from orchestrator.chain.node.transport import NoAnswerInTime, Transport
from orchestrator.errors import ChainError, ChainNonsense, ChainUnreachable, SettingsError
from orchestrator.models import BlockRef, ChainId

__all__ = ["Call", "Rpc", "RpcFailure"]

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""The greatest answer that is read: a batch of 100 codes, or some 40,000 logs."""
_UNWELL_SECONDS: Final = 30.0
"""For which another endpoint is asked first."""

_DIFFERENT: Final = frozenset({"nodes_disagree", "wrong_chain"})
"""Errors that another endpoint would only hide."""


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
        transports = [Transport(one, timeout=timeout, max_answer_bytes=max_answer_bytes) for one in urls]
        _number(transports)
        self.endpoints: Final = tuple(
            Endpoint(one, batch_size=batch_size, patience=patience, max_answer_bytes=max_answer_bytes)
            for one in transports
        )
        self._active = self.endpoints[0]
        self._unwell_until: dict[Endpoint, float] = {}
        self._final: BlockRef | None = None
        self._chain: int | None = None

    @property
    def endpoint(self) -> str:
        """Scheme, host and port of the endpoint that answered last."""
        return self._active.name

    @property
    def limits(self) -> Limits:
        """What the endpoint that answered last takes. What it showed of searches an hour ago is forgotten."""
        self._active.limits.forget(time.monotonic())
        return self._active.limits

    @property
    def round_trips(self) -> int:
        """HTTP requests sent so far, to all endpoints."""
        return sum(one.transport.traffic.requests for one in self.endpoints)

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The raw results in the order of the calls; a call that the node refused has an RpcFailure in its place.

        All are of one endpoint: the first that is well; where none is, the first whose trouble may pass is asked once
        more, with patience. Raises ChainUnreachable (no answer, timeout, overload), ChainNonsense (no valid JSON-RPC
        answer; ``nodes_disagree`` and ``wrong_chain`` where two endpoints differ).
        """
        if not calls:
            return []
        trouble: ChainError | None = None
        again: Endpoint | None = None
        *others, last = self._in_order()
        for endpoint in (*others, last):
            try:
                results = await self._ask(endpoint, calls, patient=endpoint is last)
            except ChainError as error:
                if error.code in _DIFFERENT:
                    raise
                self._unwell_until[endpoint] = time.monotonic() + _UNWELL_SECONDS
                passes = isinstance(error, ChainUnreachable)
                if trouble is None or (passes and not isinstance(trouble, ChainUnreachable)):
                    trouble = error  # what may pass at one is not an operator's for what lasts at another
                if passes and not isinstance(error, NoAnswerInTime):
                    again = again or endpoint
                continue
            if endpoint is last or not any(map(passing, calls, results)):
                return self._answered(endpoint, calls, results)
            self._unwell_until[endpoint] = time.monotonic() + _UNWELL_SECONDS
            again = again or endpoint
        assert trouble is not None, "the last endpoint either answers or is in trouble"
        if again is None or again is last:
            raise trouble
        return self._answered(again, calls, await self._ask(again, calls, patient=True))

    async def _ask(self, endpoint: Endpoint, calls: Sequence[Call], *, patient: bool) -> list[Any]:
        await self._compare(endpoint, patient=patient)
        return await endpoint.batch(calls, patient=patient)

    def _answered(self, endpoint: Endpoint, calls: Sequence[Call], results: list[Any]) -> list[Any]:
        self._active = endpoint
        self._remember(calls, results)
        return results

    def _in_order(self) -> list[Endpoint]:
        """The endpoints in the order of preference, those after the others that were unwell a while ago."""
        now = time.monotonic()
        return sorted(self.endpoints, key=lambda one: self._unwell_until.get(one, 0.0) > now)

    def _remember(self, calls: Sequence[Call], results: Sequence[Any]) -> None:
        """Chain and finalized block, as far as they were asked for, to compare another endpoint with."""
        if len(self.endpoints) == 1:
            return
        for (method, params), result in zip(calls, results, strict=True):
            with suppress(ChainNonsense):  # whoever asked reads the answer, and says what is wrong with it
                if method == "eth_chainId" and isinstance(result, str):
                    self._chain = quantity(result, method)
                elif params[:1] == ["finalized"] and isinstance(result, dict):
                    self._final = header(result, method).block

    async def _compare(self, endpoint: Endpoint, *, patient: bool) -> None:
        """Before another endpoint is believed: it must be of the same chain, and have the same finalized block."""
        if endpoint is self._active or (self._chain is None and self._final is None):
            return
        number = hex(self._final.number) if self._final else "latest"
        chain, block = await endpoint.batch(
            [("eth_chainId", []), ("eth_getBlockByNumber", [number, False])], patient=patient
        )
        if self._chain is not None and quantity(chain, f"{endpoint.name}: eth_chainId") != self._chain:
            raise ChainNonsense(
                f"{endpoint.name}: expected a node of chain {self._chain}, as {self.endpoint} is, got {chain}",
                code="wrong_chain",
            )
        if self._final is None:
            return
        if not isinstance(block, dict):
            raise ChainUnreachable(f"{endpoint.name}: has no block {self._final.number} (yet)", code="chain_behind")
        other = header(block, f"{endpoint.name}: block {self._final.number}").block
        if other != self._final:
            raise ChainNonsense(
                f"block {self._final.number} is finalized as {self._final.hash} at {self.endpoint}, and is "
                f"{other.hash} at {endpoint.name}",
                code="nodes_disagree",
            )

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


def _number(transports: Sequence[Transport]) -> None:
    """Tells those apart in messages that are of one host: only their secret parts differ."""
    names = [one.endpoint for one in transports]
    for number, (name, one) in enumerate(zip(names, transports, strict=True), 1):
        if names.count(name) > 1:
            one.endpoint = f"{name} (URL {number})"
