"""``stop-signing`` and ``resume-signing``: one person stops at once, two resume. ``stops`` lists what is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import person
from orchestrator.cli.journal_access import drain, now, oversight_if_any, warn_if_new, with_journal
from orchestrator.cli.output import DONE, IN_PROGRESS, clean, emit, settings
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from orchestrator.journal.store import Journal
    from orchestrator.lifecycle.oversight_state import Oversight, Stop
    from orchestrator.models import Address
    from orchestrator.oversight.stops import Resumption
    from orchestrator.report import StopNote

Key = Annotated[str | None, typer.Option(metavar="NAME", help="Only this key.")]
Chain = Annotated[str | None, typer.Option(metavar="CAIP-2", help="Only this chain, such as eip155:1.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the root."""
    app.command("stop-signing")(stop_signing)
    app.command("resume-signing")(resume_signing)
    app.command()(stops)


def stop_signing(
    key: Key = None,
    chain: Chain = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is journaled and shown.")] = "",
) -> int:
    """Stop all signing at once (or of one key, or of one chain), in every process. Nothing under way is lost. When
    it is done, no signature is on its way any more.

    Example: orchestrator stop-signing --reason "the office was broken into"
    """
    from orchestrator.oversight.stops import stop, to_scope
    from orchestrator.people import system_user

    scope = to_scope(key=key, chain=chain)
    address = None if key is None else _address(key)

    async def work(journal: Journal) -> Oversight:
        return await stop(journal, scope, reason, by=system_user(), clock=now, address=address, drain=drain(journal))

    warn_if_new()
    seen = with_journal(work)
    _emit(seen.stops, (), f"[green]done[/]: signing is stopped ({scope})")
    return DONE


def resume_signing(
    key: Key = None,
    chain: Chain = None,
    person_key: person.PersonKeyFile = None,
    person_password_file: person.PersonPasswordFile = None,
    as_person: person.PersonName = None,
    signature: person.Signature = None,
    print_text: person.PrintText = False,
) -> int:
    """Agree that signing goes on, in the scope that was stopped. It does with the agreement of a second person.

    Example: orchestrator resume-signing --person-key ./alice.json
    """
    from orchestrator.oversight.stops import resume, to_scope

    scope = to_scope(key=key, chain=chain)
    if print_text:
        return _print_text(scope)

    async def work(journal: Journal) -> Resumption:
        of_settings, signatory = await person.ruleset_and_signatory(
            journal, key=person_key, password_file=person_password_file, person=as_person, signature=signature
        )
        return await resume(journal, scope, signatory, settings=of_settings, clock=now)

    warn_if_new()
    resumption = with_journal(work)
    held = resumption.oversight.stops
    ended = f"signing is not stopped ({scope})"
    if held:
        ended = f"no stop of {scope} holds; others do, and each is ended in its own scope (--key, --chain)"
    _emit(held, resumption.waiting, f"[green]done[/]: {ended}")
    return DONE if resumption.done else IN_PROGRESS


def stops() -> int:
    """Emergency stops in force: of what, since when, by whom, why, and who has agreed to their end.

    Example: orchestrator stops --json
    """
    from orchestrator.authorization.gate import read_oversight

    seen = with_journal(read_oversight, create=False)
    _emit(seen.stops, (), "[bold red]SIGNING IS STOPPED[/]" if seen.stops else "signing is not stopped")
    return DONE


def show_stops(console: Console, stops: Sequence[StopNote]) -> None:
    """A line for each stop in force: what a person must know before anything else."""
    for stop in stops:
        scope = "ALL SIGNING" if stop.scope == "all" else f"SIGNING of {stop.scope}"
        console.print(
            f"[bold red]{clean(scope)} IS STOPPED[/] since {stop.since:%Y-%m-%d %H:%M:%S} UTC by {clean(stop.by)}: "
            f"{clean(stop.reason)} (orchestrator stops)",
            soft_wrap=True,
        )


def _print_text(scope: str) -> int:
    from orchestrator.authorization.gate import read_oversight
    from orchestrator.lifecycle.person_signatures import resume_text

    async def work(journal: Journal) -> list[str]:
        identity = await journal.identity()
        return [resume_text(stop, identity) for stop in (await read_oversight(journal)).stops if stop.scope == scope]

    texts = with_journal(work, create=False)
    if not texts:
        raise SettingsError(f"signing is not stopped ({scope}): there is nothing to sign", code="not_stopped")
    emit({"texts": texts}, lambda console: console.print("\n\n".join(texts), markup=False, soft_wrap=True))
    return DONE


def _address(key: str) -> Address | None:
    """The key's address by this keystore; None where its file cannot be read, or only the journal knows the key.

    Raises SettingsError ``key_not_found``: a stop of a key that does not exist would be taken for one that holds.
    """
    from orchestrator.connect import make_keystore
    from orchestrator.errors import OrchestratorError

    seen, _ = oversight_if_any()
    journaled = set(seen.keys) if seen is not None else set()
    try:
        scan = make_keystore(settings()).scan()
    except OrchestratorError:
        return None  # an unreadable keystore must not keep anybody from stopping
    here = {info.name: info.address for info in scan.keys}
    known = journaled | set(here)
    if key not in known and not scan.unreadable:
        raise SettingsError(
            f"--key: expected a key that the keystore or the journal knows ({', '.join(sorted(known)) or 'none'}), got "
            f"{ascii(key)[:80]}: nothing was stopped",
            code="key_not_found",
            fix="Name one of those, or leave --key out to stop all signing.",
        )
    return here.get(key)


def _emit(stops: Sequence[Stop], waiting: Sequence[Stop], headline: str) -> None:
    from orchestrator.report import StopNote

    documents = [StopNote.of(stop).document() for stop in stops]
    waiting_for = None
    if waiting:
        agreed = ", ".join(dict.fromkeys(said.person for stop in waiting for said in stop.agreed))
        waiting_for = f"a second person to agree that signing resumes ({agreed} did)"
    document: dict[str, Any] = {
        "outcome": "waiting" if waiting else "done",
        "waitingFor": waiting_for,
        "stops": documents,
    }

    def human(console: Console) -> None:
        console.print(f"[yellow]waiting[/] for {clean(waiting_for)}" if waiting_for else headline)
        for stop in documents:
            agreed = f"; agreed to resume: {', '.join(stop['agreed'])}" if stop["agreed"] else ""
            console.print(
                f"  stopped: [bold]{clean(stop['scope'])}[/] since {stop['since']} by {clean(stop['by'])}: "
                f"{clean(stop['reason'])}{clean(agreed)}"
            )
        if not documents:
            console.print("  no stop holds")

    emit(document, human)
