"""Tries, against a given platform, each choice that its documentation leaves open, and says what works.

The published choice comes first. A refusal ends nothing: what could not be settled is told with the rest.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.errors import MalformedAnswer, PlatformRefused, PlatformUnreachable, SettingsError, UncertainAnswer
from orchestrator.platform.answers import parse_json
from orchestrator.platform.clock import SystemClock
from orchestrator.platform.session import Session
from orchestrator.platform.settings import DEFAULT_COMPONENTS, PlatformSettings
from orchestrator.platform.transport import Answer
from orchestrator.request_signing.http_signature import RequestKeySource

__all__ = ["SETTLED", "ProbeResult", "probe"]

SETTLED: Final = ("covered_components", "signature_label", "digest_algorithm")
"""The settings of the table ``[platform]`` that are tried."""
SIGNATURE_CODES: Final = ("request_signature_refused", "platform_unauthorized", "clock_skew")
FIELDS: Final = ("content-digest", "content-type", "idempotency-key")
COMPONENTS: Final = (
    DEFAULT_COMPONENTS,
    ("@method", "@authority", "@path", "content-digest"),
    ("@method", "@target-uri", "authorization", *FIELDS),
    ("@method", "@target-uri", "content-digest"),
    ("@method", "@authority", "@path", "authorization", *FIELDS),
    ("@method", "@authority", "@target-uri", "authorization", *FIELDS),
    ("@method", "@path", "content-digest"),
    ("@method", "@request-target", "authorization", *FIELDS),
)
"""The published choice, the one of the platform's request script, then what other platforms take."""
LABELS: Final = ("sig", "sig1", "sig-b26")
DIGESTS: Final = ("sha-512", "sha-256")


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What works: settings, remarks for the reader, and what was tried and could not be told."""

    settings: PlatformSettings
    remarks: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """The settings as environment variables."""
        found = {name: getattr(self.settings, name) for name in SETTLED}
        return {
            f"ORCHESTRATOR_{name.upper()}": ",".join(value) if isinstance(value, tuple) else value
            for name, value in found.items()
        }

    def toml(self) -> str:
        """The settings as the table of the settings file."""
        lines = [f"{name} = {json.dumps(getattr(self.settings, name))}" for name in SETTLED]
        return "\n".join(("[platform]", *lines))


class Probe:
    """Tries choices one after the other. What is sent is reported before it is sent, and then how it was answered."""

    def __init__(self, settings: PlatformSettings, session: Session, report: Callable[[str], None]) -> None:
        self.settings = settings
        self.session = session
        self.report = report
        self.remarks: list[str] = []
        self.unsettled: list[str] = []
        self._unanswered = 0

    async def ask(
        self, settings: PlatformSettings, method: str, *segments: str, body: Any = None
    ) -> Answer | PlatformRefused | str:
        """The answer, the refusal, or in words why it is neither. Raises what no other choice can help: a refused
        login, and PlatformUnreachable for the second time in a row."""
        digest = "" if body is None else f", {settings.digest_algorithm}"
        self.report(
            f"sending {method} /{'/'.join(segments)}, signed: {' '.join(settings.covered_components)}; "
            f"label {settings.signature_label}{digest}"
        )
        self.session.use_signature_settings(settings)
        try:
            answer = await self.session.call(
                method, segments, body=body, key=None if method == "GET" else str(uuid.uuid4())
            )
        except PlatformRefused as refusal:
            if refusal.code == "platform_login_refused":
                raise
            self._unanswered = 0
            self.report(f"  {refusal.message}")
            return refusal
        except (PlatformUnreachable, MalformedAnswer, UncertainAnswer) as error:
            self._unanswered += isinstance(error, PlatformUnreachable)
            if self._unanswered > 1:
                raise
            self.report(f"  {error.message}")
            return error.message
        self._unanswered = 0
        self.report(f"  HTTP {answer.status}")
        return answer

    def choices(self) -> Iterable[PlatformSettings]:
        """The published one, the one in the settings, the others; other labels last."""
        labels = dict.fromkeys((LABELS[0], self.settings.signature_label, *LABELS))
        lists = dict.fromkeys((COMPONENTS[0], self.settings.covered_components, *COMPONENTS))
        for label in labels:
            for components in lists:
                yield replace(self.settings, covered_components=components, signature_label=label)

    async def signature(self) -> None:
        """By GET /accounts: which components and which label are taken. What lists look like is seen on the way."""
        last, other = "", ""
        for tried in self.choices():
            answer = await self.ask(tried, "GET", "accounts")
            if isinstance(answer, Answer):
                self.settings = tried
                self._look_at_list(answer)
                return
            if isinstance(answer, PlatformRefused) and answer.code in SIGNATURE_CODES:
                last = answer.message
            else:
                other = other or (answer if isinstance(answer, str) else answer.message)
        seen = f"one answer is about something else: {other}" if other else f"the last answer: {last}"
        raise SettingsError(
            "no choice of covered components and label is accepted, so what a signature must cover, its label and the "
            f"digest are not settled; {seen}. Check the request-signing key, its id and this machine's clock",
            code="request_signature_refused",
        )

    def _look_at_list(self, answer: Answer) -> None:
        try:
            value = parse_json(answer, self.session.describe("GET", ("accounts",)))
        except MalformedAnswer as error:
            self.unsettled.append(error.message)
            return
        if isinstance(value, list):
            self.remarks.append(f"GET /accounts answers an array, of {len(value)} account(s)")
        else:
            self.unsettled.append("GET /accounts answers no array, as the published file has it: lists cannot be read")

    async def bodies(self) -> None:
        """By POST …/challenge/sign of an account that does not exist: any refusal but that of the signature means that
        digest and components were taken."""
        nobody = str(uuid.uuid4())
        self.report(f"no account has the id {nobody}: nothing is changed")
        signer = f"eip155:1:0x{'0' * 40}"
        body = {"ownerId": signer, "chainId": signer, "challenge": "YQ==", "signature": "YQ=="}
        read = self.settings
        label = read.signature_label
        lists = dict.fromkeys((read.covered_components, *COMPONENTS))
        for components in lists:
            for digest in DIGESTS:
                tried = replace(read, covered_components=components, digest_algorithm=digest, signature_label=label)
                answer = await self.ask(tried, "POST", "accounts", nobody, "challenge", "sign", body=body)
                if isinstance(answer, str) or (isinstance(answer, PlatformRefused) and answer.code in SIGNATURE_CODES):
                    continue
                self.settings = tried
                if components == read.covered_components:
                    return
                # What a request with a body must cover is more than what a read must; it has to do for both.
                if not isinstance(await self.ask(tried, "GET", "accounts"), Answer):
                    self.unsettled.append("no choice of covered components is accepted with and without a body")
                    self.settings = read
                return
        self.unsettled.append("the digest of a body: none of the choices is accepted for a request with a body")

    async def changes(self, account_id: str) -> None:
        """Deactivates and activates one account, to see how PATCH answers. What was not deactivated here is not
        activated either."""
        for action in ("deactivate", "activate"):
            answer = await self.ask(self.settings, "PATCH", "accounts", account_id, action)
            if not isinstance(answer, Answer):
                words = answer if isinstance(answer, str) else answer.message
                self.unsettled.append(f"how PATCH {action} answers: {words}; look at {account_id}")
                return
            kind = "with a body" if answer.body.strip() else "without a body"
            self.remarks.append(f"PATCH {action} answers HTTP {answer.status} {kind}")

    def clock(self) -> None:
        """The platform's clock, by the last answer."""
        offset = self.session.platform_clock.offset
        if offset is None:
            self.remarks.append("the platform's answers have no Date: this machine's clock dates signatures")
        else:
            self.remarks.append(f"the platform's clock minus this machine's: {offset.total_seconds():.1f} s")


async def probe(
    settings: PlatformSettings,
    *,
    modify: bool,
    account_id: str | None,
    report: Callable[[str], None],
    request_keys: RequestKeySource | None = None,
) -> ProbeResult:
    """Runs all probes. ``report`` is given a line for each request before it is sent, and one for how it was answered.

    Raises SettingsError ``request_signature_refused`` where no choice works, PlatformRefused
    ``platform_login_refused``, and PlatformUnreachable. SIDE EFFECTS: logs in and reads; with ``modify`` POSTs for an
    account that does not exist, and ``account_id`` (an active one) is deactivated and activated again, its cards too.
    """
    # The answer is read whole here: its shape is what is asked.
    whole = replace(settings, max_answer_bytes=settings.max_list_bytes)
    session = Session(whole, SystemClock(), request_keys)
    one = Probe(whole, session, report)
    try:
        report("sending POST /auth/token")
        await session.tokens.token()
        await one.signature()
        if modify:
            await one.bodies()
            if account_id is not None:
                await one.changes(account_id)
        else:
            one.remarks.append("the digest was not tried: it needs a request with a body, see --yes-modify")
        one.clock()
    finally:
        await session.close()
    return ProbeResult(one.settings, tuple(one.remarks), tuple(one.unsettled))
