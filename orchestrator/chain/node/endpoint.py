"""One JSON-RPC endpoint: batches of the size that it takes, its ids and refusals, and its passing trouble waited out.

What an endpoint cannot do is found out by its answers, and remembered in ``Limits``.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from orchestrator.chain.node.failure import SHOWN, RpcFailure, as_error, read_failure
from orchestrator.chain.node.parse import show
from orchestrator.chain.node.refusals import PASSING, Kind, Meaning, classify, executes, named_limit, named_pause
from orchestrator.chain.node.transport import Dropped, Response, TooLarge, Transport
from orchestrator.errors import ChainError, ChainNonsense, ChainUnreachable
from orchestrator.foreign import MalformedJson, read_json
from orchestrator.process import lazy_py_ecc

if TYPE_CHECKING:
    from web3.types import RPCEndpoint

Call = tuple[str, list[Any]]

_MAX_VALUES: Final = 1_000_000
LEARNT_FOR: Final = 3600.0
"""Seconds that a smaller batch or search is remembered: it may have been a moment's trouble."""
_FIRST_PAUSE: Final = 0.25
"""Seconds before a passing refusal is asked again, doubled each time."""
_LONGEST_WORDED_PAUSE: Final = 60.0
"""Seconds: a sentence is a weaker word than a header, and may be of something else."""
_AT_ANY_SIZE: Final = PASSING | {Kind.KEY}
"""Refusals of a whole batch that smaller ones would meet, too. Others may be of one of its calls."""


@dataclass(slots=True)
class Limits:
    """What an endpoint takes, as far as its answers have shown it. Its users keep here what they learn."""

    batch: int
    """Calls in one request."""
    span: int | None = None
    """Blocks in one ``eth_getLogs``; None while none was refused."""
    most_span: int | None = None
    """Blocks that ``span`` never grows beyond."""
    span_until: float = math.inf
    """Monotonic seconds until which both are remembered."""
    calm: int = 0
    """Searches of ``span`` blocks that were answered since it changed."""
    by_number_until: float = 0.0
    """Monotonic seconds until which no block is named by its hash (EIP-1898)."""
    notes: dict[str, str] = field(default_factory=dict)
    """Sentences for whoever runs this, by what they are about."""

    def forget(self, now: float) -> None:
        """Forgets limits of searches that were learnt a while before ``now``."""
        if now > self.span_until:
            self.span = self.most_span = None
            self.span_until = math.inf
            self.notes.pop("logs", None)


class _Refused(Exception):
    """A request was refused as a whole; ``error`` is what to raise if that is the end."""

    def __init__(
        self, kind: Kind, error: ChainError, failure: RpcFailure | None = None, pause: float | None = None
    ) -> None:
        super().__init__(error.message)
        self.kind = kind
        self.error = error
        self.failure = failure
        self.pause = pause


class Endpoint:
    """One URL. ``patience``: seconds that passing trouble is waited out within a call."""

    def __init__(
        self,
        transport: Transport,
        *,
        batch_size: int,
        patience: float,
        max_answer_bytes: int,
    ) -> None:
        self.transport: Final = transport
        self.name: Final = transport.endpoint
        self.limits: Final = Limits(batch_size)
        self._batch_size = batch_size
        self._relearn_at = math.inf
        self._patience = patience
        self._max_answer_bytes = max_answer_bytes
        self._sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._clock: Callable[[], float] = time.monotonic
        self._not_before = 0.0
        """When the node asked us to come again."""

    async def batch(self, calls: Sequence[Call], *, patient: bool = True) -> list[Any]:
        """The raw results in the calls' order, which is also the order in time: whatever is asked again is asked again
        with all that follows it. A call that is refused has an RpcFailure in its place, passing ones after patience.

        Raises ChainUnreachable (no answer, or none that can be used, for longer than patience) or ChainNonsense.
        """
        deadline = self._clock() + (self._patience if patient else 0.0)
        results: list[Any] = []
        once_more: set[int] = set()
        tries = rates = 0
        most = len(calls)
        while len(results) < len(calls):
            await self._wait_until_asked(deadline)
            try:
                got = await self._part(calls[len(results) :][:most])
            except _Refused as refused:
                if refused.kind is Kind.RATE:
                    rates += 1
                    if rates > 1:  # perhaps one request is more calls than the node takes in a second
                        most = max(1, min(most, self.limits.batch, len(calls) - len(results)) // 2)
                if refused.kind not in PASSING or not await self._pause(tries, refused.pause, deadline):
                    raise refused.error from None
                tries += 1
                continue
            good = self._good(calls[len(results) :], got, len(results), once_more)
            trouble = got[good] if good < len(got) else None
            results += got[:good]
            if good == len(got):
                tries = 0
                continue
            if good and isinstance(trouble, RpcFailure) and trouble.kind in (Kind.RESULTS, Kind.BATCH):
                continue  # the answer was full: the rest is asked for by itself
            pause = _worded_pause(trouble, [trouble.method]) if isinstance(trouble, RpcFailure) else None
            if not await self._pause(tries, pause, deadline):
                results += got[good:]
            tries = 0 if good else tries + 1
        return results

    def _good(self, calls: Sequence[Call], got: Sequence[Any], first: int, once_more: set[int]) -> int:
        """How many of the answers stand; the one after them is asked again."""
        for index, (call, answer) in enumerate(zip(calls, got, strict=False)):
            if passing(call, answer):
                return index
            if not isinstance(answer, RpcFailure):
                continue
            if index and answer.kind in (Kind.RESULTS, Kind.BATCH):
                return index
            if answer.kind is Kind.OTHER and answer.code == -32603 and first + index not in once_more:
                once_more.add(first + index)  # "internal error": one more try shows whether it lasts
                return index
        return len(got)

    async def _pause(self, tries: int, asked: float | None, deadline: float) -> bool:
        """Waits before a repeat. False where that would be beyond the deadline: then it is not waited."""
        seconds = max(asked or 0.0, _FIRST_PAUSE * 2**tries)  # "Retry-After: 0" is no leave to ask without end
        if asked is not None:
            self._not_before = max(self._not_before, self._clock() + min(asked, 3600.0))
        if self._clock() + seconds > deadline:
            return False
        await self._sleep(seconds)
        return True

    async def _wait_until_asked(self, deadline: float) -> None:
        left = self._not_before - self._clock()
        if left <= 0:
            return
        if self._clock() + left > deadline:
            raise ChainUnreachable(
                f"{self.name}: the node asked for a pause, which is over in {left:.0f} s", code="rpc_overload"
            )
        await self._sleep(left)

    # --- below: one request ---------------------------------------------------------------------------------------

    async def _part(self, calls: Sequence[Call]) -> list[Any]:
        """The answers to the first calls, as many as the node takes in one request."""
        if self._clock() > self._relearn_at:
            self.limits.batch, self._relearn_at = self._batch_size, math.inf
        size = min(self.limits.batch, len(calls))
        bare = self.limits.batch == 1
        learnt = False
        while True:
            try:
                results = await self._request(calls[:size], bare=bare)
            except _Refused as refused:
                if refused.kind in _AT_ANY_SIZE:
                    raise
                if size > 1:
                    learnt = learnt or refused.kind in (Kind.BATCH, Kind.OTHER)
                    words = refused.failure.message if refused.kind is Kind.BATCH and refused.failure else ""
                    size = named_limit(words, size) or size // 2
                elif not bare and refused.kind in (Kind.BATCH, Kind.OTHER, Kind.PARAMS):
                    bare = True  # a node without batches takes no list of one either
                elif refused.failure is not None:
                    return [refused.failure]
                else:
                    raise
                continue
            if size < self.limits.batch and (learnt or bare):
                self.limits.batch, self._relearn_at = size, self._clock() + LEARNT_FOR
                self.limits.notes["batch"] = f"takes at most {size} calls in a request"
            return results

    async def _request(self, calls: Sequence[Call], *, bare: bool) -> list[Any]:
        """The answers to all the calls, sent as a list, or ``bare``: one as an object."""
        body = _encoded(calls, bare=bare)
        what = calls[0][0] if len(calls) == 1 else f"a batch of {len(calls)}"
        try:
            response = await self.transport.post(body, len(calls))
        except TooLarge:
            raise self._too_large(what, f"has more than {self._max_answer_bytes} bytes") from None
        except Dropped as error:
            lost = ChainUnreachable(f"{self.name}: the connection broke off ({error})")
            if any(method == "eth_getLogs" for method, _ in calls):  # rather the search's fault than the number's
                raise _Refused(Kind.RESULTS, lost) from None
            # Some close the connection on a batch that is too large (Erigon did until 2025).
            raise _Refused(Kind.BATCH if len(calls) > 1 else Kind.OTHER, lost) from None
        answers = await asyncio.to_thread(read_body, response.body, self._max_answer_bytes)
        if isinstance(answers, Unreadable) and "more than" in answers:
            raise self._too_large(what, answers)
        if isinstance(answers, dict) and len(calls) == 1 and "result" in answers:
            answers = [answers]
        if isinstance(answers, list) and _is_answer(answers, len(calls)) and response.status < 300:
            return self._match(calls, answers)
        raise self._whole(what, response, answers, calls)

    def _too_large(self, what: str, reason: str) -> _Refused:
        error = ChainNonsense(f"{self.name}: the answer {reason}", code="answer_too_large")
        return _Refused(Kind.RESULTS, error, RpcFailure(what, -32020, f"response too large: the answer {reason}"))

    def _whole(self, what: str, response: Response, answers: Any, calls: Sequence[Call]) -> Exception:
        """The refusal of a whole request: by its error object, else by its text and HTTP status."""
        size = len(calls)
        objects = answers if isinstance(answers, list) else [answers]
        errors = (one.get("error") for one in objects if isinstance(one, dict))
        given = next((error for error in errors if error and isinstance(error, dict | str)), None)
        status = response.status
        if given is not None:
            failure = read_failure(given, what, status, self.transport.hide)
            meaning = classify(what if size == 1 else "", failure.code, failure.message, status)
            if meaning.kind is Kind.KEY and status < 300 and size > 1:
                meaning = Meaning(Kind.OTHER)
            pause = response.retry_after or _worded_pause(failure, [method for method, _ in calls])
            return _Refused(meaning.kind, as_error(failure, self.name), failure, pause)
        if isinstance(answers, Unreadable) or status >= 300:
            return self._text(what, response, answers, size)
        return ChainNonsense(f"{self.name}: expected {size} answers to a batch, got {show(answers)}")

    def _text(self, what: str, response: Response, answers: Any, size: int) -> Exception:
        """A page, a word, or nothing, in the place of JSON-RPC."""
        status = response.status
        text = " ".join(response.body[:4096].decode("utf-8", "replace").split())
        plain = "" if text.startswith("<") else self.transport.hide(text)[:SHOWN]
        kind = classify(what if size == 1 else "", 0, plain, status).kind
        said = f"expected HTTP 200, got {status}"
        if 300 <= status < 400:
            to = self.transport.hide(response.location) or "nowhere"
            fix = f"Set ORCHESTRATOR_RPC_URL to the address that it redirects to ({to}): redirects are not followed."
            return ChainNonsense(f"{self.name}: {said}: it redirects to {to}", code="rpc_http", fix=fix)
        error: ChainError
        if status < 300:
            reason = f"the answer {answers}" if isinstance(answers, Unreadable) else "the answer is no JSON-RPC"
            error = ChainUnreachable(f"{self.name}: {reason}", code="answer_unreadable")
            kind = Kind.UNWELL if kind in (Kind.OTHER, Kind.PARAMS) else kind
        elif kind in PASSING:
            code = "rpc_overload" if kind is Kind.RATE else None
            error = ChainUnreachable(f"{self.name}: {said}", code=code)
        else:
            hint = " (is the API key in the URL right?)" if status in (401, 403) else ""
            error = ChainNonsense(f"{self.name}: {said}{hint}", code="rpc_http")
        if kind is Kind.PARAMS or (kind is Kind.OTHER and status == 400) or (status == 413 and size > 1):
            kind = Kind.BATCH
        if kind is Kind.OTHER:
            return error
        # A page is never shown, nor a text with a path: it may repeat the request, with its key.
        words = f"HTTP {status}: {plain if '/' not in plain else ''}"
        shown = RpcFailure(what, 0, words, status) if size > 1 or what == "eth_getLogs" else None
        return _Refused(kind, error, shown, response.retry_after)

    def _match(self, calls: Sequence[Call], answers: Sequence[Any]) -> list[Any]:
        """The answers to their calls, by their ids."""
        found: dict[int, dict[str, Any]] = {}
        for answer in answers:
            given = answer.get("id")
            number = given
            if given is None and answer.get("error"):  # of one call, and of which is not told: parts show it
                failure = read_failure(answer["error"], f"a batch of {len(calls)}", 200, self.transport.hide)
                limited = classify("", failure.code, failure.message).kind is Kind.BATCH
                raise _Refused(Kind.BATCH if limited else Kind.RESULTS, as_error(failure, self.name), failure)
            if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 10:
                number = int(given)
                self.limits.notes["ids"] = "answers ids as text: a gateway changes them"
            if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= len(calls):
                raise ChainNonsense(
                    f"{self.name}: expected the ids 1 to {len(calls)} in the answers, got {show(given)}: a gateway "
                    "before the node changes them"
                )
            if number in found:
                raise ChainNonsense(f"{self.name}: two answers have the id {number}")
            found[number] = answer
        return [self._result(method, found[number]) for number, (method, _) in enumerate(calls, 1)]

    def _result(self, method: str, answer: dict[str, Any]) -> Any:
        if answer.get("error") is not None:
            if not isinstance(answer["error"], dict | str):
                raise ChainNonsense(f"{self.name}: {method}: expected an error object, got {show(answer['error'])}")
            return read_failure(answer["error"], method, 200, self.transport.hide)
        if "result" not in answer:
            raise ChainNonsense(f"{self.name}: {method}: neither a result nor an error")
        if answer["result"] is None and method == "eth_getLogs":
            self.limits.notes["null_logs"] = "answers null for an empty list of logs"
            return []
        return answer["result"]


def passing(call: Call, answer: Any) -> bool:
    """Whether another time, or another node, may answer the call otherwise."""
    method, params = call
    tag = params[0] if method == "eth_getBlockByNumber" else None
    if answer is None:
        return tag == "latest"  # every chain has one: this node is not ready
    if not isinstance(answer, RpcFailure) or not answer.passing:
        return False
    # That there is no finalized block is how nodes say that they know of none: that does not pass.
    return not (answer.kind is Kind.BEHIND and tag in ("finalized", "safe"))


def _worded_pause(failure: RpcFailure, methods: Sequence[str]) -> float | None:
    """Seconds that the node's sentence asks for; None where a contract may have written it."""
    seconds = None if any(map(executes, methods)) else named_pause(failure.message)
    return None if seconds is None else min(seconds, _LONGEST_WORDED_PAUSE)


class Unreadable(str):
    """What is wrong with a body that is no JSON."""

    __slots__ = ()


def _encoded(calls: Sequence[Call], *, bare: bool) -> bytes:
    """The calls as web3 writes them, with the ids 1, 2, …: a list, or ``bare``: one as an object."""
    with lazy_py_ecc():  # here: the command line answers --help without it
        from web3.providers.async_base import AsyncJSONBaseProvider

    writer = AsyncJSONBaseProvider()
    writer.request_counter = itertools.count(1)
    if bare:
        ((method, params),) = calls
        return writer.encode_rpc_request(cast("RPCEndpoint", method), params)
    return writer.encode_batch_rpc_request(cast("list[tuple[RPCEndpoint, Any]]", list(calls)))


def read_body(body: bytes, limit: int) -> Any:
    """The body's JSON, or Unreadable: raises nothing. For a thread.

    Some nodes name a member of a block or transaction twice, so that is no failure here.
    """
    try:
        return read_json(body, max_bytes=limit, max_values=_MAX_VALUES, unique=False)
    except MalformedJson as error:
        return Unreadable(error)


def _is_answer(answers: Sequence[Any], size: int) -> bool:
    """Whether a list is an answer to each call; a list of errors without ids is the whole batch's refusal."""
    if len(answers) != size or not all(isinstance(one, dict) for one in answers):
        return False
    return not all(one.get("id") is None and one.get("error") for one in answers)
