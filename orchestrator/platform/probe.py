"""Tries, against a given platform, each choice that its documentation leaves open, and says what works."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import MalformedAnswer, PlatformRefused, SettingsError
from orchestrator.platform.answers import Refusal, parse_json
from orchestrator.platform.clock import SystemClock
from orchestrator.platform.lists import says_more
from orchestrator.platform.session import Session
from orchestrator.platform.settings import DEFAULT_COMPONENTS, Pagination, PlatformSettings
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
PAGE_PARAMETERS = (("page", "size", 0), ("page", "limit", 1), ("page", "pageSize", 1), ("page", "perPage", 1))


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What works: settings, and remarks for the reader."""

    settings: PlatformSettings
    remarks: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """The settings as environment variables."""
        one = self.settings
        variables = {
            "ORCHESTRATOR_COVERED_COMPONENTS": ",".join(one.covered_components),
            "ORCHESTRATOR_SIGNATURE_LABEL": one.signature_label,
            "ORCHESTRATOR_DIGEST_ALGORITHM": one.digest_algorithm,
            "ORCHESTRATOR_PAGINATION": str(one.pagination),
            "ORCHESTRATOR_LIST_FIELD": one.list_field,
        }
        if one.pagination is Pagination.PAGE:
            variables["ORCHESTRATOR_PAGE_PARAMETER"] = one.page_parameter
            variables["ORCHESTRATOR_PAGE_SIZE_PARAMETER"] = one.page_size_parameter
            variables["ORCHESTRATOR_FIRST_PAGE"] = str(one.first_page)
        if one.pagination is Pagination.CURSOR:
            variables["ORCHESTRATOR_CURSOR_PARAMETER"] = one.cursor_parameter
            variables["ORCHESTRATOR_CURSOR_FIELD"] = one.cursor_field
        return variables


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

    async def lists(self) -> None:
        """By GET /accounts: where the array is, and whether it is cut into pages."""
        self.report("reading GET /accounts for its shape")
        answer = await self.ask(self.settings, "GET", "accounts")
        value = parse_json(answer, self.session.describe("GET", ("accounts",)))
        field = ""
        if isinstance(value, Mapping):
            arrays = [name for name, item in value.items() if isinstance(item, list)]
            if len(arrays) != 1:
                raise MalformedAnswer(f"GET /accounts: expected one array in the answer, its fields are {list(value)}")
            field = arrays[0]
        self.settings = replace(self.settings, list_field=field)
        items = value[field] if field else value
        cursors = [name for name in (value if field else ()) if "cursor" in name.lower() or "token" in name.lower()]
        more = says_more(value, answer)
        if cursors:
            self.settings = replace(self.settings, pagination=Pagination.CURSOR, cursor_field=cursors[0])
            self.remarks.append("the name of the cursor's query parameter is a guess: check it with a full first page")
        elif len(items) > 1 or more:
            await self._numbered(len(items))
        else:
            self.remarks.append(f"{len(items)} account(s): too few to say whether lists are cut into pages")
        self.report(
            f"  list in {field or 'the answer itself'}, {len(items)} account(s), pagination {self.settings.pagination}"
        )

    async def _numbered(self, whole: int) -> None:
        """Asks for pages of one account: only a platform that knows the parameters answers with one."""
        for page, size, start in PAGE_PARAMETERS:
            try:
                answer = await self.ask(self.settings, "GET", "accounts", **{page: str(start), size: "1"})
            except PlatformRefused:
                continue
            value = parse_json(answer, self.session.describe("GET", ("accounts",)))
            items = value.get(self.settings.list_field, []) if isinstance(value, dict) else value
            if len(items) == 1 and whole > 1:
                self.settings = replace(
                    self.settings,
                    pagination=Pagination.PAGE,
                    page_parameter=page,
                    page_size_parameter=size,
                    first_page=start,
                )
                self.remarks.append("whether pages are counted from 0 or 1 is a guess: check it with two pages")
                return

    async def digests(self) -> None:
        """By POST …/challenge/sign of an account that does not exist: 404 means that the digest was taken."""
        nobody = str(uuid.uuid4())
        self.report(f"sending POST /accounts/{nobody}/challenge/sign (no such account) under each digest algorithm")
        body = {"chainId": f"eip155:1:0x{'0' * 40}", "challenge": "YQ==", "signature": "YQ=="}
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
    # Lists are read whole here: what they are cut into is what is asked.
    session = Session(replace(settings, max_answer_bytes=settings.max_list_bytes), SystemClock())
    one = Probe(settings, session, report)
    try:
        await one.signature()
        await one.lists()
        if modify:
            await one.digests()
            if account_id is not None:
                await one.changes(account_id)
        else:
            one.remarks.append("the digest algorithm was not tried: it needs a request with a body, see --yes-modify")
    finally:
        await session.close()
    return ProbeResult(one.settings, tuple(one.remarks))
