"""A score against a number that the units differ in: means over bins of it, with bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.stats.bootstrap import mean_intervals

FEWEST_IN_A_BIN = 4  #: units of different numbers; below, a mean says nothing
MOST_BINS = 5


def within_groups(values: pd.Series, groups: pd.Series) -> pd.Series:
    """Values less the mean of their group, plus the mean of the groups' means: what differs between groups is taken out, the
    level stays. NaN stays NaN."""
    means = values.groupby(groups).mean()
    return values - groups.map(means) + means.mean()


def bin_edges(numbers: pd.Series) -> list[float]:
    """Edges of bins that hold about equally many of the distinct numbers, FEWEST_IN_A_BIN at least and MOST_BINS bins at
    most; [] where there are too few for two bins."""
    distinct = np.unique(numbers.dropna().to_numpy(float))
    count = min(MOST_BINS, len(distinct) // FEWEST_IN_A_BIN)
    return np.quantile(distinct, np.linspace(0, 1, count + 1)).tolist() if count > 1 else []


def binned_means(numbers: pd.Series, scores: pd.Series, edges: list[float]) -> pd.DataFrame:
    """The mean score of each bin that has a score.

    Args:
        numbers, scores: Of the units; one whose score is NaN is left out.
        edges: Of the bins, ascending; a number on an inner edge belongs to the bin above it.

    Returns:
        number (the mean of the bin's units), mean, low and high (percentile bootstrap over units, 95 %; NaN for a single
        one), and n.
    """
    known = scores.notna() & numbers.notna()
    x, y = numbers[known].to_numpy(float), scores[known].to_numpy(float)
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    found = []
    for k in range(len(edges) - 1):
        inside = place == k
        if not inside.any():
            continue
        interval = mean_intervals(pd.DataFrame({"score": y[inside]})).iloc[0]
        found.append((x[inside].mean(), interval["mean"], interval["low"], interval["high"], int(inside.sum())))
    return pd.DataFrame(found, columns=["number", "mean", "low", "high", "n"])
