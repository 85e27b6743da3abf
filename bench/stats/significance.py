"""Paired tests between models over scenes, and the correction for making many of them."""

from __future__ import annotations

import functools
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bench.stats.bootstrap import paired_difference

Array = NDArray[Any]
EXACT_UNITS = 14  #: up to so many units every sign pattern is enumerated: 2^14 of them


def sign_flip_test(differences: ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of the paired permutation test that the mean difference is 0; NaN differences are left out.

    Under the null hypothesis each unit's difference is as likely with either sign. Exact up to EXACT_UNITS units, else a
    seeded Monte Carlo estimate (k + 1) / (resamples + 1), which is never 0. NaN without any unit.
    """
    values = np.asarray(differences, float)
    values = values[~np.isnan(values)]
    n = len(values)
    if n == 0:
        return float("nan")
    observed = abs(values.sum())
    slack = 1e-12 * np.abs(values).sum()
    if n <= EXACT_UNITS:
        return float(np.mean(np.abs(_every_sign(n) @ values) >= observed - slack))
    signs = _random_signs(n, resamples, seed)
    return float((1 + np.count_nonzero(np.abs(signs @ values) >= observed - slack)) / (resamples + 1))


@functools.lru_cache(maxsize=2)
def _every_sign(n: int) -> Array:
    """All 2^n sign patterns of n units; kept, since every pair of models asks for the same ones."""
    return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)


@functools.lru_cache(maxsize=1)
def _random_signs(n: int, resamples: int, seed: int) -> Array:
    """Sign patterns drawn at random; kept, likewise."""
    return 1.0 - 2.0 * np.random.default_rng(seed).integers(0, 2, size=(resamples, n), dtype=np.int8)


def holm(p_values: ArrayLike) -> Array:
    """Holm's step-down adjusted p-values (family-wise error); NaN stays NaN and does not count as a test."""
    p = np.asarray(p_values, float)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    m = len(order)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * (m - np.arange(m))), 1) if m else p[order]
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Array:
    """Benjamini and Hochberg's adjusted p-values (false discovery rate); NaN stays NaN and does not count as a test."""
    p = np.asarray(p_values, float)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    m = len(order)
    scaled = p[order] * m / np.arange(1, m + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return adjusted


def compare_pairs(
    units: pd.DataFrame,
    *,
    correction: Literal["holm", "benjamini-hochberg"] = "holm",
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Every pair of models compared over the units that both have.

    units: (units, models), as `aggregate.unit_table` gives it. Gives first, second, difference (mean of first - second),
    low, high (paired bootstrap), n (units), n_left_out, p (sign-flip test) and p_adjusted over all pairs.
    """
    rows = []
    for first, second in combinations(units.columns, 2):
        difference = paired_difference(units[first], units[second], confidence=confidence, seed=seed)
        n = int(difference.pop("n"))
        p = sign_flip_test(units[first] - units[second], seed=seed)
        rows.append({"first": first, "second": second, **difference, "n": n, "n_left_out": len(units) - n, "p": p})
    table = pd.DataFrame(rows, columns=["first", "second", "difference", "low", "high", "n", "n_left_out", "p"])
    adjust = {"holm": holm, "benjamini-hochberg": benjamini_hochberg}[correction]
    return table.assign(p_adjusted=adjust(table["p"].to_numpy(float)))


def smallest_p(units: int, tests: int) -> float:
    """The smallest Holm-adjusted p that `sign_flip_test` can give: two of the 2^n sign patterns are as extreme as the data.

    Args:
        units: Paired units n.
        tests: How many are corrected for; the smallest p is multiplied by their number.

    Example:
        >>> smallest_p(5, 1)
        0.0625
    """
    return min(1.0, tests * 2.0 ** (1 - units))
