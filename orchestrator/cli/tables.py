"""Rows for people: beside each other where the terminal has room for them, else below each other. Nothing is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.cli.output import clean

if TYPE_CHECKING:
    from rich.console import Console

_GAP = "  "


def show_rows(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first cell of a row names it. Cells are text of others, without markup."""
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    shown = [[Text.from_markup(clean(cell)).plain for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(heads, *shown, strict=True)]

    def line(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    if sum(widths) + len(_GAP) * (len(widths) - 1) <= console.width:
        for row, style in [(heads, "bold"), *((row, "") for row in shown)]:
            cells = [set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)]
            line(_GAP.join(cells).rstrip(), style)
        return
    for first, *others in shown:
        line(first, "bold")
        for head, cell in zip(heads[1:], others, strict=True):
            line(f"  {head:<12} {cell}")
