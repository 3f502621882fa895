"""``approve``: lists what waits for a second person, and records that person's approval."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import person
from orchestrator.cli.journal_access import iso, now, with_journal
from orchestrator.cli.output import DONE, IN_PROGRESS, clean, emit, err, options, settings
from orchestrator.cli.stops import show_stops
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.journal.store import Journal
    from orchestrator.oversight.requests import ApprovalRequest
    from orchestrator.policy import Ruleset
    from orchestrator.report import StopNote


def register(app: typer.Typer) -> None:
    """Adds the command to the root."""
    app.command()(approve)


def approve(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="ACCOUNT_ID|REQUEST|policy",
            help="An account whose closure waits, a request (an id's beginning will do), or policy; none: list all.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    person_key: person.PersonKeyFile = None,
    person_password_file: person.PersonPasswordFile = None,
    as_person: person.PersonName = None,
    signature: person.Signature = None,
    print_text: person.PrintText = False,
) -> int:
    """Approve what somebody else asked for: a closure, a changed policy, a change of keys. No argument: list it.

    Example: orchestrator approve 5df359f0-d299-40a1-8023-17c77a50144c --person-key ./alice.json
    """
    if what is None:
        return _list()
    if print_text:
        return _print_text(what)
    if not yes and (options.json or not sys.stdin.isatty() or not sys.stderr.isatty()):
        raise SettingsError(
            "an approval is a person's word: say --yes, or run this on a terminal and without --json to be shown what "
            "is approved",
            code="confirmation_needed",
        )

    async def work(journal: Journal) -> ApprovalRequest:
        from orchestrator.authorization.gate import read_oversight
        from orchestrator.connect import make_ruleset
        from orchestrator.oversight import approvals, requests
        from orchestrator.oversight.records import in_force
        from orchestrator.report import StopNote

        of_settings = make_ruleset(settings())
        seen = await read_oversight(journal)
        show_stops(err(), [StopNote.of(stop) for stop in seen.stops])
        await _require_one_account(journal, what)
        ruleset = in_force(seen, of_settings)
        request = await requests.find(journal, what, settings=of_settings, clock=now)
        if not yes:
            _show(err(), request, ruleset)
            if not typer.confirm("Approve exactly this?", err=True):
                raise SettingsError("not approved: the answer was no, nothing was recorded", code="not_confirmed")
        signatory = person.signatory(
            ruleset,
            key=person_key,
            password_file=person_password_file,
            person=as_person,
            signature=signature,
        )
        return await approvals.approve(journal, request, signatory, settings=of_settings, clock=now)

    request = with_journal(work)
    document = {**_document([request]), "outcome": "done" if request.is_granted else "waiting"}

    def human(console: Console) -> None:
        asked = request.approval.asked
        given = f"approved by {', '.join(request.by)} ({len(request.by)} of {request.needed})"
        if request.is_granted:
            console.print(f"[green]done[/]: {asked.subject} {asked.request[:12]} is {clean(given)}")
            console.print("  whoever asked may go on: run the command again, or leave it to the one that waits")
        else:
            console.print(f"[yellow]waiting[/] for others: {asked.subject} {asked.request[:12]} is {clean(given)}")

    emit(document, human)
    return DONE if request.is_granted else IN_PROGRESS


def _list() -> int:
    async def work(journal: Journal) -> tuple[list[ApprovalRequest], Ruleset, list[StopNote]]:
        from orchestrator.authorization.gate import read_oversight
        from orchestrator.connect import make_ruleset
        from orchestrator.oversight import requests
        from orchestrator.oversight.records import in_force
        from orchestrator.report import StopNote

        of_settings = make_ruleset(settings())
        found = await requests.pending(journal, settings=of_settings, clock=now)
        seen = await read_oversight(journal)
        return found, in_force(seen, of_settings), [StopNote.of(stop) for stop in seen.stops]

    requests, ruleset, stops = with_journal(work, create=False)

    def human(console: Console) -> None:
        show_stops(console, stops)
        if not requests:
            console.print("nothing waits for an approval")
        for request in requests:
            _show(console, request, ruleset)

    emit({**_document(requests), "stops": [stop.document() for stop in stops]}, human)
    return DONE


def _print_text(what: str) -> int:
    async def work(journal: Journal) -> tuple[ApprovalRequest, str]:
        from orchestrator.connect import make_ruleset
        from orchestrator.lifecycle.person_signatures import approval_text
        from orchestrator.oversight import requests

        await _require_one_account(journal, what)
        request = await requests.find(journal, what, settings=make_ruleset(settings()), clock=now)
        return request, approval_text(request.approval.asked, await journal.identity())

    request, text = with_journal(work, create=False)
    emit(
        {**_document([request]), "text": text},
        lambda console: console.print(text, markup=False, soft_wrap=True),
    )
    return DONE


async def _require_one_account(journal: Journal, what: str) -> None:
    """Raises SettingsError ``account_ambiguous``, also where only one of the accounts has a request."""
    from orchestrator.account_queries import beginning, only

    prefix = beginning(what)
    if prefix is not None and len(found := await journal.accounts_beginning(prefix)) > 1:
        only(what, found, "the journal")


def _document(requests: list[ApprovalRequest]) -> dict[str, Any]:
    waiting = any(not request.is_granted for request in requests)
    return {
        "outcome": "waiting" if waiting else "done",
        "approvals": [
            {
                "request": request.id,
                "subject": request.approval.asked.subject,
                "accountId": request.account_id,
                "content": json.loads(request.approval.asked.content),
                "role": request.approval.asked.role,
                "needed": request.needed,
                "given": list(request.by),
                "by": request.approval.asked.by,
                "byProven": request.by_proven,
                "askedAt": iso(request.approval.at),
                "expiresAt": iso(request.approval.asked.expires_at),
            }
            for request in requests
        ],
    }


# --- what a person reads ---------------------------------------------------------------------------------------------


def _show(console: Console, request: ApprovalRequest, ruleset: Ruleset) -> None:
    from orchestrator.policy import Policy

    asked = request.approval.asked
    proven = "proven by her key" if request.by_proven else "[yellow]not proven[/] to be one of the people"
    console.print(
        f"[bold]{asked.subject}[/]  {asked.request[:12]}  asked by {clean(asked.by)} ({proven}) at "
        f"{iso(request.approval.at)}",
        soft_wrap=True,
    )
    content = json.loads(asked.content)
    proposed = content.pop("document", None) if asked.subject == "ruleset" else None
    for name, value in _leaves(content):
        console.print(f"  {clean(name):<24} {clean(value)}")
    if isinstance(proposed, dict):
        before = ruleset if content["from"] else ruleset.model_copy(update={"policy": Policy()})  # else it is the first
        _show_changes(console, _spelt_out(before.document), _spelt_out(proposed))
    given = f"; approved by {', '.join(request.by)}" if request.by else ""
    more = " (one more, because no person is proven to ask)" if request.needed > asked.needed else ""
    console.print(
        f"  takes {request.needed} with the role {clean(asked.role)}{more}{clean(given)}; "
        f"expires {iso(asked.expires_at)}",
        soft_wrap=True,
    )


def _spelt_out(document: dict[str, Any]) -> dict[str, Any]:
    """A ruleset's document with the defaults that it leaves out; one that is none, as it is."""
    from orchestrator.policy import Ruleset

    try:
        return Ruleset.model_validate(document).model_dump(mode="json")
    except ValueError:
        return document


def _show_changes(console: Console, before: dict[str, Any], after: dict[str, Any]) -> None:
    old, new = dict(_leaves(before)), dict(_leaves(after))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            console.print(
                f"  [yellow]{clean(name)}[/]: {clean(old.get(name, 'nothing'))} → {clean(new.get(name, 'nothing'))}"
            )


def _leaves(value: Any, name: str = "") -> list[tuple[str, str]]:
    """The values in a JSON document by their dotted names; lists of plain values stay together."""
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        return [leaf for place, inner in enumerate(value) for leaf in _leaves(inner, f"{name}[{place}]")]
    if isinstance(value, list):
        return [(name, ", ".join(str(inner) for inner in value) or "none")]
    return [(name, "none" if value in (None, {}) else str(value))]
