"""The tables that no paper prints: poses, correlations and their leverage, significance, cost, what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.core.cells import INSTANTSPLAT, OVER_DATASETS, WHOLE_CELL, shared_note
from bench.core.interfaces import Card
from bench.metrics.catalogue import CATALOGUE, METRICS
from bench.report.say.cards import (
    card_of,
    dataset_card,
    dataset_title,
    datasets_in_order,
    in_order,
    loaded,
    registered_card,
    singles,
    title_of,
)
from bench.report.say.marks import row_marks
from bench.report.say.verdict import Lead
from bench.report.tables.model import MISSING, Column, Entry, Heading, Line, Table, arrow, fill, number, words_table
from bench.report.tables.papers import model_rows
from bench.stats.bootstrap import complete_units
from bench.stats.correlate import coefficient, correlation, correlations
from bench.stats.significance import compare_pairs, smallest_p

ALPHA = 0.05  #: adjusted p-values below are called significant


def pose_table(means: pd.DataFrame) -> Table:
    """Pose errors of the training cameras before and after the joint refinement, geometry mode and InstantSplat."""
    chosen = means[(means["dataset"] == OVER_DATASETS) & means["mode"].isin([INSTANTSPLAT, "G"])].assign(mode="-")
    shown = [metric for metric in CATALOGUE if metric.kind == "pose"]
    stages = ("initial", "refined")
    # Where the cameras start is the point map's doing, not the feature's: nothing there is best.
    metrics = {"initial": [replace(metric, higher_is_better=None) for metric in shown], "refined": shown}
    return fill(
        model_rows(chosen),
        [Column(metrics[stage][place], OVER_DATASETS, "-", stage) for place in range(len(shown)) for stage in stages],
        ([Heading(arrow(metric), 2) for metric in shown], [Heading(stage) for _ in shown for stage in stages]),
        name="poses",
        title="Training poses before and after joint refinement",
        caption="Geometry mode and InstantSplat, means over data sets. Against ground truth, after a similarity alignment: "
        "rotation in degrees, translation as a share of the scene's extent. Without an alignment: AUC of the relative poses "
        "of all pairs of views up to 5, 15 and 30 degrees, in percent; of the errors of rotation and of the direction of "
        "translation the larger one counts (PoseDiffusion, VGGT). Initial poses are the initialiser's, whatever is probed.",
        corner="method",
    )


def leverage_table(table: pd.DataFrame, dataset: str) -> Table:
    """How far every 2D metric follows every 3D metric over features, and what one single feature does to that.

    Args:
        table: (features, metrics), oriented (bench.stats.correlate.oriented): a positive correlation says that features
            which are better in one are better in the other.
        dataset: The data set's name.

    Returns:
        Spearman's rho first, as Feat2GS reports it, Pearson's r beside it; both with the bootstrap interval over features
        and without the feature that moves Pearson's r most.
    """
    flat, deep = ([str(name) for name in table if METRICS[str(name)].kind == kind] for kind in ("2d", "3d"))
    pearsons = correlations(table, flat, deep, ("pearson",))
    lines = []
    for pearson in pearsons.to_dict("records"):
        x, y = pearson["x"], pearson["y"]
        spearman = correlation(table[x], table[y], "spearman")
        influential = str(pearson["most_influential"]) if math.isfinite(pearson["r_without"]) else ""
        rest = table.drop(influential, errors="ignore")
        entries: list[str | Entry] = [
            number(spearman["r"]),
            _interval(spearman),
            number(coefficient(rest[x], rest[y], "spearman")) if influential else "",
            number(pearson["r"]),
            _interval(pearson),
            number(pearson["r_without"]),
            title_of(influential) if influential else "",
        ]
        lines.append((f"{METRICS[x].label} – {METRICS[y].label}", entries))
    header = ("Spearman ρ", "95 %", "ρ without", "Pearson r", "95 %", "r without", "the most influential feature")
    return words_table(
        f"leverage-{dataset}",
        f"Do 2D metrics follow 3D metrics? {dataset_title(dataset)}",
        header,
        lines,
        caption="Correlations over features in the geometry mode; metrics where lower is better count negated, so that a "
        "positive number says: better in one, better in the other. Intervals: bootstrap over features. One far-off feature "
        "can carry a Pearson correlation: the last column names the one that moves r most, and both are shown without it.",
        corner="pair",
    )


def _interval(found: Mapping[Any, float]) -> str:
    return f"[{found['low']:.2f}, {found['high']:.2f}]" if math.isfinite(found["low"]) else ""


def can_be_significant(units: pd.DataFrame) -> bool:
    """Whether the units suffice for any p below ALPHA, after the correction for all pairs of models."""
    complete, _ = complete_units(units)
    return smallest_p(len(complete), math.comb(complete.shape[1], 2)) < ALPHA


def no_test(units: pd.DataFrame, what: str) -> tuple[str, ...]:
    """Why there is no test of significance; () where there is one, or where there is nothing to test."""
    complete, _ = complete_units(units)
    if complete.shape[1] < 2 or can_be_significant(units):
        return ()
    pairs = math.comb(complete.shape[1], 2)
    smallest = smallest_p(len(complete), pairs)
    return (
        f"{what}: no test. Over {len(complete)} scenes and {pairs} pairs the smallest p that the paired sign-flip test can "
        f"give is {smallest:.2g}; run more scenes.",
    )


def training_table(gains: Sequence[tuple[str, str, Lead]]) -> Table:
    """What the training of each network adds to the same network untrained: (model, mode title, lead), as
    bench.report.say.verdict.training_gains gives them."""
    modes = list(dict.fromkeys(mode for _, mode, _ in gains))
    held = {(model, mode): found for model, mode, found in gains}
    models = in_order((model for model, _, _ in gains), "probe")
    lines = [
        (title_of(model), [str(held[model, mode]) if (model, mode) in held else "" for mode in modes]) for model in models
    ]
    scenes = sorted({found.scenes for _, _, found in gains})
    return words_table(
        "training",
        "Trained minus untrained",
        modes,
        lines,
        caption="What the weights know, beyond the architecture: the model less the same network untrained, on the same "
        f"scenes ({', '.join(map(str, scenes))}), + being better; in brackets the 95 % bootstrap interval over scenes.",
        corner="model",
    )


def significance_table(units: pd.DataFrame, metric: str, name: str, title: str) -> Table:
    """Every model against every other over the scenes that both have: mean difference, row less column.

    units: (units, (model, weights, role)), as bench.stats.aggregate.unit_table gives it. Bold: significant in favour of the
    row, Holm-corrected over all pairs of the table. Empty where fewer than two models are complete, or where no difference
    could be significant however large (`can_be_significant`).
    """
    complete, left_out = complete_units(units)
    if complete.shape[1] < 2 or not can_be_significant(units):
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
        lines.append(Line(title_of(first[0]), tuple(entries), row_marks(first[2], first[1])))
    smallest = min(row["p_adjusted"] for row in pairs.values())
    caption = (
        f"{arrow(METRICS[metric])}, mean difference over {len(complete)} scenes, row less column; bold where the row is "
        f"better with p < {ALPHA} (paired sign-flip test, Holm over {len(pairs)} pairs; smallest adjusted p {smallest:.2g})."
    )
    if left_out:
        caption += f" {left_out} scenes that lack a model are left out."
    header = (tuple(Heading(title_of(model)) for model, *_ in order),)
    return Table(name, title, caption, header, tuple(lines), "row less column")


def cost_table(cells: pd.DataFrame) -> Table:
    """What each model's cells took, by track and protocol.

    Args:
        cells: One row a cell. Cells that shared a GPU have no seconds: they count, but take no part in time.
    """
    lines = []
    for track, name in (("probe", "Probe"), ("geometry", "Geometry")):
        for protocol, own in cells[cells["track"] == track].groupby("protocol", sort=True, observed=True):
            for model in in_order(own["model"], track):
                kinds = own[own["model"] == model].groupby(["weights", "role"], sort=True, observed=True)
                for (weights, role), rows in kinds:
                    hours = [rows.loc[rows["device"] == device, "seconds"].sum() / 3600 for device in ("cpu", "cuda")]
                    mean, peak, read = rows["seconds"].mean(), rows["peak_memory_mb"].max(), rows["read_mb"]
                    texts = (
                        str(len(rows)),
                        MISSING if math.isnan(mean) else f"{mean:.1f}",
                        *(f"{each:.3g}" if each else "" for each in hours),
                        MISSING if math.isnan(peak) else f"{peak:.0f}",
                        f"{read.sum() / 1024:.3g}" if read.notna().all() else "",
                    )
                    marks = row_marks(str(role), str(weights))
                    lines.append(Line(title_of(model, track), tuple(map(Entry, texts)), marks, f"{name}, {protocol}"))
    header = tuple(Heading(text) for text in ("Cells", "Seconds a cell", "CPU hours", "GPU hours", "Peak MB", "GB read"))
    caption = (
        "Mean seconds, hours of all cells together on a CPU and on a GPU, largest peak memory (on a GPU: the GPU's). Making "
        "features is not among them. Cells that shared a GPU take no part in times. GB read: all that the cells asked to "
        "read, cached or not, without files that are mapped into memory; empty where it is not known of every cell."
    )
    return Table("cost", "Time and memory", caption, (header,), tuple(lines), "model")


def cards_table(models: Sequence[str], track: str, title: str) -> Table:
    """What is known of the models that were measured: the paper's table of models, with licences and notes."""
    single = singles(in_order(models, track))
    lines = []
    for model in single:
        card, own = card_of(model), registered_card(model) or Card(model)
        texts = (
            card.arch,
            str(card.channels or ""),
            card.supervision,
            card.domain,
            ", ".join(card.data),
            own.license,
            own.note,
        )
        lines.append((title_of(model, track), [text.strip("-") for text in texts]))
    header = ("Architecture", "Channels", "Supervision", "Domain", "Data", "Licence", "Note")
    return words_table(track, title, header, lines, corner="model")


def datasets_table(datasets: Sequence[str]) -> Table:
    """What is known of the data sets that were measured on."""
    cards = [(dataset_title(name), dataset_card(name)) for name in datasets_in_order(datasets)]
    lines = [
        (title, [text.strip("-") for text in (c.scene_type, c.complexity, c.view_range, c.train_views, c.license, c.note)])
        for title, c in cards
    ]
    header = ("Scene type", "Complexity", "View range", "Training views", "Licence", "Note")
    return words_table("datasets", "Data sets", header, lines, corner="data set")


def extraction_table(rows: pd.DataFrame) -> Table:
    """What making features costs, medians over scenes, a block a protocol. rows: of the track "perf", mode "extraction"."""
    shown = {"loading_seconds": 2, "extraction_seconds": 2, "extraction_memory": 0}
    measured = rows[rows["metric"].isin(list(shown)) & (rows["status"] == "ok")]
    medians = measured.groupby(["protocol", "model", "weights", "metric"])["value"].median()
    scenes = measured.drop_duplicates(["protocol", "model", "weights", "dataset", "scene"])
    counts = scenes.groupby(["protocol", "model", "weights"]).size()
    lines = []
    roles = dict(measured.drop_duplicates("model").set_index("model")["role"])
    roles = dict(measured.drop_duplicates("model").set_index("model")["role"])
    for protocol in sorted(set(measured["protocol"])):
        known = counts[protocol]
        for model in in_order(known.index.get_level_values("model"), "probe"):
            card = card_of(loaded(model))
            for weights in sorted(known[model].index):
                values = medians[protocol, model, weights]
                texts = (card.arch.strip("-") or MISSING, str(card.channels or MISSING), str(known[model, weights]))
                numbers = [number(float(values.get(name, math.nan)), digits) for name, digits in shown.items()]
                entries = (*map(Entry, texts), *numbers)
                lines.append(Line(title_of(model), entries, row_marks(roles[model], weights), protocol))
    devices = ", ".join(sorted(set(measured["device"]) - {""}))
    return Table(
        "extraction",
        "Loading a provider and extracting one photo set",
        f"Medians over scenes{f', on {devices}' if devices else ''}. Channels: before PCA. Features are made once a scene, "
        "then kept.",
        (tuple(map(Heading, ("Architecture", "Channels", "Scenes", "Loading, s", "Extraction, s", "Peak memory, MB"))),),
        tuple(lines),
        "provider",
    )


def gap_table(bad: pd.DataFrame) -> Table:
    """What could not be measured, grouped by reason. bad: the rows whose status is not ok."""
    lines = []
    bad = bad.assign(note=bad["note"].map(shared_note))
    for (status, metric, note), rows in bad.groupby(["status", "metric", "note"], sort=True, observed=True):
        cells = rows[["dataset", "scene", "model", "mode"]].drop_duplicates()
        first = " ".join(part for part in cells.iloc[0] if part != "-")
        others = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        label = "whole cell" if metric == WHOLE_CELL else METRICS[metric].label if metric in METRICS else str(metric)
        lines.append((label, [str(status), str(len(rows)), first + others, str(note)]))
    header = ("Status", "Values", "Cells", "Reason")
    return words_table("gaps", "Gaps and failures", header, lines, corner="metric")
