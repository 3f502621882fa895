"""Output of ``orchestrator keys``: keys as a document or as a table, and what a change waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.cli.journal_access import oversight_if_any
from orchestrator.cli.output import clean, described, emit, err, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from orchestrator.errors import OrchestratorError
    from orchestrator.oversight.approvals import Waiting
    from orchestrator.ports.signers import KeyInfo


def show_keys(keys: Sequence[KeyInfo], unreadable: Sequence[dict[str, str]] = ()) -> None:
    """Keys with what the journal knows of them, where there is a journal: none is made for it."""
    from orchestrator.oversight.key_changes import as_seen

    oversight, trouble = oversight_if_any()
    if trouble is not None:
        err().print(
            f"[yellow]the journal cannot be read, so this is the keystore's word alone[/]: {clean(trouble.message)}"
        )
    emit_keys([key if oversight is None else as_seen(key, oversight) for key in keys], unreadable, trouble)


def emit_keys(
    keys: Sequence[KeyInfo],
    unreadable: Sequence[dict[str, str]] = (),
    trouble: OrchestratorError | None = None,
) -> None:
    document: dict[str, Any] = {"keys": [_document(key) for key in keys]}
    if unreadable:
        document["unreadable"] = list(unreadable)
    if trouble is not None:
        document["journal"] = described(trouble)

    def human(console: Console) -> None:
        rows = [
            (
                key.name,
                key.address,
                key.uri or key.backend,
                "disabled" if key.disabled else "enabled",
                ", ".join(str(wallet.chain) for wallet in key.wallets) or "no wallet yet",
            )
            for key in keys
        ]
        if rows:
            table(console, ("name", "address", "backend", "state", "may sign for"), rows)
        else:
            console.print("no keys; make one with: orchestrator keys create NAME")
        for error in unreadable:
            console.print(f"[red]{clean(error['message'])}[/]")

    emit(document, human)


def emit_waiting(waiting: Waiting, keys: Sequence[KeyInfo], **more: object) -> None:
    """``more``: what else the document shows."""
    document = {
        "outcome": "waiting",
        "waitingFor": waiting.text,
        "request": waiting.request.id,
        "keys": [_document(key) for key in keys],
        **more,
    }

    def human(console: Console) -> None:
        console.print(f"[yellow]waiting[/] for {clean(waiting.text)}")
        console.print("  nothing was changed; after that, run the same command again")

    emit(document, human)


def _document(key: KeyInfo) -> dict[str, Any]:
    return {
        "name": key.name,
        "address": key.address,
        "backend": key.backend,
        "disabled": key.disabled,
        "wallets": [str(wallet) for wallet in key.wallets],
        "uri": key.uri,
    }
