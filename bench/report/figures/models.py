"""The charts that set models against each other: ranks, cost, field-of-view errors. Frames to Matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics.catalogue import METRICS
from bench.report.figures.drawing import COLOURS, canvas, label_points
from bench.report.say.cards import in_order, title_of
from bench.report.say.verdict import Lead
from bench.report.tables.model import arrow
from bench.stats.bootstrap import complete_units
from bench.stats.rank import critical_difference, mean_ranks, rank_intervals

_BLUE, _GREY = COLOURS[0], "0.35"


def rank_interval_plot(units: pd.DataFrame, higher_is_better: bool, labels: Sequence[str]) -> Any:
    """Where each model ranks by its mean, and between which places it moves when the units are drawn anew.

    units: (units, models); labels: one a column.
    """
    table = rank_intervals(units, higher_is_better).assign(label=list(labels)).dropna(subset=["rank"])
    table = table.sort_values("rank", kind="stable")
    beside = 0.07 * max(map(len, table["label"]), default=0)  # inches that the names take
    figure, ((axes,),) = canvas(3.4 + beside, 0.24 * len(table) + 1.0)
    places = np.arange(len(table))
    axes.hlines(places, table["low"], table["high"], color=_BLUE, linewidth=2.2, alpha=0.45)
    axes.scatter(table["rank"], places, color=_BLUE, s=22, zorder=3)
    axes.set_yticks(places, table["label"])
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(0.5, len(table) + 0.5)
    axes.set_xticks(range(1, len(table) + 1, 1 + len(table) // 16))
    axes.grid(axis="x", linewidth=0.4, color="0.9")
    axes.set_xlabel("rank of the mean, with its 95 % interval")
    return figure


def critical_difference_plot(units: pd.DataFrame, higher_is_better: bool, labels: Sequence[str]) -> Any:
    """Mean ranks over the units; a bar joins models that Nemenyi's critical difference does not tell apart (Demsar, 2006).

    units: (units, models); labels: one a column. At least two complete units and three models.
    """
    complete, _ = complete_units(units.set_axis(list(labels), axis=1))
    ranks = mean_ranks(complete.T, [higher_is_better] * len(complete))["rank"].sort_values(kind="stable")
    reach = critical_difference(len(ranks), len(complete))
    bars = _cliques(list(ranks), reach)
    half = -(-len(ranks) // 2)
    beside = 0.5 + 0.068 * max(len(str(label)) for label in ranks.index)  # inches that a label and its rank take
    depth = 0.6 + 0.28 * len(bars)  # the labels' first row, below the bars
    figure, ((axes,),) = canvas(3.8 + 2 * beside, 1.1 + 0.24 * (half + len(bars)))
    low, high = 1, len(ranks)
    span = high - low
    margin = span * (0.06 + beside / 3.8)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(depth + half * 0.5 + 0.1, -1.9)
    axes.axis("off")
    axes.hlines(0, low, high, color="black", linewidth=1)
    for tick in range(low, high + 1):
        axes.vlines(tick, -0.15, 0, color="black", linewidth=1)
        axes.text(tick, -0.3, str(tick), ha="center", va="bottom", fontsize=8)
    axes.hlines(-1.2, low, min(low + reach, axes.get_xlim()[1]), color=_BLUE, linewidth=2)
    axes.text(low, -1.35, f"critical difference {reach:.2f}, {len(complete)} units", va="bottom", fontsize=8, color=_BLUE)
    for place, (label, rank) in enumerate(ranks.items()):
        left = place < half
        y = depth + 0.5 * (place if left else len(ranks) - 1 - place)
        x = low - 0.06 * span if left else high + 0.06 * span
        axes.plot([rank, rank, x], [0, y, y], color=_GREY, linewidth=0.8)
        axes.text(
            x,
            y,
            f"{label}  {rank:.2f} " if left else f" {rank:.2f}  {label}",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
        )
    for level, (start, end) in enumerate(bars):
        axes.hlines(0.3 + 0.28 * level, start - 0.04, end + 0.04, color="black", linewidth=2.6)
    return figure


def _cliques(ranks: Sequence[float], reach: float) -> list[tuple[float, float]]:
    """The longest runs of sorted ranks that lie within `reach` of each other, two models or more."""
    runs: list[tuple[float, float]] = []
    for start in ranks:
        end = max(rank for rank in ranks if rank <= start + reach)
        if end > start and not any(low <= start and end <= high for low, high in runs):
            runs.append((start, end))
    return runs


def cost_against_quality(table: pd.DataFrame, metric: str) -> Any:
    """A dot a model with its interval: seconds and peak memory of a cell against a metric; a line along the Pareto front of
    the ranked ones. A value far outside of the others is a triangle at the edge, with the value in its label.

    table: label, seconds, peak_memory_mb, value, low, high (NaN where there is no interval), ranked.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure, grid = canvas(8.4, 3.3, 1, 2, sharey=True)
    kept = table.dropna(subset=["value"])
    least, most = without_far_ones(kept["value"])
    far = kept["value"] != kept["value"].clip(least, most)
    printed = kept["value"].map(lambda value: METRICS[metric].printed(value / METRICS[metric].factor))
    told = kept["label"].where(~far, kept["label"] + " (" + printed + ")")
    kept = kept.assign(label=told, **{name: kept[name].clip(least, most) for name in ("value", "low", "high")})
    labels = []
    for axes, (column, name) in zip(
        grid[0], {"seconds": "seconds a cell", "peak_memory_mb": "peak memory, MB"}.items(), strict=True
    ):
        own = kept[kept[column] > 0]
        beyond = far.reindex(own.index)
        markers = {"o": ~beyond, "v": beyond & (own["value"] == least), "^": beyond & (own["value"] == most)}
        for marker, chosen in markers.items():
            axes.scatter(own[column][chosen], own["value"][chosen], s=18, marker=marker, color=_BLUE, zorder=3)
        axes.vlines(own[column], own["low"], own["high"], color=_BLUE, linewidth=1.6, alpha=0.35)
        ranked = own[own["ranked"]]
        front = pareto_front(ranked[column], ranked["value"], bool(METRICS[metric].higher_is_better))
        axes.plot(own.loc[front, column], own.loc[front, "value"], color=COLOURS[1], linewidth=1, zorder=2)
        wide = len(own) and own[column].max() > 8 * own[column].min()
        if wide:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.2, y=0.14)
        axes.grid(linewidth=0.4, color="0.92")
        axes.set_xlabel(name + (" (log scale)" if wide else ""))
        labels.append((axes, list(own[column]), list(own["value"]), list(own["label"])))
    grid[0][0].set_ylabel(arrow(METRICS[metric]) + (f", {METRICS[metric].unit}" if METRICS[metric].unit == "dB" else ""))
    for placed in labels:
        label_points(*placed)
    return figure


def without_far_ones(values: pd.Series) -> tuple[float, float]:
    """The range that a chart shows so that its bulk can be read: of all values; where some lie farther from the quartiles
    than three times the distance between them (Tukey's outer fences), of the others with a sixth of their range beyond."""
    low, high = values.quantile(0.25), values.quantile(0.75)
    near = values[values.between(low - 3 * (high - low), high + 3 * (high - low))]
    room = (near.max() - near.min()) / 6
    if not room > 0:  # all alike but for a few
        return float(values.min()), float(values.max())
    least = near.min() - room if values.min() < near.min() else values.min()
    most = near.max() + room if values.max() > near.max() else values.max()
    return float(least), float(most)


def pareto_front(cost: pd.Series, quality: pd.Series, higher_is_better: bool) -> list[Any]:
    """The index of what nothing cheaper or as cheap beats or equals, cheapest first."""
    oriented = quality if higher_is_better else -quality
    front: list[Any] = []
    best = -np.inf
    for place in pd.DataFrame({"cost": cost, "worse": -oriented}).sort_values(["cost", "worse"], kind="stable").index:
        if oriented[place] > best:
            front.append(place)
            best = oriented[place]
    return front


def error_distribution(errors: pd.DataFrame) -> Any:
    """The share of photos whose field of view is off by no more than so many degrees: a curve a model, best first.

    errors: columns label and value (absolute error in degrees), one row a photo.
    """
    figure, ((axes,),) = canvas(5.6, 3.1)
    medians = errors.groupby("label", sort=True)["value"].median().sort_values(kind="stable")
    limit = float(np.ceil(errors["value"].quantile(0.95))) or 1.0
    for place, (label, median) in enumerate(medians.items()):
        values = np.sort(errors[errors["label"] == label]["value"])
        share = np.arange(1, len(values) + 1) / len(values)
        axes.step(
            np.concatenate([[0], values, [max(limit, values[-1])]]),
            np.concatenate([[0], share, [1]]),
            where="post",
            color=COLOURS[place % len(COLOURS)],
            linestyle=("-", "--", ":")[place // len(COLOURS) % 3],
            linewidth=1.3,
            label=f"{label} (median {median:.1f}°)",
        )
    axes.set_xlim(0, limit)
    axes.set_ylim(0, 1.02)
    axes.grid(linewidth=0.4, color="0.92")
    axes.set(xlabel="absolute error of the horizontal field of view, degrees", ylabel="share of photos")
    figure.legend(loc="outside right upper", fontsize=7.5)
    return figure


def training_gains_plot(gains: Sequence[tuple[str, str, Lead]]) -> Any:
    """What training adds to each network, a dot and interval a mode.

    Args:
        gains: (model, mode title, lead), as bench.report.say.verdict.training_gains gives them; at least one.

    Returns:
        The Matplotlib figure.
    """
    models = in_order((model for model, _, _ in gains), "probe")
    modes = list(dict.fromkeys(mode for _, mode, _ in gains))
    figure, ((axes,),) = canvas(5.4, 0.34 * len(models) + 1.1)
    for at, mode in enumerate(modes):
        own = [(models.index(model), found) for model, title, found in gains if title == mode]
        places = np.array([place for place, _ in own]) + 0.2 * (at - (len(modes) - 1) / 2)
        values = np.array([found.difference for _, found in own])
        axes.hlines(places, [f.low for _, f in own], [f.high for _, f in own], color=COLOURS[at], linewidth=2, alpha=0.5)
        axes.scatter(values, places, s=22, color=COLOURS[at], label=mode, zorder=3)
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set_yticks(range(len(models)), [title_of(model) for model in models])
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.grid(axis="x", linewidth=0.4, color="0.9")
    metric = gains[0][2].metric
    axes.set_xlabel(f"{metric.label}, trained minus untrained, {metric.printed_unit}")
    figure.legend(loc="outside upper center", ncols=len(modes))
    return figure
