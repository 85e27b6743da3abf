"""The chart of the viewpoint gap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics.catalogue import METRICS
from bench.report.figures.drawing import COLOURS, canvas
from bench.report.tables.model import arrow

_STYLES = ("-", "--", ":")


def viewpoint_gap(lines: Mapping[str, pd.DataFrame], metric: str) -> Any:
    """A line a model over the bins of angles.

    Args:
        lines: Label -> bins (bench.stats.binned.binned_means).
        metric: The metric's name.

    Returns:
        The Matplotlib figure.
    """
    longest = max(map(len, lines))
    figure, ((axes,),) = canvas(4.6 + 0.07 * longest, 3.4)
    spread = max(float(bins["number"].max()) for bins in lines.values())
    for place, (label, bins) in enumerate(lines.items()):
        beside = (place - (len(lines) - 1) / 2) * 0.006 * spread  # so that whiskers do not cover each other
        whiskers = np.nan_to_num([bins["mean"] - bins["low"], bins["high"] - bins["mean"]])
        axes.errorbar(
            bins["number"] + beside,
            bins["mean"],
            yerr=whiskers,
            color=COLOURS[place % len(COLOURS)],
            linestyle=_STYLES[place // len(COLOURS) % len(_STYLES)],
            marker="o",
            markersize=3.5,
            linewidth=1.2,
            elinewidth=0.6,
            label=label,
        )
    axes.grid(linewidth=0.4, color="0.93")
    axes.set(xlabel="angle to the nearest training view, degrees", ylabel=arrow(METRICS[metric]))
    figure.legend(loc="outside right upper", fontsize=7.5)
    return figure
