"""The forest plot of one value from three hands: paper, third party, ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.metrics.catalogue import METRICS
from bench.report.figures.drawing import COLOURS, canvas
from bench.report.say.cards import dataset_title, datasets_in_order, in_order, title_of

FOREST = "The same values from three hands"
FOREST_CAPTION = "Relative difference from what the paper prints (0); the band is the tolerance within which values agree."


def forest_plot(found: pd.DataFrame) -> Any:
    """A line a value: how far the third party and we are from the paper, in percent of it.

    Args:
        found: bench.report.tables.thirds.three_hands; values without a paper's counterpart are left out.

    Returns:
        The Matplotlib figure.
    """
    order, datasets = in_order(found["model"], "geometry"), datasets_in_order(found["dataset"])
    rows = [row for row in found.to_dict("records") if np.isfinite(row["paper"])]
    rows.sort(key=lambda row: (order.index(row["model"]), row["metric"], datasets.index(row["dataset"])))
    figure, ((axes,),) = canvas(6.4, 0.22 * len(rows) + 1.1)
    parts_of = [(title_of(row["model"], "geometry"), dataset_title(row["dataset"]), row["metric"]) for row in rows]
    labels = [f"{model}, {dataset}, {METRICS[metric].title}" for model, dataset, metric in parts_of]
    places = np.arange(len(rows))
    paper = np.array([row["paper"] for row in rows])
    tolerance = 100 * np.array([row["tolerance"] for row in rows])
    axes.barh(places, 2 * tolerance, left=-tolerance, height=0.9, color="0.93", zorder=0)
    axes.axvline(0, color="0.3", linewidth=1, label="paper")
    for name, label, marker, colour in (("third", "third party", "o", COLOURS[1]), ("ours", "ours", "D", COLOURS[0])):
        values = np.array([row[name] for row in rows], float)
        if np.isfinite(values).any():
            axes.scatter(100 * (values / paper - 1), places, s=24, marker=marker, color=colour, label=label, zorder=3)
    axes.set_yticks(places, labels, fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", linewidth=0.4, color="0.9")
    axes.set_xlabel("difference from the paper, % of its value")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure
