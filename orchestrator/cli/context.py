"""What the options before the command say, for the command that runs: the settings, and whether output is JSON."""

from __future__ import annotations

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


options = Options()


def settings() -> Settings:
    """The settings of this run. Raises SettingsError."""
    from orchestrator.settings import load_settings

    return load_settings(config=options.config, overrides=options.overrides)
