"""The platform's own OpenAPI file, where ``ORCHESTRATOR_PUBLISHED_API`` names it; read with other means than ours."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

PATH = os.environ.get("ORCHESTRATOR_PUBLISHED_API", "")
needs_file = pytest.mark.skipif(not PATH, reason="ORCHESTRATOR_PUBLISHED_API does not name the platform's OpenAPI file")


@functools.cache
def load() -> dict[str, Any]:
    return yaml.safe_load(Path(PATH).read_text())


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """A node with what its ``$ref`` leads to."""
    if "$ref" not in node:
        return node
    target: Any = load()
    for part in node["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return resolved(target) | {name: value for name, value in node.items() if name != "$ref"}


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in load()["paths"].items()
        for method, operation in methods.items()
    }


def schema_of(content: dict[str, Any]) -> dict[str, Any] | None:
    return content["content"]["application/json"]["schema"] if "content" in content else None
