"""Where a running devnet is found by the commands of another terminal: a file in this user's state directory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator import files
from orchestrator.foreign_json import MalformedJson, read_json
from orchestrator.settings import state_directory

__all__ = ["announced", "found"]

_MAX_BYTES = 64 * 1024


def _file() -> Path:
    return state_directory() / "devnet.json"


@contextlib.contextmanager
def announced(document: dict[str, Any]) -> Iterator[None]:
    """While this lasts, :func:`found` gives ``document``; of several devnets, that of the one started last.

    SIDE EFFECTS: a file (0600: it has the devnet's secrets), which a killed process leaves behind. Raises OSError,
    KeyUnavailable ``keystore_unwritable`` if it cannot be written.
    """
    file, text = _file(), json.dumps(document)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.replace(file, text.encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if file.read_text() == text:
                file.unlink()


def found() -> dict[str, Any] | None:
    """What the devnet that was started last has announced; None without one. It may have been killed: ask it."""
    try:
        document = read_json(_file().read_bytes(), max_bytes=_MAX_BYTES)
    except (OSError, MalformedJson):
        return None
    return document if isinstance(document, dict) else None
