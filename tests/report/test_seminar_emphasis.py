"""Where the tables are bold and underlined as MoGe's paper prints them (transcript), and where ours are: of 675 cells 50
differ, and none in what is best but one, which is underlined there although it is the lowest of its column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.report.say.means import table_means
from bench.report.tables import papers as paper_tables
from bench.report.tables.model import Table
from bench.results.reference.published import published_rows

#: (table, block's place, row's place, column's place) -> (text, mark there, mark here). Marks: best, second or "".
CONTRADICTIONS = {
    ("points", 1, 3, 14): ("4.37", "second", "best"),  # MoGe, DIODE: the others have 8.56 and more
    ("fov", 0, 5, 1): ("3.21", "second", ""),  # MoGe, NYUv2: WildCamera has 3.20, underlined too
}
#: so many cells that are the second of their column stand there without an underline; the ablation has none at all
UNDERLINES_LACKING = {"points": 1, "depth": 23, "ablation": 24}
#: the first words of each table's heading line in the transcript, in its order
HEADS = (("points", "Method\tNYUv2\t\tKITTI"), ("depth", "Method\tNYUv2\t\tKITTI"), ("fov", "Method\tNYUv2\t\tETH3D"))


def ours() -> dict[str, Table]:
    means = {name: table_means(published_rows(f"moge_{name}")) for name in ("points", "depth", "fov", "ablation")}
    return {
        "points": paper_tables.points_table(means["points"]),
        "depth": paper_tables.depth_table(means["depth"]),
        "fov": paper_tables.field_of_view_table(means["fov"]),
        "ablation": paper_tables.summary_table(means["ablation"]),
    }


def transcribed(text: str) -> dict[str, list[list[list[str]]]]:
    """table -> block -> row -> cells as they stand there."""
    lines = iter(text.splitlines())
    found: dict[str, list[list[list[str]]]] = {}
    for name, head in (*HEADS, ("ablation", "Ablation\tPoint")):
        next(line for line in lines if line.startswith(head))
        next(lines)
        found[name] = list(_blocks(lines, name))
    return found


def _blocks(lines: Iterator[str], name: str) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    for line in lines:
        if not line.strip():
            break
        cells = [cell.strip() for cell in line.split("\t")]
        numbers = [cell for cell in cells[1:] if cell]
        if not numbers or (name == "ablation" and cells[0].startswith("Full w/o trunc")):  # a block begins
            if block:
                yield block
            block = []
        if numbers:
            block.append(numbers)
    yield block


def marked(cell: str) -> tuple[str, str]:
    """The cell's text and its mark."""
    return re.sub(r"<[^>]*>", "", cell), "best" if "<b>" in cell else "second" if "<u>" in cell else ""


def test_every_cell_is_emphasised_as_in_the_paper_but_for_the_listed_ones(shared_data: Path) -> None:
    transcript = shared_data.parent / "reference" / "seminar.md"
    if not transcript.is_file():
        pytest.skip("the transcript of the papers' tables (../shared/reference/seminar.md) is not on this machine")
    text = transcript.read_text(encoding="utf-8")
    theirs = transcribed(text)
    compared, found = 0, {}
    for name, table in ours().items():
        blocks = [lines for _, lines in table.groups]
        assert [len(block) for block in blocks] == [len(block) for block in theirs[name]]
        for at, (lines, rows) in enumerate(zip(blocks, theirs[name], strict=True)):
            for row, (line, cells) in enumerate(zip(lines, rows, strict=True)):
                for column, (entry, cell) in enumerate(zip(line.entries, cells, strict=True)):
                    text, mark = marked(cell)
                    compared += 1
                    if mark != entry.emphasis:
                        found[name, at, row, column] = (text, mark, entry.emphasis)
    assert compared == 675
    assert {place: found.pop(place) for place in CONTRADICTIONS} == CONTRADICTIONS
    assert all((there, here) == ("", "second") for _, there, here in found.values())
    assert Counter(place[0] for place in found) == UNDERLINES_LACKING
