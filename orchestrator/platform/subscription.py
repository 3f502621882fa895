"""Where the platform delivers webhooks to: the service's callback URL, and the subscription that names it.

The last part of a callback's path is an unguessable token: a URL is shown through ``shown_url``.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from orchestrator.errors import MalformedAnswer, PlatformRefused, SettingsError, UncertainAnswer
from orchestrator.foreign import shown
from orchestrator.platform.settings import is_loopback
from orchestrator.platform.webhook import ACCOUNT_UPDATED

if TYPE_CHECKING:
    from orchestrator.platform.client import PlatformClient, PlatformWebhook

__all__ = [
    "WEBHOOK_TYPES",
    "Creation",
    "Found",
    "callback_url",
    "find",
    "require_token",
    "shown_parts",
    "shown_url",
    "subscribe",
    "url_problem",
]

WEBHOOK_TYPES: Final = (
    "customer.updated",
    ACCOUNT_UPDATED,
    "card.updated",
    "authorisation.updated",
    "transaction.updated",
)
"""All that can be subscribed. The service needs ``account.updated`` alone."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{16,}")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")
_ADDRESS: Final = re.compile(r"[A-Za-z]+://[^/?#]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_KEY_SECONDS: Final = 50 * 60
"""How long an idempotency key is used again; the platform keeps it for an hour."""
_MAKE_ONE: Final = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


def require_token(token: str | None) -> str:
    """The setting ``webhook_token``, if it can be one. Raises SettingsError, which does not show it."""
    if not token:
        raise SettingsError(
            "missing setting: ORCHESTRATOR_WEBHOOK_TOKEN (or ORCHESTRATOR_WEBHOOK_TOKEN_FILE), the last part of the "
            f"URL that the platform calls; {_MAKE_ONE}",
            code="settings_missing",
        )
    if not _TOKEN.fullmatch(token):
        raise SettingsError(
            "setting ORCHESTRATOR_WEBHOOK_TOKEN: expected 16 or more of A-Z a-z 0-9 . _ ~ -, "
            f"got {len(token)} characters that are not that; {_MAKE_ONE}",
            code="settings_invalid",
        )
    return token


def callback_url(public_url: str, token: str, *, allow_plain_http: bool = False) -> str:
    """What the platform calls: the setting ``public_url``, ``/webhooks/`` and the token.

    Raises SettingsError for a public URL that is none: https (http for loopback, or with ``allow_plain_http``), a host,
    perhaps a port and a path, and nothing else.
    """
    problem = url_problem(public_url, allow_plain_http=allow_plain_http)
    if problem is None and ("?" in public_url or not _PREFIX.fullmatch(urlsplit(public_url).path)):
        problem = "expected no query, and in its path A-Z a-z 0-9 . _ ~ - and single slashes only"
    if problem is not None:
        raise SettingsError(f"setting ORCHESTRATOR_PUBLIC_URL: {problem}", code="settings_invalid")
    return normalised(f"{public_url.rstrip('/')}/webhooks/{token}")  # as signatures have it


def normalised(url: str) -> str:
    """The URL with scheme and host in small letters, without its scheme's own port, and with ``/`` for no path: two
    that are the same by RFC 3986, section 6.2, compare equal. One that cannot be read stays as it is."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    user, at, place = parts.netloc.lower().rpartition("@")
    host, _, written = place.rpartition(":")
    if written.isdigit() or place.endswith(":"):
        place = host if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{port}"
    user = parts.netloc[: len(user)]  # as it is written: only the host has no case
    return urlunsplit(parts._replace(netloc=user + at + place, path=parts.path or "/"))


def url_problem(url: str, *, allow_plain_http: bool) -> str | None:
    """Why the platform is not to call this URL; None if it may. The answer does not show it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"it cannot be read: {error}"
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        return "expected https://host, perhaps with a port and a path"
    if parts.username is not None or parts.password is not None or "#" in url:
        return "it must have neither user nor fragment"
    if parts.scheme == "http" and not allow_plain_http and not is_loopback(host):
        return "it is not encrypted: use https, or set ORCHESTRATOR_ALLOW_PLAIN_HTTP"
    return None


def shown_url(url: str) -> str:
    """A callback's URL for a person or a log: without user, query, and every part of the path that may be a token (16
    characters or more)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(a URL that cannot be read)"
    path = "/".join("…" if len(part) >= 16 else part for part in parts.path.split("/"))
    return shown(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}{'?…' if parts.query else ''}")[:300]


def shown_parts(url: str) -> dict[str, str]:
    """How the URL, and each part of it that may be a token, is shown where others' words quote it."""
    parts = re.split(r"[/?&=#]", _ADDRESS.sub("", url, count=1))
    return {url: shown_url(url)} | {part: "…" for part in parts if len(part) >= 16}


@dataclass(frozen=True, slots=True)
class Found:
    """What a list of subscriptions has for one callback URL."""

    webhook: PlatformWebhook | None
    """The one that calls it; None where there is none."""
    missing: tuple[str, ...]
    """Types that it was to have and has not."""
    others: tuple[str, ...]
    """Ids of those that call it, too, or its address with another token: former ones, or another service's."""


def find(webhooks: Sequence[PlatformWebhook], url: str, types: Sequence[str] = (ACCOUNT_UPDATED,)) -> Found:
    """The subscription of ``url``. Of several it is the first that has all ``types``, by id, so that every process
    chooses the same. Whose the ones with another token are cannot be seen: they are told, and left alone."""
    url = normalised(url)
    called = {webhook.id: normalised(webhook.callback_url) for webhook in webhooks}
    ours = [webhook for webhook in webhooks if called[webhook.id] == url]
    ours.sort(key=lambda webhook: (not set(types) <= set(webhook.types), webhook.id))
    first = ours[0] if ours else None
    missing = tuple(name for name in types if first is None or name not in first.types)
    address, _, _ = url.rpartition("/")
    near = [webhook for webhook in webhooks if called[webhook.id].rpartition("/")[0] == address]
    return Found(first, missing, tuple(sorted(webhook.id for webhook in near if webhook is not first)))


@dataclass(slots=True)
class Creation:
    """What a process has created. Whoever tries again hands it on, so that no list, however it shows URLs and however
    late, has one created again and again."""

    id: str | None = None
    """Of the subscription that the platform answered with."""
    keys: list[str] | None = None
    """Idempotency keys of creations that may still be asked for; None before the first."""
    until: float = float("inf")
    """Until when (monotonic) a creation without a clear answer may be asked for again: its key is valid for an hour."""


async def subscribe(
    platform: PlatformClient,
    url: str,
    types: Sequence[str] = (ACCOUNT_UPDATED,),
    creation: Creation | None = None,
) -> PlatformWebhook:
    """Makes sure that the platform delivers ``types`` to ``url``, and returns that subscription.

    What is there and right stays as it is; other types that it has are kept. Processes that do this at the same time
    create one subscription: they use one idempotency key, which follows from URL and types. One that was created here
    (``creation``) and is not listed under this URL is known by its id. Subscriptions of other URLs are left alone.
    Raises as the client's calls, and MalformedAnswer where the platform does not show what it took.
    SIDE EFFECTS: ``PUT /webhooks`` where something is to be changed.
    """
    creation = creation or Creation()
    if creation.keys is None:
        # The key of the first try may belong to a creation of the last hour, whose webhook has been deleted since.
        creation.keys = [str(uuid.uuid5(uuid.NAMESPACE_URL, " ".join((url, *types)))), str(uuid.uuid4())]
    for changes_left in (2, 1, 0):
        listed = await platform.webhooks()
        webhook = find(listed, url, types).webhook or await _created(platform, listed, creation)
        missing = [name for name in types if webhook is None or name not in webhook.types]
        if webhook is not None and not missing:
            return webhook
        if not changes_left:
            break
        if webhook is not None:
            await platform.put_webhook(url, (*webhook.types, *missing), webhook_id=webhook.id, key=str(uuid.uuid4()))
        elif creation.keys and time.monotonic() < creation.until:
            await _create(platform, url, types, creation)
        else:
            break
    raise MalformedAnswer(
        f"PUT /webhooks: the platform was sent the subscription of {shown_url(url)} and does not list it"
    )


async def _create(platform: PlatformClient, url: str, types: Sequence[str], creation: Creation) -> None:
    assert creation.keys, "a creation has a key"
    try:
        made = await platform.put_webhook(url, types, key=creation.keys[0])
    except UncertainAnswer:
        creation.until = min(creation.until, time.monotonic() + _KEY_SECONDS)
        raise
    # Another one may be created only where the platform says that this one, by its id, is not there.
    creation.id = made.id if made is not None else None
    creation.keys = creation.keys[1:] if made is not None else []
    creation.until = float("inf")


async def _created(
    platform: PlatformClient, listed: Sequence[PlatformWebhook], creation: Creation
) -> PlatformWebhook | None:
    """What was created here, as the platform has it now; None where it has nothing of the kind."""
    if creation.id is None:
        return None
    for webhook in listed:
        if webhook.id == creation.id:
            return webhook
    try:
        return await platform.webhook(creation.id)
    except PlatformRefused as refusal:
        if refusal.code != "webhook_not_found":
            raise
        return None
