#!/usr/bin/env python3
"""Tries, against a given sandbox, each choice that the platform's documentation leaves open, and prints what works.

What it finds goes to stdout as environment lines (``ORCHESTRATOR_…=…``), ready for a file; what it does goes to
stderr, before it does it. Without ``--yes-modify`` it only logs in and reads.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import MalformedAnswer, OrchestratorError, PlatformRefused, SettingsError
from orchestrator.platform.answers import Refusal, parse_json
from orchestrator.platform.clock import SystemClock
from orchestrator.platform.lists import says_more
from orchestrator.platform.session import Session
from orchestrator.platform.settings import DEFAULT_COMPONENTS, Pagination, PlatformSettings, SecretStr
from orchestrator.platform.transport import Answer
from orchestrator.settings import load_settings

FOUND, NOTHING, USAGE, CANNOT_TELL = 0, 1, 2, 3
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

HELP_END = """\
settings (environment; secrets also as …_FILE):
  ORCHESTRATOR_PLATFORM_URL, ORCHESTRATOR_API_KEY, ORCHESTRATOR_API_SECRET,
  ORCHESTRATOR_SIGNING_KEY, ORCHESTRATOR_SIGNING_KEY_ID

exit codes:
  0  settings that work were found and printed
  1  the platform answers, but none of the choices works
  2  usage or settings
  3  it cannot be told: the platform is unreachable or refuses the login

example:
  ORCHESTRATOR_PLATFORM_URL=https://api.sandbox.offblocks.xyz/v1 … scripts/probe_platform.py > platform.env
"""


@dataclass(frozen=True)
class Found:
    """What works: settings, and remarks for the reader."""

    settings: PlatformSettings
    remarks: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """The environment lines."""
        one = self.settings
        yield f"ORCHESTRATOR_COVERED_COMPONENTS={','.join(one.covered_components)}"
        yield f"ORCHESTRATOR_SIGNATURE_LABEL={one.signature_label}"
        yield f"ORCHESTRATOR_DIGEST_ALGORITHM={one.digest_algorithm}"
        yield f"ORCHESTRATOR_PAGINATION={one.pagination}"
        yield f"ORCHESTRATOR_LIST_FIELD={one.list_field}"
        if one.pagination is Pagination.PAGE:
            yield f"ORCHESTRATOR_PAGE_PARAMETER={one.page_parameter}"
            yield f"ORCHESTRATOR_PAGE_SIZE_PARAMETER={one.page_size_parameter}"
            yield f"ORCHESTRATOR_FIRST_PAGE={one.first_page}"
        if one.pagination is Pagination.CURSOR:
            yield f"ORCHESTRATOR_CURSOR_PARAMETER={one.cursor_parameter}"
            yield f"ORCHESTRATOR_CURSOR_FIELD={one.cursor_field}"
        for remark in self.remarks:
            yield f"# {remark}"


def say(text: str) -> None:
    print(text, file=sys.stderr)


class Probe:
    """Tries choices one after the other; each attempt is one or two requests."""

    def __init__(self, settings: PlatformSettings, session: Session) -> None:
        self.settings = settings
        self.session = session
        self.remarks: list[str] = []

    async def ask(
        self, settings: PlatformSettings, method: str, *segments: str, body: Any = None, **query: str
    ) -> Answer:
        self.session.use_signature_settings(settings)
        key = None if method == "GET" else str(uuid.uuid4())
        return await self.session.call(method, segments, query=tuple(query.items()), body=body, key=key)

    async def signature(self) -> None:
        """By GET /accounts: which components and which label are taken."""
        say("reading GET /accounts under each choice of covered components and label")
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
                    say(f"  no:  {' '.join(components)} as {label}")
                    continue
                say(f"  yes: {' '.join(components)} as {label}")
                self.settings = tried
                return
        raise LookupError("no choice of covered components and label is accepted: check the signing key and its id")

    async def lists(self) -> None:
        """By GET /accounts: where the array is, and whether it is cut into pages."""
        say("reading GET /accounts for its shape")
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
            self.remarks.append(f"{len(items)} account(s): too few to tell whether lists are cut into pages")
        say(f"  list in {field or 'the answer itself'}, {len(items)} account(s), pagination {self.settings.pagination}")

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
        say(f"sending POST /accounts/{nobody}/challenge/sign (no such account) under each digest algorithm")
        body = {"chainId": f"eip155:1:0x{'0' * 40}", "challenge": "YQ==", "signature": "YQ=="}
        for algorithm in dict.fromkeys((self.settings.digest_algorithm, "sha-256", "sha-512")):
            tried = replace(self.settings, digest_algorithm=algorithm)
            try:
                await self.ask(tried, "POST", "accounts", nobody, "challenge", "sign", body=body)
            except Refusal as refusal:
                if refusal.code in SIGNATURE_CODES:
                    say(f"  no:  {algorithm}")
                    continue
                say(f"  yes: {algorithm} (HTTP {refusal.status}, {refusal.words or 'no words'})")
            self.settings = tried
            return
        raise LookupError("neither sha-256 nor sha-512 is accepted as Content-Digest")

    async def changes(self, account_id: str) -> None:
        """Deactivates and activates one account, to see how PATCH answers."""
        for action in ("deactivate", "activate"):
            say(f"sending PATCH /accounts/{account_id}/{action}")
            answer = await self.ask(self.settings, "PATCH", "accounts", account_id, action)
            kind = "with a body" if answer.body.strip() else "without a body"
            self.remarks.append(f"PATCH {action} answers HTTP {answer.status} {kind}")


async def probe(settings: PlatformSettings, *, modify: bool, account_id: str | None) -> Found:
    """Runs all probes. Raises LookupError where no choice works, and OrchestratorError."""
    # Lists are read whole here: what they are cut into is what is asked.
    session = Session(replace(settings, max_answer_bytes=settings.max_list_bytes), SystemClock())
    one = Probe(settings, session)
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
    return Found(one.settings, tuple(one.remarks))


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="probe_platform.py",
        description=__doc__,
        epilog=HELP_END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, help="a TOML file with settings, below the environment")
    parser.add_argument(
        "--yes-modify",
        action="store_true",
        help="also send modifying requests: one POST to an account that does not exist, and what --account allows",
    )
    parser.add_argument(
        "--account",
        metavar="ID",
        help="an ACTIVE account of the sandbox to deactivate and activate again (its cards too); needs --yes-modify",
    )
    return parser


def settings_of(config: Path | None) -> PlatformSettings:
    given = load_settings(config=config)
    given.need("platform_url", "api_key", "api_secret", "signing_key", "signing_key_id")
    return PlatformSettings(
        base_url=given.platform_url or "",
        api_key=given.api_key or "",
        api_secret=given.api_secret or SecretStr(""),
        signing_key_pem=given.signing_key or SecretStr(""),
        signing_key_id=given.signing_key_id or "",
        covered_components=given.covered_components,
        signature_label=given.signature_label,
        digest_algorithm=given.digest_algorithm,
    )


def main() -> int:
    parser = arguments()
    options = parser.parse_args()
    if options.account and not options.yes_modify:
        parser.error("--account changes that account's state: it needs --yes-modify")
    try:
        settings = settings_of(options.config)
        say(f"platform: {settings.base_url}")
        say(
            "plan: log in; read GET /accounts under several signatures; read its pages"
            + ("; POST to an account that does not exist" if options.yes_modify else "; nothing is changed")
            + (f"; deactivate and activate {options.account}" if options.account else "")
        )
        found = asyncio.run(probe(settings, modify=options.yes_modify, account_id=options.account))
    except SettingsError as error:
        say(f"error: {error.code}: {error.message}")
        return USAGE
    except LookupError as error:
        say(f"error: {error}")
        return NOTHING
    except OrchestratorError as error:
        say(f"error: {error.code}: {error.message}")
        return CANNOT_TELL
    for line in found.lines():
        print(line)
    return FOUND


if __name__ == "__main__":
    sys.exit(main())
