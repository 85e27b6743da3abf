"""The charts that show a model's profile: texture against geometry, data set by data set, alignment by alignment."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics.catalogue import METRICS
from bench.report.figures.drawing import COLOURS, canvas, label_points
from bench.report.say.cards import dataset_title, title_of
from bench.report.tables.model import arrow

_BLUE, _GREY, _RED = COLOURS[0], "0.55", "#c1272d"


def texture_against_geometry(models: pd.DataFrame, bounds: pd.DataFrame, metric: str) -> Any:
    """A dot a model: the metric in the geometry mode against the texture mode; lines: what controls and oracles reach.

    Args:
        models: One row a model, columns label, G and T.
        bounds: One row a kind of bound, columns label, floor (whether it bounds from below), G and T; may be empty.
        metric: The metric's name.

    Returns:
        The Matplotlib figure.
    """
    figure, ((axes,),) = canvas(5.6, 4.2)
    axes.scatter(models["G"], models["T"], s=22, color=_BLUE, zorder=3)
    for bound in bounds.to_dict("records"):
        style = {"color": _GREY if bound["floor"] else _RED, "linestyle": "--" if bound["floor"] else ":", "linewidth": 1}
        axes.axvline(bound["G"], label=bound["label"], **style)
        axes.axhline(bound["T"], **style)
    axes.margins(0.16)
    axes.grid(linewidth=0.4, color="0.93")
    title = arrow(METRICS[metric])
    axes.set(xlabel=f"{title}, geometry mode", ylabel=f"{title}, texture mode")
    if len(bounds):
        figure.legend(loc="outside upper center", ncols=2, fontsize=7.5)
    label_points(axes, list(models["G"]), list(models["T"]), list(models["label"]))
    return figure


def dataset_radar(table: pd.DataFrame, metric: str) -> Any:
    """A panel a model: how it does on each data set, from the worst of the models (middle) to the best (rim); the thin line
    is the median model.

    Args:
        table: (models, data sets) without gaps; at least three data sets and two models.
        metric: The metric's name.

    Returns:
        The Matplotlib figure.
    """
    low, high = table.min(), table.max()
    share = (table - low) / (high - low).where(high > low, 1)
    share = share if METRICS[metric].higher_is_better else 1 - share
    angles = np.linspace(0, 2 * np.pi, len(share.columns), endpoint=False)
    closed = np.append(angles, angles[0])
    columns = min(4, len(share))
    lines = -(-len(share) // columns)
    figure, grid = canvas(2.3 * columns, 2.5 * lines + 0.2, lines, columns, subplot_kw={"projection": "polar"})
    middle = share.median()
    for axes, (model, values) in zip(grid.flat, share.iterrows(), strict=False):
        axes.plot(closed, np.append(middle, middle.iloc[0]), color=_GREY, linewidth=0.8, linestyle="--")
        axes.plot(closed, np.append(values, values.iloc[0]), color=_BLUE, linewidth=1.4)
        axes.fill(angles, values, color=_BLUE, alpha=0.15)
        axes.set_theta_offset(np.pi / 2)
        axes.set_theta_direction(-1)
        axes.set_xticks(angles, [fill(dataset_title(str(name)), 10) for name in share.columns], fontsize=6)
        axes.set_yticks([0.5, 1.0], [])
        axes.set_ylim(-0.1, 1.05)
        axes.tick_params(axis="x", pad=1)
        axes.grid(linewidth=0.4, color="0.85")
        axes.set_title(title_of(str(model)), fontsize=8.5, pad=16)
    for axes in grid.flat[len(share) :]:
        axes.set_axis_off()
    return figure


def rank_strip(ranks: pd.DataFrame, alignments: Sequence[str], labels: Sequence[str]) -> Any:
    """Mean ranks under each alignment: a column an alignment, a line a model from one to the next that ranks it.

    Args:
        ranks: (models, alignments), NaN where a model has no rank.
        alignments: What the columns are called.
        labels: What the rows are called.

    Returns:
        The Matplotlib figure.
    """
    longest = max(map(len, labels))
    figure, ((axes,),) = canvas(1.25 * len(alignments) + 0.075 * longest + 1.0, 0.26 * len(ranks) + 1.5)
    for place, (label, values) in enumerate(zip(labels, ranks.to_numpy(float), strict=True)):
        known = np.flatnonzero(np.isfinite(values))
        colour, line = COLOURS[place % len(COLOURS)], ("-", "--", ":")[place // len(COLOURS) % 3]
        axes.plot(known, values[known], color=colour, linestyle=line, marker="o", markersize=4, linewidth=1.2, label=label)
    axes.set_xticks(range(len(alignments)), [fill(name, 16) for name in alignments], fontsize=7.5)
    axes.set_xlim(-0.3, len(alignments) - 0.7)
    axes.invert_yaxis()
    axes.grid(axis="y", linewidth=0.4, color="0.9")
    axes.set_ylabel("mean rank ↓")
    figure.legend(loc="outside right upper", fontsize=7.5)
    return figure
