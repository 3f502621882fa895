"""What the options before the command say, for the command that runs: the settings, and whether output is JSON."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orchestrator.settings import Settings

Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


@dataclass(slots=True)
class Options:
    """The options that may stand before or after any command. One per process, filled by the root command."""

    json: bool = False
    config: Path | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    warned: bool = False
    """Whether this run has named the variables that set nothing."""


options = Options()


def settings() -> Settings:
    """The settings of this run. Raises SettingsError. SIDE EFFECTS: a line on stderr for each variable that only looks
    like a setting, once."""
    from orchestrator.settings import load_settings, unknown_variables

    if not options.warned:
        from orchestrator.cli.output import clean, err

        options.warned = True
        for unknown in unknown_variables(os.environ):
            err().print(f"[yellow]warning[/]: {clean(str(unknown))}", soft_wrap=True)
    return load_settings(os.environ, options.config, options.overrides)
