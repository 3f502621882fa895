"""Reads the project's documents: fenced blocks with the marker before them, and tables by their name."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))
DOCUMENTS = (
    "README.md",
    *PAGES,
    "orchestrator/closure/README.md",
    "orchestrator/signers/README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "contracts/README.md",
)

_FLAGS = re.MULTILINE | re.DOTALL
_BLOCK = re.compile(r"(?:^<!-- run: (?P<run>.+?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", _FLAGS)
_EXIT = re.compile(r"\s+# exit (\d+)$")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*/|[\w.-]+(?:/[\w.-]+)+\.\w+|[\w-]+\.(?:py|md)")
_LINK = re.compile(r"\]\(([^)]+)\)")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    document: str
    kind: str
    """The fence's language."""
    run: str | None
    text: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"

    def commands(self) -> list[Command]:
        found: list[Command] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                ended = _EXIT.search(line)
                found.append(Command(_EXIT.sub("", line[2:]), int(ended[1]) if ended else 0))
            elif line.startswith("> "):
                found[-1] = replace(found[-1], words=f"{found[-1].words}\n{line[2:]}")
            elif line.strip():
                found[-1].output.append(line)
        return found


@dataclass(frozen=True)
class Command:
    words: str
    code: int
    output: list[str] = field(default_factory=list)
    """The lines that the document shows."""


def blocks(kind: str) -> list[Block]:
    """All fenced blocks of this language, document by document, as they are read."""
    return [
        Block(name, kind, found["run"], found["text"], content.count("\n", 0, found.start()) + 1)
        for name in DOCUMENTS
        for content in [text(name)]
        for found in _BLOCK.finditer(content)
        if found["kind"] == kind
    ]


def consoles(run: str) -> list[Block]:
    return [block for block in blocks("console") if block.run == run]


def links(name: str) -> list[tuple[str, str]]:
    """The file that each relative link leads to, from the project's folder, and its anchor."""
    found = [target.partition("#") for target in _LINK.findall(text(name)) if not target.startswith("https://")]
    folder = Path(name).parent
    return [(os.path.normpath(folder / path) if path else name, anchor) for path, _, anchor in found]


def paths(name: str) -> set[str]:
    """The files, and folders with a slash at the end, in `…` outside of fenced blocks, alone or in a command. Without
    those that a reader is to name (``NAME``)."""
    words = {word for code in _CODE.findall(_BLOCK.sub("", text(name))) for word in code.split()}
    parts = {word.strip(",;").partition("::")[0] for word in words}
    return {part for part in parts if _PATH.fullmatch(part) and "NAME" not in part}


def anchors(name: str) -> set[str]:
    """What a link may have behind ``#``: the headings, as Git hosts and site generators write them."""
    heads = re.findall(r"^#+ (.+)$", text(name), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", head.lower()).replace(" ", "-") for head in heads}


def table(marker: str) -> list[list[str]]:
    """The cells of the table below ``<!-- table: MARKER -->``, in whichever document, without its two head lines."""
    (found,) = tables(marker)
    return found


def tables(marker: str) -> list[list[list[str]]]:
    """As ``table``, of each document that has one."""
    rests = [text(name).partition(f"<!-- table: {marker} -->\n")[2] for name in DOCUMENTS]
    bodies = [rest.split("\n\n", 1)[0].splitlines()[2:] for rest in rests if rest]
    return [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in body] for body in bodies]


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
