"""Correlations between metrics over models, with their intervals and with what each single model does to them.

One far-off model can make every correlation look perfect, so each comes with the values it takes when any one model is left
out.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[Any]

Method = Literal["pearson", "spearman", "kendall"]
METHODS: tuple[Method, ...] = ("pearson", "spearman", "kendall")
FEWEST = 3  #: models; below, a correlation says nothing
_TESTS = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}


def oriented(table: pd.DataFrame, higher_is_better: Mapping[str, bool]) -> pd.DataFrame:
    """The table (models, metrics) with every lower-is-better column negated: then positive correlation means "better goes
    with better"."""
    signs = [1.0 if higher_is_better[column] else -1.0 for column in table.columns]
    return table * signs


def coefficient(x: pd.Series, y: pd.Series, method: Method = "pearson") -> float:
    """The correlation of two columns over the models that have both; NaN for fewer than 3 or where a column is constant."""
    both = _complete(x, y)
    if len(both) < FEWEST or np.ptp(both, axis=0).min() == 0:
        return float("nan")
    return float(_TESTS[method](both[:, 0], both[:, 1])[0])


def correlation(
    x: pd.Series, y: pd.Series, method: Method = "pearson", confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> dict[str, float]:
    """The correlation of two columns over the models that have both, with its bootstrap interval over the models.

    The models are drawn with replacement; the interval holds the middle of the resampled coefficients. Intervals from a
    normal approximation (Fisher's z) do not hold where one far-off model carries a correlation over a dozen of them.

    Args:
        x: One value a model; NaN where it has none.
        y: The same models' values of another metric.
        method: Pearson's r, Spearman's rho or Kendall's tau-b.
        confidence: The share of resampled coefficients within the interval.
        resamples: How often the models are drawn.
        seed: Of the draws, so that a report repeats itself.

    Returns:
        r, its two-sided p, low and high, and n, the models that have both. NaN for fewer than 3 models or where a column is
        constant; low and high also below 4, or where most draws are of constant columns.
    """
    both = _complete(x, y)
    n = len(both)
    nothing = {"r": np.nan, "p": np.nan, "low": np.nan, "high": np.nan, "n": float(n)}
    if n < FEWEST or np.ptp(both, axis=0).min() == 0:
        return nothing
    r, p = (float(number) for number in _TESTS[method](both[:, 0], both[:, 1]))
    low = high = np.nan
    if n > FEWEST:
        drawn = both[_draws(n, resamples, seed)]
        found = _coefficients(drawn[..., 0], drawn[..., 1], method)
        found = found[np.isfinite(found)]
        if 2 * len(found) > resamples:
            tail = (1 - confidence) / 2
            low, high = np.quantile(found, [tail, 1 - tail])
    return {"r": r, "p": p, "low": float(low), "high": float(high), "n": float(n)}


def _complete(x: pd.Series, y: pd.Series) -> Array:
    return pd.concat([x, y], axis=1).dropna().to_numpy(float)


@functools.lru_cache(maxsize=8)
def _draws(n: int, resamples: int, seed: int) -> Array:
    """Places (resamples, n) drawn with replacement; kept, since every pair of metrics asks for the same ones."""
    return np.random.default_rng(seed).integers(0, n, size=(resamples, n))


def _coefficients(x: Array, y: Array, method: Method) -> Array:
    """The correlation of each row of x with the same row of y, (draws, n); NaN where one of them is constant."""
    if method == "kendall":
        signs = [np.sign(each[:, :, None] - each[:, None, :]) for each in (x, y)]
        shared = (signs[0] * signs[1]).sum((1, 2))
        scale = np.sqrt((signs[0] ** 2).sum((1, 2)) * (signs[1] ** 2).sum((1, 2)))
    else:
        if method == "spearman":
            x, y = stats.rankdata(x, axis=1), stats.rankdata(y, axis=1)
        x, y = (each - each[:, :1] for each in (x, y))  # exactly 0 where a draw is constant
        x, y = (each - each.mean(1, keepdims=True) for each in (x, y))
        shared, scale = (x * y).sum(1), np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return np.divide(shared, scale, out=np.full(len(x), np.nan), where=scale > 0).clip(-1, 1)


def correlation_matrix(table: pd.DataFrame, method: Method = "pearson") -> pd.DataFrame:
    """The square matrix of r between all columns (metrics) of `table` (models, metrics)."""
    columns = list(table.columns)
    values = [[coefficient(table[a], table[b], method) for b in columns] for a in columns]
    return pd.DataFrame(values, index=table.columns, columns=table.columns)


def leave_one_out(
    table: pd.DataFrame, first: Sequence[str], second: Sequence[str], methods: Sequence[Method] = METHODS
) -> pd.DataFrame:
    """r of each column of `first` with each of `second` when each single model (row) is left out: method, x, y, left_out,
    r."""
    parts = [
        pd.DataFrame(
            {"method": method, "x": x, "y": y, "left_out": table.index, "r": _without_each(table[x], table[y], method)}
        )
        for method in methods
        for x in first
        for y in second
        if x != y
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["method", "x", "y", "left_out", "r"])


def _without_each(x: pd.Series, y: pd.Series, method: Method) -> Array:
    """The correlation without each single row, (rows,); all of it where a row lacks a value and so takes no part."""
    found = np.full(len(x), coefficient(x, y, method))
    held = (x.notna() & y.notna()).to_numpy()
    both = _complete(x, y)
    n = len(both)
    if n > FEWEST:
        kept = both[np.arange(n - 1) + (np.arange(n - 1) >= np.arange(n)[:, None])]  # (n, n - 1, 2): row i lacks model i
        found[held] = _coefficients(kept[..., 0], kept[..., 1], method)
    else:
        found[held] = np.nan
    return found


def correlations(
    table: pd.DataFrame,
    first: Sequence[str],
    second: Sequence[str],
    methods: Sequence[Method] = METHODS,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Every column of `first` (2D metrics) against every one of `second` (3D metrics), over the models (rows) of `table`.

    Gives method, x, y, r, p, low, high (bootstrap over models), n; the leverage: r_min and r_max over leaving out one
    model, `most_influential` (the model whose absence moves r most) and r_without it.
    """
    left_out = leave_one_out(table, first, second, methods).groupby(["method", "x", "y"], sort=False)
    rows = []
    for method, x, y in [(method, x, y) for method in methods for x in first for y in second if x != y]:
        group = left_out.get_group((method, x, y))
        found = correlation(table[x], table[y], method, confidence)
        r = group["r"].to_numpy(float)
        moved = np.where(np.isnan(r), -np.inf, np.abs(r - found["r"]))
        strongest = int(np.argmax(moved)) if np.isfinite(found["r"]) else -1
        rows.append(
            {
                "method": method,
                "x": x,
                "y": y,
                **found,
                "r_min": np.nan if np.isnan(r).all() else np.nanmin(r),
                "r_max": np.nan if np.isnan(r).all() else np.nanmax(r),
                "most_influential": group["left_out"].iloc[strongest] if strongest >= 0 else "",
                "r_without": r[strongest] if strongest >= 0 else np.nan,
            }
        )
    return pd.DataFrame(rows)
