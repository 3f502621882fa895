"""The JSON Schemas (draft 2020-12) of what the commands print with ``--json``, a file each, shipped in the wheel.

They say what may be relied on: fields may be added, none is renamed or removed. Under ``$defs`` a file may name another
(``{"$ref": "operation.json"}``), so that each thing is described once; what is printed has it in its place.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from orchestrator.errors import SettingsError

__all__ = ["names", "text"]

_SUFFIX = ".json"


def names() -> list[str]:
    """The schemas' names, sorted."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX))


def text(name: str) -> str:
    """A schema as JSON text, which refers to no other file. Raises SettingsError (``unknown_schema``) that lists the
    names."""
    known = names()
    if name not in known:
        raise SettingsError(f"there is no schema {name[:80]!r}; there are {', '.join(known)}", code="unknown_schema")
    return json.dumps(_bundled(name), indent=2) + "\n"


def _bundled(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(resources.files(__name__).joinpath(name + _SUFFIX).read_text(encoding="utf-8"))
    own: dict[str, Any] = schema.pop("$defs", {})
    definitions: dict[str, Any] = {}
    for key, definition in own.items():
        definitions[key] = definition
        if definition.keys() == {"$ref"} and definition["$ref"].endswith(_SUFFIX):
            other = _bundled(definition["$ref"].removesuffix(_SUFFIX))
            definitions |= other.pop("$defs", {})
            definitions[key] = {word: part for word, part in other.items() if word not in {"$schema", "title"}}
    return schema | ({"$defs": definitions} if definitions else {})
