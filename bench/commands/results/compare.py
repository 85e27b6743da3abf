"""`bench compare`: agreement and significance in the terminal, everything in a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table as Printed
from rich.text import Text

from bench.report.compare import AGREEMENT, CHANGE, SIGNIFICANCE, comparison
from bench.report.page.page import Page
from bench.report.page.render import marked
from bench.report.tables.model import Table
from bench.report.write import write_page

COLUMNS = ("Metric", "Models", "Mean Δ", "Spearman [95 %]", "Same best")  #: of the agreement, so that 80 characters suffice
MOST_LINES = 30  #: of a table; the report has them all


def compare_command(folder: Path, to: Path, out: Path, console: Console) -> None:
    """Print the comparison and write its report. Raises UserError where nothing can be compared."""
    page = comparison(folder, to)
    index = write_page(page, out, ("html", "md", "csv"))
    print_page(page, console)
    console.print(f"report: {index}", highlight=False, markup=False, soft_wrap=True)


def print_page(page: Page, console: Console) -> None:
    """How the two agree, which models are significantly better than which, and what changed."""
    for section in page.sections:
        console.print(Text(f"{section.title}{marked(section.marks)}", style="bold"))
        console.print(Text(section.text[-1]))
        for part in section.parts:
            for table in part.tables:
                if part.title == AGREEMENT:
                    console.print(_printed(table, COLUMNS))
                elif part.title == SIGNIFICANCE:
                    console.print(_beaten(table))
                elif part.title == CHANGE:
                    console.print(_printed(table, [heading.text for heading in table.header[-1]]))


def _printed(table: Table, columns: Sequence[str]) -> Printed:
    """The chosen columns of a table of words, block by block."""
    chosen = [place for place, heading in enumerate(table.header[-1]) if heading.text in columns]
    made = _empty(table, [table.corner, *(table.header[-1][place].text for place in chosen)])
    left_out = max(0, len(table.lines) - MOST_LINES)
    made.caption = Text(table.caption + (f" {left_out} more lines stand in the report." if left_out else ""))
    for group, lines in replace(table, lines=table.lines[:MOST_LINES]).groups:
        if group:
            made.add_row(Text(group, style="bold"))
        for line in lines:
            made.add_row(Text(line.label + marked(line.marks)), *(Text(line.entries[place].text) for place in chosen))
    return made


def _beaten(table: Table) -> Printed:
    """A significance table, told model by model."""
    made = _empty(table, ["model", "significantly better than"])
    made.caption = Text(table.caption)
    names = [heading.text for heading in table.header[-1]]
    for line in table.lines:
        won = [f"{name} ({entry.text})" for name, entry in zip(names, line.entries, strict=True) if entry.emphasis]
        made.add_row(Text(line.label + marked(line.marks)), Text(", ".join(won) or "–"))
    return made


def _empty(table: Table, columns: list[str]) -> Printed:
    made = Printed(title=Text(table.title + marked(table.marks)), title_justify="left", caption_justify="left")
    for name in columns:
        made.add_column(Text(name))
    return made
