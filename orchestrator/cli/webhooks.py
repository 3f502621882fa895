"""``orchestrator webhooks``: the platform's subscriptions, where it delivers changes of accounts to.

A callback's URL ends with a secret token: it is shown without.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from orchestrator.cli.output import DONE, clean, emit, err, settings, table
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.platform import PlatformClient, PlatformWebhook

app = typer.Typer(
    name="webhooks",
    help="The platform's subscriptions: where it delivers changes of accounts to.",
    no_args_is_help=True,
)
T = TypeVar("T")


@app.command("set")
def set_(
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="The whole callback URL. Default: that of orchestrator serve."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="What to deliver, repeatable. Default: account.updated."),
    ] = None,
) -> int:
    """Subscribe a URL, or repair its subscription; one that is right stays as it is. serve does this at its start.

    Without URL it is ORCHESTRATOR_PUBLIC_URL, /webhooks/ and ORCHESTRATOR_WEBHOOK_TOKEN: so the token stands in no
    list of processes.

    Example: orchestrator webhooks set
    """
    from orchestrator.platform.subscription import WEBHOOK_TYPES, subscribe, url_problem

    problem = None if url is None else url_problem(url, allow_plain_http=settings().allow_plain_http)
    if problem is not None:
        raise SettingsError(f"URL: {problem}", code="usage")
    unknown = sorted(set(types or ()) - set(WEBHOOK_TYPES))
    if unknown:
        raise SettingsError(f"--type: expected {', '.join(WEBHOOK_TYPES)}, got {unknown[0]!r}", code="usage")
    callback = url or _own_url()
    wanted = types or ["account.updated"]

    async def work(platform: PlatformClient) -> PlatformWebhook:
        return await subscribe(platform, callback, wanted)

    return _emit([_with_platform(work)])


@app.command("list")
def list_() -> int:
    """Show the platform's subscriptions.

    Example: orchestrator webhooks list
    """
    return _emit(_with_platform(lambda platform: platform.webhooks()))


@app.command()
def delete(webhook_id: Annotated[str, typer.Argument(metavar="ID", help="As webhooks list shows it.")]) -> int:
    """Remove a subscription. Nothing is lost: accounts are polled, too. serve subscribes again at its next start.

    Example: orchestrator webhooks delete 5df359f0-d299-40a1-8023-17c77a50144c
    """

    async def work(platform: PlatformClient) -> list[PlatformWebhook]:
        await platform.delete_webhook(webhook_id, key=str(uuid.uuid4()))
        return await platform.webhooks()

    left = _with_platform(work)
    err().print("removed", markup=False)
    return _emit(left)


def _own_url() -> str:
    from orchestrator.connect import make_callback_url

    url = make_callback_url(settings())
    if url is None:
        raise SettingsError(
            "missing setting: ORCHESTRATOR_PUBLIC_URL, the address of orchestrator serve as the platform calls it; or "
            "give the whole callback URL",
            code="settings_missing",
        )
    return url


def _with_platform(work: Callable[[PlatformClient], Awaitable[T]]) -> T:
    import asyncio

    from orchestrator.connect import PLATFORM_SETTINGS, make_platform

    given = settings()
    given.need(*PLATFORM_SETTINGS)

    async def run() -> T:
        async with make_platform(given) as platform:
            return await work(platform)

    return asyncio.run(run())


def _emit(webhooks: list[PlatformWebhook]) -> int:
    from orchestrator.connect import make_callback_url
    from orchestrator.platform.subscription import normalised, shown_url

    try:
        own = make_callback_url(settings())
    except SettingsError:  # it is told where it is needed
        own = None
    documents = [
        {
            "id": webhook.id,
            "callbackUrl": shown_url(webhook.callback_url),
            "types": list(webhook.types),
            "current": normalised(webhook.callback_url) == own,
        }
        for webhook in webhooks
    ]

    def human(console: Console) -> None:
        if not webhooks:
            console.print("no subscriptions")
            return
        cells = [
            (str(one["id"]), clean(str(one["callbackUrl"])), ", ".join(webhook.types), "yes" if one["current"] else "")
            for one, webhook in zip(documents, webhooks, strict=True)
        ]
        table(console, ("ID", "CALLBACK", "TYPES", "THIS SERVICE"), cells)

    emit({"webhooks": documents}, human)
    return DONE
