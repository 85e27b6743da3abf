"""Fits with one unknown x: min_x sum_i w_i |a_i x - b_i|, plain and truncated. Both are solved to the optimum by one
sort."""

from __future__ import annotations

import numpy as np

from bench.core.scenes import Array


def weighted_quantile(values: Array, weights: Array, target: float) -> float:
    """The smallest value v whose rows (values <= v) weigh at least `target`; the largest value where none does."""
    order = np.argsort(values)
    index = np.searchsorted(np.cumsum(weights[order]), target)
    return float(values[order[min(int(index), len(order) - 1)]])


def weighted_median(values: Array, weights: Array) -> float:
    """The lower weighted median: the smallest minimiser of sum_i w_i |x - v_i|."""
    return weighted_quantile(values, weights, 0.5 * float(weights.sum()))


def minimise(slopes: Array, targets: Array, weights: Array) -> float:
    """The smallest minimiser of sum_i w_i |a_i x - b_i|; at least one a_i must not be zero."""
    used = slopes != 0
    return weighted_median(targets[used] / slopes[used], weights[used] * np.abs(slopes[used]))


def minimise_truncated(slopes: Array, targets: Array, weights: Array, truncation: float) -> float:
    """The smallest global minimiser of sum_i min(w_i |a_i x - b_i|, tau).

    The sum is piecewise linear; a term turns down at (b - tau/w)/a, up at b/a, and is flat again after (b + tau/w)/a. Only
    an upward turn can be a minimum, so every b/a is a candidate and prefix sums give the value at each.
    """
    used = slopes != 0
    slope = weights[used] * np.abs(slopes[used])
    middle = targets[used] / slopes[used]
    reach = truncation / slope
    turns = np.concatenate([middle - reach, middle, middle + reach])
    bends = np.concatenate([-slope, 2 * slope, -slope])
    order = np.argsort(turns, kind="stable")
    turns, bends = turns[order], bends[order]
    values = np.concatenate([[0.0], np.cumsum(np.cumsum(bends)[:-1] * np.diff(turns))])  # less the constant
    candidates = np.flatnonzero(order // len(slope) == 1)
    return float(turns[candidates[np.argmin(values[candidates])]])
