"""The JSON Schemas (draft 2020-12) of what the commands print with ``--json``, a file each, shipped in the wheel.

They say what may be relied on: fields may be added, none is renamed or removed.
"""

from __future__ import annotations

from importlib import resources

from orchestrator.errors import SettingsError

__all__ = ["names", "text"]

_SUFFIX = ".json"


def names() -> list[str]:
    """The schemas' names, sorted."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX))


def text(name: str) -> str:
    """A schema as JSON text. Raises SettingsError (``unknown_schema``) that lists the names."""
    known = names()
    if name not in known:
        raise SettingsError(f"there is no schema {name[:80]!r}; there are {', '.join(known)}", code="unknown_schema")
    return resources.files(__name__).joinpath(name + _SUFFIX).read_text(encoding="utf-8")
