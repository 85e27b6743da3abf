"""The tables that no paper prints: poses, correlations and their leverage, significance, cost, what is missing."""

from __future__ import annotations

import math

import pandas as pd

from bench.metrics.catalogue import CATALOGUE, METRICS
from bench.published import ALL
from bench.report.cards import dataset_title, in_order, title_of
from bench.report.paper_tables import model_rows, weight_marks
from bench.report.tables import Column, Entry, Heading, Line, Table, arrow, fill, number, words_table
from bench.stats.bootstrap import complete_units
from bench.stats.correlate import correlation
from bench.stats.significance import compare_pairs

ALPHA = 0.05  #: adjusted p-values below are called significant


def pose_table(means: pd.DataFrame) -> Table:
    """Pose errors of the training cameras before and after the joint refinement, geometry mode and InstantSplat."""
    chosen = means[(means["dataset"] == ALL) & means["mode"].isin(["instantsplat", "G"])].assign(mode="-")
    shown = [metric for metric in CATALOGUE if metric.kind == "pose"]
    stages = ("initial", "refined")
    return fill(
        model_rows(chosen),
        [Column(metric, ALL, "-", stage) for metric in shown for stage in stages],
        ([Heading(arrow(metric), 2) for metric in shown], [Heading(stage) for _ in shown for stage in stages]),
        name="poses",
        title="Training poses before and after joint refinement",
        caption="Geometry mode and InstantSplat, means over data sets. Against ground truth, after a similarity alignment; "
        "rotation in degrees, translation as a share of the scene's extent.",
        corner="method",
    )


def leverage_table(table: pd.DataFrame, pearsons: pd.DataFrame, dataset: str) -> Table:
    """Pearson, Spearman and Kendall of every 2D with every 3D metric, and what one single model does to Pearson's r.

    table: models x metrics. pearsons: bench.stats.correlate.correlations of it, method pearson.
    """
    lines = []
    for pearson in pearsons.to_dict("records"):
        x, y = pearson["x"], pearson["y"]
        interval = f"[{pearson['low']:.2f}, {pearson['high']:.2f}]" if math.isfinite(pearson["low"]) else ""
        influential = str(pearson["most_influential"]) if math.isfinite(pearson["r_without"]) else ""
        entries: list[str | Entry] = [
            number(pearson["r"]),
            interval,
            number(correlation(table[x], table[y], "spearman")["r"]),
            number(correlation(table[x], table[y], "kendall")["r"]),
            title_of(influential) if influential else "",
            number(pearson["r_without"]),
            f"{pearson['r_min']:.2f} to {pearson['r_max']:.2f}" if math.isfinite(pearson["r_min"]) else "",
        ]
        lines.append((f"{METRICS[x].label} – {METRICS[y].label}", entries))
    header = ("Pearson r", "95 %", "Spearman", "Kendall", "Most influential", "r without it", "r leaving one out")
    return words_table(
        f"leverage-{dataset}",
        f"Do 2D metrics follow 3D metrics? {dataset_title(dataset)}",
        header,
        lines,
        caption="Correlations over features in the geometry mode. One far-off feature can carry a correlation: the last "
        "columns say which one moves r most, what is left without it, and how far r moves when any one is left out.",
        corner="pair",
    )


def significance_table(units: pd.DataFrame, metric: str, name: str, title: str) -> Table:
    """Every model against every other over the scenes that both have: mean difference, row less column.

    units: (units, (model, weights)), as bench.stats.aggregate.unit_table gives it. Bold: significant in favour of the row,
    Holm-corrected over all pairs of the table. Empty where fewer than two models or scenes are complete.
    """
    complete, left_out = complete_units(units)
    if complete.shape[1] < 2 or len(complete) < 2:
        return Table(name, title, "", ((),), ())
    higher = bool(METRICS[metric].higher_is_better)
    order = list(complete.mean().sort_values(ascending=not higher, kind="stable").index)
    pairs = {(row["first"], row["second"]): row for row in compare_pairs(complete[order]).to_dict("records")}
    scale = METRICS[metric].factor
    digits = max(2, METRICS[metric].digits - (scale > 1))
    lines = []
    for first in order:
        entries = []
        for second in order:
            row = pairs.get((first, second)) or pairs.get((second, first))
            if row is None:
                entries.append(Entry("·"))
                continue
            sign = 1 if row["first"] == first else -1
            difference = sign * row["difference"] * scale
            wins = row["p_adjusted"] < ALPHA and (difference > 0) == higher and difference != 0
            entries.append(Entry(f"{difference:+.{digits}f}", difference, "best" if wins else ""))
        lines.append(Line(title_of(first[0]), tuple(entries), weight_marks(first[1])))
    smallest = min(row["p_adjusted"] for row in pairs.values())
    caption = (
        f"{arrow(METRICS[metric])}, mean difference over {len(complete)} scenes, row less column; bold where the row is "
        f"better with p < {ALPHA} (paired sign-flip test, Holm over {len(pairs)} pairs; smallest adjusted p {smallest:.2g})."
    )
    if left_out:
        caption += f" {left_out} scenes that lack a model are left out."
    header = (tuple(Heading(title_of(model)) for model, _ in order),)
    return Table(name, title, caption, header, tuple(lines), "row less column")


def cost_table(cells: pd.DataFrame) -> Table:
    """Mean seconds and the largest peak memory of each model's cells, by track. cells: one row a cell."""
    lines = []
    for track, group in (("probe", "Probe"), ("geometry", "Geometry")):
        own = cells[cells["track"] == track]
        for model in in_order(own["model"], track):
            for weights, rows in own[own["model"] == model].groupby("weights", sort=True):
                texts = (str(len(rows)), f"{rows['seconds'].mean():.1f}", f"{rows['peak_memory_mb'].max():.0f}")
                label = title_of(model, track)
                lines.append(Line(label, tuple(map(Entry, texts)), weight_marks(str(weights)), group))
    header = tuple(Heading(text) for text in ("Cells", "Seconds a cell", "Peak MB"))
    return Table("cost", "Time and memory", "Mean seconds, largest peak memory.", (header,), tuple(lines), "model")


def gap_table(bad: pd.DataFrame) -> Table:
    """What could not be measured, grouped by reason. bad: the rows whose status is not ok."""
    lines = []
    for (status, metric, note), rows in bad.groupby(["status", "metric", "note"], sort=True):
        cells = rows[["dataset", "scene", "model", "mode"]].drop_duplicates()
        first = " ".join(part for part in cells.iloc[0] if part != "-")
        others = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        label = "whole cell" if metric == "cell" else METRICS[metric].label if metric in METRICS else str(metric)
        lines.append((label, [str(status), str(len(rows)), first + others, str(note)]))
    header = ("Status", "Values", "Cells", "Reason")
    return words_table("gaps", "What could not be measured", header, lines, corner="metric")
