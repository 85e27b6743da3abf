"""The table of aggregations: who takes part, what is best, and that it prints what bench.stats computes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.report.tables.aggregations import aggregation_table
from bench.stats.aggregations import aggregations

COLUMNS = [
    ("dino", "pretrained", "model"),
    ("dinov2", "pretrained", "model"),
    ("sam", "pretrained", "model"),
    ("dinov2", "random", "model"),
    ("oracle-xyz", "none", "oracle"),
]
UNITS = pd.DataFrame(
    [[20, 21, 19, 10, 30], [22, 21, 19, 10, 30], [20, 23, 18, 10, 30], [20, 23, None, 10, 30]],
    columns=pd.MultiIndex.from_tuples(COLUMNS),
    dtype=float,
)


def test_marked_rows_take_no_part_and_the_numbers_are_the_computed_ones() -> None:
    table = aggregation_table(UNITS, "psnr", "aggregations", "Other aggregations")
    assert [line.label for line in table.lines] == ["DINOv2", "DINO", "SAM"]
    expected = aggregations(UNITS[COLUMNS[:3]], higher_is_better=True)
    first = [entry.text for entry in table.lines[0].entries]
    row = expected.loc[("dinov2", "pretrained", "model")]
    assert first[0] == "21.67"  # of three scenes: the fourth lacks SAM
    assert first[1:4] == ["1.33", f"{100 * row['wins']:.1f}", f"{row['elo']:.0f}"]
    assert first[2] == "83.3"  # it beats SAM three times and DINO twice, of six comparisons
    assert first[4] == f"[{row['elo_low']:.0f}, {row['elo_high']:.0f}]"
    assert [entry.emphasis for entry in table.lines[0].entries] == ["best"] * 4 + [""]
    assert "(1 are left out)" in table.caption


def test_where_nothing_can_be_compared_the_table_is_empty() -> None:
    assert aggregation_table(UNITS[COLUMNS[:1]], "psnr", "a", "A").lines == ()


def test_reports_hold_it(report: Path) -> None:
    assert "Other aggregations: PSNR, mode G" in (report / "report.md").read_text(encoding="utf-8")
