"""What a report opens with: the headline of every set of conditions, in one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.metrics.catalogue import METRICS
from bench.plan import NO_MODEL
from bench.published import ALL
from bench.report import conditions
from bench.report.beside import BLOCKS
from bench.report.cards import title_of
from bench.report.page import Part, Section, section
from bench.report.paper_tables import GTA
from bench.report.tables import MISSING, Entry, Heading, Line, Table, arrow, printed

HEADLINES = {"probe": "psnr", "geometry": "rel"}  #: the metric that stands for a track
_HEADER = ("Metric", "Best", "Second", "Beside them, not ranked")
INSTANTSPLAT = " InstantSplat sees no feature and optimises everything: what the modes are set beside."
_UNITS = {"psnr": " dB", "rel": " %"}


def overview_section(means: pd.DataFrame) -> Section:
    """The best and the second of every mode and alignment, beside the rows that take no part. means: of measured rows."""
    table = Table(
        "headlines",
        "Results in brief",
        "Averages over data sets." + (INSTANTSPLAT if NO_MODEL in set(means["model"]) else ""),
        (tuple(map(Heading, _HEADER)),),
        tuple(_lines(means[means["dataset"] == ALL])),
        "conditions",
        words=True,
    )
    return section("overview", table.title, [Part(table.title, tables=(table,))])


def _lines(means: pd.DataFrame) -> Iterator[Line]:
    groups = means.groupby(["track", "protocol", "pointmap"], sort=True)
    for key, part in sorted(groups, key=lambda group: list(HEADLINES).index(str(group[0][0]))):
        track, protocol, pointmap = map(str, key)
        valued = part[(part["metric"] == HEADLINES.get(track, "")) & part["value"].notna()]
        column = "mode" if track == "probe" else "alignment"
        for name, title in (GTA if track == "probe" else BLOCKS).items():
            rows = valued[valued[column] == name]
            if len(rows):
                beside = valued[valued["model"] == NO_MODEL] if track == "probe" else valued[:0]
                marks = conditions.condition_marks(protocol, pointmap)
                group = f"{track.capitalize()}, {protocol}" + (f", point map {pointmap}" if pointmap != "-" else "")
                yield Line(title, _entries(rows, beside, track), marks, group)


def _entries(rows: pd.DataFrame, beside: pd.DataFrame, track: str) -> tuple[Entry, ...]:
    metric = METRICS[HEADLINES[track]]

    def told(row: dict[Any, Any]) -> str:
        marks = "".join(f", {mark}" for mark in conditions.row_marks(str(row["model"]), str(row["weights"])))
        return (
            f"{title_of(str(row['model']), track)} {printed(float(str(row['value'])), metric)}{_UNITS[metric.name]}{marks}"
        )

    ordered = rows.sort_values("value", ascending=not metric.higher_is_better, kind="stable")
    ranked = [told(row) for row in ordered[ordered["ranked"]].to_dict("records")]
    others = [told(row) for row in pd.concat([beside, ordered[~ordered["ranked"]]]).to_dict("records")]
    return (
        Entry(arrow(metric)),
        Entry(ranked[0] if ranked else MISSING, emphasis="best" if len(ranked) > 1 else ""),
        Entry(ranked[1] if len(ranked) > 1 else MISSING, emphasis="second" if len(ranked) > 1 else ""),
        Entry("; ".join(others) or MISSING),
    )
