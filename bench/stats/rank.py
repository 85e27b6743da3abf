"""Ranks: of models in each column of a table, their mean, and how far a resampling of the scenes moves them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from bench.stats.bootstrap import complete_units, resampled_means


def rank_columns(
    table: pd.DataFrame, higher_is_better: Sequence[bool], method: Literal["average", "min", "max"] = "average"
) -> pd.DataFrame:
    """Ranks of the rows of `table` (models) within each column, 1 = best; NaN is not ranked and takes no place.

    higher_is_better: one flag a column. method: what equal values share: the average of their places (the papers' rule),
    the best or the worst of them.
    """
    if len(higher_is_better) != table.shape[1]:
        raise ValueError(f"{table.shape[1]} columns but {len(higher_is_better)} directions")
    oriented = table * np.where(np.asarray(higher_is_better, bool), -1.0, 1.0)
    return oriented.rank(axis=0, method=method)


def mean_ranks(
    table: pd.DataFrame, higher_is_better: Sequence[bool], method: Literal["average", "min", "max"] = "average"
) -> pd.DataFrame:
    """Per row of `table` (model): `rank`, the mean of its ranks over the columns where it is ranked, and `n`, how many
    those are."""
    ranks = rank_columns(table, higher_is_better, method)
    return pd.DataFrame({"rank": ranks.mean(axis=1), "n": ranks.notna().sum(axis=1)})


def best_and_second(values: pd.Series, groups: Sequence[pd.Series]) -> pd.Series:
    """1 where a value is the lowest of its group, 2 where it is the next lowest, else 0: what tables print bold and
    underlined.

    values: with lower being better, as printed, so that equal prints share their place; NaN takes no part. groups: series of
    the same index whose combinations are the columns of a table. A group of fewer than two values has neither.
    """
    grouped = values.groupby(list(groups), dropna=False, observed=True)
    place = grouped.rank(method="dense")
    crowded = grouped.transform("count") > 1
    return place.where(crowded & (place <= 2), 0).fillna(0).astype(int)


def rank_intervals(
    units: pd.DataFrame, higher_is_better: bool, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Where each model ranks by its mean, and between which places it moves when the units (scenes) are drawn anew.

    units: (units, models), as `aggregate.unit_table` gives it; units that lack a model are left out of the comparison and
    counted. Gives, per model: mean, rank, low, high (percentile interval of the rank), n_units and n_left_out.
    """
    complete, left_out = complete_units(units)
    sign = -1 if higher_is_better else 1
    means = complete.mean(axis=0)
    table = pd.DataFrame({"mean": means, "rank": (sign * means).rank(method="average")})
    draws = pd.DataFrame(sign * resampled_means(complete.to_numpy(float), resamples, seed)).rank(axis=1, method="average")
    tail = (1 - confidence) / 2
    if len(complete) > 1:
        table["low"], table["high"] = np.quantile(draws, [tail, 1 - tail], axis=0, method="nearest")
    else:
        table["low"] = table["high"] = np.nan
    return table.reindex(units.columns).assign(n_units=len(complete), n_left_out=left_out)


def critical_difference(models: int, units: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks: two models whose mean ranks over `units` differ by less are not told
    apart.

    Source: Demsar, Journal of Machine Learning Research 7 (2006), section 3.2.2.
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - alpha, models, np.inf)) / np.sqrt(2)
    return quantile * float(np.sqrt(models * (models + 1) / (6 * units)))
