"""Tables as data: what stands where, which value is best, what is missing. Rendering is another file's business.

A layout is a pure function from means over scenes (bench.stats.aggregate) to a `Table`; a missing value is a dash, a mean
over fewer values than there should be carries how many it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from bench.metrics.catalogue import CATALOGUE, METRICS, Metric

Emphasis = Literal["", "best", "second"]
MISSING = "–"


@dataclass(frozen=True)
class Entry:
    """One value of a table: what is printed, the number behind it, its emphasis, and what a reader must know of it."""

    text: str = MISSING
    value: float = math.nan
    emphasis: Emphasis = ""
    note: str = ""


@dataclass(frozen=True)
class Heading:
    """A header cell over `span` columns."""

    text: str
    span: int = 1


@dataclass(frozen=True)
class Line:
    """A row: its label, labels that mark it (random weights, published, …) and its entries."""

    label: str
    entries: tuple[Entry, ...]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table: header levels from the top, then lines. `name` is what its files are called."""

    name: str
    title: str
    caption: str
    header: tuple[tuple[Heading, ...], ...]
    lines: tuple[Line, ...]
    corner: str = ""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """What one column of a table holds: the rows that fit `where`, of one metric."""

    where: tuple[tuple[str, str], ...]
    metric: Metric

    def pick(self, means: pd.DataFrame) -> pd.DataFrame:
        chosen = means["metric"] == self.metric.name
        for column, value in self.where:
            chosen &= means[column] == value
        return means[chosen]


def layout(
    means: pd.DataFrame,
    *,
    name: str,
    title: str,
    caption: str,
    header: Sequence[Sequence[Heading]],
    columns: Sequence[Column],
    lines: Sequence[tuple[str, tuple[str, ...], pd.DataFrame]],
    corner: str,
) -> Table:
    """Fill a table: `lines` are (label, marks, the means that belong to the line)."""
    entries = [[_entry(column.pick(rows), column.metric) for column in columns] for _, _, rows in lines]
    for position, column in enumerate(columns):
        _emphasise(entries, position, column.metric)
    filled = tuple(
        Line(label, tuple(row), marks)
        for (label, marks, _), row in zip(lines, entries, strict=True)
        if any(entry.text != MISSING for entry in row)
    )
    return Table(name, title, caption, tuple(tuple(level) for level in header), filled, corner)


def _entry(found: pd.DataFrame, metric: Metric) -> Entry:
    if found.empty:
        return Entry()
    row = found.iloc[0]
    ok, total = int(row["n_ok"]), int(row["n_total"])
    note = "" if ok == total else f"{ok} of {total} values"
    if ok == 0 or not math.isfinite(row["value"]):
        return Entry("✗", math.nan, "", str(row.get("note", "")) or note or "no value")
    return Entry(printed(row["value"], metric), float(row["value"]), "", note)


def printed(value: float, metric: Metric) -> str:
    """A stored value as tables print it; an SSIM of 0.7442 as .7442, as the papers do."""
    text = f"{value * metric.factor:.{metric.digits}f}"
    return text.removeprefix("0") if metric.bare_fraction and text.startswith("0.") else text


def _emphasise(entries: list[list[Entry]], position: int, metric: Metric) -> None:
    """Mark the best and the second best of a column as printed: equal prints share their emphasis."""
    if metric.higher_is_better is None:
        return
    shown = [float(row[position].text) for row in entries if math.isfinite(row[position].value)]
    ordered = sorted(set(shown), reverse=metric.higher_is_better)
    if len(shown) < 2:
        return
    for row in entries:
        entry = row[position]
        if math.isfinite(entry.value) and float(entry.text) in ordered[:2]:
            row[position] = replace(entry, emphasis="best" if float(entry.text) == ordered[0] else "second")


def arrow(metric: Metric) -> str:
    """The metric's label with the direction that is better."""
    return metric.label + {True: "↑", False: "↓", None: ""}[metric.higher_is_better]


# -------------------------------------------------------------------------------------------------------------- layouts


def probe_table(
    means: pd.DataFrame, dataset: str, modes: Sequence[tuple[str, str]], title: str, metrics: Sequence[str]
) -> Table:
    """Feat2GS, table 3: features x modes x metrics of one data set. modes: (mode, what the header calls it)."""
    rows = means[means["dataset"] == dataset]
    shown = [METRICS[metric] for metric in metrics]
    columns = [Column((("mode", mode),), metric) for mode, _ in modes for metric in shown]
    header = (
        [Heading(label, len(shown)) for _, label in modes],
        [Heading(arrow(metric)) for _ in modes for metric in shown],
    )
    return layout(
        rows,
        name=f"probe-{dataset}-{'-'.join(mode for mode, _ in modes).lower()}",
        title=title,
        caption="",
        header=header,
        columns=columns,
        lines=_model_lines(rows),
        corner="feature",
    )


def cloud_table(means: pd.DataFrame, dataset: str, metrics_2d: Sequence[str], metrics_3d: Sequence[str], unit: str) -> Table:
    """Feat2GS, figure 4a: 2D metrics against 3D metrics of one data set in the geometry mode."""
    rows = means[(means["dataset"] == dataset) & (means["mode"] == "G")]
    shown = [METRICS[metric] for metric in (*metrics_2d, *metrics_3d)]
    return layout(
        rows,
        name=f"probe-{dataset}-2d-3d",
        title="2D metrics against 3D metrics, geometry mode",
        caption=f"3D metrics in the data set's unit ({unit}).",
        header=(
            [Heading("2D metrics", len(metrics_2d)), Heading("3D metrics", len(metrics_3d))],
            [Heading(arrow(metric)) for metric in shown],
        ),
        columns=[Column((), metric) for metric in shown],
        lines=_model_lines(rows),
        corner="feature",
    )


def geometry_table(means: pd.DataFrame, block: str, title: str) -> Table:
    """MoGe, tables 1 and 2: methods x data sets x (Rel, delta) under one alignment, with Average and Rank."""
    return _table_over_datasets(
        means[means["alignment"] == block],
        metrics=("rel", "delta"),
        name=f"geometry-{block.replace('_', '-')}",
        title=title,
        caption="Percentages. Average: over data sets. Rank: mean over data sets and metrics, ties share the average rank.",
    )


def field_of_view_table(means: pd.DataFrame) -> Table:
    """MoGe, table 3: mean and median absolute error of the horizontal field of view, in degrees."""
    return _table_over_datasets(
        means[means["alignment"] == "fov_crops"],
        metrics=("fov_x_error", "fov_x_error_median"),
        name="geometry-fov",
        title="Field of view",
        caption="Absolute error of the horizontal field of view in degrees, over centred crops.",
    )


def boundary_table(means: pd.DataFrame) -> Table:
    """MoGe: F1 of relative depth jumps, over the data sets with sharp boundaries."""
    return _table_over_datasets(
        means[means["alignment"] == "boundary"],
        metrics=("boundary_f1",),
        name="geometry-boundary",
        title="Boundaries",
        caption="F1 of relative depth jumps, in percent, within a radius of one pixel.",
    )


def _table_over_datasets(rows: pd.DataFrame, *, metrics: Sequence[str], name: str, title: str, caption: str) -> Table:
    datasets = list(dict.fromkeys(rows["dataset"]))
    shown = [METRICS[metric] for metric in metrics]
    columns = [Column((("dataset", dataset),), metric) for dataset in datasets for metric in shown]
    labels = [Heading(arrow(metric)) for metric in shown]
    table = layout(
        rows,
        name=name,
        title=title,
        caption=caption,
        header=(
            [*(Heading(dataset, len(shown)) for dataset in datasets), Heading("Average", len(shown) + 1)],
            [*(labels * len(datasets)), *labels, Heading("Rank↓")],
        ),
        columns=columns,
        lines=_model_lines(rows),
        corner="method",
    )
    return _with_average_and_rank(table, columns)


def _model_lines(means: pd.DataFrame) -> list[tuple[str, tuple[str, ...], pd.DataFrame]]:
    """One line a model and kind of weights, single models first, then concatenations; InstantSplat last."""
    lines = []
    for (model, weights), rows in means.groupby(["model", "weights"], sort=False):
        label = "InstantSplat" if model == "-" else str(model)
        marks = ("random weights",) if weights == "random" else ()
        lines.append((label, marks, rows))
    return sorted(lines, key=lambda line: (line[0] == "InstantSplat", "+" in line[0], line[0]))


def _with_average_and_rank(table: Table, columns: Sequence[Column]) -> Table:
    """Append the two averages over data sets and the mean rank; a line that lacks a data set has neither."""
    if not table.lines:
        return table
    values = np.array([[entry.value for entry in line.entries] for line in table.lines]).reshape(-1, len(columns))
    signs = [-1.0 if column.metric.higher_is_better else 1.0 for column in columns]
    ranks = pd.DataFrame(values * signs).rank(axis=0, method="average").to_numpy()
    kinds = list(dict.fromkeys(column.metric.name for column in columns))
    extra: list[list[Entry]] = []
    for index in range(len(table.lines)):
        row: list[Entry] = []
        for kind in kinds:
            picked = [values[index, j] for j, column in enumerate(columns) if column.metric.name == kind]
            row.append(_computed(float(np.mean(picked)), METRICS[kind]))
        row.append(_computed(float(np.mean(ranks[index])), RANK))
        extra.append(row)
    for position, metric in enumerate([*(METRICS[kind] for kind in kinds), RANK]):
        _emphasise(extra, position, metric)
    lines = tuple(replace(line, entries=(*line.entries, *row)) for line, row in zip(table.lines, extra, strict=True))
    return replace(table, lines=lines)


RANK = Metric("rank", "Rank", "geometry", "", False, "other", "mean rank", digits=2)


def _computed(value: float, metric: Metric) -> Entry:
    return Entry(printed(value, metric), value) if math.isfinite(value) else Entry(note="not every data set has a value")


def non_empty(tables: Iterable[Table]) -> list[Table]:
    """Those that have at least one value."""
    return [table for table in tables if any(entry.text != MISSING for line in table.lines for entry in line.entries)]


# ------------------------------------------------------------------------------------------------- tables beside the papers'


def instantsplat_table(means: pd.DataFrame, dataset: str, metrics: Sequence[str]) -> Table:
    """Feat2GS, table 5: the baseline without features beside the geometry mode of every feature."""
    chosen = means[(means["dataset"] == dataset) & means["mode"].isin(["instantsplat", "G"])]
    if "instantsplat" not in set(chosen["mode"]):
        chosen = chosen[:0]
    return layout(
        chosen,
        name="instantsplat",
        title="InstantSplat beside the geometry mode",
        caption="InstantSplat optimises every attribute freely and sees no feature.",
        header=([Heading(arrow(METRICS[metric])) for metric in metrics],),
        columns=[Column((), METRICS[metric]) for metric in metrics],
        lines=_model_lines(chosen),
        corner="method",
    )


def pose_table(means: pd.DataFrame, dataset: str) -> Table:
    """Pose errors of the training cameras before and after the joint refinement, geometry mode and InstantSplat."""
    chosen = means[(means["dataset"] == dataset) & means["mode"].isin(["instantsplat", "G"])]
    shown = [metric for metric in CATALOGUE if metric.kind == "pose"]
    stages = ("initial", "refined")
    return layout(
        chosen,
        name="poses",
        title="Training poses before and after joint refinement",
        caption="Against ground truth, after a similarity alignment; translation as a share of the scene's extent.",
        header=([Heading(arrow(metric), 2) for metric in shown], [Heading(stage) for _ in shown for stage in stages]),
        columns=[Column((("alignment", stage),), metric) for metric in shown for stage in stages],
        lines=_model_lines(chosen),
        corner="method",
    )


def leverage_table(found: pd.DataFrame) -> Table:
    """Pearson, Spearman and Kendall of every 2D with every 3D metric, and what one single model does to Pearson's r."""
    lines = []
    for pair, rows in found.groupby(["x", "y"], sort=False):
        x, y = map(str, pair)
        by_method = {row["method"]: row for row in rows.to_dict("records")}
        pearson = by_method["pearson"]
        entries = [
            _number(pearson["r"]),
            Entry(f"[{pearson['low']:.2f}, {pearson['high']:.2f}]" if math.isfinite(pearson["low"]) else MISSING),
            _number(by_method["spearman"]["r"]),
            _number(by_method["kendall"]["r"]),
            Entry(str(pearson["most_influential"]) or MISSING),
            _number(pearson["r_without"]),
        ]
        lines.append(Line(f"{METRICS[x].label} – {METRICS[y].label}", tuple(entries)))
    header = ["Pearson r", "95 %", "Spearman", "Kendall", "most influential", "r without it"]
    return Table(
        "leverage",
        "Do 2D metrics follow 3D metrics?",
        "Correlations over features, geometry mode. One far-off feature can carry a correlation: the last columns say which "
        "one moves r most, and what is left without it.",
        (tuple(Heading(text) for text in header),),
        tuple(lines),
        "pair",
    )


def cost_table(cells: pd.DataFrame) -> Table:
    """Mean seconds and the largest peak memory of each model's cells, by track. cells: one row a cell."""
    lines = []
    for (track, model, weights), rows in cells.groupby(["track", "model", "weights"], sort=True):
        label = "InstantSplat" if model == "-" else str(model)
        marks = ("random weights",) if weights == "random" else ()
        entries = (
            Entry(str(track)),
            Entry(str(len(rows))),
            Entry(f"{rows['seconds'].mean():.1f}"),
            Entry(f"{rows['peak_memory_mb'].max():.0f}"),
        )
        lines.append(Line(label, entries, marks))
    header = tuple(Heading(text) for text in ("track", "cells", "seconds", "peak MB"))
    return Table("cost", "Time and memory", "", (header,), tuple(lines), "model")


def gap_table(bad: pd.DataFrame) -> Table:
    """What could not be measured, grouped by reason. bad: the rows whose status is not ok."""
    lines = []
    for (status, metric, note), rows in bad.groupby(["status", "metric", "note"], sort=True):
        cells = rows[["dataset", "scene", "model", "mode"]].drop_duplicates()
        first = " ".join(part for part in cells.iloc[0] if part != "-")
        others = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        entries = (Entry(str(status)), Entry(str(len(rows))), Entry(first + others), Entry(str(note)))
        lines.append(Line("whole cell" if metric == "cell" else str(metric), entries))
    header = tuple(Heading(text) for text in ("status", "values", "cells", "reason"))
    return Table("gaps", "What could not be measured", "", (header,), tuple(lines), "metric")


def _number(value: float) -> Entry:
    return Entry(f"{value:.2f}", float(value)) if math.isfinite(value) else Entry()
