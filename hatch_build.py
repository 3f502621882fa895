"""The wheel's readme is README.md without relative links: a package index shows no folder that they could lead to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)([^)]+)\)")


class ReadmeHook(MetadataHookInterface):
    """A link becomes its text, with the path where the text does not name it."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": _RELATIVE_LINK.sub(_as_text, text)}


def _as_text(link: re.Match[str]) -> str:
    text, path = link[1], link[2]
    return f"`{path}`" if text == path else f"{text} (`{path}`)"
