"""Beyond which scale no truncated fit can beat a given value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.core.scenes import Array
from bench.geometry.align.line import minimise_truncated
from bench.geometry.align.problem import Problem


@dataclass(frozen=True, eq=False)
class Clusters:
    """The K values that a shifted channel's prediction takes. For side * s >= S a row of a cluster escapes truncation only
    if t / s is in [low[side] / S - p, high[side] / S - p]; all its rows together save at most `saving` against being
    truncated.

    p, saving: (K,); low, high: (2, K) for the sides +1 and -1."""

    p: Array
    saving: Array
    low: Array
    high: Array


def scale_range(problem: Problem, truncation: float, scale: float, value: float) -> tuple[float, float]:
    """(S, bound): no scale with |s| >= S beats `bound`, which reaches `value`, or else what the fit tends to for |s| to
    infinity, where all but one cluster are truncated: there is always an optimum with a finite scale that is as good."""
    p, q, w = problem.prediction, problem.truth, problem.weight
    shifted, fixed = np.flatnonzero(problem.shifted), ~problem.shifted
    clusters = [_clusters(p[c], q[c], w, truncation) for c in shifted]
    zero = np.where(p[fixed] == 0, np.minimum(truncation, w * np.abs(q[fixed])), 0.0).sum()
    limit = truncation * (np.count_nonzero(p[fixed]) + sum(w.size - c.saving.max() / truncation for c in clusters)) + zero
    goal = min(value, float(limit)) * (1 - 1e-12)
    reach = 2 * abs(scale) + 2 * float((np.abs(q) @ w).sum() / (np.abs(p) @ w).sum()) + np.finfo(np.float64).tiny
    while True:
        margin, bounds = truncation / (w * reach), []
        for side, direction in enumerate((1.0, -1.0)):
            edge = direction * q[fixed] / reach
            out = (p[fixed] < np.minimum(edge, 0) - margin) | (p[fixed] > np.maximum(edge, 0) + margin)
            total = zero + truncation * np.count_nonzero(out & (p[fixed] != 0))
            bounds.append(total + sum(truncation * w.size - _joint_saving(c, reach, side) for c in clusters))
        bound = float(min(bounds))
        if bound >= goal or not np.isfinite(2 * reach):
            return reach, bound
        reach *= 2


def _clusters(p: Array, q: Array, w: Array, truncation: float) -> Clusters:
    values, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    saving = np.full(values.size, truncation)
    for cluster in np.flatnonzero(counts > 1):
        rows = inverse == cluster
        t = minimise_truncated(np.ones(counts[cluster]), q[rows], w[rows], truncation)
        saving[cluster] = np.maximum(0, truncation - w[rows] * np.abs(t - q[rows])).sum()
    low, high = np.full((2, values.size), np.inf), np.full((2, values.size), -np.inf)
    for side, moved in enumerate((q, -q)):
        np.minimum.at(low[side], inverse, np.minimum(moved, 0) - truncation / w)
        np.maximum.at(high[side], inverse, np.maximum(moved, 0) + truncation / w)
    return Clusters(values, saving, low, high)


def _joint_saving(clusters: Clusters, reach: float, side: int) -> float:
    """The most that clusters with a common t / s save together."""
    low, high = clusters.low[side] / reach - clusters.p, clusters.high[side] / reach - clusters.p
    by_low, by_high = np.argsort(low), np.argsort(high)
    gone = np.concatenate([[0.0], np.cumsum(clusters.saving[by_high])])
    now = np.cumsum(clusters.saving[by_low]) - gone[np.searchsorted(high[by_high], low[by_low], "left")]
    return float(now.max())
