"""Whether other users of the machine have a way into what this program wrote, or was handed."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterable
from pathlib import Path

from orchestrator.doctor.check import CheckFailed
from orchestrator.files import open_to_others
from orchestrator.settings import Settings

_NAMED = 4
"""Loose files that are named; of more, their number."""


def require_files_private(settings: Settings) -> None:
    """Raises CheckFailed for certificates and a person's files that others can open. The database, and the keys with
    their password, have checks of their own; the files of secrets are refused when the settings are read."""
    handed = (settings.person_key, settings.person_password_file)
    require_private((path for path in handed if path is not None), handed_over=True)
    require_private(sorted(settings.certificates.glob("*.json")))


def require_private(paths: Iterable[Path], *, handed_over: bool = False) -> None:
    """Raises CheckFailed naming those with the chmod to type. ``handed_over``: as ``orchestrator.files``."""
    found: dict[Path, int] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue  # not there, or gone since
        if open_to_others(status, handed_over=handed_over):
            found[path] = stat.S_IMODE(status.st_mode)
    if not found:
        return
    named = [f"{path} (expected mode 600, got {mode:o})" for path, mode in found.items()]
    typed = shlex.join(map(str, found))
    if len(found) > _NAMED:
        named[_NAMED:] = [f"and {len(found) - _NAMED} more"]
        typed = " ".join(f"{shlex.quote(str(folder))}/*" for folder in sorted({path.parent for path in found}))
    raise CheckFailed(
        "open to other users: " + ", ".join(named),
        f"Type chmod 600 {typed}; umask 077 keeps copies from being made so.",
    )
