"""Bootstrap over units (scenes): intervals of means and of paired differences. Seeded, so that a report repeats itself."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[Any]


def complete_units(units: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The units (rows) for which every model (column) has a value, and how many were left out. Columns without any value are
    dropped first: a model that never ran does not take the others' scenes away."""
    present = units.dropna(axis=1, how="all")
    complete = present.dropna(axis=0, how="any")
    return complete, len(units) - len(complete)


def resampled_means(values: Array, resamples: int, seed: int) -> Array:
    """Means (resamples, models) of `values` (units, models), the units drawn with replacement, alike for all models."""
    n = len(values)
    return np.asarray(_weights(n, resamples, seed) @ values) if n else np.full((resamples, values.shape[1]), np.nan)


@functools.lru_cache(maxsize=2)
def _weights(n: int, resamples: int, seed: int) -> Array:
    """How much each of `n` units weighs in each resample; kept, since every pair of models asks for the same ones."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples) / n


def mean_intervals(units: pd.DataFrame, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Per model: its mean over its own units, the percentile interval (NaN for fewer than two units), n_units and n_total.

    units: (units, models), NaN where a unit has no value.
    """
    tail = (1 - confidence) / 2
    rows = []
    for _, column in units.items():
        values = column.dropna().to_numpy(float)
        low = high = np.nan
        if len(values) > 1:
            low, high = np.quantile(resampled_means(values[:, None], resamples, seed), [tail, 1 - tail])
        rows.append((values.mean() if len(values) else np.nan, low, high, len(values), len(column)))
    return pd.DataFrame(rows, index=units.columns, columns=["mean", "low", "high", "n_units", "n_total"])


def paired_difference(
    first: pd.Series, second: pd.Series, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Mean of first - second over the units that both have, its percentile interval (NaN for fewer than two), and their
    number n."""
    differences = (first - second).dropna().to_numpy(float)
    low = high = np.nan
    if len(differences) > 1:
        tail = (1 - confidence) / 2
        low, high = np.quantile(resampled_means(differences[:, None], resamples, seed), [tail, 1 - tail])
    mean = differences.mean() if len(differences) else np.nan
    return {"difference": float(mean), "low": float(low), "high": float(high), "n": float(len(differences))}


def stratified_difference(
    first: pd.Series, second: pd.Series, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> dict[str, float]:
    """The mean of first - second within each stratum, averaged over the strata: each counts alike, whatever its size.

    Args:
        first: One value a unit; the first level of its index is the stratum (the data set of a scene).
        second: The same for another model; units that only one of them has are left out.
        confidence: Of the percentile interval.
        resamples: How often the units of each stratum are drawn with replacement.
        seed: Of the draws.

    Returns:
        difference, low and high (NaN where fewer than two units are shared), and n, the shared units.
    """
    differences = (first - second).dropna()
    nothing = {"difference": np.nan, "low": np.nan, "high": np.nan, "n": float(len(differences))}
    if differences.empty:
        return nothing
    strata = [group.to_numpy(float) for _, group in differences.groupby(level=0, sort=True)]
    mean = float(np.mean([values.mean() for values in strata]))
    if len(differences) < 2:
        return {**nothing, "difference": mean}
    drawn = [resampled_means(values[:, None], resamples, seed + place)[:, 0] for place, values in enumerate(strata)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.mean(drawn, axis=0), [tail, 1 - tail])
    return {**nothing, "difference": mean, "low": float(low), "high": float(high)}
