"""What a report opens with: the headline of every set of conditions, in one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.core.cells import INSTANTSPLAT, OVER_DATASETS
from bench.metrics.catalogue import headline
from bench.report.page.page import Part, Section, section
from bench.report.say import marks as conditions
from bench.report.say.cards import title_of
from bench.report.say.verdict import verdicts
from bench.report.tables.beside import BLOCKS
from bench.report.tables.model import MISSING, Entry, Heading, Line, Table, arrow, coverage
from bench.report.tables.papers import GTA
from bench.stats.rank import best_and_second

INTERVALS = "Differences are of the same scenes, + being better; in brackets the 95 % bootstrap interval over scenes."
TRACKS = ("probe", "geometry")  #: in the order in which they stand
_HEADER = ("Metric", "Best", "Second", "Beside them, not ranked")
ABOUT_INSTANTSPLAT = " InstantSplat sees no feature and optimises everything: what the modes are set beside."
MOST_BESIDE = 5  #: rows that are named beside the best; the tables have them all


def overview_section(rows: pd.DataFrame, means: pd.DataFrame) -> Section:
    """What the run says, in sentences, and the best and the second of every mode and alignment in which something is ranked.

    Args:
        rows: Measured rows.
        means: Of them; the table shows them as printed, beside the rows that take no part and the averages that are not
            complete.
    """
    said = [
        Part(verdict.title, verdict.sentences, marks=verdict.marks) for verdict in verdicts(rows, means, {**GTA, **BLOCKS})
    ]
    table = Table(
        "headlines",
        "Results in brief",
        "Averages over data sets." + (ABOUT_INSTANTSPLAT if INSTANTSPLAT in set(means["model"]) else ""),
        (tuple(map(Heading, _HEADER)),),
        tuple(_lines(means[means["dataset"] == OVER_DATASETS])),
        "conditions",
        words=True,
    )
    return section("overview", "What this run says", [*said, Part(table.title, tables=(table,))], text=(INTERVALS,))


def _lines(means: pd.DataFrame) -> Iterator[Line]:
    groups = means.groupby(["track", "protocol", "pointmap"], sort=True)
    for key, part in sorted(groups, key=lambda group: TRACKS.index(str(group[0][0]))):
        track, protocol, pointmap = map(str, key)
        standing = part[part["metric"] == headline(track).name]
        # Nobody misses what could not be asked for; an average that lacks a data set is named although it has no value.
        shown = standing[standing["value"].notna() | (standing["status"] != "unavailable")]
        column = "mode" if track == "probe" else "alignment"
        for name, title in (GTA if track == "probe" else BLOCKS).items():
            rows = shown[shown[column] == name]
            if (rows["ranked"] & rows["value"].notna()).any():
                beside = shown[shown["model"] == INSTANTSPLAT] if track == "probe" else shown[:0]
                marks = conditions.marks_of_conditions(rows)
                group = conditions.title_of_conditions(track, protocol, pointmap)
                yield Line(title, _entries(rows, beside, track), marks, group)


def _entries(rows: pd.DataFrame, beside: pd.DataFrame, track: str) -> tuple[Entry, ...]:
    metric = headline(track)

    def told(row: dict[Any, Any]) -> str:
        marks = [*conditions.row_marks(str(row["role"]), str(row["weights"])), coverage(row), str(row["overlap"])]
        return ", ".join([f"{title_of(str(row['model']), track)} {metric.told(row['value'])}", *filter(None, marks)])

    def listed(chosen: pd.DataFrame) -> str:
        more = f"; and {len(chosen) - MOST_BESIDE} more" if len(chosen) > MOST_BESIDE else ""
        return ("; ".join(map(told, chosen.head(MOST_BESIDE).to_dict("records"))) or MISSING) + more

    ordered = rows.sort_values("value", ascending=not metric.higher_is_better, kind="stable")
    ranked = ordered[ordered["ranked"]]
    sign = -1 if metric.higher_is_better else 1
    numbers = ranked["value"].map(lambda value: sign * float(metric.printed(value)))
    place = best_and_second(numbers, [ranked["metric"]])
    best, second = ranked[(place == 1) | (len(ranked) == 1)], ranked[place == 2]
    return (
        Entry(arrow(metric)),
        Entry(listed(best), emphasis="best" if len(ranked) > 1 else ""),
        Entry(listed(second), emphasis="second" if len(second) else ""),
        Entry(listed(pd.concat([beside, ordered[~ordered["ranked"]]]))),
    )
