"""What could not be measured."""

from __future__ import annotations

import pandas as pd

from bench.report.page.page import Part, Section, section
from bench.report.tables.runs import gap_table


def gap_sections(rows: pd.DataFrame) -> list[Section]:
    """What could not be measured, and why: shown, never averaged away."""
    bad = rows[rows["status"] != "ok"]
    if bad.empty:
        return []
    part = Part("Gaps and failures", tables=(gap_table(bad),))
    return [section("gaps", "Gaps and failures", [part], text=(f"{len(bad)} of {len(rows)} values could not be measured.",))]
