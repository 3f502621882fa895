"""Reads the project's documents: fenced blocks with the marker before them, and tables by their name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    "README.md",
    "orchestrator/signers/README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "contracts/README.md",
)

_FLAGS = re.MULTILINE | re.DOTALL
_BLOCK = re.compile(r"(?:^<!-- run: (?P<run>.+?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", _FLAGS)
_EXIT = re.compile(r"\s+# exit (\d+)$")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    kind: str
    """The fence's language."""
    run: str | None
    text: str
    line: int

    def commands(self) -> list[Command]:
        found: list[Command] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                ended = _EXIT.search(line)
                found.append(Command(_EXIT.sub("", line[2:]), int(ended[1]) if ended else 0))
            elif line.strip():
                found[-1].output.append(line)
        return found


@dataclass(frozen=True)
class Command:
    words: str
    code: int
    output: list[str] = field(default_factory=list)
    """The lines that the document shows."""


def blocks(name: str, kind: str) -> list[Block]:
    content = text(name)
    return [
        Block(found["kind"], found["run"], found["text"], content.count("\n", 0, found.start()) + 1)
        for found in _BLOCK.finditer(content)
        if found["kind"] == kind
    ]


def consoles(run: str) -> list[Block]:
    return [block for name in DOCUMENTS for block in blocks(name, "console") if block.run == run]


def table(name: str, marker: str) -> list[list[str]]:
    """The cells of the table below ``<!-- table: MARKER -->``, without its two head lines."""
    _, found, rest = text(name).partition(f"<!-- table: {marker} -->\n")
    assert found, f"{name} has no table {marker}"
    lines = rest.split("\n\n", 1)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def codes(cell: str) -> list[str]:
    """What stands in `…` in a cell."""
    return re.findall(r"`([^`]+)`", cell)


_SPOKEN = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\b(0x)?[0-9a-fA-F]{40,}\b"), "<hex>"),
    (re.compile(r"\d+(\.\d+)?"), "<n>"),
    (re.compile(r"\s+"), " "),
]


def _plain(line: str) -> str:
    for pattern, name in _SPOKEN:
        line = pattern.sub(name, line)
    return line.strip()


def missing(shown: list[str], printed: str) -> str | None:
    """The first line that the document shows and the command did not print, in this order; None if all are there."""
    rest = iter([_plain(line) for line in printed.splitlines()])
    for line in shown:
        wanted = re.compile(".*".join(re.escape(part) for part in _plain(line).split("…")))
        if line.strip() != "…" and not any(wanted.fullmatch(actual) for actual in rest):
            return line
    return None
