"""One authenticated, signed request to the platform, with the repeats that are safe, and no others.

read                    repeated on no answer, on 5xx, 429 and on what is no JSON; with jittered backoff, within a
                        small budget
modifying call          repeated only where it was surely not sent; after a refused token or signature (it was not
                        processed) with another token, by another time of the platform's, or with another
                        request-signing key, where there is one; after 409 (its key is in flight) with the SAME key;
                        all else is for the caller to read back

Before each try of a call that has a permit, the first or a repeat, the permit is asked, with nothing between its answer
and the sending.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from orchestrator.errors import (
    MalformedAnswer,
    PlatformRefused,
    PlatformUnreachable,
    SettingsError,
    UncertainAnswer,
)
from orchestrator.models import to_uuid
from orchestrator.platform.answers import (
    Refusal,
    about_signature,
    broken,
    expect_success,
    in_flight,
    parse_json,
    parsed,
    refusal_of,
    retry_after,
    uncertain,
)
from orchestrator.platform.auth import Token, TokenKeeper, read_token
from orchestrator.platform.clock import Clock
from orchestrator.platform.current_request_key import CurrentRequestKey
from orchestrator.platform.platform_clock import PlatformClock
from orchestrator.platform.settings import PlatformSettings
from orchestrator.platform.transport import Answer, Call, Http, ItemReader, canonical_url
from orchestrator.ports.platform import Permit
from orchestrator.request_signing.http_signature import RequestKeySource, RequestSigner

__all__ = ["Session"]

_WRITING = ("POST", "PUT", "PATCH", "DELETE")
_KEY_CHANGES = 8
"""How many changes of the request-signing key one request can live through."""


class Session:
    """Token, signature and connection for all calls of one client."""

    def __init__(self, settings: PlatformSettings, clock: Clock, request_keys: RequestKeySource | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._base = canonical_url(settings.base_url.rstrip("/"))
        self._host = urlsplit(self._base).netloc
        self._path = urlsplit(self._base).path.rstrip("/")
        self._api_key = settings.api_key
        self._api_secret = settings.api_secret
        self.signing_key = CurrentRequestKey(settings, request_keys)
        self._http = Http(
            tls=self._base.startswith("https://"),
            timeout_seconds=settings.timeout_seconds,
            connect_timeout_seconds=settings.connect_timeout_seconds,
            keepalive_seconds=settings.keepalive_seconds,
            max_connections=settings.max_connections,
            max_answer_bytes=settings.max_answer_bytes,
            max_list_bytes=settings.max_list_bytes,
        )
        self.tokens = TokenKeeper(
            self._login, clock, margin=settings.refresh_margin_seconds, hold=settings.login_hold_seconds
        )
        self.platform_clock = PlatformClock(clock, timedelta(seconds=settings.clock_tolerance_seconds))
        self.shown_as: dict[str, str] = {}
        """What is shown in the place of texts that the platform may quote and nobody is to read."""
        self._random = random.SystemRandom()

    def use_signature_settings(self, settings: PlatformSettings) -> None:
        """Signs as these settings say from now on; for the probe, which tries one after the other."""
        self._settings = settings
        self.signing_key.use_settings(settings)

    async def close(self) -> None:
        await self.tokens.close()
        await self._http.close()

    # --- calls -----------------------------------------------------------------------------------------------------

    def describe(self, method: str, segments: Sequence[str]) -> Call:
        path = self._path + "".join(f"/{quote(segment, safe='')}" for segment in segments)
        return Call(method, self._host, path, modifying=method in _WRITING)

    async def call(
        self,
        method: str,
        segments: Sequence[str],
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
        key: str | None = None,
        permit: Permit = nullcontext,
        items: Callable[[Answer], ItemReader] | None = None,
        own_conflict: bool = False,
        signed: bool = True,
    ) -> Answer:
        """A 2xx answer. ``body`` is sent as JSON; ``key`` is the idempotency key, which every modifying call needs.
        ``items``, ``own_conflict``, ``signed``: see ``Call``.

        Raises Refusal (a PlatformRefused) for 4xx, PlatformUnreachable, UncertainAnswer, MalformedAnswer, and what
        ``permit`` raises.
        """
        call = replace(self.describe(method, segments), items=items, own_conflict=own_conflict, signed=signed)
        if call.modifying == (key is None):
            raise AssertionError(f"{call}: a modifying call needs an idempotency key, a read must have none")
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "offblocks-orchestrator"}
        if key is not None:
            headers["Idempotency-Key"] = to_uuid(key, "idempotency key")
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, separators=(",", ":")).encode()
        parts = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
        url = canonical_url(f"{self._base}{call.path[len(self._path) :]}" + (f"?{parts}" if parts else ""))
        return await self._settled(call, url, headers, content, permit)

    async def json(
        self, method: str, segments: Sequence[str], *, query: Sequence[tuple[str, str]] = ()
    ) -> tuple[Any, Answer]:
        """A read's JSON, and the answer that it came in."""
        answer = await self.call(method, segments, query=query)
        return parse_json(answer, self.describe(method, segments)), answer

    async def _settled(
        self, call: Call, url: str, headers: dict[str, str], content: bytes | None, permit: Permit
    ) -> Answer:
        """Repeats a request whose idempotency key is in flight, with the same key, a bounded number of times."""
        for attempt in itertools.count(1):
            answer = await self._repeated(call, url, headers, content, permit)
            if answer.status < 400:
                return expect_success(answer, call)
            if answer.status >= 500:
                raise broken(answer, call)
            refusal = self._refusal(answer, call)
            if not in_flight(refusal, call):
                raise refusal
            if attempt >= self._settings.in_flight_attempts:
                break
            wait = retry_after(answer, most=2.0)
            await self._clock.sleep(self._backoff(attempt) if wait is None else wait)
        raise UncertainAnswer(
            f"{call}: the first request with this idempotency key is still in flight after {attempt} tries: "
            f"repeat it later with the SAME key ({refusal.words or 'HTTP 409'})",
            code="idempotency_in_flight",
        )

    async def _repeated(
        self, call: Call, url: str, headers: dict[str, str], content: bytes | None, permit: Permit
    ) -> Answer:
        """The safe repeats after trouble on the way."""
        settings = self._settings
        attempts = settings.attempts if settings.retry_reads or call.modifying else 1
        until = self._clock.monotonic() + settings.retry_budget_seconds
        for attempt in itertools.count(1):
            answer: Answer | None = None
            failure: PlatformUnreachable | MalformedAnswer | None = None
            pause = self._backoff(attempt)
            try:
                answer = await self._authorised(call, url, headers, content, permit)
            except PlatformUnreachable as error:
                failure = error
            except MalformedAnswer as error:
                if call.items is None:
                    raise
                failure = error  # a garbled list, found while it was read
            else:
                if call.modifying:
                    return answer
                whole = None if answer.status >= 500 or answer.status == 429 else parsed(answer, call)
                if whole is not None:
                    return whole
                pause = retry_after(answer, most=settings.retry_budget_seconds) or pause
            if attempt >= attempts or self._clock.monotonic() + pause > until:
                break
            await self._clock.sleep(pause)
        if answer is not None:
            return answer
        assert failure is not None, f"{call}: neither an answer nor a failure"
        raise failure

    async def _authorised(
        self, call: Call, url: str, headers: dict[str, str], content: bytes | None, permit: Permit
    ) -> Answer:
        """One request with a token and a signature; after a refusal of either again, with another token or by another
        time of the platform's (once each), or with another key."""
        token, renewed, dated_again = await self.tokens.token(), False, False
        keys, needed = self.signing_key, self._needs_signature(call)
        for attempt in itertools.count(1):
            answer, signer, followed = await self._signed(call, url, headers, content, permit, token)
            signature = answer.status in (400, 401) and about_signature(refusal_of(answer, call, self.scrub))
            if not signature and answer.status != 401:
                break
            if not renewed and not signature:
                token, renewed = await self.tokens.token(refused=token), True
            elif not dated_again and self.platform_clock.learned_again(answer, followed):
                dated_again = True
            elif not call.signed or attempt > _KEY_CHANGES or not await keys.replace_refused(signer, needed=needed):
                break
        return answer

    async def _signed(
        self, call: Call, url: str, headers: dict[str, str], content: bytes | None, permit: Permit, token: str
    ) -> tuple[Answer, RequestSigner | None, timedelta]:
        """The answer, what the request was signed with, and the offset that its signature was dated by."""
        complete = headers | {"Authorization": f"Bearer {token}"}
        signer = await self.signing_key.signer(needed=self._needs_signature(call)) if call.signed else None
        async with permit():
            followed = self.platform_clock.followed
            if signer is not None:
                complete = signer.sign(call.method, url, complete, content, created=self.platform_clock.signing_time())
            try:
                answer = await self._http.exchange(call, url, complete, content)
            except MalformedAnswer as error:
                if call.modifying:
                    raise uncertain(error) from None
                raise
        self.platform_clock.note(answer)
        return answer, signer, followed

    def _needs_signature(self, call: Call) -> bool:
        return not call.path.startswith(f"{self._path}/auth/")

    # --- login -----------------------------------------------------------------------------------------------------

    async def _login(self) -> Token:
        """SIDE EFFECTS: ``POST /auth/token``. It changes nothing that matters, so a malformed answer is asked for
        again, like a read's."""
        for attempt in range(1, self._settings.attempts if self._settings.retry_reads else 1):
            try:
                return await self._login_once()
            except MalformedAnswer:
                await self._clock.sleep(self._backoff(attempt))
        return await self._login_once()

    async def _login_once(self) -> Token:
        call = Call("POST", self._host, f"{self._path}/auth/token", modifying=False)
        secret = self._api_secret.get_secret_value()
        content = json.dumps({"apiKey": self._api_key, "apiSecret": secret}).encode()
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "offblocks-orchestrator",
        }
        url = canonical_url(f"{self._base}/auth/token")
        answer = await self._http.exchange(call, url, headers, content)
        self.platform_clock.note(answer)
        if answer.status in (429, 408, 425) or answer.status >= 500:
            raise PlatformUnreachable(f"{call}: no login now, HTTP {answer.status}; it may be tried again")
        if answer.status == 404:
            raise SettingsError(
                f"{call}: HTTP 404, the platform has no login there: ORCHESTRATOR_PLATFORM_URL must be the API's base "
                f"URL and needs /v1, such as https://host/v1; its path is {self._path or 'empty'}",
                code="platform_url",
            )
        if answer.status >= 400:
            refusal = refusal_of(answer, call, self.scrub)
            raise PlatformRefused(
                f"{refusal.message}: the platform refuses the API key {self._api_key} with its secret; "
                f"check both, and that they belong to this environment",
                status=answer.status,
                code="platform_login_refused",
            )
        return read_token(expect_success(answer, call), call)

    # --- answers ---------------------------------------------------------------------------------------------------

    def scrub(self, text: str) -> str:
        """``text`` without the API secret, the token and what is ``shown_as`` something else, should the platform quote
        them."""
        for quoted, instead in self.shown_as.items():
            text = text.replace(quoted, instead)
        for secret in (self._api_secret.get_secret_value(), self.tokens.known()):
            if secret:
                text = text.replace(secret, "[secret]")
        return text

    def _refusal(self, answer: Answer, call: Call) -> Refusal:
        refusal = refusal_of(answer, call, self.scrub)
        signature = about_signature(refusal)
        if answer.status not in (401, 403) and not signature:
            return refusal
        offset = self.platform_clock.offset
        if offset is not None and self.platform_clock.beyond_tolerance:
            ours = datetime.fromtimestamp(answer.received_at, UTC)
            return refusal.recoded(
                "clock_skew",
                f"the platform's clock says {(ours + offset).isoformat(timespec='seconds')}, this machine's "
                f"{ours.isoformat(timespec='seconds')}: set this machine's clock (NTP), then run it again",
            )
        if answer.status == 403:
            return refusal
        return refusal.recoded(
            "request_signature_refused" if signature else "platform_unauthorized",
            "no token helps: check the request-signing key, its id and what signatures must cover",
        )

    def _backoff(self, attempt: int) -> float:
        """Full jitter, doubling up to one second."""
        return self._random.uniform(0, min(1.0, self._settings.backoff_seconds * 2 ** (attempt - 1)))
