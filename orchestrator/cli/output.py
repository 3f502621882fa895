"""What a run's options say (JSON or text, the settings), and where its output goes: on stdout the document or what a
person reads, on stderr everything else."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.errors import Disposition, KeyUnavailable, OrchestratorError, SettingsError
from orchestrator.foreign import shown
from orchestrator.models import Outcome
from orchestrator.wallet.findings import NOT_CHECKED

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.settings import Settings

Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]
DONE, FAILED, USAGE, OPERATOR, IN_PROGRESS = 0, 1, 2, 3, 75
INTERRUPTED = 130
"""What shells give a process that Ctrl-C ended."""

EXIT_CODES = {
    Outcome.DONE: DONE,
    Outcome.FAILED: FAILED,
    Outcome.OPERATOR: OPERATOR,
    Outcome.WAITING: IN_PROGRESS,
}

_GAP = 2
"""Columns between two columns, and before what is indented."""
_UNBROKEN = 1000
"""Columns: lines of a log are not broken."""


@dataclass(slots=True)
class Options:
    """The options that may stand before or after any command. One per process, filled by the root command."""

    json: bool = False
    config: Path | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    warned: bool = False
    """Whether this run has shown the notes on its settings."""


options = Options()


def settings() -> Settings:
    """The settings of this run. Raises SettingsError. SIDE EFFECTS: a line on stderr for each variable that sets
    nothing and each setting that has moved, once."""
    from orchestrator.settings import load_settings

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            return load_settings(None, options.config, options.overrides)
        finally:
            for note in () if options.warned else notes:
                err().print(f"[yellow]warning[/]: {clean(str(note.message))}", soft_wrap=True)
            options.warned = True


def worst(codes: list[int]) -> int:
    """The exit code of several accounts: the worst, in the order 1, 3, 75, 0.

    Wrong settings are 2 where they keep all accounts; where they keep some only, those have failed.
    """
    if codes and set(codes) == {USAGE}:
        return USAGE
    failed = {FAILED if code == USAGE else code for code in codes}
    return next((code for code in (FAILED, OPERATOR, IN_PROGRESS) if code in failed), DONE)


def emit(document: dict[str, Any], human: Callable[[Console], None]) -> None:
    """With ``--json`` the document, on one line; else what ``human`` prints."""
    if options.json:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()
        return
    console = out()
    if console.is_terminal:
        human(console)
        return
    with console.capture() as captured:  # a table fills its lines with blanks
        human(console)
    sys.stdout.write("\n".join(line.rstrip(" ") for line in captured.get().split("\n")))
    sys.stdout.flush()


def rows(console: Console, cells: Sequence[tuple[str, ...]]) -> None:
    """Prints rows in columns. The last one takes several lines if need be, and is broken between words only: an address
    or a hash is never cut, so that it can be copied. All cells but the last may have markup; that is anybody's text.
    """
    from rich.text import Text

    heads = [[Text.from_markup(cell) for cell in row[:-1]] for row in cells]
    widths = [max(cell.cell_len for cell in column) for column in zip(*heads, strict=True)]
    indent = sum(widths) + _GAP * len(widths)
    for head, row in zip(heads, cells, strict=True):
        line = Text()
        for cell, width in zip(head, widths, strict=True):
            line.append_text(cell).append(" " * (width - cell.cell_len + _GAP))
        text = shown(row[-1])
        first, *more = _broken(text, max(console.width - indent, _GAP)) or [""]
        console.print(line.append(first), soft_wrap=True)
        for part in more:
            # A hash of 66 characters fits a terminal of 80 columns, but not behind the other columns.
            left = min(indent, max(_GAP, console.width - len(part)))
            console.print(Text(" " * left + part), soft_wrap=True)


def table(console: Console, heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Prints rows beside each other where the terminal has room for them, else below each other; nothing is cut. The
    first cell of a row names it. Cells are text of others, without markup."""
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    texts = [[Text.from_markup(clean(cell)).plain for cell in row] for row in cells]
    widths = [max(map(cell_len, column)) for column in zip(heads, *texts, strict=True)]

    def line(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    if sum(widths) + _GAP * (len(widths) - 1) <= console.width:
        for row, style in [(heads, "bold"), *((row, "") for row in texts)]:
            padded = [set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)]
            line((" " * _GAP).join(padded).rstrip(), style)
        return
    for first, *others in texts:
        line(first, "bold")
        for head, cell in zip(heads[1:], others, strict=True):
            line(f"  {head:<12} {cell}")


def _broken(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def out() -> Console:
    """The console of stdout: as wide as the terminal; wide enough for anything where a file or a program reads."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _UNBROKEN)


def err() -> Console:
    """The console of stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, width=None if sys.stderr.isatty() else _UNBROKEN)


def clean(text: str) -> str:
    """Text of others (platform, chain, files) for a terminal: no hidden characters (``shown``), no markup."""
    from rich.markup import escape

    return escape(shown(text, keep="\t\n"))


def not_checked(names: Sequence[str]) -> list[str]:
    """What a wallet's profile does not check, a line for each."""
    return [f"{name}: {NOT_CHECKED[name]}" if name in NOT_CHECKED else name for name in names]


def fail(error: OrchestratorError, *, waiting: bool) -> int:
    """Prints an error and returns its exit code. ``waiting``: the command waits, so a transient error is 75, not 1."""
    from orchestrator.runbook import advice

    if options.json:
        sys.stdout.write(json.dumps({"error": described(error)}) + "\n")
    else:
        err().print(f"[bold red]{error.code}[/]: {clean(error.message)}")
        if error.code not in _SPEAK_FOR_THEMSELVES:
            err().print(f"[yellow]→[/] {advice(error)}")
    return exit_code(error, waiting=waiting)


def described(error: OrchestratorError) -> dict[str, str]:
    """An error in a ``--json`` document."""
    from orchestrator.runbook import advice

    return {"code": error.code, "message": error.message, "fix": advice(error)}


def exit_code(error: OrchestratorError, *, waiting: bool) -> int:
    """The exit code that an error stands for."""
    own_fault = isinstance(error, KeyUnavailable) and error.disposition is Disposition.STOP
    if own_fault or isinstance(error, SettingsError) or error.code in _SETTINGS_CODES:
        return USAGE
    match error.disposition:
        case Disposition.RETRY:
            return IN_PROGRESS if waiting else FAILED
        case Disposition.OPERATOR:
            return OPERATOR
        case Disposition.STOP:
            return FAILED


_SETTINGS_CODES = frozenset({"platform_login_refused", "clock_skew", "request_signature_refused"})
"""Refusals of the platform that only other settings, or another clock, fix."""


_SPEAK_FOR_THEMSELVES = frozenset({"usage", "interrupted", "not_confirmed", "internal"})


def debugging() -> bool:
    """Whether a surprise shows its traceback."""
    return bool(os.environ.get("ORCHESTRATOR_DEBUG"))
