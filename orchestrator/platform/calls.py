"""What all calls of the client share: the session, reading an answer, and the code of a 404."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from orchestrator.errors import MalformedAnswer, PlatformRefused, UnsupportedChain
from orchestrator.platform.answers import Refusal, parse_json, uncertain
from orchestrator.platform.clock import Clock, SystemClock
from orchestrator.platform.session import Session
from orchestrator.platform.settings import PlatformSettings
from orchestrator.platform.transport import Answer
from orchestrator.platform.wire import Model, read
from orchestrator.request_signing.http_signature import RequestKeySource

__all__ = ["Calls", "missing_as"]


class Calls:
    """One session with the platform, and how its answers are read."""

    def __init__(
        self, settings: PlatformSettings, *, clock: Clock | None = None, request_keys: RequestKeySource | None = None
    ) -> None:
        """``request_keys``: managed request-signing keys, for settings without one of their own."""
        self._settings = settings
        self._clock = clock or SystemClock()
        self._session = Session(settings, self._clock, request_keys)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._session.close()

    def _what(self, method: str, segments: Sequence[str]) -> str:
        return str(self._session.describe(method, segments))

    def _value(self, answer: Answer, method: str, segments: Sequence[str]) -> tuple[Any, str]:
        """An answer's JSON and the words for its call, as ``read`` takes them."""
        call = self._session.describe(method, segments)
        return parse_json(answer, call), str(call)

    def _taken(self, model: type[Model], answer: Answer, method: str, segments: Sequence[str]) -> Model:
        """The answer to a modifying call. Raises UncertainAnswer where it cannot be read (malformed, a wallet on
        another kind of chain): the call has been taken."""
        try:
            return read(model, *self._value(answer, method, segments))
        except (MalformedAnswer, UnsupportedChain) as error:
            raise uncertain(error) from None

    def _same(
        self, actual: str, expected: str, method: str, segments: Sequence[str], *, field_name: str = "id"
    ) -> None:
        if actual != expected:
            raise MalformedAnswer(
                f"{self._what(method, segments)}: field {field_name}: expected {expected}, got {actual}"
            )

    async def _get(self, segments: Sequence[str], *, missing: str) -> Any:
        try:
            value, _ = await self._session.json("GET", segments)
        except Refusal as refusal:
            raise missing_as(refusal, missing) from None
        return value

    async def _modify(self, method: str, segments: Sequence[str], key: str) -> Answer:
        return await self._session.call(method, segments, key=key)


def missing_as(refusal: Refusal, code: str) -> PlatformRefused:
    return refusal.recoded(code) if refusal.status == 404 else refusal
