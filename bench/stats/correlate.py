"""Correlations between metrics over models, with their intervals and with what each single model does to them.

One far-off model can make every correlation look perfect, so each comes with the values it takes when any one model is left
out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

Method = Literal["pearson", "spearman", "kendall"]
METHODS: tuple[Method, ...] = ("pearson", "spearman", "kendall")
_TESTS = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}


def oriented(table: pd.DataFrame, higher_is_better: Mapping[str, bool]) -> pd.DataFrame:
    """The table (models, metrics) with every lower-is-better column negated: then positive correlation means "better goes
    with better"."""
    signs = [1.0 if higher_is_better[column] else -1.0 for column in table.columns]
    return table * signs


def correlation(x: pd.Series, y: pd.Series, method: Method = "pearson", confidence: float = 0.95) -> dict[str, float]:
    """r, two-sided p, the interval low..high and n of two columns, over the models that have both.

    Intervals by Fisher's z transform with the standard errors sqrt(1 / (n - 3)) (Pearson), sqrt((1 + r^2 / 2) / (n - 3))
    (Spearman) and sqrt(0.437 / (n - 4)) (Kendall's tau-b): Bonett and Wright, Psychometrika 65 (2000); they need n >= 4
    (Kendall 5), else NaN. NaN where fewer than 3 models have both or a column is constant.
    """
    both = pd.concat([x, y], axis=1).dropna().to_numpy(float)
    n = len(both)
    nothing = {"r": np.nan, "p": np.nan, "low": np.nan, "high": np.nan, "n": float(n)}
    if n < 3 or np.ptp(both, axis=0).min() == 0:
        return nothing
    r, p = (float(number) for number in _TESTS[method](both[:, 0], both[:, 1]))
    variance = {
        "pearson": 1 / (n - 3) if n > 3 else np.nan,
        "spearman": (1 + r * r / 2) / (n - 3) if n > 3 else np.nan,
        "kendall": 0.437 / (n - 4) if n > 4 else np.nan,
    }[method]
    if abs(r) >= 1 - 1e-12:
        low = high = r if np.isfinite(variance) else np.nan
    else:
        reach = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt(variance)
        low, high = np.tanh(np.arctanh(r) - reach), np.tanh(np.arctanh(r) + reach)
    return {"r": r, "p": p, "low": float(low), "high": float(high), "n": float(n)}


def correlation_matrix(table: pd.DataFrame, method: Method = "pearson") -> pd.DataFrame:
    """The square matrix of r between all columns (metrics) of `table` (models, metrics)."""
    columns = list(table.columns)
    values = [[correlation(table[a], table[b], method)["r"] for b in columns] for a in columns]
    return pd.DataFrame(values, index=table.columns, columns=table.columns)


def leave_one_out(
    table: pd.DataFrame, first: Sequence[str], second: Sequence[str], methods: Sequence[Method] = METHODS
) -> pd.DataFrame:
    """r of each column of `first` with each of `second` when each single model (row) is left out: method, x, y, left_out,
    r."""
    rows = [
        (method, x, y, model, correlation(table[x].drop(model), table[y].drop(model), method)["r"])
        for method in methods
        for x in first
        for y in second
        if x != y
        for model in table.index
    ]
    return pd.DataFrame(rows, columns=["method", "x", "y", "left_out", "r"])


def correlations(
    table: pd.DataFrame,
    first: Sequence[str],
    second: Sequence[str],
    methods: Sequence[Method] = METHODS,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Every column of `first` (2D metrics) against every one of `second` (3D metrics), over the models (rows) of `table`.

    Gives method, x, y, r, p, low, high, n; the leverage: r_min and r_max over leaving out one model, `most_influential`
    (the model whose absence moves r most) and r_without it.
    """
    left_out = leave_one_out(table, first, second, methods)
    rows = []
    for method, x, y in [(method, x, y) for method in methods for x in first for y in second if x != y]:
        group = left_out[(left_out["method"] == method) & (left_out["x"] == x) & (left_out["y"] == y)]
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
