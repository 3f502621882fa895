"""What an answer of the platform means: bodies as strict JSON, refusals as PlatformRefused with a stable code."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator import foreign
from orchestrator.errors import (
    Disposition,
    MalformedAnswer,
    PlatformRefused,
    PlatformUnreachable,
    UncertainAnswer,
    UnsupportedChain,
)
from orchestrator.foreign import MalformedJson, read_json
from orchestrator.platform.transport import Answer, Call

__all__ = [
    "Refusal",
    "about_signature",
    "broken",
    "expect_json",
    "expect_success",
    "in_flight",
    "parse_json",
    "parsed",
    "refusal_of",
    "retry_after",
    "uncertain",
]

_CODE = re.compile(r"[a-z][a-z0-9_]{1,63}")
_REFUSED_SIGNATURE: Final = "invalid required signature"
"""What the middleware of the platform's verifier library answers, as plain text with HTTP 400."""
_BY_STATUS: Final = {
    400: "platform_bad_request",
    401: "platform_unauthorized",
    403: "platform_forbidden",
    404: "not_found",
    409: "platform_conflict",
    422: "idempotency_mismatch",
    429: "platform_rate_limited",
}
_PASSING_CONFLICTS: Final = frozenset({"operation_in_progress", "challenge_pending"})
_IN_FLIGHT_WORDS: Final = ("idempot", "in flight", "in-flight", "in_flight", "being answered")
_KNOWN_CONFLICTS: Final = _PASSING_CONFLICTS | {
    "account_closed",
    "account_exists",
    "already_exists",
    "challenge_expired",
    "challenge_mismatch",
    "customer_exists",
    "customer_not_active",
    "exists",
    "invalid_signature",
    "invalid_state",
    "signature_invalid",
    "signature_refused",
}
"""The platform's codes of a 409 that is about the account or customer. Any other 409 to a modifying call whose 409 has
no published meaning of its own says that the first request with this idempotency key is in flight (documentation
pages)."""


class Refusal(PlatformRefused):
    """A 4xx answer, with the platform's own words beside the stable code."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        words: str = "",
        platform_code: str = "",
        disposition: Disposition | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, disposition=disposition)
        self.words = words
        """The platform's code and message, shortened and without secrets; may be empty."""
        self.platform_code = platform_code

    def mentions(self, *parts: str) -> bool:
        """Whether the platform's words contain one of these."""
        text = self.words.lower()
        return any(part in text for part in parts)

    def recoded(self, code: str, remark: str = "") -> Refusal:
        """The same refusal under a more exact code."""
        message = f"{self.message}; {remark}" if remark else self.message
        return Refusal(
            message,
            status=self.status,
            code=code,
            words=self.words,
            platform_code=self.platform_code,
            disposition=self.disposition,
        )


def refusal_of(answer: Answer, call: Call, scrub: Callable[[str], str]) -> Refusal:
    """The refusal that a 4xx answer is. Its code: what the documentation says the status means for every call, then
    the platform's own where it is well-formed, then one for the status."""
    platform_code, words = _words(answer, scrub)
    code = _BY_STATUS.get(answer.status, "platform_refused")
    if answer.status in (400, 403, 409, 422) and platform_code:
        code = platform_code
    if answer.status == 422 and (not platform_code or "idempot" in words.lower()):
        code = "idempotency_mismatch"
    message = f"{call}: refused with HTTP {answer.status}" + (f": {words}" if words else "")
    if code == "idempotency_mismatch":
        message += "; the idempotency key was used before for another payload"
    busy = answer.status == 409 and platform_code in _PASSING_CONFLICTS
    passing = busy or answer.status in (408, 425, 429)
    return Refusal(
        message,
        status=answer.status,
        code=code,
        words=words,
        platform_code=platform_code,
        disposition=Disposition.RETRY if passing else None,
    )


def _words(answer: Answer, scrub: Callable[[str], str]) -> tuple[str, str]:
    """The platform's error code and its words. The shape of error bodies is silent in the documentation; plain text is
    words, too."""

    def text(found: object) -> str:
        return "".join(c if c.isprintable() else " " for c in scrub(str(found))).strip()[:300]

    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() in ("", "text/plain"):
        return "", text(answer.body[:4096].decode("utf-8", "replace"))
    try:
        value = read_json(answer.body, max_bytes=len(answer.body))  # the transport's limit holds
    except MalformedJson:
        return "", ""
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        value = value["error"]
    if not isinstance(value, dict):
        return "", ""

    def first(*names: str) -> str:
        return text(next((value[name] for name in names if isinstance(value.get(name), str)), ""))

    code = first("code", "error", "errorCode", "type")
    message = first("message", "detail", "description", "error_description", "title")
    words = ": ".join(part for part in (code, message if message != code else "") if part)
    normal = code.lower().replace("-", "_")
    return (normal if _CODE.fullmatch(normal) else ""), words


def expect_json(answer: Answer, call: Call) -> None:
    """Raises MalformedAnswer for another content type than JSON's."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise MalformedAnswer(
            f"{call}: header Content-Type: expected application/json, got {kind[:60]!r} (HTTP {answer.status})"
        )


def parse_json(answer: Answer, call: Call) -> Any:
    """The JSON of an answer. Raises MalformedAnswer for another content type, for what is no JSON (NaN, bytes outside
    of UTF-8 and too deep nesting included), and for an object that names a field twice."""
    if answer.json is not None:
        return answer.json[0]
    expect_json(answer, call)
    try:
        return read_json(answer.body, max_bytes=len(answer.body))  # the transport's limit holds
    except MalformedJson as error:
        raise MalformedAnswer(f"{call}: the answer {error} (HTTP {answer.status})") from None


def retry_after(answer: Answer, *, most: float) -> float | None:
    """Seconds that the answer asks to wait, at most ``most``; None where it asks for nothing readable."""
    return foreign.retry_after(answer.headers.get("retry-after", ""), most=most, now=datetime.now(UTC))


# --- what it says of the request ---------------------------------------------------------------------------------


def expect_success(answer: Answer, call: Call) -> Answer:
    """The answer, if it is a 2xx. Raises MalformedAnswer."""
    if not 200 <= answer.status < 300:
        raise MalformedAnswer(f"{call}: expected HTTP 2xx or an error, got {answer.status}")
    return answer


def broken(answer: Answer, call: Call) -> UncertainAnswer | PlatformUnreachable:
    """What a 5xx answer means: only a read may be repeated."""
    if call.modifying:
        return UncertainAnswer(
            f"{call}: HTTP {answer.status}; the request may have had its effect, so it must be read back"
        )
    return PlatformUnreachable(f"{call}: HTTP {answer.status}; a read, so it may be repeated")


def uncertain(error: MalformedAnswer | UnsupportedChain) -> UncertainAnswer:
    """What an answer to a modifying call that cannot be taken means: the call may have had its effect, whatever was to
    be said of it."""
    return UncertainAnswer(f"{error.message}; the request may have had its effect, so it must be read back")


def parsed(answer: Answer, call: Call) -> Answer | None:
    """The answer with its JSON, so that it is parsed once; None for a 2xx answer whose body is no JSON: cut short, or
    made by something on the way."""
    if not 200 <= answer.status < 300 or not answer.body.strip():
        return answer
    try:
        return replace(answer, json=(parse_json(answer, call),))
    except MalformedAnswer:
        return None


def in_flight(refusal: Refusal, call: Call) -> bool:
    """Whether a 409 says that the idempotency key is in flight; a repeat with the same key is always safe.

    Where the platform's words say so, or where the 409 of this call has no published meaning and the words name none.
    A 409 without words to a call that has one is for the caller to decide, by reading back.
    """
    if refusal.status != 409 or not call.modifying or refusal.platform_code in _KNOWN_CONFLICTS:
        return False
    return refusal.mentions(*_IN_FLIGHT_WORDS) or not call.own_conflict


def about_signature(refusal: Refusal) -> bool:
    """Whether a refusal is of the request's signature: then nothing was processed, and another token cannot help. Each
    call of a service with a wrong key would else make a login more."""
    if refusal.status == 400:
        return refusal.words.lower() == _REFUSED_SIGNATURE
    return (
        refusal.status == 401
        and refusal.mentions("signature", "signing", "digest", "keyid")
        and not refusal.mentions("token", "jwt", "bearer")
    )
