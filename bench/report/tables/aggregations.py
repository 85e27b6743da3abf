"""Mean, mean rank, win rate and Elo side by side: does the order of the models depend on how their scenes are added up?"""

from __future__ import annotations

import pandas as pd

from bench.metrics.catalogue import METRICS
from bench.report.say.cards import title_of
from bench.report.say.marks import row_marks
from bench.report.tables.model import MISSING, Entry, Heading, Line, Table, arrow, emphasised, number
from bench.stats.aggregations import aggregations
from bench.stats.bootstrap import complete_units


def aggregation_table(units: pd.DataFrame, metric: str, name: str, title: str, track: str = "probe") -> Table:
    """One line a model, the best Elo first.

    Args:
        units: (units, (model, weights, role)), as bench.report.say.marks.scenes_by_model gives it; random weights, controls
            and models that read the truth take no part.
        metric: A metric of the catalogue with a direction.
        name: Of the table's file.
        title: Of the table.
        track: "probe" or "geometry".

    Returns:
        The table, empty for fewer than two models that share a scene.
    """
    taking_part = [column for column in units.columns if not row_marks(str(column[2]), str(column[1]))]
    own = units[taking_part]
    higher = bool(METRICS[metric].higher_is_better)
    found = aggregations(own, higher).sort_values("elo", ascending=False, kind="stable")
    if found.empty:
        return Table(name, title, "", ((),), ())
    _, left_out = complete_units(own)
    lines = []
    for model, (_, row) in zip([str(column[0]) for column in found.index], found.iterrows(), strict=True):
        interval = f" [{row['elo_low']:.0f}, {row['elo_high']:.0f}]" if pd.notna(row["elo_low"]) else ""
        entries = (
            Entry(METRICS[metric].printed(row["mean"]), row["mean"]),
            number(row["rank"]),
            number(100 * row["wins"], 1),
            number(row["elo"], 0),
            Entry(interval.strip() or MISSING),
        )
        lines.append(Line(title_of(model, track), entries))
    header = tuple(map(Heading, (arrow(METRICS[metric]), "Mean rank↓", "Wins, %↑", "Elo↑", "95 %")))
    count = int(found["n"].iloc[0])
    caption = (
        f"Over the {count} scenes that every model here has{f' ({left_out} are left out)' if left_out else ''}. Wins: share "
        "of the comparisons with another model on a scene, a tie counting half. Elo: Bradley-Terry ratings of these "
        "comparisons, mean 1000, 400 points are odds of ten to one; interval: bootstrap over scenes. Ratings say who wins, "
        "not by how much."
    )
    table = Table(name, title, caption, (header,), tuple(lines), "model")
    return emphasised(table, [higher, False, True, True, None])
