"""Tries, against a given platform, each choice that its documentation leaves open, and says what works."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import PlatformRefused, SettingsError
from orchestrator.platform.answers import Refusal
from orchestrator.platform.clock import SystemClock
from orchestrator.platform.session import Session
from orchestrator.platform.settings import DEFAULT_COMPONENTS, PlatformSettings
from orchestrator.platform.transport import Answer

__all__ = ["ProbeResult", "probe"]

SIGNATURE_CODES = ("request_signature_refused", "platform_unauthorized", "platform_forbidden", "clock_skew")
FIELDS = ("content-digest", "content-type", "idempotency-key")
COMPONENTS = (
    DEFAULT_COMPONENTS,
    ("@method", "@target-uri", *FIELDS),
    ("@method", "@target-uri", "content-digest"),
    ("@method", "@authority", "@path", "authorization", *FIELDS),
    ("@method", "@authority", "@path", "@query", "authorization", *FIELDS),
    ("@method", "@authority", "@target-uri", "authorization", *FIELDS),
    ("@method", "@path", "content-digest"),
    ("@method", "@request-target", "authorization", *FIELDS),
)
LABELS = ("sig", "sig1", "sig-b26")


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What works: settings, and remarks for the reader."""

    settings: PlatformSettings
    remarks: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """The settings as environment variables."""
        one = self.settings
        return {
            "ORCHESTRATOR_COVERED_COMPONENTS": ",".join(one.covered_components),
            "ORCHESTRATOR_SIGNATURE_LABEL": one.signature_label,
            "ORCHESTRATOR_DIGEST_ALGORITHM": one.digest_algorithm,
        }


class Probe:
    """Tries choices one after the other; each attempt is one or two requests."""

    def __init__(self, settings: PlatformSettings, session: Session, report: Callable[[str], None]) -> None:
        self.settings = settings
        self.session = session
        self.report = report
        self.remarks: list[str] = []

    async def ask(
        self, settings: PlatformSettings, method: str, *segments: str, body: Any = None, **query: str
    ) -> Answer:
        self.session.use_signature_settings(settings)
        key = None if method == "GET" else str(uuid.uuid4())
        return await self.session.call(method, segments, query=tuple(query.items()), body=body, key=key)

    async def signature(self) -> None:
        """By GET /accounts: which components and which label are taken."""
        self.report("reading GET /accounts under each choice of covered components and label")
        first = self.settings
        labels = dict.fromkeys((first.signature_label, *LABELS))
        lists = dict.fromkeys((first.covered_components, *COMPONENTS))
        for components in lists:
            for label in labels:
                tried = replace(first, covered_components=components, signature_label=label)
                try:
                    await self.ask(tried, "GET", "accounts")
                except PlatformRefused as refusal:
                    if refusal.code == "clock_skew" or refusal.code not in SIGNATURE_CODES:
                        raise
                    self.report(f"  no:  {' '.join(components)} as {label}")
                    continue
                self.report(f"  yes: {' '.join(components)} as {label}")
                self.settings = tried
                return
        raise _nothing("no choice of covered components and label is accepted: check the signing key and its id")

    async def digests(self) -> None:
        """By POST …/challenge/sign of an account that does not exist: 404 means that the digest was taken."""
        nobody = str(uuid.uuid4())
        self.report(f"sending POST /accounts/{nobody}/challenge/sign (no such account) under each digest algorithm")
        signer = f"eip155:1:0x{'0' * 40}"
        body = {"ownerId": signer, "chainId": signer, "challenge": "YQ==", "signature": "YQ=="}
        for algorithm in dict.fromkeys((self.settings.digest_algorithm, "sha-256", "sha-512")):
            tried = replace(self.settings, digest_algorithm=algorithm)
            try:
                await self.ask(tried, "POST", "accounts", nobody, "challenge", "sign", body=body)
            except Refusal as refusal:
                if refusal.code in SIGNATURE_CODES:
                    self.report(f"  no:  {algorithm}")
                    continue
                self.report(f"  yes: {algorithm} (HTTP {refusal.status}, {refusal.words or 'no words'})")
            self.settings = tried
            return
        raise _nothing("neither sha-256 nor sha-512 is accepted as Content-Digest")

    async def changes(self, account_id: str) -> None:
        """Deactivates and activates one account, to see how PATCH answers."""
        for action in ("deactivate", "activate"):
            self.report(f"sending PATCH /accounts/{account_id}/{action}")
            answer = await self.ask(self.settings, "PATCH", "accounts", account_id, action)
            kind = "with a body" if answer.body.strip() else "without a body"
            self.remarks.append(f"PATCH {action} answers HTTP {answer.status} {kind}")


def _nothing(message: str) -> SettingsError:
    return SettingsError(message, code="request_signature_refused")


async def probe(
    settings: PlatformSettings, *, modify: bool, account_id: str | None, report: Callable[[str], None]
) -> ProbeResult:
    """Runs all probes. ``report`` is given a line for each request, before it is sent, and one for what it found.

    Raises SettingsError ``request_signature_refused`` where no choice works, and OrchestratorError. SIDE EFFECTS: logs
    in and reads; with ``modify`` one POST for an account that does not exist, and ``account_id`` (an active one) is
    deactivated and activated again, its cards too.
    """
    # Lists are read whole here.
    session = Session(replace(settings, max_answer_bytes=settings.max_list_bytes), SystemClock())
    one = Probe(settings, session, report)
    try:
        await one.signature()
        if modify:
            await one.digests()
            if account_id is not None:
                await one.changes(account_id)
        else:
            one.remarks.append("the digest algorithm was not tried: it needs a request with a body, see --yes-modify")
    finally:
        await session.close()
    return ProbeResult(one.settings, tuple(one.remarks))
